"""The judge without a server: samples in, verdicts out."""

from __future__ import annotations

import threading
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import count, groupby
from pathlib import Path
from typing import Any

from backend import service as judging_service
from backend.batch.forgetful import Forgetful
from backend.core.case import JudgeOptions
from backend.core.choices import EngineName
from backend.core.judging import Judging
from backend.core.label_config import parse_label_config
from backend.core.rubric import load_rubric
from backend.core.types import Verdict as CoreVerdict
from backend.engines.factory import make_engine
from backend.errors import EngineDead, EngineError, LabelConfigError, TaskError
from backend.example_files import examples_of
from backend.images import ImageLoader
from backend.outcomes import Outcome, judge_tasks
from backend.public.results import Failure, Result, public_verdict
from backend.public.samples import Bound, GivenImages, Sample, bind_sample, name_of
from backend.settings import load_settings
from backend.store import Store
from backend.worker import Worker

CLOSED = "this judge is closed; make another"


@dataclass(frozen=True, slots=True)
class _Taken:
    """A sample that was taken in: bound, or why it could not be."""

    task: str
    """Unlike its name no other's."""
    sample: Bound | Failure

    @property
    def label_config(self) -> str | None:
        return self.sample.label_config if isinstance(self.sample, Bound) else None


class Judge(AbstractContextManager["Judge"]):
    """Judges samples in this process. The model is loaded once, on entering or at the first sample.

    `with Judge() as judge: judge.judge([{"image": "a.png", "caption": "A red car."}])`. May be used from several
    threads, whose samples are judged in the same batches.
    """

    def __init__(
        self,
        engine: EngineName | None = None,
        *,
        model: str | None = None,
        rubric: str | Path | None = None,
        label_config: str | Path | None = None,
        servers: str | Sequence[str] = (),
        store: str | Path | None = None,
        **settings: Any,
    ) -> None:
        """Reads everything that the judge needs except the model.

        `engine` is `demo`, `local` or `remote`; None is `remote` with `servers`, `local` with a `model`, else what is
        set elsewhere. `servers` is an address or several. `rubric` is a file or the name of a ready one. `label_config`
        is a file or XML; samples are then mappings with its keys. `store` remembers verdicts in a SQLite file; None
        forgets them. Other settings go by their names, e.g. `max_pixels=500_000`; what is not given comes from
        `VLM_JUDGE_...` variables, else from the file `vlm-judge.toml` of the current folder.

        Raises SettingsError, RubricError or LabelConfigError.
        """
        chosen = engine or ("remote" if servers else "local" if model else None)
        asked = servers if isinstance(servers, str) else tuple(servers)
        self._settings = load_settings(engine=chosen, model=model, rubric=rubric, servers=asked or None, **settings)
        self._label_config = _xml(label_config)
        self._images = GivenImages(ImageLoader(self._settings), self._settings.max_image_bytes)
        self._service = judging_service.JudgeService(
            make_engine(self._settings),
            self._images,
            Forgetful() if store is None else Store(str(store)),
            load_rubric(self._settings.rubric) if self._settings.rubric else None,
            JudgeOptions(self._settings.explain, self._settings.reliance, examples_of(self._settings)),
        )
        if self._label_config is not None:
            self._service.judging(parse_label_config(self._label_config))
        self._worker = Worker(self._service, self._settings.batch_size)
        self._tasks = count()
        self._started = self._closed = False
        self._lock = threading.Lock()

    def __enter__(self) -> Judge:
        self.load()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def load(self) -> None:
        """Load the model, unless it is; also where that failed before. Raises EngineError saying what is missing."""
        self._loaded_worker()

    def _loaded_worker(self) -> Worker:
        with self._lock:
            if self._closed:
                raise EngineError(CLOSED)
            if self._worker.ready and self._worker.failure is not None and not self._worker.is_dead:
                self._worker.stop()
                self._worker = Worker(self._service, self._settings.batch_size)
                self._started = False
            if not self._started:
                # tqdm, which transformers imports, says so in every notebook without widgets; we show none
                warnings.filterwarnings("ignore", message="IProgress not found")
                self._worker.start()
                self._started = True
            worker = self._worker
        worker.wait_until_loaded()
        _refuse_failed(worker)
        return worker

    def close(self) -> None:
        """Let go of the model; what is being judged is not waited for beyond the batch at hand."""
        with self._lock:
            self._closed = True
        self._worker.stop()
        self._service.close()

    def judge(self, samples: Iterable[Sample | Mapping[str, Any]]) -> tuple[Result, ...]:
        """One result per sample, in order; what cannot be judged is a Failure, and the others are judged.

        Raises EngineError when the model cannot be loaded or is lost.
        """
        return tuple(self.stream(samples))

    def stream(self, samples: Iterable[Sample | Mapping[str, Any]]) -> Iterator[Result]:
        """The same one by one, still in order; samples are taken only as far as they can be judged soon.

        Samples of one kind that come after each other are judged together. What their iterator raises is raised after
        the results of the samples before it.
        """
        if isinstance(samples, Sample | Mapping | str):
            raise TypeError(f"samples are given as a list or another iterable, not as one {type(samples).__name__}")
        return self._stream(samples)

    def _stream(self, samples: Iterable[Any]) -> Iterator[Result]:
        worker = self._loaded_worker()
        source = _Source(samples)
        taken = (self._take(sample, place) for place, sample in enumerate(source))
        for label_config, alike in groupby(taken, lambda item: item.label_config):
            if label_config is None:
                yield from (item.sample for item in alike if isinstance(item.sample, Failure))
            else:
                yield from self._judged(worker, label_config, alike)
        if source.raised is not None:
            raise source.raised

    def _take(self, sample: Any, place: int) -> _Taken:
        task = f"sample {next(self._tasks)}"
        try:
            return _Taken(task, bind_sample(sample, place, self._label_config))
        except TaskError as exc:
            return _Taken(task, Failure(name_of(sample, place), str(exc)))

    def _judged(self, worker: Worker, label_config: str, alike: Iterable[_Taken]) -> Iterator[Result]:
        judging = self._service.judging(parse_label_config(label_config))
        waiting: deque[tuple[str, str]] = deque()
        """Tasks with their samples' names, in order."""
        done: dict[str, CoreVerdict | judging_service.Failure] = {}

        def tasks() -> Iterator[dict[str, Any]]:
            for item in alike:
                if isinstance(item.sample, Bound):
                    waiting.append((item.task, item.sample.name))
                    self._images.hold(item.task, item.sample.held)
                    yield {"id": item.task, "data": item.sample.data}

        try:
            for outcome in self._outcomes(worker, tasks(), judging):
                task = str(outcome.task["id"])
                self._images.drop(task)
                done[task] = _result(worker, outcome)
                while waiting and waiting[0][0] in done:
                    task, name = waiting.popleft()
                    result = done.pop(task)
                    if isinstance(result, CoreVerdict):
                        yield public_verdict(name, result, judging.rubric)
                    else:
                        yield _failure(name, task, result)
        finally:
            for task, _ in waiting:
                self._images.drop(task)

    def _outcomes(self, worker: Worker, tasks: Iterator[dict[str, Any]], judging: Judging) -> Iterator[Outcome]:
        try:
            yield from judge_tasks(self._service, worker, tasks, judging, look_up=False)
        except RuntimeError as exc:  # the threads that fetch take nothing more
            if self._closed:
                raise EngineError(CLOSED) from exc
            raise


class _Source:
    """Samples as they come; what their iterator raises ends them, and is kept."""

    def __init__(self, samples: Iterable[Any]) -> None:
        self._samples = samples
        self.raised: Exception | None = None

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._samples
        except Exception as exc:  # noqa: BLE001 - the caller's own, raised once what came before it is answered
            self.raised = exc


def _result(worker: Worker, outcome: Outcome) -> CoreVerdict | judging_service.Failure:
    _refuse_failed(worker)
    if outcome.result is None:
        raise EngineError(CLOSED)
    return outcome.result


def _refuse_failed(worker: Worker) -> None:
    if worker.failure is not None:
        raise (EngineDead if worker.is_dead else EngineError)(worker.failure)


def _failure(name: str, task: str, failure: judging_service.Failure) -> Failure:
    """Without the task, which is no name of the user's."""
    reason = failure.reason.removeprefix(f"task {task}").lstrip(":, ")
    return Failure(name, reason, failure.transient)


def _xml(label_config: str | Path | None) -> str | None:
    if label_config is None or (isinstance(label_config, str) and label_config.lstrip().startswith("<")):
        return label_config if label_config is None else str(label_config)
    try:
        return Path(label_config).read_text(encoding="utf-8")
    except OSError as exc:
        raise LabelConfigError(f"cannot read the label config {label_config}: {exc.strerror}") from exc
    except UnicodeDecodeError as exc:
        raise LabelConfigError(f"the label config {label_config} is not UTF-8 text; save it as UTF-8") from exc
