"""A clock that jumps when a test wants it to."""

from __future__ import annotations

import time


class JumpyClock:
    """Seconds since 1970, and some hours more or less."""

    def __init__(self) -> None:
        self.offset_s = 0.0

    def __call__(self) -> float:
        return time.time() + self.offset_s
