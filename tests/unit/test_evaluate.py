"""Judging labelled data: what is asked, what is counted, and the whole way through the command line."""

from __future__ import annotations

import base64
import io
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from backend.cli import main
from backend.core.label_config import parse_label_config
from backend.core.measures import NotComputable, average_orders
from backend.core.regions import encode
from backend.core.types import Answer, ControlValue, Question, Scored, TextField, Unscored
from backend.engines.base import JudgeRequest
from backend.engines.demo.sample import sample_items
from backend.engines.demo.world import draw
from backend.engines.scripted import ScriptedEngine
from backend.errors import EvaluationError, RowError
from backend.evaluation.judging import (
    BY_IMAGE,
    BY_REQUEST,
    LoadedPair,
    PairJudgement,
    SampleJudgement,
    image_hash,
    label_config_for,
    pair_judge,
)
from backend.evaluation.measure import (
    BLANK,
    CONSTANT,
    JUDGE,
    LENGTH,
    Bootstrap,
    Group,
    JudgedPair,
    JudgedSample,
    measure_pairs,
    measure_samples,
    pair_curves,
    with_verdicts,
)
from backend.evaluation.plot import draw as draw_plot
from backend.evaluation.run import EvaluateOptions, evaluate
from backend.evaluation.samples import Candidate, LabelledPair, LabelledSample, Picture
from backend.evaluation.tables import Source
from backend.images import ImageLoader
from backend.interfaces import default_label_config
from backend.settings import Settings
from backend.studio_types import Project
from exporters.export import write_export
from exporters.images.pictures import PictureReader
from exporters.records.consolidate import Policy

FEW = Bootstrap(resamples=50)
RED, BLUE = Image.new("RGB", (8, 6), (200, 0, 0)), Image.new("RGB", (4, 4), (0, 0, 200))
PAIR = LabelledPair("1", "", (Picture(content=b""),), "", Candidate("a cat"), Candidate("a dog"), preferred=1.0)


def values(group: Group, scorer: str = JUDGE) -> dict[str, Any]:
    """The group's measures by name, as plain numbers."""
    outcomes = {line.measure: line.by[scorer] for line in group.lines if scorer in line.by}
    return {
        name: outcome.reason if isinstance(outcome, NotComputable) else pytest.approx(outcome.value)
        for name, outcome in outcomes.items()
    }


def answers(probs: Callable[[JudgeRequest], float | None]) -> Callable[[JudgeRequest, Question], Answer]:
    """A script by which A is better with this probability; None leaves it unscored."""

    def script(request: JudgeRequest, question: Question) -> Answer:
        prob = probs(request)
        return Unscored(question, "silent") if prob is None else Scored(question, (prob, 1 - prob), 1.0)

    return script


def test_a_pair_is_asked_in_both_orders_and_averaged() -> None:
    """The cat is better with 0.8 when it is A, and with 0.6 when it is B."""
    engine = ScriptedEngine(answers(lambda request: 0.8 if 'A: "a cat"' in request.fields else 0.4))
    [judgement] = pair_judge(engine, "be fair")([LoadedPair(PAIR, (RED,), (), ())])
    assert judgement == PairJudgement(average_orders(0.8, 0.6), True)
    assert [request.fields for request in engine.asked] == ['A: "a cat"\nB: "a dog"\n', 'A: "a dog"\nB: "a cat"\n']
    assert [request.images for request in engine.asked] == [(RED,), (RED,)]
    assert {(request.instructions, request.questions[0].text) for request in engine.asked} == {("be fair", BY_IMAGE)}


def test_orders_that_disagree_and_silence_are_told() -> None:
    always_a = pair_judge(ScriptedEngine(answers(lambda _: 0.75)), "")
    assert always_a([LoadedPair(PAIR, (RED,), (), ())]) == [PairJudgement(average_orders(0.75, 0.25), False)]
    silent = pair_judge(ScriptedEngine(answers(lambda _: None)), "")
    [error] = silent([LoadedPair(PAIR, (RED,), (), ())])
    assert isinstance(error, RowError)
    assert str(error) == "the judge gave no verdict: silent"


def test_images_of_the_candidates_move_with_them() -> None:
    pair = replace(PAIR, context="draw a cat")
    engine = ScriptedEngine(answers(lambda _: 0.5))
    pair_judge(engine, "")([LoadedPair(pair, (RED, RED), (BLUE,), (RED,))])
    assert [request.images for request in engine.asked] == [(RED, RED, BLUE, RED), (RED, RED, RED, BLUE)]
    assert engine.asked[0].fields == (
        'question: "draw a cat"\nimages: "images 1 to 2: the question; image 3: A; image 4: B"\n'
        'A: "a cat"\nB: "a dog"\n'
    )
    assert engine.asked[0].questions[0].text == BY_REQUEST


def test_the_blank_pair_has_grey_images_of_the_same_size() -> None:
    shown = LoadedPair(PAIR, (RED,), (BLUE,), ()).blank().all_images
    assert [(image.size, image.getcolors()) for image in shown] == [
        ((8, 6), [(48, (128, 128, 128))]),
        ((4, 4), [(16, (128, 128, 128))]),
    ]


def test_the_same_pixels_are_the_same_image() -> None:
    assert image_hash([RED]) == image_hash([RED.copy()])
    assert len({image_hash(images) for images in ([RED], [BLUE], [RED, BLUE], [BLUE.resize((8, 6))])}) == 4


def test_the_label_config_shows_what_the_row_has() -> None:
    texts = (TextField("answer", "yes"), TextField("question", "is it?", "context"))
    sample = LabelledSample("1", "", (Picture(), Picture()), texts, True, {})
    config = label_config_for(sample)
    assert [image.key for image in config.images] == ["image", "image2"]
    assert {text.name: text.key for text in config.texts} == {
        "caption": "answer",
        "requested": "requested",
        "question": "question",
    }
    assert config.control("verdict") is not None


def judged(good: bool | None, prob: float, image: str, length: int = 1, **ratings: float) -> JudgedSample:
    """A sample whose judge expects a consistency of five times its probability, and half without the image."""
    return JudgedSample(
        kind="",
        cluster=image,
        good=good,
        ratings=ratings,
        length=length,
        judge=SampleJudgement(prob, {"consistency": 5 * prob}),
        blank=SampleJudgement(0.5, {"consistency": 2.5}),
    )


def test_samples_by_hand() -> None:
    """Judge: one of four pairs out of order, so 3/4. Brier (0.81 + 0.09 + 0.04 + 0.01) / 4. Each its own ECE bin.

    ECE: (|1 - 0.1| + 0.3 + |1 - 0.8| + 0.1) / 4. Constant 0.5: Brier 1/4. Longer is better: 2.5 of 4 pairs.
    """
    rows = [
        judged(True, 0.1, "a", 4, consistency=4),
        judged(False, 0.3, "b", 2, consistency=1),
        judged(True, 0.8, "c", 2, consistency=5),
        judged(False, 0.1 - 1e-9, "a", 3, consistency=2),
    ]
    [group] = measure_samples(rows, FEW)
    assert (group.name, group.rows, group.images) == ("all rows", 4, 3)
    ece = (0.9 + 0.3 + 0.2 + 0.1) / 4
    assert values(group) == {
        "AUROC": 0.75,
        "ECE": pytest.approx(ece, abs=1e-6),
        "Brier": pytest.approx(0.95 / 4, abs=1e-6),
        "accuracy at 0.5": 0.75,
        "Spearman, consistency": 0.4,  # ranks 3 1 4 2 and 2 3 4 1: 1 - 6 * 6 / (4 * 15)
        "Kendall tau-b, consistency": pytest.approx(1 / 3),
    }
    assert values(group, BLANK) == {
        "AUROC": 0.5,
        "ECE": 0.0,
        "Brier": 0.25,
        "accuracy at 0.5": 0.5,
        "Spearman, consistency": "all scores are the same",
        "Kendall tau-b, consistency": "all scores are the same",
    }
    assert values(group, CONSTANT) == {"AUROC": 0.5, "ECE": 0.0, "Brier": 0.25, "accuracy at 0.5": 0.5}
    assert values(group, LENGTH)["AUROC"] == 2.5 / 4


def test_one_class_alone_has_no_auroc_and_the_rest_goes_on() -> None:
    [group] = measure_samples([judged(True, 0.9, "a"), judged(True, 0.7, "b")], FEW)
    assert values(group) == {
        "AUROC": "only one class among the labels (all good)",
        "ECE": 0.2,
        "Brier": 0.05,
        "accuracy at 0.5": 1.0,
    }


def test_ratings_stand_in_for_verdicts() -> None:
    rows = [judged(None, 0.5, "a", rating=4), judged(None, 0.5, "a", rating=3.9), judged(False, 0.5, "a", rating=5)]
    assert [row.good for row in with_verdicts(rows, 4.0)] == [True, False, False]


def test_kinds_are_measured_apart() -> None:
    rows = [replace(judged(True, 0.9, "a"), kind="ocr"), replace(judged(False, 0.1, "a"), kind="vqa")]
    assert [(group.name, group.rows) for group in measure_samples(rows, FEW)] == [
        ("all rows", 2),
        ("ocr", 1),
        ("vqa", 1),
    ]


def test_pairs_by_hand() -> None:
    """Right, wrong, undecided by the judge, tie by people that the judge also leaves open, tie that it decides.

    Preferred sides have 0.9, 0.4, 0.6 and the others 0.1, 0.6, 0.4: of nine comparisons 3 + 1.5 + 2.5 are in order.
    ECE over four distinct values: (|0 - 0.1| + |1 - 0.8| + |1 - 1.2| + |1 - 0.9|) / 6. Brier: 0.01, 0.36, 0.16.
    """
    blank = PairJudgement(0.5, True)
    rows = [
        JudgedPair("", image, preferred, lengths, PairJudgement(prob, agree), blank)
        for image, preferred, prob, agree, lengths in [
            ("a", 1.0, 0.9, True, (5, 3)),
            ("b", 0.0, 0.6, True, (1, 2)),
            ("c", 0.0, 0.4, False, (2, 2)),
            ("d", 0.5, 0.7, False, (4, 1)),
            ("d", 0.5, 0.8, True, (4, 1)),
        ]
    ]
    [group] = measure_pairs(rows, FEW)
    assert values(group) == {
        "pair accuracy, ties count": 2 / 5,
        "pair accuracy, ties left out": 1 / 2,
        "flip rate": 2 / 5,
        "AUROC of preferred sides": 7 / 9,
        "ECE": 0.1,
        "Brier": 0.53 / 3,
    }
    assert [line.by[JUDGE].rows for line in group.lines] == [5, 2, 5, 3, 3, 3]
    assert values(group, LENGTH)["pair accuracy, ties left out"] == 1.0
    assert values(group, CONSTANT)["pair accuracy, ties count"] == 1 / 5
    assert values(group, BLANK)["flip rate"] == 0.0
    curves = pair_curves(rows)
    assert curves.truth.tolist() == [1, 0, 0, 0, 1, 1]
    assert curves.judge.tolist() == pytest.approx([0.9, 0.6, 0.4, 0.1, 0.4, 0.6])


def write_boards(folder: Path, count: int) -> Path:
    """Drawn boards with captions whose truth is known, as a JSON lines file."""
    (folder / "images").mkdir(parents=True)
    rows = []
    for number, item in enumerate(sample_items(count), 1):
        draw(item.scene, random.Random(item.drawing_seed)).save(folder / f"images/{number}.png")
        found = item.example
        good = min(found.realism + 1, found.text, found.consistency, found.requested_level or 5) >= 4
        rows.append(
            {
                "id": f"board {number}",
                "image": f"images/{number}.png",
                "caption": found.caption,
                "requested": found.requested,
                "verdict": "accept" if good else "reject",
                "human_consistency": found.consistency,
            }
        )
    path = folder / "boards.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def run(folder: Path, *arguments: str) -> Result:
    environment = {"VLM_JUDGE_STORE": str(folder / "store.sqlite")}
    return CliRunner().invoke(main, ["evaluate", *arguments, "--out", str(folder / "out")], env=environment)


def test_the_embedded_judge_on_boards_whose_truth_is_known(tmp_path: Path) -> None:
    path = write_boards(tmp_path / "data", 16)
    with path.open("a", encoding="utf-8") as file:
        file.write('{"image": "images/none.png", "caption": "a", "verdict": "accept"}\n')
        file.write('{"image": "images/1.png", "caption": "a", "verdict": "perhaps"}\n{broken\n')
    done = run(tmp_path, str(path), "--engine", "demo")
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out/evaluation.json").read_text(encoding="utf-8"))
    assert found["rows"] == {
        "read": 19,
        "judged": 16,
        "left_out": {"an image cannot be read": 1, "`verdict` is no verdict that is known": 1, "not valid JSON": 1},
        "without_blank_answer": 0,
    }
    assert [problem["row"] for problem in found["problems"]] == ["17", "18", "19"]
    [group] = found["groups"]
    measures = {measure.pop("measure"): measure for measure in group["measures"]}
    assert (group["rows"], group["images"]) == (16, 16)
    assert list(measures) == [
        "AUROC",
        "ECE",
        "Brier",
        "accuracy at 0.5",
        "Spearman, consistency",
        "Kendall tau-b, consistency",
    ]
    auroc = measures["AUROC"]
    assert auroc["judge"]["value"] >= 0.85
    assert auroc["judge"]["low"] <= auroc["judge"]["value"] <= auroc["judge"]["high"]
    assert auroc["constant"]["value"] == 0.5
    assert auroc["blank_image"]["value"] < auroc["judge"]["value"]
    assert found["fingerprints"][0].startswith("demo-")
    assert len(found["data_sha256"]) == 64
    with Image.open(tmp_path / "out/evaluation.png") as plot:
        assert plot.size == (1650, 930)
    assert "19 rows = 16 judged + 3 left out" in done.output
    assert "left out: 1 x not valid JSON" in done.output
    assert "AUROC" in done.output


def test_the_same_data_have_the_same_hash_and_numbers_whatever_their_file(tmp_path: Path) -> None:
    path = write_boards(tmp_path / "data", 6)
    listed = path.with_suffix(".json")
    listed.write_text(json.dumps([json.loads(line) for line in path.read_text().splitlines()]))
    settings = Settings(engine="scripted", store=tmp_path / "store.sqlite")
    one, two = (
        evaluate(settings, EvaluateOptions(Source(str(file)), bootstrap=FEW, baseline=False)) for file in (path, listed)
    )
    assert one.data_sha256 == two.data_sha256
    assert one.groups == two.groups
    assert list(one.rubrics) == list(two.rubrics)
    assert one.curves.blank is None
    assert not any(BLANK in line.by for line in one.groups[0].lines)
    fewer = evaluate(settings, EvaluateOptions(Source(str(path)), limit=2, bootstrap=FEW, baseline=False))
    assert (fewer.rows, fewer.judged) == (2, 2)
    assert fewer.data_sha256 != one.data_sha256


class Reviewed:
    """A project with these annotated tasks."""

    def __init__(self, *tasks: dict[str, Any]) -> None:
        self._tasks = tasks

    def annotated_tasks(self, project_id: int) -> Iterator[tuple[dict[str, Any], ...]]:
        yield self._tasks


def reviewed(number: int, verdict: str, stars: int, start: int | None) -> dict[str, Any]:
    """A task that one person reviewed, from the judge's answer when `start` is one."""
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (number, 0, 0)).save(buffer, "PNG")
    said = (ControlValue("consistency", "Rating", stars), ControlValue("verdict", "Choices", (verdict,)))
    result = [
        {**region, "origin": "prediction" if start else "manual"}
        for region in encode(said, parse_label_config(default_label_config()))
    ]
    annotation = {
        "id": number,
        "result": result,
        "completed_by": 7,
        "created_at": "2026-01-01T09:00:00Z",
        "parent_prediction": start,
    }
    return {
        "id": number,
        "data": {
            "image": "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode(),
            "caption": f"text {number}",
            "requested": "a dot",
        },
        "annotations": [annotation],
        "predictions": [],
    }


def test_what_the_product_exports_is_evaluated_as_it_is(tmp_path: Path) -> None:
    project = Project(1, "Dots", default_label_config(), "", 3)
    source = Reviewed(reviewed(1, "accept", 5, None), reviewed(2, "fix", 3, None), reviewed(3, "reject", 1, 9))
    settings = Settings(engine="scripted", store=tmp_path / "store.sqlite")
    reader = PictureReader(ImageLoader(settings), allow_missing=False)
    write_export(project, source, reader, tmp_path / "set", policy=Policy(annotator_key=b"key"))
    options = EvaluateOptions(Source(str(tmp_path / "set")), bootstrap=FEW)
    found = evaluate(settings, options)
    assert (found.format, found.rows, found.judged, found.problems) == ("export", 3, 3, ())
    assert (found.groups[0].name, found.groups[0].rows) == ("all rows", 3)
    assert found.curves.truth.tolist() == [1, 0, 0]
    assert "Spearman, consistency" in [line.measure for line in found.groups[0].lines]


def write_pairs(folder: Path, preferred: list[str]) -> Path:
    folder.mkdir()
    RED.save(folder / "red.png")
    BLUE.save(folder / "blue.png")
    rows = [
        {"image": ("red.png", "blue.png")[number % 2], "text_a": f"a {number}", "text_b": "b", "preferred": side}
        for number, side in enumerate(preferred)
    ]
    path = folder / "pairs.json"
    path.write_text(json.dumps(rows))
    return path


def test_pairs_through_the_command_line(tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "data", ["a", "b", "tie", "a", "c"])
    done = run(tmp_path, str(path), "--engine", "scripted")
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out/evaluation.json").read_text(encoding="utf-8"))
    assert (found["format"], found["rows"]["judged"]) == ("pairs", 4)
    assert found["rows"]["left_out"] == {"`preferred` names no side that is known": 1}
    [group] = found["groups"]
    assert group["images"] == 2
    assert [measure["measure"] for measure in group["measures"]] == [
        "pair accuracy, ties count",
        "pair accuracy, ties left out",
        "flip rate",
        "AUROC of preferred sides",
        "ECE",
        "Brier",
    ]
    assert (tmp_path / "out/evaluation.png").stat().st_size > 10_000


def test_nothing_usable_is_an_error_with_a_remedy(tmp_path: Path) -> None:
    path = write_pairs(tmp_path / "data", ["x", "y"])
    done = run(tmp_path, str(path), "--engine", "scripted")
    assert done.exit_code == 1
    assert "Error: no row of" in done.output
    assert "2 x `preferred` names no side that is known" in done.output
    assert "--format" in done.output
    assert not (tmp_path / "out").exists()


def test_a_plot_of_one_class_says_what_is_missing(tmp_path: Path) -> None:
    path = write_boards(tmp_path / "data", 2)
    rows = [{**json.loads(line), "verdict": "accept"} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = Settings(engine="scripted", store=tmp_path / "store.sqlite")
    found = evaluate(settings, EvaluateOptions(Source(str(path)), bootstrap=FEW))
    draw_plot(found, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10_000
    with pytest.raises(EvaluationError, match="cannot write"):
        draw_plot(found, tmp_path / "plot.png" / "below.png")
