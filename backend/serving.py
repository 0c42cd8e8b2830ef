"""Serves the backend with gunicorn: one process, because one thread owns the model, and threads for the requests."""

from __future__ import annotations

import errno
import logging
import os
import signal
import socket
import struct
import sys
import threading
import time
from types import FrameType
from typing import Any

from backend.assemble import make_service
from backend.doors import is_locked, is_loopback
from backend.errors import SettingsError
from backend.logs import configure
from backend.running import Running, make_running
from backend.server import create_app
from backend.settings import Settings

log = logging.getLogger(__name__)

THREADS = 64
SILENCE_S = 20
"""How long a client may send or take nothing in the middle of a request, and keep a thread."""
AWAY_S = 5
GRACE_S = 25
"""How long a process that is to end may take: requests are answered with what there is, the batch at hand is finished
and what is judged is written. It is killed then, and the next one goes on from the store."""


def make_app(settings: Settings) -> tuple[Any, Running]:
    """The WSGI application, and the backend behind it, started. Call it in the process that serves."""
    configure(settings)
    running = make_running(settings, on_dead=end_this_process)
    app = create_app(running)
    running.start()  # last: from here on the model is being loaded, which slows all other imports
    return app, running


def make_app_again(settings: Settings) -> tuple[Any, Running]:
    """The same, in a process after the first, for which the settings were right: what is away now comes back."""
    while True:
        try:
            return make_app(settings)
        except SettingsError as exc:
            log.error("cannot serve just now, and try again in %d s: %s", AWAY_S, exc)
            time.sleep(AWAY_S)


def drain_on_sigterm(running: Running) -> None:
    """Let SIGTERM first have the open requests answered with what there is; then come those who listened before."""
    if threading.current_thread() is not threading.main_thread():
        return
    theirs = signal.getsignal(signal.SIGTERM)

    def drain(number: int, frame: FrameType | None) -> None:
        running.drain()
        if callable(theirs):
            theirs(number, frame)
        elif theirs == signal.SIG_DFL:
            sys.exit(0)

    signal.signal(signal.SIGTERM, drain)


def end_this_process() -> None:
    """Ask this process to end in good order; whoever supervises it starts another."""
    os.kill(os.getpid(), signal.SIGTERM)


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or Ctrl-C. Raises VlmJudgeError for what would keep the serving process from starting."""
    from gunicorn.app.base import BaseApplication
    from gunicorn.glogging import Logger
    from gunicorn.http import wsgi

    refuse_unlocked_address(settings)
    refuse_unusable_address(settings.host, settings.port)
    make_service(settings).close()
    configure(settings)
    wsgi.SERVER = "vlm-judge"  # gunicorn names itself in every answer and has no setting for it

    class Log(Logger):  # type: ignore[misc]
        def setup(self, cfg: object) -> None:
            """Gunicorn opens its own log here, which then gets our form."""
            super().setup(cfg)
            configure(settings)

        def exception(self, msg: str, *args: Any, **kwargs: Any) -> None:
            """A client's silence is no defect of ours."""
            if isinstance(sys.exception(), BlockingIOError):
                self.warning("a connection on which nothing came or went for %d s is closed", SILENCE_S)
            else:
                super().exception(msg, *args, **kwargs)

    class Application(BaseApplication):  # type: ignore[misc]
        running: Running | None = None

        def load_config(self) -> None:
            options = {
                **_options(settings),
                "logger_class": Log,
                "post_worker_init": self.listen,
                "worker_exit": self.end,
            }
            for name, value in options.items():
                if name in self.cfg.settings:
                    self.cfg.set(name, value)

        def load(self) -> Any:
            app, self.running = make_app_again(settings)
            return app

        def listen(self, worker: object) -> None:
            """Gunicorn calls this in the serving process when its signals are set."""
            if self.running is not None:
                drain_on_sigterm(self.running)

        def end(self, arbiter: object, worker: object) -> None:
            """Gunicorn calls this in the serving process when it exits."""
            if self.running is not None:
                self.running.stop()

    Application().run()


def _impatient_worker() -> type[Any]:
    from gunicorn.workers.gthread import ThreadWorker

    class ImpatientWorker(ThreadWorker):  # type: ignore[misc]
        def handle(self, conn: Any) -> Any:
            """Serve a request; a client that falls silent in the middle of it does not keep the thread."""
            for option in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
                conn.sock.setsockopt(socket.SOL_SOCKET, option, struct.pack("ll", SILENCE_S, 0))
            return super().handle(conn)

    return ImpatientWorker


def _options(settings: Settings) -> dict[str, Any]:
    """How gunicorn is to run, in its own words."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return {
        "bind": f"{host}:{settings.port}",
        "workers": 1,
        "worker_class": _impatient_worker(),
        "threads": THREADS,
        "timeout": 0,
        "graceful_timeout": GRACE_S,
        "preload_app": False,
        "proc_name": "vlm-judge",
        "control_socket_disable": True,
    }


def refuse_unlocked_address(settings: Settings) -> None:
    """Raise SettingsError when other machines could ask the backend without a name and password."""
    if is_locked(settings):
        return
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise SettingsError(f"cannot listen on {settings.host!r}: {exc}; choose another with --host") from exc
    beyond = sorted({str(entry[4][0]) for entry in found if not is_loopback(str(entry[4][0]))})
    if beyond:
        raise SettingsError(
            f"{settings.host} ({', '.join(beyond)}) can be reached from other machines; set "
            "VLM_JUDGE_BASIC_AUTH_USER and VLM_JUDGE_BASIC_AUTH_PASSWORD, or listen on 127.0.0.1 with --host"
        )


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
