"""Makes the engine that the settings ask for."""

from __future__ import annotations

from backend.core.choices import EngineName
from backend.engines.base import Engine
from backend.errors import SettingsError
from backend.settings import Settings, variable_of

_HEEDED_BY: dict[str, tuple[EngineName, ...]] = {
    "model": ("local", "remote"),
    "max_pixels": ("local", "remote"),
    "revision": ("local",),
    "device": ("local",),
    "compile": ("local",),
    "servers": ("remote",),
    "api_key": ("remote",),
    "dialect": ("remote",),
    "concurrency": ("remote",),
    "request_deadline_s": ("remote",),
}
"""Settings that not every engine heeds; the first engine is the one to go for."""
_WHY_NOT: dict[EngineName, str] = {
    "demo": "the demo engine has a judge of its own",
    "scripted": "the scripted engine has a judge of its own",
    "local": "the local engine runs the model itself",
    "remote": "the remote engine leaves that to the servers",
}


def make_engine(settings: Settings) -> Engine:
    """The engine by its name; nothing is loaded yet. Raises SettingsError for a setting that it would not heed."""
    _refuse_unheeded(settings)
    if settings.engine == "scripted":
        from backend.engines.scripted import ScriptedEngine

        return ScriptedEngine(remembered=0)
    if settings.engine == "demo":
        from backend.engines.demo.engine import demo_engine

        return demo_engine()
    if settings.engine == "remote":
        return _remote_engine(settings)
    from backend.engines.local import LocalEngine

    return LocalEngine(
        settings.model,
        revision=settings.revision,
        max_pixels=settings.max_pixels,
        device=settings.device,
        compiled=settings.compile,
    )


def _remote_engine(settings: Settings) -> Engine:
    from backend.engines.remote.engine import RemoteEngine
    from backend.engines.remote.servers import Policy

    return RemoteEngine(
        settings.servers,
        settings.model,
        api_key=settings.api_key,
        dialect=settings.dialect,
        max_pixels=settings.max_pixels,
        policy=Policy(concurrency=settings.concurrency, deadline_s=settings.request_deadline_s),
    )


def _refuse_unheeded(settings: Settings) -> None:
    given = [name for name in _HEEDED_BY if name in settings.model_fields_set]
    for heeding in dict.fromkeys(_HEEDED_BY[name][0] for name in given):
        names = [name for name in given if _HEEDED_BY[name][0] == heeding and settings.engine not in _HEEDED_BY[name]]
        if names:
            options = ", ".join(_as_known(name) for name in names)
            way_out = f"add --engine {heeding}, or leave it out"
            raise SettingsError(f"{options}: {_WHY_NOT[settings.engine]}; {way_out}")


def _as_known(name: str) -> str:
    """A setting as a person knows it."""
    return "--model (VLM_JUDGE_MODEL)" if name == "model" else variable_of(name)
