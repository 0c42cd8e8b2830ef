"""What kind of samples a project holds, told by its label config."""

from __future__ import annotations

from typing import Literal

from backend.core.label_config import LabelConfig
from backend.core.sample import role_of
from backend.core.sides import compares

Kind = Literal["image-text", "question-answer", "document", "chart", "checklist", "preference-pair", "several-images"]
"""Every kind has a rubric of that name among those that come with the product."""

_DOCUMENT = frozenset({"transcription", "transcript", "ocr", "ocr_text", "document_text"})


def kind_of(config: LabelConfig) -> Kind:
    """The kind, by the first of these that holds.

    A control that can say which of several texts is preferred: preference-pair. A text named like a transcription:
    document. An image named `chart`: chart. A question beside the text: question-answer. Several images:
    several-images. Requested features without a text: checklist. Else image-text.
    """
    roles = {role_of(text.name) for text in config.texts}
    names = {text.name.lower() for text in config.texts}
    if compares(config):
        return "preference-pair"
    if names & _DOCUMENT:
        return "document"
    if any(image.name.lower() == "chart" for image in config.images):
        return "chart"
    if "question" in names:
        return "question-answer"
    if len(config.images) > 1 or any(image.several for image in config.images):
        return "several-images"
    if "requested" in roles and "candidate" not in roles:
        return "checklist"
    return "image-text"
