"""Requests as tokens and patches, by the model's own chat template, tokenizer and image processor."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from backend.core.types import Question
from backend.engines.backbones import Grid
from backend.engines.base import JudgeRequest, Passage, WriteRequest
from backend.engines.faults import first_line
from backend.engines.loading import LoadedModel
from backend.engines.messages import Before, Message, split_prompt
from backend.engines.packing import PackedRequest, Prompt
from backend.engines.pixels import Pictures
from backend.errors import EngineError, ImageError

if TYPE_CHECKING:
    from PIL import Image


class Encoder:
    """Turns requests into what a model takes; remembers rendered templates and the tokens of options."""

    def __init__(self, loaded: LoadedModel) -> None:
        self.loaded = loaded
        self._patching = loaded.patching
        self._templates: dict[tuple[str, int, tuple[Before, ...]], tuple[str, str]] = {}
        self._option_ids: dict[tuple[str, str], int] = {}

    def pack(self, request: JudgeRequest) -> PackedRequest:
        """The sample as prefix, its questions as branches.

        Raises ImageError for an image that the model does not take, EngineError for an option that is not one token.
        """
        [packed] = self.pack_all([request])
        if isinstance(packed, ImageError):
            raise packed
        return packed

    def pack_all(self, requests: Sequence[JudgeRequest]) -> list[PackedRequest | ImageError]:
        """Many at once, which tokenizers do on several cores; an error as a value for an image that is not taken.

        Raises EngineError as `pack` does.
        """
        grids = [self._grids_or_why(request) for request in requests]
        parts = [
            [] if isinstance(grid, ImageError) else self._parts(request, grid)
            for request, grid in zip(requests, grids, strict=True)
        ]
        ids = iter(self._tokenize([text for texts in parts for text in texts]))
        return [
            grid if isinstance(grid, ImageError) else self._packed(request, grid, [next(ids) for _ in texts])
            for request, grid, texts in zip(requests, grids, parts, strict=True)
        ]

    def _parts(self, request: JudgeRequest, grids: Sequence[Grid]) -> list[str]:
        before, tail = self._template(request)
        return [self._fill(before, grids) + request.fields, *(q.text + tail for q in request.questions)]

    def _packed(self, request: JudgeRequest, grids: tuple[Grid, ...], ids: Sequence[tuple[int, ...]]) -> PackedRequest:
        self._check_placeholders(ids, grids)
        prefix, *branches = ids
        _, tail = self._template(request)
        return PackedRequest(
            Prompt(prefix, grids, self._pictures(request, grids)),
            branch_ids=tuple(branches),
            option_ids=tuple(self._options(question, tail) for question in request.questions),
        )

    def prompt(self, request: WriteRequest) -> Prompt:
        """The sample and what is to be written, up to where the reply begins. Raises ImageError as `pack` does."""
        before, tail = self._template(request)
        grids = self._grids(request)
        [ids] = self._tokenize([self._fill(before, grids) + request.fields + request.writing.text + tail])
        self._check_placeholders([ids], grids)
        return Prompt(ids, grids, self._pictures(request, grids))

    def area(self, request: JudgeRequest | WriteRequest) -> int:
        """Pixels of the largest image as the model sees it, but for whole patches; 0 without images."""
        smallest, largest = self._areas(request.max_pixels)
        return max((min(max(w * h, smallest), largest) for w, h in (image.size for image in request.images)), default=0)

    def _tokenize(self, texts: Sequence[str]) -> list[tuple[int, ...]]:
        if not texts:
            return []
        return [tuple(ids) for ids in self.loaded.tokenizer(list(texts), add_special_tokens=False).input_ids]

    def _template(self, request: JudgeRequest | WriteRequest) -> tuple[str, str]:
        before = tuple((len(passage.images), passage.text) for passage in _passages(request))
        key = (request.instructions, len(request.images), before)
        if key not in self._templates:
            self._templates[key] = split_prompt(self._render, request.instructions, len(request.images), "", before)
        return self._templates[key]

    def _render(self, messages: Sequence[Message]) -> str:
        try:
            text: str = self.loaded.tokenizer.apply_chat_template(
                list(messages), tokenize=False, add_generation_prompt=True
            )
        except ValueError as exc:
            raise EngineError(
                f"{self.loaded.source} has no chat template: take chat_template.jinja, or chat_template.json, "
                "from where config.json is from"
            ) from exc
        return text

    def _grids_or_why(self, request: JudgeRequest) -> tuple[Grid, ...] | ImageError:
        try:
            return self._grids(request)
        except ImageError as exc:
            return exc

    def _grids(self, request: JudgeRequest | WriteRequest) -> tuple[Grid, ...]:
        areas = self._areas(request.max_pixels)
        try:
            return tuple(self._patching.grid(*image.size, *areas) for image in _images(request))
        except ValueError as exc:
            raise ImageError(f"the model takes no such image: {first_line(exc)}") from exc

    def _pictures(self, request: JudgeRequest | WriteRequest, grids: Sequence[Grid]) -> Pictures:
        return Pictures(_images(request), grids, self._patching)

    def _areas(self, max_pixels: int | None) -> tuple[int, int]:
        """Pixels that an image is enlarged to at least, and shrunk to at most, but for whole patches."""
        size = dict(self.loaded.image_processor.size)
        smallest, largest = int(size["shortest_edge"]), int(size["longest_edge"])
        return (smallest, largest) if max_pixels is None else (min(smallest, max_pixels), max_pixels)

    def _placeholders(self, grid: Grid) -> int:
        return prod(grid) // self._patching.merge**2

    def _fill(self, text: str, grids: Sequence[Grid]) -> str:
        pad = self.loaded.tokenizer.convert_ids_to_tokens(self.loaded.image_token_id)
        parts = text.split(pad)
        if len(parts) != len(grids) + 1:
            raise EngineError(
                f"the chat template of {self.loaded.source} renders {len(parts) - 1} images instead of {len(grids)}"
            )
        counts = [*(self._placeholders(grid) for grid in grids), 0]
        return "".join(part + pad * count for part, count in zip(parts, counts, strict=True))

    def _check_placeholders(self, rows: Sequence[tuple[int, ...]], grids: Sequence[Grid]) -> None:
        found = sum(row.count(self.loaded.image_token_id) for row in rows)
        expected = sum(self._placeholders(grid) for grid in grids)
        if found != expected:
            raise EngineError(
                f"{found} image placeholders in the prompt where {expected} belong; "
                "a text of the sample holds the model's own image token: render it neutralised"
            )

    def _options(self, question: Question, tail: str) -> tuple[int, ...]:
        ids = tuple(self._option_id(option.token, tail) for option in question.options)
        if len(set(ids)) != len(ids):
            raise EngineError(f"question {question.id}: two options share a token in this model; word them differently")
        return ids

    def _option_id(self, token: str, tail: str) -> int:
        if (token, tail) not in self._option_ids:
            alone, ids = self._tokenize([tail, tail + token])
            if len(ids) != len(alone) + 1 or ids[:-1] != alone:
                raise EngineError(
                    f"{token!r} is not a single token after the prompt of {self.loaded.source}; use another word"
                )
            self._option_ids[token, tail] = ids[-1]
        return self._option_ids[token, tail]


def _passages(request: JudgeRequest | WriteRequest) -> tuple[Passage, ...]:
    return request.passages if isinstance(request, JudgeRequest) else ()


def _images(request: JudgeRequest | WriteRequest) -> tuple[Image.Image, ...]:
    """All images in the order of the prompt."""
    return (*(image for passage in _passages(request) for image in passage.images), *request.images)
