"""What people wrote in a card survives the next one."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import ExportError
from exporters.files.card_parts import BEGIN, END, kept_by_merging, lost_by_merging, merged_card

FIRST = """---
pretty_name: Dots
tags:
- vlm-judge
size_categories:
- n<1K
configs:
- config_name: default
  data_files: data/default/train-*-aa.parquet
  default: true
---
# Dots

3 rows.
"""
SECOND = FIRST.replace("3 rows", "2000 rows").replace("-aa.", "-bb.").replace("n<1K", "1K<n<10K")


def metadata(card: str) -> dict[str, object]:
    read = yaml.safe_load(card.split("---\n")[1])
    assert isinstance(read, dict)
    return read


def body(card: str) -> str:
    """Without the metadata and the digests in the first mark."""
    text = card.split("\n---\n", 1)[1]
    start = text.index(BEGIN)
    return text[:start] + "<begin>" + text[text.index("-->", start) + 3 :].replace(END, "<end>")


def test_a_first_card_is_marked_and_otherwise_as_it_was() -> None:
    card = merged_card(FIRST, None)
    assert metadata(card) == metadata(FIRST)
    assert body(card) == "<begin>\n# Dots\n\n3 rows.\n<end>\n"
    assert merged_card(FIRST, "") == card


def test_an_unedited_card_is_written_anew() -> None:
    assert merged_card(SECOND, merged_card(FIRST, None)) == merged_card(SECOND, None)


def test_text_before_and_after_ours_is_kept() -> None:
    edited = merged_card(FIRST, None).replace(BEGIN, f"Read me first.\n\n{BEGIN}") + "\n## Thanks\n\nTo all."
    card = merged_card(SECOND, edited)
    assert body(card) == "Read me first.\n\n<begin>\n# Dots\n\n2000 rows.\n<end>\n\n## Thanks\n\nTo all."
    assert kept_by_merging(SECOND, edited) == ("text",)
    assert merged_card(SECOND, card) == card


def test_metadata_set_by_hand_are_kept_as_they_are_written_and_ours_are_written_anew() -> None:
    edited = merged_card(FIRST, None).replace("tags:\n", "license: 'mit' # by hand\ntags:\n- medical\n")
    card = merged_card(SECOND, edited)
    assert "license: 'mit' # by hand\ntags:\n- medical\n- vlm-judge\n" in card
    assert metadata(card) == {**metadata(SECOND), "license": "mit", "tags": ["medical", "vlm-judge"]}
    assert kept_by_merging(SECOND, edited) == ("license", "tags")


def test_a_value_of_ours_that_is_computed_no_more_goes_and_one_set_by_hand_stays() -> None:
    with_licence = FIRST.replace("tags:", "license: mit\nlanguage: en\ntags:")
    edited = merged_card(with_licence, None).replace("language: en", "language: de")
    assert metadata(merged_card(FIRST, edited)) == {**metadata(FIRST), "language": "de"}


def test_what_describes_the_files_is_ours_whatever_was_set() -> None:
    edited = merged_card(FIRST, None).replace("-aa.", "-old.").replace("n<1K", "n>1T")
    edited = edited.replace("configs:", "dataset_info:\n  features: []\nconfigs:")
    assert metadata(merged_card(SECOND, edited)) == metadata(SECOND)


def test_a_config_that_somebody_added_stays_and_one_of_ours_that_is_gone_goes() -> None:
    sft = "- config_name: sft\n  data_files: data/sft/train-*-aa.parquet\n"
    added = "- config_name: extra\n  data_files: extra.csv\n  default: true\n"
    edited = merged_card(FIRST.replace("  default: true\n", f"  default: true\n{sft}{added}"), None)
    configs = metadata(merged_card(SECOND, edited))["configs"]
    ours = {"config_name": "default", "data_files": "data/default/train-*-bb.parquet", "default": True}
    assert configs == [ours, {"config_name": "extra", "data_files": "extra.csv"}]


@pytest.mark.parametrize(
    ("theirs", "reason"),
    [
        ("# Mine\n", "has no part that is marked as ours"),
        (f"# Mine\n{BEGIN} -->\nwithout an end\n", "has no part that is marked as ours"),
        ("---\nlicense: [mit\n---\n", "has metadata that cannot be read"),
        ("---\n- mit\n---\n", r"has metadata that cannot be read \(they are no list of keys and values\)"),
        (merged_card(FIRST, None).replace("3 rows", "three rows"), "was edited between the lines"),
    ],
)
def test_text_that_would_be_lost_is_not_merged(theirs: str, reason: str) -> None:
    with pytest.raises(ExportError, match=f"^the card {reason}"):
        merged_card(SECOND, theirs)


def test_marks_put_below_a_text_take_ours() -> None:
    card = merged_card(FIRST, f"---\nlicense: mit\n---\n# Mine\n\n{BEGIN} -->\n{END}\n")
    assert body(card) == "# Mine\n\n<begin>\n# Dots\n\n3 rows.\n<end>\n"
    assert metadata(card) == {"license": "mit", **metadata(FIRST)}


def test_line_ends_and_blank_lines_are_no_edit() -> None:
    edited = merged_card(FIRST, None).replace("3 rows.\n", "3 rows.  \n\n").replace("\n", "\r\n")
    assert merged_card(SECOND, edited) == merged_card(SECOND, None)


def with_text(card: str, text: str) -> str:
    return f"{card.partition(END)[0]}{END}\n{text}\n"


def test_of_two_edited_texts_the_one_that_changed_since_counts() -> None:
    here = with_text(merged_card(FIRST, None), "mine")
    there = merged_card(here, None)
    assert body(merged_card(with_text(here, "mine, mended"), there)).endswith("<end>\nmine, mended\n")
    theirs = merged_card(here, with_text(there, "theirs"))
    assert body(theirs).endswith("<end>\ntheirs\n")
    # Pushed once more: ours has not changed since, and theirs is still not thrown away.
    assert merged_card(here, theirs) == theirs
    assert lost_by_merging(with_text(here, "mine, mended"), theirs) == (
        "has other text around our part than the one to put there, and both were edited; make that text the same"
    )
    assert merged_card(with_text(here, "theirs"), theirs).endswith("\ntheirs\n")


def test_an_export_to_a_new_folder_does_not_take_away_what_was_pushed_from_another() -> None:
    there = merged_card(with_text(merged_card(FIRST.replace("tags:", "license: mit\ntags:"), None), "mine"), None)
    card = merged_card(merged_card(SECOND, None), there)
    assert body(card).endswith("<end>\nmine\n")


WORDS = st.text("ab#-: \n<>!é", max_size=30)


@settings(max_examples=40, deadline=None)
@given(before=WORDS, after=WORDS, licence=st.sampled_from(["", "license: mit\n", "license: [a, b] # x\nx: 1\n"]))
def test_whatever_stands_beside_ours_stays_and_merging_again_changes_nothing(
    before: str, after: str, licence: str
) -> None:
    first = merged_card(FIRST, None).replace("---\npretty", f"---\n{licence}pretty", 1)
    edited = first.replace(BEGIN, f"{before}\n{BEGIN}", 1) + after
    card = merged_card(SECOND, edited)
    assert body(card) == f"{before}\n<begin>\n# Dots\n\n2000 rows.\n<end>\n{after}"
    assert card.startswith(f"---\n{licence}pretty_name: Dots\n")
    assert merged_card(SECOND, card) == card
    pushed = merged_card(card, card)
    assert merged_card(card, pushed) == pushed
