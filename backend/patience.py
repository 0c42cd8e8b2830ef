"""Waits for a Label Studio that is away, instead of giving up what was begun."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from backend.errors import StudioAway

Answer = TypeVar("Answer")

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True, slots=True)
class Patience:
    """How long Label Studio may be away, and who is told that it is."""

    last_s: float
    """After this long without an answer, the time that was spent asking included, the error is raised."""
    say: Callable[[str], None] = lambda text: None
    sleep: Callable[[float], None] = time.sleep
    clock: Callable[[], float] = time.monotonic
    """Seconds from any moment on."""

    def ask(self, call: Callable[[], Answer]) -> Answer:
        """What `call` answers, called again while Label Studio is away: only for what may be done twice."""
        for pause_s in self.pauses():
            try:
                return call()
            except StudioAway as exc:
                if pause_s is None:
                    raise
                self.wait(exc, pause_s)
        raise AssertionError("the last pause is None, which raises")

    def pauses(self) -> Iterator[float | None]:
        """The pauses between tries, longer and longer, and None for a last try without one."""
        until_s, pause_s = self.clock() + self.last_s, FIRST_PAUSE_S
        while (left_s := until_s - self.clock()) > 0:
            yield min(pause_s, left_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        yield None

    def wait(self, why: StudioAway, pause_s: float) -> None:
        """Say what is the matter, and pause."""
        self.say(f"{why}; trying again in {pause_s:.0f} s")
        self.sleep(pause_s)
