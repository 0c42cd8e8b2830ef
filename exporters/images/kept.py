"""Keeps what an export has fetched in a folder, so that one that broke off does not fetch it again."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
from pathlib import Path

from backend.errors import ExportError
from backend.images import CLOUD_SCHEMES
from exporters.images.sources import ImageSource

MIN_FREE_BYTES = 2 * 2**30
"""With less than this free on its disk, nothing more is kept."""
_LOOK_AT_DISK_EVERY = 64


class KeptImages:
    """Images of web and Label Studio addresses: from the folder where it has them, else from their source.

    One file per address, named by its SHA-256, with the bytes as they came; of Label Studio per server and address, of
    cloud storage, which a server reads for a task, per server, task and address. It
    never asks whether they have changed since: it is for going on with an export, and is to be deleted afterwards. It
    takes as much of the disk as the images do, but leaves 2 GiB free. Safe to use from several threads.
    """

    def __init__(
        self, source: ImageSource, folder: Path, server: str = "", *, min_free_bytes: int = MIN_FREE_BYTES
    ) -> None:
        """`server` is Label Studio's address. Raises ExportError when the folder cannot be made."""
        self._source = source
        self._server = server.rstrip("/")
        self._folder = folder.expanduser()
        self._min_free_bytes = min_free_bytes
        self._writes = 0
        self._has_room = True
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as exc:
            raise ExportError(f"cannot keep images in {folder} ({exc}); name another --cache folder") from exc

    def read(self, uri: str, task: str | None = None) -> bytes:
        """The original bytes. Raises ImageError."""
        path = self._path(uri, task)
        if path is None:
            return self._source.read(uri, task)
        try:
            return path.read_bytes()
        except OSError:
            content = self._source.read(uri, task)
        self._keep(path, content)
        return content

    def decode(self, content: bytes, name: str) -> object:
        """The picture in the bytes, as the source gives it. Raises ImageError."""
        return self._source.decode(content, name)

    def _path(self, uri: str, task: str | None) -> Path | None:
        """Where an address is kept; None for one that is no address, but the image itself or a part of its row."""
        scheme, is_address, _ = uri.partition("://")
        if not is_address and not uri.startswith("/"):
            return None
        is_cloud = scheme in CLOUD_SCHEMES
        whose = f"{self._server}\n{task}" if is_cloud else "" if is_address else self._server
        name = hashlib.sha256(f"{whose}\n{uri}".encode(errors="surrogatepass")).hexdigest()
        return self._folder / name[:2] / name

    def _keep(self, path: Path, content: bytes) -> None:
        """Write it whole or not at all; a full disk is no reason to end an export."""
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        try:
            if self._writes % _LOOK_AT_DISK_EVERY == 0:
                self._has_room = shutil.disk_usage(self._folder).free - len(content) > self._min_free_bytes
            self._writes += 1
            if self._has_room:
                path.parent.mkdir(mode=0o700, exist_ok=True)
                draft.write_bytes(content)
                os.replace(draft, path)
        except OSError:
            self._has_room = False
            draft.unlink(missing_ok=True)
