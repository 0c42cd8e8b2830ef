"""Whether the judge may stand in for one of a project's people, by the alternative annotator test on blind labels."""

from __future__ import annotations

from dataclasses import dataclass

from backend.core.deciding import deciding_control
from backend.core.measures import NotComputable
from backend.core.trust.agreement.alternative import SKILLED, Contest, NoTest, alternative_test
from backend.core.trust.labels import LabelledProject
from backend.core.trust.slices import slice_of
from backend.core.trust.truth import decision_of

FEWEST_PEOPLE = 3
TWO_ONLY = (
    "only two people labelled blind: each is compared with the other alone, so the test says little; "
    "let a third one label the same tasks"
)


@dataclass(frozen=True, slots=True)
class PersonBeside:
    """The judge beside one person, by who came closer to the other people; counts of tasks."""

    person: str
    tasks: int
    judge_closer: int
    same: int
    person_closer: int
    judge_advantage: float
    """P(the judge is as close as the person, or closer)."""
    person_advantage: float
    p_value: float
    """Against: the person's advantage exceeds the judge's by epsilon or more."""
    judge_wins: bool


@dataclass(frozen=True, slots=True)
class StandingIn:
    """What the test says of the control that decides."""

    control: str
    passed: bool
    """Whether the judge wins against half of the people or more."""
    winning_rate: float
    advantage: float
    epsilon: float
    people: tuple[PersonBeside, ...]
    left_out: tuple[tuple[str, int], ...]
    """People with fewer than 30 tasks that others labelled too, and how many they have."""
    caution: str | None
    """Why the result is weak; None where it is not."""


def standing_in(project: LabelledProject) -> StandingIn | NotComputable:
    """The test on the tasks whose blind labels and whose judge decide; ties among people are of no matter to it.

    A person may be better by what the paper takes for skilled annotators: people of a project have learned its rules,
    but are no experts (0.2) and no crowd (0.1). Tasks are not weighted.
    """
    control = deciding_control(project.config)
    if project.config.control(control) is None:
        return NotComputable("the form has no control that decides", 0)
    judge, people = _decisions(project)
    if len(people) < FEWEST_PEOPLE - 1:
        return NotComputable(f"{FEWEST_PEOPLE} people are needed who label blind, there are {len(people)}", len(judge))
    found = alternative_test(judge, dict(sorted(people.items())), SKILLED)
    if isinstance(found, NoTest):
        return NotComputable(found.reason, len(judge))
    return StandingIn(
        control,
        found.passed,
        found.winning_rate,
        found.advantage,
        found.epsilon,
        tuple(map(_beside, found.contests)),
        found.left_out,
        TWO_ONLY if len(people) < FEWEST_PEOPLE else None,
    )


def _decisions(project: LabelledProject) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """What the judge decides and what people decide blind, by task; only of tasks where the judge decides."""
    config, blind = project.config, slice_of(project, "blind")
    judge: dict[str, str] = {}
    people: dict[str, dict[str, str]] = {}
    for task, labels in zip(blind.tasks, blind.labels, strict=True):
        ours = decision_of(task.judge.values, config) if task.judge else None
        if ours is None:
            continue
        judge[str(task.task)] = ours
        for one in labels:
            if not one.skipped and (theirs := decision_of(one.values, config)) is not None:
                people.setdefault(one.annotator, {})[str(task.task)] = theirs
    return judge, people


def _beside(one: Contest) -> PersonBeside:
    compared = one.comparison
    return PersonBeside(
        compared.person,
        compared.items,
        compared.judge_closer,
        compared.same,
        compared.person_closer,
        compared.judge_advantage,
        compared.person_advantage,
        one.p_value,
        one.judge_wins,
    )
