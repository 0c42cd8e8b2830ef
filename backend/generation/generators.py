"""The models that write: one per `--generator`, or the engine of the settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend.core.rubric import load_rubric
from backend.engines.base import Engine, EngineIdentity
from backend.engines.factory import make_engine
from backend.errors import EngineError, SettingsError
from backend.generation.candidates import Kind
from backend.settings import Settings

MakeEngine = Callable[[Settings], Engine]

_WITHOUT_MODEL = ("demo", "scripted")
"""Engines that are chosen by their own name and take no model."""


@dataclass(frozen=True, slots=True)
class Generator:
    """A model that writes, and how it is asked; nothing is loaded yet."""

    name: str
    """As tasks record it: the model's id on the Hub, else the name of its folder or engine."""
    settings: Settings
    identity: EngineIdentity
    request: str
    max_pixels: int | None
    """Largest area of an image as the model sees it; None is the engine's own."""
    make: MakeEngine

    def engine(self) -> Engine:
        """A new engine; nothing is loaded yet."""
        return self.make(self.settings)


def chosen_generators(
    settings: Settings, models: Sequence[str], kind: Kind, make: MakeEngine = make_engine
) -> tuple[Generator, ...]:
    """One per model, each once; without models the engine of the settings.

    A model is an id or a folder, or `demo` for the embedded one. Raises EngineError for an engine whose rubric has no
    wording for this kind, and SettingsError for two models that tasks could not tell apart.
    """
    each = [_settings_of(settings, model) for model in dict.fromkeys(models)] or [settings]
    found = tuple(_generator(chosen, kind, make) for chosen in each)
    names = [generator.name for generator in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise SettingsError(f"two of the generators are called {twice}; rename one's folder, or leave it out")
    return found


def _settings_of(settings: Settings, model: str) -> Settings:
    if model in _WITHOUT_MODEL:
        return settings.model_copy(update={"engine": model})
    engine = "local" if settings.engine in _WITHOUT_MODEL else settings.engine
    return settings.model_copy(update={"engine": engine, "model": model})


def _generator(settings: Settings, kind: Kind, make: MakeEngine) -> Generator:
    engine = make(settings)
    rubric = load_rubric(settings.rubric) if settings.rubric else engine.default_rubric
    request: str | None = getattr(rubric.requests, kind)
    if request is None:
        raise EngineError(
            f"the engine {engine.identity.name} cannot be asked for {kind}: the rubric {rubric.name} has no "
            f"requests.{kind}; choose another --generator or --kind, or a --rubric that has it"
        )
    return Generator(_name(settings, engine.identity), settings, engine.identity, request, rubric.max_pixels, make)


def _name(settings: Settings, identity: EngineIdentity) -> str:
    is_id = settings.model.rsplit("/", 1)[-1] == identity.name and not Path(settings.model).exists()
    return settings.model if is_id else identity.name
