"""A server that gives recorded answers, for what a real one on this machine cannot be brought to say.

Those at the end are Label Studio 1.23.2's own.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, Any] | tuple[int, Any, Mapping[str, str]]
"""Status, body and headers; a body that is text is sent as it is, anything else as JSON."""


@dataclass
class Replay:
    """A running server; `answers` may be changed while it runs."""

    answers: dict[str, Answer]
    """By method and path without query, such as `GET /api/version/`; anything else is a 404."""
    url: str = ""
    asked: list[tuple[str, Any]] = field(default_factory=list)
    """Each request, with its JSON body or None."""


@contextmanager
def replaying(answers: Mapping[str, Answer]) -> Iterator[Replay]:
    """Serve these answers on a free port of 127.0.0.1 until the end of the block."""
    replay = Replay(dict(answers))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = f"{self.command} {self.path.partition('?')[0]}"
            length = int(self.headers.get("Content-Length") or 0)
            replay.asked.append((name, json.loads(self.rfile.read(length)) if length else None))
            status, body, *more = replay.answers.get(name, (404, {"detail": "Not found."}))
            content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            for header, value in (more[0] if more else {}).items():
                self.send_header(header, value)
            self.send_header("Content-Type", "text/html" if isinstance(body, str) else "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_DELETE = do_PATCH = do_GET

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    replay.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield replay
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def said(status: int, detail: str) -> Answer:
    """What Label Studio says when it refuses a request."""
    return status, {"status_code": status, "version": "1.23.2", "detail": detail, "exc_info": None}


def wrong(**errors: Any) -> Answer:
    """What it says of a request that is wrong, by field."""
    return 400, {"status_code": 400, "version": "1.23.2", "detail": "Validation error", "validation_errors": errors}


NO_ACTION = wrong(actions={"0": ['"vlm-judge-doctor" is not a valid choice.']})
"""To a webhook whose address is allowed and whose action is none."""
STUDIO: Mapping[str, Answer] = {
    "GET /api/version/": (200, {"release": "1.23.2", "edition": "Community"}),
    "GET /api/current-user/whoami": (200, {"id": 1, "email": "a@example.org"}),
    "POST /api/webhooks/": NO_ACTION,
    "GET /api/webhooks/": (200, []),
    "GET /api/ml": (200, []),
}
"""A server that lets everybody in and has no connections."""
