from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.claims import Piece, split_claims, split_words


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Two shapes: a red star, a box. It says LAMP!", ["Two shapes", "a red star", "a box", "It says LAMP"]),
        ("It costs 3.50 or 1,200 dollars.", ["It costs 3.50 or 1,200 dollars"]),
        ("一只狗在沙发上。旁边有一只猫，很小", ["一只狗在沙发上", "旁边有一只猫", "很小"]),
        ("Un chien dort; il rêve ?", ["Un chien dort", "il rêve"]),
        ("- first line\n- second “line”", ["first line", "second “line"]),
        ("...", []),
        ("", []),
    ],
)
def test_texts_split_at_punctuation_that_ends_a_clause(text: str, pieces: list[str]) -> None:
    assert [piece.text for piece in split_claims(text)] == pieces


def test_more_pieces_than_wanted_are_joined_and_nothing_is_lost() -> None:
    text = "a, b, c, d, e"
    assert split_claims(text, most=2) == (Piece(0, 4, "a, b"), Piece(6, 13, "c, d, e"))


@given(st.text(alphabet="ab ,.;\n“”3。，é", max_size=80))
def test_pieces_stand_where_they_say_in_order_and_hold_every_word(text: str) -> None:
    pieces = split_claims(text)
    assert all(text[piece.start : piece.end] == piece.text for piece in pieces)
    assert all(left.end <= right.start for left, right in pairwise(pieces))
    words = [word.text for word in split_words(Piece(0, len(text), text))]
    assert [word.text for piece in pieces for word in split_words(piece)] == words


def test_words_keep_apostrophes_and_hyphens_and_their_place() -> None:
    words = split_words(Piece(10, 30, "the cat's well-fed 3"))
    assert [(word.start, word.text) for word in words] == [(10, "the"), (14, "cat's"), (20, "well-fed"), (29, "3")]
