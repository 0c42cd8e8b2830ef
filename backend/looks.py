"""What pictures look like, for finding those that are nearly the same."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from backend.errors import ImageError, SettingsError
from backend.images import ImageLoader
from backend.settings import Settings

if TYPE_CHECKING:
    from PIL import Image

log = logging.getLogger(__name__)

GRID = 4
_THREADS = 8


def look(picture: Image.Image) -> tuple[str, str]:
    """The perceptual hash of a picture in RGB (16 hex digits) and its mean colours in a 4 x 4 grid (96 hex digits).

    Raises SettingsError when the library for it is not installed.
    """
    try:
        from imagehash import phash
    except ImportError as exc:
        raise SettingsError(
            "imagehash is not installed; install it with: pip install 'vlm-judge-label-studio[generate]'"
        ) from exc
    from PIL import Image

    colours = picture.resize((GRID, GRID), Image.Resampling.BOX).tobytes()
    return str(phash(picture)), colours.hex()


def looks_of(settings: Settings, addresses: Iterable[str]) -> dict[str, tuple[str, str]]:
    """How the images at these addresses look; those that cannot be had are left out, and named in the log."""
    loader = ImageLoader(settings)

    def of(address: str) -> tuple[str, tuple[str, str]] | None:
        try:
            return address, look(loader.load(address))
        except ImageError as exc:
            log.warning("not compared: %s", exc)
            return None

    with ThreadPoolExecutor(_THREADS) as pool:
        return dict(found for found in pool.map(of, addresses) if found is not None)
