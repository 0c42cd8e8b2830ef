"""Makes the engine that the settings ask for."""

from __future__ import annotations

from backend.engines.base import Engine
from backend.settings import Settings


def make_engine(settings: Settings) -> Engine:
    """The engine by its name; nothing is loaded yet."""
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
