"""Puts the parts together as the settings say."""

from __future__ import annotations

from backend.core.case import JudgeOptions
from backend.core.rubric import load_rubric
from backend.engines.factory import make_engine
from backend.errors import SettingsError
from backend.example_files import examples_of
from backend.images import ImageLoader
from backend.service import JudgeService
from backend.settings import NO_LABEL_STUDIO, Settings
from backend.store import Store
from backend.studio import Studio


def make_service(settings: Settings) -> JudgeService:
    """The judge; no model is loaded yet."""
    rubric = load_rubric(settings.rubric) if settings.rubric else None
    options = JudgeOptions(settings.explain, settings.reliance, examples_of(settings))
    return JudgeService(make_engine(settings), ImageLoader(settings), Store(settings.store), rubric, options)


def make_studio(settings: Settings) -> Studio:
    """The Label Studio of the settings. Raises SettingsError when its address or key is not set."""
    if not settings.label_studio_url or settings.label_studio_api_key is None:
        raise SettingsError(NO_LABEL_STUDIO)
    return Studio(settings.label_studio_url, settings.label_studio_api_key.get_secret_value())
