"""One task in, one prediction out: joins the core, the images, the engine and the store."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Protocol

from backend.core.audit import blind_prediction, number_of
from backend.core.case import JudgeOptions
from backend.core.examples import check_scale
from backend.core.judging import Given, Judge, Judging, make_judging
from backend.core.kinds import Kind, kind_of
from backend.core.label_config import LabelConfig
from backend.core.rubric import Rubric
from backend.core.types import Sample, Verdict
from backend.engines.base import Engine, Passage
from backend.engines.rubrics import ready_rubric
from backend.engines.run import Pictured, run_flows
from backend.errors import EngineDead, ImageAway, ImageError, StoreError, TaskError, VlmJudgeError
from backend.example_files import show_lessons
from backend.store import Store

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger(__name__)

FETCHERS = 8
"""Images are fetched and decoded by this many threads."""

PROJECTS = 256
"""Label configs whose judging is remembered."""

LESSONS = 8
"""Examples whose decoded images are kept, 50 MB each at most: those of one file, under as many rubrics."""


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
    judging: Judging


@dataclass(frozen=True, slots=True)
class Failure:
    """A task that cannot be judged, and why."""

    task: str
    reason: str
    transient: bool = False
    """Whether it may be judged when asked again: the model is not loaded, a server is away."""


class JudgeService:
    """Judges tasks. `judge` must be called from the one thread that owns the engine; the rest from anywhere."""

    def __init__(
        self,
        engine: Engine,
        images: Images,
        store: Store,
        rubric: Rubric | None = None,
        options: JudgeOptions | None = None,
    ) -> None:
        """`rubric` judges every project; None takes the engine's own, or the ready one for the project's kind.

        Raises SettingsError for examples that do not fit it.
        """
        self.engine = engine
        self._rubric = rubric
        self._options = options or JudgeOptions()
        self._images = images
        self.store = store
        self.store_problem: str | None = None
        """Why verdicts could not be kept when that was tried last; None when they could."""
        identity = engine.identity
        self._judge = Judge(identity.name, identity.details)
        if self._options.examples:
            check_scale(self._options.examples, self._rubric_for(self._options.examples.kind))
        self.fetchers = ThreadPoolExecutor(FETCHERS, thread_name_prefix="images")
        """The threads in which images are fetched and decoded."""
        self._shown = lru_cache(LESSONS)(show_lessons)
        self.judging = lru_cache(PROJECTS)(self._judging)
        """How to judge under a label config. Raises LabelConfigError when nothing could be filled."""

    @property
    def name(self) -> str:
        """The judge's short name."""
        return self._judge.name

    def prepare(self, tasks: Sequence[Mapping[str, Any]], config: LabelConfig) -> list[Prepared | Failure]:
        """Bind each task and fetch its images; what is wrong with one task fails that task alone."""
        return [future.result() for future in self.prepare_each(tasks, config)]

    def prepare_each(self, tasks: Sequence[Mapping[str, Any]], config: LabelConfig) -> list[Future[Prepared | Failure]]:
        """The same, as one future per task. Raises LabelConfigError."""
        judging = self.judging(config)
        return [self.fetchers.submit(self._prepare, task, judging) for task in tasks]

    def prepare_one(self, task: Mapping[str, Any], judging: Judging) -> Prepared | Failure:
        """Bind one task and fetch its images, in the calling thread."""
        return self._prepare(task, judging)

    def known(self, prepared: Sequence[Prepared]) -> dict[str, Verdict]:
        """Verdicts that are in the store, by content key; none while the store cannot be read."""
        try:
            return self.store.verdicts.get([item.key for item in prepared])
        except StoreError as exc:
            self._note_store_problem(str(exc))
            return {}

    def judge_each(self, batch: Sequence[Prepared]) -> list[Verdict | Failure]:
        """One verdict per sample; when the batch fails, sample by sample, so that a bad one fails alone.

        Raises EngineDead.
        """
        try:
            return list(self.judge(batch))
        except EngineDead:
            raise
        except VlmJudgeError as exc:
            if len(batch) > 1:
                return [result for item in batch for result in self.judge_each([item])]
            return [Failure(batch[0].sample.task, f"task {batch[0].sample.task}: {exc}", transient=True)]

    def judge(self, batch: Sequence[Prepared]) -> list[Verdict]:
        """One verdict per sample, from the engine; also put into the store. Raises EngineError.

        A verdict that lacks something which may be answered when asked again is `unsettled` and not stored.
        """
        runs = run_flows(
            self.engine,
            [item.judging.flow(item.sample) for item in batch],
            [Pictured(item.images, item.judging.rubric, self.passages(item.judging)) for item in batch],
        )
        self._keep({item.key: run.result for item, run in zip(batch, runs, strict=True) if run.settled})
        return [run.result if run.settled else replace(run.result, unsettled=True) for run in runs]

    def given(self, judging: Judging, task: Mapping[str, Any], verdict: Verdict) -> Given:
        """What a project is given for a task's verdict, as `Judging.given`.

        Tasks above the certified threshold that people look at again stay blind as well, when they are judged anew.
        """
        given, plan, number = judging.given(task, verdict), judging.config.audit, number_of(task)
        place = plan.place_again(number) if plan and number is not None else None
        if plan is None or number is None or place is None or given.withheld is not None:
            return given
        if not self._is_kept(plan.key, number):
            return given
        return Given(blind_prediction(place, judging.fingerprint), withheld=given.prediction)

    def _is_kept(self, audit_key: str, task: int) -> bool:
        """Whether people are kept from what a judge said of a task; also where the store cannot tell."""
        try:
            return bool(self.store.withheld.get(audit_key, (task,)))
        except StoreError as exc:
            self._note_store_problem(str(exc))
            return True

    def close(self) -> None:
        """Stop the threads that fetch images and let go of the store."""
        self.fetchers.shutdown(wait=False, cancel_futures=True)
        self.store.close()

    def _keep(self, verdicts: Mapping[str, Verdict]) -> None:
        """Put verdicts into the store; where it cannot be written they are answered all the same."""
        try:
            self.store.verdicts.put(verdicts)
        except StoreError as exc:
            self._note_store_problem(str(exc))
        else:
            self.store_problem = None

    def _note_store_problem(self, problem: str) -> None:
        if self.store_problem is None:
            log.error("verdicts are not kept and will be judged again: %s", problem)
        self.store_problem = problem

    def _judging(self, config: LabelConfig) -> Judging:
        return make_judging(config, self._rubric_for(kind_of(config)), self._options, self._judge)

    def _rubric_for(self, kind: Kind) -> Rubric:
        own = self._rubric or self.engine.default_rubric
        return own if self._rubric or own.only_wording else ready_rubric(kind)

    def passages(self, judging: Judging) -> tuple[Passage, ...]:
        """What stands before every sample; the same object for the same lessons, whichever project they are for."""
        return self._shown(judging.lessons) if judging.lessons else ()

    def _prepare(self, task: Mapping[str, Any], judging: Judging) -> Prepared | Failure:
        name = str(task.get("id", "without id"))
        try:
            sample = judging.bind(task)
            images = tuple(self._image(name, ref.name, ref.uri) for ref in sample.images)
        except TaskError as exc:
            return Failure(name, str(exc), transient=isinstance(exc, ImageAway))
        return Prepared(sample, images, content_key(sample, images, judging), judging)

    def _image(self, task: str, field: str, uri: str) -> Image.Image:
        try:
            return self._images.load(uri, task)
        except ImageError as exc:
            raise type(exc)(f"task {task}, `{field}`: {exc}") from exc


def content_key(sample: Sample, images: Sequence[Image.Image], judging: Judging) -> str:
    """SHA-256 over the decoded pixels with the images' names, the texts with names and roles, and the fingerprint.

    A form may draw its choices from anywhere in the task's data, so where there is one, all of the data count.
    """
    digest = hashlib.sha256(judging.fingerprint.encode())
    for ref, image in zip(sample.images, images, strict=True):
        digest.update(f"|{ref.name}|{image.width}x{image.height}|".encode())
        digest.update(image.tobytes())
    texts = [[text.name, text.role, text.value] for text in sample.texts]
    digest.update(json.dumps([texts, sample.generator], ensure_ascii=False).encode())
    if judging.form.controls:
        digest.update(json.dumps(dict(sample.data), ensure_ascii=False, sort_keys=True, default=str).encode())
    return digest.hexdigest()
