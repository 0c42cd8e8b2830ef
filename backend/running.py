"""A backend as it runs: its parts, and how they stand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

from backend.admission import Admission
from backend.assemble import make_service, make_studio
from backend.core.judging import Judging
from backend.delivery import Delivery
from backend.errors import StoreError
from backend.service import JudgeService
from backend.settings import Settings
from backend.status import DeliveryStatus, EngineState, ProjectStatus, StatusView, memory, shown_store
from backend.vitals import VitalSigns
from backend.worker import Worker

REQUESTS = 48
"""Prediction requests at a time; the server has more threads than that, so that it always answers `/health`."""

PROJECTS = 200
"""Those asked for last are shown on the status page."""

NOT_SET_UP = (
    "LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY are not set: what is not judged by the deadline of its request has to "
    "be asked for again"
)


@dataclass(slots=True)
class Running:
    """Everything that answers requests."""

    settings: Settings
    service: JudgeService
    worker: Worker
    vitals: VitalSigns
    admission: Admission
    delivery: Delivery | None
    """None where Label Studio's address or key is not set."""
    draining: threading.Event = field(default_factory=threading.Event)
    """Set when the process is to end: requests are answered with what there is."""
    _judgings: dict[str, Judging] = field(default_factory=dict)
    """By project, as it was asked for last."""
    _idle_at: int = 0
    """How many samples had been judged when nothing was left."""

    def start(self) -> None:
        """Start the threads."""
        self.worker.start()
        if self.delivery is not None:
            self.delivery.start()

    def drain(self) -> None:
        """Let open requests be answered with what there is; what is late stays owed."""
        self.draining.set()

    def stop(self) -> None:
        """Finish the batch at hand, write what is judged, and let go of everything."""
        self.draining.set()
        if self.delivery is not None:
            self.delivery.stop()
        self.worker.stop()
        self.service.close()

    def saw(self, project: str, judging: Judging) -> None:
        """A project was asked for; it is shown on the status page, if it has a name."""
        if not project:
            return
        self._judgings.pop(project, None)
        self._judgings[project] = judging
        for name in list(self._judgings)[:-PROJECTS]:
            self._judgings.pop(name, None)

    def view(self) -> StatusView:
        """How all stands now."""
        vitals = self.vitals.snapshot()
        owed, delivery, warnings = self._owed()
        identity = self.service.engine.identity
        view = StatusView(
            vitals=vitals,
            judge=self.service.name,
            engine=self.settings.engine,
            model=self.settings.model if self.settings.engine in ("local", "remote") else identity.name,
            engine_state=self._engine_state(),
            engine_detail=self.worker.failure,
            waiting=self.worker.waiting,
            waiting_bytes=self.worker.waiting_bytes,
            done=vitals.judged - self._idle_at,
            batch_size=self.worker.batch_size,
            requests_open=self.admission.requests,
            projects=self._projects(owed),
            delivery=delivery,
            memory=memory(),
            store=shown_store(self.settings.store),
            version=_version(),
            warnings=warnings,
        )
        if not view.left:
            self._idle_at = vitals.judged
        return view

    def _engine_state(self) -> EngineState:
        if self.worker.failure is not None:
            return "failed"
        return "ready" if self.worker.ready else "loading"

    def _owed(self) -> tuple[dict[str, int], DeliveryStatus, tuple[str, ...]]:
        """What is owed by project, how its delivery stands, and what is wrong with the store."""
        problem = self.service.store_problem
        warnings = (f"Verdicts are not kept and will be judged again: {problem}",) if problem else ()
        if self.delivery is None:
            return {}, DeliveryStatus("off", NOT_SET_UP), warnings
        try:
            stands = self.delivery.state()
        except StoreError as exc:
            return {}, DeliveryStatus("waiting", str(exc)), (*warnings, f"The store cannot be read: {exc}")
        return dict(stands.owed), DeliveryStatus(stands.state, stands.detail), warnings

    def _projects(self, owed: dict[str, int]) -> tuple[ProjectStatus, ...]:
        judgings = dict(self._judgings)
        names: Sequence[str] = [*sorted(owed, key=lambda uid: -owed[uid]), *reversed(judgings)]
        return tuple(_project(uid, judgings.get(uid), owed.get(uid, 0)) for uid in dict.fromkeys(names))


def make_running(settings: Settings, on_dead: Callable[[], None] = lambda: None) -> Running:
    """A backend as the settings say; nothing is started yet. Raises VlmJudgeError.

    `on_dead` is called when the engine can never answer again in this process.
    """
    vitals = VitalSigns()
    service = make_service(settings)
    worker = Worker(service, settings.batch_size, vitals, on_dead=on_dead)
    delivery = None
    if settings.label_studio_url and settings.label_studio_api_key:
        delivery = Delivery(lambda: make_studio(settings), service, worker, vitals)
    admission = Admission(settings.queue_limit, REQUESTS, lambda: vitals.snapshot().rate)
    return Running(settings, service, worker, vitals, admission, delivery)


def _project(uid: str, judging: Judging | None, owed: int) -> ProjectStatus:
    number = uid.partition(".")[0] or "-"
    if judging is None:
        return ProjectStatus(number, "", "", owed, ())
    unfilled = tuple((entry.control, entry.reason) for entry in judging.form.unfilled)
    return ProjectStatus(number, "", judging.fingerprint, owed, unfilled)


def _version() -> str:
    try:
        return version("vlm-judge-label-studio")
    except PackageNotFoundError:
        return "unknown"
