"""The configs of a dataset: each loads by the real `load_dataset`, in the form that its users expect."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from datasets import Image as ImageFeature
from datasets import List, get_dataset_config_names, get_dataset_split_names, load_dataset
from PIL import Image

from backend.core.audit import AuditPlan, with_plan
from backend.core.label_config import LabelConfig, parse_label_config
from backend.core.regions import encode
from backend.core.types import ControlValue, Value
from backend.errors import ExportError
from backend.images import ImageLoader
from backend.interfaces import LABEL_CONFIG
from backend.settings import Settings
from backend.studio import Project
from exporters.export import ExportSummary, write_export
from exporters.images.pictures import PictureReader
from exporters.options import ExportOptions, parse_configs
from exporters.records.consolidate import Policy
from exporters.records.splits import parse_shares
from exporters.schema.configs import CONFIGS, configs_of
from exporters.schema.features import features_of
from tests.made_pictures import data_uri, encoded

CAPTIONS = LABEL_CONFIG.parent.joinpath("image_text.xml").read_text(encoding="utf-8")
PAIRS = LABEL_CONFIG.parent.joinpath("preference_pair.xml").read_text(encoding="utf-8")
DOCUMENTS = LABEL_CONFIG.parent.joinpath("document.xml").read_text(encoding="utf-8")
PROBS = {"accept": 0.25, "fix": 0.75, "reject": 0.0}
META = {
    "consistency": {"expected": 2.25, "probs": {"2": 0.75, "3": 0.25}, "label_mass": 0.875},
    "verdict": {"probs": PROBS, "flags": [], "reliance": 0.5},
}


def png(number: int) -> bytes:
    return encoded(Image.new("RGB", (3, 2), (number % 256, number // 256, 7)))


class Pages:
    """Tasks, five a page."""

    def __init__(self, *tasks: Mapping[str, Any]) -> None:
        self._tasks = tasks

    def annotated_tasks(self, project_id: int) -> Iterator[tuple[Mapping[str, Any], ...]]:
        for start in range(0, len(self._tasks), 5):
            yield self._tasks[start : start + 5]


def regions(config: LabelConfig, meta: Mapping[str, Any] | None = None, **values: Value) -> list[dict[str, Any]]:
    tags = {control.name: control.tag for control in config.controls}
    return encode([ControlValue(name, tags[name], value) for name, value in values.items()], config, meta)


def task(
    number: int, data: Mapping[str, Any], judge: list[dict[str, Any]] | None, *people: list[dict[str, Any]]
) -> dict[str, Any]:
    """A task that the judge and then people answered, who started from its answer where there is one."""
    predictions = [{"id": 1, "result": judge, "score": 0.75, "model_version": "judge-1"}] if judge else []
    annotations = [
        {"id": 10 * number + index, "result": said, "completed_by": index, "updated_by": index, "lead_time": 2.0}
        | ({"parent_prediction": 1} if judge else {})
        for index, said in enumerate(people, 1)
    ]
    return {"id": number, "data": data, "annotations": annotations, "predictions": predictions}


def export(
    folder: Path, xml: str, *tasks: Mapping[str, Any], allow_missing: bool = False, **options: Any
) -> ExportSummary:
    reader = PictureReader(ImageLoader(Settings()), allow_missing=allow_missing)
    project = Project(1, "Configs", xml, "", len(tasks))
    return write_export(
        project,
        Pages(*tasks),
        reader,
        folder / "out",
        policy=Policy(annotator_key=b"k"),
        options=ExportOptions(**options),
    )


def rows(folder: Path, config: str, split: str = "train") -> list[dict[str, Any]]:
    """The rows of a config with its images as they are stored."""
    found = load_dataset(str(folder / "out"), config, split=split, cache_dir=str(folder / "cache"))
    plain = ImageFeature(decode=False)
    for name, feature in found.features.items():
        if isinstance(feature, ImageFeature) or feature == List(ImageFeature()):
            found = found.cast_column(name, plain if isinstance(feature, ImageFeature) else List(plain))
    return list(found)


def caption(number: int, text: str = "a green dot") -> dict[str, Any]:
    return {"image": data_uri(png(number)), "caption": text, "requested": "a dot"}


FORM = parse_label_config(CAPTIONS)
FIX = regions(FORM, META, consistency=2, verdict=("fix",), corrected_text="a red dot")
ACCEPT = regions(FORM, verdict=("accept",), consistency=5)
REJECT = regions(FORM, verdict=("reject",))
REVIEWED = (
    task(1, caption(1), FIX, FIX),
    task(2, caption(2), FIX, ACCEPT),
    task(3, caption(3), FIX, REJECT),
    task(4, caption(4), FIX),
)


def stored(number: int) -> dict[str, Any]:
    return {"bytes": png(number), "path": f"{hashlib.sha256(png(number)).hexdigest()[:16]}.png"}


def said(role: str, text: str, images: int = 0) -> dict[str, Any]:
    return {"role": role, "content": [{"type": "image", "text": None}] * images + [{"type": "text", "text": text}]}


def test_every_config_and_split_loads_with_the_features_it_promises(tmp_path: Path) -> None:
    many = [task(number, caption(number), FIX, (FIX, ACCEPT, REJECT)[number % 3]) for number in range(60)]
    summary = export(tmp_path, CAPTIONS, *many, splits=parse_shares("train=0.5,validation=0.25,test=0.25"))
    out = str(tmp_path / "out")
    assert get_dataset_config_names(out) == list(CONFIGS)
    assert load_dataset(out, cache_dir=str(tmp_path / "cache"))["train"].num_rows == summary.configs[0].splits[0].rows
    images: dict[str, set[str]] = {}
    for config in configs_of(FORM):
        written = next(one for one in summary.configs if one.name == config.name)
        assert get_dataset_split_names(out, config.name) == ["train", "validation", "test"]
        loaded = load_dataset(out, config.name, cache_dir=str(tmp_path / "cache"))
        for split in written.splits:
            assert loaded[split.name].features == features_of(config.columns)
            assert loaded[split.name].num_rows == split.rows
            for row in rows(tmp_path, config.name, split.name):
                pictures = row["images"] if "images" in row else [row["image"]]
                for picture in pictures:
                    images.setdefault(picture["path"], set()).add(split.name)
        assert written.rows_in == 60 == written.rows_out + sum(written.left_out.values())
    assert (len(images), {len(sides) for sides in images.values()}) == (60, {1}), "in all configs on the same side"


def test_sft_is_a_conversation_as_trl_takes_it(tmp_path: Path) -> None:
    export(tmp_path, CAPTIONS, *REVIEWED)
    found = rows(tmp_path, "sft")
    assert [row["messages"] for row in found] == [
        [said("user", "Describe this image.", 1), said("assistant", text)]
        for text in ("a red dot", "a green dot", "a red dot")
    ]
    assert [row["images"] for row in found] == [[stored(number)] for number in (1, 2, 4)]
    assert [(row["decided_by"], row["final_text_source"], row["task_id"]) for row in found] == [
        ("confirmed", "judge", 1),
        ("corrected", "original", 2),
        ("judge only", "judge", 4),
    ]


def test_corrections_are_preferences(tmp_path: Path) -> None:
    """The corrected text is better than what it corrects; an accepted or a rejected text is no pair."""
    summary = export(tmp_path, CAPTIONS, *REVIEWED)
    found = rows(tmp_path, "preference")
    for row, number in zip(found, (1, 4), strict=True):
        assert row["prompt"] == [said("user", "Describe this image.", 1)]
        assert row["chosen"] == [said("assistant", "a red dot")]
        assert row["rejected"] == [said("assistant", "a green dot")]
        assert row["images"] == [stored(number)]
        assert row["preference_source"] == "correction"
    assert "config preference: 4 rows = 2 train + 2 left out (nothing preferred or corrected)" in summary.lines()


def test_judgements_hold_both_sides_and_the_probabilities(tmp_path: Path) -> None:
    export(tmp_path, CAPTIONS, *REVIEWED)
    found = rows(tmp_path, "judgements")
    assert [row["task_id"] for row in found] == [1, 2, 3]
    second = found[1]
    assert (second["image"], second["caption"], second["requested"]) == (stored(2), "a green dot", "a dot")
    assert (second["saw_prediction"], second["audit"], second["annotation_id"]) == (True, False, 21)
    criteria = {item["criterion"]: item for item in second["criteria"]}
    assert list(criteria) == ["visual_realism", "text_accuracy", "consistency", "requested_features", "verdict"]
    assert criteria["consistency"] == {
        "criterion": "consistency",
        "question": "Consistency",
        "scale": ["1", "2", "3", "4", "5"],
        "decides": False,
        "human": ["5"],
        "judge": ["2"],
        "judge_probs": [{"value": "2", "prob": 0.75}, {"value": "3", "prob": 0.25}],
        "judge_expected": 2.25,
        "judge_label_mass": 0.875,
    }
    verdict = criteria["verdict"]
    assert (verdict["decides"], verdict["human"], verdict["judge"]) == (True, ["accept"], ["fix"])
    assert {item["value"]: item["prob"] for item in verdict["judge_probs"]} == PROBS
    assert criteria["visual_realism"]["human"] is criteria["visual_realism"]["judge_probs"] is None


PAIR_FORM = parse_label_config(PAIRS)


def pair(number: int, judge: str, person: str | None = None, question: str = "What is it?") -> dict[str, Any]:
    data = {"image": data_uri(png(number)), "question": question, "text_a": "a star", "text_b": "a dot"}
    people = [regions(PAIR_FORM, preference=(person,))] if person else []
    return task(number, data, regions(PAIR_FORM, preference=(judge,)), *people)


def test_preferred_texts_are_chosen_and_ties_are_not(tmp_path: Path) -> None:
    tasks = (pair(1, "A", "B"), pair(2, "A"), pair(3, "A", "undecided"), pair(4, "B", "B", question=" "))
    summary = export(tmp_path, PAIRS, *tasks)
    chosen = [(1, "What is it?", "a dot", "a star"), (2, "What is it?", "a star", "a dot")]
    chosen.append((4, "Describe this image.", "a dot", "a star"))
    assert [
        (
            row["task_id"],
            row["prompt"][0]["content"][1]["text"],
            row["chosen"][0]["content"][0]["text"],
            row["rejected"][0]["content"][0]["text"],
        )
        for row in rows(tmp_path, "preference")
    ] == chosen
    assert {row["preference_source"] for row in rows(tmp_path, "preference")} == {"pair"}
    assert [(row["final_text"], row["rejected"], row["tie"]) for row in rows(tmp_path, "all")] == [
        ("a dot", ["a star"], False),
        ("a star", ["a dot"], False),
        (None, [], True),
        ("a dot", ["a star"], False),
    ]
    assert [row["task_id"] for row in rows(tmp_path, "default")] == [1, 2, 4]
    assert "config preference: 4 rows = 3 train + 1 left out (nothing preferred or corrected)" in summary.lines()


BEST_OF_3 = """<View><Image name="image" value="$image"/>
  <Text name="a" value="$a"/><Text name="b" value="$b"/><Text name="c" value="$c"/>
  <Choices name="preference" toName="image"><Choice value="A"/><Choice value="B"/><Choice value="C"/></Choices>
</View>"""


def test_the_best_of_several_is_preferred_to_each_of_the_others(tmp_path: Path) -> None:
    form = parse_label_config(BEST_OF_3)
    data = {"image": data_uri(png(1)), "a": "one", "b": "two", "c": "three"}
    summary = export(tmp_path, BEST_OF_3, task(1, data, None, regions(form, preference=("B",))))
    assert [
        (row["chosen"][0]["content"][0]["text"], row["rejected"][0]["content"][0]["text"])
        for row in rows(tmp_path, "preference")
    ] == [("two", "one"), ("two", "three")]
    assert "config preference: 1 rows = 2 train, of 1 of them" in summary.lines()


CHECKLIST = """<View><Image name="image" value="$image"/><Text name="requested" value="$wish"/>
  <Choices name="verdict" toName="image"><Choice value="accept"/><Choice value="reject"/></Choices></View>"""


def test_where_there_is_no_text_the_accepted_images_are_the_default(tmp_path: Path) -> None:
    form = parse_label_config(CHECKLIST)
    data = [{"image": data_uri(png(number)), "wish": "a dot"} for number in (1, 2)]
    said = [regions(form, verdict=(verdict,)) for verdict in ("accept", "reject")]
    summary = export(
        tmp_path, CHECKLIST, *(task(n, one, None, by) for n, one, by in zip((1, 2), data, said, strict=True))
    )
    assert [row["task_id"] for row in rows(tmp_path, "default")] == [1]
    assert summary.lines()[3:8] == (
        "config default: 2 rows = 1 train + 1 left out (not accepted)",
        "config all: 2 rows = 2 train",
        "config judgements: 2 rows = 2 train",
        "no config sft: 2 rows left out (no final text)",
        "no config preference: 2 rows left out (nothing preferred or corrected)",
    )


def test_pages_of_a_document_stand_before_its_prompt(tmp_path: Path) -> None:
    form = parse_label_config(DOCUMENTS)
    accept = regions(form, verdict=("accept",))
    data = [
        {"pages": [data_uri(png(number)) for number in numbers], "transcription": "one two"}
        for numbers in ((1, 2, 1), (3,))
    ]
    export(tmp_path, DOCUMENTS, task(1, data[0], accept), task(2, data[1], accept))
    two, one = rows(tmp_path, "sft")
    assert two["messages"] == [said("user", "Transcribe the text in these images.", 3), said("assistant", "one two")]
    assert two["images"] == [stored(1), stored(2), stored(1)]
    assert one["messages"][0] == said("user", "Transcribe the text in this image.", 1)


def test_a_prompt_of_ones_own_refers_to_the_texts(tmp_path: Path) -> None:
    export(tmp_path, CAPTIONS, *REVIEWED, prompt="Show me $requested, please.", configs=("sft",))
    assert [row["messages"][0] for row in rows(tmp_path, "sft")] == [said("user", "Show me a dot, please.", 1)] * 3
    with pytest.raises(
        ExportError, match=r"^--prompt refers to \$wish, and the project's texts are caption, requested;"
    ):
        export(tmp_path, CAPTIONS, *REVIEWED, prompt="Show me $wish.")


def test_only_the_configs_asked_for_are_written_and_the_first_loads_by_itself(tmp_path: Path) -> None:
    summary = export(tmp_path, CAPTIONS, *REVIEWED, configs=parse_configs("sft, all"))
    assert sorted(path.name for path in (tmp_path / "out" / "data").iterdir()) == ["all", "sft"]
    assert load_dataset(str(tmp_path / "out"), split="train", cache_dir=str(tmp_path / "cache")).num_rows == 4
    assert summary.lines()[-2] == f'rows = load_dataset("{tmp_path / "out"}", split="train")'
    with pytest.raises(
        ExportError, match=r"^'sfd' is no config; choose among default, all, sft, preference, judgements$"
    ):
        parse_configs("all,sfd")


def test_a_dataset_of_which_nothing_was_asked_for_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(
        ExportError, match=r"has no row for what was asked: config judgements: 1 rows left out \(no person"
    ):
        export(tmp_path, CAPTIONS, task(1, caption(1), FIX), configs=("judgements",))
    assert not (tmp_path / "out").exists()


def test_rows_without_their_image_train_nobody(tmp_path: Path) -> None:
    broken = task(1, {**caption(1), "image": "data:,x"}, FIX, FIX)
    summary = export(tmp_path, CAPTIONS, broken, task(2, caption(2), FIX, FIX), allow_missing=True)
    assert [row["task_id"] for row in rows(tmp_path, "sft")] == [row["task_id"] for row in rows(tmp_path, "preference")]
    assert [row["image"] for row in rows(tmp_path, "all")] == [None, stored(2)]
    assert "config sft: 2 rows = 1 train + 1 left out (an image is missing)" in summary.lines()


def test_images_of_several_tasks_that_hang_together_are_on_one_side(tmp_path: Path) -> None:
    form = parse_label_config(DOCUMENTS)
    accept = regions(form, verdict=("accept",))
    tasks = [
        task(
            number,
            {"pages": [data_uri(png(number)), data_uri(png(100 + number // 2))], "transcription": f"{number}"},
            accept,
        )
        for number in range(40)
    ]
    told: list[tuple[int, int]] = []
    reader = PictureReader(ImageLoader(Settings()), allow_missing=False)
    write_export(
        Project(1, "Pages", DOCUMENTS, "", 40),
        Pages(*tasks),
        reader,
        tmp_path / "out",
        policy=Policy(),
        options=ExportOptions(("all",), parse_shares("train=0.5,test=0.5")),
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(done, 80) for done in range(1, 81)], "all is read twice"
    sides: dict[str, set[str]] = {}
    for split in ("train", "test"):
        for row in rows(tmp_path, "all", split):
            for picture in row["pages"]:
                sides.setdefault(picture["path"], set()).add(split)
    assert (len(sides), {len(found) for found in sides.values()}) == (60, {1})


def test_shares_hold_to_the_image_within_groups_when_asked(tmp_path: Path) -> None:
    tasks = [
        task(number, {**caption(number), "generator": "rare" if number % 4 == 0 else "common"}, FIX, ACCEPT)
        for number in range(40)
    ]
    export(
        tmp_path, CAPTIONS, *tasks, splits=parse_shares("train=0.8,test=0.2"), stratify="generator", configs=("all",)
    )
    held_back = [row["generator"] for row in rows(tmp_path, "all", "test")]
    assert sorted(held_back) == ["common"] * 6 + ["rare"] * 2, "a fifth of 30 and of 10"
    with pytest.raises(ExportError, match=r"^--stratify is about splits; "):
        export(tmp_path, CAPTIONS, *tasks, stratify="generator")
    with pytest.raises(
        ExportError, match=r"^--stratify colour is no column that tells groups; choose among .*decided_by"
    ):
        export(tmp_path, CAPTIONS, *tasks, splits=parse_shares("a=0.5,b=0.5"), stratify="colour")
    with pytest.raises(ExportError, match=r"^--stratify image_sha256 is no column that tells groups;") as raised:
        export(tmp_path, CAPTIONS, *tasks, splits=parse_shares("a=0.5,b=0.5"), stratify="image_sha256")
    assert "sha256" not in str(raised.value).partition("choose among")[2]


@pytest.mark.parametrize(
    "before", ["", "\ufeff", "<?xml version='1.0'?>\n<!-- Captions -->\n", "\ufeff<!-- Captions -->"]
)
def test_the_key_of_the_blind_slice_is_not_published(tmp_path: Path, before: str) -> None:
    planted = with_plan(before + CAPTIONS, AuditPlan(0.1, "0123456789abcdef"))
    export(tmp_path, planted, REVIEWED[0], configs=("all",))
    assert (tmp_path / "out" / "label_config.xml").read_bytes() == (before.lstrip("\ufeff") + CAPTIONS).encode()


@pytest.mark.parametrize(
    "again",
    [
        lambda xml: "<!-- was: " + xml[xml.index("<View") :].partition(">")[0] + "> -->" + xml,
        lambda xml: xml.replace("</View>", "<!-- was: auditKey='0123456789abcdef' --></View>", 1),
        lambda xml: xml.replace("</View>", "<View auditKey='0123456789abcdef'/></View>", 1),
    ],
)
def test_a_form_that_repeats_the_key_of_the_blind_slice_is_not_exported(
    tmp_path: Path, again: Callable[[str], str]
) -> None:
    planted = again(with_plan(CAPTIONS, AuditPlan(0.1, "0123456789abcdef")))
    with pytest.raises(ExportError) as caught:
        export(tmp_path, planted, REVIEWED[0], configs=("all",))
    assert str(caught.value) == (
        "the label config of project 1 (Configs) repeats the key of the blind slice (auditKey) in a comment or another "
        "tag, and would be published with it; take it out there"
    )
    assert not (tmp_path / "out").exists()


def test_a_split_without_rows_is_left_out_and_said(tmp_path: Path) -> None:
    summary = export(tmp_path, CAPTIONS, REVIEWED[0], splits=parse_shares("train=0.5,test=0.5"), configs=("all",))
    [there] = summary.configs[0].splits
    lacking = {"train": "test", "test": "train"}[there.name]
    assert f"config all has no split {lacking}: no row of it falls there" in summary.lines()
    assert len(rows(tmp_path, "all", there.name)) == 1
    assert summary.lines()[-2] == f'rows = load_dataset("{tmp_path / "out"}", split="{there.name}")'
