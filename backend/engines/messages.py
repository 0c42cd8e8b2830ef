"""A sample and its questions as text in the model's own chat template. Pure: the template is called, nothing is run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

_HERE = "\ue000"
"""Stands where the question goes while the template is rendered; a private-use character."""

Message = dict[str, Any]
"""A chat message as `apply_chat_template` takes it: role, and content as a list of parts."""


def chat(instructions: str, images: int, body: str) -> list[Message]:
    """The conversation that puts images first, then the sample's texts, then one question."""
    content: list[dict[str, str]] = [*({"type": "image"} for _ in range(images)), {"type": "text", "text": body}]
    user: Message = {"role": "user", "content": content}
    if not instructions:
        return [user]
    return [{"role": "system", "content": [{"type": "text", "text": instructions}]}, user]


def split_prompt(
    render: Callable[[Sequence[Message]], str], instructions: str, images: int, fields: str
) -> tuple[str, str]:
    """The rendered prompt before and after the question.

    `render` is the processor's chat template with the generation prompt. A question between the
    two parts gives exactly what the template would have rendered for it.
    """
    rendered = render(chat(instructions, images, fields.replace(_HERE, "") + _HERE))
    before, _, after = rendered.partition(_HERE)
    return before, after
