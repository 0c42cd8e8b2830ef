"""The backend as a process of its own, `vlm-judge serve` with a slow judge, that can be killed and started again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path

import httpx

from backend.errors import DemoError
from backend.label_studio_server import free_port, spawn, stop_group, wait_until_healthy
from backend.settings import PREFIX

SLOWEST_PAGE_S = 5.0
"""A page that takes longer is as good as none."""


def judge_environment(studio_url: str, token: str, **settings: str) -> dict[str, str]:
    """What a user would export; `settings` go without their prefix, an empty address stands for none."""
    foreign = (PREFIX, "LABEL_STUDIO_")
    own = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    studio = {"LABEL_STUDIO_URL": studio_url, "LABEL_STUDIO_API_KEY": token} if studio_url else {}
    return own | studio | {f"{PREFIX}{name}": value for name, value in settings.items()}


def judge_command(
    *arguments: str, seconds: float, constants: Collection[str] = (), dies_after: int | None = None
) -> list[str]:
    """`vlm-judge` with a judge that needs so many seconds a sample."""
    options = ["--seconds", str(seconds)]
    options += [word for constant in constants for word in ("--set", constant)]
    options += ["--dies-after", str(dies_after)] if dies_after else []
    return [sys.executable, "-m", "tests.slow_command", *options, "--", *arguments]


def wait_until(holds: Callable[[], bool], timeout_s: float, pause_s: float = 0.5) -> float:
    """How many seconds it took. Raises TimeoutError."""
    began = time.monotonic()
    while not holds():
        if time.monotonic() - began > timeout_s:
            raise TimeoutError(f"not within {timeout_s:.0f} s")
        time.sleep(pause_s)
    return time.monotonic() - began


class BackendProcess:
    """One that is started as often as it is killed."""

    def __init__(
        self,
        folder: Path,
        seconds: float,
        *,
        deadline_s: float = 60.0,
        studio_url: str = "",
        token: str = "",
        constants: Collection[str] = (),
        dies_after: int | None = None,
        store: Path | None = None,
    ) -> None:
        """Its log and, where nothing else is said, its store are in the folder."""
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.log = folder / "backend.log"
        self._command = judge_command(
            *("serve", "--engine", "scripted", "--port", str(port)),
            seconds=seconds, constants=constants, dies_after=dies_after,
        )  # fmt: skip
        self.environment = judge_environment(
            studio_url, token, STORE=str(store or folder / "store.sqlite"), PREDICT_DEADLINE_S=str(deadline_s)
        )
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The one that was started last."""
        assert self._process is not None
        return self._process

    def start(self, patience_s: float = 60.0) -> None:
        """Start it and wait until it answers; tried again while the port is still taken. Raises DemoError."""
        until = time.monotonic() + patience_s
        while True:
            with self.log.open("ab") as log:
                self._process = spawn(self._command, self.environment, log)
            # else an earlier process's answer would be taken for this one's
            wait_until(lambda: self.process.poll() is not None or self.server_pid is not None, patience_s, 0.05)
            try:
                wait_until_healthy(f"{self.url}/health", self.process, self.log, "the backend", patience_s)
                return
            except DemoError as exc:
                if "is taken" not in str(exc) or time.monotonic() > until:
                    raise

    def kill(self) -> None:
        """All of it, at once."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def terminate(self) -> int:
        """Ask it to end; its exit code. Raises subprocess.TimeoutExpired."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def stop(self) -> None:
        """Whatever is left of it."""
        if self._process is not None:
            stop_group(self._process)

    @property
    def server_pid(self) -> int | None:
        """The process that serves, which gunicorn's first process watches; None while there is none."""
        pid = self.process.pid
        with suppress(OSError):
            children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
            return int(children[0]) if children else None
        return None

    def metric(self, name: str) -> float | None:
        """A number of `/metrics`; None while it cannot be had."""
        with suppress(httpx.HTTPError):
            text = httpx.get(f"{self.url}/metrics", timeout=SLOWEST_PAGE_S, trust_env=False).text
            found = re.search(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE)
            return float(found[1]) if found else None
        return None
