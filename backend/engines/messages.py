"""A sample and its questions as text in the model's own chat template. Pure: the template is called, nothing is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

_HERE = "\ue000"
"""Stands where the question goes while the template is rendered; a private-use character."""

Before = tuple[int, str]
"""What stands before the sample: a number of images and the text behind them."""

Message = dict[str, Any]
"""A chat message as `apply_chat_template` takes it: role, and content as a list of parts."""


def chat(instructions: str, images: int, body: str, before: Sequence[Before] = ()) -> list[Message]:
    """The conversation that puts images first, then the sample's texts, then one question; `before` all of it."""
    content: list[dict[str, str]] = [part for passage in (*before, (images, body)) for part in _parts(*passage)]
    user: Message = {"role": "user", "content": content}
    if not instructions:
        return [user]
    return [{"role": "system", "content": [{"type": "text", "text": instructions}]}, user]


def _parts(images: int, text: str) -> list[dict[str, str]]:
    return [*({"type": "image"} for _ in range(images)), {"type": "text", "text": text}]


def split_prompt(
    render: Callable[[Sequence[Message]], str],
    instructions: str,
    images: int,
    fields: str,
    before: Sequence[Before] = (),
) -> tuple[str, str]:
    """The rendered prompt before and after the question.

    `render` is the processor's chat template with the generation prompt. A question between the
    two parts gives exactly what the template would have rendered for it.
    """
    clean = [(count, text.replace(_HERE, "")) for count, text in before]
    rendered = render(chat(instructions, images, fields.replace(_HERE, "") + _HERE, clean))
    head, _, tail = rendered.partition(_HERE)
    return head, tail
