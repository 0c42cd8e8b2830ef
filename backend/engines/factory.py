"""Makes the engine that the settings ask for."""

from __future__ import annotations

from backend.engines.base import Engine
from backend.errors import SettingsError
from backend.settings import Settings, variable_of

_LOCAL_ONLY = {
    "model": "--model (VLM_JUDGE_MODEL)",
    **{name: variable_of(name) for name in ("revision", "max_pixels", "device")},
}
"""Settings that only the local engine heeds, as a person knows them."""


def make_engine(settings: Settings) -> Engine:
    """The engine by its name; nothing is loaded yet. Raises SettingsError for a setting that it would not heed."""
    _refuse_unheeded(settings)
    if settings.engine == "scripted":
        from backend.engines.scripted import ScriptedEngine

        return ScriptedEngine()
    if settings.engine == "demo":
        from backend.engines.demo.engine import demo_engine

        return demo_engine()
    from backend.engines.local import LocalEngine

    return LocalEngine(
        settings.model, revision=settings.revision, max_pixels=settings.max_pixels, device=settings.device
    )


def _refuse_unheeded(settings: Settings) -> None:
    given = [option for name, option in _LOCAL_ONLY.items() if name in settings.model_fields_set]
    if settings.engine != "local" and given:
        own = f"the {settings.engine} engine has a judge of its own"
        raise SettingsError(f"{', '.join(given)}: {own}; add --engine local, or leave it out")
