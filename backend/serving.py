"""Serves the backend with gunicorn: one process, because one thread owns the model, and threads for the requests."""

from __future__ import annotations

import errno
import logging
import socket
from collections.abc import Callable
from typing import Any

from backend.assemble import make_service
from backend.errors import SettingsError
from backend.server import create_app
from backend.settings import Settings
from backend.worker import Worker

THREADS = 16


def make_app(settings: Settings) -> tuple[Any, Callable[[], None]]:
    """The WSGI application with its worker running, and what ends it. Call it in the process that serves."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("httpx").setLevel(logging.WARNING)
    service = make_service(settings)
    worker = Worker(service, settings.batch_size)
    worker.start()

    def stop() -> None:
        worker.stop()
        service.close()

    return create_app(service, worker, settings), stop


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises VlmJudgeError for what would keep the serving process from starting."""
    from gunicorn.app.base import BaseApplication

    make_service(settings).close()
    refuse_unusable_address(settings.host, settings.port)
    host = f"[{settings.host}]" if ":" in settings.host else settings.host

    class Application(BaseApplication):  # type: ignore[misc]
        stop: Callable[[], None] | None = None

        def load_config(self) -> None:
            options: dict[str, Any] = {
                "bind": f"{host}:{settings.port}",
                "workers": 1,
                "worker_class": "gthread",
                "threads": THREADS,
                "timeout": 0,
                "graceful_timeout": 10,
                "preload_app": False,
                "proc_name": "vlm-judge",
                "control_socket_disable": True,
                "worker_exit": self.end,
            }
            for name, value in options.items():
                if name in self.cfg.settings:
                    self.cfg.set(name, value)

        def load(self) -> Any:
            app, self.stop = make_app(settings)
            return app

        def end(self, arbiter: object, worker: object) -> None:
            """Gunicorn calls this in the serving process when it exits."""
            if self.stop is not None:
                self.stop()

    Application().run()


def refuse_unusable_address(host: str, port: int) -> None:
    """Raise SettingsError when no server could listen there; port 0 stands for any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as exc:
        if exc.errno == errno.EADDRINUSE:
            raise SettingsError(f"port {port} is taken; choose another with --port") from exc
        raise SettingsError(
            f"cannot listen on {host}, port {port}: {exc.strerror}; choose others with --host and --port"
        ) from exc
