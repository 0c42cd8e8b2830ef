"""Chooses few-shot examples from what people said of a project, so that the judge may learn how they decide.

Never a task of the blind slice, and none with an image of it: a judge that was shown the answers cannot be measured on
them. A task is of use where a person differs from the judge, whether they saw its answer or not, or agrees with it on
better evidence than a button left as it was: without having seen it, or together with somebody else. Tasks that
anybody skipped, that people disagree about, or that hold a text which speaks to the judge are left out.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from backend.core.changes import same_value
from backend.core.deciding import decides_alike, deciding_control
from backend.core.examples import LONGEST_WHY, MOST, PREFERENCE, VERDICT, Example, Said
from backend.core.injection import suspicious
from backend.core.label_config import Control, LabelConfig
from backend.core.sample import bind
from backend.core.sides import chosen_text, compares, says_preference, with_competing
from backend.core.trust.labels import LabelledProject, LabelledTask
from backend.core.trust.labels import Said as Label
from backend.core.trust.truth import consolidated, decision_of, latest_of_each
from backend.core.types import DECISIONS, ControlValue, Sample, TextField, Value
from backend.errors import TaskError

COUNT = 4
MAX_TOKENS = 1_500
"""Of all examples together, without images; roughly what one large image costs."""
_AROUND_TOKENS = 100
"""What an example costs beside its own texts: its ratings in the rubric's words."""
_BYTES_PER_TOKEN = 3
"""Of UTF-8; Qwen's tokenizer makes longer tokens of English, and about such of other languages."""
_RATIONALE = "rationale"
_SHOWN_TAGS = frozenset({"Rating", "Choices", "Taxonomy", "Number"})


@dataclass(frozen=True, slots=True)
class Chosen:
    """The examples, and what they were chosen from."""

    examples: tuple[Example, ...]
    """In the order in which they are to be shown; their images are named, not read."""
    corrected: int
    """Tasks that could have been chosen in which a person differs from the judge."""
    confirmed: int
    """Those in which the judge was found right on good evidence."""

    @property
    def available(self) -> int:
        """All tasks that could have been chosen."""
        return self.corrected + self.confirmed

    @property
    def tasks(self) -> tuple[int, ...]:
        """The tasks used: what is said of a judge that is shown them has to leave these out."""
        return tuple(example.task for example in self.examples if example.task is not None)


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A task that could be an example."""

    example: Example
    image: str
    human: str
    """What people decided; empty on a form without a decision."""
    judge: str
    """What the judge had decided."""
    corrected: bool
    tokens: int
    order: bytes
    """Where the draw puts it."""


def choose_examples(
    project: LabelledProject, count: int = COUNT, max_tokens: int = MAX_TOKENS, key: str = ""
) -> Chosen:
    """At most `count` examples of no more than about `max_tokens` together, the same for the same labels and key.

    One after the other, each time the task that, in this order of importance: brings a decision of people that is
    rarest so far, corrects the judge, corrects an error of a kind that is rarest so far, has texts that are shorter
    (by powers of two), comes first in the draw. No image is used twice. `key` makes another draw, by BLAKE2b of the
    task's number under it; at most 64 bytes. Raises ValueError for a count that is not between 1 and `MOST`.
    """
    if not 1 <= count <= MOST:
        raise ValueError(f"count must lie between 1 and {MOST}, not {count}")
    usable = list(_candidates(project, key or f"examples/{project.id}"))
    chosen: list[_Candidate] = []
    while len(chosen) < count:
        left = max_tokens - sum(one.tokens for one in chosen)
        taken = {one.image for one in chosen}
        fitting = [one for one in usable if one.image not in taken and one.tokens <= left]
        if not fitting:
            break
        chosen.append(min(fitting, key=_rank_after(chosen)))
    corrected = sum(one.corrected for one in usable)
    return Chosen(_shown(chosen), corrected, len(usable) - corrected)


def _rank_after(chosen: list[_Candidate]) -> Callable[[_Candidate], tuple[int, bool, int, int, bytes]]:
    """What comes next after these, as `choose_examples` says; the lowest first."""
    decisions = Counter(one.human for one in chosen)
    errors = Counter((one.judge, one.human) for one in chosen)

    def rank(one: _Candidate) -> tuple[int, bool, int, int, bytes]:
        kind = errors[one.judge, one.human]
        return decisions[one.human], not one.corrected, kind, one.tokens.bit_length(), one.order

    return rank


def _shown(chosen: list[_Candidate]) -> tuple[Example, ...]:
    """In the order of the draw, so that no decision stands last by design; of pairs, every other one turned round."""
    ordered = [one.example for one in sorted(chosen, key=lambda one: one.order)]
    return tuple(_better_as(number % 2, example) for number, example in enumerate(ordered))


def _better_as(place: int, example: Example) -> Example:
    """The example with its better text as the first (0) or the second (1) candidate; any other as it is."""
    better = dict(example.decided).get(PREFERENCE)
    if better is None:
        return example
    others = [text for text in example.texts if text.role != "candidate"]
    sides = sorted(
        (text for text in example.texts if text.role == "candidate"),
        key=lambda text: (text.name == better) != (not place),
    )
    return replace(example, texts=(*others, *sides))


def _candidates(project: LabelledProject, key: str) -> Iterator[_Candidate]:
    measured = {task.task for task in project.tasks if _measures(task, project)}
    kept = {task.image for task in project.tasks if task.task in measured}
    for task in project.tasks:
        if task.task in measured or task.image in kept:
            continue
        found = _candidate(task, project.config, key)
        if found is not None:
            yield found


def _measures(task: LabelledTask, project: LabelledProject) -> bool:
    """Whether it is in the blind slice, or among those that people look at again if they are accepted."""
    plan = project.config.audit
    return task.drawn_with is not None or (plan is not None and plan.place_again(task.task) is not None)


def _candidate(task: LabelledTask, config: LabelConfig, key: str) -> _Candidate | None:
    said = _agreed(task, config)
    if said is None or task.judge is None:
        return None
    corrected = _corrects(said.values, task.judge.values, config)
    labels = latest_of_each(task.said)
    if not corrected and len(labels) < 2 and all(one.saw_prediction for one in labels):
        return None
    example = _example(task, said, config)
    if example is None or any(suspicious(text) for text in (*(t.value for t in example.texts), example.why)):
        return None
    human, judge = (decision_of(values, config) or "" for values in (said.values, task.judge.values))
    order = hashlib.blake2b(str(task.task).encode(), digest_size=8, key=key.encode()).digest()
    return _Candidate(example, task.image, human, judge, corrected, _tokens(example), order)


def _agreed(task: LabelledTask, config: LabelConfig) -> Label | None:
    """What all who labelled a task say of it; None where somebody skipped it or decided otherwise."""
    labels = latest_of_each(task.said)
    said = consolidated(labels, config)
    if said is None or any(one.skipped for one in labels):
        return None
    return said if all(decides_alike(said.values, one.values, config) for one in labels) else None


def _corrects(human: Mapping[str, Value], judge: Mapping[str, Value], config: LabelConfig) -> bool:
    """Whether a person's decision or one of their ratings differs from the judge's."""
    ratings = [control.name for control in config.controls if control.tag == "Rating" and control.scope == "task"]
    rated = [name for name in ratings if name in human]
    return not decides_alike(judge, human, config) or any(
        not same_value(judge.get(name), human[name]) for name in rated
    )


def _example(task: LabelledTask, said: Label, config: LabelConfig) -> Example | None:
    """The task as an example; None where there is nothing to learn from it."""
    try:
        sample = bind({"id": task.task, "data": task.data}, config)
    except TaskError:
        return None
    images, why = tuple(ref.uri for ref in sample.images), _why(task, said)
    if compares(config):
        pair = _pair(with_competing(sample, config), task, said, config)
        return Example(pair[0], ((PREFERENCE, pair[1]),), why, task.task, images) if pair else None
    decided = tuple(
        (control.name, value)
        for control in sorted(_shown_controls(config), key=lambda control: control.name == VERDICT)
        if (value := _plain(said.values.get(control.name), control)) is not None
        and (control.name != VERDICT or value in DECISIONS)
    )
    return Example(sample.texts, decided, why, task.task, images) if decided else None


def _pair(
    sample: Sample, task: LabelledTask, said: Label, config: LabelConfig
) -> tuple[tuple[TextField, ...], str] | None:
    """Context, the preferred text and the one that the judge preferred, or any other; and the preferred one's name."""
    better, judged = (_preferred(values, config) for values in (said.values, task.judge.values if task.judge else {}))
    others = [text for text in sample.candidates if text.name != better]
    if better is None or not others or better not in [text.name for text in sample.candidates]:
        return None
    beaten = next((text for text in others if text.name == judged), others[0])
    texts = tuple(text for text in sample.texts if text.role != "candidate" or text.name == better or text is beaten)
    return texts, better


def _preferred(values: Mapping[str, Value], config: LabelConfig) -> str | None:
    control = config.control(deciding_control(config))
    if control is None or control.name not in values:
        return None
    text = chosen_text(ControlValue(control.name, control.tag, values[control.name]), config)
    return text.key if text else None


def _shown_controls(config: LabelConfig) -> Iterator[Control]:
    """Controls of the whole task with a fixed set of answers."""
    for control in config.controls:
        if control.tag in _SHOWN_TAGS and control.scope == "task" and not says_preference(control, config):
            yield control


def _plain(value: Value | None, control: Control) -> Said | None:
    """A control's value as an example has it: one choice as a text, several as a tuple, paths joined by ` > `."""
    if value is None or isinstance(value, str | int | float):
        return value
    items = tuple(" > ".join(item) if isinstance(item, tuple) else str(item) for item in value)
    if not items:
        return None
    return items if control.multiple or len(items) > 1 else items[0]


def _why(task: LabelledTask, said: Label) -> str:
    """The first sentence of a reason that a person wrote; empty where it is still the judge's."""
    reason = said.values.get(_RATIONALE)
    if not isinstance(reason, str) or (task.judge and same_value(reason, task.judge.values.get(_RATIONALE))):
        return ""
    line = reason.strip().partition("\n")[0]
    sentence, stop, _ = line.partition(". ")
    first = f"{sentence}." if stop else line
    return first if len(first) <= LONGEST_WHY else ""


def _tokens(example: Example) -> int:
    """About how many tokens an example takes in the prompt."""
    text = example.why + "".join(text.name + text.value for text in example.texts)
    return len(text.encode()) // _BYTES_PER_TOKEN + _AROUND_TOKENS
