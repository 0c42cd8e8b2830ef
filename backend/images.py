"""Safe loading of task images: where they may come from, how many bytes, how many pixels, and what counts as one."""

from __future__ import annotations

import base64
import binascii
import io
import struct
import threading
import zlib
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote_to_bytes

import httpx

from backend.addresses import FetchError, Limits, fetch, origin
from backend.errors import ImageError, StudioError
from backend.settings import Settings
from backend.studio_access import StudioAccess

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "MPO", "PPM", "AVIF", "JPEG2000")
"""Decoders that may run; others (EPS starts a PostScript interpreter, for one) never do."""
CLOUD_SCHEMES = ("s3", "gs", "azure-blob")

# What Pillow's decoders raise on bytes that somebody made to break them.
_DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
    zlib.error,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    ZeroDivisionError,
    AssertionError,
    NotImplementedError,
    RuntimeError,
    MemoryError,
)


class ImageLoader:
    """Loads the images that tasks name. Safe to use from several threads.

    Sources: data URIs, http(s), Label Studio's own paths (`/data/upload/...`, `/data/local-files/?d=...`,
    `/tasks/...`), and `s3://`, `gs://`, `azure-blob://` by Label Studio's storages when the task's id is given.
    The API key goes to `label_studio_url` only. Private addresses are refused unless the origin is that of
    `label_studio_url` or the host is in `image_hosts`.
    """

    def __init__(self, settings: Settings) -> None:
        self._limits = Limits(settings.max_image_bytes, settings.fetch_timeout_s)
        self._max_pixels = settings.max_image_pixels
        self._hosts = frozenset(host.lower() for host in settings.image_hosts)
        self._studio = httpx.URL(settings.label_studio_url) if settings.label_studio_url else None
        self._key = settings.label_studio_api_key
        self._access: StudioAccess | None = None
        self._lock = threading.Lock()

    def load(self, uri: str, task: str | None = None) -> Image.Image:
        """The picture: RGB, upright by its EXIF, transparent parts on white, the first frame of an animation.

        `task` is the id of the task that names it; only cloud storage addresses need it. Raises ImageError.
        """
        return self.decode(self.read(uri, task), named(uri))

    def read(self, uri: str, task: str | None = None) -> bytes:
        """The original bytes, which need not be an image. Raises ImageError."""
        try:
            return self._read(uri, task)
        except (FetchError, StudioError) as exc:
            raise ImageError(f"cannot fetch {named(uri)}: {exc}{self._advice(uri)}") from exc

    def decode(self, content: bytes, name: str) -> Image.Image:
        """The picture in these bytes, as `load` gives it; `name` is for messages. Raises ImageError."""
        from PIL import Image, ImageOps

        try:
            image = Image.open(io.BytesIO(content), formats=FORMATS)
        except (Image.DecompressionBombError, Image.DecompressionBombWarning) as exc:
            raise ImageError(f"{name} is too large to open: {exc}") from exc
        except _DECODE_ERRORS as exc:
            raise ImageError(f"{name} is {_guess(content)}; use PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF") from exc
        pixels = image.width * image.height
        if pixels > self._max_pixels:
            raise ImageError(
                f"{name} has {image.width} x {image.height} = {pixels} pixels, more than the {self._max_pixels} "
                "allowed; make it smaller or raise VLM_JUDGE_MAX_IMAGE_PIXELS"
            )
        try:
            return _as_rgb(ImageOps.exif_transpose(image), name)
        except Image.DecompressionBombError as exc:
            raise ImageError(f"{name} is too large to open: {exc}") from exc
        except _DECODE_ERRORS as exc:
            raise ImageError(f"{name} is damaged ({exc}); export it anew") from exc

    def _read(self, uri: str, task: str | None) -> bytes:
        if uri.startswith("data:"):
            return _data_uri(uri, self._limits.max_bytes)
        if uri.partition("://")[0] in CLOUD_SCHEMES:
            uri = _resolve_path(uri, task)
        try:
            url = self._studio_url(uri) if uri.startswith("/") else httpx.URL(uri)
        except (httpx.InvalidURL, ValueError) as exc:
            raise FetchError(f"this is not an address ({exc})") from exc
        return fetch(url, self._limits, self._trusted, self._headers)

    def _studio_url(self, path: str) -> httpx.URL:
        if self._studio is None:
            raise FetchError("it lies on a Label Studio; set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to say on which")
        prefix = self._studio.path.rstrip("/")
        whole = path if prefix and path.startswith(f"{prefix}/") else f"{prefix}{path}"
        return self._studio.join(whole) if not path.startswith("//") else httpx.URL(f"{self._studio.scheme}:{path}")

    def _trusted(self, url: httpx.URL) -> bool:
        host = url.host.lower()
        return self._is_studio(url) or host in self._hosts or f"{host}:{url.port}" in self._hosts

    def _is_studio(self, url: httpx.URL) -> bool:
        return self._studio is not None and origin(url) == origin(self._studio)

    def _headers(self, url: httpx.URL) -> Mapping[str, str]:
        if not self._is_studio(url) or self._key is None:
            return {}
        with self._lock:
            if self._access is None:
                self._access = StudioAccess(str(self._studio), self._key.get_secret_value())
        return {"Authorization": self._access.authorization()}

    def _advice(self, uri: str) -> str:
        if uri.startswith("/") and self._studio is not None and self._key is None:
            return "; set LABEL_STUDIO_API_KEY"
        return ""


def named(uri: str) -> str:
    """An address as messages show it: data URIs cut, and no passwords or signatures of web addresses."""
    if uri.startswith("data:"):
        return f"the data URI {uri[:30]}... ({len(uri)} characters)" if len(uri) > 30 else f"the data URI {uri}"
    if not uri.startswith(("http://", "https://")):
        return uri if len(uri) <= 300 else f"{uri[:300]}..."
    bare, question, _ = uri.partition("?")
    scheme, _, rest = bare.partition("://")
    host, slash, path = rest.partition("/")
    shown = f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"
    return f"{shown[:300]}{'?...' if question else ''}"


def _resolve_path(uri: str, task: str | None) -> str:
    if task is None:
        raise FetchError("cloud storage is read by way of its task, which is not known here; give a web address")
    encoded = base64.urlsafe_b64encode(uri.encode()).decode()
    return f"/tasks/{quote(str(task), safe='')}/resolve/?fileuri={encoded}"


def _data_uri(uri: str, max_bytes: int) -> bytes:
    head, comma, payload = uri.partition(",")
    if not comma:
        raise FetchError("it has no comma, so it holds no data")
    if len(payload) > 2 * max_bytes:
        raise FetchError(f"it holds more than the {max_bytes} bytes allowed")
    content = unquote_to_bytes(payload)
    if head.lower().endswith(";base64"):
        try:
            content = base64.b64decode(b"".join(content.split()), validate=True)
        except binascii.Error as exc:
            raise FetchError(f"its base64 is damaged ({exc})") from exc
    if len(content) > max_bytes:
        raise FetchError(f"it holds {len(content)} bytes, more than the {max_bytes} allowed")
    return content


def _as_rgb(image: Image.Image, name: str) -> Image.Image:
    """RGB with 8 bits a channel; 16-bit grey is scaled, not clipped, and transparency lies on white."""
    from PIL import Image

    if image.mode == "F":
        raise ImageError(f"{name} holds floating point values whose range is unknown; export it as PNG or JPEG")
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    if "A" in image.mode or "a" in image.mode or "transparency" in image.info:
        layer = image.convert("RGBA")
        ground = Image.new("RGBA", layer.size, (255, 255, 255, 255))
        ground.alpha_composite(layer)
        image = ground
    image.load()
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def _guess(content: bytes) -> str:
    """What bytes that are no image may be, for the message."""
    if not content:
        return "empty"
    start = content[:1024].lstrip().lower()
    if b"<svg" in start:
        return "an SVG drawing, which has no pixels"
    if start.startswith((b"<!doctype html", b"<html")):
        return "a web page, perhaps a login page, and no image"
    if start.startswith(b"%pdf"):
        return "a PDF and no image"
    return "not an image that can be read"
