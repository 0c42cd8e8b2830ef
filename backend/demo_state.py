"""What the demo remembers between starts, and the one lock that keeps two demos from sharing a folder."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from backend.errors import DemoError

STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class DemoState:
    """Kept in `state.json`, readable by its owner only, because of the token."""

    token: str
    """Label Studio's legacy token of the demo's user; it is set with the first start and never changes."""
    ready: bool = False
    """Whether the demo has been all the way up once; before that nobody can have annotated anything."""
    port: int = 0
    backend_port: int = 0
    studio_pid: int = 0
    backend_pid: int = 0


@dataclass(frozen=True, slots=True)
class DemoFolder:
    """The demo's files, all under one folder that git ignores."""

    home: Path

    @property
    def data(self) -> Path:
        """Label Studio's database."""
        return self.home / "label-studio"

    @property
    def files(self) -> Path:
        """Label Studio's document root."""
        return self.home / "files"

    @property
    def sample(self) -> Path:
        """The sample project's images, tasks and truth."""
        return self.files / "sample"

    @property
    def logs(self) -> Path:
        """What the two servers say."""
        return self.home / "logs"

    @property
    def verdicts(self) -> Path:
        """The judge's store."""
        return self.home / "verdicts.sqlite"

    @property
    def environment(self) -> Path:
        """`NAME=value` lines with which the other commands find this Label Studio."""
        return self.home / "env"

    def read(self) -> DemoState:
        """The state of the last start, or a new one with a new token. Raises DemoError when it is damaged."""
        file = self.home / "state.json"
        if not file.exists():
            if (self.data / "label_studio.sqlite3").exists():
                raise DemoError(f"{file} is missing, so {self.data} cannot be opened; delete {self.home} to begin anew")
            return DemoState(secrets.token_hex(20))
        try:
            return DemoState(**json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as exc:
            raise DemoError(f"{file} is damaged ({exc}); delete {self.home} to begin anew") from exc

    def write(self, state: DemoState) -> DemoState:
        """Keep the state; a crash leaves either the old or the new one."""
        self._write("state.json", json.dumps(asdict(state), indent=1) + "\n")
        return state

    def write_environment(self, url: str, token: str) -> None:
        """Keep the settings that other commands need; the file is readable by its owner only."""
        self._write("env", f"LABEL_STUDIO_URL={url}\nLABEL_STUDIO_API_KEY={token}\n")

    def _write(self, name: str, text: str) -> None:
        draft = self.home / f".{name}.new"
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        draft.replace(self.home / name)


@contextmanager
def only_demo(folder: DemoFolder) -> Iterator[None]:
    """Hold the folder; the system lets go of it when this process ends, however it ends. Raises DemoError."""
    folder.home.mkdir(parents=True, exist_ok=True)
    with (folder.home / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            port = folder.read().port if (folder.home / "state.json").exists() else 0
            where = f" at http://127.0.0.1:{port}" if port else ""
            raise DemoError(f"the demo is running already{where}; stop it there with Ctrl-C to start it again") from exc
        yield


def stop_leftovers(state: DemoState) -> tuple[DemoState, tuple[str, ...]]:
    """Stop servers that an earlier demo left behind when it was killed; the state without them, and their names.

    A process id may belong to another program by now, so a process counts only when its command line is ours.
    """
    stopped = []
    for name, pid, marks in (
        ("Label Studio", state.studio_pid, ("label-studio", f"--port {state.port}")),
        ("the backend", state.backend_pid, ("backend.cli serve", f"--port {state.backend_port}")),
    ):
        command = _command_line(pid) if pid > 1 else ""
        if command and all(mark in command for mark in marks):
            _end(pid)
            stopped.append(name)
    return replace(state, studio_pid=0, backend_pid=0), tuple(stopped)


def _command_line(pid: int) -> str:
    """The process's command line; empty when there is no such process or it cannot be seen."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        pass
    try:  # systems without /proc
        asked = subprocess.run(["ps", "-p", str(pid), "-o", "args="], capture_output=True, text=True, check=False)  # noqa: S603, S607
    except OSError:
        return ""
    return asked.stdout.strip()


def _end(group: int) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + STOP_TIMEOUT_S
        while time.monotonic() < deadline:
            try:
                os.killpg(group, number)
            except ProcessLookupError:
                return
            time.sleep(0.2)
