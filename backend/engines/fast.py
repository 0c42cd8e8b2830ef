"""Makes a loaded model compute the same faster: other attention, other matrix shapes, layers fused by torch."""

from __future__ import annotations

import logging
import shutil
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.engines import attention, vision
from backend.engines.faults import first_line, is_gpu_lost, is_out_of_memory

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)

_COMPILERS = ("cc", "gcc", "clang")
NOT_FUSED = "the model's layers are not fused, so judging is slower: %s"


def replace_slow_spots(model: Any) -> None:
    """Give a Qwen-VL model our attention, patch embedding and widths, from now on."""
    model.set_attn_implementation({"text_config": attention.register(), "vision_config": vision.register()})
    vision.linear_patch_embedding(model.model.visual)
    vision.pad_widths(model.model.visual)


def can_compile() -> bool:
    """Whether layers can be fused for a GPU; if not, the log says why."""
    import torch

    if torch.cuda.device_count() > 1:
        reason = "the model is spread over several GPUs"
    elif not any(shutil.which(name) for name in _COMPILERS):
        reason = "there is no C compiler; install gcc"
    elif not Path(sysconfig.get_paths()["include"], "Python.h").exists():
        reason = "Python's header files are missing; install python3-dev"
    else:
        return True
    log.warning(NOT_FUSED, reason)
    return False


def compile_layers(model: Any, try_it: Callable[[], torch.Tensor], alike: float) -> None:
    """Have torch fuse what stands between the matrix products of every layer, or leave all as it was.

    `try_it` makes passes and gives their probabilities, shape (answers, vocabulary): it is run before and after. When
    that fails, or an answer differs by more than `alike` in [0, 1], the layers stay as they are and the log says why.
    Raises what `try_it` raises when the GPU is lost or memory ran out.
    """
    import torch

    plain = try_it()
    layers = layers_of(model)
    for layer in layers:
        layer.compile(dynamic=True)
    try:
        apart = float((try_it() - plain).abs().sum(-1).max()) / 2
        reason = "" if apart <= alike else f"answers differ by {apart:.2g}"
    except Exception as exc:  # compilers raise what they like, and everything works without them
        if is_gpu_lost(exc) or is_out_of_memory(exc):
            raise
        reason = f"{type(exc).__name__}: {first_line(exc)}"
    if reason:
        log.warning(NOT_FUSED, reason)
        torch.compiler.reset()
        for layer in layers:
            layer._compiled_call_impl = None


def layers_of(model: Any) -> tuple[Any, ...]:
    """The repeated layers of the language model and of the vision tower."""
    return (*model.model.language_model.layers, *model.model.visual.blocks)
