"""`make demo`: Label Studio with a project of pre-judged sample tasks, until Ctrl-C."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from urllib.error import URLError
from urllib.request import Request

from rich.console import Console

from backend.assemble import make_service
from backend.core.choices import EngineName
from backend.demo_state import DemoFolder, DemoState, only_demo, stop_leftovers
from backend.engines.demo.sample import write_sample
from backend.errors import DemoError, StudioError
from backend.interfaces import default_label_config
from backend.judge import JudgeRun, RunOptions, Told, judge_project
from backend.label_studio_server import (
    DIRECT,
    HOST,
    LabelStudioOptions,
    LabelStudioProcess,
    free_port,
    is_free,
    spawn,
    stop_group,
    wait_until_healthy,
)
from backend.projects import ProjectSpec, create_project, read_tasks
from backend.settings import PREFIX, Settings, load_settings
from backend.studio import Project, Studio

TITLE = "Image-text review (demo)"
DESCRIPTION = (
    "240 drawn boards with captions, about a third of them wrong in some way, judged by a small embedded model that "
    "knows nothing but such boards. Confirm or correct what it filled in."
)
CONNECTION = "VLM judge"
EMAIL, PASSWORD = "demo@example.org", "vlm-judge-demo"
STUDIO_PORT, BACKEND_PORT = 8080, 9090
BACKEND_TIMEOUT_S = 120.0
_WATCH_S = 0.5


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How to run the demo; a port of None is the last one used, the default, or the next free one after it."""

    port: int | None = None
    backend_port: int | None = None
    home: Path = Path(".demo")
    engine: EngineName = "demo"
    count: int = 240


@dataclass(slots=True)
class _Demo:
    """One run: what it was asked, what it remembers, and what it has started."""

    options: DemoOptions
    folder: DemoFolder
    state: DemoState
    console: Console
    studio_process: LabelStudioProcess | None = None
    backend_process: subprocess.Popen[bytes] | None = None

    @property
    def backend_url(self) -> str:
        return f"http://{HOST}:{self.state.backend_port}"

    def keep(self, **changes: object) -> None:
        """Change the state and write it down."""
        self.state = self.folder.write(replace(self.state, **changes))  # type: ignore[arg-type]

    def say(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)

    @contextmanager
    def step(self, doing: str, done: str) -> Iterator[None]:
        """A spinner while it lasts, then one line with the seconds it took."""
        began = time.monotonic()
        if self.console.is_terminal:
            with self.console.status(f"{doing} ..."):
                yield
        else:
            self.say(f"{doing} ...")
            yield
        self.say(f"[green]✓[/green] {done} ({time.monotonic() - began:.0f} s)")


def run_demo(options: DemoOptions, console: Console | None = None) -> None:
    """Bring the demo up, stay until Ctrl-C or SIGTERM, and stop all that was started. Raises DemoError or StudioError.

    Everything is found as the last start left it: tasks are not imported again, annotations stay, and whatever a start
    that was interrupted did not finish is finished.
    """
    console = console or Console(highlight=False)
    _own_environment(console)
    folder = DemoFolder(options.home.resolve())
    with only_demo(folder), _signals_interrupt():
        demo = _Demo(options, folder, folder.read(), console)
        try:
            _bring_up(demo)
            _watch(demo)
        except KeyboardInterrupt:
            unfinished = "" if demo.state.ready else " before it was ready; the next start goes on from here"
            demo.say(f"\nStopping{unfinished} ...")
        finally:
            _stop(demo)


def _own_environment(console: Console) -> None:
    """Keep the user's settings and proxies out of this process and the two servers."""
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        del os.environ[name]
        console.print(f"{name} is not used: the demo has settings of its own.", highlight=False)
    os.environ["VLM_JUDGE_CONFIG"] = os.devnull  # and no file of the current folder
    for name in ("NO_PROXY", "no_proxy"):
        os.environ[name] = ",".join(filter(None, (os.environ.get(name), HOST, "localhost")))


def _bring_up(demo: _Demo) -> None:
    demo.state, leftovers = stop_leftovers(demo.state)
    for name in leftovers:
        demo.say(f"An earlier demo was killed and left {name} running; stopped it.")
    demo.keep(
        port=_port(demo, "Label Studio", demo.options.port, demo.state.port, STUDIO_PORT, "--port"),
        backend_port=_port(
            demo, "the backend", demo.options.backend_port, demo.state.backend_port, BACKEND_PORT, "--backend-port"
        ),
    )
    studio = _start_studio(demo)
    _start_backend(demo)
    tasks = _sample(demo)
    version = _model_version(demo.backend_url, default_label_config())
    with demo.step("Making the project", "Project, tabs and tasks are there"):
        spec = ProjectSpec(TITLE, default_label_config(), tasks, version, DESCRIPTION, demo.folder.sample / "images")
        project = create_project(studio, spec)
    with demo.step("Connecting the backend", f"Label Studio is connected to the backend at {demo.backend_url}"):
        for connection in studio.connections(project.id):
            if connection.title == CONNECTION and connection.url != demo.backend_url:  # an earlier start's port
                studio.disconnect_backend(project.id, connection.url)
        studio.connect_backend(project.id, demo.backend_url, CONNECTION)
    _judge(demo, studio, project, version)
    demo.folder.write_environment(studio.url, demo.state.token)
    demo.keep(ready=True)
    _show(demo, project)


def _port(demo: _Demo, name: str, asked: int | None, last: int, default: int, option: str) -> int:
    """The port to use. Raises DemoError when the one asked for is taken."""
    if asked is not None:
        if is_free(asked):
            return asked
        raise DemoError(f"port {asked} for {name} is taken; stop what listens there, or choose another with {option}")
    wanted = last or default
    found = free_port(wanted)
    if found != wanted:
        demo.say(f"Port {wanted} is taken, so {name} gets port {found}.")
    return found


def _start_studio(demo: _Demo) -> Studio:
    try:
        return _studio(demo)
    except (DemoError, StudioError):
        if demo.state.ready or not demo.folder.data.exists():
            raise
        demo.say("An earlier start was interrupted while Label Studio made its database; making it anew.")
        _stop(demo)
        shutil.rmtree(demo.folder.data)
        return _studio(demo)


def _studio(demo: _Demo) -> Studio:
    options = LabelStudioOptions(
        data_dir=demo.folder.data,
        document_root=demo.folder.files,
        port=demo.state.port,
        log=_fresh(demo.folder.logs / "label-studio.log"),
        email=EMAIL,
        password=PASSWORD,
        token=demo.state.token,
    )
    first = "" if demo.state.ready else " (the first time it makes its database, about a minute)"
    with demo.step(f"Starting Label Studio{first}", f"Label Studio is up at http://{HOST}:{demo.state.port}"):
        demo.studio_process = LabelStudioProcess(options)
        demo.studio_process.launch()
        demo.keep(studio_pid=demo.studio_process.pid)
        demo.studio_process.wait()
        studio = Studio(demo.studio_process.url, demo.state.token)
        studio.whoami()
    return studio


def _start_backend(demo: _Demo) -> None:
    log = _fresh(demo.folder.logs / "backend.log")
    command = [sys.executable, "-m", "backend.cli", "serve", "--engine", demo.options.engine]
    command += ["--port", str(demo.state.backend_port)]
    settings = {
        f"{PREFIX}STORE": str(demo.folder.verdicts),
        "LABEL_STUDIO_URL": f"http://{HOST}:{demo.state.port}",
        "LABEL_STUDIO_API_KEY": demo.state.token,
    }
    with demo.step("Starting the backend", f"The backend is up at {demo.backend_url}"):
        with log.open("ab") as sink:
            demo.backend_process = spawn(command, {**os.environ, **settings}, sink)
        demo.keep(backend_pid=demo.backend_process.pid)
        wait_until_healthy(f"{demo.backend_url}/health", demo.backend_process, log, "the backend", BACKEND_TIMEOUT_S)


def _sample(demo: _Demo) -> tuple[dict[str, object], ...]:
    """The sample's tasks; drawn when they are not there in full."""
    images, tasks = demo.folder.sample / "images", demo.folder.sample / "tasks.json"
    if not tasks.exists() or len(list(images.glob("*.png"))) != demo.options.count:
        with demo.step(f"Drawing {demo.options.count} sample pictures", "The sample pictures are drawn"):
            tasks.unlink(missing_ok=True)
            write_sample(demo.folder.sample, demo.options.count)
    return tuple(dict(task) for task in read_tasks(tasks))


def _model_version(backend_url: str, label_config: str) -> str:
    """What the backend answers to Label Studio's `/setup`."""
    body = json.dumps({"schema": label_config}).encode()
    request = Request(f"{backend_url}/setup", data=body, headers={"Content-Type": "application/json"})  # noqa: S310
    try:
        with DIRECT.open(request, timeout=30) as response:
            return str(json.load(response)["model_version"])
    except (URLError, OSError, ValueError, KeyError) as exc:
        raise DemoError(f"the backend at {backend_url} does not take the label config ({exc}); see its log") from exc


def _judge(demo: _Demo, studio: Studio, project: Project, version: str) -> None:
    missing = sum(version not in task.model_versions for page in studio.pages(project.id) for task in page)
    if not missing:
        demo.say("[green]✓[/green] All tasks have been judged before")
        studio.use_model_version(project.id, version)
        return
    began = time.monotonic()
    settings = load_settings(
        engine=demo.options.engine,
        store=demo.folder.verdicts,
        label_studio_url=studio.url,
        label_studio_api_key=demo.state.token,
    )
    run = _judge_with_progress(demo.console, studio, settings, project)
    for failure in run.failures[:5]:
        demo.say(f"[yellow]not judged:[/yellow] {failure.reason}")
    demo.say(f"[green]✓[/green] {run.summary()} ({time.monotonic() - began:.0f} s)")


def _judge_with_progress(console: Console, studio: Studio, settings: Settings, project: Project) -> JudgeRun:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    service = make_service(settings)
    with ExitStack() as stack:
        stack.callback(service.close)
        if not console.is_terminal:
            console.print("Judging the tasks ...", highlight=False)
        progress = stack.enter_context(Progress(*columns, console=console, disable=not console.is_terminal))
        bar = progress.add_task("Judging the tasks", total=project.task_count)
        report: Callable[[int, int], None] = lambda done, total: progress.update(bar, completed=done, total=total)  # noqa: E731
        return judge_project(studio, service, project.id, RunOptions(settings.batch_size), Told(report))


def _show(demo: _Demo, project: Project) -> None:
    from rich.panel import Panel

    home = os.path.relpath(demo.folder.home)
    lines = (
        f"Review     http://{HOST}:{demo.state.port}/projects/{project.id}/data",
        f"Login      {EMAIL}",
        f"Password   {PASSWORD}",
        f"Judge      {demo.backend_url}/status",
        f"Logs       {home}/logs",
        "",
        "Stop with Ctrl-C; the next start goes on where you left off.",
    )
    demo.console.print(Panel("\n".join(lines), title="The demo is ready", expand=False), highlight=False)
    command = f"env $(cat {home}/env) {_typed()} export --project {project.id} --out dataset"
    demo.say(f"When you have reviewed some tasks, export them in a second terminal:\n  {command}")


def _typed() -> str:
    """How this `vlm-judge` is called at the shell."""
    ours = Path(sys.executable).with_name("vlm-judge")
    return "vlm-judge" if shutil.which("vlm-judge") == str(ours) else os.path.relpath(ours)


def _watch(demo: _Demo) -> None:
    """Stay until interrupted. Raises DemoError when one of the two servers ends by itself."""
    while True:
        time.sleep(_WATCH_S)
        if demo.studio_process is not None and not demo.studio_process.running:
            raise DemoError(f"Label Studio ended by itself; see {demo.folder.logs / 'label-studio.log'}")
        if demo.backend_process is not None and demo.backend_process.poll() is not None:
            raise DemoError(f"the backend ended by itself; see {demo.folder.logs / 'backend.log'}")


def _stop(demo: _Demo) -> None:
    """Stop what was started, and let no second Ctrl-C leave half of it."""
    ignored = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ignored}
    try:
        if demo.backend_process is not None:
            stop_group(demo.backend_process)
        if demo.studio_process is not None:
            demo.studio_process.stop()
        demo.keep(studio_pid=0, backend_pid=0)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the demo as Ctrl-C does."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _fresh(log: Path) -> Path:
    """The log's path, with what an earlier run wrote moved aside."""
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists():
        log.replace(log.with_suffix(".old.log"))
    return log
