"""What becomes of a task with each kind of history."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.annotated import AnnotatedTask, Annotation, Prediction, annotated_tasks, read_task, unblinded
from backend.authorship import ACCEPTED
from backend.core.changes import changed_controls
from backend.core.label_config import LabelConfig, parse_label_config
from backend.core.regions import encode
from backend.core.types import Box, ControlValue, TextSpan
from backend.errors import StudioError
from exporters.records.consolidate import LeftOut, Outcome, Policy, Record, Several, consolidate, pseudonym
from exporters.records.record import JudgeDetail, Provenance
from exporters.records.tally import Tally

CONFIG = parse_label_config((Path(__file__).parents[2] / "label_config.xml").read_text(encoding="utf-8"))
POLICY = Policy(annotator_key=b"key")
DATA = {"image": "/data/local-files/?d=a.png", "caption": "a green square", "requested": "green, square"}

FIX = (
    ControlValue("contradiction", "RectangleLabels", (Box(10.0, 20.0, 30.0, 40.0, "Contradiction"),)),
    ControlValue("unsupported", "Labels", (TextSpan(2, 7, "green", "Unsupported"),)),
    ControlValue("consistency", "Rating", 2),
    ControlValue("verdict", "Choices", ("fix",)),
    ControlValue("corrected_text", "TextArea", "a red square"),
    ControlValue("rationale", "TextArea", "consistency 2 of 5"),
)
ACCEPT = (ControlValue("consistency", "Rating", 5), ControlValue("verdict", "Choices", ("accept",)))


def moment(hour: int) -> datetime:
    return datetime(2026, 1, 1, hour, tzinfo=UTC)


def regions(values: tuple[ControlValue, ...], origin: str | None = "prediction") -> tuple[dict[str, Any], ...]:
    return tuple({**region, **({"origin": origin} if origin else {})} for region in encode(values, CONFIG))


def changed(values: tuple[ControlValue, ...], **new: Any) -> tuple[ControlValue, ...]:
    """The values with some replaced; None removes one."""
    tags = {control.name: control.tag for control in CONFIG.controls}
    kept = tuple(value for value in values if value.control not in new)
    return kept + tuple(ControlValue(name, tags[name], value) for name, value in new.items() if value is not None)


def prediction(values: tuple[ControlValue, ...], number: int = 1, hour: int = 1) -> Prediction:
    return Prediction(number, regions(values, None), 0.75, f"judge-{number}", moment(hour))


def annotation(values: tuple[ControlValue, ...], number: int = 1, **fields: Any) -> Annotation:
    given: dict[str, Any] = {
        "was_cancelled": False,
        "completed_by": 7,
        "updated_by": 7,
        "lead_time_s": 12.5,
        "created_at": moment(number),
        "updated_at": moment(number),
        "parent_prediction": 1,
        "ground_truth": False,
    }
    return Annotation(number, regions(values), **{**given, **fields})


def task(annotations: tuple[Annotation, ...], *predictions: Prediction) -> AnnotatedTask:
    return AnnotatedTask(3, DATA, annotations, predictions)


def record(outcome: Outcome) -> Record:
    assert not isinstance(outcome, LeftOut)
    [only] = outcome
    return only


FIX_VALUES = {value.control: value.value for value in FIX}
NOTICE = (ControlValue("rationale", "TextArea", "Not judged: the image cannot be read."),)


def failed(number: int = 1, hour: int = 1) -> Prediction:
    return Prediction(number, regions(NOTICE, None), None, "judge-1-failed", moment(hour))


def pending(number: int = 1, hour: int = 1) -> Prediction:
    return Prediction(number, (), None, "judge-1-pending", moment(hour))


def test_an_untouched_submit_is_confirmed() -> None:
    assert record(consolidate(task((annotation(FIX),), prediction(FIX)), CONFIG, POLICY)) == Record(
        task_id=3,
        images={"image": ("/data/local-files/?d=a.png",)},
        texts={"caption": "a green square", "requested": "green, square"},
        final_text="a red square",
        final_text_source="judge",
        decided_by="confirmed",
        corrected_controls=(),
        human=FIX_VALUES,
        judge=FIX_VALUES,
        judge_confidence=0.75,
        fingerprint="judge-1",
        annotators=(pseudonym(7, b"key"),),
        annotation_count=1,
        verdicts_agree=None,
        lead_time_s=12.5,
        saw_prediction=True,
        annotation_id=1,
        annotator=pseudonym(7, b"key"),
        original="a green square",
    )


BLIND = Prediction(1, (), 3e-7, "judge-1", moment(0))
KEPT = {
    "result": list(regions(FIX, None)),
    "score": 0.75,
    "model_version": "judge-1",
    "created_at": "2026-01-01T00:00:00Z",
}


@pytest.mark.parametrize("is_in_store", [True, False])
def test_a_blind_label_is_a_persons_own_and_the_judges_answer_stands_beside_it_where_it_is_known(
    is_in_store: bool,
) -> None:
    own = replace(annotation(()), result=regions(FIX, "manual"))
    labelled = task((own,), BLIND)
    row = record(consolidate(unblinded(labelled, (KEPT,)) if is_in_store else labelled, CONFIG, POLICY))
    assert (row.decided_by, row.corrected_controls) == ("human", None)
    assert (row.saw_prediction, row.audit) == (False, True)
    assert row.human == FIX_VALUES
    known = (FIX_VALUES, 0.75, "judge-1") if is_in_store else (None, None, None)
    assert (row.judge, row.judge_confidence, row.fingerprint) == known


def test_a_blind_task_that_was_submitted_empty_has_no_answer() -> None:
    empty = replace(annotation(()), parent_prediction=1)
    outcome = consolidate(unblinded(task((empty,), BLIND), (KEPT,)), CONFIG, POLICY)
    assert outcome == LeftOut(3, "empty")


def test_a_prediction_that_came_after_the_last_change_was_not_seen() -> None:
    written = replace(annotation(()), result=regions(FIX, "manual"), parent_prediction=None)
    assert record(consolidate(task((written,), prediction(FIX, hour=2)), CONFIG, POLICY)).saw_prediction is False
    assert record(consolidate(task((written,), prediction(FIX, hour=0)), CONFIG, POLICY)).saw_prediction is True


def accepted(**fields: Any) -> Annotation:
    """As `vlm-judge accept` leaves one behind."""
    marked = tuple({**region, "meta": {ACCEPTED: "certificate-1"}} for region in regions(FIX, None))
    return replace(annotation(FIX), **{"result": marked, "lead_time_s": None, **fields})


def test_what_the_judge_put_there_by_a_certificate_is_its_own_decision_until_a_person_works_on_it() -> None:
    row = record(consolidate(task((accepted(),), prediction(FIX)), CONFIG, POLICY))
    assert (row.decided_by, row.human, row.judge) == ("judge accepted", None, FIX_VALUES)
    assert (row.annotators, row.annotation_count, row.saw_prediction) == ((), 0, None)
    looked_at = record(consolidate(task((accepted(lead_time_s=4.0),), prediction(FIX)), CONFIG, POLICY))
    assert (looked_at.decided_by, looked_at.human, looked_at.saw_prediction) == ("confirmed", FIX_VALUES, True)
    both = record(consolidate(task((accepted(), annotation(FIX, 2)), prediction(FIX)), CONFIG, POLICY))
    assert (both.decided_by, both.annotation_count) == ("confirmed", 1)


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"verdict": ("reject",)}, ("verdict",)),
        ({"consistency": 3}, ("consistency",)),
        ({"unsupported": None}, ("unsupported",)),
        ({"unsupported": (TextSpan(8, 14, "square", "Unsupported"),)}, ("unsupported",)),
        ({"contradiction": (Box(11.0, 20.0, 30.0, 40.0, "Contradiction"),)}, ("contradiction",)),
        ({"visual_realism": 4, "rationale": None}, ("rationale", "visual_realism")),
        ({"corrected_text": "a blue square"}, ("corrected_text",)),
    ],
)
def test_any_changed_added_or_removed_value_is_a_correction(change: dict[str, Any], names: tuple[str, ...]) -> None:
    row = record(consolidate(task((annotation(changed(FIX, **change)),), prediction(FIX)), CONFIG, POLICY))
    assert (row.decided_by, row.corrected_controls) == ("corrected", names)
    assert row.human == {name: value for name, value in {**FIX_VALUES, **change}.items() if value is not None}
    assert row.judge == FIX_VALUES


def test_everything_removed_is_a_correction() -> None:
    row = record(consolidate(task((annotation(()),), prediction(ACCEPT)), CONFIG, POLICY))
    assert (row.decided_by, row.corrected_controls, row.human) == ("corrected", ("consistency", "verdict"), {})


def test_what_the_editor_does_by_itself_is_no_correction() -> None:
    judge = {value.control: value for value in FIX}
    human = {
        value.control: value for value in changed(FIX, contradiction=(Box(10.04, 20, 30, 39.97, "Contradiction"),))
    }
    assert changed_controls(judge, human) == ()
    text = {"rationale": ControlValue("rationale", "TextArea", "one\r\ntwo\n")}
    assert changed_controls({"rationale": ControlValue("rationale", "TextArea", "one\ntwo")}, text) == ()
    spans = (TextSpan(0, 1, "a", "Unsupported"), TextSpan(2, 7, "green", "Unsupported"))
    assert (
        changed_controls({"u": ControlValue("u", "Labels", spans)}, {"u": ControlValue("u", "Labels", spans[::-1])})
        == ()
    )


def test_without_a_start_from_the_judge_a_person_decided() -> None:
    own = Annotation(1, regions(ACCEPT, "manual"), False, 7, 7, 4.0, moment(9), moment(9), None, False)
    row = record(consolidate(task((own,)), CONFIG, POLICY))
    assert (row.decided_by, row.corrected_controls, row.judge, row.fingerprint) == ("human", None, None, None)
    assert (row.final_text, row.final_text_source) == ("a green square", "original")


def test_a_person_who_started_empty_stands_beside_the_newest_judge() -> None:
    blind = Annotation(1, regions(ACCEPT, "manual"), False, 7, 7, 4.0, moment(9), moment(9), None, False)
    row = record(consolidate(task((blind,), prediction(FIX), prediction(ACCEPT, 2, 2)), CONFIG, POLICY))
    assert (row.decided_by, row.fingerprint) == ("human", "judge-2")


def test_the_judge_is_the_one_the_person_started_from_even_if_there_is_a_newer_one() -> None:
    row = record(consolidate(task((annotation(FIX),), prediction(FIX), prediction(ACCEPT, 2, 2)), CONFIG, POLICY))
    assert (row.decided_by, row.fingerprint, row.judge_verdict) == ("confirmed", "judge-1", "fix")


@pytest.mark.parametrize(
    ("origin", "decided_by", "names"),
    [("prediction", "confirmed", ()), ("prediction-changed", "corrected", ("consistency", "verdict"))],
)
def test_a_deleted_start_leaves_the_origins_to_tell(origin: str, decided_by: str, names: tuple[str, ...]) -> None:
    given = Annotation(1, regions(ACCEPT, origin), False, 7, 7, 4.0, moment(9), moment(9), None, False)
    row = record(consolidate(task((given,)), CONFIG, POLICY))
    assert (row.decided_by, row.corrected_controls) == (decided_by, names)


def test_a_judge_alone_is_a_row_without_human_values() -> None:
    row = record(consolidate(task((), prediction(FIX)), CONFIG, POLICY))
    assert (row.decided_by, row.human, row.judge, row.judge_confidence) == ("judge only", None, FIX_VALUES, 0.75)
    assert (row.annotators, row.annotation_count, row.lead_time_s) == ((), 0, None)
    assert (row.final_text, row.final_text_source) == ("a red square", "judge")


@pytest.mark.parametrize(
    ("annotations", "predictions", "reason"),
    [
        ((annotation((), was_cancelled=True),), (prediction(FIX),), "skipped"),
        ((annotation((), parent_prediction=None),), (), "empty"),
        ((), (), "unannotated"),
        ((), (prediction(()),), "unannotated"),
    ],
)
def test_left_out(annotations: tuple[Annotation, ...], predictions: tuple[Prediction, ...], reason: str) -> None:
    assert consolidate(task(annotations, *predictions), CONFIG, POLICY) == LeftOut(3, reason)  # type: ignore[arg-type]


@pytest.mark.parametrize("unjudged", [failed(), pending()])
@pytest.mark.parametrize(
    ("annotations", "reason"),
    [
        ((), "unannotated"),
        ((annotation((), was_cancelled=True),), "skipped"),
        ((annotation(()),), "empty"),
    ],
)
def test_left_out_as_not_judged(unjudged: Prediction, annotations: tuple[Annotation, ...], reason: str) -> None:
    assert consolidate(task(annotations, unjudged), CONFIG, POLICY) == LeftOut(3, reason)  # type: ignore[arg-type]


def test_a_notice_that_was_only_submitted_or_mass_created_is_nobodys_answer() -> None:
    assert consolidate(task((annotation(NOTICE),), failed()), CONFIG, POLICY) == LeftOut(3, "empty")
    assert consolidate(task((mass_created(NOTICE),), failed()), CONFIG, POLICY) == LeftOut(3, "unannotated")
    assert consolidate(task((mass_created(()),), pending()), CONFIG, POLICY) == LeftOut(3, "unannotated")


@pytest.mark.parametrize("unjudged", [failed(), pending()])
def test_who_started_from_no_judgement_decided_alone(unjudged: Prediction) -> None:
    left = NOTICE if unjudged.result else ()
    row = record(consolidate(task((annotation((*ACCEPT, *left)),), unjudged), CONFIG, POLICY))
    assert (row.decided_by, row.corrected_controls) == ("human", None)
    assert (row.judge, row.judge_confidence, row.fingerprint) == (None, None, None)
    assert row.human == {"consistency": 5, "verdict": ("accept",)}
    assert (row.final_text, row.final_text_source) == ("a green square", "original")


def test_a_rationale_written_over_the_notice_is_the_persons() -> None:
    written = ControlValue("rationale", "TextArea", "all there")
    row = record(consolidate(task((annotation((*ACCEPT, written)),), failed()), CONFIG, POLICY))
    assert row.human == {"consistency": 5, "verdict": ("accept",), "rationale": "all there"}


@pytest.mark.parametrize("unjudged", [failed(2, 2), pending(2, 2)])
def test_an_older_judgement_wins_over_a_newer_prediction_that_is_none(unjudged: Prediction) -> None:
    alone = record(consolidate(task((), prediction(FIX), unjudged), CONFIG, POLICY))
    assert (alone.decided_by, alone.judge, alone.fingerprint) == ("judge only", FIX_VALUES, "judge-1")
    started = annotation(ACCEPT, parent_prediction=2)
    row = record(consolidate(task((started,), prediction(FIX), unjudged), CONFIG, POLICY))
    assert (row.decided_by, row.corrected_controls, row.judge) == ("human", None, FIX_VALUES)


@pytest.mark.parametrize("values", [FIX, ACCEPT])
def test_a_judge_alone_without_a_verdict_gives_no_final_text(values: tuple[ControlValue, ...]) -> None:
    unscored = changed(values, verdict=None)
    row = record(consolidate(task((), prediction(unscored)), CONFIG, POLICY))
    assert (row.final_text, row.final_text_source, row.decided_by) == (None, "missing", "judge only")
    assert (row.human, row.judge) == (None, {value.control: value.value for value in unscored})
    tally = Tally()
    tally.add((row,))
    assert (tally.counts().missing_text, tally.counts().verdicts) == ((3,), {"none": 1})


def test_a_skip_beside_an_annotation_does_not_count() -> None:
    both = (annotation(FIX), annotation((), 2, was_cancelled=True, completed_by=8))
    row = record(consolidate(task(both, prediction(FIX)), CONFIG, POLICY))
    assert (row.decided_by, row.annotation_count, row.annotators) == ("confirmed", 1, (pseudonym(7, b"key"),))


def mass_created(values: tuple[ControlValue, ...]) -> Annotation:
    """As Label Studio 1.23.2 stores it: credited to who clicked, no time, no writer, regions without origin."""
    return Annotation(1, regions(values, None), False, 7, None, None, moment(5), moment(5), 1, False)


def test_annotations_created_from_predictions_are_nobodys_decision() -> None:
    row = record(consolidate(task((mass_created(FIX),), prediction(FIX)), CONFIG, POLICY))
    assert (row.decided_by, row.human, row.annotators, row.annotation_count) == ("judge only", None, (), 0)


def test_opened_and_saved_since_they_are() -> None:
    saved = annotation(FIX, lead_time_s=3.25)
    row = record(consolidate(task((saved,), prediction(FIX)), CONFIG, POLICY))
    assert (row.decided_by, row.lead_time_s) == ("confirmed", 3.25)


TRIO = (
    annotation(ACCEPT, 1, completed_by=1),
    annotation(FIX, 2, completed_by=2),
    annotation(ACCEPT, 3, completed_by=3),
)


@pytest.mark.parametrize(
    ("annotations", "several", "verdict", "lead_time_s"),
    [
        (TRIO, "last", "accept", 3.0),
        (TRIO, "first", "accept", 1.0),
        (TRIO, "majority", "accept", 3.0),
        (TRIO[:2], "last", "fix", 2.0),
        (TRIO[:2], "first", "accept", 1.0),
        (TRIO[:2], "majority", "fix", 2.0),
        ((TRIO[0], TRIO[2], annotation(FIX, 4)), "majority", "accept", 3.0),
    ],
)
def test_several_annotations(
    annotations: tuple[Annotation, ...], several: Several, verdict: str, lead_time_s: float
) -> None:
    timed = tuple(
        Annotation(a.id, a.result, False, a.id, a.id, float(a.id), a.created_at, a.updated_at, 1, False)
        for a in reversed(annotations)
    )
    row = record(consolidate(task(timed, prediction(FIX)), CONFIG, Policy(several, b"key")))
    assert (row.human_verdict, row.lead_time_s) == (verdict, lead_time_s)
    assert (row.annotation_count, row.verdicts_agree) == (len(annotations), False)
    assert row.annotators == tuple(pseudonym(a.id, b"key") for a in annotations)


def test_two_who_agree() -> None:
    row = record(consolidate(task((TRIO[0], TRIO[2]), prediction(FIX)), CONFIG, POLICY))
    assert (row.annotation_count, row.verdicts_agree) == (2, True)


@pytest.mark.parametrize(
    ("judge", "change", "text", "source"),
    [
        (FIX, {"corrected_text": "a blue square"}, "a blue square", "human"),
        (FIX, {}, "a red square", "judge"),
        (FIX, {"corrected_text": None}, None, "missing"),
        (FIX, {"verdict": ("accept",)}, "a green square", "original"),
        (FIX, {"verdict": ("accept",), "corrected_text": "a blue square"}, "a blue square", "human"),
        (FIX, {"verdict": ("reject",), "corrected_text": None}, None, "rejected"),
        (FIX, {"verdict": ("reject",)}, None, "rejected"),
        (FIX, {"verdict": ("reject",), "corrected_text": "a blue square"}, None, "rejected"),
        (ACCEPT, {}, "a green square", "original"),
        (ACCEPT, {"verdict": ("fix",)}, None, "missing"),
    ],
)
def test_final_text(judge: tuple[ControlValue, ...], change: dict[str, Any], text: str | None, source: str) -> None:
    row = record(consolidate(task((annotation(changed(judge, **change)),), prediction(judge)), CONFIG, POLICY))
    assert (row.final_text, row.final_text_source) == (text, source)


def test_the_same_text_without_a_start_from_the_judge_is_the_persons() -> None:
    own = Annotation(1, regions(FIX, "manual"), False, 7, 7, 4.0, moment(9), moment(9), None, False)
    row = record(consolidate(task((own,), prediction(FIX)), CONFIG, POLICY))
    assert (row.decided_by, row.final_text, row.final_text_source) == ("human", "a red square", "human")


def test_pseudonyms_are_stable_and_keyed() -> None:
    # printf 7 | openssl dgst -sha256 -hmac key, first 8 digits
    assert pseudonym(7, b"key") == "annotator-01235b0d"
    assert len({pseudonym(user, key) for user in range(50) for key in (b"key", b"other")}) == 100


def test_a_region_that_cannot_be_read_names_the_task() -> None:
    broken = Prediction(1, ({"from_name": "consistency", "type": "rating"},), 0.5, "judge", moment(1))
    with pytest.raises(StudioError, match=r"^task 3: .* region .* submit it again$"):
        consolidate(task((), broken), CONFIG, POLICY)


RAW = {
    "id": 3,
    "data": DATA,
    "drafts": [{"id": 9, "result": []}],
    "annotations": [
        {
            "id": 1,
            "result": [],
            "was_cancelled": False,
            "completed_by": {"id": 7, "email": "someone@example.org"},
            "created_username": "someone@example.org, 7",
            "updated_by": 7,
            "lead_time": 12.5,
            "created_at": "2026-01-01T09:00:00Z",
            "updated_at": "2026-01-01T09:00:00Z",
            "parent_prediction": 5,
            "ground_truth": False,
        }
    ],
    "predictions": [
        {"id": 5, "result": [], "score": None, "model_version": "judge-1", "created_at": "2026-01-01T01:00:00Z"}
    ],
}


class OnePage:
    """A source with a single page."""

    def annotated_tasks(self, project_id: int) -> Any:
        yield ({**RAW, "id": project_id},)


def test_tasks_are_read_without_anyones_address() -> None:
    read = AnnotatedTask(
        8,
        DATA,
        (Annotation(1, (), False, 7, 7, 12.5, moment(9), moment(9), 5, False),),
        (Prediction(5, (), None, "judge-1", moment(1)),),
    )
    assert list(annotated_tasks(OnePage(), 8)) == [read]
    assert "@" not in repr(read)


def test_what_is_no_region_is_told_and_a_version_that_is_a_number_is_one() -> None:
    for wrong in ({"annotations": [{"id": 1, "result": ["x"]}]}, {"predictions": [{"id": 1, "result": "xy"}]}):
        with pytest.raises(
            StudioError, match=r"^task 3 cannot be read \(TypeError: a region of a result must be an obj"
        ):
            read_task({**RAW, **wrong})
    [found] = read_task({**RAW, "predictions": [{"id": 1, "result": [], "model_version": 5}]}).predictions
    assert found.model_version == "5"


def test_predictions_as_ids_are_refused() -> None:
    with pytest.raises(StudioError, match=r"^task 3 cannot be read .* fields=all$"):
        read_task({**RAW, "predictions": [5]})


ratings = st.integers(1, 5).map(lambda stars: ControlValue("consistency", "Rating", stars))
verdicts = st.sampled_from(("accept", "fix", "reject")).map(lambda name: ControlValue("verdict", "Choices", (name,)))
words = st.text(min_size=1).filter(str.strip).map(lambda text: ControlValue("corrected_text", "TextArea", text))
percent = st.floats(0, 100)
boxes = st.lists(st.builds(Box, percent, percent, percent, percent, st.just("Contradiction")), min_size=1).map(
    lambda found: ControlValue("contradiction", "RectangleLabels", tuple(found))
)
answers = st.tuples(ratings, verdicts, st.lists(words, max_size=1), st.lists(boxes, max_size=1)).map(
    lambda parts: (parts[0], parts[1], *parts[2], *parts[3])
)


def histories() -> st.SearchStrategy[list[Annotation]]:
    """Up to four annotations: answers or empty, some skipped, some from a prediction that is there or gone."""
    one = st.builds(
        lambda values, number, skipped, parent: annotation(
            values, number, was_cancelled=skipped, parent_prediction=parent
        ),
        st.one_of(answers, st.just(())),
        st.integers(1, 20),
        st.booleans(),
        st.sampled_from((None, 1, 99)),
    )
    return st.lists(one, max_size=4)


TRIO_OF_PEOPLE = tuple(replace(item, completed_by=item.id, lead_time_s=float(item.id)) for item in TRIO)


def test_all_annotations_are_rows_of_their_own_when_asked() -> None:
    outcome = consolidate(task(TRIO_OF_PEOPLE, prediction(FIX)), CONFIG, Policy("all", b"key"))
    assert not isinstance(outcome, LeftOut)
    assert [(row.annotation_id, row.annotator, row.human_verdict, row.decided_by) for row in outcome] == [
        (1, pseudonym(1, b"key"), "accept", "corrected"),
        (2, pseudonym(2, b"key"), "fix", "confirmed"),
        (3, pseudonym(3, b"key"), "accept", "corrected"),
    ]
    for row in outcome:
        assert (row.annotation_count, row.verdicts_agree) == (3, False)
        assert row.annotators == tuple(pseudonym(user, b"key") for user in (1, 2, 3))
    tally = Tally()
    tally.add(outcome)
    tally.add(LeftOut(4, "skipped"))
    assert tally.counts().balance() == "2 tasks = 3 rows of 1 tasks + 1 left out (skipped)"


@pytest.mark.parametrize(
    ("annotator", "several", "numbers"),
    [
        (2, "last", [2]),
        (1, "majority", [1]),
        (3, "all", [3]),
        (9, "last", [3]),
        (9, "all", [1, 2, 3]),
        (None, "first", [1]),
    ],
)
def test_the_named_annotator_counts_where_they_gave_an_answer(
    annotator: int | None, several: Several, numbers: list[int]
) -> None:
    outcome = consolidate(task(TRIO_OF_PEOPLE, prediction(FIX)), CONFIG, Policy(several, b"key", annotator))
    assert not isinstance(outcome, LeftOut)
    assert [row.annotation_id for row in outcome] == numbers
    assert {(row.annotation_count, row.verdicts_agree) for row in outcome} == {(3, False)}


def test_a_skip_of_the_named_annotator_is_no_answer() -> None:
    skipped = replace(TRIO_OF_PEOPLE[0], was_cancelled=True)
    row = record(consolidate(task((skipped, TRIO_OF_PEOPLE[1]), prediction(FIX)), CONFIG, Policy("last", b"key", 1)))
    assert (row.annotation_id, row.annotation_count) == (2, 1)


def with_meta(values: tuple[ControlValue, ...], meta: dict[str, Any]) -> Prediction:
    return Prediction(1, tuple(encode(values, CONFIG, meta)), 0.75, "judge-1", moment(1))


def test_what_travels_with_the_judges_values_is_read_and_what_is_missing_is_none() -> None:
    meta = {
        "consistency": {"expected": 2.25, "probs": {"2": 0.75, "3": 0.25}, "label_mass": 0.875},
        "verdict": {"probs": {"fix": 1}, "flags": ["own-family"], "reliance": 0.5},
        "rationale": {"probs": "nonsense", "flags": "none", "expected": True},
    }
    row = record(consolidate(task((), with_meta(FIX, meta)), CONFIG, POLICY))
    assert row.details == {
        "consistency": JudgeDetail((("2", 0.75), ("3", 0.25)), 2.25, 0.875),
        "verdict": JudgeDetail((("fix", 1.0),), None, None, ("own-family",), 0.5),
        "rationale": JudgeDetail(),
    }


def test_what_is_known_of_a_decision_that_was_not_made_is_read_from_where_it_travels() -> None:
    features = [{"text": "green", "prob": 0.25}, {"text": "square"}, "nonsense"]
    made = with_meta((FIX[2], FIX[5]), {"verdict": {"flags": ["instructions"], "features": features}})
    assert [set(region.get("meta", {})) for region in made.result] == [{"judge_silent"}, set()]
    row = record(consolidate(task((), made), CONFIG, POLICY))
    assert row.details == {"verdict": JudgeDetail(flags=("instructions",), features=(("green", 0.25),))}
    assert row.judge == {"consistency": 2, "rationale": "consistency 2 of 5"}


def test_the_details_are_those_of_the_answer_that_the_person_started_from() -> None:
    older = with_meta(FIX, {"consistency": {"expected": 2.0}})
    newer = replace(with_meta(FIX, {"consistency": {"expected": 4.0}}), id=2, created_at=moment(2))
    row = record(consolidate(task((annotation(FIX),), older, newer), CONFIG, POLICY))
    assert row.details == {"consistency": JudgeDetail(expected=2.0)}


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ({}, Provenance()),
        ({"generator": "Qwen", "source": "photos/a.png", "licence": "CC0"}, Provenance("Qwen", "photos/a.png", "CC0")),
        ({"license": "MIT", "generator": "  ", "source": None}, Provenance(licence="MIT")),
        ({"licence": "", "license": "MIT", "generator": 7}, Provenance(licence="MIT")),
        ({"source": "/home/someone/photos/a.png"}, Provenance(source="a.png")),
        ({"source": "C:\\Users\\someone\\a.png"}, Provenance(source="a.png")),
        ({"source": "file:///home/someone/a.png"}, Provenance(source="a.png")),
        ({"source": "https://me:secret@a.org/b.png?page=2"}, Provenance(source="https://a.org/b.png?page=2")),
        ({"source": "https://a.org/b.png?x=1&X-Amz-Signature=4f"}, Provenance(source="https://a.org/b.png")),
        ({"source": "https://a.org/b.png?auth=4f"}, Provenance(source="https://a.org/b.png")),
        ({"source": "https://a.org/b.png?user=me&passwd=4f#top"}, Provenance(source="https://a.org/b.png")),
        ({"source": "https://a.org/b.png?client_secret=4f"}, Provenance(source="https://a.org/b.png")),
        ({"source": "https://a.org/b.png#access_token=4f"}, Provenance(source="https://a.org/b.png")),
        ({"source": "../someone/a.png"}, Provenance(source="a.png")),
        ({"source": "..\\someone\\a.png"}, Provenance(source="a.png")),
        ({"source": "photos/../../someone/a.png"}, Provenance(source="a.png")),
        ({"source": "../.."}, Provenance()),
        ({"source": "/data/local-files/?d=home/someone/a.png"}, Provenance(source="a.png")),
        ({"source": "http://studio/data/local-files/?d=home%2Fsomeone%2Fa.png"}, Provenance(source="a.png")),
        ({"source": "?d=home/someone/a.png"}, Provenance(source="a.png")),
        ({"source": "https://a.org/avatar?d=retro"}, Provenance(source="https://a.org/avatar?d=retro")),
        ({"source": "/tasks/7/resolve/?fileuri=czM6Ly9i"}, Provenance()),
        ({"source": "/srv/a.png?token=4f"}, Provenance(source="a.png")),
        ({"source": "data:image/png;base64,iVBORw0KGgo="}, Provenance()),
        ({"source": "Data:,a"}, Provenance()),
        ({"source": "hf://datasets/a/b@1f/c.png"}, Provenance(source="hf://datasets/a/b@1f/c.png")),
    ],
)
def test_where_text_and_image_come_from_is_told_without_what_is_nobodys_business(
    data: dict[str, Any], expected: Provenance
) -> None:
    found = AnnotatedTask(3, {**DATA, **data}, (), (prediction(FIX),))
    assert record(consolidate(found, CONFIG, POLICY)).provenance == expected


@given(answers)
def test_untouched_is_always_confirmed(values: tuple[ControlValue, ...]) -> None:
    row = record(consolidate(task((annotation(values),), prediction(values)), CONFIG, POLICY))
    assert (row.decided_by, row.corrected_controls, row.human) == ("confirmed", (), row.judge)


policies = st.builds(
    Policy,
    st.sampled_from(("last", "first", "majority", "all")),
    st.just(b"key"),
    st.sampled_from((None, 7, 8)),
)


@given(histories(), st.lists(answers, max_size=1), policies)
def test_a_policy_chooses_among_the_same_rows_in_any_order(
    history: list[Annotation], judge: list[tuple[ControlValue, ...]], policy: Policy
) -> None:
    """Every row is one that `all` has; what is left out does not depend on the policy; nor anything on the order."""
    people = tuple(replace(item, id=number, completed_by=7 + number % 3) for number, item in enumerate(history, 1))
    predictions = tuple(prediction(values) for values in judge)
    whole = AnnotatedTask(3, DATA, people, predictions)
    every, chosen = (consolidate(whole, CONFIG, one) for one in (Policy("all", b"key"), policy))
    assert consolidate(AnnotatedTask(3, DATA, people[::-1], predictions), CONFIG, policy) == chosen
    if isinstance(every, LeftOut) or isinstance(chosen, LeftOut):
        assert every == chosen
        return
    named = [row for row in every if policy.annotator and row.annotator == pseudonym(policy.annotator, b"key")]
    among = named or list(every)
    assert set(row.annotation_id for row in chosen) <= set(row.annotation_id for row in among)
    assert all(row in every for row in chosen)
    if policy.several == "all":
        assert list(chosen) == among
    else:
        assert len(chosen) == 1
    if policy.several == "majority":
        counts = Counter(verdict for row in among if (verdict := row.human_verdict))
        assert not counts or counts[chosen[0].human_verdict or ""] == max(counts.values()) or _is_even(counts)


def _is_even(counts: Counter[str]) -> bool:
    best = counts.most_common(2)
    return len(best) == 2 and best[0][1] == best[1][1]


@given(
    st.lists(st.tuples(histories(), st.lists(answers, max_size=1)), max_size=5),
    policies,
)
def test_tasks_in_are_rows_out_and_left_out(
    project: list[tuple[list[Annotation], list[tuple[ControlValue, ...]]]], policy: Policy
) -> None:
    tally = Tally()
    for number, (history, judge) in enumerate(project):
        whole = AnnotatedTask(number, DATA, tuple(history), tuple(prediction(values) for values in judge))
        tally.add(consolidate(whole, CONFIG, policy))
    counts = tally.counts()
    assert counts.tasks_in == len(project) == counts.tasks_out + sum(map(len, counts.left_out.values()))
    assert counts.rows_out >= counts.tasks_out
    if policy.several != "all":
        assert counts.rows_out == counts.tasks_out
    assert counts.rows_out == sum(counts.decided_by.values()) == sum(counts.text_sources.values())


def test_the_config_is_read_not_assumed() -> None:
    other = LabelConfig(CONFIG.objects[:1], ())
    outcome = consolidate(AnnotatedTask(3, DATA, (), (prediction(FIX),)), other, POLICY)
    assert outcome == LeftOut(3, "unannotated")
