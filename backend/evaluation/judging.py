"""Judges labelled samples and pairs, with their own images and with blank ones."""

from __future__ import annotations

import hashlib
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from backend.core.label_config import LabelConfig, parse_label_config
from backend.core.measures import average_orders
from backend.core.prompts import render_fields
from backend.core.rubric import Rubric
from backend.core.types import Option, Question, Scored, TextField, Unscored, Verdict
from backend.engines.base import Engine, JudgeRequest, Passage
from backend.engines.run import blank
from backend.errors import EngineError, ImageError, RowError
from backend.evaluation.samples import Candidate, LabelledPair, LabelledSample, Picture
from backend.images import ImageLoader
from backend.interfaces import default_label_config
from backend.service import Failure, JudgeService, Prepared

if TYPE_CHECKING:
    from PIL import Image

NO_VERDICT = "the judge gave no verdict"
SIDES = (Option("first", "A"), Option("second", "B"))
BY_IMAGE = "Which text fits the image better, A or B? Answer with one letter only."
BY_REQUEST = "Which of the two answers the request better, A or B? Answer with one letter only."

JudgePairs = Callable[[Sequence["LoadedPair"]], list["PairJudgement | RowError"]]


@dataclass(frozen=True, slots=True)
class SampleJudgement:
    """What the judge says of one sample."""

    accept_prob: float
    expected: Mapping[str, float]
    """Expected value by criterion."""


@dataclass(frozen=True, slots=True)
class PairJudgement:
    """What the judge says of one pair, asked in both orders."""

    first_prob: float
    """Probability that the first is better, averaged over both orders in logit space."""
    orders_agree: bool
    """Whether the same candidate is preferred in both."""


@dataclass(frozen=True, slots=True)
class LoadedPair:
    """A pair with its images decoded."""

    pair: LabelledPair
    images: tuple[Image.Image, ...]
    """Those that both candidates are about."""
    first_images: tuple[Image.Image, ...]
    second_images: tuple[Image.Image, ...]

    @property
    def all_images(self) -> tuple[Image.Image, ...]:
        """All of them, in a fixed order."""
        return (*self.images, *self.first_images, *self.second_images)

    def blank(self) -> LoadedPair:
        """The same with grey images."""
        shown = (self.images, self.first_images, self.second_images)
        return LoadedPair(self.pair, *(tuple(map(blank, images)) for images in shown))


class HeldImages:
    """Images in memory, under names that stand in the tasks; what the service loads while data are evaluated."""

    def __init__(self) -> None:
        self._held: dict[str, Image.Image] = {}

    def load(self, uri: str, task: str | None = None) -> Image.Image:
        """The image held under this name."""
        return self._held[uri]

    def hold(self, images: Sequence[Image.Image]) -> list[str]:
        """Keep these, and say under which names."""
        names = [f"held:{len(self._held) + number}" for number in range(len(images))]
        self._held.update(zip(names, images, strict=True))
        return names

    def drop(self) -> None:
        """Let go of all."""
        self._held.clear()


def load_pictures(pictures: Sequence[Picture], loader: ImageLoader) -> tuple[Image.Image, ...]:
    """The images, decoded under the loader's limits. Raises RowError."""
    try:
        return tuple(_load(picture, loader) for picture in pictures)
    except ImageError as exc:
        raise RowError("an image cannot be read", str(exc)) from exc


def _load(picture: Picture, loader: ImageLoader) -> Image.Image:
    if picture.address is not None:
        return loader.load(picture.address)
    if picture.content is not None:
        return loader.decode(picture.content, "the embedded image")
    try:
        content = picture.path.read_bytes() if picture.path else b""
    except OSError as exc:
        raise ImageError(f"{picture.path}: {exc.strerror}") from exc
    return loader.decode(content, str(picture.path))


def image_hash(images: Sequence[Image.Image]) -> str:
    """SHA-256 over sizes and pixels, 64 hex digits."""
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"|{image.width}x{image.height}|".encode())
        digest.update(image.tobytes())
    return digest.hexdigest()


def label_config_for(sample: LabelledSample) -> LabelConfig:
    """The product's label config, with this sample's images and texts as what it shows."""
    root = ElementTree.fromstring(default_label_config())  # noqa: S314 - our own file
    for tag in [tag for tag in root.iter("Text") if tag.get("name") == "caption"]:
        tag.set("value", f"${next(text.name for text in sample.texts if text.role == 'candidate')}")
    for text in sample.texts:
        if text.role == "context":
            ElementTree.SubElement(root, "Text", name=text.name, value=f"${text.name}")
    for number in range(1, len(sample.pictures)):
        ElementTree.SubElement(root, "Image", name=f"image{number + 1}", value=f"$image{number + 1}")
    return parse_label_config(ElementTree.tostring(root, encoding="unicode"))


class SampleJudge:
    """Judges samples by the service that also judges projects."""

    def __init__(self, service: JudgeService, held: HeldImages) -> None:
        self._service = service
        self._held = held
        self.rubrics: dict[str, Rubric] = {}
        """By fingerprint, what the samples so far were judged by: one, or more where their kinds differ."""

    def is_taught(self, sample: LabelledSample) -> bool:
        """Whether the judge is shown examples before it."""
        return bool(self._service.judging(label_config_for(sample)).lessons)

    def judge(
        self, samples: Sequence[tuple[LabelledSample, tuple[Image.Image, ...]]]
    ) -> list[SampleJudgement | RowError]:
        """One judgement per sample, or why there is none."""
        prepared = [self._prepare(*item) for item in samples]
        ready = [item for item in prepared if not isinstance(item, Failure)]
        verdicts = iter(self._service.judge_each(ready))
        results = [item if isinstance(item, Failure) else next(verdicts) for item in prepared]
        self._held.drop()
        return [_sample_judgement(result) for result in results]

    def _prepare(self, sample: LabelledSample, images: tuple[Image.Image, ...]) -> Prepared | Failure:
        config = label_config_for(sample)
        judging = self._service.judging(config)
        self.rubrics[judging.fingerprint] = judging.rubric
        return self._service.prepare([self._task(sample, images)], config)[0]

    def _task(self, sample: LabelledSample, images: tuple[Image.Image, ...]) -> dict[str, Any]:
        names = self._held.hold(images)
        fields = {("image" if number == 0 else f"image{number + 1}"): name for number, name in enumerate(names)}
        return {"id": sample.name, "data": {**{text.name: text.value for text in sample.texts}, **fields}}


def _sample_judgement(result: Verdict | Failure) -> SampleJudgement | RowError:
    if isinstance(result, Failure):
        return RowError("the judge failed", result.reason)
    expected = {answer.question.id: answer.expected for answer in result.answers if isinstance(answer, Scored)}
    if result.decision is None:
        reasons = [answer.reason for answer in result.answers if isinstance(answer, Unscored)]
        return RowError(NO_VERDICT, "; ".join(dict.fromkeys(reasons)))
    return SampleJudgement(result.decision_probs["accept"], expected)


def pair_judge(engine: Engine, instructions: str, passages: tuple[Passage, ...] = ()) -> JudgePairs:
    """Judges pairs by asking which of A and B is better, in both orders, behind the passages."""

    def judge(pairs: Sequence[LoadedPair]) -> list[PairJudgement | RowError]:
        plain = [_pair_request(item, instructions, swap) for item in pairs for swap in (False, True)]
        requests = [replace(request, passages=passages) for request in plain]
        try:
            answers = [reply[0] for reply in engine.answer(requests)]
        except EngineError as exc:
            if len(pairs) > 1:
                return [result for item in pairs for result in judge([item])]
            return [RowError("the judge failed", str(exc))]
        return [_pair_judgement(*answers[at : at + 2]) for at in range(0, len(answers), 2)]

    return judge


def _pair_judgement(plain: Scored | Unscored, swapped: Scored | Unscored) -> PairJudgement | RowError:
    if isinstance(plain, Unscored) or isinstance(swapped, Unscored):
        reasons = [answer.reason for answer in (plain, swapped) if isinstance(answer, Unscored)]
        return RowError(NO_VERDICT, "; ".join(dict.fromkeys(reasons)))
    one, other = plain.prob("first"), swapped.prob("second")
    return PairJudgement(average_orders(one, other), (one > 0.5) == (other > 0.5))


def _pair_request(item: LoadedPair, instructions: str, swap: bool) -> JudgeRequest:
    pair = item.pair
    sides = [(pair.first, item.first_images), (pair.second, item.second_images)]
    (a, a_images), (b, b_images) = reversed(sides) if swap else sides
    own = bool(a_images or b_images)
    texts = [TextField("question", pair.context, "context")] if pair.context else []
    if own:
        texts.append(TextField("images", _whose([len(item.images), len(a_images), len(b_images)]), "context"))
    texts += [TextField(name, _said(side)) for name, side in (("A", a), ("B", b))]
    question = Question("better", BY_REQUEST if own else BY_IMAGE, SIDES)
    return JudgeRequest((*item.images, *a_images, *b_images), instructions, render_fields(texts), (question,))


def _said(candidate: Candidate) -> str:
    return candidate.text or "[image only]"


def _whose(counts: Sequence[int]) -> str:
    """Which image belongs to what, in words: they stand in one row before the texts."""
    parts, at = [], 0
    for owner, count in zip(("the question", "A", "B"), counts, strict=True):
        if count:
            numbers = f"image {at + 1}" if count == 1 else f"images {at + 1} to {at + count}"
            parts.append(f"{numbers}: {owner}")
        at += count
    return "; ".join(parts)
