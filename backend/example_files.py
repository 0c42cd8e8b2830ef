"""Few-shot examples on disk: a file with the images it names, read at the start, and written from what was chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from math import sqrt
from pathlib import Path
from typing import TYPE_CHECKING

from backend.core.examples import PICTURE_PIXELS, Example, Examples, Lesson, parse_examples, render_file
from backend.engines.base import Passage
from backend.errors import ImageError, SettingsError
from backend.images import ImageLoader, named
from backend.pictures import decode, stored_as
from backend.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

_ADDRESSES = ("data:", "http://", "https://", "s3://", "gs://", "azure-blob://")

MOST_PIXELS = 100_000_000
"""Of an example's image."""

ReadImage = Callable[[str, str | None], bytes]
"""From an address and the id of its task to the original bytes; `ImageLoader.read`. Raises ImageError."""


def examples_of(settings: Settings) -> Examples | None:
    """The examples that the settings name; None where they name none. Raises SettingsError."""
    return read_examples(settings.examples, ImageLoader(settings)) if settings.examples else None


def read_examples(path: Path, loader: ImageLoader) -> Examples:
    """The examples of a file with their images. Raises SettingsError naming the example whose image cannot be had.

    Images are fetched now, because what they show is part of the fingerprint.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise SettingsError(f"cannot read the examples {path}: {exc.strerror}; see VLM_JUDGE_EXAMPLES") from exc
    except UnicodeDecodeError as exc:
        raise SettingsError(f"the examples {path} are not UTF-8 text; save them as UTF-8") from exc
    examples = parse_examples(text, str(path))
    entries = [_with_pictures(number, entry, path, loader) for number, entry in enumerate(examples.entries, 1)]
    return replace(examples, entries=tuple(entries))


def write_examples(path: Path, examples: Examples, read: ReadImage) -> Examples:
    """Write a file and, into a folder beside it, its images, so that it stays what it is; as it will be read.

    Raises SettingsError when it cannot be written, or an image cannot be had: then nothing is.
    """
    folder = path.with_name(f"{path.stem}-images")
    kept = tuple(_fetched(entry, folder.name, read) for entry in examples.entries)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for entry in kept:
            for name, content in zip(entry.images, entry.pictures, strict=True):
                folder.mkdir(exist_ok=True)
                (path.parent / name).write_bytes(content)
        path.write_text(render_file(replace(examples, entries=kept)), encoding="utf-8")
    except OSError as exc:
        raise SettingsError(f"cannot write the examples {path}: {exc.strerror}; name another file") from exc
    return replace(examples, entries=kept)


def show_lessons(lessons: Sequence[Lesson]) -> tuple[Passage, ...]:
    """The lessons with their images decoded and shrunk. Raises ImageError for bytes that are none."""
    return tuple(Passage(tuple(_shown(picture) for picture in lesson.pictures), lesson.text) for lesson in lessons)


def example_images(examples: Examples) -> Iterator[Image.Image]:
    """All images of the examples in full size, whether the judge is shown them or not."""
    for entry in examples.entries:
        for content in entry.pictures:
            yield _decoded(content)


def _with_pictures(number: int, entry: Example, file: Path, loader: ImageLoader) -> Example:
    contents = []
    for image in entry.images:
        try:
            content = _read(image, entry.task, file, loader)
            decode(content, named(image), MOST_PIXELS)
        except ImageError as exc:
            raise SettingsError(f"{file}, example {number}, `images`: {exc}") from exc
        contents.append(content)
    return replace(entry, pictures=tuple(contents))


def _read(image: str, task: int | None, file: Path, loader: ImageLoader) -> bytes:
    path = file.parent / image
    if image.startswith(_ADDRESSES) or (image.startswith("/") and not path.exists()):
        return loader.read(image, None if task is None else str(task))
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ImageError(f"cannot read {path}: {exc.strerror}; paths start where the file is") from exc


def _fetched(entry: Example, folder: str, read: ReadImage) -> Example:
    """The example with its images' bytes, under the names that they are written by."""
    task = None if entry.task is None else str(entry.task)
    try:
        contents = tuple(read(image, task) for image in entry.images)
        names = tuple(f"{folder}/{task}-{number}{_ending(content)}" for number, content in enumerate(contents, 1))
    except ImageError as exc:
        raise SettingsError(f"the example from task {task}: {exc}") from exc
    return replace(entry, images=names, pictures=contents)


def _ending(content: bytes) -> str:
    _decoded(content)
    return stored_as(content)[1]


def _decoded(content: bytes) -> Image.Image:
    return decode(content, "an example's image", MOST_PIXELS)


def _shown(content: bytes) -> Image.Image:
    """The image no larger than the judge is shown it."""
    from PIL import Image

    image = _decoded(content)
    ratio = sqrt(PICTURE_PIXELS / (image.width * image.height))
    if ratio >= 1:
        return image
    size = max(1, int(image.width * ratio)), max(1, int(image.height * ratio))
    return image.resize(size, Image.Resampling.BICUBIC)
