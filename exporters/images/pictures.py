"""Fetches the images of records ahead, and makes sure that they open, so that the finished dataset does."""

from __future__ import annotations

import hashlib
import io
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from cachetools import LRUCache

from backend.errors import ExportError, ImageError
from exporters.images.encoding import Encoding, encoded
from exporters.images.location import tells_location, without_location
from exporters.images.sources import ImageSource
from exporters.records.consolidate import Outcome
from exporters.records.record import LeftOut, Record
from exporters.schema.features import Picture, Pictures

if TYPE_CHECKING:
    from PIL import Image

MAX_FAILURES = 20
"""So many tasks whose image cannot be read end an export at once; the message names them."""
THREADS = 8
AHEAD = 32
"""Images that are read before their turn, and records; the record whose turn is next may alone have more images."""
MAX_AHEAD_BYTES = 64 * 2**20
"""So many bytes of images that wait for their turn are enough."""
MAX_KNOWN_BYTES = 64 * 2**20
"""Images that were seen lately are not decoded again."""
_OVERHEAD_BYTES = 2048
"""What a known image takes beside its bytes: hashes, names, order."""


@dataclass(frozen=True, slots=True)
class PictureOptions:
    """What is done to images on their way into the dataset."""

    keep_location: bool = False
    """Whether the place where a photograph was taken stays in it."""
    encoding: Encoding = field(default_factory=Encoding)


AS_THEY_ARE = PictureOptions()


@dataclass(frozen=True, slots=True)
class PictureCounts:
    """What was done to the images of a finished export; images are counted as often as rows hold them."""

    images: int
    without_place: int
    """Those that told where they were taken, and do not any more."""
    encoded: int
    """Those that were encoded anew."""


NO_PICTURES = PictureCounts(0, 0, 0)


@dataclass(frozen=True, slots=True)
class _Ready:
    """An image that went through everything."""

    picture: Picture
    lost_place: bool
    was_encoded: bool


@dataclass(frozen=True, slots=True)
class _Failure:
    key: str
    reason: str


_Found = dict[str, tuple[_Ready | _Failure, ...]]
_Waiting = tuple[Outcome, Future[_Found]]


class PictureReader:
    """Reads record by record; tasks without an image are collected, and end the export unless they are allowed."""

    def __init__(
        self,
        source: ImageSource,
        *,
        allow_missing: bool,
        options: PictureOptions = AS_THEY_ARE,
        release: Callable[[int], None] = lambda task: None,
    ) -> None:
        """`release` is told of every task whose images are not needed any more."""
        self._source = source
        self._release = release
        self._allow_missing = allow_missing
        self._options = options
        self._failures: dict[int, str] = {}
        self._unread: dict[tuple[int, str, int], str] = {}
        self._known: LRUCache[bytes, _Ready] = LRUCache(
            MAX_KNOWN_BYTES, lambda ready: len(ready.picture.data) + _OVERHEAD_BYTES
        )
        self._lock = threading.Lock()
        self._counts = [0, 0, 0]
        self._ahead_bytes = 0

    @property
    def missing(self) -> tuple[int, ...]:
        """Tasks that have an image missing, by the last time that they were read."""
        return tuple(self._failures)

    @property
    def counts(self) -> PictureCounts:
        """What was done to the images that were read, the last time that they were."""
        return PictureCounts(*self._counts)

    def said(self) -> str:
        """What the card says of the bytes of the images: a sentence or two."""
        counts, encoding = self.counts, self._options.encoding
        told = "Images are the original bytes."
        if encoding.format or encoding.max_pixels:
            told = f"{counts.encoded} of {counts.images} images were encoded anew, the others are the original bytes."
        if self._options.keep_location:
            return f"{told} Metadata inside the files, such as where a photograph was taken, are still there."
        return (
            f"{told} Where a photograph was taken (GPS and names of places, in EXIF, XMP and IPTC fields) was removed "
            f"from {counts.without_place} of {counts.images} images; other metadata inside the files are still there."
        )

    def read_all(self, outcomes: Iterable[Outcome]) -> Generator[tuple[Outcome, Pictures], None, None]:
        """What became of tasks, in order, with their images by key; rows of one task share them.

        Several tasks are read at a time, by threads. An image that could not be read the last time is not tried again:
        splits were made without it. Raises ExportError once too many have failed.
        """
        self._counts, self._ahead_bytes, self._failures = [0, 0, 0], 0, {}
        waiting: deque[_Waiting] = deque()
        pending = 0  # images of those; what they take is known only once they have come
        pool = ThreadPoolExecutor(THREADS, "pictures")
        try:
            for outcome in outcomes:
                waiting.append((outcome, self._begin(pool, outcome)))
                pending += _images_of(outcome)
                while len(waiting) > AHEAD or (
                    len(waiting) > 1 and (pending > AHEAD or self._ahead_bytes > MAX_AHEAD_BYTES)
                ):
                    pending -= _images_of(waiting[0][0])
                    yield self._next(waiting)
            while waiting:
                yield self._next(waiting)
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def check(self) -> None:
        """Raise ExportError naming the tasks whose image could not be read, unless they are allowed."""
        if self._allow_missing or not self._failures:
            return
        reasons = [f"task {task}: {reason}" for task, reason in self._failures.items()]
        count = f"{len(reasons)} tasks have" if len(reasons) > 1 else "1 task has"
        raise ExportError(
            f"{count} an image that cannot be read, so nothing was exported:\n  "
            + "\n  ".join(reasons)
            + "\nmake the images reachable, or say --allow-missing to export such rows without their image"
        )

    def _begin(self, pool: ThreadPoolExecutor, outcome: Outcome) -> Future[_Found]:
        if not isinstance(outcome, LeftOut):
            return pool.submit(self._read_task, outcome[0])
        nothing: Future[_Found] = Future()
        nothing.set_result({})
        return nothing

    def _next(self, waiting: deque[_Waiting]) -> tuple[Outcome, Pictures]:
        outcome, future = waiting.popleft()
        found = future.result()
        with self._lock:
            self._ahead_bytes -= _size(found)
        task, rows = (outcome.task_id, 0) if isinstance(outcome, LeftOut) else (outcome[0].task_id, len(outcome))
        for item in (item for items in found.values() for item in items):
            self._note(task, rows, item)
        self._release(task)
        if len(self._failures) >= MAX_FAILURES:
            self.check()
        return outcome, {
            key: tuple(item.picture if isinstance(item, _Ready) else None for item in items)
            for key, items in found.items()
        }

    def _note(self, task: int, rows: int, item: _Ready | _Failure) -> None:
        if isinstance(item, _Failure):
            self._failures.setdefault(task, f"`{item.key}`: {item.reason}")
            return
        for index, is_so in enumerate((True, item.lost_place, item.was_encoded)):
            self._counts[index] += is_so * rows

    def _read_task(self, record: Record) -> _Found:
        found = {
            key: tuple(self._read((record.task_id, key, at), uri) for at, uri in enumerate(uris))
            for key, uris in record.images.items()
        }
        with self._lock:
            self._ahead_bytes += _size(found)
        return found

    def _read(self, place: tuple[int, str, int], uri: str | None) -> _Ready | _Failure:
        """The image at a place: the task, the key, and where in the list."""
        task, key, _ = place
        if place in self._unread:
            return _Failure(key, self._unread[place])
        try:
            if not uri or not uri.strip():
                raise ImageError("it is empty in the task's data")
            return self._ready(self._source.read(uri, str(task)))
        except ImageError as exc:
            self._unread[place] = str(exc)
            return _Failure(key, str(exc))

    def _ready(self, content: bytes) -> _Ready:
        digest = hashlib.sha256(content).digest()
        with self._lock:
            known = self._known.get(digest)
        if known is None:
            picture = cast("Image.Image", self._source.decode(content, "the image"))
            known = _ready(content, picture, self._options)
            with self._lock:
                if len(known.picture.data) < MAX_KNOWN_BYTES // 4:
                    self._known[digest] = known
        return known


def _ready(content: bytes, picture: Image.Image, options: PictureOptions) -> _Ready:
    """Bytes that are known to be this picture, as they go into the dataset."""
    placeless = without_location(content)
    identity = hashlib.sha256(placeless).hexdigest()
    kept = content if options.keep_location else placeless
    stored, kind = options.encoding.applied(kept, format_of(content), picture)
    was_encoded = stored is not kept
    lost_place = placeless is not content and not options.keep_location
    if not was_encoded and not options.keep_location and tells_location(stored):
        # Its format keeps the place where we cannot overwrite it; PNG loses nothing of what it shows.
        stored, kind, was_encoded, lost_place = encoded(picture, "png"), "png", True, True
    digest = identity if stored is placeless else hashlib.sha256(stored).hexdigest()
    return _Ready(Picture(stored, f"{digest[:16]}.{kind}", digest, identity), lost_place, was_encoded)


def format_of(content: bytes) -> str:
    """The format of bytes that are known to be an image, as Pillow calls it, in lower case."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        return (image.format or "bin").lower()


def _images_of(outcome: Outcome) -> int:
    """How many are read for it."""
    return 0 if isinstance(outcome, LeftOut) else sum(map(len, outcome[0].images.values()))


def _size(found: _Found) -> int:
    """Bytes of the images."""
    ready = (item for items in found.values() for item in items if isinstance(item, _Ready))
    return sum(len(item.picture.data) for item in ready)
