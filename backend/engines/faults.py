"""What torch raises, told apart: memory that ran out, a GPU that is lost to the process, and all else."""

from __future__ import annotations

import gc
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from backend.errors import EngineDead, EngineError

_NO_MEMORY = (
    "out of memory",  # CUDA's allocator, and "CUDA error: out of memory" beside it
    "can't allocate memory",  # torch on a CPU
    "not enough memory",  # torch on a CPU, on Windows
    "bad_alloc",
    "status_alloc_failed",  # cuBLAS and cuDNN, which allocate for themselves
)
"""In lower case; of the first line only, as what follows is advice that speaks of other errors too."""

_GPU_FAULTS = ("cuda error", "cuda driver error", "cudnn error", "hip error", "triton error [cuda]")
"""How messages about the GPU begin."""

_SURVIVED = (
    "no kernel image is available",
    "invalid argument",
    "invalid device",
    "invalid configuration",
    "invalid resource handle",
    "too many resources requested",
    "driver version is insufficient",
    "no cuda-capable device",
    "_status_not_supported",
    "_status_invalid_value",
    "_status_bad_param",
    "_status_arch_mismatch",
)
"""Faults of a single call, or of the set-up: the first leave the GPU as it was, and no new process mends the others.

After all others ("illegal memory access", "device-side assert", "unspecified launch failure"), CUDA
answers every call of the process with the same error until the process ends (CUDA Runtime API, cudaError).
"""


def is_out_of_memory(exc: BaseException) -> bool:
    """Whether less work at once may go through: memory of the GPU or of the machine ran out."""
    import torch

    if isinstance(exc, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(exc, RuntimeError) and _says(exc, _NO_MEMORY)


def is_gpu_fault(exc: BaseException) -> bool:
    """Whether the GPU or its driver refused or broke off a call, for another reason than memory."""
    import torch

    if not isinstance(exc, RuntimeError) or is_out_of_memory(exc):
        return False
    accelerator_error: type[RuntimeError] | tuple[()] = getattr(torch, "AcceleratorError", ())  # since torch 2.8
    return isinstance(exc, accelerator_error) or first_line(exc).lower().startswith(_GPU_FAULTS)


def is_gpu_lost(exc: BaseException) -> bool:
    """Whether it is a fault after which this process can do nothing on its GPU any more."""
    return is_gpu_fault(exc) and not _says(exc, _SURVIVED)


def as_engine_error(exc: BaseException, what: str, remedy: str = "") -> EngineError:
    """The error to raise for what torch raised: EngineDead where the GPU is lost.

    `what` says what failed; `remedy` what to do where the GPU is not lost.
    """
    said = first_line(exc)
    if is_gpu_lost(exc):
        return EngineDead(f"{what}: {said}; the GPU is lost to this process, which has to be started anew")
    return EngineError(f"{what}: {said}{'; ' if remedy else ''}{remedy}")


@contextmanager
def told(work: str) -> Iterator[None]:
    """What torch and transformers raise, as an EngineError or EngineDead that holds nothing of the failed work."""
    outside = sys.exception()
    try:
        yield
    except (RuntimeError, MemoryError) as exc:
        let_go(exc, outside)
        raise as_engine_error(exc, f"the model failed {work}") from exc


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its name when it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _says(exc: BaseException, words: tuple[str, ...]) -> bool:
    said = first_line(exc).lower()
    return any(word in said for word in words)


def let_go(exc: BaseException, outside: BaseException | None = None) -> None:
    """Empty the frames of an error and of those behind it: a failed pass's tensors are in them.

    They would live for as long as anybody keeps the error, to log it or while trying again. `outside`
    is the error that was being handled before, and is left alone.
    """
    for error in _chain(exc, outside):
        traceback.clear_frames(error.__traceback__)
    gc.collect()


def make_room(exc: BaseException, outside: BaseException | None = None) -> None:
    """After an error about memory, which is not passed on: free all that the failed work held, and what is kept spare.

    The error loses its frames altogether, as an emptied one still has the variables that closures share.
    """
    import torch

    for error in _chain(exc, outside):
        error.__traceback__ = None
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _chain(exc: BaseException, outside: BaseException | None) -> list[BaseException]:
    """An error and those that it came from."""
    found: list[BaseException] = []
    errors: list[BaseException | None] = [exc]
    while errors:
        error = errors.pop()
        if error is not None and error is not outside and error not in found:
            found.append(error)
            errors += [error.__cause__, error.__context__]
    return found
