"""A backend in the tests' own process, with an engine and a clock of the test's choice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from werkzeug.serving import make_server

from backend.admission import Admission
from backend.core.rubric import Rubric
from backend.delivery import Delivery
from backend.engines.base import Engine
from backend.images import ImageLoader
from backend.running import Running
from backend.server import create_app
from backend.service import JudgeService
from backend.settings import Settings
from backend.store import JobBook, Store
from backend.studio import Studio
from backend.vitals import VitalSigns
from backend.worker import Worker


@contextmanager
def running_backend(
    studio_url: str,
    token: str,
    store: Path,
    engine: Engine,
    *,
    deadline_s: float = 60.0,
    clock: Callable[[], float] = time.time,
    rubric: Rubric | None = None,
) -> Iterator[tuple[str, Running]]:
    """Its address, and itself; `clock` is the one by which it knows when something is due."""
    vitals = VitalSigns()
    settings = Settings(engine="scripted", predict_deadline_s=deadline_s, store=str(store))
    books = Store(store)
    books.jobs = JobBook(books._database, clock)
    service = JudgeService(engine, ImageLoader(settings), books, rubric)
    worker = Worker(service, 8, vitals)
    delivery = Delivery(lambda: Studio(studio_url, token), service, worker, vitals)
    running = Running(settings, service, worker, vitals, Admission(20_000, 12, lambda: 0.0), delivery)
    running.start()
    server = make_server("127.0.0.1", 0, create_app(running), threaded=True)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", running
    finally:
        server.shutdown()
        server.server_close()
        running.stop()
