"""Runs the checks in order, each with what the ones before it found."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from backend.core.judging import Judging
from backend.doctor.backend_here import BACKEND, ask_backend
from backend.doctor.connection import CONNECTION, REACH, Wiring, check_connections, check_reach
from backend.doctor.findings import Checking, Finding, Lacking, after, both
from backend.doctor.images import IMAGES, check_images
from backend.doctor.label_studio import ADDRESS, TOKEN, SignedIn, find_label_studio, sign_in
from backend.doctor.model import LOAD, check_model
from backend.doctor.project import CONFIG, PROJECT, VERSION, check_label_config, check_model_version, open_project
from backend.doctor.setting_up import assemble, check_store, read_settings
from backend.doctor.timing import LATE, TIME, check_time, check_write_back, grey_task
from backend.service import JudgeService
from backend.settings import Settings
from backend.studio_types import Project, StudioTask

NO_PROJECT = Lacking("no --project was given")
NO_BACKEND = Lacking("no --backend was given")


@dataclass(frozen=True, slots=True)
class Orders:
    """What the doctor is asked to look at."""

    project: int | None = None
    backend: str | None = None
    """Address of a backend, as Label Studio sees it."""
    load: bool = True
    """Whether the model is loaded, which may take minutes and a download."""
    engine_options: Mapping[str, object] = field(default_factory=dict)
    """Settings by name; those that are None count as not given."""

    @property
    def typed(self) -> str:
        """The engine's options as they are typed, with a space in front; empty for none."""
        given = ((name, value) for name, value in self.engine_options.items() if value is not None)
        return "".join(f" --{name.replace('_', '-')} {shlex.quote(str(value))}" for name, value in given)


@dataclass(frozen=True, slots=True)
class _Place:
    """Label Studio as far as it could be entered."""

    signed: SignedIn | Lacking
    project: Project | Lacking
    judging: Judging | Lacking


def examine(orders: Orders) -> Iterator[Finding]:
    """Every check's findings, as they come; what can be wrong is a finding, what is raised is a defect."""
    settings = yield from read_settings(orders.engine_options)
    store = yield from after("store", settings, check_store)
    service = yield from after("judge", both(settings, store), lambda known: assemble(known[0]))
    try:
        place = yield from _enter(orders, settings, service)
        yield from _check_backends(orders, settings, place)
        task = yield from _check_images(settings, place)
        yield from _check_judge(orders, settings, service, place, task)
    finally:
        if isinstance(service, JudgeService):
            service.close()


def _enter(orders: Orders, settings: Settings | Lacking, service: JudgeService | Lacking) -> Checking[_Place]:
    is_needed = orders.project is not None
    url = yield from after(ADDRESS, settings, lambda known: find_label_studio(known, is_needed=is_needed))
    signed = yield from after(TOKEN, both(settings, url), lambda known: sign_in(*known, is_needed=is_needed))
    number = NO_PROJECT if orders.project is None else orders.project
    project = yield from after(PROJECT, both(number, signed), lambda known: open_project(known[1], known[0]))
    judging = yield from after(CONFIG, both(project, service), lambda known: check_label_config(*known))
    yield from after(VERSION, both(project, judging), lambda known: check_model_version(*known, orders.typed))
    return _Place(signed, project, judging)


def _check_backends(orders: Orders, settings: Settings | Lacking, place: _Place) -> Checking[None]:
    project = None if isinstance(place.project, Lacking) else place.project
    fingerprint = None if isinstance(place.judging, Lacking) else place.judging.fingerprint
    yield from after(
        CONNECTION,
        both(both(settings, place.signed), place.project),
        lambda known: check_connections(Wiring(*known[0], known[1], fingerprint), orders.backend),
    )
    backend = orders.backend or NO_BACKEND
    reached = yield from after(
        REACH, both(backend, place.signed), lambda known: check_reach(known[1], project, known[0])
    )
    yield from after(BACKEND, both(settings, backend), lambda known: ask_backend(*known, is_reached=reached is True))


def _check_images(settings: Settings | Lacking, place: _Place) -> Checking[StudioTask | Lacking]:
    needed = both(both(settings, place.signed), both(place.project, place.judging))
    return (yield from after(IMAGES, needed, lambda known: check_images(*known[0], *known[1])))


def _check_judge(
    orders: Orders,
    settings: Settings | Lacking,
    service: JudgeService | Lacking,
    place: _Place,
    task: StudioTask | Lacking,
) -> Checking[None]:
    known = both(settings, service)
    engine = yield from after(LOAD, known, lambda both_: check_model(*both_, load=orders.load))
    yield from after(TIME, both(known, engine), lambda all_: _time(orders, *all_[0], place, task))
    yield from after(LATE, settings, lambda known: check_write_back(known, place.signed))


def _time(
    orders: Orders, settings: Settings, service: JudgeService, place: _Place, task: StudioTask | Lacking
) -> Checking[None]:
    if isinstance(task, Lacking) or isinstance(place.judging, Lacking):
        config, sample = grey_task()
    else:
        config, sample = place.judging.config, {"id": task.id, "data": task.data}
    yield from check_time(service, config, sample, settings.predict_deadline_s, orders.project)
