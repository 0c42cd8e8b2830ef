"""Clients that fall silent in the middle of a request do not use up the server's threads."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from backend.label_studio_server import free_port, stop_group, wait_until_healthy
from backend.serving import THREADS

STARTED = b"POST /setup HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\n{"
SERVE = "import backend.serving; backend.serving.SILENCE_S = 1; from backend.cli import main; main()"


@pytest.mark.parametrize("begun", [b"G", b"POST /setup HTTP/1.1\r\nHost: 127.0.0.1\r\n", STARTED])
def test_more_silent_clients_than_threads_keep_nobody_out(tmp_path: Path, begun: bytes) -> None:
    port, log = free_port(), tmp_path / "log"
    command = [sys.executable, "-c", SERVE, "serve", "--engine", "scripted", "--port", str(port)]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command,
            env={**os.environ, "VLM_JUDGE_STORE": str(tmp_path / "s.sqlite")},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    silent: list[socket.socket] = []
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}/health", process, log, "the backend")
        for _ in range(THREADS + 6):
            silent.append(socket.create_connection(("127.0.0.1", port)))
            silent[-1].sendall(begun)
        time.sleep(0.3)
        began = time.monotonic()
        assert httpx.get(f"http://127.0.0.1:{port}/health", timeout=30).status_code == 200
        assert time.monotonic() - began < 5
    finally:
        for connection in silent:
            connection.close()
        stop_group(process)
    assert "Traceback" not in log.read_text()
