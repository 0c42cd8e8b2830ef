"""The status page: how the judge stands, as one HTML page without a script that loads itself anew."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from backend.vitals import Vitals

if TYPE_CHECKING:
    from jinja2 import Template

REFRESH_S = 5
MOST_FAILURES = 20
MOST_PROJECTS = 20
LONGEST_TEXT = 600
"""Characters of a reason that are shown; the log has all of it."""

EngineState = Literal["loading", "ready", "failed"]
DeliveryState = Literal["off", "idle", "delivering", "waiting"]
Mood = Literal["loading", "judging", "idle", "waiting", "failed"]
"""Which colour the headline has; its words say the same."""

OUTCOMES = {
    "answered": "Requests answered",
    "busy": "Requests put off",
    "refused": "Requests refused",
    "failed": "Requests failed",
}
"""What `Vitals.requests` counts, as the page says it."""
_FEW_S = 5
_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))
_DELIVERY = {
    "off": "Off",
    "idle": "Nothing to write back",
    "delivering": "Writing predictions back",
    "waiting": "Waiting for Label Studio",
}


@dataclass(frozen=True, slots=True)
class ProjectStatus:
    """A label config that was asked for, in the project it came from."""

    project: str
    """Label Studio's number of it, or `-` where the request did not say."""
    title: str
    """Its title, or what its label config is about; empty when neither is known."""
    fingerprint: str
    owed: int
    """Predictions still to be written back to Label Studio, whether their samples are judged already or not."""
    unfilled: tuple[tuple[str, str], ...]
    """Controls that the judge leaves empty, each with the reason."""


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """What becomes of predictions that were not ready in time."""

    state: DeliveryState
    """`off`: it is not set up; `waiting`: Label Studio could not be reached and is asked again later."""
    detail: str
    """A sentence that says why it is off, or what went wrong and when it is tried again; may be empty."""


@dataclass(frozen=True, slots=True)
class MemoryStatus:
    """Memory in use."""

    resident_bytes: int
    gpu_used_bytes: int | None
    """On the engine's GPU by all processes together; None where no GPU is in use."""
    gpu_total_bytes: int | None


@dataclass(frozen=True, slots=True)
class StatusView:
    """Everything that the page and the metrics show, of one moment. Holds no secret."""

    vitals: Vitals
    judge: str
    """The judge's short name."""
    engine: str
    model: str
    """Id or folder."""
    engine_state: EngineState
    engine_detail: str | None
    """Why the engine failed, else None."""
    waiting: int
    """Samples in the queue."""
    waiting_bytes: int
    """Memory that their images take."""
    done: int
    """Samples judged of the work at hand, that is since nothing was left; the progress bar shows its share."""
    batch_size: int
    requests_open: int
    projects: tuple[ProjectStatus, ...]
    """Each project that is owed something, and others that were asked for; in the order to be shown."""
    delivery: DeliveryStatus
    memory: MemoryStatus
    store: str
    """Where verdicts are kept, as `shown_store` gives it."""
    version: str
    """Of this product."""
    warnings: tuple[str, ...]
    """What a person must know, a sentence each."""

    @property
    def owed(self) -> int:
        """Predictions still to be written back, of all projects."""
        return sum(project.owed for project in self.projects)

    @property
    def left(self) -> int:
        """Samples still to be judged, as far as is known.

        The queue takes a few at a time of what is owed, so the larger number counts, not the sum. While Label Studio
        cannot be asked, nothing comes but what is in the queue.
        """
        return self.waiting if self.delivery.state in ("off", "waiting") else max(self.waiting, self.owed)

    @property
    def now(self) -> datetime:
        """The moment of the view."""
        return self.vitals.started_at + timedelta(seconds=self.vitals.up_s)


@dataclass(frozen=True, slots=True)
class Headline:
    """How it stands, in a sentence without a full stop."""

    mood: Mood
    state: str
    rest: str = ""

    @property
    def text(self) -> str:
        """The sentence."""
        return f"{self.state}: {self.rest}" if self.rest else self.state


def time_left_s(view: StatusView) -> float | None:
    """Until all is judged at the present rate; None where nothing is left or nothing was judged lately."""
    return view.left / view.vitals.rate if view.left and view.vitals.rate > 0 else None


def headline(view: StatusView) -> Headline:
    """What matters most just now."""
    waiting = f"{count(view.left)} waiting" if view.left else ""
    if view.engine_state == "failed":
        has_worked = view.vitals.batches > 0
        return Headline("failed", "The model has stopped working" if has_worked else "The model cannot be loaded")
    if view.engine_state == "loading":
        return Headline("loading", "Loading the model", waiting)
    if view.waiting:
        left_s = time_left_s(view)
        return Headline("judging", "Judging", waiting if left_s is None else f"{waiting}, {about(left_s)} left")
    if view.owed:
        return _owing(view)
    if view.requests_open:
        return Headline("judging", "Judging", f"{counted(view.requests_open, 'request')} being answered")
    return _idle(view.vitals)


def _owing(view: StatusView) -> Headline:
    owed = counted(view.owed, "prediction")
    match view.delivery.state:
        case "off":
            return Headline("waiting", "Not connected", f"{owed} cannot be written back")
        case "waiting":
            return Headline("waiting", "Waiting for Label Studio", f"{owed} to write back")
        case _:
            return Headline("judging", "Writing back", f"{owed} to go")


def _idle(vitals: Vitals) -> Headline:
    if vitals.failed:
        return Headline("idle", "Idle", f"nothing left to judge, {counted(vitals.failed, 'failure')} since the start")
    if vitals.judged or vitals.recalled:
        return Headline("idle", "Idle", "everything is judged")
    return Headline("idle", "Ready", "nothing to judge yet")


def render(view: StatusView, refresh_s: int = REFRESH_S) -> str:
    """The whole page, which loads itself anew. Lone surrogates, which UTF-8 cannot carry, become question marks."""
    shown = view.vitals.failures[:MOST_FAILURES]
    requests = dict(view.vitals.requests)
    page = _template().render(
        view=view,
        vitals=view.vitals,
        headline=headline(view),
        left_s=time_left_s(view),
        outcomes=[(label, requests.get(name, 0)) for name, label in OUTCOMES.items()],
        delivery=_DELIVERY[view.delivery.state],
        failures=[(note, short(note.reason.removeprefix(f"task {note.task}: "))) for note in shown],
        more_failures=max(0, view.vitals.failed - len(shown)),
        projects=view.projects[:MOST_PROJECTS],
        more_projects=max(0, len(view.projects) - MOST_PROJECTS),
        refresh_s=refresh_s,
    )
    return page.encode("utf-8", "replace").decode("utf-8")


def memory() -> MemoryStatus:
    """Of this process, and of its GPU where the engine uses one here."""
    gpu = _gpu_bytes()
    return MemoryStatus(_resident_bytes(), *(gpu or (None, None)))


def _resident_bytes() -> int:
    """Resident memory; the highest so far where the system does not tell the present one."""
    import resource

    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * os.sysconf("SC_PAGE_SIZE")


def _gpu_bytes() -> tuple[int, int] | None:
    """Used and total; None without a GPU. Never loads torch nor wakes a GPU: the engine alone does."""
    cuda = sys.modules.get("torch.cuda")
    is_initialized = getattr(cuda, "is_initialized", None)  # None also while the engine's thread is importing torch
    if cuda is None or is_initialized is None or not is_initialized():
        return None
    try:
        free, total = cuda.mem_get_info()
    except RuntimeError:  # the GPU is lost; the engine says so
        return None
    return total - free, total


def shown_store(store: str) -> str:
    """Where verdicts are kept, without the name, password and query that a database's address may carry."""
    from sqlalchemy import URL, make_url
    from sqlalchemy.exc import ArgumentError

    scheme, is_address, _ = store.partition("://")
    if not is_address:
        return store
    try:
        url = make_url(store)
    except (ArgumentError, ValueError):  # ValueError: the port is no number
        return f"{scheme}://..."
    host = (url.host or "").rpartition("@")[2]  # a password with a bare @ in it ends up there
    return URL.create(url.drivername, host=host or None, port=url.port, database=url.database).render_as_string()


def count(number: int) -> str:
    """`1,240`."""
    return f"{number:,}"


def counted(number: int, noun: str) -> str:
    """`1 prediction`, `35 predictions`."""
    return f"{count(number)} {noun}" if number == 1 else f"{count(number)} {noun}s"


def size(number_bytes: int) -> str:
    """`512 bytes`, `1.2 GB`; a GB is 10^9 bytes."""
    if number_bytes < 1000:
        return counted(number_bytes, "byte")
    value = number_bytes / 1000
    for unit in ("kB", "MB", "GB"):
        if value < 999.5:
            return f"{_two_digits(value)} {unit}"
        value /= 1000
    return f"{_two_digits(value)} TB"


def rate(per_s: float) -> str:
    """`12 per s`, `1.4 per s`, `40 per min`."""
    return f"{_two_digits(per_s * 60)} per min" if 0 < per_s < 0.995 else f"{_two_digits(per_s)} per s"


def _two_digits(value: float) -> str:
    """One decimal below 100, none above; never `.0`."""
    return f"{value:,.0f}" if value >= 99.95 else f"{value:.1f}".removesuffix(".0")


def duration(seconds: float) -> str:
    """The two largest units: `45 s`, `3 min 20 s`, `2 h 5 min`, `3 d 4 h`."""
    rest = round(seconds)
    for (unit_s, unit), (part_s, part) in pairwise(_UNITS):
        if rest >= unit_s:
            parts = rest % unit_s // part_s
            return f"{rest // unit_s} {unit} {parts} {part}" if parts else f"{rest // unit_s} {unit}"
    return f"{rest} s"


def about(seconds: float) -> str:
    """`about 3 min`, for what is only estimated; see `rough`."""
    return rough(seconds) if seconds < _FEW_S else f"about {rough(seconds)}"


def ago(seconds: float) -> str:
    """`just now`, `3 min ago`; see `rough`."""
    return "just now" if seconds < _FEW_S else f"{rough(seconds)} ago"


def rough(seconds: float) -> str:
    """One rounded unit: `a few seconds`, `40 s`, `3 min`, `2 h`, `3 days`."""
    if seconds < _FEW_S:
        return "a few seconds"
    if seconds < 55:
        return f"{max(1, round(seconds / 10)) * 10} s"
    for largest_s, unit_s, unit in ((90 * 60, 60, "min"), (36 * 3_600, 3_600, "h")):
        if seconds < largest_s:
            return f"{max(1, round(seconds / unit_s))} {unit}"
    return f"{count(round(seconds / 86_400))} days"


def short(text: str) -> str:
    """At most `LONGEST_TEXT` characters, so that no single reason makes the page too long to read."""
    return text if len(text) <= LONGEST_TEXT else text[: LONGEST_TEXT - 1] + "…"


@cache
def _template() -> Template:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("backend"),
        undefined=StrictUndefined,
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    for filter_ in (about, ago, count, counted, duration, rate, rough, short, size):
        environment.filters[filter_.__name__] = filter_
    return environment.get_template("status.html")
