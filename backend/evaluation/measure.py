"""From judgements to measures: per group of rows, with the baselines beside the judge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from backend.core.measures import (
    AGREEMENT,
    AUROC,
    BRIER,
    ECE,
    KENDALL,
    RESAMPLES,
    SPEARMAN,
    TIE,
    Array,
    Measure,
    Outcome,
    estimate,
)
from backend.evaluation.judging import PairJudgement, SampleJudgement
from backend.evaluation.samples import OVERALL_RATING, LabelledPair, LabelledSample

OVERALL = "all rows"
Scores = Sequence[float | None]
"""One per row; None where there is none."""

JUDGE, BLANK, CONSTANT, LENGTH = "judge", "blank image", "constant", "length only"


@dataclass(frozen=True, slots=True)
class JudgedSample:
    """A labelled sample with the judge's answers; its images are gone."""

    kind: str
    cluster: str
    good: bool | None
    ratings: dict[str, float]
    length: int
    judge: SampleJudgement
    blank: SampleJudgement | None
    """None when it was not asked, or not answered."""
    plain: SampleJudgement | None = None
    """What the judge says without examples; None where it was shown none, and where it has no answer."""


@dataclass(frozen=True, slots=True)
class JudgedPair:
    """A labelled pair with the judge's answers; its images are gone."""

    kind: str
    cluster: str
    preferred: float
    lengths: tuple[int, int]
    judge: PairJudgement
    blank: PairJudgement | None
    plain: PairJudgement | None = None
    """As in `JudgedSample`."""


Judged = TypeVar("Judged", JudgedSample, JudgedPair)


@dataclass(frozen=True, slots=True)
class Line:
    """One measure on one group of rows, for the judge and for each baseline that has it."""

    measure: str
    by: dict[str, Outcome]


@dataclass(frozen=True, slots=True)
class Group:
    """The measures of one group of rows."""

    name: str
    rows: int
    images: int
    lines: tuple[Line, ...]


@dataclass(frozen=True, slots=True)
class Curves:
    """What the plot is drawn from: truth (1 or 0) and probability per row, for the judge and the blank image."""

    truth: Array
    judge: Array
    blank: Array | None
    """None when not every row has one."""
    of_pairs: bool


def judged_sample(
    sample: LabelledSample,
    cluster: str,
    judge: SampleJudgement,
    blank: SampleJudgement | None,
    plain: SampleJudgement | None = None,
) -> JudgedSample:
    """The sample without its images."""
    return JudgedSample(sample.kind, cluster, sample.good, dict(sample.ratings), sample.length, judge, blank, plain)


def judged_pair(
    pair: LabelledPair,
    cluster: str,
    judge: PairJudgement,
    blank: PairJudgement | None,
    plain: PairJudgement | None = None,
) -> JudgedPair:
    """The pair without its images."""
    lengths = (len(pair.first.text), len(pair.second.text))
    return JudgedPair(pair.kind, cluster, pair.preferred, lengths, judge, blank, plain)


def with_verdicts(rows: Sequence[JudgedSample], good_from: float) -> list[JudgedSample]:
    """The rows, those that people only rated with a verdict from their rating: good from so many points."""
    return [
        replace(row, good=row.ratings[OVERALL_RATING] >= good_from)
        if row.good is None and OVERALL_RATING in row.ratings
        else row
        for row in rows
    ]


@dataclass(frozen=True, slots=True)
class Bootstrap:
    """How intervals are made, and the lines that are made so."""

    resamples: int = RESAMPLES
    seed: int = 0

    def line(
        self,
        title: str,
        measure: Measure,
        truth: Sequence[float],
        scores: dict[str, Scores],
        clusters: Sequence[str],
    ) -> Line:
        """The measure by scorer, each over the rows where it has a score; a scorer without any is left out."""
        by: dict[str, Outcome] = {}
        for name, values in scores.items():
            kept = [index for index, value in enumerate(values) if value is not None]
            if kept or name == JUDGE:
                by[name] = estimate(
                    measure,
                    [truth[index] for index in kept],
                    [value for value in values if value is not None],
                    [clusters[index] for index in kept],
                    resamples=self.resamples,
                    seed=self.seed,
                )
        return Line(title, by)


def measure_samples(rows: Sequence[JudgedSample], bootstrap: Bootstrap) -> tuple[Group, ...]:
    """Every measure of the samples, over all rows and per kind."""
    return _measure(rows, lambda part: [*_verdict_lines(part, bootstrap), *_rating_lines(part, bootstrap)])


def measure_pairs(rows: Sequence[JudgedPair], bootstrap: Bootstrap) -> tuple[Group, ...]:
    """Every measure of the pairs, over all rows and per kind."""
    return _measure(rows, lambda part: [*_choice_lines(part, bootstrap), *_preference_lines(part, bootstrap)])


def sample_curves(rows: Sequence[JudgedSample]) -> Curves:
    """Good or not against the probability of accept."""
    known = [row for row in rows if row.good is not None]
    blanks = [row.blank.accept_prob for row in known if row.blank]
    return Curves(
        truth=np.array([float(bool(row.good)) for row in known]),
        judge=np.array([row.judge.accept_prob for row in known]),
        blank=np.array(blanks) if known and len(blanks) == len(known) else None,
        of_pairs=False,
    )


def pair_curves(rows: Sequence[JudgedPair]) -> Curves:
    """Preferred or not against its probability, for both sides of every pair that people decided."""
    known = [row for row in rows if row.preferred != TIE]
    blanks = [row.blank.first_prob for row in known if row.blank]
    truth, judge, blank = (
        np.array([*values, *(1 - value for value in values)])
        for values in ([row.preferred for row in known], [row.judge.first_prob for row in known], blanks)
    )
    return Curves(truth, judge, blank if known and len(blanks) == len(known) else None, of_pairs=True)


def _measure(rows: Sequence[Judged], lines_of: Callable[[list[Judged]], list[Line]]) -> tuple[Group, ...]:
    kinds = sorted({row.kind for row in rows})
    parts: list[tuple[str, list[Judged]]] = [(OVERALL, list(rows))]
    if len(kinds) > 1:
        parts += [(kind or "no kind given", [row for row in rows if row.kind == kind]) for kind in kinds]
    return tuple(
        Group(name, len(part), len({row.cluster for row in part}), tuple(lines_of(part))) for name, part in parts
    )


def _verdict_lines(rows: list[JudgedSample], bootstrap: Bootstrap) -> list[Line]:
    rows = [row for row in rows if row.good is not None]
    if not rows:
        return []
    truth, clusters = [float(bool(row.good)) for row in rows], [row.cluster for row in rows]
    probs: dict[str, Scores] = {
        JUDGE: [row.judge.accept_prob for row in rows],
        BLANK: [row.blank.accept_prob if row.blank else None for row in rows],
        CONSTANT: [sum(truth) / len(truth)] * len(rows),
    }
    lengths: dict[str, Scores] = {LENGTH: [float(row.length) for row in rows]}
    accepted: dict[str, Scores] = {
        name: [None if prob is None else float(prob >= 0.5) for prob in values] for name, values in probs.items()
    }
    return [
        bootstrap.line("AUROC", AUROC, truth, {**probs, **lengths}, clusters),
        bootstrap.line("ECE", ECE, truth, probs, clusters),
        bootstrap.line("Brier", BRIER, truth, probs, clusters),
        bootstrap.line("accuracy at 0.5", AGREEMENT, truth, accepted, clusters),
    ]


def _rating_lines(rows: list[JudgedSample], bootstrap: Bootstrap) -> list[Line]:
    answered = {OVERALL_RATING, *(criterion for row in rows for criterion in row.judge.expected)}
    lines: list[Line] = []
    for rating in sorted(answered & {rating for row in rows for rating in row.ratings}):
        rated = [row for row in rows if rating in row.ratings]
        scores: dict[str, Scores] = {
            JUDGE: [_rating_score(row.judge, rating) for row in rated],
            BLANK: [_rating_score(row.blank, rating) if row.blank else None for row in rated],
            LENGTH: [float(row.length) for row in rated],
        }
        truth, clusters = [row.ratings[rating] for row in rated], [row.cluster for row in rated]
        for title, measure in (("Spearman", SPEARMAN), ("Kendall tau-b", KENDALL)):
            lines.append(bootstrap.line(f"{title}, {rating}", measure, truth, scores, clusters))
    return lines


def _rating_score(judgement: SampleJudgement, rating: str) -> float | None:
    """The expected value of the criterion that was rated; for a rating of the whole the probability of accept."""
    return judgement.accept_prob if rating == OVERALL_RATING else judgement.expected.get(rating)


def _choice_lines(rows: list[JudgedPair], bootstrap: Bootstrap) -> list[Line]:
    truth, clusters = [row.preferred for row in rows], [row.cluster for row in rows]
    choices: dict[str, Scores] = {
        JUDGE: [_choice(row.judge) for row in rows],
        BLANK: [_choice(row.blank) if row.blank else None for row in rows],
        CONSTANT: [1.0] * len(rows),
        LENGTH: [0.5 + 0.5 * float(np.sign(row.lengths[0] - row.lengths[1])) for row in rows],
    }
    decided: dict[str, Scores] = {
        name: [None if TIE in (choice, t) else choice for choice, t in zip(values, truth, strict=True)]
        for name, values in choices.items()
    }
    flips: dict[str, Scores] = {
        JUDGE: [float(not row.judge.orders_agree) for row in rows],
        BLANK: [float(not row.blank.orders_agree) if row.blank else None for row in rows],
    }
    return [
        bootstrap.line("pair accuracy, ties count", AGREEMENT, truth, choices, clusters),
        bootstrap.line("pair accuracy, ties left out", AGREEMENT, truth, decided, clusters),
        bootstrap.line("flip rate", AGREEMENT, [1.0] * len(rows), flips, clusters),
    ]


def _choice(judgement: PairJudgement) -> float:
    """1 the first, 0 the second; undecided when the orders disagree."""
    if not judgement.orders_agree or judgement.first_prob == 0.5:
        return TIE
    return float(judgement.first_prob > 0.5)


def _preference_lines(rows: list[JudgedPair], bootstrap: Bootstrap) -> list[Line]:
    """Measures of the probability itself, over both sides of each pair: which stands first carries no meaning."""
    rows = [row for row in rows if row.preferred != TIE]
    first = [row.judge.first_prob for row in rows]
    blank = [row.blank.first_prob if row.blank else None for row in rows]
    probs: dict[str, Scores] = {
        JUDGE: [*first, *(1 - prob for prob in first)],
        BLANK: [*blank, *(None if prob is None else 1 - prob for prob in blank)],
        CONSTANT: [0.5] * (2 * len(rows)),
    }
    lengths: dict[str, Scores] = {LENGTH: [float(row.lengths[side]) for side in (0, 1) for row in rows]}
    truth = [*(row.preferred for row in rows), *(1 - row.preferred for row in rows)]
    clusters = [row.cluster for row in rows] * 2
    lines = [
        bootstrap.line("AUROC of preferred sides", AUROC, truth, {**probs, **lengths}, clusters),
        bootstrap.line("ECE", ECE, truth, probs, clusters),
        bootstrap.line("Brier", BRIER, truth, probs, clusters),
    ]
    return [Line(line.measure, {name: _in_pairs(outcome) for name, outcome in line.by.items()}) for line in lines]


def _in_pairs(outcome: Outcome) -> Outcome:
    """The same with the number of pairs instead of sides."""
    return replace(outcome, rows=outcome.rows // 2)
