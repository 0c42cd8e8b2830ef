"""Judges the parts of a dataset, one or two at a time, with one engine: what a process of either road does."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.batch.fields import HeldImages, RowReader
from backend.batch.forgetful import Forgetful
from backend.batch.judgement import Judgement
from backend.batch.parts import Chunk, Part, Reader
from backend.batch.shards import Journal, PartDone, ShardWriter, part_done, said_before, shard_path
from backend.core.case import JudgeOptions
from backend.core.examples import Examples
from backend.core.judging import Judging
from backend.core.label_config import parse_label_config
from backend.core.rubric import Rubric, load_rubric
from backend.core.types import Verdict
from backend.engines.factory import make_engine
from backend.errors import BatchError, EngineDead, EngineError
from backend.images import ImageLoader
from backend.outcomes import Deadline, judge_tasks
from backend.patience import RETRY_PAUSES_S, InARow, Patience, Stop, Stopped
from backend.service import Failure, JudgeService
from backend.settings import Settings
from backend.worker import Worker

IN_HAND_BATCHES = 4
"""Rows that one part has in hand, in batches of the engine."""
LEAST_IN_HAND = 32


@dataclass(frozen=True, slots=True)
class Job:
    """Everything that a process needs to judge parts; can be pickled."""

    settings: Settings
    rubric: Rubric | None
    """None is the engine's own, or the ready one for the label config's kind."""
    label_config: str
    columns: Mapping[str, str]
    reader: Reader
    root: str | None
    out: Path
    """Absolute; on every machine the same folder."""
    fingerprint: str
    """What the judge must have, wherever it runs."""
    patience_s: float = 600.0
    """How long what the engine asks may be away."""
    examples: Examples | None = None
    """What the judge is shown before every row, read with its images for the same reason as the rubric."""


def chosen_rubric(settings: Settings) -> Rubric | None:
    """The rubric that the settings name, read here, because other machines may not have its file."""
    return load_rubric(settings.rubric) if settings.rubric else None


def make_judge(
    settings: Settings, rubric: Rubric | None, root: str | None, examples: Examples | None = None
) -> tuple[JudgeService, HeldImages]:
    """A service that remembers no verdicts, because the output does, and the images of the rows it judges."""
    images = HeldImages(ImageLoader(settings), root, settings.max_image_bytes)
    options = JudgeOptions(settings.explain, settings.reliance, examples)
    return JudgeService(make_engine(settings), images, Forgetful(), rubric, options), images


class PartJudge(AbstractContextManager["PartJudge"]):
    """An engine with its thread, and the parts that it judges. `judge` may be called from two threads at a time."""

    def __init__(self, job: Job, stop: Stop | None = None, say: Callable[[str], None] = lambda text: None) -> None:
        """Loads the engine. Raises EngineError, and BatchError where this machine's judge is another one."""
        self._job = job
        self.stop = stop or Stop()
        self._say = say
        config = parse_label_config(job.label_config)
        self._rows = RowReader(config, job.reader.schema, job.columns)
        self._service, self._images = make_judge(job.settings, job.rubric, job.root, job.examples)
        self._judging = self._service.judging(config)
        if self._judging.fingerprint != job.fingerprint:
            raise BatchError(
                f"the judge of this machine is {self._judging.fingerprint}, not {job.fingerprint}; install the same "
                "versions of this package, torch and transformers everywhere"
            )
        self._worker = Worker(self._service, job.settings.batch_size)
        self._worker.start()
        self._worker.wait_until_loaded()
        if self._worker.failure is not None:
            self.close()
            raise EngineError(self._worker.failure)

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Finish the batch at hand and let go of the engine."""
        self._worker.stop()
        self._service.close()

    def judge(self, part: Part, tell: Callable[[int], None] = lambda rows: None) -> PartDone:
        """Judge what is not judged of a part, and write its file; `tell` hears of rows as they are done.

        Rows that are away are asked again before the part ends. Raises BatchError, EngineError, or Stopped when it is
        to end before; then all that was judged is in the journal.
        """
        done = part_done(shard_path(self._job.out, part.number))
        if done is not None and not done.away:
            return done
        run = _PartRun(self._job, self._rows, self._images, part, said_before(self._job.out, part.number), tell)
        with (
            Journal(self._job.out, part.number) as journal,
            ShardWriter(self._job.out, part.number, self._job.reader.schema, self._job.fingerprint) as shard,
        ):
            self._pass(run, journal, shard, run.tasks())
            for pause_s in RETRY_PAUSES_S:
                if run.away:
                    self._say(f"{len(run.away)} rows could not be judged for now; trying them again in {pause_s:.0f} s")
                    Patience(0, stop=self.stop).sleep(pause_s)
                    self._pass(run, journal, shard, run.tasks_again())
            run.flush(shard, last=True)
        journal.remove()
        return shard.done(part.number)

    def _pass(self, run: _PartRun, journal: Journal, shard: ShardWriter, tasks: Iterator[dict[str, Any]]) -> None:
        in_a_row = InARow(Patience(self._job.patience_s, self._say, self.stop))
        in_hand = max(LEAST_IN_HAND, IN_HAND_BATCHES * self._worker.batch_size)
        deadline = Deadline(stop=self.stop)
        for outcome in judge_tasks(
            self._service, self._worker, tasks, self._judging, deadline=deadline, in_hand=in_hand
        ):
            if self._worker.is_dead:
                raise EngineDead(f"{self._worker.failure}; start again, what is judged is kept")
            if outcome.result is None:
                break
            why = run.note(str(outcome.task["id"]), outcome.result, self._judging, journal)
            if not in_a_row.note(why):
                raise EngineError(
                    f"{in_a_row.most} rows one after the other could not be judged: {why}; start again later, what is "
                    "judged is kept"
                )
            run.flush(shard)
        if self.stop.is_set():
            raise Stopped


@dataclass(slots=True)
class _PartRun:
    """One part as it is judged."""

    job: Job
    reader: RowReader
    images: HeldImages
    part: Part
    said: dict[str, Judgement]
    """By row, those judged before included."""
    tell: Callable[[int], None]
    away: dict[str, Judgement] = field(default_factory=dict)
    """Rows that may be judged when asked again."""
    waiting: deque[Chunk] = field(default_factory=deque)
    """Chunks in order whose rows are not all judged, and what lies behind them."""

    def tasks(self) -> Iterator[dict[str, Any]]:
        """The rows that are not judged, as tasks; what is read waits to be written."""
        for chunk in self.job.reader.chunks(self.part):
            self.waiting.append(chunk)
            self.tell(sum(name in self.said for name in chunk.ids))
            yield from self._unsaid(chunk, frozenset(chunk.ids) - self.said.keys())

    def tasks_again(self) -> Iterator[dict[str, Any]]:
        """The rows that were away."""
        again, self.away = self.away, {}
        self.tell(-len(again))
        for chunk in tuple(self.waiting):
            yield from self._unsaid(chunk, frozenset(chunk.ids) & again.keys())

    def _unsaid(self, chunk: Chunk, chosen: frozenset[str]) -> Iterator[dict[str, Any]]:
        if not chosen:
            return
        for row in self.reader.rows(chunk):
            if row.id in chosen:
                self.images.hold(row)
                yield {"id": row.id, "data": row.data}

    def note(self, row: str, result: Verdict | Failure, judging: Judging, journal: Journal) -> str | None:
        """Keep a row's outcome; why it is away, None where it is not."""
        self.images.drop(row)
        self.tell(1)
        if isinstance(result, Failure):
            reason = result.reason.removeprefix(f"task {row}").lstrip(":, ")
            failed = Judgement(row, failure=reason)
            if result.transient:
                self.away[row] = failed
                return result.reason
            said = failed
        else:
            said = _judgement(row, result, judging)
        self.said[row] = said
        journal.add(said)
        return None

    def flush(self, shard: ShardWriter, *, last: bool = False) -> None:
        """Write the chunks whose rows are all judged, in order; at last also those with rows that stay away."""
        while self.waiting and all(name in self.said or (last and name in self.away) for name in self.waiting[0].ids):
            chunk = self.waiting.popleft()
            said = [self.said.pop(name) if name in self.said else self.away[name] for name in chunk.ids]
            shard.add(chunk.table, said, [name for name in chunk.ids if name in self.away])


def _judgement(row: str, verdict: Verdict, judging: Judging) -> Judgement:
    prediction = judging.prediction(verdict)
    decision = verdict.decision or (verdict.preference.winner if verdict.preference else None)
    return Judgement(row, decision, float(prediction["score"]), json.dumps(prediction, ensure_ascii=False))
