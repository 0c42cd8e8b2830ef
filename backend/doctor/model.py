"""The checks of the model: whether it is there, fits into memory, and loads."""

from __future__ import annotations

import shutil
import time
from importlib.util import find_spec
from pathlib import Path

from backend.doctor.findings import Checking, Finding, Lacking, failed, parted
from backend.doctor.memory import MEMORY, cpu_finding, gpu_finding, gpu_memory, machine_memory
from backend.doctor.setting_up import size
from backend.doctor.weights import Weights, find_weights
from backend.engines.base import Engine
from backend.errors import EngineError
from backend.service import JudgeService
from backend.settings import Settings

PACKAGES, MODEL, LOAD = "packages", "model", "load"
NOT_LOADED = Lacking("--no-load was given")
_NEEDED = ("torch", "transformers", "accelerate", "llguidance")
_OWN_DATA = "take --engine local or --engine remote for your own data"


def check_model(settings: Settings, service: JudgeService, *, load: bool) -> Checking[Engine | Lacking]:
    """The engine, ready to answer."""
    if settings.engine in ("demo", "local"):
        lacking = tuple(name for name in _NEEDED if find_spec(name) is None)
        if lacking:
            yield packages_finding(lacking)
            return failed(PACKAGES)
    if settings.engine == "local":
        found = yield from _look_at_weights(settings, service, load=load)
        if isinstance(found, Lacking):
            yield Finding(LOAD, "skipped", found.reason)
            return found
    if not load:
        yield Finding(LOAD, "skipped", NOT_LOADED.reason)
        return NOT_LOADED
    return (yield from load_engine(settings, service.engine))


def packages_finding(lacking: tuple[str, ...]) -> Finding:
    """Packages without which no model runs here."""
    detail = f"{', '.join(lacking)} cannot be imported"
    return Finding(PACKAGES, "failed", detail, "pip install 'vlm-judge-label-studio[local]', or take --engine remote")


def load_engine(settings: Settings, engine: Engine) -> Checking[Engine | Lacking]:
    """Load it, which for servers means to ask each what it speaks, and say how long that took."""
    started_s = time.monotonic()
    try:
        engine.load()
    except EngineError as exc:
        yield Finding(LOAD, "failed", *parted(exc, "choose another with --model (VLM_JUDGE_MODEL)"))
        return failed(LOAD)
    took = f"{time.monotonic() - started_s:.1f} s"
    name = engine.identity.name
    if settings.engine == "demo":
        detail = f"the embedded judge loaded in {took}; it knows drawn boards of coloured shapes and nothing else"
        yield Finding(LOAD, "warning", detail, _OWN_DATA)
    elif settings.engine == "scripted":
        yield Finding(LOAD, "warning", "the scripted engine gives canned answers, for tests", _OWN_DATA)
    elif settings.engine == "remote":
        yield Finding(LOAD, "ok", f"{len(settings.servers)} servers named, asked for {name} in {took}")
    else:
        yield Finding(LOAD, "ok", f"{name} loaded in {took} and passed its self-test")
    return engine


def _look_at_weights(settings: Settings, service: JudgeService, *, load: bool) -> Checking[Weights | Lacking]:
    token = settings.hf_token.get_secret_value() if settings.hf_token else None
    try:
        weights = find_weights(settings.model, settings.revision, token)
    except EngineError as exc:
        yield Finding(MODEL, "failed", *parted(exc, "choose another with --model (VLM_JUDGE_MODEL)"))
        return failed(MODEL)
    place = weights_finding(settings.model, weights, _cache_room_bytes(), load=load)
    yield place
    memory = _memory_finding(weights, service.engine.identity.details["dtype"])
    yield memory
    return next((failed(finding.check) for finding in (place, memory) if finding.state == "failed"), weights)


def weights_finding(model: str, weights: Weights, room_bytes: int, *, load: bool) -> Finding:
    """Where the weights are, and whether there is room to download them when they are not here."""
    amount = f"{weights.parameters / 1e9:.2f} billion parameters, {size(weights.stored_bytes)}"
    detail = f"{model}: {amount}, {weights.place}"
    if weights.here:
        return Finding(MODEL, "ok", detail)
    if weights.stored_bytes > room_bytes:
        detail += f", and only {size(room_bytes)} free in the cache"
        return Finding(MODEL, "failed", detail, "make room, or set HF_HOME to a folder on another disk")
    if load:
        return Finding(MODEL, "ok", f"{detail}; it is downloaded now")
    return Finding(MODEL, "warning", f"{detail}; the first start downloads it", f"hf download {model}")


def _memory_finding(weights: Weights, dtype: str) -> Finding:
    if dtype == "float32":  # the engine's precision on a CPU
        return cpu_finding(weights, machine_memory())
    memory = gpu_memory()
    if memory is None:
        detail = "a GPU is there but this torch cannot use it"
        return Finding(MEMORY, "failed", detail, "install torch for CUDA, or set VLM_JUDGE_DEVICE=cpu")
    return gpu_finding(weights, memory)


def _cache_room_bytes() -> int:
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE)
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free
