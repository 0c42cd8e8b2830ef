"""The sample project's scenes, their mix, and that the truth stays apart."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from PIL import Image

from backend.core.rubric import load_rubric
from backend.engines.demo.sample import SAMPLE_SEED, Sample, sample_items, write_sample

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return write_sample(tmp_path_factory.mktemp("sample"), count=24)


def test_the_mix_of_all_240() -> None:
    items = sample_items()
    assert Counter(item.example.corruption for item in items) == {
        "none": 170,
        "colour": 8,
        "shape": 8,
        "position": 8,
        "count": 8,
        "word": 8,
        "several": 8,
        "unrelated": 8,
        "misspelled": 7,
        "missing feature": 7,
    }
    assert Counter(item.scene.condition for item in items if item.scene.condition in ("heavy noise", "heavy blur")) == {
        "heavy noise": 7,
        "heavy blur": 7,
    }
    assert sum(item.scene.condition == "broken" for item in items) == 6
    assert {item.scene.condition for item in items if item.example.corruption != "none"} <= {
        "clean",
        "light noise",
        "light blur",
    }


def test_a_third_deserves_no_acceptance() -> None:
    levels = {criterion.id: criterion for criterion in load_rubric(ROOT / "backend/engines/demo/rubric.yaml").criteria}

    def accepted(answers: dict[str, int | None]) -> bool:
        decisions = {
            level.decision
            for name, value in answers.items()
            for level in levels[name].levels
            if value is not None and level.value == value
        }
        return decisions == {"accept"}

    kept = [
        accepted(
            {
                "visual_realism": item.example.realism,
                "text_accuracy": item.example.text,
                "consistency": item.example.consistency,
                "requested_features": item.example.requested_level,
            }
        )
        for item in sample_items()
    ]
    assert kept.count(True) == 150
    assert kept.count(False) == 90


def test_no_scene_twice_and_no_seed_of_training() -> None:
    items = sample_items()
    assert len({(item.scene, item.example.caption) for item in items}) == 240
    assert SAMPLE_SEED not in range(1000)


def test_files(sample: Sample) -> None:
    assert sorted(path.name for path in sample.images.iterdir()) == [f"{number:03d}.png" for number in range(1, 25)]
    with Image.open(sample.images / "001.png") as picture:
        assert (picture.format, picture.mode, picture.size) == ("PNG", "RGB", (448, 560))


def test_tasks_hold_no_truth(sample: Sample) -> None:
    tasks = json.loads(sample.tasks.read_text())
    truth = json.loads(sample.truth.read_text())
    assert len(tasks) == len(truth) == 24
    for number, (task, answer) in enumerate(zip(tasks, truth, strict=True), 1):
        assert task == {
            "data": {
                "image": f"/data/local-files/?d=sample/images/{number:03d}.png",
                "caption": answer["caption"],
                "requested": answer["requested"],
            }
        }
    assert sample.truth.parent not in (sample.images, sample.tasks.parent)


def test_truth_says_what_is_wrong(sample: Sample) -> None:
    truth = json.loads(sample.truth.read_text())
    wrong = [answer for answer in truth if answer["corruption"] not in ("none", "missing feature", "misspelled")]
    assert wrong
    assert all(any(not claim["holds"] for claim in answer["claims"]) for answer in wrong)
    assert all(answer["original"] == answer["caption"] for answer in truth if answer["corruption"] == "none")


def test_the_same_seed_writes_the_same_bytes(sample: Sample, tmp_path: Path) -> None:
    again = write_sample(tmp_path, count=24)
    for name in ("images/003.png", "tasks.json", "truth/truth.json"):
        assert (tmp_path / name).read_bytes() == (sample.tasks.parent / name).read_bytes()
    other = write_sample(tmp_path / "other", count=24, seed=1)
    assert other.tasks.read_bytes() != again.tasks.read_bytes()


def test_the_image_address_is_a_parameter(tmp_path: Path) -> None:
    sample = write_sample(tmp_path, count=2, image_prefix="http://127.0.0.1:8000/")
    assert [task["data"]["image"] for task in json.loads(sample.tasks.read_text())] == [
        "http://127.0.0.1:8000/001.png",
        "http://127.0.0.1:8000/002.png",
    ]
