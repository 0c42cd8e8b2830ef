"""The exporter on projects of other kinds: preferences, documents of several pages, data that lie deeper."""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from backend.annotated import AnnotatedTask, read_task
from backend.core.deciding import deciding_control
from backend.core.kinds import Kind, kind_of
from backend.core.label_config import LabelConfig, parse_label_config
from backend.core.regions import encode
from backend.core.sides import chosen_text
from backend.core.types import ControlValue, Value
from backend.images import ImageLoader
from backend.interfaces import LABEL_CONFIG
from backend.settings import Settings
from backend.studio import Project
from exporters.card.page import CardFacts, card
from exporters.export import write_export
from exporters.files.written import WrittenConfig, WrittenSplit
from exporters.images.pictures import PictureReader
from exporters.records.consolidate import LeftOut, Policy, Record, Several, consolidate
from exporters.records.tally import Tally
from exporters.schema.columns import columns_of
from exporters.schema.configs import CONFIGS
from exporters.schema.features import features_of

INTERFACES = LABEL_CONFIG.parent
PAIR = parse_label_config((INTERFACES / "preference_pair.xml").read_text(encoding="utf-8"))
DOCUMENT = parse_label_config((INTERFACES / "document.xml").read_text(encoding="utf-8"))
PAIRWISE = parse_label_config(
    '<View><Image name="image" value="$image"/><Text name="one" value="$text_a"/><Text name="two" value="$text_b"/>'
    '<Pairwise name="better" toName="two,one"/></View>'
)
TEXTS = {"image": "unused", "question": "", "text_a": "a red star", "text_b": "a blue star"}


def result(config: LabelConfig, **values: Value) -> list[dict[str, Any]]:
    tags = {control.name: control.tag for control in config.controls}
    return encode([ControlValue(name, tags[name], value) for name, value in values.items()], config)


def pair(judge: str | None, *people: str, config: LabelConfig = PAIR) -> AnnotatedTask:
    """A task on which the judge and then people, who started from its answer, prefer these."""
    control = deciding_control(config)

    def answer(value: str) -> list[dict[str, Any]]:
        return result(config, **{control: value if config is PAIRWISE else (value,)})

    annotations = [
        {"id": number, "result": answer(value), "completed_by": number, "updated_by": number, "parent_prediction": 1}
        for number, value in enumerate(people, 1)
    ]
    predictions = [{"id": 1, "result": answer(judge), "score": 0.75, "model_version": "judge-1"}] if judge else []
    return read_task({"id": 3, "data": TEXTS, "annotations": annotations, "predictions": predictions})


def row(task: AnnotatedTask, config: LabelConfig = PAIR, several: Several = "last") -> Record:
    outcome = consolidate(task, config, Policy(several, b"key"))
    assert not isinstance(outcome, LeftOut)
    [only] = outcome
    return only


@pytest.mark.parametrize(
    ("judge", "people", "text", "source", "decided_by"),
    [
        ("A", (), "a red star", "original", "judge only"),
        ("B", (), "a blue star", "original", "judge only"),
        ("undecided", (), None, "missing", "judge only"),
        ("A", ("A",), "a red star", "original", "confirmed"),
        ("A", ("B",), "a blue star", "original", "corrected"),
        ("B", ("undecided",), None, "missing", "corrected"),
    ],
)
def test_the_final_text_of_a_pair_is_the_preferred_one(
    judge: str, people: tuple[str, ...], text: str | None, source: str, decided_by: str
) -> None:
    record = row(pair(judge, *people))
    assert (record.final_text, record.final_text_source, record.decided_by) == (text, source, decided_by)
    assert (record.judge_verdict, record.human_verdict) == (judge, people[-1] if people else None)


@pytest.mark.parametrize(("side", "text"), [("left", "a blue star"), ("right", "a red star")])
def test_a_side_is_told_by_the_order_in_to_name(side: str, text: str) -> None:
    record = row(pair("left", side, config=PAIRWISE), PAIRWISE)
    assert (record.final_text, record.human_verdict, record.judge_verdict) == (text, side, "left")


def test_a_value_that_is_no_preference_chooses_no_text() -> None:
    assert chosen_text(ControlValue("rationale", "TextArea", "A"), PAIR) is None
    assert chosen_text(ControlValue("gone", "Choices", ("A",)), PAIR) is None


@pytest.mark.parametrize(("several", "preferred"), [("last", "undecided"), ("first", "A"), ("majority", "A")])
def test_several_people_s_preferences(several: Several, preferred: str) -> None:
    record = row(pair("B", "A", "A", "undecided"), several=several)
    assert (record.human_verdict, record.annotation_count, record.verdicts_agree) == (preferred, 3, False)


def test_the_card_counts_preferences() -> None:
    tally = Tally()
    for task in (pair("A", "A"), pair("A", "B"), pair("undecided")):
        tally.add(consolidate(task, PAIR, Policy(annotator_key=b"key")))
    counts = tally.counts()
    assert counts.verdicts == {"A": 1, "B": 1, "undecided": 1}
    assert counts.prefilled == {("A", "A"): 1, ("B", "A"): 1}
    split = WrittenSplit("train", 3, "data/all/train-*")
    written = WrittenConfig("all", "Every row.", columns_of(PAIR), 3, {}, (split,))
    facts = CardFacts("Pairs", counts, (written,), "last", "me/pairs", "")
    assert "\n| `human_preference` | string | The person's choice for `preference`: A, B, undecided. |\n" in card(facts)


def png(shade: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("L", (4, 3), shade).save(buffer, "PNG")
    return buffer.getvalue()


def uri(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode()


def stored(content: bytes) -> dict[str, Any]:
    return {"bytes": content, "path": f"{hashlib.sha256(content).hexdigest()[:16]}.png"}


def exported(folder: Path, xml: str, *data: dict[str, Any], allow_missing: bool = False) -> list[dict[str, Any]]:
    """The rows of tasks with these data, which the judge has accepted; images as they are stored."""
    from datasets import Image, List, load_dataset

    config = parse_label_config(xml)
    said = {"result": result(config, verdict=("accept",)), "score": 0.5, "model_version": "judge-1"}

    class Tasks:
        def annotated_tasks(self, project_id: int) -> Iterator[tuple[Any, ...]]:
            yield tuple(
                {"id": number, "data": item, "predictions": [{"id": 1, **said}]} for number, item in enumerate(data)
            )

    reader = PictureReader(ImageLoader(Settings()), allow_missing=allow_missing)
    write_export(Project(1, "Kinds", xml, "", len(data)), Tasks(), reader, folder / "out", policy=Policy())
    rows = load_dataset(str(folder / "out"), "all", split="train", cache_dir=str(folder / "cache"))
    first = rows.column_names[0]
    plain = Image(decode=False)
    return list(rows.cast_column(first, List(plain) if isinstance(rows.features[first], List) else plain))


def test_a_document_keeps_all_its_pages_in_order(tmp_path: Path) -> None:
    xml = (INTERFACES / "document.xml").read_text(encoding="utf-8")
    pages = [png(1), png(2), png(1)]
    two, one = exported(
        tmp_path,
        xml,
        {"pages": [uri(page) for page in pages], "transcription": "one two one"},
        {"pages": uri(png(3)), "transcription": "three"},
    )
    assert two["pages"] == [stored(page) for page in pages]
    assert two["pages_sha256"] == [hashlib.sha256(page).hexdigest() for page in pages]
    assert (two["transcription"], two["final_text"], two["final_text_source"]) == ("one two one",) * 2 + ("original",)
    assert (one["pages"], one["pages_sha256"]) == ([stored(png(3))], [hashlib.sha256(png(3)).hexdigest()])


def test_a_page_that_cannot_be_had_leaves_its_place_empty(tmp_path: Path) -> None:
    xml = (INTERFACES / "document.xml").read_text(encoding="utf-8")
    data: tuple[dict[str, Any], ...] = (
        {"pages": [uri(png(1)), "data:,x", uri(png(2))]},
        {"pages": []},
        {"transcription": "no pages"},
    )
    broken, empty, without = exported(tmp_path, xml, *data, allow_missing=True)
    assert broken["pages"] == [stored(png(1)), None, stored(png(2))]
    assert [digest is None for digest in broken["pages_sha256"]] == [False, True, False]
    assert (empty["pages"], without["pages"]) == ([None], [None])


def test_data_are_found_where_the_config_points(tmp_path: Path) -> None:
    xml = (
        '<View><Image name="image" value="$photos[1].url"/><Text name="caption" value="$said.text"/>'
        '<Choices name="verdict" toName="caption"><Choice value="accept"/></Choices></View>'
    )
    data = {"photos": [{"url": "data:,x"}, {"url": uri(png(1))}], "said": {"text": "a dot"}}
    [only] = exported(tmp_path, xml, data)
    assert only["photos[1].url"] == stored(png(1))
    assert (only["said.text"], only["final_text"]) == ("a dot", "a dot")


VERDICT = '<Choices name="verdict" toName="image"><Choice value="accept"/><Choice value="fix"/></Choices>'
IMAGE = '<Image name="image" value="$image"/>'
TEXT = '<Text name="caption" value="$caption"/>'
KINDS: dict[Kind, tuple[str, dict[str, Any], str, str]] = {
    "image-text": (f"{IMAGE}{TEXT}", {"caption": "a dot"}, "a dot", "Describe this image."),
    "question-answer": (
        f'{IMAGE}<Text name="question" value="$asked"/><Text name="answer" value="$answer"/>',
        {"asked": "What is it?", "answer": "a dot"},
        "a dot",
        "What is it?",
    ),
    "document": (
        f'{IMAGE}<Text name="transcription" value="$read"/>',
        {"read": "dot"},
        "dot",
        "Transcribe the text in this image.",
    ),
    "chart": (
        f'<Image name="chart" value="$image"/>{IMAGE}<Text name="summary" value="$said"/>',
        {"said": "it rises"},
        "it rises",
        "Describe this chart.",
    ),
    "several-images": (
        f'{IMAGE}<Image name="more" value="$more"/>{TEXT}',
        {"more": uri(png(2)), "caption": "two dots"},
        "two dots",
        "Describe these images.",
    ),
    "preference-pair": (
        f'{IMAGE}<Text name="text_a" value="$a"/><Text name="text_b" value="$b"/>'
        '<Pairwise name="better" toName="text_a,text_b"/>',
        {"a": "a dot", "b": "a star"},
        "a dot",
        "Describe this image.",
    ),
    "checklist": (f'{IMAGE}<Text name="requested" value="$wish"/>', {"wish": "a dot"}, "", ""),
}


@pytest.mark.parametrize("kind", get_args(Kind))
def test_every_kind_is_exported_in_every_config_that_applies_to_it(tmp_path: Path, kind: Kind) -> None:
    """One task that a person judged; where there is a text, it is the answer to what one would ask for it."""
    from datasets import get_dataset_config_names, load_dataset

    objects, texts, final, asked = KINDS[kind]
    xml = f"<View>{objects}{'' if kind == 'preference-pair' else VERDICT}</View>"
    config = parse_label_config(xml)
    assert kind_of(config) == kind
    said = result(config, better="left") if kind == "preference-pair" else result(config, verdict=("accept",))

    class Tasks:
        def annotated_tasks(self, project_id: int) -> Iterator[tuple[Any, ...]]:
            own = {"id": 1, "result": said, "completed_by": 1, "updated_by": 1, "lead_time": 2.0}
            yield ({"id": 1, "data": {"image": uri(png(1)), **texts}, "annotations": [own], "predictions": []},)

    reader = PictureReader(ImageLoader(Settings()), allow_missing=False)
    out = tmp_path / "out"
    summary = write_export(Project(1, "Kinds", xml, "", 1), Tasks(), reader, out, policy=Policy())
    applying = {"checklist": ["default", "all", "judgements"], "preference-pair": list(CONFIGS)}
    expected = applying.get(kind, ["default", "all", "sft", "judgements"])
    assert get_dataset_config_names(str(out)) == [one.name for one in summary.configs] == expected
    loaded = {name: load_dataset(str(out), name, split="train", cache_dir=str(tmp_path / "cache")) for name in expected}
    made = {one.name: features_of(one.columns) for one in summary.configs}
    assert {name: rows.features for name, rows in loaded.items()} == made
    assert [rows.num_rows for rows in loaded.values()] == [1] * len(expected)
    if final:
        user, assistant = loaded["sft"][0]["messages"]
        *pictures, text = user["content"]
        assert (text["text"], assistant["content"][0]["text"]) == (asked, final)
        assert len(pictures) == len(loaded["sft"][0]["images"]) == len({image.key for image in config.images})
