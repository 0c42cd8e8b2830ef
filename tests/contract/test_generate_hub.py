"""Base images out of a Hub's datasets, by the real client: streamed, private, as parquet and as image files."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

from PIL import Image

from tests.contract import hub_emulator

CODE = """
import sys
from pathlib import Path
from backend.errors import VlmJudgeError
from backend.generation.run import GenerateOptions, gather_images
from backend.settings import load_settings
from backend.generation.sources import SourceOptions
settings = load_settings()
token = settings.hf_token.get_secret_value()
options = GenerateOptions(sys.argv[1], Path(sys.argv[2]), sources=SourceOptions(hf_token=token), limit=2)
try:
    gather_images(settings, options)
except VlmJudgeError as exc:
    sys.exit(str(exc))
"""


def png(colour: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (60, 40), colour).save(buffer, "PNG")
    return buffer.getvalue()


PNGS = [png(colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]


def gather(hub: Any, name: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Gather two images of a dataset, as a user of that hub whose machine has nothing cached."""
    return subprocess.run(
        [sys.executable, "-c", CODE, name, str(home / "out" / "tasks.jsonl")],
        cwd=Path(__file__).parents[2],
        env=hub_emulator.environment(hub.address, hub.token, home / "home"),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def manifest(home: Path) -> list[tuple[str, str, str]]:
    lines = (home / "out" / "manifest.jsonl").read_text().splitlines()
    return [(row["source"], row["sha256"], row["licence"]) for row in map(json.loads, lines)]


def test_parquet_is_streamed_with_its_licences(hub: Any, tmp_path: Path) -> None:
    from datasets import Dataset, Features, Value
    from datasets import Image as ImageFeature

    features = Features({"photo": ImageFeature(), "license": Value("string")})
    rows = {"photo": [{"bytes": content, "path": None} for content in PNGS], "license": ["CC0-1.0", "MIT", "MIT"]}
    Dataset.from_dict(rows, features=features).to_parquet(tmp_path / "train.parquet")
    content = (tmp_path / "train.parquet").read_bytes()
    files = {"data/train-00000-of-00001.parquet": hub_emulator.HubFile(content, is_lfs=True)}
    hub.repos["me/photos"] = hub_emulator.HubRepo(True, files)
    done = gather(hub, "me/photos", tmp_path)
    assert done.returncode == 0, done.stderr
    assert manifest(tmp_path) == [
        ("me/photos/train/0", sha256(PNGS[0]).hexdigest(), "CC0-1.0"),
        ("me/photos/train/1", sha256(PNGS[1]).hexdigest(), "MIT"),
    ]


def test_image_files_keep_their_bytes(hub: Any, tmp_path: Path) -> None:
    files = {f"train/{index}.png": hub_emulator.HubFile(content, is_lfs=True) for index, content in enumerate(PNGS)}
    hub.repos["me/files"] = hub_emulator.HubRepo(True, files)
    done = gather(hub, "me/files", tmp_path)
    assert done.returncode == 0, done.stderr
    assert manifest(tmp_path) == [
        (f"me/files/train/{index}", sha256(PNGS[index]).hexdigest(), "") for index in range(2)
    ]


def test_a_dataset_that_is_not_there_is_said_so(hub: Any, tmp_path: Path) -> None:
    done = gather(hub, "me/nothing", tmp_path)
    assert done.returncode == 1
    assert "cannot read the dataset me/nothing, split train: Dataset 'me/nothing' doesn't exist" in done.stderr
