"""Serves the backend with gunicorn: one process, because one thread owns the model, and threads for the requests."""

from __future__ import annotations

import logging
from typing import Any

from backend.assemble import make_service
from backend.server import create_app
from backend.settings import Settings
from backend.worker import Worker

THREADS = 16


def make_app(settings: Settings) -> Any:
    """The WSGI application with its worker running. Call it in the process that serves, after any fork."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    service = make_service(settings)
    worker = Worker(service, settings.batch_size)
    worker.start()
    app = create_app(service, worker, settings)
    app.extensions["vlm-judge-worker"] = worker
    return app


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C."""
    from gunicorn.app.base import BaseApplication

    class Application(BaseApplication):  # type: ignore[misc]
        def load_config(self) -> None:
            options: dict[str, Any] = {
                "bind": f"{settings.host}:{settings.port}",
                "workers": 1,
                "worker_class": "gthread",
                "threads": THREADS,
                "timeout": 0,
                "graceful_timeout": 10,
                "preload_app": False,
                "proc_name": "vlm-judge",
                "control_socket_disable": True,
            }
            for name, value in options.items():
                if name in self.cfg.settings:
                    self.cfg.set(name, value)

        def load(self) -> Any:
            return make_app(settings)

    Application().run()
