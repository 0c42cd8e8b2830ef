"""What may be judged: a picture in any form with its texts, told apart by which texts there are."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard, Union

from backend.core.kinds import Kind
from backend.core.label_config import LabelConfig, parse_label_config
from backend.core.sample import role_of
from backend.errors import ImageError, TaskError
from backend.images import CLOUD_SCHEMES, ImageLoader
from backend.interfaces import KINDS, label_config_of

if TYPE_CHECKING:
    from PIL import Image

Picture = Union[str, Path, bytes, bytearray, memoryview, "Image.Image"]
"""A path, an http(s) address or data URI, the bytes of a file, or a Pillow image."""

HELD = "held:"
"""Begins the address under which a picture that was given is known while its sample is judged."""
_ADDRESS = re.compile(rf"(?:https?|{'|'.join(CLOUD_SCHEMES)})://|data:", re.IGNORECASE)
_TEXTS = ("caption", "question", "answer", "transcription", "generator")
_LETTERS = "abcdefghij"
_LISTS_NOTHING = (str, bytes, bytearray, memoryview)
"""Sequences to Python that are one picture or one text here."""
_OPENING = tuple(threading.Lock() for _ in range(64))
"""One is held while Pillow reads a picture's file, which it does late, and not safely in several threads.

A picture has always the same one, by its address in memory, which is a multiple of 16; so may others.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One picture, or several, with what is to be judged of it.

    The texts tell the kind: a caption, an answer with its question, a transcription, candidates to choose from, or
    requested features alone. A mapping with these keys does as well.
    """

    image: Picture | Sequence[Picture]
    caption: str | None = None
    question: str | None = None
    answer: str | None = None
    transcription: str | None = None
    """The text of a page, or of several."""
    candidates: Sequence[str] = ()
    """Texts of which the better one is chosen: 2 to 10."""
    requested: str | Sequence[str] = ()
    """Features that the image was to have; a text of them is divided at its commas."""
    kind: Kind | None = None
    """Only needed for what the texts do not tell, such as `chart`."""
    generator: str | None = None
    """The model that wrote the text; a judge of the same family flags it."""
    id: str | None = None
    """Names it in the results; None takes its place among the samples, from 0."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A sample as a task of a label config."""

    name: str
    label_config: str
    """In XML."""
    data: Mapping[str, Any]
    held: Mapping[str, Picture]
    """The pictures by the addresses that `data` gives them."""


def bind_sample(sample: Any, place: int, label_config: str | None) -> Bound:
    """The sample as a task of this label config, or of the ready one for its kind. Raises TaskError."""
    given = _given(sample)
    name = str(place) if given.get("id") is None else str(given["id"])
    if label_config is not None:
        return _bound(name, label_config, given, given.keys())
    kind = _kind(given)
    xml, data = (_pair if kind == "preference-pair" else _single)(kind, given)
    return _bound(name, xml, data, ())


def name_of(sample: Any, place: int) -> str:
    """What results call a sample, whatever is wrong with it."""
    own = sample.get("id") if isinstance(sample, Mapping) else getattr(sample, "id", None)
    return str(place) if own is None else str(own)


def _given(sample: Any) -> Mapping[str, Any]:
    if isinstance(sample, Sample):
        values = {item.name: getattr(sample, item.name) for item in fields(sample)}
        return {name: value for name, value in values.items() if value is not None and not _is_unset(value)}
    if not isinstance(sample, Mapping):
        raise TaskError(f"a sample is a backend.Sample or a mapping with its fields, not {type(sample).__name__}")
    return sample


def _kind(given: Mapping[str, Any]) -> Kind:
    said = given.get("kind")
    if said is not None and not (isinstance(said, str) and said in KINDS):
        raise TaskError(f"there is no kind {said}; there are {', '.join(KINDS)}")
    several = _is_list(given.get("image"))
    told: tuple[tuple[str, Kind], ...] = (
        ("candidates", "preference-pair"),
        ("transcription", "document"),
        ("answer", "question-answer"),
        ("caption", "several-images" if several else "image-text"),
        ("requested", "checklist"),
    )
    found = [kind for field, kind in told if _is_said(given.get(field))]
    if found:
        return next((kind for kind in KINDS if kind == said), found[0])
    raise TaskError(f"there is nothing to judge; give one of {', '.join(field for field, _ in told)}")


def _is_unset(value: Any) -> bool:
    """Whether it is the default of a field that takes several."""
    return isinstance(value, tuple) and not value


def _is_said(value: Any) -> bool:
    """Whether there is something; the truth of an array cannot be asked for."""
    return value is not None and not (isinstance(value, Sequence) and len(value) == 0)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, _LISTS_NOTHING)


def _single(kind: Kind, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The ready label config of a kind, and the sample under its keys."""
    xml = label_config_of(kind)
    shown = parse_label_config(xml).images[0]
    images = _listed(given.get("image"))
    if len(images) != 1 and not shown.several:
        raise TaskError(f"a sample of the kind {kind} has one image, not {len(images)}")
    return xml, {**_texts(given), shown.key: images if shown.several else images[0]}


def _pair(kind: Kind, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """The candidates under keys of their own; the ready label config has two of them."""
    texts, images = given.get("candidates"), _listed(given.get("image"))
    if not _are_texts(texts) or not 2 <= len(texts) <= len(_LETTERS):
        raise TaskError(f"`candidates` must be a list of 2 to {len(_LETTERS)} texts")
    if len(images) != 1:
        raise TaskError(f"candidates are compared by one image, not {len(images)}")
    names = [f"text_{letter}" for letter in _LETTERS[: len(texts)]]
    xml = label_config_of(kind) if len(texts) == 2 else _choosing(names)
    return xml, {**_texts(given), **dict(zip(names, texts, strict=True)), "image": images[0]}


def _are_texts(value: Any) -> TypeGuard[Sequence[str]]:
    return _is_list(value) and all(isinstance(text, str) for text in value)


def _choosing(names: Sequence[str]) -> str:
    texts = "".join(f'<Text name="{name}" value="${name}"/>' for name in names)
    choices = "".join(f'<Choice value="{name}"/>' for name in names)
    return (
        f'<View><Image name="image" value="$image"/><Text name="question" value="$question"/>{texts}'
        f'<Choices name="preference" toName="image">{choices}</Choices></View>'
    )


def _texts(given: Mapping[str, Any]) -> dict[str, Any]:
    texts = {key: given[key] for key in _TEXTS if given.get(key) is not None}
    return {**texts, "requested": _requested(given.get("requested"))}


def _requested(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else value


def _listed(image: Any) -> list[Any]:
    if image is None:
        return []
    return list(image) if _is_list(image) else [image]


def _bound(name: str, xml: str, data: Mapping[str, Any], kept: Any) -> Bound:
    """With every picture that has no address of its own held under one; `kept` are keys that go along as they are."""
    config = parse_label_config(xml)
    held: dict[str, Picture] = {}
    bound = {key: value for key, value in data.items() if key in kept or value is not None}
    for image in config.images:
        if image.key in bound:
            bound[image.key] = _addressed(image.key, bound[image.key], held)
    for text in _requested_keys(config) & bound.keys():
        bound[text] = _requested(bound[text])
    for key in {text.key for text in config.texts} & bound.keys():
        if not isinstance(bound[key], str | None):
            raise TaskError(f"`{key}` must be text, not {type(bound[key]).__name__}")
    return Bound(name, xml, bound, held)


def _requested_keys(config: LabelConfig) -> set[str]:
    return {text.key for text in config.texts if role_of(text.name) == "requested"}


def _addressed(key: str, value: Any, held: dict[str, Picture]) -> Any:
    if isinstance(value, list | tuple):
        return [_addressed(f"{key}[{index}]", item, held) for index, item in enumerate(value)]
    if not _is_said(value):
        return None
    if isinstance(value, str) and _ADDRESS.match(value):
        return value
    address = f"{HELD}{key}"
    held[address] = bytes(value) if isinstance(value, bytearray | memoryview) else value
    return address


class GivenImages:
    """The pictures of samples that are being judged, and by its loader those with an address. Safe in threads."""

    def __init__(self, loader: ImageLoader, max_bytes: int) -> None:
        """Files of more than `max_bytes` are refused."""
        self._loader = loader
        self._max_bytes = max_bytes
        self._held: dict[str, Mapping[str, Picture]] = {}
        self._lock = threading.Lock()

    def hold(self, task: str, pictures: Mapping[str, Picture]) -> None:
        """Keep a task's pictures until it is dropped."""
        with self._lock:
            self._held[task] = pictures

    def drop(self, task: str) -> None:
        """Let go of a task's pictures."""
        with self._lock:
            self._held.pop(task, None)

    def load(self, uri: str, task: str | None = None) -> Image.Image:
        """The picture in RGB, upright, transparent parts on white. Raises ImageError."""
        with self._lock:
            picture = self._held.get(task or "", {}).get(uri)
        if picture is None:
            return self._loader.load(uri, task)
        if isinstance(picture, bytes):
            return self._loader.decode(picture, f"an image of {len(picture)} bytes")
        if isinstance(picture, str | Path):
            return self._loader.decode(self._file(Path(picture)), str(picture))
        return self._from_pillow(picture)

    def _file(self, path: Path) -> bytes:
        try:
            with path.open("rb") as file:
                content = file.read(self._max_bytes + 1)
        except (OSError, ValueError) as exc:
            raise ImageError(f"cannot read {path}: {getattr(exc, 'strerror', None) or exc}") from exc
        if len(content) > self._max_bytes:
            raise ImageError(
                f"{path} has more than the {self._max_bytes} bytes allowed; make it smaller or raise "
                "VLM_JUDGE_MAX_IMAGE_BYTES"
            )
        return content

    def _from_pillow(self, picture: Any) -> Image.Image:
        """As a file of the same picture would be read."""
        from PIL import Image, ImageOps

        if not isinstance(picture, Image.Image):
            raise ImageError(f"an image is a path, an address, bytes or a Pillow image, not {type(picture).__name__}")
        try:
            with _OPENING[id(picture) // 16 % len(_OPENING)]:
                upright = ImageOps.exif_transpose(picture)  # always another picture, wholly loaded
            if upright.mode == "RGB" and not upright.has_transparency_data:
                return upright.copy()
            if upright.mode in ("CMYK", "YCbCr", "LAB", "HSV"):
                return upright.convert("RGB")
            kept = upright.convert("RGBA") if upright.has_transparency_data else upright
            file = io.BytesIO()
            kept.save(file, "TIFF" if kept.mode in ("I", "F") else "PNG", compress_level=1)
        except (OSError, ValueError, SyntaxError) as exc:  # the last is Pillow's word for a broken PNG
            raise ImageError(f"the Pillow image cannot be read ({exc}); give the file's path") from exc
        return self._loader.decode(file.getvalue(), f"the Pillow image of mode {picture.mode}")
