"""The checks of what is on this machine before anybody is asked: settings, store, disk, and the judge they make."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from backend.assemble import make_service
from backend.doctor.findings import Checking, Finding, Lacking, State, failed, parted
from backend.errors import RubricError, SettingsError, StoreError
from backend.service import JudgeService
from backend.settings import Settings, load_settings
from backend.store import Store

LITTLE_DISK_BYTES = 10**9
NO_DISK_BYTES = 10**8
_KNOWN, _MEANT = "; known are ", "; did you mean "


def read_settings(options: Mapping[str, object]) -> Checking[Settings | Lacking]:
    """Whether the environment and these options make settings."""
    try:
        settings = load_settings(**options)
    except SettingsError as exc:
        yield Finding("settings", "failed", *_wrong_setting(exc))
        return failed("settings")
    given = len(settings.model_fields_set)
    yield Finding("settings", "ok", f"readable; {given} given, the others have their defaults")
    return settings


def check_store(settings: Settings) -> Checking[str | Lacking]:
    """Whether verdicts can be kept, and for how long the disk will do; where they are kept, without a password."""
    try:
        store = Store(settings.store)
    except (SettingsError, StoreError) as exc:
        yield Finding("store", "failed", *parted(exc, "name another place with VLM_JUDGE_STORE"))
        return failed("store")
    store.close()
    yield Finding("store", "ok", f"verdicts are kept in {store.shown}")
    if "://" not in settings.store:
        folder = Path(settings.store).absolute().parent
        yield disk_finding(shutil.disk_usage(folder).free, folder)
    return store.shown


def disk_finding(free_bytes: int, folder: Path) -> Finding:
    """Whether the disk of a SQLite store has room."""
    state: State = "failed" if free_bytes < NO_DISK_BYTES else "warning" if free_bytes < LITTLE_DISK_BYTES else "ok"
    detail = f"{size(free_bytes)} free where the store lies ({folder})"
    return Finding(
        "disk", state, detail, "" if state == "ok" else "make room there, or name another place with VLM_JUDGE_STORE"
    )


def assemble(settings: Settings) -> Checking[JudgeService | Lacking]:
    """Whether the settings fit together and the rubric can be read; nothing is loaded yet."""
    try:
        service = make_service(settings)
    except (SettingsError, RubricError, StoreError) as exc:
        yield Finding("judge", "failed", *parted(exc, "see `vlm-judge rubric list`"))
        return failed("judge")
    rubric = f", rubric {settings.rubric}" if settings.rubric else ""
    yield Finding("judge", "ok", f"engine {settings.engine}, judge {service.name}{rubric}")
    return service


def size(count: int) -> str:
    """Bytes for people, in decimal GB, or MB below one."""
    return f"{count / 1e9:.1f} GB" if count >= 10**9 else f"{count / 1e6:.0f} MB"


def _wrong_setting(error: SettingsError) -> tuple[str, str]:
    """All that is wrong; unlike other messages this one may list several things between semicolons."""
    wrong, unknown, known = str(error).partition(_KNOWN)
    if unknown:
        return wrong, f"unset it or correct its name; known are {known}"
    if _MEANT in wrong:
        wrong, _, meant = wrong.partition(_MEANT)
        return wrong, f"correct its name, perhaps to {meant.removesuffix('?')}, or take it away"
    if wrong.endswith("; set both"):
        return wrong.removesuffix("; set both"), "set both, or unset both"
    return wrong, "correct it, or unset it to have the default"
