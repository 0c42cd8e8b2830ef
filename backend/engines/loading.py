"""A model with its tokenizer and image processor, from a folder or from the hub.

Tokenizer and image processor are loaded apart rather than by AutoProcessor: that one wants a video processor, which
wants torchvision, of which there is no build for every machine. What a processor would do, repeating each image
placeholder as often as the image's patches ask for, is done in `encoding`, and a test holds it against the plain road.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, Literal

from backend.engines.backbones import Backbone, find_backbone
from backend.engines.faults import as_engine_error, is_out_of_memory
from backend.engines.pixels import Patching, patching_of
from backend.errors import EngineError
from backend.hub_faults import hub_fault

_OLDEST_TRANSFORMERS = (5, 5, 4)
"""Earlier ones place the tokens of Qwen2.5-VL's images wrongly, or do not know `mm_token_type_ids`."""

BIGGER = "choose a smaller model (VLM_JUDGE_MODEL), or a device with more memory (VLM_JUDGE_DEVICE)"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """All that is needed to run one model; the three objects are transformers' own."""

    source: str
    """Its folder, or its name on the hub."""
    model: Any
    tokenizer: Any
    image_processor: Any
    backbone: Backbone
    device: Literal["cuda", "cpu"]
    """Where inputs go."""

    @property
    def image_token_id(self) -> int:
        """The token that stands where an image's features go."""
        return int(self.model.config.image_token_id)

    @property
    def patching(self) -> Patching:
        """How its images are prepared."""
        return patching_of(self.image_processor)

    @property
    def vocabulary(self) -> int:
        """How many tokens the model gives a logit for."""
        return int(self.model.get_output_embeddings().weight.shape[0])


def load_model(
    source: str, *, revision: str | None, max_pixels: int | None, device: Literal["cuda", "cpu"]
) -> LoadedModel:
    """Load all three parts; `max_pixels` caps the image area, None keeps the processor's own. Raises EngineError."""
    _refuse_missing()
    refuse_broken_transformers(version_of("transformers"))
    import torch
    from safetensors import SafetensorError
    from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer, PreTrainedConfig

    _draw_no_bars_into_a_log()
    _refuse_unusable(device)
    config_class: Any = PreTrainedConfig
    processor_class: Any = AutoImageProcessor
    model_class: Any = AutoModelForImageTextToText
    try:
        config, _ = config_class.get_config_dict(source, revision=revision)
        if not config:
            raise EngineError(f"cannot load the model {source}: there is no config.json")
        backbone = find_backbone(str(config.get("model_type")), source)
        tokenizer = AutoTokenizer.from_pretrained(source, revision=revision)
        image_processor = processor_class.from_pretrained(source, revision=revision)
        model = model_class.from_pretrained(
            source,
            revision=revision,
            dtype=torch.bfloat16 if device == "cuda" else torch.float32,
            attn_implementation="sdpa",
            device_map="auto" if device == "cuda" and torch.cuda.device_count() > 1 else device,
        )
    except (
        *(OSError, ValueError, ImportError, KeyError, RuntimeError, MemoryError),
        *(SafetensorError, hub_fault()),
    ) as exc:
        raise as_engine_error(exc, f"cannot load the model {source}", BIGGER if is_out_of_memory(exc) else "") from exc
    if max_pixels is not None:
        smallest = min(int(dict(image_processor.size)["shortest_edge"]), max_pixels)
        image_processor.size = {"shortest_edge": smallest, "longest_edge": max_pixels}
    _forget_generation_habits(model, tokenizer)
    return LoadedModel(source, model.eval(), tokenizer, image_processor, backbone, device)


def _refuse_missing() -> None:
    missing = [name for name in ("torch", "transformers", "accelerate") if find_spec(name) is None]
    if missing:
        raise EngineError(
            f"a judge that runs here needs {', '.join(missing)}; run: pip install 'vlm-judge-label-studio[local]', or "
            "name servers that run it with --engine remote and VLM_JUDGE_SERVERS"
        )


def _refuse_unusable(device: Literal["cuda", "cpu"]) -> None:
    import torch

    if device == "cuda" and not torch.cuda.is_available():
        raise EngineError(
            "a GPU is there but this torch cannot use it; install torch for CUDA or set VLM_JUDGE_DEVICE=cpu"
        )


def _draw_no_bars_into_a_log() -> None:
    """Transformers shows how far it is also where nobody looks."""
    from transformers.utils.logging import disable_progress_bar

    if not sys.stderr.isatty():
        disable_progress_bar()  # type: ignore[no-untyped-call]


def _forget_generation_habits(model: Any, tokenizer: Any) -> None:
    """Checkpoints come with penalties and samplers for chatting, which transformers adds to whatever it is told."""
    from transformers import GenerationConfig

    config_class: Any = GenerationConfig
    model.generation_config = config_class(
        do_sample=False, pad_token_id=tokenizer.pad_token_id, eos_token_id=tokenizer.eos_token_id
    )


def refuse_broken_transformers(installed: str) -> None:
    """Raise EngineError for a transformers version that computes wrong positions for Qwen2.5-VL."""
    parts = tuple(int(part) for part in installed.split(".")[:3] if part.isdigit())
    if parts < _OLDEST_TRANSFORMERS:
        oldest = ".".join(str(part) for part in _OLDEST_TRANSFORMERS)
        raise EngineError(f"transformers {installed} places image tokens wrongly; install {oldest} or newer")


def version_of(package: str) -> str:
    """The installed version, or `none`."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"
