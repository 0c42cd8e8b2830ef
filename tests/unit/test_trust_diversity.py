"""Repeats, variety and coverage, by hand; near repeats against comparing every two texts."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from math import exp, log
from typing import Any

import numpy as np
import pytest
from rapidfuzz.fuzz import ratio

from backend.core.trust.bias.shares import Share
from backend.core.trust.bias.texts import words_of
from backend.core.trust.diversity.features import Requested, RequestedFeature, requested_features
from backend.core.trust.diversity.repeats import (
    TEXT_RATIO,
    ImageRepeats,
    RepeatedImage,
    RepeatedText,
    TextRepeats,
    image_repeats,
    near_repeats,
    plain_form,
    text_repeats,
)
from backend.core.trust.diversity.variety import Spread, diversity, effective_number
from backend.core.trust.labels import LabelledProject
from tests.labelled import PAIRWISE, project, said, task, verdict

WITH_REQUESTED = """<View>
  <Image name="image" value="$image"/>
  <Text name="caption" value="$caption"/><Text name="requested" value="$wanted"/>
  <Rating name="requested_features" toName="image" maxRating="5"/>
</View>"""


def about(value: float) -> Any:
    return pytest.approx(value)


def captions(*texts: str, images: tuple[str, ...] = ()) -> LabelledProject:
    return project(
        [
            task(number, None, data={"caption": text}, image=images[number - 1] if images else "")
            for number, text in enumerate(texts, 1)
        ]
    )


def with_data(*rows: Mapping[str, Any]) -> LabelledProject:
    return project([task(number, None, data=row) for number, row in enumerate(rows, 1)])


def test_case_and_spaces_make_no_text_another() -> None:
    assert plain_form("  A  cat\nON a Straße ") == "a cat on a strasse"


def test_near_repeats_are_those_of_comparing_every_two_texts() -> None:
    rng = np.random.default_rng(5)
    words = ["a", "red", "car", "cat", "on", "the", "beach", "near", "old", "house", "köln", "猫が", "and", "snow"]
    texts = [" ".join(rng.choice(words, size=rng.integers(1, 60))) for _ in range(500)]
    for text in texts[:300]:
        letters = list(text)
        for place in rng.integers(0, len(letters), size=rng.integers(1, 6)):
            letters[place] = str(rng.choice(["", "x", "ä", " s"]))
        texts.append("".join(letters))
    texts = list(dict.fromkeys(texts))
    kept: list[int] = []
    expected = {}
    for number in sorted(range(len(texts)), key=lambda number: (len(texts[number]), number)):
        like = next((other for other in kept if ratio(texts[number], texts[other]) >= TEXT_RATIO), number)
        kept += [number] if like == number else []
        expected[number] = like
    assert near_repeats(texts) == [expected[number] for number in range(len(texts))]
    assert len(texts) - len(kept) > 100


def test_very_long_and_odd_texts_are_compared_too() -> None:
    page = "Lorem ipsum dolor sit amet, consetetur sadipscing elitr. " * 1_000
    texts = [page, page[:-600] + "x", page.upper(), "", "\ud800 half", "\U0001f600"]
    assert near_repeats(texts) == [1, 1, 2, 3, 4, 5]
    assert near_repeats([]) == []


def test_repeats_of_texts_are_counted_and_shown() -> None:
    long = "a red bicycle leans against the old brick wall of a bakery"  # 58 characters, so 3 edits are alike
    found = text_repeats(
        captions(
            long,
            f"{long}.",
            long.upper(),
            "a dog",
            "A  dog",
            "a cat",
            images=("1.png", "1.png", "2.png", "3.png", "3.png", "3.png"),
        )
    )
    assert found == TextRepeats(
        texts=6,
        distinct=4,
        kept=3,
        repeated=0.5,
        on_one_image=2,
        groups=(RepeatedText(long, 3, (1, 2, 3)), RepeatedText("a dog", 2, (4, 5))),
    )
    assert text_repeats(project([task(1, None)])) is None


def test_texts_that_compete_are_all_looked_at() -> None:
    pairs = [
        task(1, None, data={"text_a": "one", "text_b": "One"}),
        task(2, None, data={"text_a": "two", "text_b": ""}),
    ]
    found = text_repeats(project(pairs, PAIRWISE))
    assert found == TextRepeats(3, 2, 2, about(1 / 3), 1, (RepeatedText("one", 2, (1,)),))


def test_images_are_the_same_by_address_and_by_their_looks() -> None:
    grey, red = "80" * 48, ("ff0000" + "808080" * 15)
    looks = {
        "a.png": ("00000000000000ff", grey),
        "b.png": ("00000000000000f8", grey),  # 3 bits away
        "c.png": ("00000000000000f0", grey),  # 4 bits from the first
        "d.png": ("00000000000000ff", red),
    }
    labelled = captions(*"123456", images=("a.png", "a.png", "b.png", "c.png", "d.png", "e.png"))
    assert image_repeats(labelled, looks) == ImageRepeats(
        tasks=6, images=5, most_tasks=2, compared=4, alike=1, groups=(RepeatedImage(("a.png", "b.png"), 3),)
    )
    assert image_repeats(labelled) == ImageRepeats(6, 5, 2, 0, 0, ())


def test_words_are_runs_of_letters_and_single_characters_where_no_spaces_are_put() -> None:
    assert words_of("A cat's 2 mice, übergroß!") == ["a", "cat", "s", "2", "mice", "übergross"]
    assert words_of("猫がmat上") == ["猫", "が", "mat", "上"]


def test_the_effective_number_is_the_exponential_of_the_entropy() -> None:
    assert effective_number([7, 7, 7, 7]) == pytest.approx(4)
    # shares 0.5, 0.25, 0.25: entropy 0.5 ln 2 + 0.5 ln 4 = 1.5 ln 2, so 2^1.5
    assert effective_number([2, 1, 1, 0]) == pytest.approx(2**1.5)
    assert effective_number([]) == 0


def test_variety_of_texts_by_hand() -> None:
    found = diversity(captions("a photo of a cat", "A photo of a dog", "a photo of a cat", "two dogs")).texts
    assert found is not None
    # 17 words: a x 6, photo x 3, of x 3, cat x 2, dog, two, dogs.
    # 13 pairs of 6 kinds: a photo, photo of, of a, a cat, a dog, two dogs.
    assert (found.texts, found.words, found.vocabulary) == (4, 17, 7)
    assert (found.distinct_1, found.distinct_2) == (about(7 / 17), about(6 / 13))
    assert found.effective_texts == pytest.approx(exp(0.5 * log(2) + 0.5 * log(4)))
    assert (found.commonest_opening, found.commonest_opening_share) == ("a photo of", 0.75)
    assert found.effective_openings == pytest.approx(exp(0.75 * log(4 / 3) + 0.25 * log(4)))
    assert (found.characters.mean, found.characters.quantiles) == (14, (8, 8, 8, 16, 16, 16, 16))
    assert (found.word_counts.mean, found.word_counts.quantiles) == (4.25, (2, 2, 2, 5, 5, 5, 5))


def test_metadata_groups_that_are_rare_are_named() -> None:
    rows = [{"lang": "de"}] * 150 + [{"lang": "en"}] * 150 + [{"lang": "fr"}] * 2 + [{}] * 10
    found = diversity(with_data(*rows))
    spread = Spread(
        field="lang",
        counts=(("de", 150), ("en", 150), ("fr", 2)),
        not_given=10,
        effective_groups=about(exp(2 * 150 / 302 * log(302 / 150) + 2 / 302 * log(151))),
        rare=("fr",),
    )
    assert (found.fields, found.languages) == ((spread,), spread)
    assert found.warnings == ()


def test_many_repeats_are_warned_of() -> None:
    texts = ["a dog on a red mat"] * 3 + [f"picture number {number}" for number in range(17)]
    looks = {f"{number}.png": ("00" * 8, "00" * 48) for number in (1, 2)}
    found = diversity(captions(*texts), looks=looks)
    assert found.warnings == (
        "texts: 2 of 20 (10 %) repeat another text, 2 of them to the letter.",
        "images: 1 of 2 (50 %) look like another image under another address.",
    )
    assert json.loads(json.dumps(asdict(found)))["texts"]["repeats"]["groups"][0]["tasks"] == [1, 2, 3]


def test_requested_features_are_counted_and_how_often_they_are_there() -> None:
    rows: tuple[tuple[str, int | None, int | None, dict[str, float]], ...] = (
        ("A red car, snow", 5, 4, {"a red car": 0.9, "snow": 0.8}),
        ("snow , a red  car", 3, None, {"a red car": 0.2, "Snow": 0.6}),
        ("snow", 4, 2, {}),
        ("", None, None, {}),
    )
    tasks = [
        task(
            number,
            replace(verdict("accept", **({"requested_features": stars} if stars else {})), features=probs),
            *([said("ann", requested_features=people)] if people else []),
            drawn_with=0.5,
            data={"caption": "x", "wanted": wanted},
        )
        for number, (wanted, stars, people, probs) in enumerate(rows, 1)
    ]
    seen = requested_features(project(tasks, WITH_REQUESTED))

    def found_in(value: float, of: int) -> Share:
        anything: Any = pytest.approx(0.5, abs=0.5)
        return Share(about(value), anything, anything, of, of)

    assert seen == Requested(
        tasks=3,
        distinct=2,
        once=0,
        features=(
            RequestedFeature("snow", 3, 1.0, found_in(1.0, 2), found_in(2 / 3, 3), found_in(0.5, 2)),
            RequestedFeature("a red car", 2, 2 / 3, found_in(0.5, 2), found_in(0.5, 2), found_in(1.0, 1)),
        ),
        rarest=("a red car", "snow"),
    )
    assert requested_features(project(tasks[3:], WITH_REQUESTED)) is None


def test_features_are_read_from_the_data_where_the_form_does_not_show_them() -> None:
    seen = requested_features(project([task(1, verdict("accept"), data={"requested": "a hat"})]))
    assert seen == Requested(1, 1, 1, (RequestedFeature("a hat", 1, 1.0, None, None, None),), ("a hat",))
