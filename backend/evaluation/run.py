"""Reads labelled data row by row, judges them in batches, and measures how well the judge agrees with people."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

from backend.core.case import JudgeOptions
from backend.core.judging import Judging
from backend.core.label_config import parse_label_config
from backend.core.rubric import Rubric, load_rubric
from backend.engines.factory import make_engine
from backend.engines.run import blank
from backend.errors import EvaluationError, RowError
from backend.evaluation.formats import Format, choose_format
from backend.evaluation.judging import (
    NO_VERDICT,
    HeldImages,
    JudgePairs,
    LoadedPair,
    PairJudgement,
    SampleJudge,
    SampleJudgement,
    image_hash,
    load_pictures,
    pair_judge,
)
from backend.evaluation.measure import (
    Bootstrap,
    Curves,
    Group,
    JudgedPair,
    JudgedSample,
    judged_pair,
    judged_sample,
    measure_pairs,
    measure_samples,
    pair_curves,
    sample_curves,
    with_verdicts,
)
from backend.evaluation.samples import Labelled, LabelledPair, LabelledSample, Picture
from backend.evaluation.tables import Source, Table, open_table
from backend.images import ImageLoader
from backend.interfaces import default_label_config
from backend.service import JudgeService
from backend.settings import Settings
from backend.store import Store

if TYPE_CHECKING:
    from PIL import Image

LIBRARIES = ("sklearn", "scipy", "matplotlib")
AT_ONCE = 64
"""Rows that are judged together, unless the settings say how many."""

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True, slots=True)
class EvaluateOptions:
    """What is to be evaluated, and how."""

    source: Source
    format: str | None = None
    """Name of the format; None tells it from the columns."""
    limit: int | None = None
    """Read at most this many rows."""
    baseline: bool = True
    """Whether every row is also judged with a blank image."""
    good_from: float = 4.0
    """Rows that people only rated count as good from this rating on."""
    bootstrap: Bootstrap = field(default_factory=Bootstrap)


@dataclass(frozen=True, slots=True)
class Problem:
    """A row that is not part of the measures."""

    row: str
    """Its number in the data, from 1."""
    reason: str
    """The same words for the same fault."""
    detail: str


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What came of it; `rows == judged + len(problems)`."""

    source: str
    format: str
    rows: int
    judged: int
    problems: tuple[Problem, ...]
    blank_failures: int
    """Judged rows that have no answer with a blank image, though it was asked."""
    data_sha256: str
    """Over the judged rows in order: pixels, texts and labels."""
    rubrics: dict[str, Rubric]
    """By fingerprint, what was judged by; more than one where the data mix kinds."""
    engine: dict[str, str]
    options: EvaluateOptions
    groups: tuple[Group, ...]
    curves: Curves

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows were left out, by reason, the most frequent first."""
        return dict(Counter(problem.reason for problem in self.problems).most_common())


@dataclass(slots=True)
class _Run:
    """An evaluation as it goes."""

    options: EvaluateOptions
    loader: ImageLoader
    samples: SampleJudge
    pairs: JudgePairs
    rows: int = 0
    problems: list[Problem] = field(default_factory=list)
    judged_samples: list[JudgedSample] = field(default_factory=list)
    judged_pairs: list[JudgedPair] = field(default_factory=list)
    blank_failures: int = 0
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)

    def add(self, batch: Sequence[tuple[str, Labelled]]) -> None:
        """Judge these rows, each named by its number in the data."""
        loaded = [(number, row, images) for number, row in batch if (images := self._load(number, row)) is not None]
        samples = [(number, row, images) for number, row, images in loaded if isinstance(row, LabelledSample)]
        if samples:
            self._add_samples(samples)
        pairs = [(number, _loaded_pair(row, images)) for number, row, images in loaded if isinstance(row, LabelledPair)]
        if pairs:
            self._add_pairs(pairs)

    def fail(self, row: str, error: RowError) -> None:
        """Note that a row cannot be used."""
        detail = str(error) if str(error) != error.reason else ""
        self.problems.append(Problem(row, error.reason, detail.removeprefix(f"{error.reason}: ")))

    def _load(self, number: str, row: Labelled) -> tuple[Image.Image, ...] | None:
        try:
            return load_pictures(_pictures(row), self.loader)
        except RowError as error:
            self.fail(number, error)
            return None

    def _add_samples(self, batch: Sequence[tuple[str, LabelledSample, tuple[Image.Image, ...]]]) -> None:
        judged = self.samples.judge([(row, images) for _, row, images in batch])
        blanks: Sequence[SampleJudgement | RowError | None] = [None] * len(batch)
        if self.options.baseline:
            blanks = self.samples.judge([(row, tuple(map(blank, images))) for _, row, images in batch])
        for (number, row, images), own, without in zip(batch, judged, blanks, strict=True):
            if isinstance(own, RowError):
                self.fail(number, own)
                continue
            cluster = image_hash(images)
            self._note([cluster, [[t.name, t.value] for t in row.texts], row.good, sorted(row.ratings.items())])
            self.blank_failures += isinstance(without, RowError)
            seen = None if isinstance(without, RowError) else without
            self.judged_samples.append(judged_sample(row, cluster, own, seen))

    def _add_pairs(self, batch: Sequence[tuple[str, LoadedPair]]) -> None:
        judged = self.pairs([item for _, item in batch])
        blanks: Sequence[PairJudgement | RowError | None] = [None] * len(batch)
        if self.options.baseline:
            blanks = self.pairs([item.blank() for _, item in batch])
        for (number, item), own, without in zip(batch, judged, blanks, strict=True):
            if isinstance(own, RowError):
                self.fail(number, own)
                continue
            pair = item.pair
            self._note([image_hash(item.all_images), pair.context, pair.first.text, pair.second.text, pair.preferred])
            self.blank_failures += isinstance(without, RowError)
            seen = None if isinstance(without, RowError) else without
            cluster = image_hash(item.images) if item.images else pair.context
            self.judged_pairs.append(judged_pair(pair, cluster, own, seen))

    def _note(self, content: list[object]) -> None:
        self.digest.update(json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def evaluate(settings: Settings, options: EvaluateOptions, report: Progress = lambda done, total: None) -> Evaluation:
    """Judge labelled data and measure the agreement.

    `report` hears of rows done and in all. Raises EvaluationError when the data cannot be opened or no row is usable.
    """
    _require_libraries()
    table = open_table(options.source)
    form = choose_format(table, options.format)
    held = HeldImages()
    rubric = load_rubric(settings.rubric) if settings.rubric else None
    options_of_judge = JudgeOptions(explain="never")  # explanations cost much and change no number here
    service = JudgeService(make_engine(settings), held, Store(settings.store), rubric, options_of_judge)
    try:
        service.engine.load()
        pairs = pair_judge(service.engine, _plain_judging(service).rubric.instructions)
        run = _Run(options, ImageLoader(settings), SampleJudge(service, held), pairs)
        _judge_all(run, table, form, settings.batch_size or AT_ONCE, report)
        return _evaluation(run, table, form, service)
    finally:
        service.close()


def _require_libraries() -> None:
    """Say before an hour of judging, not after it, that the statistics cannot be made."""
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise EvaluationError(
            f'{", ".join(missing)} is not installed; pip install "vlm-judge-label-studio[evaluate]" brings it'
        )


def _judge_all(run: _Run, table: Table, form: Format, batch_size: int, report: Progress) -> None:
    total = table.count if run.options.limit is None else min(table.count, run.options.limit)
    waiting: list[tuple[str, Labelled]] = []
    for number, row in _labelled(table, form, run.options.limit):
        run.rows += 1
        if isinstance(row, RowError):
            run.fail(number, row)
        else:
            waiting.append((number, row))
        if len(waiting) == batch_size or run.rows == total:
            run.add(waiting)
            waiting = []
            report(run.rows, total)


def _labelled(table: Table, form: Format, limit: int | None) -> Iterator[tuple[str, Labelled | RowError]]:
    for number, row in enumerate(table.rows(), 1):
        if limit is not None and number > limit:
            return
        if isinstance(row, RowError):
            yield str(number), row
            continue
        try:
            yield str(number), form.reader(row, str(number), table.folder)
        except RowError as error:
            yield str(number), error
        except KeyError as error:  # a row of a JSON file that lacks a column the others have
            yield str(number), RowError(f"no {error} in the row")


def _evaluation(run: _Run, table: Table, form: Format, service: JudgeService) -> Evaluation:
    judged = len(run.judged_samples) + len(run.judged_pairs)
    if not judged:
        counts = Counter(problem.reason for problem in run.problems).most_common(5)
        why = "; ".join(f"{count} x {reason}" for reason, count in counts) or "there are none"
        first = next((f" First: row {p.row}, {p.reason}, {p.detail}." for p in run.problems if p.detail), "")
        raise EvaluationError(f"no row of {table.name} can be used (read as {form.name}): {why}.{first} {_remedy(run)}")
    bootstrap, rubrics = run.options.bootstrap, run.samples.rubrics
    if run.judged_pairs:
        judging = _plain_judging(service)
        rubrics = {judging.fingerprint: judging.rubric}
        groups, curves = measure_pairs(run.judged_pairs, bootstrap), pair_curves(run.judged_pairs)
    else:
        samples = with_verdicts(run.judged_samples, run.options.good_from)
        groups, curves = measure_samples(samples, bootstrap), sample_curves(samples)
    return Evaluation(
        source=table.name,
        format=form.name,
        rows=run.rows,
        judged=judged,
        problems=tuple(sorted(run.problems, key=lambda problem: int(problem.row))),
        blank_failures=run.blank_failures,
        data_sha256=run.digest.hexdigest(),
        rubrics=rubrics,
        engine=dict(service.engine.identity.details),
        options=run.options,
        groups=groups,
        curves=curves,
    )


def _remedy(run: _Run) -> str:
    if any(problem.reason == NO_VERDICT for problem in run.problems):
        return "The data are fine, the judge cannot answer such questions; choose another with --engine and --model"
    return "Correct the data, or name another format with --format"


def _plain_judging(service: JudgeService) -> Judging:
    return service.judging(parse_label_config(default_label_config()))


def _pictures(row: Labelled) -> tuple[Picture, ...]:
    if isinstance(row, LabelledSample):
        return row.pictures
    return (*row.pictures, *row.first.pictures, *row.second.pictures)


def _loaded_pair(pair: LabelledPair, images: tuple[Image.Image, ...]) -> LoadedPair:
    first = len(pair.pictures)
    second = first + len(pair.first.pictures)
    return LoadedPair(pair, images[:first], images[first:second], images[second:])
