"""A model that is loaded for a log and not for a person draws no progress bars into it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import termios
from contextlib import suppress

LOAD = """
from backend.engines.factory import make_engine
from backend.settings import Settings
make_engine(Settings(engine="demo")).load()
"""


def test_what_is_loaded_with_a_pipe_for_its_log_draws_no_bar() -> None:
    done = subprocess.run([sys.executable, "-c", LOAD], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0
    assert "Loading weights" not in done.stdout + done.stderr


def test_what_is_loaded_on_a_terminal_shows_how_far_it_is() -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = subprocess.Popen([sys.executable, "-c", LOAD], stdout=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    shown = b""
    with suppress(OSError):  # as a terminal ends
        while said := os.read(ours, 4096):
            shown += said
    os.close(ours)
    assert process.wait(120) == 0
    assert b"Loading weights" in shown
