"""`vlm-judge generate`: the whole way from images to tasks; it can be stopped and started again at any time."""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

from backend.core.trust.diversity.repeats import IMAGE_DISTANCE, TEXT_RATIO
from backend.core.types import Reply, Unwritten, Written
from backend.engines.base import Engine, WriteRequest
from backend.errors import EngineError, GenerationError, ImageError, SettingsError
from backend.generation.candidates import Key, Kind, compared, keys, texts_of, writing
from backend.generation.duplicates import alike
from backend.generation.gather import Gathered, gather
from backend.generation.generators import Generator
from backend.generation.ledger import Ledger, begin
from backend.generation.manifest import ImageRecord, Manifest, storing
from backend.generation.sources import SourceOptions, base_images
from backend.generation.styles import PLAIN, STYLES, styled
from backend.images import ImageLoader
from backend.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

Report = Callable[[int, int | None], None]
T = TypeVar("T")

MANIFEST = "manifest.jsonl"
"""The list of all base images, beside the output."""
AT_ONCE = 32
"""Candidates that are written together, unless the settings say how many."""
LOCAL_FILES = "/data/local-files/?d="
"""Label Studio serves the files below its document root under this."""
GIVE_UP_AFTER = 32
"""Requests that a generator has not answered, and no other, before it counts as one that cannot write."""


@dataclass(frozen=True, slots=True)
class GenerateOptions:
    """What to generate."""

    images: str
    """A folder, a list of addresses, or a dataset; see `sources.kind_of`."""
    out: Path
    """The tasks, as JSON lines; `manifest.jsonl` and `images/` lie beside it."""
    kind: Kind = "caption"
    candidates: int = 1
    """Per image, generator and style."""
    styles: Mapping[str, str] = field(default_factory=lambda: {PLAIN: STYLES[PLAIN]})
    """Text put before the request, by name."""
    requested: str = ""
    """Features asked for, comma separated; the same for every task."""
    temperature: float = 0.8
    """Of every candidate but the first."""
    seed: int = 0
    image_distance: int = IMAGE_DISTANCE
    text_ratio: float = TEXT_RATIO
    limit: int | None = None
    """Images to use at most."""
    keep_addresses: bool = False
    """Whether tasks show images of web addresses from there rather than from our copy."""
    document_root: Path | None = None
    """The folder whose files Label Studio serves; None is that of `out`."""
    sources: SourceOptions = field(default_factory=SourceOptions)


@dataclass(frozen=True, slots=True)
class GenerationRun:
    """What generating came to; `candidates == written + duplicates + unwritten`."""

    images: Gathered
    candidates: int
    written: int
    already: int
    """Of those written, how many an earlier run wrote."""
    duplicates: int
    unwritten: int

    def summary(self) -> str:
        """The balance in one line."""
        images = self.images
        return (
            f"{images.total} images = {len(images.used)} used + {images.duplicates} duplicate "
            f"+ {len(images.failures)} failed; {self.candidates} candidates = {self.written} written "
            f"({self.already} of them before) + {self.duplicates} duplicate + {self.unwritten} unwritten"
        )


def gather_images(settings: Settings, options: GenerateOptions, report: Report = lambda done, total: None) -> Gathered:
    """The base images, stored and listed in the manifest.

    Raises GenerationError when none is usable, and where they cannot be stored.
    """
    folder, listed = options.out.parent / "images", options.out.parent / MANIFEST
    if options.out == listed:
        raise SettingsError(f"--out {options.out} is where the images are listed; choose another name")
    image_address(options, "images/x")
    found = base_images(options.images, options.sources)
    with storing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    gathered = gather(
        found,
        Manifest(listed),
        folder,
        ImageLoader(settings),
        settings.max_image_bytes,
        distance=options.image_distance,
        limit=options.limit,
        report=report,
    )
    if not gathered.used:
        first = f", the first: {gathered.failures[0].reason}" if gathered.failures else "; is this the right place?"
        raise GenerationError(f"none of the {gathered.total} images of {options.images} can be used{first}")
    return gathered


def write_tasks(
    settings: Settings,
    options: GenerateOptions,
    images: Gathered,
    generators: Sequence[Generator],
    report: Report = lambda done, total: None,
) -> GenerationRun:
    """Have every generator write its candidates, one model after the other; those there are not written again.

    Raises EngineError when a model cannot be loaded or answers nothing at all, and GenerationError when the output was
    begun with other settings or there is no task in the end. A single candidate that is not written is counted and
    noted.
    """
    run = _Run(options, Ledger(options.out, options.kind), ImageLoader(settings), report)
    _begin(options, generators)
    planned = [key for generator in generators for record in images.used for key in run.keys(record, generator)]
    already = sum(run.ledger.outcome(key) == "written" for key in planned)
    run.done, run.total = sum(run.ledger.outcome(key) is not None for key in planned), len(planned)
    report(run.done, run.total)
    for generator in generators:
        run.write_all(images.used, generator, settings.batch_size or AT_ONCE)
        gc.collect()  # the model that has written makes room for the next
    counts = Counter(run.ledger.outcome(key) for key in planned)
    if not counts["written"]:
        raise GenerationError(f"no reply of {len(planned)} makes a task; the reasons are in {run.ledger.dropped}")
    return GenerationRun(images, len(planned), counts["written"], already, counts["duplicate"], counts["unwritten"])


def image_address(options: GenerateOptions, path: str) -> str:
    """How tasks name a file, given relative to the output's folder. Raises SettingsError when it is not served."""
    root = (options.document_root or options.out.parent).resolve()
    file = options.out.parent.resolve() / path
    if not file.is_relative_to(root):
        raise SettingsError(
            f"{options.out} is not below {root}, where Label Studio serves files from; put --out below it, or "
            "name another --document-root"
        )
    return LOCAL_FILES + quote(file.relative_to(root).as_posix())


def _begin(options: GenerateOptions, generators: Sequence[Generator]) -> None:
    settings = {
        "kind": options.kind,
        "requested": options.requested,
        "temperature": options.temperature,
        "seed": options.seed,
    }
    asked: dict[str, dict[str, Any]] = {
        generator.name: {
            **generator.identity.details,
            "requests": {name: styled(text, generator.request) for name, text in options.styles.items()},
        }
        for generator in generators
    }
    begin(options.out, settings, asked)


@dataclass(slots=True)
class _Run:
    """Writing as it goes."""

    options: GenerateOptions
    ledger: Ledger
    loader: ImageLoader
    report: Report
    done: int = 0
    total: int = 0

    def keys(self, record: ImageRecord, generator: Generator) -> Iterator[Key]:
        return keys(record.sha256, generator.name, self.options.styles, self.options.candidates)

    def write_all(self, images: Sequence[ImageRecord], generator: Generator, batch_size: int) -> None:
        """All candidates of one generator that are not there yet."""
        todo = [
            (record, key)
            for record in images
            for key in self.keys(record, generator)
            if self.ledger.outcome(key) is None
        ]
        if not todo:
            return
        engine = generator.engine()
        engine.load()
        wrote = len(todo) < len(images) * len(self.options.styles) * self.options.candidates
        for number, batch in enumerate(_batches(todo, batch_size), 1):
            replies = _replies(engine, self._requests(batch, generator))
            for (record, key), reply in zip(batch, replies, strict=True):
                self._keep(record, key, reply)
            self.done += len(batch)
            self.report(self.done, self.total)
            wrote = wrote or any(isinstance(reply, Written) for reply in replies)
            tried = min(number * batch_size, len(todo))
            if not wrote and (tried >= GIVE_UP_AFTER or tried == len(todo)):
                raise EngineError(f"{generator.name} wrote none of {tried} texts; the last reason: {_reason(replies)}")

    def _requests(
        self, batch: Sequence[tuple[ImageRecord, Key]], generator: Generator
    ) -> list[WriteRequest | ImageError]:
        pictures = {record.path: self._picture(record) for record in dict(batch)}
        return [self._request(pictures[record.path], key, generator) for record, key in batch]

    def _request(self, picture: Image.Image | ImageError, key: Key, generator: Generator) -> WriteRequest | ImageError:
        if isinstance(picture, ImageError):
            return picture
        asked = writing(self.options.kind, generator.request, self.options.styles[key.style])
        temperature = 0.0 if key.candidate == 1 else self.options.temperature
        seed = key.seed(self.options.seed)
        return WriteRequest((picture,), "", "", asked, temperature, seed, generator.max_pixels)

    def _picture(self, record: ImageRecord) -> Image.Image | ImageError:
        path = self.options.out.parent / record.path
        try:
            return self.loader.decode(path.read_bytes(), record.source)
        except OSError as exc:
            return ImageError(f"cannot read {path}: {exc.strerror}")
        except ImageError as exc:
            return exc

    def _keep(self, record: ImageRecord, key: Key, reply: Reply | ImageError) -> None:
        """Write down what a reply comes to."""
        texts = str(reply) if isinstance(reply, ImageError) else texts_of(self.options.kind, reply)
        if isinstance(texts, str):
            self.ledger.drop(key, "unwritten", texts)
            return
        text = compared(self.options.kind, texts)
        twin = alike(text, self.ledger.texts(key.image_sha256), self.options.text_ratio)
        if twin is not None:
            self.ledger.drop(key, "duplicate", f"too like: {twin}", text)
        else:
            self.ledger.write(key, self._data(record, key, texts))

    def _data(self, record: ImageRecord, key: Key, texts: Mapping[str, str]) -> dict[str, Any]:
        is_kept = self.options.keep_addresses and record.source.startswith(("http://", "https://"))
        image = record.source if is_kept else image_address(self.options, record.path)
        with_requested = self.options.kind == "caption" or self.options.requested
        return {
            "image": image,
            **texts,
            **({"requested": self.options.requested} if with_requested else {}),
            "generator": key.generator,
            "style": key.style,
            "source": record.source,
            "licence": record.licence,
            "image_sha256": key.image_sha256,
            "candidate": key.candidate,
        }


def _replies(engine: Engine, requests: Sequence[WriteRequest | ImageError]) -> list[Reply | ImageError]:
    """One per request; what was no request stays what it is."""
    replies = iter(_written(engine, [request for request in requests if isinstance(request, WriteRequest)]))
    return [next(replies) if isinstance(request, WriteRequest) else request for request in requests]


def _written(engine: Engine, requests: Sequence[WriteRequest]) -> list[Reply]:
    """The engine's replies; when it fails on several at once, one by one, so that a bad one fails alone."""
    if not requests:
        return []
    try:
        return engine.write(requests)
    except EngineError as exc:
        if len(requests) > 1:
            return [reply for request in requests for reply in _written(engine, [request])]
        return [Unwritten(requests[0].writing, str(exc))]


def _reason(replies: Sequence[Reply | ImageError]) -> str:
    """Why the last of the replies is none."""
    return next(item.reason if isinstance(item, Unwritten) else str(item) for item in reversed(replies))


def _batches(items: Iterable[T], size: int) -> Iterator[list[T]]:
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch
