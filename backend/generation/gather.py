"""Gathers base images: fetches each once, keeps its bytes under their hash, and drops those that are there twice."""

from __future__ import annotations

import hashlib
import os
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from backend.core.trust.diversity.repeats import IMAGE_DISTANCE
from backend.errors import ImageError
from backend.generation.duplicates import PictureIndex
from backend.generation.manifest import ImageRecord, Manifest, storing
from backend.generation.sources import BaseImage
from backend.images import ImageLoader
from backend.looks import look
from backend.pictures import stored_as

FETCHERS = 8
"""Images are fetched and decoded by this many threads."""
_AHEAD = 4 * FETCHERS
"""Images that may wait to be recorded."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """The images to write about, and what became of the others; `total == used + duplicates + failures`."""

    used: tuple[ImageRecord, ...]
    duplicates: int
    failures: tuple[ImageRecord, ...]

    @property
    def total(self) -> int:
        """How many images were named."""
        return len(self.used) + self.duplicates + len(self.failures)


def gather(
    found: Iterable[BaseImage],
    manifest: Manifest,
    folder: Path,
    loader: ImageLoader,
    max_bytes: int,
    *,
    distance: int = IMAGE_DISTANCE,
    limit: int | None = None,
    report: Callable[[int, int | None], None] = lambda done, total: None,
) -> Gathered:
    """Get every image into `folder` and every fact into the manifest, in the order of `found`.

    Images of web addresses that an earlier run stored are not fetched again; files and dataset rows are read again and
    compared. The search ends when `limit` images are good. Raises GenerationError when the source itself breaks off.
    """
    index, seen, counts = PictureIndex(distance), set[str](), Counter[str]()
    used: list[ImageRecord] = []
    failures: list[ImageRecord] = []
    shop = _Shop(manifest, folder, loader, max_bytes)
    with closing(_in_order(_once(found, seen, counts), shop)) as records:
        for record in records:
            if record.status == "failed":
                failures.append(record)
            elif twin := index.find(record.phash, record.colours):
                record = replace(record, status="duplicate", reason=f"looks like {twin}")
                counts["duplicate"] += 1
            else:
                index.add(record.source, record.phash, record.colours)
                used.append(record)
            manifest.put(record)
            report(len(used) + counts["duplicate"] + len(failures), None)
            if len(used) == limit:
                break
    manifest.tidy()
    return Gathered(tuple(used), counts["duplicate"], tuple(failures))


def _once(found: Iterable[BaseImage], seen: set[str], counts: Counter[str]) -> Iterator[BaseImage]:
    """Each source once; what is named again is a duplicate."""
    for item in found:
        if item.source in seen:
            counts["duplicate"] += 1
        else:
            seen.add(item.source)
            yield item


def _in_order(found: Iterable[BaseImage], shop: _Shop) -> Generator[ImageRecord]:
    """Records as the images were found, a few of them worked on at a time."""
    waiting: deque[Future[ImageRecord]] = deque()
    with ThreadPoolExecutor(FETCHERS, thread_name_prefix="base-images") as threads:
        try:
            for item in found:
                waiting.append(threads.submit(shop.record, item))
                if len(waiting) >= _AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


@dataclass(frozen=True, slots=True)
class _Shop:
    """Makes the record of one image; safe to use from several threads."""

    manifest: Manifest
    folder: Path
    loader: ImageLoader
    max_bytes: int

    def record(self, item: BaseImage) -> ImageRecord:
        known = self.manifest.get(item.source)
        known = known if known and known.path and (self.manifest.path.parent / known.path).is_file() else None
        if known and item.address:
            return replace(known, status="used", reason="", licence=item.licence)
        try:
            content = self._read(item)
            if known and known.sha256 == hashlib.sha256(content).hexdigest():
                return replace(known, status="used", reason="", licence=item.licence)
            return self._examined(item, content)
        except ImageError as exc:
            return ImageRecord(item.source, "failed", str(exc), item.licence)

    def _read(self, item: BaseImage) -> bytes:
        if item.content is not None:
            return self._capped(item.content, item.source)
        if item.file is not None:
            return self._capped(self._file(item.file, item.source), item.source)
        if not (item.address or "").startswith(("http://", "https://")):
            raise ImageError(f"{item.address!r} is not a web address; give http or https addresses")
        return self.loader.read(item.address or "")

    def _file(self, name: str, source: str) -> bytes:
        try:
            if "://" in name:
                import fsspec

                with fsspec.open(name) as file:
                    content: bytes = file.read(self.max_bytes + 1)
                    return content
            with Path(name).open("rb") as file:
                return file.read(self.max_bytes + 1)
        except (OSError, ValueError) as exc:
            raise ImageError(f"cannot read {source}: {exc}") from exc

    def _capped(self, content: bytes, source: str) -> bytes:
        if len(content) > self.max_bytes:
            raise ImageError(
                f"{source} has more than the {self.max_bytes} bytes allowed; make it smaller or raise "
                "VLM_JUDGE_MAX_IMAGE_BYTES"
            )
        return content

    def _examined(self, item: BaseImage, content: bytes) -> ImageRecord:
        picture = self.loader.decode(content, item.source)
        mime, ending = stored_as(content)
        digest = hashlib.sha256(content).hexdigest()
        stored = self.folder / f"{digest}{ending}"
        if not stored.exists():
            fresh = stored.with_name(f".{digest}.{os.getpid()}.{id(item)}")
            with storing(stored):
                fresh.write_bytes(content)
                os.replace(fresh, stored)
        phash, colours = look(picture)
        return ImageRecord(
            item.source,
            "used",
            licence=item.licence,
            sha256=digest,
            bytes=len(content),
            width=picture.width,
            height=picture.height,
            mime=mime,
            path=stored.relative_to(self.manifest.path.parent).as_posix(),
            phash=phash,
            colours=colours,
        )
