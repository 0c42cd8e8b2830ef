"""Rows that were exported become again what they were made of: whoever exports them anew gets the same rows."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow
import pytest

from backend.annotated import AnnotatedTask, read_task
from backend.authorship import ACCEPTED
from backend.batch.arriving import Arrival
from backend.batch.fields import nested
from backend.batch.parts import Chunk
from backend.core.label_config import LabelConfig, parse_label_config
from backend.core.regions import encode
from backend.core.types import Box, ControlValue, TextSpan
from backend.errors import BatchError
from backend.interfaces import default_label_config
from backend.published.names import is_ours, our_columns
from backend.published.ours import OurRows
from exporters.records.consolidate import consolidate
from exporters.records.record import Policy, Record
from exporters.schema.columns import columns_of, features_of, row_of
from exporters.schema.features import Picture, Pictures
from tests.datasets_made import png

FORM = parse_label_config(
    """<View>
  <Image name="image" valueList="$pages"/>
  <Text name="caption" value="$verdict"/><Text name="requested" value="$wish"/><Text name="prompt" value="$source"/>
  <Rating name="consistency" toName="caption" maxRating="5"/>
  <Rating name="confidence" toName="caption"/>
  <Choices name="verdict" toName="caption"><Choice value="accept"/><Choice value="fix"/></Choices>
  <Choices name="flaws" toName="image" choice="multiple"><Choice value="noise"/><Choice value="blur"/></Choices>
  <Taxonomy name="kind" toName="caption"><Choice value="animal"><Choice value="dog"/></Choice></Taxonomy>
  <Number name="count" toName="caption"/>
  <Labels name="unsupported" toName="caption"><Label value="Unsupported"/><Label value="Odd"/></Labels>
  <RectangleLabels name="contradiction" toName="image"><Label value="Contradiction"/></RectangleLabels>
  <Rectangle name="frame" toName="image"/>
  <TextArea name="corrected_text" toName="caption"/>
</View>"""
)
PAIR = parse_label_config(
    """<View>
  <Image name="image" value="$image"/><Text name="a" value="$first"/><Text name="b" value="$second"/>
  <Pairwise name="better" toName="a,b"/><TextArea name="rationale" toName="a"/>
</View>"""
)
DEFAULT = parse_label_config(default_label_config())

JUDGE = (
    ControlValue("consistency", "Rating", 2),
    ControlValue("verdict", "Choices", ("fix",)),
    ControlValue("count", "Number", 2.5),
    ControlValue("unsupported", "Labels", (TextSpan(2, 7, "green", "Unsupported"), TextSpan(2, 7, "green", "Odd"))),
    ControlValue("contradiction", "RectangleLabels", (Box(12.5, 25.0, 50.0, 62.5, "Contradiction", 1),)),
    ControlValue("corrected_text", "TextArea", "a red dot"),
)
META = {
    "consistency": {"probs": {"1": 0.25, "2": 0.5, "3": 0.25}},
    "verdict": {"probs": {"accept": 0.25, "fix": 0.75}, "flags": ["instructions"], "reliance": 0.5},
}
FEATURES = [{"text": "green", "prob": 0.25}]
UNDECIDED_META = {"consistency": META["consistency"], "verdict": {"flags": ["instructions"], "features": FEATURES}}

OWN = (
    ControlValue("consistency", "Rating", 5),
    ControlValue("confidence", "Rating", 1),
    ControlValue("verdict", "Choices", ("accept",)),
    ControlValue("flaws", "Choices", ("noise", "blur")),
    ControlValue("kind", "Taxonomy", (("animal", "dog"), ("animal",))),
    ControlValue("frame", "Rectangle", (Box(1.0, 2.0, 3.0, 4.0, "", 0),)),
)
PREDICTION: dict[str, Any] = {"id": 1, "result": encode(JUDGE, FORM, META), "score": 0.75, "model_version": "judge-1"}
BLIND = {"id": 2, "result": [], "score": 1e-7, "model_version": "judge-1"}
UNDECIDED = {**PREDICTION, "result": encode((JUDGE[0], JUDGE[5]), FORM, UNDECIDED_META), "score": 0.0}
LATER = {**PREDICTION, "created_at": "2026-01-02T00:00:00Z"}


def wrote(values: Sequence[ControlValue], origin: str, **fields: Any) -> dict[str, Any]:
    result = [{**region, "origin": origin} for region in encode(values, FORM)]
    made = {"id": 1, "result": result, "completed_by": 7, "updated_by": 7, "lead_time": 12.5}
    return {**made, "created_at": "2026-01-01T00:00:00Z", **fields}


def task(number: int, annotations: Sequence[Any], predictions: Sequence[Any], **data: Any) -> AnnotatedTask:
    shown = {"pages": ["a", "b"], "verdict": "a green dot", "wish": "green", "source": "Say what you see."}
    raw = {"id": number, "data": {**shown, **data}, "annotations": annotations, "predictions": predictions}
    return read_task(raw)


ACCEPTED_BY_A_CERTIFICATE = {
    "id": 1,
    "result": [{**region, "meta": {ACCEPTED: "c1"}} for region in PREDICTION["result"]],
    "completed_by": 9,
    "parent_prediction": 1,
}
TASKS = {
    "confirmed": task(1, [wrote(JUDGE, "prediction", parent_prediction=1)], [PREDICTION], generator="model-1"),
    "corrected": task(2, [wrote(OWN, "prediction-changed", parent_prediction=1)], [PREDICTION], licence="CC0"),
    "some of it emptied": task(3, [wrote(JUDGE[:2], "prediction", parent_prediction=1)], [PREDICTION]),
    "all of it emptied": task(4, [wrote((), "prediction", parent_prediction=1)], [PREDICTION]),
    "not started from it": task(5, [wrote(OWN, "manual")], [PREDICTION]),
    "before the judge": task(6, [wrote(OWN, "manual")], [LATER]),
    "without a judge": task(7, [wrote(OWN, "manual", lead_time=None)], []),
    "blind": task(8, [wrote(OWN, "manual")], [BLIND, LATER]),
    "blind, the judge unknown": task(9, [wrote(OWN, "manual", parent_prediction=2)], [BLIND]),
    "judge only": task(10, [], [PREDICTION]),
    "judge only, blind": task(11, [], [BLIND, PREDICTION]),
    "judge accepted": task(12, [ACCEPTED_BY_A_CERTIFICATE], [PREDICTION]),
    "its answer was deleted": task(13, [wrote(JUDGE[:2], "prediction-changed"),], []),
    "confirmed what was deleted": task(14, [wrote(JUDGE, "prediction")], []),
    "nothing decided": task(16, [], [UNDECIDED]),
    "no confidence": task(15, [], [{**PREDICTION, "score": None}]),
}  # fmt: skip


def picture(content: bytes) -> Picture:
    digest = hashlib.sha256(content).hexdigest()
    return Picture(content, f"{digest[:16]}.png", digest, digest)


def pictures(record: Record) -> Pictures:
    return {key: tuple(picture(png(n)) for n in range(len(uris))) for key, uris in record.images.items()}


def exported(tasks: Sequence[AnnotatedTask], config: LabelConfig, several: Any = "last") -> Any:
    """As the config `all` holds it."""
    columns = columns_of(config)
    records = [outcome for one in tasks for outcome in consolidate(one, config, Policy(several, b"key"))]  # type: ignore[union-attr]
    found = [row_of(columns, record, pictures(record)) for record in records]
    return pyarrow.Table.from_pylist(found, schema=features_of(columns).arrow_schema)


def arrivals(table: Any, config: LabelConfig, at_once: int = 2, name: str = "me/dots") -> list[Arrival]:
    names = tuple(f"a.parquet#{number}" for number in range(len(table)))
    chunks = [
        Chunk(names[begin : begin + at_once], table.slice(begin, at_once)) for begin in range(0, len(table), at_once)
    ]
    return list(OurRows(config, table.schema, name).arrivals(chunks))


def arrived(arrival: Arrival, number: int) -> AnnotatedTask:
    """The task that a Label Studio has when the importer has stored it all, in its order, a second apart."""
    clock: Iterator[str] = (
        (datetime(2026, 2, 1, tzinfo=UTC) + timedelta(seconds=second)).isoformat() for second in itertools.count()
    )
    ids = itertools.count(100 * number)

    def stored(item: Any, **more: Any) -> dict[str, Any]:
        at = next(clock)
        return {**item, "id": next(ids), "created_at": at, "updated_at": at, "completed_by": 3, "updated_by": 3, **more}

    early = [stored(made) for made in arrival.with_task] if not arrival.first else []
    annotations = [stored(made) for made in (*arrival.first, *arrival.accepted)]
    late = [stored(made) for made in (*arrival.blind, *arrival.predictions)] if arrival.first else []
    predictions = early + late
    shown = predictions[len(arrival.blind) :]
    for answer in arrival.answers:
        parent = None if answer.parent is None else shown[answer.parent]["id"]
        annotations.append(stored(answer.annotation, parent_prediction=parent))
    return read_task({"id": number, "data": arrival.row.data, "annotations": annotations, "predictions": predictions})


NUMBERS = ("task_id", "annotation_id", "annotator", "annotators")


def plain(table: Any) -> list[dict[str, Any]]:
    return list(table.drop_columns([name for name in NUMBERS if name in table.column_names]).to_pylist())


@pytest.mark.parametrize("name", TASKS)
def test_a_row_exported_again_says_the_same(name: str) -> None:
    table = exported([TASKS[name]], FORM)
    [arrival] = arrivals(table, FORM)
    again = exported([arrived(arrival, 70)], FORM)
    assert plain(again) == plain(table)
    assert len(table) == 1


def test_the_rows_are_of_every_kind() -> None:
    """So that the test above has something to keep: who decided, whether they saw the judge's answer, the slice."""
    rows = {name: exported([one], FORM).to_pylist()[0] for name, one in TASKS.items()}
    said = {name: (row["decided_by"], row["saw_prediction"], row["audit"]) for name, row in rows.items()}
    assert said == {
        "confirmed": ("confirmed", True, False),
        "corrected": ("corrected", True, False),
        "some of it emptied": ("corrected", True, False),
        "all of it emptied": ("corrected", True, False),
        "not started from it": ("human", True, False),
        "before the judge": ("human", False, False),
        "without a judge": ("human", False, False),
        "blind": ("human", False, True),
        "blind, the judge unknown": ("human", False, True),
        "judge only": ("judge only", None, False),
        "judge only, blind": ("judge only", None, True),
        "judge accepted": ("judge accepted", None, False),
        "its answer was deleted": ("corrected", True, False),
        "confirmed what was deleted": ("confirmed", True, False),
        "nothing decided": ("judge only", None, False),
        "no confidence": ("judge only", None, False),
    }
    undecided = rows["nothing decided"]
    assert (undecided["judge_verdict"], undecided["judge_verdict_probs"]) == (None, None)
    assert (undecided["judge_flags"], undecided["judge_features"]) == (
        ["instructions"],
        [{"value": "green", "prob": 0.25}],
    )
    assert rows["confirmed"]["judge_flags"] == ["instructions"]
    assert rows["confirmed"]["judge_consistency_probs"] == [
        {"value": "1", "prob": 0.25},
        {"value": "2", "prob": 0.5},
        {"value": "3", "prob": 0.25},
    ]


def test_rows_of_one_task_become_one_task_with_several_annotations() -> None:
    disputed = task(
        20,
        [
            wrote(JUDGE, "prediction", parent_prediction=1),
            wrote(OWN, "manual", id=2, completed_by=8, created_at="2026-01-03T00:00:00Z"),
        ],
        [{**PREDICTION, "created_at": "2026-01-01T00:00:00Z"}],
    )
    table = exported([TASKS["confirmed"], disputed, TASKS["blind"]], FORM, "all")
    assert [row["decided_by"] for row in table.to_pylist()] == ["confirmed", "confirmed", "human", "human"]
    found = arrivals(table, FORM)
    assert [arrival.row.id for arrival in found] == ["me/dots#task-1", "me/dots#task-20", "me/dots#task-8"]
    again = exported([arrived(arrival, number) for number, arrival in enumerate(found)], FORM, "all")
    assert plain(again) == plain(table)


def test_a_task_is_known_again_whatever_its_place_and_the_revision() -> None:
    table = exported([TASKS["confirmed"], TASKS["judge only"]], FORM)
    anew = exported([TASKS["blind"], TASKS["judge only"], TASKS["confirmed"]], FORM)
    assert [one.row.id for one in arrivals(table, FORM)] == ["me/dots#task-1", "me/dots#task-10"]
    assert [one.row.id for one in arrivals(anew, FORM, name="me/dots@v2")] == [
        "me/dots#task-8",
        "me/dots#task-10",
        "me/dots#task-1",
    ]


def test_a_dataset_of_this_machine_is_told_from_others_without_saying_where_it_lies(tmp_path: Path) -> None:
    names = []
    for folder in ("one", "two"):
        (tmp_path / folder / "dots").mkdir(parents=True)
        [arrival] = arrivals(exported([TASKS["confirmed"]], FORM), FORM, name=str(tmp_path / folder / "dots"))
        names.append(arrival.row.id)
    digest = hashlib.sha256(str((tmp_path / "one" / "dots").resolve()).encode()).hexdigest()
    assert names[0] == f"dots-{digest[:8]}#task-1"
    assert names[1] != names[0]


def test_tasks_of_the_same_number_stay_apart() -> None:
    """As in a dataset put together of two projects'."""
    kinds = ("confirmed", "judge only", "corrected")
    table = pyarrow.concat_tables([exported([TASKS[name] for name in kinds], FORM)] * 2)
    numbers = [7, 8, 9, 7, 8, 9]
    table = table.set_column(table.schema.get_field_index("task_id"), "task_id", pyarrow.array(numbers))
    annotations = pyarrow.array([1, None, 1, 4, None, 1], pyarrow.int64())
    table = table.set_column(table.schema.get_field_index("annotation_id"), "annotation_id", annotations)
    assert [one.row.id for one in arrivals(table, FORM)] == [
        "me/dots#task-7",
        "me/dots#task-8",
        "me/dots#task-9",
        "me/dots#task-7-annotation-4",
        "a.parquet#4",
        "me/dots#task-9-annotation-1",
    ]


def test_rows_without_a_number_are_known_by_their_place() -> None:
    table = exported([TASKS["confirmed"], TASKS["judge only"]], FORM)
    nothing = pyarrow.nulls(2, pyarrow.int64())
    table = table.set_column(table.schema.get_field_index("task_id"), "task_id", nothing)
    assert [one.row.id for one in arrivals(table, FORM)] == ["a.parquet#0", "a.parquet#1"]


def test_keys_that_reach_into_the_data_come_back_as_they_are_called() -> None:
    form = parse_label_config(
        '<View><Image name="image" value="$photo.url"/><Text name="caption" value="$said[0]"/>'
        '<Rating name="consistency" toName="caption"/></View>'
    )
    result = encode((ControlValue("consistency", "Rating", 2),), form)
    data = {"photo": {"url": "http://a/1.png"}, "said": ["A dot."]}
    made = {"id": 1, "result": result, "score": 0.5, "model_version": "judge-1"}
    table = exported([read_task({"id": 1, "data": data, "annotations": [], "predictions": [made]})], form)
    [arrival] = arrivals(table, form)
    assert arrival.row.data == {"photo.url": "held:photo.url", "said[0]": "A dot."}
    assert arrival.row.held == {"held:photo.url": png(0)}
    assert nested(arrival.row.data, ["photo.url", "said[0]"]) == {
        "photo": {"url": "held:photo.url"},
        "said": ["A dot."],
    }
    assert plain(exported([arrived(arrival, 70)], form)) == plain(table)


def test_what_reaches_into_the_data_is_put_where_it_reaches() -> None:
    data = {"a": 1, "b.c": 2, "b.d[1].e": 3, "b": {"f": 4}, "g[0]": 5, "g": "in the way", "h.i": 6, "j": [7, 8]}
    assert nested(data, ["b.c", "b.d[1].e", "g[0]", "j[1]", "k.l", "a"]) == {
        "a": 1,
        "b": {"f": 4, "c": 2, "d": [None, {"e": 3}]},
        "g": [5],
        "h.i": 6,
        "j": [7, 8],
    }


def test_what_the_judge_says_comes_as_it_was_stored() -> None:
    [arrival] = arrivals(exported([TASKS["judge only"]], FORM), FORM)
    [made] = arrival.predictions
    assert made == {"result": PREDICTION["result"], "score": 0.75, "model_version": "judge-1"}
    assert (arrival.first, arrival.accepted, arrival.answers, arrival.blind) == ((), (), (), ())


def test_the_data_get_their_keys_back() -> None:
    """The label config shows `verdict` and `source`, which are columns of ours as well."""
    [arrival] = arrivals(exported([TASKS["confirmed"]], FORM), FORM)
    assert arrival.row.data == {
        "pages": ["held:pages[0]", "held:pages[1]"],
        "verdict": "a green dot",
        "wish": "green",
        "source": "Say what you see.",
        "generator": "model-1",
    }
    [arrival] = arrivals(exported([task(1, [], [PREDICTION], wish=None)], FORM), FORM)
    assert arrival.row.data["wish"] == ""
    [arrival] = arrivals(exported([TASKS["confirmed"]], FORM), FORM)
    assert arrival.row.held == {"held:pages[0]": png(0), "held:pages[1]": png(1)}


@pytest.mark.parametrize("config", [FORM, PAIR, DEFAULT])
def test_the_columns_are_those_that_the_exporter_writes(config: LabelConfig) -> None:
    names = [column.name for column in columns_of(config)]
    ours = our_columns(config)
    assert is_ours(names)
    assert ours.known - {"criteria"} == set(names)
    kinds = {column.name: column.kind for column in columns_of(config)}
    assert {kinds[column] for column in ours.inputs.values()} <= {"image", "images", "text"}
    assert {kinds[each.probs] for each in ours.controls.values() if each.probs} == {"probs"}


def test_a_preference_comes_back() -> None:
    data = {"image": "a", "first": "A dog.", "second": "A cat."}
    said = (ControlValue("better", "Pairwise", "right"), ControlValue("rationale", "TextArea", "It is a cat."))
    result = encode(said, PAIR, {"better": {"probs": {"first": 0.25, "second": 0.75}}})
    made = {"id": 1, "result": result, "score": 0.5, "model_version": "judge-1"}
    own = {"id": 1, "result": encode((ControlValue("better", "Pairwise", "left"),), PAIR), "parent_prediction": 1}
    table = exported(
        [
            read_task({"id": 1, "data": data, "annotations": [], "predictions": [made]}),
            read_task({"id": 2, "data": data, "annotations": [{**own, "updated_by": 2}], "predictions": [made]}),
        ],
        PAIR,
    )
    found = arrivals(table, PAIR)
    assert plain(exported([arrived(arrival, number) for number, arrival in enumerate(found)], PAIR)) == plain(table)


def test_another_label_config_is_refused_by_the_columns_that_it_lacks() -> None:
    table = exported([TASKS["confirmed"]], FORM)
    with pytest.raises(BatchError, match=r"^the label config shows image, caption, which me/dots has no column of"):
        arrivals(table, DEFAULT)
    less = parse_label_config(
        '<View><Image name="image" valueList="$pages"/><Text name="t" value="$verdict"/>'
        '<Rating name="consistency" toName="t"/></View>'
    )
    with pytest.raises(
        BatchError,
        match=r"^me/dots has human_confidence, .*, and the label config no control that they are of; give the label "
        r"config that the dataset was exported with, by --config$",
    ):
        arrivals(table, less)


def test_a_value_that_its_control_cannot_say_is_named() -> None:
    table = exported([TASKS["judge only"]], FORM)
    xml = """<View><Image name="image" valueList="$pages"/><Text name="caption" value="$verdict"/>
      <Rating name="consistency" toName="caption"/><Rating name="confidence" toName="caption"/>
      <Rating name="verdict" toName="caption"/><Choices name="flaws" toName="image"/>
      <Taxonomy name="kind" toName="caption"/><Number name="count" toName="caption"/>
      <Labels name="unsupported" toName="caption"/>
      <RectangleLabels name="contradiction" toName="image"/><Rectangle name="frame" toName="image"/>
      <TextArea name="corrected_text" toName="caption"/></View>"""
    with pytest.raises(
        BatchError, match=r"^row a.parquet#0 of me/dots: `judge_verdict` holds nothing that the Rating verdict can say"
    ):
        arrivals(table, parse_label_config(xml))
