from __future__ import annotations

from PIL import Image

from backend.engines.base import JudgeRequest, WriteRequest
from backend.engines.fitting import Load, Tries, budgets, load_of, too_large

PICTURE = Image.new("RGB", (8, 8))
TEXT = 'caption: "x"\n'


def request(images: int = 1, max_pixels: int | None = None) -> JudgeRequest:
    return JudgeRequest((PICTURE,) * images, "", TEXT, (), max_pixels)


def test_budgets_halve_down_to_16_tokens() -> None:
    assert list(budgets(4_014_080)) == [2_007_040, 1_003_520, 501_760, 250_880, 125_440, 62_720, 31_360, 15_680, 12_544]
    assert list(budgets(12_544)) == list(budgets(900)) == []


def test_the_first_budget_that_fits_is_named_with_its_setting() -> None:
    tried: list[int | None] = []

    def try_it(smaller: JudgeRequest) -> bool:
        tried.append(smaller.max_pixels)
        return (smaller.max_pixels or 0) <= 1_200_000

    assert too_large(request(), 4_014_080, try_it) == (
        "the sample does not fit into memory at 4014080 pixels an image; 1003520 would fit: "
        "set VLM_JUDGE_MAX_PIXELS=1003520"
    )
    assert tried == [2_007_040, 1_003_520]


def test_a_rubric_that_sets_its_own_size_is_what_has_to_change() -> None:
    assert too_large(request(max_pixels=3_211_264), 3_211_264, lambda smaller: True) == (
        "the sample does not fit into memory at 3211264 pixels an image; 1605632 would fit: "
        "set `max_pixels: 1605632` in its rubric"
    )


def test_where_no_size_fits_the_reason_says_what_else_helps() -> None:
    for area, smallest in ((4_014_080, 12_544), (9_000, 9_000)):
        assert too_large(request(), area, lambda smaller: False) == (
            f"the sample does not fit into memory, even at {smallest} pixels an image: shorten its texts, show fewer "
            "images, or run a smaller model (VLM_JUDGE_MODEL), or one on a machine with more memory"
        )


def test_without_images_the_texts_are_too_long() -> None:
    assert too_large(request(images=0), 0, lambda smaller: True) == (
        "the sample's texts, 13 characters, do not fit into memory: shorten them, "
        "or run a smaller model (VLM_JUDGE_MODEL), or one on a machine with more memory"
    )


def test_writing_is_told_alike() -> None:
    from backend.core.writing import text_writing

    asked = WriteRequest((PICTURE,), "", TEXT, text_writing("caption", "Write."))
    assert too_large(asked, 25_088, lambda smaller: smaller.max_pixels == 12_544) == (
        "the sample does not fit into memory at 25088 pixels an image; 12544 would fit: set VLM_JUDGE_MAX_PIXELS=12544"
    )


def test_the_load_counts_patches_of_all_images_and_of_the_largest() -> None:
    assert load_of(90, ((1, 4, 6), (1, 10, 8))) == Load(90, 104, 80)
    assert load_of(7, ()) == Load(7, 0, 0)


def test_what_is_no_larger_than_what_went_or_no_smaller_than_what_failed_is_not_tried_again() -> None:
    tries, tried = Tries(), []

    def ask(load: Load) -> bool:
        def attempt() -> bool:
            tried.append(load)
            return load.tokens <= 100

        return tries.went(load, attempt)

    asked = [Load(90, 40, 40), Load(200, 80, 40)]
    assert [ask(load) for load in asked] == [True, False]
    known = {Load(90, 40, 40): True, Load(80, 40, 20): True, Load(200, 80, 40): False, Load(300, 81, 41): False}
    assert {load: ask(load) for load in known} == known
    assert tried == asked
    unknown = {Load(90, 44, 40): True, Load(91, 40, 40): True, Load(199, 80, 40): False, Load(200, 80, 39): False}
    assert {load: ask(load) for load in unknown} == unknown
    assert tried == [*asked, *unknown]
