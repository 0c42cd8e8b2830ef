"""The container files under `docker/`, read as tests need them, and the real Docker Compose to read them with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
DOCKER = ROOT / "docker"
STACKS = {
    "cpu": ("compose.yaml",),
    "gpu": ("compose.yaml", "compose.gpu.yaml"),
    "scale": ("compose.scale.yaml",),
}
"""What can be started: the files of each, as `COMPOSE_FILE` names them."""


def tool(name: str) -> Path:
    """A program that was installed beside this Python."""
    return Path(sys.executable).parent / name


def read_yaml(name: str) -> dict[str, Any]:
    """One compose file as it is written, its references not filled in."""
    found: dict[str, Any] = yaml.safe_load((DOCKER / name).read_text(encoding="utf-8"))
    return found


def read_env(path: Path) -> dict[str, str]:
    """The variables that an environment file sets."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


def compose(stack: str, variables: Mapping[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    """What `docker compose config` makes of a stack, as JSON on standard output; `folder` gets its `.env`."""
    env_file = folder / ".env"
    env_file.write_text("".join(f"{name}={value}\n" for name, value in variables.items()))
    files = [part for name in STACKS[stack] for part in ("--file", str(DOCKER / name))]
    return subprocess.run(
        [tool("docker-compose"), *files, "--env-file", env_file, "config", "--format", "json"],
        env={"PATH": os.environ["PATH"], "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
    )


def configured(stack: str, variables: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """A stack's services with everything filled in."""
    done = compose(stack, variables, folder)
    assert done.returncode == 0, done.stderr
    services: dict[str, Any] = json.loads(done.stdout)["services"]
    return services


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions with what follows each on its line and the lines it goes on in."""
    text = re.sub(r"^#.*\n", "", (DOCKER / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", "", text).splitlines()
    return [(word, rest) for word, _, rest in (line.partition(" ") for line in lines if line)]
