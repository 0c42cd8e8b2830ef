"""The alternative annotator test, of whether the judge may stand in for one of the people.

By Calderon, Reichart and Dror (ACL 2025, arXiv 2501.10970). Each person is left out in turn. On every item the judge
and that person are compared by how close they come to the others; the judge wins against the person if it is closer or
as close often enough. Needs items drawn at random and people who worked apart from each other and blind to the judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Answer = str | int | float
SKILLED = 0.15
"""What a skilled annotator may be better by and still be replaced, because a person costs more."""
FEWEST_ITEMS = 30
FALSE_DISCOVERIES = 0.05


@dataclass(frozen=True, slots=True)
class Comparison:
    """The judge beside one person, by who came closer to the others; counts of items."""

    person: str
    judge_closer: int
    same: int
    person_closer: int

    @property
    def items(self) -> int:
        """How many items the two were compared on."""
        return self.judge_closer + self.same + self.person_closer

    @property
    def judge_advantage(self) -> float:
        """P(the judge is as close as the person, or closer)."""
        return (self.judge_closer + self.same) / self.items

    @property
    def person_advantage(self) -> float:
        """P(the person is as close as the judge, or closer)."""
        return (self.person_closer + self.same) / self.items


@dataclass(frozen=True, slots=True)
class Contest:
    """A comparison with its test."""

    comparison: Comparison
    p_value: float
    """Against: the person's advantage exceeds the judge's by epsilon or more."""
    judge_wins: bool


@dataclass(frozen=True, slots=True)
class AlternativeTest:
    """What the test says."""

    contests: tuple[Contest, ...]
    epsilon: float
    winning_rate: float
    """Share of the people against whom the judge wins; it passes from a half on."""
    advantage: float
    """Mean of the judge's advantages: what judges are compared by."""
    left_out: tuple[tuple[str, int], ...]
    """People with fewer than 30 items that others answered too, and how many they have."""

    @property
    def passed(self) -> bool:
        """Whether the judge may stand in for a person."""
        return self.winning_rate >= 0.5


@dataclass(frozen=True, slots=True)
class NoTest:
    """Why the test cannot be made."""

    reason: str


def share_equal(answer: Answer, others: Sequence[Answer]) -> float:
    """How close an answer is to those of other people: the share of them who say the same."""
    return sum(answer == other for other in others) / len(others)


def alternative_test(
    judge: Mapping[str, Answer],
    people: Mapping[str, Mapping[str, Answer]],
    epsilon: float,
) -> AlternativeTest | NoTest:
    """The test over the items (by id) that the judge and at least two people answered."""
    compared = [compare(judge, people, person) for person in people]
    fit = [comparison for comparison in compared if comparison.items >= FEWEST_ITEMS]
    left_out = tuple((one.person, one.items) for one in compared if one.items < FEWEST_ITEMS)
    if not fit:
        most = max((comparison.items for comparison in compared), default=0)
        return NoTest(
            f"{FEWEST_ITEMS} items are needed that the judge, one person and at least one other answered; "
            f"the most that any person has is {most}"
        )
    return decide(fit, epsilon, left_out)


def compare(judge: Mapping[str, Answer], people: Mapping[str, Mapping[str, Answer]], person: str) -> Comparison:
    """The judge beside one person, over the items that both and at least one other person answered."""
    wins = {1: 0, 0: 0, -1: 0}
    for item, answer in people[person].items():
        others = [answers[item] for name, answers in people.items() if name != person and item in answers]
        if others and item in judge:
            ours, theirs = share_equal(judge[item], others), share_equal(answer, others)
            wins[(ours > theirs) - (ours < theirs)] += 1
    return Comparison(person, wins[1], wins[0], wins[-1])


def decide(
    comparisons: Sequence[Comparison], epsilon: float, left_out: tuple[tuple[str, int], ...] = ()
) -> AlternativeTest:
    """One paired t-test per person, kept to 5 % false discoveries by Benjamini and Yekutieli (2001).

    That holds under any dependence, which there is: everyone's others overlap. The t-test is the normal approximation
    of means of -1, 0 and 1, good from 30 items on.
    """
    from scipy.stats import false_discovery_control

    p_values = [_p_value(comparison, epsilon) for comparison in comparisons]
    adjusted = false_discovery_control(p_values, method="by")
    contests = tuple(
        Contest(comparison, p, bool(limit <= FALSE_DISCOVERIES))
        for comparison, p, limit in zip(comparisons, p_values, adjusted, strict=True)
    )
    return AlternativeTest(
        contests,
        epsilon,
        sum(contest.judge_wins for contest in contests) / len(contests),
        sum(comparison.judge_advantage for comparison in comparisons) / len(comparisons),
        left_out,
    )


def _p_value(comparison: Comparison, epsilon: float) -> float:
    """Of the one-sided paired t-test that the person's advantage over the judge is below epsilon."""
    from scipy.stats import t

    n = comparison.items
    mean = (comparison.person_closer - comparison.judge_closer) / n
    variance = ((comparison.person_closer + comparison.judge_closer) / n - mean * mean) * n / (n - 1)
    if variance <= 0:
        return 0.0 if mean < epsilon else 1.0
    return float(t.cdf((mean - epsilon) / (variance / n) ** 0.5, n - 1))
