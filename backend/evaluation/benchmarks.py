"""Rows of published benchmarks, by the column names of their dataset cards and loaders."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from backend.core.types import TextField
from backend.errors import RowError
from backend.evaluation.fields import is_missing, number_of, pictures_of, preferred_of, text_of
from backend.evaluation.samples import OVERALL_RATING, Candidate, LabelledPair, LabelledSample, Picture
from backend.evaluation.tables import Row

VL_REWARDBENCH_KINDS = {
    "wildvision": "general",
    "vlfeedback": "general",
    "povid": "hallucination",
    "rlaif-v": "hallucination",
    "rlhf-v": "hallucination",
    "mmmu-pro": "reasoning",
    "mathverse": "reasoning",
}
"""The benchmark's three groups by the beginning of `query_source`, in lower case."""


def read_vl_rewardbench(row: Row, number: str, folder: Path | None) -> LabelledPair:
    """A row of `MMInstruction/VL-RewardBench` (Li et al., arXiv 2411.17451).

    `response` holds two texts; `human_ranking` is [0, 1] when the first is preferred and [1, 0] when the second is.
    """
    responses, ranking = row["response"], row["human_ranking"]
    if not isinstance(responses, Sequence) or isinstance(responses, str) or len(responses) != 2:
        raise RowError("`response` does not hold two texts")
    places = tuple(number_of(place) for place in ranking) if isinstance(ranking, Sequence) else ()
    if places not in ((0, 1), (1, 0)):
        raise RowError("`human_ranking` is neither [0, 1] nor [1, 0]", repr(ranking)[:60])
    source = str(row.get("query_source") or "")
    kinds = (kind for start, kind in VL_REWARDBENCH_KINDS.items() if source.lower().startswith(start))
    return LabelledPair(
        name=str(row.get("id") or number),
        kind=next(kinds, source),
        pictures=_needed(pictures_of(row["image"], folder)),
        context=text_of(row, "query").replace("<image>", "").strip(),
        first=Candidate(str(responses[0])),
        second=Candidate(str(responses[1])),
        preferred=float(places == (0, 1)),
    )


def read_mmrb2(row: Row, number: str, folder: Path | None) -> LabelledPair:
    """A row of Multimodal RewardBench 2 (Hu et al., arXiv 2512.16899), in either of its two forms.

    On the Hub (`rl-research/multimodal-rewardbench-2`; subsets t2i, edit, interleaved, reasoning): `prompt_text`,
    `prompt_images`, `response_a_text`, `response_a_images`, the same for b, and `chosen`. In the repository's JSON
    files: `prompt_content` and `response_a.response_content` as lists of ["text" or "image", value].
    """
    if "prompt_content" in row:
        context, pictures = _content(row["prompt_content"], folder)
        sides = [_content(_inner(row, name), folder) for name in ("response_a", "response_b")]
    else:
        context, pictures = _stored(row, "prompt", folder)
        sides = [_stored(row, name, folder) for name in ("response_a", "response_b")]
    first, second = (Candidate(text, images) for text, images in sides)
    if not (pictures or first.pictures or second.pictures):
        raise RowError("no image")
    return LabelledPair(
        name=str(row.get("pair_id") or row.get("id") or number),
        kind=str(row.get("prompt_source") or ""),
        pictures=pictures,
        context=context,
        first=first,
        second=second,
        preferred=preferred_of("chosen", row["chosen"]),
    )


def read_polaris(row: Row, number: str, folder: Path | None) -> LabelledSample:
    """A row of `yuwd/Polaris` (Wada et al., arXiv 2402.18091): `img`, `cand`, and people's mean in `human_score`.

    The mean lies between 0 and 1, from five steps; 1 + 4 times it is the rating. References (`refs`) are not shown.
    """
    score = row["human_score"]
    if is_missing(score):
        raise RowError("no human label")
    share = number_of(score)
    if share is None or not 0 <= share <= 1:
        raise RowError("`human_score` is not between 0 and 1", repr(score)[:60])
    return LabelledSample(
        name=number,
        kind="",
        pictures=_needed(pictures_of(row["img"], folder)),
        texts=(TextField("caption", text_of(row, "cand")),),
        good=None,
        ratings={OVERALL_RATING: 1 + 4 * share},
    )


def _needed(pictures: tuple[Picture, ...]) -> tuple[Picture, ...]:
    if not pictures:
        raise RowError("no image")
    return pictures


def _stored(row: Row, name: str, folder: Path | None) -> tuple[str, tuple[Picture, ...]]:
    text = re.sub(r"<image_\d+>", "[image]", row.get(f"{name}_text") or "")
    return text.strip(), pictures_of(row.get(f"{name}_images"), folder)


def _inner(row: Row, name: str) -> Any:
    response = row[name]
    if not isinstance(response, dict) or "response_content" not in response:
        raise RowError(f"`{name}` has no `response_content`")
    return response["response_content"]


def _content(parts: Any, folder: Path | None) -> tuple[str, tuple[Picture, ...]]:
    if not isinstance(parts, list) or not all(isinstance(part, list) and len(part) == 2 for part in parts):
        raise RowError("content is not a list of [kind, value]")
    texts = [str(value) if kind == "text" else "[image]" for kind, value in parts]
    return " ".join(texts).strip(), pictures_of([value for kind, value in parts if kind == "image"], folder)
