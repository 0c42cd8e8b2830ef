"""A disk that is full when a test wants it to be."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PIECE = b"\0" * 4096


class SmallDisk:
    """A file system in memory, of a size that is reached at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ballast = folder / "ballast"

    def fill(self) -> None:
        """Leave not a page of room."""
        with self._ballast.open("ab", buffering=0) as file:
            try:
                while file.write(PIECE):
                    pass
            except OSError:
                return

    def make_room(self) -> None:
        """Give back what was filled."""
        self._ballast.unlink(missing_ok=True)

    @property
    def free_bytes(self) -> int:
        stands = os.statvfs(self.folder)
        return stands.f_bavail * stands.f_frsize


@contextmanager
def small_disk(folder: Path, size_bytes: int = 2**20) -> Iterator[SmallDisk]:
    """One that is gone at the end. Raises PermissionError where file systems cannot be mounted."""
    folder.mkdir(parents=True)
    options = ("-t", "tmpfs", "-o", f"size={size_bytes}", "small-disk")
    try:
        done = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True)
    except FileNotFoundError as exc:
        raise PermissionError("there is no `mount`") from exc
    if done.returncode:
        raise PermissionError(done.stderr.strip())
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)
