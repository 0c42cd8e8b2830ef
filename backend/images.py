"""Loads the images that tasks name: where they may come from, with whose credentials, and how often."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import unquote, unquote_to_bytes

import httpx

from backend.addresses import FetchError, TrustedHosts, origin
from backend.errors import ImageAway, ImageError, SettingsError, StudioAway, StudioError
from backend.fetching import Fetcher, Limits
from backend.image_cache import ImageCache
from backend.pictures import FORMATS, decode
from backend.settings import Settings
from backend.studio_access import StudioAccess

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["CLOUD_SCHEMES", "FORMATS", "ImageLoader", "named"]

CLOUD_SCHEMES = ("s3", "gs", "azure-blob")
_FILE_ROUTES = ("/data/", "/storage-data/", "/tasks/", "/projects/")
"""Where Label Studio serves files: uploads, local files, and what lies in storages. The API key goes nowhere else."""
_OWN_FILE = re.compile(r"/data/(upload|local-files)/|/(tasks|projects)/\d+/(resolve|presign)/")
_NAMED_CHARS = 300


class ImageLoader:
    """Loads the images that tasks name. Safe to use from several threads, which then fetch in parallel.

    Sources: data URIs, http(s), Label Studio's own paths (`/data/upload/...`, `/data/local-files/?d=...`,
    `/tasks/...`), and `s3://`, `gs://`, `azure-blob://` by Label Studio's storages when the task's id is given.
    The API key goes to the file routes of `label_studio_url` only. Private addresses are refused unless the origin is
    that of `label_studio_url` or the host is in `image_hosts`. What was fetched stays in memory for some minutes,
    up to `image_cache_bytes`.
    """

    def __init__(self, settings: Settings) -> None:
        """Raises SettingsError when LABEL_STUDIO_URL or VLM_JUDGE_IMAGE_HOSTS are no addresses."""
        self._max_bytes = settings.max_image_bytes
        self._fetcher = Fetcher(Limits(settings.max_image_bytes, settings.fetch_timeout_s))
        self._max_pixels = settings.max_image_pixels
        self._hosts = TrustedHosts(settings.image_hosts)
        self._studio = _studio(settings.label_studio_url)
        self._key = settings.label_studio_api_key
        self._access: StudioAccess | None = None
        self._lock = threading.Lock()
        self._cache = ImageCache(settings.image_cache_bytes)

    def load(self, uri: str, task: str | None = None) -> Image.Image:
        """The picture: RGB, upright by its EXIF, transparent parts on white, the first frame of an animation.

        `task` is the id of the task that names it; only cloud storage addresses need it. Raises ImageError.
        """
        return self.decode(self.read(uri, task), named(uri))

    def read(self, uri: str, task: str | None = None) -> bytes:
        """The original bytes, which need not be an image. Raises ImageError."""
        if _is_data(uri):
            return self._fetched(uri, task)
        return self._cache.get(_key(uri, task), lambda: self._fetched(uri, task))

    @property
    def cached_bytes(self) -> int:
        """Memory taken by what was fetched lately."""
        return self._cache.size_bytes

    def decode(self, content: bytes, name: str) -> Image.Image:
        """The picture in these bytes, as `load` gives it; `name` is for messages. Raises ImageError."""
        return decode(content, name, self._max_pixels)

    def _fetched(self, uri: str, task: str | None) -> bytes:
        try:
            return self._fetch(uri, task)
        except FetchError as exc:
            kind = ImageAway if _may_come_back(exc) else ImageError
            raise kind(f"cannot fetch {named(uri)}: {exc}{self._advice(uri, exc)}") from exc
        except StudioError as exc:
            lasting = ImageAway if isinstance(exc, StudioAway) else ImageError
            raise lasting(f"cannot fetch {named(uri)}: {exc}") from exc

    def _fetch(self, uri: str, task: str | None) -> bytes:
        if _is_data(uri):
            return _data_uri(uri, self._max_bytes)
        path = _resolve_path(uri, task) if _is_cloud(uri) else uri
        try:
            url = self._studio_url(path) if path.startswith("/") else httpx.URL(path)
        except (httpx.InvalidURL, ValueError) as exc:
            raise FetchError("this is not an address") from exc
        return self._fetcher.fetch(url, self._trusted, self._headers)

    def _studio_url(self, path: str) -> httpx.URL:
        if self._studio is None:
            raise FetchError("it lies on a Label Studio; set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to say on which")
        if path.startswith("//"):
            return httpx.URL(f"{self._studio.scheme}:{path}")
        prefix = self._studio.path.rstrip("/")
        return self._studio.join(path if prefix and path.startswith(f"{prefix}/") else f"{prefix}{path}")

    def _trusted(self, url: httpx.URL) -> bool:
        return self._is_studio(url) or url in self._hosts

    def _is_studio(self, url: httpx.URL) -> bool:
        return self._studio is not None and origin(url) == origin(self._studio)

    def _headers(self, url: httpx.URL) -> Mapping[str, str]:
        if self._studio is None or self._key is None or not self._is_studio(url) or not self._serves_files(url):
            return {}
        with self._lock:
            if self._access is None:
                self._access = StudioAccess(str(self._studio), self._key.get_secret_value())
        return {"Authorization": self._access.authorization()}

    def _serves_files(self, url: httpx.URL) -> bool:
        """Whether a path of Label Studio is one of files, and cannot be taken for another one on the way there."""
        path = unquote(url.path)
        prefix = self._studio.path.rstrip("/") if self._studio else ""
        return path.startswith(tuple(f"{prefix}{route}" for route in _FILE_ROUTES)) and ".." not in path.split("/")

    def _advice(self, uri: str, error: FetchError) -> str:
        """What to do about a refusal by Label Studio, or by what may be our Label Studio under another name."""
        at_studio = self._studio is not None and error.at == origin(self._studio)
        if error.status in (401, 403) and at_studio and self._key is None:
            return "; set LABEL_STUDIO_API_KEY"
        if _is_cloud(uri) and at_studio:
            return _ABOUT_STORAGE.get(error.status, "")
        if _is_cloud(uri) and error.status in (401, 403, 404):
            return "; see whether the storage's keys may read it, and whether it is there"
        if error.status == 500 and at_studio and "/data/upload/" in uri:
            return "; it may have been deleted there"
        if error.status in (401, 403, 404) and not at_studio and _OWN_FILE.search(uri):
            return f"; if {error.at} is your Label Studio, set LABEL_STUDIO_URL to that: its key goes nowhere else"
        return ""


_ABOUT_STORAGE = {
    403: "; the API key's user may not see this task",
    404: "; connect a storage of this bucket to the task's project",
    424: "; Label Studio itself cannot read it from the bucket: see whether it is there, and the storage's keys",
}


def _may_come_back(error: FetchError) -> bool:
    """Whether a server was away, too slow, failing or too busy."""
    answered = error.status != 0
    return error.status >= 500 or error.status in (408, 425, 429) if answered else error.is_passing or bool(error.at)


def named(uri: str) -> str:
    """An address as messages show it, on one line: data URIs cut, no passwords nor signatures of web addresses."""
    if _is_data(uri):
        text = f"the data URI {uri[:30]}... ({len(uri)} characters)" if len(uri) > 30 else f"the data URI {uri}"
        return _printable(text)
    if uri.startswith("/") and not uri.startswith("//"):  # Label Studio's own, where the query is the file's name
        return _printable(uri if len(uri) <= _NAMED_CHARS else f"{uri[:_NAMED_CHARS]}...")
    # a signature stands behind the first of these, but for cloud storage, where both may be in a name
    bare = uri.strip() if _is_cloud(uri) else re.split(r"[?#]", uri.strip(), maxsplit=1)[0]
    shown = _without_password(bare)
    if shown is None:
        return f"an address of {len(uri)} characters"
    rest = "?..." if len(bare) < len(uri.strip()) else "..." if len(shown) > _NAMED_CHARS else ""
    return _printable(f"{shown[:_NAMED_CHARS]}{rest}")


def _without_password(address: str) -> str | None:
    """The address without name and password; None where it cannot be told what in it is one."""
    scheme, slashes, rest = address.partition("//")
    if not slashes or "/" in scheme:
        return None if set(address) & set("@:\\") else address
    place, slash, path = rest.partition("/")
    try:
        host = httpx.URL(f"http://{place}").host
    except (httpx.InvalidURL, ValueError):
        return None
    return f"{scheme}//{place.rpartition('@')[2]}{slash}{path}" if host else None


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def _is_data(uri: str) -> bool:
    return uri[:5].lower() == "data:"


def _is_cloud(uri: str) -> bool:
    return uri.partition("://")[0] in CLOUD_SCHEMES


def _key(uri: str, task: str | None) -> bytes:
    """What bytes are kept under: the address, and for cloud storage the task, whose project alone may open it."""
    whose = f"{task}\n" if _is_cloud(uri) else "\n"
    return hashlib.sha256(f"{whose}{uri}".encode(errors="surrogatepass")).digest()


def _studio(address: str | None) -> httpx.URL | None:
    if not address:
        return None
    try:
        url = httpx.URL(address)
        if url.scheme not in ("http", "https") or not url.host:
            raise ValueError("it must begin with http:// or https:// and name a host")
    except (httpx.InvalidURL, ValueError) as exc:
        raise SettingsError(f"LABEL_STUDIO_URL is not an address ({exc}); write it as http://127.0.0.1:8080") from exc
    return url.copy_with(username=None, password=None, query=None, fragment=None)


def _resolve_path(uri: str, task: str | None) -> str:
    if task is None or not (task.isascii() and task.isdecimal()):
        raise FetchError("cloud storage is read by way of its task, which is not known here; give a web address")
    encoded = base64.urlsafe_b64encode(uri.encode()).decode()
    return f"/tasks/{task}/resolve/?fileuri={encoded}"


def _data_uri(uri: str, max_bytes: int) -> bytes:
    head, comma, payload = uri.partition(",")
    if not comma:
        raise FetchError("it has no comma, so it holds no data")
    if len(payload) > 3 * max_bytes:
        raise FetchError(f"it holds more than the {max_bytes} bytes allowed")
    try:
        content = unquote_to_bytes(payload)
        if head.lower().endswith(";base64"):
            content = base64.b64decode(b"".join(content.split()), validate=True)
    except binascii.Error as exc:
        raise FetchError(f"its base64 is damaged ({exc}); encode it anew") from exc
    except UnicodeEncodeError as exc:
        raise FetchError("it holds half a character (a lone surrogate); encode it anew") from exc
    if len(content) > max_bytes:
        raise FetchError(f"it holds {len(content)} bytes, more than the {max_bytes} allowed")
    return content
