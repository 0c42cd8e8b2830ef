"""Reads labelled data row by row, judges them in batches, and measures how well the judge agrees with people."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from backend.core.case import JudgeOptions
from backend.core.examples import Examples
from backend.core.judging import Judging
from backend.core.label_config import parse_label_config
from backend.core.rubric import Rubric, load_rubric
from backend.engines.base import Engine
from backend.engines.factory import make_engine
from backend.engines.run import blank
from backend.errors import EvaluationError, RowError
from backend.evaluation.compare import Comparison, compare_pairs, compare_samples
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
from backend.evaluation.taught import Taught, no_row_taught, pair_lessons, taught_by
from backend.example_files import read_examples, show_lessons
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
Judgement = TypeVar("Judgement", SampleJudgement, PairJudgement)


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
    examples: Path | None = None
    """A file of examples: every row is judged with and without them. None takes the one of the settings, if any."""


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
    examples: Examples | None = None
    """What the judge was shown before every row."""
    comparison: Comparison | None = None
    """The judge with these examples against the same judge without."""

    @property
    def reasons(self) -> dict[str, int]:
        """How many rows were left out, by reason, the most frequent first."""
        return dict(Counter(problem.reason for problem in self.problems).most_common())


@dataclass(frozen=True, slots=True)
class _Road:
    """How rows are judged."""

    samples: SampleJudge
    pairs: JudgePairs


@dataclass(slots=True)
class _Run:
    """An evaluation as it goes."""

    options: EvaluateOptions
    loader: ImageLoader
    judge: _Road
    plain: _Road | None
    """The same judge without examples; None where it has none."""
    taught: Taught
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
            images = load_pictures(_pictures(row), self.loader)
        except RowError as error:
            self.fail(number, error)
            return None
        refusal = self.taught.refuse(row, images)
        if refusal is not None:
            self.fail(number, refusal)
            return None
        return images

    def _add_samples(self, batch: Sequence[tuple[str, LabelledSample, tuple[Image.Image, ...]]]) -> None:
        shown = [(row, images) for _, row, images in batch]
        judged, plain = self.judge.samples.judge(shown), self._plain_samples(shown)
        blanks: Sequence[SampleJudgement | RowError | None] = [None] * len(batch)
        if self.options.baseline:
            blanks = self.judge.samples.judge([(row, tuple(map(blank, images))) for row, images in shown])
        for (number, row, images), own, unseen, untaught in zip(batch, judged, blanks, plain, strict=True):
            if isinstance(own, RowError):
                self.fail(number, own)
                continue
            cluster = image_hash(images)
            self._note([cluster, [[t.name, t.value] for t in row.texts], row.good, sorted(row.ratings.items())])
            self.blank_failures += isinstance(unseen, RowError)
            self.judged_samples.append(judged_sample(row, cluster, own, _answer(unseen), _answer(untaught)))

    def _plain_samples(
        self, batch: Sequence[tuple[LabelledSample, tuple[Image.Image, ...]]]
    ) -> list[SampleJudgement | RowError | None]:
        """Without examples; None for rows of a kind that has none."""
        if self.plain is None:
            return [None] * len(batch)
        taught = [self.judge.samples.is_taught(row) for row, _ in batch]
        judged = iter(
            self.plain.samples.judge([item for item, is_taught in zip(batch, taught, strict=True) if is_taught])
        )
        return [next(judged) if is_taught else None for is_taught in taught]

    def _add_pairs(self, batch: Sequence[tuple[str, LoadedPair]]) -> None:
        judged = self.judge.pairs([item for _, item in batch])
        plain: Sequence[PairJudgement | RowError | None] = [None] * len(batch)
        if self.plain is not None:
            plain = self.plain.pairs([item for _, item in batch])
        blanks: Sequence[PairJudgement | RowError | None] = [None] * len(batch)
        if self.options.baseline:
            blanks = self.judge.pairs([item.blank() for _, item in batch])
        for (number, item), own, unseen, untaught in zip(batch, judged, blanks, plain, strict=True):
            if isinstance(own, RowError):
                self.fail(number, own)
                continue
            pair = item.pair
            self._note([image_hash(item.all_images), pair.context, pair.first.text, pair.second.text, pair.preferred])
            self.blank_failures += isinstance(unseen, RowError)
            cluster = image_hash(item.images) if item.images else pair.context
            self.judged_pairs.append(judged_pair(pair, cluster, own, _answer(unseen), _answer(untaught)))

    def _note(self, content: list[object]) -> None:
        self.digest.update(json.dumps(content, ensure_ascii=False).encode("utf-8", "surrogatepass"))


def evaluate(settings: Settings, options: EvaluateOptions, report: Progress = lambda done, total: None) -> Evaluation:
    """Judge labelled data and measure the agreement.

    `report` hears of rows done and in all. With examples, each row is judged with and without them.

    Raises EvaluationError when the data cannot be opened or no row is usable, SettingsError for wrong examples.
    """
    _require_libraries()
    table = open_table(options.source)
    form = choose_format(table, options.format)
    loader, held, engine = ImageLoader(settings), HeldImages(), make_engine(settings)
    named = options.examples or settings.examples
    examples = read_examples(named, loader) if named else None
    with ExitStack() as stack:
        service = stack.enter_context(closing(_service(settings, engine, held, examples)))
        without = stack.enter_context(closing(_service(settings, engine, held, None))) if examples else None
        engine.load()
        plain = _road(without, held, None) if without else None
        run = _Run(options, loader, _road(service, held, examples), plain, taught_by(examples))
        _judge_all(run, table, form, settings.batch_size or AT_ONCE, report)
        return _evaluation(run, table, form, service, examples)


def _service(settings: Settings, engine: Engine, held: HeldImages, examples: Examples | None) -> JudgeService:
    rubric = load_rubric(settings.rubric) if settings.rubric else None
    options = JudgeOptions(explain="never", examples=examples)  # explanations cost much and change no number here
    return JudgeService(engine, held, Store(settings.store), rubric, options)


def _road(service: JudgeService, held: HeldImages, examples: Examples | None) -> _Road:
    rubric = _plain_judging(service).rubric
    passages = show_lessons(pair_lessons(examples, rubric))
    return _Road(SampleJudge(service, held), pair_judge(service.engine, rubric.instructions, passages))


def _answer(judged: Judgement | RowError | None) -> Judgement | None:
    return None if isinstance(judged, RowError) else judged


def _require_libraries() -> None:
    """Say before an hour of judging, not after it, that the statistics cannot be made."""
    missing = [name for name in LIBRARIES if find_spec(name) is None]
    if missing:
        raise EvaluationError(
            f"{', '.join(missing)} is not installed; run: pip install 'vlm-judge-label-studio[evaluate]'"
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


def _evaluation(run: _Run, table: Table, form: Format, service: JudgeService, examples: Examples | None) -> Evaluation:
    judged = len(run.judged_samples) + len(run.judged_pairs)
    if not judged:
        counts = Counter(problem.reason for problem in run.problems).most_common(5)
        why = "; ".join(f"{count} x {reason}" for reason, count in counts) or "there are none"
        first = next((f" First: row {p.row}, {p.reason}, {p.detail}." for p in run.problems if p.detail), "")
        raise EvaluationError(f"no row of {table.name} can be used (read as {form.name}): {why}.{first} {_remedy(run)}")
    bootstrap, rubrics = run.options.bootstrap, run.judge.samples.rubrics
    if run.judged_pairs:
        judging = _plain_judging(service)
        rubrics = {judging.fingerprint: judging.rubric}
        groups, curves = measure_pairs(run.judged_pairs, bootstrap), pair_curves(run.judged_pairs)
        comparison = compare_pairs(run.judged_pairs, bootstrap) if pair_lessons(examples, judging.rubric) else None
    else:
        samples = with_verdicts(run.judged_samples, run.options.good_from)
        groups, curves = measure_samples(samples, bootstrap), sample_curves(samples)
        comparison = compare_samples(samples, bootstrap)
    if examples is not None and comparison is None:
        raise no_row_taught(examples, table.name)
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
        examples=examples,
        comparison=comparison,
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
