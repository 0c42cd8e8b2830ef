"""What is asked of a generator for each image, and how its reply becomes a task."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from backend.core.types import Reply, Unwritten, Writing
from backend.core.writing import text_writing, vqa_writing
from backend.generation.styles import styled

Kind = Literal["caption", "vqa", "ocr"]

_MAX_TOKENS: Mapping[Kind, int] = {"caption": 512, "vqa": 256, "ocr": 2048}
_FIELDS: Mapping[Kind, Mapping[str, str]] = {
    "caption": {"caption": "text"},
    "vqa": {"question": "question", "answer": "answer"},
    "ocr": {"text": "text"},
}
"""Per kind: fields of the task's data, and those of the reply they come from."""


@dataclass(frozen=True, slots=True)
class Key:
    """Which candidate: the same key is never generated twice for one output."""

    image_sha256: str
    generator: str
    style: str
    candidate: int
    """From 1; the first is the likeliest reply, the others are sampled."""

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Key:
        """The key in a task's data, or in a line about a dropped candidate. Raises KeyError when there is none."""
        return cls(row["image_sha256"], row["generator"], row["style"], row["candidate"])

    def seed(self, seed: int) -> int:
        """The sampling seed of this candidate, in [0, 2^31), the same on every machine."""
        digest = hashlib.sha256(f"{seed}|{self.image_sha256}|{self.style}|{self.candidate}".encode()).digest()
        return int.from_bytes(digest[:4], "big") >> 1


def keys(image_sha256: str, generator: str, styles: Mapping[str, str], candidates: int) -> Iterator[Key]:
    """The candidates of one image by one generator."""
    return (Key(image_sha256, generator, style, number + 1) for style in styles for number in range(candidates))


def writing(kind: Kind, request: str, style: str) -> Writing:
    """The request for one candidate."""
    make = vqa_writing if kind == "vqa" else text_writing
    return make(kind, styled(style, request), _MAX_TOKENS[kind])


def texts_of(kind: Kind, reply: Reply) -> dict[str, str] | str:
    """The fields that the reply gives the task, or why it gives none."""
    if isinstance(reply, Unwritten):
        return reply.reason
    value = reply.value
    texts = {field: str(value[part]).strip() for field, part in _FIELDS[kind].items()}
    if not all(texts.values()):
        return f"the reply leaves {', '.join(field for field, text in texts.items() if not text)} empty"
    if any(letter in "\ufffd\0" for text in texts.values() for letter in text):
        return "the reply holds half a character or a NUL"
    return texts


def compared(kind: Kind, data: Mapping[str, Any]) -> str:
    """The text of a task by which duplicates are told."""
    return "\n".join(str(data[field]) for field in _FIELDS[kind])
