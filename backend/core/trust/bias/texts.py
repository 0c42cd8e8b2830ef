"""The texts of a project that are judged, and how they are cut into words."""

from __future__ import annotations

import re

from backend.core.label_config import LabelConfig
from backend.core.sample import candidate_object, data_value
from backend.core.sides import compares, competing
from backend.core.trust.labels import LabelledProject, LabelledTask

_WORD = re.compile(
    r"[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)
"""A run of letters, digits and underscores; of Chinese and Japanese, which put no spaces, every character."""


def words_of(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation."""
    return _WORD.findall(text.casefold())


def judged_keys(config: LabelConfig) -> tuple[str, ...]:
    """Keys of the tasks' data that hold judged texts: the candidate's, or those that compete; none for images alone."""
    if compares(config):
        return tuple(text.key for text in competing(config))
    candidate = candidate_object(config)
    return (candidate.key,) if candidate else ()


def text_in(task: LabelledTask, key: str) -> str | None:
    """The text under a key; None where there is none."""
    value = data_value(task.data, key)
    return value if isinstance(value, str) and value.strip() else None


def judged_texts(project: LabelledProject) -> tuple[tuple[LabelledTask, str], ...]:
    """Every judged text with its task, in the tasks' order."""
    keys = judged_keys(project.config)
    found = ((task, text_in(task, key)) for task in project.tasks for key in keys)
    return tuple((task, text) for task, text in found if text is not None)
