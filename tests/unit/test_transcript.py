from __future__ import annotations

import time
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.spelling import normalise, words
from backend.core.transcript import Disagreement, compare, correct, error_rate

SUM = "סכום לתשלום {} שקל"  # "amount to pay, {} shekels"
LATIN = st.text("abcXY 019.,-'“”ﬁ\u00ad\u00e9", max_size=40)
WORDS = st.lists(
    st.sampled_from(["red", "Red", "1,200", "1,208", "house", "a", "über", "x²", "x2", "end."]), max_size=12
)


def plain(found: Disagreement, text: str) -> tuple[str, str, int]:
    return text[found.start : found.end], found.reading, found.edits


def differences(text: str, *pages: str) -> list[tuple[str, str, int]]:
    return [plain(found, text) for found in compare(text, pages).disagreements]


def test_the_error_rate_of_the_classic_pair() -> None:
    # Levenshtein: k->s, e->i, +g = 3 edits; "sitting" has 7 letters and is one word
    found = compare("kitten", ["sitting"])
    assert (found.edits, found.characters, found.word_edits, found.words) == (3, 7, 1, 1)
    assert (found.character_error_rate, found.word_error_rate) == (3 / 7, 1.0)


def test_the_error_rate_of_the_published_example() -> None:
    # The documentation of torchmetrics gives CharErrorRate 0.3415 and WordErrorRate 0.5 for these two pairs
    pairs = [
        ("this is the prediction", "this is the reference"),
        ("there is an other sample", "there is another one"),
    ]
    found = [compare(text, [reading]) for text, reading in pairs]
    assert round(error_rate(sum(f.edits for f in found), sum(f.characters for f in found)), 4) == 0.3415
    assert error_rate(sum(f.word_edits for f in found), sum(f.words for f in found)) == 0.5


def test_the_rate_may_exceed_one_and_an_empty_transcription_has_length_one() -> None:
    assert compare("abcdef", ["xy"]).character_error_rate == 3.0
    assert error_rate(4, 0) == 4.0
    assert compare("", [""]).character_error_rate == 0.0


@pytest.mark.parametrize(
    ("text", "reading"),
    [
        ("“Don’t” – he said…", '"Don\'t" - he said...'),
        ("the ﬁrst oﬃce", "the first office"),
        ("cafe\u0301", "caf\u00e9"),
        ("\u1112\u1161\u11ab\u1100\u116e\u11a8", "한국"),
        ("exam\u00adple\u200b", "example"),
        ("two  blanks\n\nand lines ", " two blanks and lines"),
        ("第一行\n第二行", "第一行第二行"),
        ("\uff34\uff45\uff4c\uff1a\uff11\uff12\uff13", "Tel:123"),  # full width
        ("\ufefb \ufe8f", "\u0644\u0627 \u0628"),
    ],
)
def test_what_a_reader_does_not_see_is_no_difference(text: str, reading: str) -> None:
    assert normalise(text).text == normalise(reading).text
    assert compare(text, [reading]).disagreements == ()


@pytest.mark.parametrize(
    ("text", "reading"),
    [("x²", "x2"), ("Red", "red"), ("café", "cafe"), ("½", "1/2"), ("①", "1"), ("1.200", "1,200"), ("ab c", "a bc")],
)
def test_letters_digits_case_and_accents_do_count(text: str, reading: str) -> None:
    assert compare(text, [reading]).character_error_rate > 0


def test_differences_are_whole_words_without_the_punctuation_both_share() -> None:
    text = "Total: (1,200) euros. Paid in full."
    assert differences(text, "Total: (1,208) euros. Payed in full.") == [("1,200", "1,208", 1), ("Paid", "Payed", 2)]
    assert differences("the end.", "the end") == [("end.", "end", 1)]
    assert differences("foo bar", "foobar") == [("foo bar", "foobar", 1)]


def test_what_is_too_much_is_marked_and_what_is_missing_marks_its_neighbour() -> None:
    [extra] = compare("a very big house", ["a big house"]).disagreements
    assert plain(extra, "a very big house") == ("very", "", 5)
    assert (extra.mark, extra.versions) == ((2, 6), ("a very big house", "a big house"))
    text = "a big house"
    [missing] = compare(text, ["a very big house"]).disagreements
    assert plain(missing, text) == ("", "very", 5)
    assert (missing.start, missing.mark, text[slice(*missing.mark or (0, 0))]) == (2, (0, 1), "a")
    [first] = compare("big house", ["the big house"]).disagreements
    assert (plain(first, "big house"), first.mark) == (("", "the", 4), (0, 3))
    [alone] = compare("\u00ad", ["word"]).disagreements
    assert (alone.mark, alone.reading) == (None, "word")


def test_a_passage_is_shown_between_the_words_around_it() -> None:
    around = "The invoice of the fourth of May shows a sum of {} euros, to be paid within thirty days from today."
    [found] = compare(around.format("1,200"), [around.format("1,208")]).disagreements
    assert found.versions == (
        "of the fourth of May shows a sum of 1,200 euros, to be paid within thirty days",
        "of the fourth of May shows a sum of 1,208 euros, to be paid within thirty days",
    )


def test_lines_that_only_moved_are_no_errors() -> None:
    reading = "Name: Ada\nStreet 5\nTotal 12.00\nThank you"
    assert compare("Total 12.00\nThank you\nName: Ada\nStreet 5", [reading]).edits == 0
    assert differences("Total 12.08\nThank you\nName: Ada\nStreet 5", reading) == [("12.08", "12.00", 1)]
    moved = "Thank you\nName: Ada\nTotal 12.00"  # a line is missing: it stays behind the line before it
    assert differences(moved, reading) == [("", "Street 5", 9)]


def test_pages_are_read_one_after_the_other_and_each_difference_knows_its_own() -> None:
    text = "First page.\nSecand page\nMore\nThird."
    found = compare(text, ["First page.", "Second page", "Third."]).disagreements
    assert [(plain(d, text), d.pages) for d in found] == [
        (("Secand", "Second", 1), (1,)),
        (("More", "", 5), (1, 2)),  # at the end of the second or at the start of the third
    ]
    assert correct(text, found) == "First page.\nSecond page\nThird."


def test_a_chinese_text_is_compared_character_by_character() -> None:
    text = "发票金额为一千二百元。\n请付款。"
    found = compare(text, ["发票金额为一千三百元。请付款。"])
    assert [plain(d, text) for d in found.disagreements] == [("二", "三", 1)]
    assert (found.characters, found.words, found.word_edits) == (15, 15, 1)
    assert found.character_error_rate == 1 / 15


def test_a_right_to_left_text_keeps_its_logical_offsets() -> None:
    text = "\u200f" + SUM.format(120)
    found = compare(text, [SUM.format(180)])
    assert [(d.start, d.end, *plain(d, text)) for d in found.disagreements] == [(13, 16, "120", "180", 1)]
    assert correct(text, found.disagreements) == "\u200f" + SUM.format(180)


def test_correcting_keeps_the_lines_of_the_text() -> None:
    text = "Dear  Ada,\nthank you very\nmuch\nfor the book"
    found = compare(text, ["Dear Ada,\nthank you\nmuch\nfor the nice book"]).disagreements
    assert correct(text, found) == "Dear  Ada,\nthank you\nmuch\nfor the nice book"
    [one_line] = compare("a b", ["a\nnew\nb"]).disagreements
    assert correct("a b", [one_line]) == "a new b"


def test_words_carry_their_punctuation() -> None:
    assert words("1,200 euros, 元二 x") == ["1,200", "euros,", "元", "二", "x"]


@given(st.text(max_size=60))
def test_every_normalised_character_comes_from_somewhere_in_order(text: str) -> None:
    found = normalise(text)
    assert len(found.text) == len(found.starts) == len(found.ends)
    assert list(found.starts) == sorted(found.starts)
    assert list(found.ends) == sorted(found.ends)
    assert all(0 <= start <= end <= len(text) for start, end in zip(found.starts, found.ends, strict=True))
    assert found.text == found.text.strip()
    assert "  " not in found.text


@given(st.text(max_size=60), st.lists(st.text(max_size=40), max_size=3))
def test_every_place_lies_in_the_text_and_edits_add_up(text: str, pages: list[str]) -> None:
    found = compare(text, pages)
    reached = 0
    for one in found.disagreements:
        assert reached <= one.start <= one.end <= len(text)
        assert one.mark is None or 0 <= one.mark[0] < one.mark[1] <= len(text)
        assert one.edits > 0
        assert all(0 <= page < len(pages) for page in one.pages)
        assert one.versions[0] != one.versions[1]
        reached = one.end
    assert found.edits >= abs(len(normalise(text).text) - found.characters)


@given(LATIN, LATIN)
def test_the_rate_is_zero_only_for_texts_that_read_the_same(text: str, reading: str) -> None:
    same = normalise(text).text == normalise(reading).text
    assert (compare(text, [reading]).character_error_rate == 0) == same


@given(WORDS, WORDS)
def test_edits_are_the_same_in_both_directions(text: list[str], reading: list[str]) -> None:
    there, back = compare(" ".join(text), [" ".join(reading)]), compare(" ".join(reading), [" ".join(text)])
    assert (there.edits, there.word_edits) == (back.edits, back.word_edits)


@given(WORDS, st.integers(0, 12))
def test_an_inserted_word_is_an_insertion_or_an_omission(text: list[str], at: int) -> None:
    shorter, longer = " ".join(text), " ".join([*text[:at], "Ünique", *text[at:]])
    added = 6 if not text else 7  # with the blank beside it
    assert [(d.edits, d.reading) for d in compare(longer, [shorter]).disagreements] == [(added, "")]
    assert [(d.edits, d.start == d.end, d.reading) for d in compare(shorter, [longer]).disagreements] == [
        (added, True, "Ünique")
    ]


@given(st.lists(WORDS, max_size=4), st.lists(WORDS, max_size=4))
def test_the_corrected_text_reads_like_the_transcription(text: list[list[str]], reading: list[list[str]]) -> None:
    ours, theirs = ("\n".join(" ".join(line) for line in lines) for lines in (text, reading))
    found = compare(ours, [theirs])
    corrected = correct(ours, found.disagreements)
    # lines may stand in the text's order, so that the words are the same but not always their order
    assert sorted(words(normalise(corrected).text)) == sorted(words(normalise(theirs).text))


@pytest.mark.parametrize("same", [True, False], ids=["a few errors", "another text"])
def test_long_texts_are_compared_in_well_under_a_second(same: bool) -> None:
    random = Random(7)
    lines = [" ".join("".join(random.choices("abcdefgh", k=5)) for _ in range(8)) for _ in range(420)]
    other = [line.replace("abc", "abd") for line in lines] if same else [line[::-1] for line in lines]
    text, reading = "\n".join(lines), "\n".join(other)
    assert len(text) > 20_000
    before = time.process_time()
    found = compare(text, [reading])
    assert time.process_time() - before < 1.0
    assert found.edits > 0
    assert all(text[d.start : d.end] == text[slice(*d.mark)] for d in found.disagreements if d.mark and d.start < d.end)
