"""What is not imported: by the commands' help, and by the server before its model is loaded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.backend_process import BackendProcess

OF_THE_MODEL = frozenset(
    {"accelerate", "datasets", "matplotlib", "numpy", "pandas", "pyarrow", "ray", "scipy", "sklearn", "torch"}
    | {"torchvision", "transformers"}
)
OF_THE_SERVER = frozenset({"alembic", "flask", "gunicorn", "httpx", "jinja2", "PIL", "sqlalchemy", "werkzeug", "yaml"})
OF_LABEL_STUDIO = frozenset({"django", "label_studio", "label_studio_sdk"})

HELP = """
import sys
from backend.cli import main
try:
    main([*sys.argv[2:], "--help"], prog_name="vlm-judge")
except SystemExit as exc:
    assert exc.code == 0, exc.code
print(*sorted(set(sys.argv[1].split(",")) & sys.modules.keys()), sep=",", file=sys.stderr)
"""

SERVE = """
import sys
from backend.running import make_running
from backend.server import create_app
from backend.settings import load_settings
running = make_running(load_settings(engine=sys.argv[2], store=sys.argv[3]))
answer = create_app(running).test_client().get("/health")
assert (answer.status_code, answer.json["engine"]) == (200, "loading"), answer.text
print(*sorted(set(sys.argv[1].split(",")) & sys.modules.keys()), sep=",", file=sys.stderr)
"""


def imported(code: str, of: frozenset[str], *arguments: str) -> str:
    """Which of these packages a Python of its own has imported at the end of the code."""
    command = [sys.executable, "-c", code, ",".join(sorted(of)), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stderr.strip()


@pytest.mark.parametrize("command", [(), ("serve",), ("judge",), ("project", "create")])
def test_help_comes_without_anything_that_it_takes_time_to_import(command: tuple[str, ...]) -> None:
    heavy = OF_THE_MODEL | OF_THE_SERVER | OF_LABEL_STUDIO | {"pydantic"}
    assert imported(HELP, heavy, *command) == ""


@pytest.mark.parametrize("engine", ["demo", "local"])
def test_a_server_answers_health_before_anything_of_its_model_is_imported(engine: str, tmp_path: Path) -> None:
    store = str(tmp_path / "store.sqlite")
    assert imported(SERVE, OF_THE_MODEL - {"numpy"} | OF_LABEL_STUDIO, engine, store) == ""


def test_a_server_that_has_no_model_of_its_own_never_imports_what_models_need(tmp_path: Path) -> None:
    """Seen from outside: no compiled part of these packages is in the memory of the process that serves."""
    backend = BackendProcess(tmp_path, 0.0)
    backend.start()
    try:
        maps = Path(f"/proc/{backend.server_pid}/maps").read_text()
    finally:
        backend.stop()
    files = {line.split(maxsplit=5)[5] for line in maps.splitlines() if len(line.split(maxsplit=5)) == 6}
    found = {part for file in files for part in Path(file).parts} & OF_THE_MODEL
    assert any("sqlalchemy" in file for file in files), "compiled parts are seen by this"
    assert not found
