"""Turns a sample and a rubric into the words the model reads. Pure: no tokenizer, no image.

Everything that comes from a task is data. It is written as a JSON string, so that quotes and line
breaks cannot end it, and the delimiters of chat templates are broken up, so that a task cannot
open a turn of its own or claim to be an image.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from backend.core.types import Option, Question, TextField

PROMPT_VERSION = "1"
"""Part of the fingerprint: raise it whenever a rendered prompt changes."""

YES_NO = (Option("yes", "Yes"), Option("no", "No"))

_DELIMITER = re.compile(r"<(?=\|)|(?<=\|)>|<(?=/?(?:tool_call|tool_response|think|object_ref|box|quad)\b)")


def neutralise(text: str) -> str:
    """Break up chat-template delimiters such as `<|im_end|>`; ordinary text is unchanged, and twice is once."""
    return _DELIMITER.sub(lambda match: "‹" if match.group() == "<" else "›", text)


def quote(text: str) -> str:
    """The text as a JSON string literal with its delimiters neutralised."""
    return json.dumps(neutralise(text), ensure_ascii=False)


def render_fields(texts: Sequence[TextField]) -> str:
    """The sample's texts, one line each: name, colon, JSON string. Ends with a line break when not empty."""
    return "".join(f"{neutralise(text.name)}: {quote(text.value)}\n" for text in texts)


def claim_question(number: int, template: str, claim: str) -> Question:
    """Ask whether the image supports one claim of the text; `template` holds `{claim}`."""
    return Question(id=f"claim:{number}", text=template.replace("{claim}", quote(claim)), options=YES_NO)


def word_question(claim: int, number: int, template: str, word: str, text: str) -> Question:
    """Ask whether one word of a claim is right; `template` holds `{word}` and `{claim}`."""
    filled = re.sub(r"\{(word|claim)\}", lambda match: quote(word if match.group(1) == "word" else text), template)
    return Question(id=f"word:{claim}:{number}", text=filled, options=YES_NO)
