"""Where a model's weights are and how many there are, found out without loading or downloading them."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.errors import EngineError

_INDEX = "model.safetensors.index.json"
_HUB_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Weights:
    """What is known of a model before it is loaded."""

    place: str
    """Where they are, for people."""
    here: bool
    """Whether they are on this machine."""
    parameters: int
    stored_bytes: int
    quantised: bool
    """Whether they stay as they are stored; others are loaded as bfloat16 or float32."""

    def bytes_as(self, dtype: str) -> int:
        """The memory they take when loaded; `dtype` is bfloat16 or float32."""
        return self.stored_bytes if self.quantised else self.parameters * (2 if dtype == "bfloat16" else 4)


def find_weights(model: str, revision: str | None, token: str | None) -> Weights:
    """The weights in a folder, in the cache of the hub, or on the hub. Raises EngineError when there are none."""
    folder = Path(model)
    if folder.is_dir():
        return weights_in(folder, f"in {folder}")
    if model.startswith(("/", ".", "~")) or model.count("/") > 1:
        raise EngineError(f"there is no folder {model}; correct --model (VLM_JUDGE_MODEL)")
    return _cached(model, revision) or _on_hub(model, revision, token)


def weights_in(folder: Path, place: str) -> Weights:
    """The weights in a folder. Raises EngineError when some are missing, cut off or damaged."""
    files = _files(folder)
    missing = [file.name for file in files if not file.is_file()]
    if missing or not files:
        what = f"{len(missing)} of {len(files)} weight files, such as {missing[0]}" if missing else "*.safetensors"
        raise EngineError(f"{folder} lacks {what}; copy or download the model again")
    return Weights(
        place,
        True,
        sum(_parameters(file) for file in files),
        sum(file.stat().st_size for file in files),
        "quantization_config" in _json(folder / "config.json"),
    )


def _files(folder: Path) -> tuple[Path, ...]:
    index = folder / _INDEX
    if index.is_file():
        return tuple(folder / name for name in sorted(set(_json(index).get("weight_map", {}).values())))
    return tuple(sorted(folder.glob("*.safetensors")))


def _json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise EngineError(f"cannot read {file} ({_said(exc)}); copy or download the model again") from exc
    return content if isinstance(content, dict) else {}


def _parameters(file: Path) -> int:
    """How many weights a safetensors file holds, by its header: 8 bytes of length, then JSON. Raises EngineError."""
    try:
        with file.open("rb") as opened:
            (length,) = struct.unpack("<Q", opened.read(8))
            if length > file.stat().st_size:
                raise ValueError("it is a Git LFS pointer or no safetensors file")
            tensors = [item for name, item in json.loads(opened.read(length)).items() if name != "__metadata__"]
        if 8 + length + max(int(item["data_offsets"][1]) for item in tensors) != file.stat().st_size:
            raise ValueError("it is cut off")
        return sum(math.prod(item["shape"]) for item in tensors)
    except (OSError, ValueError, KeyError, TypeError, struct.error) as exc:
        raise EngineError(f"{file} is damaged ({_said(exc)}); copy or download the model again") from exc


def _said(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _cached(model: str, revision: str | None) -> Weights | None:
    """The weights in the hub's cache on this machine; None when not all of them are there."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(model, "config.json", revision=revision)
    except HFValidationError as exc:
        raise EngineError(f"{model} is no name of a model; correct --model (VLM_JUDGE_MODEL)") from exc
    if not isinstance(config, str):
        return None
    try:
        return weights_in(Path(config).parent, "in the cache of this machine")
    except EngineError:
        return None


def _on_hub(model: str, revision: str | None, token: str | None) -> Weights:
    import huggingface_hub.errors
    from huggingface_hub import HfApi
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    errors: Any = huggingface_hub.errors  # the hub's HTTP library differs by its version; its errors are here
    try:
        info: Any = HfApi(token=token).model_info(model, revision=revision, files_metadata=True, timeout=_HUB_TIMEOUT_S)
    except GatedRepoError as exc:
        raise EngineError(
            f"{model} is only for those who accept its terms; accept them on its page, and export HF_TOKEN"
        ) from exc
    except RevisionNotFoundError as exc:
        raise EngineError(f"{model} has no revision {revision}; correct VLM_JUDGE_REVISION") from exc
    except RepositoryNotFoundError as exc:
        raise EngineError(
            f"there is no model {model} on the hub, or it is private; correct --model (VLM_JUDGE_MODEL), or export "
            "HF_TOKEN"
        ) from exc
    except (errors.HTTPError, OSError) as exc:
        raise EngineError(
            f"{model} is not on this machine, and the hub cannot be asked ({_said(exc)}); download it where there "
            f"is a network, by `hf download {model} --local-dir FOLDER`, and give the folder as --model"
        ) from exc
    return _weights_of(info.safetensors, info.siblings or (), info.config or {}, model)


def _weights_of(safetensors: Any, siblings: Iterable[Any], config: dict[str, Any], model: str) -> Weights:
    stored = sum(item.size or 0 for item in siblings if item.rfilename.endswith(".safetensors"))
    if not stored:
        raise EngineError(f"{model} has no safetensors weights on the hub; choose a model that has")
    parameters = int(safetensors.total) if safetensors else stored // 2
    return Weights("on the hub, not yet on this machine", False, parameters, stored, "quantization_config" in config)
