"""A backend process in a soak: started, looked at all the time, and asked by Label Studio's own button."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from backend.errors import StudioError
from tests.backend_process import SLOWEST_PAGE_S, BackendProcess
from tests.soak.ground import Ground, Notes


@contextmanager
def serving(ground: Ground, notes: Notes, seconds: float, **options: Any) -> Iterator[BackendProcess]:
    """A backend process that is stopped at the end, and whose log is looked at."""
    studio = {"studio_url": ground.label_studio.url, "token": ground.label_studio.token}
    backend = BackendProcess(ground.home, seconds, **studio | {"store": ground.store} | options)
    backend.start()
    try:
        yield backend
        lines = backend.log.read_text(errors="replace").splitlines()
        found = [line for line in lines if "Traceback" in line or "defect of ours" in line]
        notes.expect(not found, f"{len(found)} tracebacks in {backend.log}")
    finally:
        backend.stop()


class Pulse:
    """Asks for the pages all the time, and remembers the slowest and the worst answer."""

    def __init__(self, url: str) -> None:
        self.slowest_s = 0.0
        self.asked = 0
        self.bad: list[str] = []
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        with httpx.Client(base_url=self._url, timeout=30, trust_env=False) as client:
            while not self._stop.wait(0.5):
                for page in ("/health", "/status", "/metrics"):
                    self._ask(client, page)

    def _ask(self, client: httpx.Client, page: str) -> None:
        began = time.monotonic()
        try:
            status = str(client.get(page).status_code)
        except httpx.HTTPError as exc:
            status = type(exc).__name__
        self.asked += 1
        self.slowest_s = max(self.slowest_s, time.monotonic() - began)
        if status != "200":
            self.bad.append(f"{page} {status}")

    def __enter__(self) -> Pulse:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(60)

    def expect_good(self, notes: Notes) -> None:
        """Each page was answered with 200, and soon."""
        notes.say(f"{self.asked} pages asked meanwhile, slowest {self.slowest_s:.1f} s")
        notes.expect(not self.bad, f"pages not answered with 200: {', '.join(self.bad[:5])} ({len(self.bad)} in all)")
        notes.expect(self.slowest_s < SLOWEST_PAGE_S, f"a page took {self.slowest_s:.1f} s")


class Button:
    """Label Studio's own button "Retrieve predictions", pressed by somebody who waits for it."""

    def __init__(self, ground: Ground, project: int) -> None:
        self.took_s: float | None = None
        """Until Label Studio answered; None while it has not."""
        self.said = ""
        self._ground = ground
        self._project = project
        self._thread = threading.Thread(target=self._press, daemon=True)
        self._thread.start()

    def _press(self) -> None:
        began = time.monotonic()
        try:
            self.said = self._ground.studio.retrieve_predictions(self._project)
        except StudioError as exc:
            self.said = str(exc)
        self.took_s = time.monotonic() - began

    def wait(self, timeout_s: float = 200.0) -> float:
        """Seconds until Label Studio answered. Raises TimeoutError."""
        self._thread.join(timeout_s)
        if self.took_s is None:
            raise TimeoutError(f"Label Studio's button did not come back within {timeout_s:.0f} s")
        return self.took_s
