"""Every kind has an interface, sample tasks that fit it, and the style that all share; UPDATE_STYLE=1 copies that."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from label_studio_sdk.label_interface.interface import LabelInterface

from backend import interfaces
from backend.core.kinds import Kind, kind_of
from backend.core.label_config import parse_label_config
from backend.core.predictions import bound_controls
from backend.core.regions import decode
from backend.engines.rubrics import ready_rubric
from backend.images import ImageLoader
from backend.interfaces import KINDS, interface_summary, label_config_of, sample_tasks
from backend.service import JudgeService, Prepared
from backend.settings import Settings
from backend.store import Store
from tests.sample_judge import sample_judge
from tests.schema_author import errors

FOLDER = Path(interfaces.__file__).parent
PICTURES = FOLDER / "samples" / "pictures"
STYLE = (FOLDER / "review.css").read_text(encoding="utf-8")
_STYLE = re.compile(r"(?<=  <Style>\n).*?(?=  </Style>\n)", re.DOTALL)

DECISIONS: dict[Kind, tuple[str | None, ...]] = {
    "image-text": ("fix", "accept", "reject", "reject"),
    "question-answer": ("fix", "accept", "fix", "reject"),
    "document": ("fix", "accept", "reject"),
    "chart": ("fix", "accept", "fix"),
    "checklist": ("reject", "accept", "reject"),
    "preference-pair": ("A", "B", "undecided"),
    "several-images": ("fix", "accept", "reject"),
}
"""What the sample judge says of the tasks, in their order: every kind shows more than one answer."""


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JudgeService]:
    store = Store(tmp_path_factory.mktemp("store") / "verdicts.sqlite")
    made = JudgeService(sample_judge(), ImageLoader(Settings()), store)
    yield made
    made.close()


@pytest.mark.parametrize("kind", KINDS)
def test_an_interface_is_told_apart_by_what_it_shows(kind: Kind) -> None:
    assert kind_of(parse_label_config(label_config_of(kind))) == kind


@pytest.mark.parametrize("kind", KINDS)
def test_the_rubric_of_a_kind_fills_every_control_of_its_interface(kind: Kind) -> None:
    config, rubric = parse_label_config(label_config_of(kind)), ready_rubric(kind)
    filled = set(bound_controls(rubric, config))
    assert filled == {control.name for control in config.controls}
    ratings = [control.name for control in config.controls if control.tag == "Rating"]
    asked = [criterion.id for criterion in rubric.criteria]
    if kind == "document":
        asked.remove("requested_features")  # the page shows no such list
    assert ratings == asked


@pytest.mark.parametrize("kind", KINDS)
def test_a_key_does_one_thing_and_a_rating_shows_its_own(kind: Kind) -> None:
    text = label_config_of(kind)
    keys = re.findall(r' hotkey="(\w)"', text)
    assert len(keys) == len(set(keys))
    assert keys[-3:] == ["1", "2", "3"]
    shown = re.findall(r'review-key-(\w)">\n *<Header[^\n]*\n *<Rating [^\n]* hotkey="(\w)"/>', text)
    assert shown == list(zip("asdfgq", "asdfgq", strict=True))[: text.count("<Rating ")]


@pytest.mark.parametrize("kind", KINDS)
def test_all_interfaces_have_one_style(kind: Kind) -> None:
    """Label Studio keeps a label config as one text, so each has a copy; it turns `>` in it into `&gt;`."""
    path = FOLDER / f"{kind.replace('-', '_')}.xml"
    shared = "".join(f"    {line}" if line.strip() else line for line in STYLE.splitlines(keepends=True))
    if os.environ.get("UPDATE_STYLE"):
        path.write_text(_STYLE.sub(lambda _: shared, label_config_of(kind)), encoding="utf-8")
    assert _STYLE.findall(label_config_of(kind)) == [shared], "run UPDATE_STYLE=1 pytest tests/unit/test_interfaces.py"
    assert not set(STYLE) & set("<>&")


@pytest.mark.parametrize("kind", KINDS)
def test_the_samples_fit_their_interface_and_are_judged(service: JudgeService, kind: Kind) -> None:
    xml = label_config_of(kind)
    config = parse_label_config(xml)
    interface: Any = LabelInterface(xml)
    tasks: list[dict[str, Any]] = [{"id": number, **task} for number, task in enumerate(sample_tasks(kind), 1)]
    assert [interface.validate_task(task) for task in tasks] == [True] * len(tasks)
    prepared = service.prepare(tasks, config)
    items = [item for item in prepared if isinstance(item, Prepared)]
    assert prepared == items
    verdicts = service.judge(items)
    said = []
    for item, verdict in zip(items, verdicts, strict=True):
        prediction = item.judging.prediction(verdict)
        assert errors(xml, prediction) == []
        values = decode(prediction["result"], config)
        [decision] = (values[name].value for name in ("verdict", "preference") if name in values)
        assert isinstance(decision, tuple)
        said.append(decision[0])
    assert tuple(said) == DECISIONS[kind]


def test_every_sample_picture_is_shown_and_all_are_small() -> None:
    texts = [path.read_text(encoding="utf-8") for path in sorted((FOLDER / "samples").glob("*.json"))]
    assert len(texts) == len(KINDS)
    named = {name for text in texts for name in re.findall(r'"([\w-]+\.png)"', text)}
    assert named == {path.name for path in PICTURES.iterdir()}
    assert sum(path.stat().st_size for path in PICTURES.iterdir()) < 300_000


def test_the_summary_is_the_first_sentence_at_the_top_of_the_interface() -> None:
    assert interface_summary("chart") == "The review page of a chart and a text about it."
    assert all(len(interface_summary(kind)) < 110 for kind in KINDS)
