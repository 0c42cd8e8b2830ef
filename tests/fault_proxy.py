"""A way to a server on which things go wrong on purpose, for tests of what is sent through it."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal

import httpx

Fault = Literal["none", "away", "failing", "answer lost", "slow"]
"""Nothing goes wrong; connections are cut at once; 503; the request is carried out and the connection cut after it;
the request is carried out `slow_s` later."""


class FaultProxy:
    """Passes requests on to a server as long as nothing is to go wrong."""

    def __init__(self, target: str) -> None:
        self.fault: Fault = "none"
        self.only_writes = False
        """Whether only predictions that are imported meet the fault."""
        self.only = ""
        """Only requests whose path holds this meet the fault."""
        self.slow_s = 3.0
        self.times: int | None = None
        """How often the fault is still met; None is always."""
        self.met = 0
        """How often it was met."""
        self.asked = 0
        """How many requests came."""
        self._client = httpx.Client(base_url=target, timeout=120, trust_env=False)
        self._lock = threading.Lock()
        handler = type("Handler", (_Handler,), {"proxy": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def start(self) -> None:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._client.close()

    def fault_of(self, path: str) -> Fault:
        with self._lock:
            self.asked += 1
            named = "import/predictions" if self.only_writes else self.only
            if self.fault == "none" or named not in path or self.times == 0:
                return "none"
            self.met += 1
            if self.times is not None:
                self.times -= 1
            return self.fault

    def forward(self, method: str, path: str, headers: dict[str, str], body: bytes) -> httpx.Response:
        return self._client.request(method, path, headers=headers, content=body)


class _Handler(BaseHTTPRequestHandler):
    proxy: FaultProxy

    def handle_any(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault = self.proxy.fault_of(self.path)
        if fault == "away":
            self.close_connection = True
            return
        if fault == "failing":
            self._answer(503, b'{"detail": "down for a moment"}', "application/json")
            return
        if fault == "slow":
            time.sleep(self.proxy.slow_s)
        passed = {name: value for name, value in self.headers.items() if name.lower() not in ("host", "connection")}
        response = self.proxy.forward(self.command, self.path, passed, body)
        if fault == "answer lost":
            self.close_connection = True
            return
        self._answer(response.status_code, response.content, response.headers.get("content-type", ""))

    def _answer(self, status: int, content: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_DELETE = do_PUT = handle_any

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def fault_proxy(target: str) -> Iterator[FaultProxy]:
    proxy = FaultProxy(target)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()
