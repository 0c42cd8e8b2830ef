"""Datasets of a Hub, judged by the real client: Parquet is read by what is asked for, all else as a stream."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.contract import hub_emulator
from tests.datasets_made import image, judged, own, png, prediction_of


def judge(hub: Any, name: str, home: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """Judge a dataset of that hub by a machine that has nothing cached."""
    return subprocess.run(
        [
            *(sys.executable, "-m", "backend.cli", "judge", "--engine", "scripted", "--source", name),
            *("--out", str(home / "out"), "--part-rows", "2", *more),
        ],
        cwd=Path(__file__).parents[2],
        env={
            **hub_emulator.environment(hub.address, hub.token, home / "home"),
            "VLM_JUDGE_STORE": str(home / "never-made.sqlite"),
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_parquet_of_the_hub_is_judged_at_the_commit_it_has(hub: Any, tmp_path: Path) -> None:
    from datasets import Dataset, Features, Image, Value

    features = Features({"photo": Image(), "text": Value("string")})
    found = {"photo": [image(n) for n in range(5)], "text": [f"Dog {n}." for n in range(5)]}
    Dataset.from_dict(found, features=features).to_parquet(tmp_path / "train.parquet")
    content = (tmp_path / "train.parquet").read_bytes()
    name = "data/train-00000-of-00001.parquet"
    hub.repos["me/photos"] = hub_emulator.HubRepo(True, {name: hub_emulator.HubFile(content, is_lfs=True)})
    done = judge(hub, "me/photos", tmp_path, "--column", "image=photo", "--column", "caption=text")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("5 rows = 5 judged + 0 judged before + 0 failed (judge scripted-")
    written = judged(tmp_path / "out")
    assert own(written) == [{"photo": image(n), "text": f"Dog {n}."} for n in range(5)]
    assert [row["judge_row"] for row in written] == [f"{name}#{n}" for n in range(5)]
    assert [json.loads(row["judge_prediction"]) for row in written] == [
        prediction_of(f"Dog {n}.", png(n)) for n in range(5)
    ]
    assert not (tmp_path / "never-made.sqlite").exists()
    commit = hub.repos["me/photos"].head
    assert any(line.startswith(f"GET /datasets/me/photos/resolve/{commit}/data/") for line in hub.log)
    hub.repos["me/photos"].commits.append("another commit")
    again = judge(hub, "me/photos", tmp_path, "--column", "image=photo", "--column", "caption=text")
    assert again.stdout.startswith("5 rows = 0 judged + 5 judged before + 0 failed"), again.stderr


def test_image_files_of_the_hub_are_streamed_and_gone_on_with(hub: Any, tmp_path: Path) -> None:
    lines = "".join(json.dumps({"file_name": f"{n}.png", "caption": f"Dog {n}."}) + "\n" for n in range(5))
    files = {f"train/{n}.png": hub_emulator.HubFile(png(n), is_lfs=True) for n in range(5)}
    files["train/metadata.jsonl"] = hub_emulator.HubFile(lines.encode(), is_lfs=False)
    hub.repos["me/files"] = hub_emulator.HubRepo(True, files)
    done = judge(hub, "me/files", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("5 rows = 5 judged + 0 judged before + 0 failed (judge scripted-")
    expected = [prediction_of(f"Dog {n}.", png(n)) for n in range(5)]
    assert [json.loads(row["judge_prediction"]) for row in judged(tmp_path / "out")] == expected
    for number in (0, 2):
        (tmp_path / "out" / "data" / f"part-{number:07d}.parquet").unlink()
    again = judge(hub, "me/files", tmp_path)
    assert again.stdout.startswith("5 rows = 3 judged + 2 judged before + 0 failed"), again.stderr
    assert [json.loads(row["judge_prediction"]) for row in judged(tmp_path / "out")] == expected
    on_ray = judge(hub, "me/files", tmp_path, "--ray")
    assert on_ray.returncode == 1
    assert "give its Parquet form, me/files@refs/convert/parquet, or do without --ray" in on_ray.stderr


def test_a_dataset_that_is_not_there_is_said_so(hub: Any, tmp_path: Path) -> None:
    done = judge(hub, "me/nothing", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: cannot open the dataset me/nothing: ")
