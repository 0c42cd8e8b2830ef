"""The dataset card: complete, valid, and honest."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

import pytest
import yaml
from huggingface_hub import DatasetCard

from backend.core.label_config import parse_label_config
from exporters.card import CardFacts, card
from exporters.columns import columns_of
from exporters.tally import Counts

CONFIG = parse_label_config(
    '<View><Image name="image" value="$image"/><Text name="caption" value="$caption"/>'
    '<Rating name="consistency" toName="caption"/>'
    '<Choices name="verdict" toName="caption"><Choice value="accept"/><Choice value="fix"/></Choices></View>'
)
COUNTS = Counts(
    tasks_in=10,
    rows_out=7,
    left_out=MappingProxyType({"skipped": (4, 9), "unannotated": (10,)}),
    decided_by=MappingProxyType({"confirmed": 3, "corrected": 2, "human": 1, "judge only": 1}),
    text_sources=MappingProxyType({"human": 1, "missing": 1, "original": 5}),
    prefilled=MappingProxyType({("accept", "accept"): 3, ("accept", "fix"): 1, ("fix", "fix"): 1}),
    unprefilled=MappingProxyType({("reject", "accept"): 1}),
    verdicts=MappingProxyType({"accept": 4, "fix": 2, "reject": 1}),
    corrected=MappingProxyType({"consistency": 1, "verdict": 2}),
    fingerprints=MappingProxyType({"demo-qwen 0|1": 7}),
    annotators=2,
    several=1,
    disagreeing=1,
    missing_text=(5,),
    missing_images=(),
)


SHARDS = "data/train-*-0123abcd.parquet"


def facts(counts: Counts = COUNTS, title: str = "Shapes") -> CardFacts:
    return CardFacts(title, counts, columns_of(CONFIG), "last", "me/shapes", SHARDS)


def replaced(**fields: object) -> Counts:
    return Counts(**{**{name: getattr(COUNTS, name) for name in Counts.__slots__}, **fields})


def test_the_metadata_is_valid() -> None:
    data: Any = DatasetCard(card(facts())).data
    assert data.to_dict() == {
        "pretty_name": "Shapes",
        "task_categories": ["image-to-text"],
        "tags": ["image-text", "label-studio", "vlm-judge", "human-feedback"],
        "size_categories": ["n<1K"],
        "configs": [{"config_name": "default", "data_files": [{"split": "train", "path": SHARDS}]}],
    }


def test_a_title_cannot_break_the_metadata_or_the_page() -> None:
    text = card(facts(title="a: b\n---\n# `x` | <script>"))
    assert yaml.safe_load(text.split("---\n")[1])["pretty_name"] == "a: b --- # 'x' \\| &lt;script>"
    assert "\n# a: b --- # 'x' \\| &lt;script>\n" in text


@pytest.mark.parametrize(
    "passage",
    [
        "\n10 tasks = 7 rows + 2 left out (skipped) + 1 left out (unannotated).\n",
        '\nrows = load_dataset("me/shapes", split="train")\n',
        "\n| `corrected` | a person changed the judge's answer | 2 |\n",
        "\n| person \\ judge | accept | fix |\n|---|---|---|\n| accept | 3 | 1 |\n| fix | 0 | 1 |\n\n"
        "The same verdict in 4 of 5 rows.\n",
        "**This agreement is anchored, not measured blind**",
        "\n| person \\ judge | accept |\n|---|---|\n| reject | 1 |\n\nThe same verdict in 0 of 1 rows.\n",
        "\n| `demo-qwen 0\\|1` | 7 |\n",
        "\nThe embedded demo judge knows only drawn scenes of coloured shapes and a word.",
        "\n| `verdict` | 2 |\n| `consistency` | 1 |\n",
        "\n| `human_consistency` | int8 | The person's stars from 1 to 5 for `consistency`. |\n",
        "(1 of them with different verdicts)",
        "\n| `missing` | null: nobody has written the fix, the judge alone gave no verdict, or there is no (preferred) "
        "text | 1 |\n",
        "\n  and where neither a person decided nor the judge gave a verdict.\n",
    ],
)
def test_it_says(passage: str) -> None:
    assert passage in card(facts())


@pytest.mark.parametrize(
    ("fields", "passage"),
    [
        ({"fingerprints": {"Qwen/Qwen2.5-VL-7B-Instruct": 7}}, "embedded demo judge"),
        ({"fingerprints": {}}, "| fingerprint |"),
        ({"prefilled": {}}, "anchored"),
        ({"left_out": {}}, "left out"),
        ({"corrected": {}}, "what people changed"),
    ],
)
def test_it_does_not_say_what_does_not_hold(fields: dict[str, object], passage: str) -> None:
    assert passage in card(facts())
    assert passage not in card(facts(replaced(**fields)))


def test_missing_images_are_told() -> None:
    assert "\n2 rows have a null image" in card(facts(replaced(missing_images=(1, 2))))


def test_nothing_is_left_to_fill_in() -> None:
    text = card(facts())
    assert not any(mark in text for mark in ("{{", "{%", "More Information Needed", "TODO", "None", "\n\n\n"))
