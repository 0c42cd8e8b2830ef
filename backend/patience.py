"""Waits for what is away, a Label Studio above all, instead of giving up what was begun."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TypeVar

from backend.errors import StudioAway

Answer = TypeVar("Answer")

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
GLANCE_S = 0.1
"""How soon it is seen that the run is to end."""
IN_A_ROW = 32
"""So many outcomes one after the other that asking again may mend, and something is away."""
RETRY_PAUSES_S = (1.0, 4.0, 16.0)
"""Before those outcomes are asked for again, when all others are there."""


class Stop:
    """Whether the run is to end; set by a signal's handler, so that it is no lock but a plain attribute."""

    def __init__(self) -> None:
        self.asked = False

    def is_set(self) -> bool:
        """Whether it is to end."""
        return self.asked


class Stopped(Exception):
    """The run is to end while it waits; always caught inside the product."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long Label Studio may be away, and who is told that it is."""

    last_s: float
    """After this long without an answer, the time that was spent asking included, the error is raised."""
    say: Callable[[str], None] = lambda text: None
    stop: Stop = field(default_factory=Stop)

    def ask(self, call: Callable[[], Answer]) -> Answer:
        """What `call` answers, called again while Label Studio is away: only for what may be done twice.

        Raises StudioError, or Stopped.
        """
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
        until_s, pause_s = time.monotonic() + self.last_s, FIRST_PAUSE_S
        while (left_s := until_s - time.monotonic()) > 0:
            yield min(pause_s, left_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        yield None

    def wait(self, why: Exception | str, pause_s: float) -> None:
        """Say what is the matter, and pause. Raises Stopped."""
        self.say(f"{why}; trying again in {pause_s:.0f} s")
        self.sleep(pause_s)

    def sleep(self, seconds: float) -> None:
        """Pause. Raises Stopped."""
        until_s = time.monotonic() + seconds
        while (left_s := until_s - time.monotonic()) > 0:
            if self.stop.is_set():
                raise Stopped
            time.sleep(min(left_s, GLANCE_S))


class InARow:
    """Watches the outcomes of a run for something that is away, such as the judge's servers, and waits for it."""

    def __init__(self, patience: Patience) -> None:
        """Begin with none in a row."""
        self.most = IN_A_ROW
        self._patience = patience
        self._count, self._pauses = 0, patience.pauses()

    def note(self, why: str | None) -> bool:
        """Count an outcome; `why` is None for one that asking again would not change. False: patience is at an end.

        Raises Stopped.
        """
        if why is None:
            self._count, self._pauses = 0, self._patience.pauses()
            return True
        self._count += 1
        if self._count < self.most:
            return True
        self._count = 0
        pause_s = next(self._pauses, None)
        if pause_s is None:
            return False
        self._patience.wait(why, pause_s)
        return True
