"""One task in, one prediction out: joins the core, the images, the engine and the store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from backend.core.claims import Piece, split_claims, split_words
from backend.core.label_config import LabelConfig
from backend.core.predictions import FAILED, prediction
from backend.core.prompts import PROMPT_VERSION, claim_question, render_fields, word_question
from backend.core.rubric import Rubric
from backend.core.sample import bind
from backend.core.scoring import MIN_LABEL_MASS
from backend.core.types import Answer, Evidence, Feature, Question, Sample, Scored, Unscored, Verdict
from backend.core.verdict import SUPPORTED, claim_probs, make_verdict, unsupported_spans
from backend.engines.base import Engine, JudgeRequest
from backend.errors import ImageError, TaskError, VlmJudgeError
from backend.store import VerdictStore

if TYPE_CHECKING:
    from PIL import Image

MOST_WORDS = 64
"""Words of doubted claims that are asked about one by one; claims beyond that are marked whole."""

FETCHERS = 8
"""Images are fetched and decoded by this many threads."""


class Images(Protocol):
    """Where pictures come from; `backend.images.ImageLoader` in the product."""

    def load(self, uri: str, task: str | None = None) -> Image.Image:
        """The picture in RGB; the task's id helps to read cloud storage. Raises ImageError."""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A sample ready for the engine."""

    sample: Sample
    images: tuple[Image.Image, ...]
    key: str
    """Content key: SHA-256 over pixels, texts and fingerprint."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that cannot be judged, and why."""

    task: str
    reason: str


class JudgeService:
    """Judges tasks. `judge` must be called from the one thread that owns the engine; the rest from anywhere."""

    def __init__(self, engine: Engine, images: Images, store: VerdictStore, rubric: Rubric | None = None) -> None:
        self.engine = engine
        self.rubric = rubric or engine.default_rubric
        self._images = images
        self._store = store
        self.fingerprint = fingerprint(engine, self.rubric)
        self._fetchers = ThreadPoolExecutor(FETCHERS, thread_name_prefix="images")

    def prepare(self, tasks: Sequence[Mapping[str, Any]], config: LabelConfig) -> list[Prepared | Failure]:
        """Bind each task and fetch its images; what is wrong with one task fails that task alone."""
        return [future.result() for future in self.prepare_each(tasks, config)]

    def prepare_each(self, tasks: Sequence[Mapping[str, Any]], config: LabelConfig) -> list[Future[Prepared | Failure]]:
        """The same, as one future per task."""
        return [self._fetchers.submit(self._prepare, task, config) for task in tasks]

    def known(self, prepared: Sequence[Prepared]) -> dict[str, Verdict]:
        """Verdicts that are in the store, by content key."""
        return self._store.get([item.key for item in prepared])

    def judge_each(self, batch: Sequence[Prepared]) -> list[Verdict | Failure]:
        """One verdict per sample; when the batch fails, sample by sample, so that a bad one fails alone."""
        try:
            return list(self.judge(batch))
        except VlmJudgeError as exc:
            if len(batch) > 1:
                return [result for item in batch for result in self.judge_each([item])]
            return [Failure(batch[0].sample.task, f"task {batch[0].sample.task}: {exc}")]

    def judge(self, batch: Sequence[Prepared]) -> list[Verdict]:
        """One verdict per sample, from the engine; also put into the store. Raises EngineError."""
        first = self.engine.answer([self._request(item) for item in batch])
        answers = [dict(_by_id(reply)) for reply in first]
        doubtful = [index for index, reply in enumerate(answers) if _doubted_claims(reply)]
        if doubtful:
            requests = [self._word_request(batch[index], answers[index]) for index in doubtful]
            for index, reply in zip(doubtful, self.engine.answer(requests), strict=True):
                answers[index].update(_by_id(reply))
        verdicts = [self._verdict(item, reply) for item, reply in zip(batch, answers, strict=True)]
        complete = {
            item.key: verdict for item, verdict in zip(batch, verdicts, strict=True) if verdict.decision is not None
        }
        self._store.put(complete)
        return verdicts

    def failed(self, failure: Failure) -> Verdict:
        """The answer to a task that could not be judged: every criterion unscored, with the reason.

        Its fingerprint ends in "-failed", so that Label Studio asks for the task again.
        """
        answers = tuple(
            Unscored(self.rubric.question(criterion), failure.reason)
            for criterion in self.rubric.criteria
            if criterion.needs is None
        )
        evidence = Evidence(rationale=f"Not judged: {failure.reason}")
        return Verdict(answers, None, {}, 0.0, evidence, self.fingerprint + FAILED)

    def predict(self, verdict: Verdict, config: LabelConfig) -> dict[str, Any]:
        """The verdict as Label Studio takes it."""
        return prediction(verdict, self.rubric, config)

    def close(self) -> None:
        """Stop the threads that fetch images and let go of the store."""
        self._fetchers.shutdown(wait=False, cancel_futures=True)
        self._store.close()

    def _prepare(self, task: Mapping[str, Any], config: LabelConfig) -> Prepared | Failure:
        name = str(task.get("id", "without id"))
        try:
            sample = bind(task, config)
            images = tuple(self._image(name, ref.name, ref.uri) for ref in sample.images)
        except TaskError as exc:
            return Failure(name, str(exc))
        return Prepared(sample, images, content_key(sample, images, self.fingerprint))

    def _image(self, task: str, field: str, uri: str) -> Image.Image:
        try:
            return self._images.load(uri, task)
        except ImageError as exc:
            raise ImageError(f"task {task}, `{field}`: {exc}") from exc

    def _request(self, item: Prepared) -> JudgeRequest:
        roles = {text.role for text in item.sample.texts}
        criteria = [
            self.rubric.question(criterion)
            for criterion in self.rubric.criteria
            if criterion.needs is None or criterion.needs in roles
        ]
        return self._ask(item, [*criteria, *self._claims(item.sample), *self._features(item.sample)])

    def _ask(self, item: Prepared, questions: Sequence[Question]) -> JudgeRequest:
        fields = render_fields(item.sample.texts)
        return JudgeRequest(item.images, self.rubric.instructions, fields, tuple(questions))

    def _claims(self, sample: Sample) -> list[Question]:
        template = self.rubric.checks.claim
        return [
            claim_question(number, template, piece.text)
            for number, piece in enumerate(split_claims(sample.candidate.value))
        ]

    def _features(self, sample: Sample) -> list[Question]:
        template = self.rubric.checks.claim
        asked = [claim_question(number, template, text) for number, text in enumerate(sample.requested)]
        return [Question(f"feature:{number}", question.text, question.options) for number, question in enumerate(asked)]

    def _word_request(self, item: Prepared, answers: Mapping[str, Answer]) -> JudgeRequest:
        claims = dict(enumerate(split_claims(item.sample.candidate.value)))
        questions = [
            word_question(number, index, self.rubric.checks.word, word.text, claims[number].text)
            for number in _doubted_claims(answers)
            for index, word in enumerate(split_words(claims[number]))
            if word.text.lower() not in self.rubric.checks.skip_words
        ][:MOST_WORDS]
        return self._ask(item, questions)

    def _verdict(self, item: Prepared, answers: Mapping[str, Answer]) -> Verdict:
        claims: dict[int, Piece] = dict(enumerate(split_claims(item.sample.candidate.value)))
        features = [
            Feature(text, reply.prob("yes"))
            for number, text in enumerate(item.sample.requested)
            if isinstance(reply := answers.get(f"feature:{number}"), Scored)
        ]
        criteria = [answers[criterion.id] for criterion in self.rubric.criteria if criterion.id in answers]
        spans = unsupported_spans(claims, answers)
        return make_verdict(self.rubric, criteria, spans, features, self.fingerprint, claim_probs(answers.values()))


def fingerprint(engine: Engine, rubric: Rubric) -> str:
    """Name and 12 hex digits of a SHA-256 over everything that decides a verdict; Label Studio's `model_version`."""
    identity = engine.identity
    reading = f"{PROMPT_VERSION}/{MIN_LABEL_MASS}/{SUPPORTED}/{MOST_WORDS}"
    parts = {"engine": dict(identity.details), "rubric": rubric.hash, "reading": reading}
    digest = hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
    return f"{identity.name}-{digest[:12]}"


def content_key(sample: Sample, images: Sequence[Image.Image], mark: str) -> str:
    """SHA-256 over the decoded pixels, the texts with their names and roles, and the fingerprint."""
    digest = hashlib.sha256(mark.encode())
    for image in images:
        digest.update(f"|{image.width}x{image.height}|".encode())
        digest.update(image.tobytes())
    texts = [[text.name, text.role, text.value] for text in sample.texts]
    digest.update(json.dumps(texts, ensure_ascii=False).encode())
    return digest.hexdigest()


def _by_id(answers: Sequence[Answer]) -> list[tuple[str, Answer]]:
    return [(answer.question.id, answer) for answer in answers]


def _doubted_claims(answers: Mapping[str, Answer]) -> list[int]:
    """Numbers of the claims that the image does not support, in the text's order."""
    return [
        int(name.removeprefix("claim:"))
        for name, answer in answers.items()
        if name.startswith("claim:") and isinstance(answer, Scored) and answer.prob("yes") < SUPPORTED
    ]
