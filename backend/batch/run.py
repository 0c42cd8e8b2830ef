"""Judges a dataset in this process: opens it, begins or goes on with the output, and judges part after part."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from backend.batch.fields import RowReader
from backend.batch.judging import Job, PartJudge, chosen_rubric, make_judge
from backend.batch.manifest import Manifest, alone, begin, end, read_manifest
from backend.batch.parts import Part, Source
from backend.batch.shards import (
    Journal,
    PartDone,
    begin_folders,
    begun,
    part_done,
    said_before,
    shards,
    with_judgements,
)
from backend.batch.sources import SourceOptions, open_source
from backend.core.label_config import LabelConfig, parse_label_config
from backend.core.sample import candidate_object
from backend.errors import BatchError
from backend.example_files import examples_of
from backend.interfaces import default_label_config
from backend.patience import Stop, Stopped
from backend.settings import Settings

PART_ROWS = 1_000
PARTS_AT_ONCE = 2
"""While the last rows of a part are judged, images of the next are fetched."""
_LOOKERS = 16


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """What to judge, and where the verdicts go."""

    source: str
    out: Path
    label_config: str | None = None
    """In XML; None is the one for image-text pairs."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """For keys of the task's data, which columns they are."""
    split: str = "train"
    part_rows: int | None = None
    """None is what the output was begun with, or 1,000."""
    patience_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Told:
    """Who is told how it goes."""

    progress: Callable[[int, int | None], None] = lambda done, total: None
    """How many rows are done, and how many there are; first those that were done before."""
    said: Callable[[str], None] = lambda text: None


@dataclass(frozen=True, slots=True)
class BatchRun:
    """What it came to; `rows == judged + already + failed + away`."""

    out: Path
    rows: int
    """In parts that are done."""
    judged: int
    already: int
    failed: int
    away: int
    """Rows that failed and may be judged when the command is given again."""
    fingerprint: str
    interrupted: bool = False

    def summary(self) -> str:
        """The balance in one line."""
        parts = [f"{self.judged} judged", f"{self.already} judged before", f"{self.failed} failed"]
        parts += [f"{self.away} that may be judged another time: start again"] if self.away else []
        stopped = "stopped; what is judged is kept. " if self.interrupted else ""
        return f"{stopped}{self.rows} rows = {' + '.join(parts)} (judge {self.fingerprint}), in {self.out}"


@dataclass(frozen=True, slots=True)
class Batch:
    """An output that has been begun, and what is to do for it."""

    source: Source
    manifest: Manifest
    job: Job
    done: tuple[PartDone, ...]
    """Parts that are done and have nothing to ask again."""
    known: Mapping[int, int]
    """Of parts that were begun, how many rows are judged."""

    def todo(self) -> Iterator[Part]:
        """The other parts, in order."""
        finished = {item.number for item in self.done}
        ended = _last_of(self.source, self.done, self.manifest.part_rows)
        for part in self.source.parts(self.manifest.part_rows):
            if ended is not None and part.number > ended:
                return
            if part.number not in finished:
                yield part


def prepare(settings: Settings, options: BatchOptions) -> Batch:
    """Open the data and begin or go on with the output. Raises BatchError, LabelConfigError or SettingsError."""
    label_config = options.label_config or default_label_config()
    config = parse_label_config(label_config)
    out = options.out.absolute()
    if out.is_relative_to(Path(options.source).absolute()):
        raise BatchError(f"{options.out} lies in the data that are to be judged; choose an --out outside of them")
    source = open_source(options.source, _source_options(settings, options, config))
    with_judgements(source.reader.schema)
    RowReader(config, source.reader.schema, options.columns)
    rubric, examples = chosen_rubric(settings), examples_of(settings)
    service, _ = make_judge(settings, rubric, source.root, examples)
    try:
        fingerprint = service.judging(config).fingerprint
    finally:
        service.close()
    before = read_manifest(out)
    part_rows = options.part_rows or (before.part_rows if before else PART_ROWS)
    columns = dict(options.columns)
    wanted = Manifest(
        options.source, source.mark, source.rows, source.root, part_rows, fingerprint, label_config, columns
    )
    manifest = begin(out, wanted)
    begin_folders(out)
    patience_s, reader, root = options.patience_s, source.reader, source.root
    job = Job(settings, rubric, label_config, columns, reader, root, out, fingerprint, patience_s, examples)
    done = _done(out)
    return Batch(source, manifest, job, done, _known(out, done))


def judge_dataset(
    settings: Settings, options: BatchOptions, told: Told | None = None, stop: Stop | None = None
) -> BatchRun:
    """Judge all rows that are not judged yet. Raises BatchError or EngineError, and then what is judged is kept."""
    told, stop = told or Told(), stop or Stop()
    with alone(options.out.absolute()):
        batch = prepare(settings, options)
        tally = Tally(batch, told)
        try:
            if next(batch.todo(), None) is not None:
                with PartJudge(batch.job, stop, told.said) as judge:
                    _judge_parts(judge, batch, tally)
            return tally.result()
        except Stopped:
            return tally.result(interrupted=True)


@dataclass(slots=True)
class Tally:
    """Counts what is done; safe to use from several threads."""

    batch: Batch
    told: Told
    shown: int = 0
    done: list[PartDone] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.tell(sum(item.rows for item in self.batch.done))

    def tell(self, rows: int) -> None:
        """So many more rows are done."""
        with self._lock:
            self.shown += rows
            self.told.progress(self.shown, self.batch.source.rows)

    def add(self, done: PartDone) -> None:
        """A part is done."""
        with self._lock:
            self.done.append(done)

    def result(self, *, interrupted: bool = False) -> BatchRun:
        """The balance; the manifest says it too when all is done."""
        batch, every = self.batch, (*self.batch.done, *self.done)
        rows, away = sum(item.rows for item in every), sum(len(item.away) for item in every)
        failed = sum(item.failed for item in every) - away
        already = sum(item.judged for item in batch.done) + sum(batch.known.get(item.number, 0) for item in self.done)
        judged = sum(item.judged for item in every) - already
        if not interrupted:
            end(batch.job.out, batch.manifest, rows)
        return BatchRun(batch.job.out, rows, judged, already, failed, away, batch.job.fingerprint, interrupted)


def _judge_parts(judge: PartJudge, batch: Batch, tally: Tally) -> None:
    """Judge the parts, two at a time where they can be read in any order; the first error ends all."""
    at_once = PARTS_AT_ONCE if batch.source.rows is not None else 1
    parts, running = batch.todo(), set[Future[PartDone]]()
    with ThreadPoolExecutor(at_once, thread_name_prefix="parts") as threads:
        more = True
        try:
            while more or running:
                while more and len(running) < at_once:
                    part = next(parts, None)
                    more = part is not None
                    if part is not None:
                        running.add(threads.submit(judge.judge, part, tally.tell))
                if not running:
                    break
                ready, running = wait(running, return_when=FIRST_COMPLETED)
                for future in ready:
                    done = future.result()
                    tally.add(done)
                    more = more and not _ends(batch, done)
        finally:
            judge.stop.asked = judge.stop.asked or bool(running)


def _ends(batch: Batch, done: PartDone) -> bool:
    """Whether a part of data of unknown length was the last."""
    return batch.source.rows is None and done.rows < batch.manifest.part_rows


def _last_of(source: Source, done: tuple[PartDone, ...], part_rows: int) -> int | None:
    """The number of the last part, where that is known by a part that is not full."""
    short = [item.number for item in done if item.rows < part_rows]
    return min(short, default=None) if source.rows is None else None


def _done(out: Path) -> tuple[PartDone, ...]:
    """The parts that are done and have nothing to ask again."""
    with ThreadPoolExecutor(_LOOKERS) as threads:
        found = tuple(threads.map(part_done, shards(out)))
    return tuple(item for item in found if item is not None and not item.away)


def _known(out: Path, done: tuple[PartDone, ...]) -> dict[int, int]:
    """How many rows are judged of each part that is not done; journals of those that are done are cleared away."""
    finished, journals = {item.number for item in done}, begun(out)
    for number in finished & journals:
        Journal(out, number).remove()
    numbers = (journals | {int(path.stem.removeprefix("part-")) for path in shards(out)}) - finished
    return {number: sum(said.failure is None for said in said_before(out, number).values()) for number in numbers}


def _source_options(settings: Settings, options: BatchOptions, config: LabelConfig) -> SourceOptions:
    candidate = candidate_object(config)
    key = candidate.key if candidate else None
    column = options.columns.get(key, key) if key else None
    return SourceOptions(options.split, column, settings.max_image_bytes, settings.hf_token)
