"""A Label Studio server of our own, as a child process: for the demo and for the tests."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from backend.errors import DemoError

HOST = "127.0.0.1"
START_TIMEOUT_S = 600.0
"""The first start creates the database, a minute on two slow cores."""
STOP_TIMEOUT_S = 10.0
_LOG_LINES_SHOWN = 12
DIRECT = build_opener(ProxyHandler({}))
"""Opens addresses of this machine, which no proxy can reach."""


@dataclass(frozen=True, slots=True)
class LabelStudioOptions:
    """How to run it. The user and the token come into being with the first start over a data folder."""

    data_dir: Path
    document_root: Path
    """Files below it can be shown by projects with a local files storage."""
    port: int
    log: Path
    email: str = "demo@example.org"
    password: str = "vlm-judge-demo"  # noqa: S105 - a login for a server that listens on 127.0.0.1 only
    token: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)
    """The legacy API token, 40 hex digits."""
    allow_private_backends: bool = True
    """Switch off the check that since 1.23 refuses ML backends on private addresses."""
    executable: Path | None = None
    """The `label-studio` to run; None is the one beside this Python."""


class LabelStudioProcess:
    """One running Label Studio that ends with `stop`, with all its children."""

    def __init__(self, options: LabelStudioOptions) -> None:
        self.options = options
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.options.port}"

    @property
    def email(self) -> str:
        """The login of its one user."""
        return self.options.email

    @property
    def password(self) -> str:
        """That user's password."""
        return self.options.password

    @property
    def token(self) -> str:
        """That user's legacy API token."""
        return self.options.token

    @property
    def document_root(self) -> Path:
        """The folder below which files can be served."""
        return self.options.document_root

    @property
    def pid(self) -> int:
        """Process id, also the id of its process group; 0 before `start`."""
        return self._process.pid if self._process else 0

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Start it and return when it answers. Raises DemoError with the end of its log when it does not."""
        self.launch()
        self.wait(timeout_s)

    def launch(self) -> None:
        """Start it and return at once. Raises DemoError when it is not installed."""
        options = self.options
        for folder in (options.data_dir, options.document_root, options.log.parent):
            folder.mkdir(parents=True, exist_ok=True)
        command = [str(_executable(options)), "start", "--no-browser", "--internal-host", HOST]
        command += ["--port", str(options.port)]
        with options.log.open("ab") as log:
            self._process = spawn(command, _environment(options), log)

    def wait(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Return when it answers. Raises DemoError with the end of its log when it ends or takes too long."""
        if self._process is not None:
            wait_until_healthy(f"{self.url}/health", self._process, self.options.log, "Label Studio", timeout_s)

    def stop(self) -> None:
        """Stop it and its children; does nothing when it is not running."""
        if self._process is not None:
            stop_group(self._process)


def spawn(command: list[str], environment: dict[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Start a command in a process group of its own, so that Ctrl-C reaches only us and we can stop all of it."""
    return subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )


def wait_until_healthy(
    address: str,
    process: subprocess.Popen[bytes],
    log: Path,
    name: str,
    timeout_s: float = START_TIMEOUT_S,
) -> None:
    """Return when the address answers 200 and the process lives. Raises DemoError with the end of the log."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DemoError(f"{name} ended with code {process.returncode} while starting; {_tail(log)}")
        if _answers(address):
            return
        time.sleep(0.2)
    stop_group(process)
    raise DemoError(f"{name} did not answer at {address} within {timeout_s:g} s; {_tail(log)}")


def stop_group(process: subprocess.Popen[bytes]) -> None:
    """End a process started by `spawn` with its children: politely, and after ten seconds for good."""
    for number, patience_s in ((signal.SIGTERM, STOP_TIMEOUT_S), (signal.SIGKILL, STOP_TIMEOUT_S)):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            process.wait(timeout=STOP_TIMEOUT_S)
            return
        if _gone(process, patience_s):
            return


def _gone(process: subprocess.Popen[bytes], patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            try:
                os.killpg(process.pid, 0)
            except ProcessLookupError:
                return True
        time.sleep(0.05)
    return False


def free_port(first: int = 0) -> int:
    """A port on 127.0.0.1 that nobody listens on: `first` or the next free one after it; any for 0."""
    for port in range(first, min(first + 200, 65536)) if first else (0,):
        try:
            return _bound(port)
        except OSError:
            continue
    raise DemoError(f"no free port between {first} and {first + 199}; stop a server or choose another port")


def is_free(port: int) -> bool:
    """Whether a server of ours could listen on this port of 127.0.0.1."""
    try:
        return _bound(port) == port
    except OSError:
        return False


def _bound(port: int) -> int:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind((HOST, port))
    # Label Studio itself looks at "localhost", and moves to another port when somebody answers there.
    with socket.socket() as probe:
        if port and probe.connect_ex(("localhost", port)) == 0:
            raise OSError(f"port {port} is taken")
    if port:
        return port
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def _answers(address: str) -> bool:
    try:
        with DIRECT.open(address, timeout=5) as response:
            return bool(response.status == 200)
    except (URLError, OSError, ValueError):
        return False


def _executable(options: LabelStudioOptions) -> Path:
    beside = options.executable or Path(sys.executable).parent / "label-studio"
    if beside.exists():
        return beside
    found = shutil.which("label-studio")
    if found is None:
        raise DemoError(f"there is no `label-studio` at {beside}; run: pip install 'vlm-judge-label-studio[demo]'")
    return Path(found)


def _environment(options: LabelStudioOptions) -> dict[str, str]:
    """Our own environment without what would configure Label Studio otherwise, and with what this server needs."""
    foreign = ("LABEL_STUDIO_", "DJANGO_", "POSTGRE", "VLM_JUDGE_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(foreign)}
    flag = "false" if options.allow_private_backends else "true"
    return environment | {
        "LABEL_STUDIO_BASE_DATA_DIR": str(options.data_dir),
        "LABEL_STUDIO_USERNAME": options.email,
        "LABEL_STUDIO_PASSWORD": options.password,
        "LABEL_STUDIO_USER_TOKEN": options.token,
        "LABEL_STUDIO_ENABLE_LEGACY_API_TOKEN": "true",
        "LABEL_STUDIO_DISABLE_SIGNUP_WITHOUT_LINK": "true",
        "LABEL_STUDIO_LOCAL_FILES_SERVING_ENABLED": "true",
        "LABEL_STUDIO_LOCAL_FILES_DOCUMENT_ROOT": str(options.document_root),
        "LABEL_STUDIO_HOST": "",
        "ML_BLOCK_LOCAL_IP": flag,
        "SSRF_PROTECTION_ENABLED": flag,
        "COLLECT_ANALYTICS": "False",
        "LATEST_VERSION_CHECK": "False",
        "DEBUG": "false",
    }


def _tail(log: Path) -> str:
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return "\n".join([f"the end of {log}:", *lines[-_LOG_LINES_SHOWN:]])
