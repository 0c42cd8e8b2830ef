"""How much people change in texts: from the candidate, and from what the judge proposed, to what they wrote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein

from backend.core.label_config import Control, LabelConfig
from backend.core.predictions import CORRECTED_CONTROL
from backend.core.sample import candidate_object
from backend.core.spelling import words
from backend.core.transcript import error_rate
from backend.core.trust.agreement.spread import Spread, spread_of
from backend.core.trust.labels import LabelledProject, LabelledTask, Said
from backend.core.trust.slices import Seen, slice_of


@dataclass(frozen=True, slots=True)
class Edits:
    """How far texts are from what a person made of them, over labels."""

    texts: int
    same: int
    """Texts that the person left as they were, blanks at the ends aside."""
    characters: Spread | None
    """Characters to insert, delete or replace (Levenshtein 1966); None where there are no texts."""
    words: Spread | None
    """The same in words; a Chinese character is one."""
    character_rate: Spread | None
    """Per character of the person's text, as in `error_rate`; may exceed 1."""
    word_rate: Spread | None


@dataclass(frozen=True, slots=True)
class Corrections:
    """What people wrote into the control for the corrected text, on one side."""

    labels: int
    """With a corrected text."""
    without: int
    """Labels that left it empty, as where nothing was to be corrected."""
    from_candidate: Edits
    from_judge: Edits
    """From the judge's proposal, where it had one."""


@dataclass(frozen=True, slots=True)
class ProjectCorrections:
    """Corrected texts by people who could not see the judge's proposal and by people who could; skips left out."""

    blind: Corrections
    shown: Corrections


def corrections_of(project: LabelledProject) -> ProjectCorrections | None:
    """None for a form that asks for no corrected text."""
    control = project.config.control(CORRECTED_CONTROL)
    if control is None or control.tag != "TextArea":
        return None
    return ProjectCorrections(_corrections(project, control, "blind"), _corrections(project, control, "shown"))


def _corrections(project: LabelledProject, control: Control, seen: Seen) -> Corrections:
    side, key = slice_of(project, seen), _candidate_key(project.config, control)
    labels = [(task, one) for task, own in zip(side.tasks, side.labels, strict=True) for one in own if not one.skipped]
    written = [(task, text) for task, one in labels if (text := _text(one, control))]
    candidates = [(text, after) for task, after in written if (text := _plain(task.data.get(key)))]
    proposals = [(text, after) for task, after in written if (text := _proposed(task, control))]
    return Corrections(len(written), len(labels) - len(written), _edits(candidates), _edits(proposals))


def _candidate_key(config: LabelConfig, control: Control) -> str:
    """The key of the text that the control belongs to; of the text being judged, if that is none."""
    own = next((text for text in config.texts if text.name in control.objects), None) or candidate_object(config)
    return own.key if own else ""


def _text(one: Said, control: Control) -> str:
    return _plain(one.values.get(control.name))


def _proposed(task: LabelledTask, control: Control) -> str:
    return _plain(task.judge.values.get(control.name)) if task.judge else ""


def _plain(text: object) -> str:
    return text.replace("\r\n", "\n").strip() if isinstance(text, str) else ""


def _edits(pairs: Sequence[tuple[str, str]]) -> Edits:
    """Over pairs of a text and what a person made of it."""
    characters = [Levenshtein.distance(before, after) for before, after in pairs]
    by_word = [(words(before), words(after)) for before, after in pairs]
    in_words = [Levenshtein.distance(before, after) for before, after in by_word]
    return Edits(
        len(pairs),
        characters.count(0),
        spread_of(characters),
        spread_of(in_words),
        spread_of([error_rate(edits, len(after)) for edits, (_, after) in zip(characters, pairs, strict=True)]),
        spread_of([error_rate(edits, len(after)) for edits, (_, after) in zip(in_words, by_word, strict=True)]),
    )
