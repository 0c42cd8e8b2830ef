"""Labelled data are opened by their name on a Hub, by the real clients."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from exporters.hub.push import PushTarget, carry_out, plan_push
from tests.contract import hub_emulator

TOKEN = "hf_write"


def make_dataset(folder: Path) -> Path:
    """Rows in the columns of VL-RewardBench, in a test split."""
    import datasets
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("RGB", (6, 6), (9, 9, 9)).save(buffer, "PNG")
    row = {
        "id": "x-1",
        "query": "What is it?",
        "response": ["a square", "a dog"],
        "image": {"bytes": buffer.getvalue(), "path": None},
        "human_ranking": [0, 1],
        "query_source": "MathVerse",
    }
    features = datasets.Features(
        {
            "id": datasets.Value("string"),
            "query": datasets.Value("string"),
            "response": datasets.List(datasets.Value("string")),
            "image": datasets.Image(),
            "human_ranking": datasets.List(datasets.Value("int64")),
            "query_source": datasets.Value("string"),
        }
    )
    rows = [row, {**row, "id": "x-2", "query_source": "RLHF-V", "human_ranking": [1, 0]}]
    (folder / "data").mkdir(parents=True)
    datasets.Dataset.from_list(rows, features=features).to_parquet(folder / "data" / "test-00000-of-00001.parquet")
    metadata = "configs:\n- config_name: default\n  data_files:\n  - split: test\n    path: data/test-*\n"
    (folder / "README.md").write_text(f"---\n{metadata}---\n# Pairs\n", encoding="utf-8")
    (folder / ".vlm-judge-export.json").write_text("{}", encoding="utf-8")
    return folder


def evaluate(hub: Any, tmp_path: Path, name: str) -> subprocess.CompletedProcess[str]:
    command = "from backend.cli import main; main()"
    out = str(tmp_path / "out")
    return subprocess.run(
        [sys.executable, "-c", command, "evaluate", name, "--engine", "scripted", "--out", out],
        env={
            **hub_emulator.environment(hub.address, TOKEN, tmp_path / "home"),
            "VLM_JUDGE_STORE": str(tmp_path / "store.sqlite"),
        },
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_a_benchmark_is_evaluated_by_its_name(hub: Any, tmp_path: Path) -> None:
    target = PushTarget("me/pairs", endpoint=hub.address)
    carry_out(plan_push(make_dataset(tmp_path / "set"), target, TOKEN), TOKEN)
    done = evaluate(hub, tmp_path, "me/pairs")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out/evaluation.json").read_text(encoding="utf-8"))
    assert (found["source"], found["format"]) == ("me/pairs (default, test)", "vl-rewardbench")
    assert [(group["name"], group["rows"], group["images"]) for group in found["groups"]] == [
        ("all rows", 2, 1),
        ("hallucination", 1, 1),
        ("reasoning", 1, 1),
    ]


def test_a_name_that_is_not_there_is_said_plainly(hub: Any, tmp_path: Path) -> None:
    done = evaluate(hub, tmp_path, "me/nothing")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("Error: cannot open the dataset me/nothing:")
