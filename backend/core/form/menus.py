"""Menus of lettered entries, however many entries there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from string import ascii_uppercase

from backend.core.flow import Ask, Flow, ask, by_id
from backend.core.types import Answer, Option, Question, Sample, Scored

MOST_LETTERED = len(ascii_uppercase)
"""Entries of one menu: each is answered by one letter, which is one token."""

MOST_ENTRIES = MOST_LETTERED**2
"""Entries that can be chosen from in two steps."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a menu."""

    value: str
    """Different for every entry of a menu."""
    words: str
    """As it stands in the prompt."""


@dataclass(frozen=True, slots=True)
class Menu:
    """Entries of which one is chosen.

    Up to 26 are one question. More are dealt into as few groups as that allows, all of them asked in one reading; the
    groups' winners make the last question.
    """

    id: str
    introduction: str
    entries: tuple[Entry, ...]

    @property
    def first(self) -> tuple[Question, ...]:
        """What is asked first; nothing when there is nothing to choose between."""
        if not 1 < len(self.entries) <= MOST_ENTRIES:
            return ()
        groups = ceil(len(self.entries) / MOST_LETTERED)
        if groups == 1:
            return (self._question(self.id, self.entries),)
        return tuple(
            self._question(f"{self.id}:group:{number}", self.entries[number::groups]) for number in range(groups)
        )

    def last(self, winners: Sequence[str]) -> Question:
        """The choice between the groups' winners."""
        return self._question(f"{self.id}:last", [entry for entry in self.entries if entry.value in winners])

    def _question(self, name: str, entries: Sequence[Entry]) -> Question:
        lines = (f"{letter} = {entry.words}" for letter, entry in zip(ascii_uppercase, entries, strict=False))
        options = tuple(Option(entry.value, letter) for letter, entry in zip(ascii_uppercase, entries, strict=False))
        text = "\n".join((self.introduction, *lines, "Choose what fits best. Answer with one letter only."))
        return Question(name, text, options)


@dataclass(frozen=True, slots=True)
class Pick:
    """What was chosen."""

    value: str
    prob: float
    """Of a choice in two steps: the probability that its group chose it, times that the winners' question did."""


def pick(menu: Menu, sample: Sample, answers: Mapping[str, Answer]) -> Flow[Pick | str]:
    """What the judge chooses, or why it did not; asks what `answers` do not hold yet."""
    if len(menu.entries) > MOST_ENTRIES:
        return f"it has {len(menu.entries)} choices, and the judge can tell {MOST_ENTRIES} apart"
    if len(menu.entries) == 1:
        return Pick(menu.entries[0].value, 1.0)
    replies = yield from known_or_asked(menu.first, sample, answers)
    scored = [reply for reply in replies if isinstance(reply, Scored)]
    if len(scored) < len(replies):
        return reason(replies)
    if len(scored) == 1:
        return Pick(scored[0].best, scored[0].prob(scored[0].best))
    last = menu.last([reply.best for reply in scored])
    (final,) = yield from known_or_asked((last,), sample, {})
    if not isinstance(final, Scored):
        return final.reason
    group = next(reply for reply in scored if reply.best == final.best)
    return Pick(final.best, group.prob(final.best) * final.prob(final.best))


def known_or_asked(
    questions: Sequence[Question], sample: Sample, answers: Mapping[str, Answer]
) -> Flow[tuple[Answer, ...]]:
    """An answer to every question, in order; those that `answers` do not hold are asked in one more reading."""
    missing = tuple(question for question in questions if question.id not in answers)
    known = dict(answers)
    if missing:
        (more,) = yield from ask(Ask(missing, sample.texts))
        known |= by_id(more)
    return tuple(known[question.id] for question in questions)


def reason(answers: Sequence[Answer]) -> str:
    """Why the first of the answers that is none is none."""
    return next(answer.reason for answer in answers if not isinstance(answer, Scored))
