"""Whether examples help: what is left out, the paired difference by hand, and the way through the command line."""

from __future__ import annotations

import io
import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from backend.cli import main
from backend.core.examples import Example, Examples, render_file
from backend.core.measures import AUROC, BRIER, Estimate, NotComputable, estimate_difference
from backend.core.types import Answer, Question, Scored, TextField
from backend.engines.base import JudgeRequest
from backend.engines.demo.sample import sample_items
from backend.engines.demo.world import draw
from backend.engines.scripted import ScriptedEngine
from backend.errors import EvaluationError
from backend.evaluation import run as evaluation_run
from backend.evaluation.compare import (
    DIFFERENCE,
    WITH,
    WITHOUT,
    Comparison,
    Finding,
    compare_pairs,
    compare_samples,
    finding_of,
)
from backend.evaluation.judging import PairJudgement, SampleJudgement
from backend.evaluation.measure import Bootstrap, Group, JudgedPair, JudgedSample, Line
from backend.evaluation.run import EvaluateOptions, evaluate
from backend.evaluation.samples import LabelledSample
from backend.evaluation.tables import Source
from backend.evaluation.taught import AMONG_EXAMPLES, taught_by
from backend.settings import Settings

FEW = Bootstrap(resamples=50)


def png(number: int) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), (number, 0, 0)).save(file, "PNG")
    return file.getvalue()


def judged(good: bool, taught: float, plain: float | None, image: int, kind: str = "") -> JudgedSample:
    without = None if plain is None else SampleJudgement(plain, {})
    return JudgedSample(kind, str(image), good, {}, 1, SampleJudgement(taught, {}), None, without)


def by(group: Group, measure: str) -> dict[str, Any]:
    line = next(line for line in group.lines if line.measure == measure)
    return {
        name: pytest.approx(outcome.value) if isinstance(outcome, Estimate) else outcome.reason
        for name, outcome in line.by.items()
    }


def test_the_difference_by_hand() -> None:
    """AUROC with: all 4 pairs in order; without: 0.4 < 0.5 and 0.4 < 0.6 are not, 2 of 4.

    Brier with: (0.01 + 0.04 + 0.09 + 0.04) / 4 = 0.045; without (0.01 + 0.36 + 0.25 + 0.36) / 4 = 0.245.
    """
    rows = [
        judged(True, 0.9, 0.9, 1),
        judged(True, 0.8, 0.4, 2),
        judged(False, 0.3, 0.5, 3),
        judged(False, 0.2, 0.6, 4),
        judged(True, 0.0, None, 5),  # of a kind that the examples are not for
    ]
    found = compare_samples(rows, FEW)
    assert found is not None
    [group] = found.groups
    assert (group.rows, group.images) == (4, 4)
    assert by(group, "AUROC") == {WITHOUT: 0.5, WITH: 1.0, DIFFERENCE: 0.5}
    assert by(group, "Brier") == {WITHOUT: 0.245, WITH: 0.045, DIFFERENCE: -0.2}
    assert by(group, "accuracy at 0.5") == {WITHOUT: 0.25, WITH: 1.0, DIFFERENCE: 0.75}
    assert found.finding == "too few images"
    assert found.sentence.startswith(
        "Too few images to tell whether the examples help: it takes 30. "
        "Brier (lower is better) went from 0.245 to 0.045: -0.200, 95 % interval -"
    )
    assert found.sentence.endswith("; 4 rows on 4 images.")
    assert compare_samples(rows[-1:], FEW) is None


def test_the_interval_is_that_of_the_paired_rows() -> None:
    """Each row's squared error shrinks by the same 0.05, however hard the row: no resample can say otherwise."""
    truth = [1.0, 0.0] * 20
    hard = np.linspace(0.3, 0.9, 40)
    plain, taught = (np.where(np.array(truth) == 1, 1 - np.sqrt(e), np.sqrt(e)) for e in (hard**2, hard**2 - 0.05))
    found = estimate_difference(BRIER, truth, taught, plain, [f"{n // 2}" for n in range(40)], resamples=200)
    assert isinstance(found, Estimate)
    assert [found.value, found.low, found.high] == [pytest.approx(-0.05)] * 3
    assert (found.rows, found.clusters) == (40, 20)
    one_image = estimate_difference(BRIER, truth, taught, plain, ["a"] * 40)
    assert isinstance(one_image, Estimate)
    assert (one_image.low, one_image.high) == (None, None)
    assert estimate_difference(AUROC, [1.0] * 3, [0.1, 0.2, 0.3], [0.3, 0.2, 0.1], "abc") == NotComputable(
        "only one class among the labels (all good)", 3
    )


@pytest.mark.parametrize(
    ("measure", "low", "high", "images", "finding"),
    [
        ("Brier", -0.2, -0.1, 30, "helped"),
        ("Brier", 0.1, 0.2, 30, "hurt"),
        ("AUROC", 0.1, 0.2, 30, "helped"),
        ("AUROC", -0.2, -0.1, 30, "hurt"),
        ("flip rate", 0.1, 0.2, 30, "hurt"),
        ("AUROC", -0.1, 0.2, 300, "no measurable difference"),
        ("AUROC", 0.0, 0.0, 300, "no measurable difference"),
        ("AUROC", 0.1, 0.2, 29, "too few images"),
        ("AUROC", None, None, 30, "too few images"),
    ],
)
def test_what_an_interval_says(
    measure: str, low: float | None, high: float | None, images: int, finding: Finding
) -> None:
    value = 0.0 if low is None or high is None else (low + high) / 2
    line = Line(measure, {DIFFERENCE: Estimate(value, low, high, images, images)})
    assert finding_of(line) == finding


def test_the_sentence_is_about_blind_rows_where_there_are_any() -> None:
    """Blind: the taught judge is off by 0.6 and the other by 0.4, so Brier rises from 0.16 to 0.36."""
    blind = [
        judged(n % 2 == 0, 0.4 if n % 2 == 0 else 0.6, 0.6 if n % 2 == 0 else 0.4, n, "labelled blind")
        for n in range(40)
    ]
    view = [
        judged(n % 2 == 0, 0.9 if n % 2 == 0 else 0.1, 0.5, 100 + n, "labelled with the judge's answer in view")
        for n in range(90)
    ]
    found = compare_samples([*blind, *view], FEW)
    assert found is not None
    assert (found.about, found.measure, found.finding) == ("labelled blind", "Brier", "hurt")
    assert found.sentence == (
        "The examples hurt. Brier (lower is better) went from 0.160 to 0.360: +0.200, 95 % interval +0.200 to +0.200; "
        "40 rows on 40 images, labelled blind."
    )
    assert [finding_of(line) for line in found.groups[0].lines if line.measure == "Brier"] == ["helped"]


def test_pairs_are_compared_as_well() -> None:
    """With: the preferred side has 0.8; without 0.4. Brier of sides falls from 0.36 to 0.04."""
    rows = [
        JudgedPair("", str(n), 1.0, (1, 1), PairJudgement(0.8, True), None, PairJudgement(0.4, n % 2 == 0))
        for n in range(30)
    ]
    found = compare_pairs(rows, FEW)
    assert found is not None
    assert (found.measure, found.finding) == ("Brier", "helped")
    assert by(found.groups[0], "Brier") == {WITHOUT: 0.36, WITH: 0.04, DIFFERENCE: -0.32}
    assert by(found.groups[0], "flip rate") == {WITHOUT: 0.5, WITH: 0.0, DIFFERENCE: -0.5}
    assert compare_pairs([replace(row, plain=None) for row in rows], FEW) is None


def example(verdict: str, text: str, *images: str, task: int | None = None) -> Example:
    return Example((TextField("caption", text),), (("verdict", verdict),), task=task, images=images)


def sample(name: str, text: str, number: str = "") -> LabelledSample:
    return LabelledSample(name, "", (), (TextField("caption", text),), True, {}, number)


def test_a_row_is_left_out_for_its_task_its_image_or_its_texts() -> None:
    from backend.pictures import decode

    shown = replace(example("fix", "a kite", "1.png", task=7), pictures=(png(1),))
    taught = taught_by(Examples("image-text", (shown, example("fix", "a boat")), show_images=False))
    one, two = (decode(png(number), "x", 100) for number in (1, 2))
    refused = [
        taught.refuse(sample("7", "a", "7"), [two]),  # the task
        taught.refuse(sample("7", "a"), [two]),  # only the seventh row
        taught.refuse(sample("1", "a"), [two, one]),  # an image, also where the judge is not shown it
        taught.refuse(sample("1", "a kite"), [two]),  # the same words of another image
        taught.refuse(sample("1", "a boat"), [two]),  # the same words, and no image to tell by
    ]
    assert [error and str(error) for error in refused] == [
        f"{AMONG_EXAMPLES}: task 7",
        None,
        f"{AMONG_EXAMPLES}: its image",
        None,
        f"{AMONG_EXAMPLES}: its texts",
    ]
    assert taught_by(None).refuse(sample("7", "a", "7"), [one]) is None


def learns(request: JudgeRequest, question: Question) -> Answer:
    """A judge that finds every sample in order, but once it was shown an example none whose text says `bad`."""
    fine = "bad" not in request.fields if request.passages else True
    options = [option.value for option in question.options]
    best = ("yes" if fine else "no") if "yes" in options else ("5" if fine else "1")
    if question.id == "painted":
        best = "no"
    shares = [0.9 if value == best else 0.1 / (len(options) - 1) for value in options]
    return Scored(question, tuple(shares), 1.0)


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> ScriptedEngine:
    engine = ScriptedEngine(learns)
    monkeypatch.setattr(evaluation_run, "make_engine", lambda settings: engine)
    return engine


def write_rows(folder: Path, count: int) -> Path:
    """Every second one good, each with an image of its own."""
    rows = []
    for number in range(count):
        (folder / f"{number}.png").write_bytes(png(number))
        word = ("good", "bad")[number % 2]
        verdict = ("accept", "reject")[number % 2]
        rows.append({"task_id": 100 + number, "image": f"{number}.png", "caption": f"text {word}", "verdict": verdict})
    path = folder / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_file(folder: Path, *entries: Example, **more: Any) -> Path:
    path = folder / "examples.json"
    path.write_text(render_file(Examples(more.pop("kind", "image-text"), entries, **more)), encoding="utf-8")
    return path


def options(rows: Path, examples: Path | None = None) -> EvaluateOptions:
    return EvaluateOptions(Source(str(rows)), bootstrap=FEW, baseline=False, examples=examples)


def test_rows_are_judged_with_and_without_and_never_on_what_was_shown(tmp_path: Path, scripted: ScriptedEngine) -> None:
    """Of 34 rows two are the examples': task 100, and the image of row 5. 32 are left, half of them bad.

    Without examples all are accepted: accuracy 1/2, with them all are right; the words of the 16 bad ones are asked
    about one by one.
    """
    rows = write_rows(tmp_path, 34)
    shown = write_file(tmp_path, example("fix", "a", task=100), example("reject", "b", "5.png"), show_images=False)
    settings = Settings(engine="scripted", store=str(tmp_path / "store.sqlite"))
    found = evaluate(settings, options(rows, shown))
    assert (found.rows, found.judged, found.reasons) == (34, 32, {AMONG_EXAMPLES: 2})
    assert [(problem.row, problem.detail) for problem in found.problems] == [("1", "task 100"), ("6", "its image")]
    comparison = found.comparison
    assert isinstance(comparison, Comparison)
    assert by(comparison.groups[0], "accuracy at 0.5") == {WITHOUT: 0.5, WITH: 1.0, DIFFERENCE: 0.5}
    assert comparison.finding == "helped"
    plain = evaluate(settings, options(rows))
    assert (plain.judged, plain.comparison, plain.examples) == (34, None, None)
    [taught_mark], [plain_mark] = found.rubrics, plain.rubrics
    assert taught_mark != plain_mark
    asked = [request.passages != () for request in scripted.asked]
    assert (asked.count(True), asked.count(False)) == (32 + 16, 32 + 34)


def test_the_settings_examples_are_compared_too_and_the_commands_come_first(
    tmp_path: Path, scripted: ScriptedEngine
) -> None:
    rows, shown = write_rows(tmp_path, 4), write_file(tmp_path, example("fix", "a"))
    settings = Settings(engine="scripted", store=str(tmp_path / "store.sqlite"), examples=shown)
    found = evaluate(settings, options(rows))
    assert found.comparison is not None
    assert found.comparison.finding == "too few images"


@pytest.mark.parametrize("kind", ["question-answer", "preference-pair"])
def test_examples_of_another_kind_are_refused(tmp_path: Path, scripted: ScriptedEngine, kind: str) -> None:
    pair = Example((TextField("text_a", "a"), TextField("text_b", "b")), (("preference", "text_a"),))
    entry = pair if kind == "preference-pair" else example("fix", "a")
    rows, shown = write_rows(tmp_path, 4), write_file(tmp_path, entry, kind=kind)
    settings = Settings(engine="scripted", store=str(tmp_path / "store.sqlite"))
    with pytest.raises(EvaluationError, match=f"no row of .* they are for projects of the kind {kind}"):
        evaluate(settings, options(rows, shown))


def prefers(probs: Callable[[JudgeRequest], float]) -> ScriptedEngine:
    return ScriptedEngine(lambda request, question: Scored(question, (probs(request), 1 - probs(request)), 1.0))


def test_pairs_are_judged_with_and_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The text `good` is preferred; the judge knows it with 0.9 only when it was shown an example of a pair."""

    def prob(request: JudgeRequest) -> float:
        if not request.passages:
            return 0.5
        return 0.9 if 'A: "good"' in request.fields else 0.1

    engine = prefers(prob)
    monkeypatch.setattr(evaluation_run, "make_engine", lambda settings: engine)
    rows = []
    for number in range(30):
        (tmp_path / f"{number}.png").write_bytes(png(number))
        texts = ("good", "bad") if number % 2 else ("bad", "good")
        preferred = "a" if number % 2 else "b"
        rows.append({"image": f"{number}.png", "text_a": texts[0], "text_b": texts[1], "preferred": preferred})
    (tmp_path / "pairs.json").write_text(json.dumps(rows))
    pair = Example((TextField("text_a", "x"), TextField("text_b", "y")), (("preference", "text_b"),))
    shown = write_file(tmp_path, pair, kind="preference-pair")
    settings = Settings(engine="scripted", store=str(tmp_path / "store.sqlite"))
    found = evaluate(settings, options(tmp_path / "pairs.json", shown))
    assert found.comparison is not None
    assert found.comparison.sentence == (
        "The examples helped. Brier (lower is better) went from 0.250 to 0.010: -0.240, 95 % interval -0.240 to "
        "-0.240; 30 rows on 30 images."
    )
    said = {passage.text for request in engine.asked for passage in request.passages}
    assert len(said) == 1
    assert 'A: "x"\nB: "y"\nWhich text fits the image better, A or B? Answer with one letter only. B\n' in said.pop()


def test_the_embedded_judge_through_the_command_line(tmp_path: Path) -> None:
    """It was trained on bare prompts and 3 million parameters: that examples do not help it is what has to show."""
    rows = []
    for number, item in enumerate(sample_items(34), 1):
        draw(item.scene, random.Random(item.drawing_seed)).save(tmp_path / f"{number}.png")
        found = item.example
        good = min(found.realism + 1, found.text, found.consistency, found.requested_level or 5) >= 4
        texts = {"caption": found.caption, "requested": found.requested}
        rows.append({"image": f"{number}.png", **texts, "verdict": "accept" if good else "reject"})
    (tmp_path / "boards.json").write_text(json.dumps(rows))
    shown = (example(rows[n]["verdict"], rows[n]["caption"], rows[n]["image"]) for n in (0, 1))
    file = write_file(tmp_path, *shown, show_images=False)
    done = CliRunner().invoke(
        main,
        [
            "evaluate",
            str(tmp_path / "boards.json"),
            "--examples",
            str(file),
            "--out",
            str(tmp_path / "o"),
            "--no-baseline",
        ],
        env={"VLM_JUDGE_STORE": str(tmp_path / "store.sqlite")},
    )
    assert done.exit_code == 0, done.output
    assert f"left out: 2 x {AMONG_EXAMPLES}" in done.output
    assert ", which is shown 2 examples\n" in done.output
    written = json.loads((tmp_path / "o/evaluation.json").read_text(encoding="utf-8"))
    assert written["examples"] == {"kind": "image-text", "count": 2, "tasks": [], "images_shown": False}
    comparison = written["comparison"]
    assert comparison["sentence"] in done.output
    [group] = comparison["groups"]
    brier = next(measure for measure in group["measures"] if measure["measure"] == "Brier")
    assert brier["difference"]["value"] == pytest.approx(
        brier["with_examples"]["value"] - brier["without_examples"]["value"]
    )
    assert brier["difference"]["value"] > 0
    assert comparison["finding"] == brier["finding"] == "hurt"
