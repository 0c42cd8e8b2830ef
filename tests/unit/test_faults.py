"""Errors as torch, CUDA, numpy and Python raise or word them, told apart."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from typing import Any

import pytest

from backend.engines.faults import as_engine_error, is_gpu_fault, is_gpu_lost, is_out_of_memory, let_go, told
from backend.errors import EngineDead, EngineError

ADVICE = """
CUDA kernel errors might be asynchronously reported at some other API call, so the stacktrace below might be incorrect.
For debugging consider passing CUDA_LAUNCH_BLOCKING=1
Compile with `TORCH_USE_CUDA_DSA` to enable device-side assertions.
"""
"""What torch puts behind every CUDA error, whatever it is about."""

TOO_MUCH = 2**60
"""Bytes that no machine has."""


def no_tensor() -> object:
    import torch

    return torch.empty(TOO_MUCH, dtype=torch.uint8)


def no_array() -> object:
    import numpy as np

    return np.empty(TOO_MUCH, dtype=np.uint8)


def no_bytes() -> object:
    return bytearray(TOO_MUCH)


@pytest.mark.parametrize("allocate", [no_tensor, no_array, no_bytes])
def test_memory_that_really_runs_out_is_known_as_such(allocate: Callable[[], object]) -> None:
    with pytest.raises((RuntimeError, MemoryError)) as caught:
        allocate()
    assert is_out_of_memory(caught.value)
    assert not is_gpu_fault(caught.value)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (
            "OutOfMemoryError",
            "CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79.10 GiB of which 14.75 "
            "MiB is free.",
        ),
        ("AcceleratorError", f"CUDA error: out of memory{ADVICE}"),
        ("RuntimeError", "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        ("RuntimeError", "cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        ("RuntimeError", "CUDA driver error: out of memory"),
        (
            "RuntimeError",
            "[enforce fail at alloc_cpu.cpp:127] data. DefaultCPUAllocator: not enough memory: you tried to allocate "
            "8589934592 bytes.",
        ),
        ("RuntimeError", "std::bad_alloc"),
    ],
)
def test_memory_that_ran_out_in_torchs_words(kind: str, message: str) -> None:
    exc = error(kind, message)
    assert is_out_of_memory(exc)
    assert not is_gpu_fault(exc)
    assert not isinstance(as_engine_error(exc, "x"), EngineDead)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("AcceleratorError", "CUDA error: device-side assert triggered"),
        ("AcceleratorError", "CUDA error: an illegal memory access was encountered"),
        ("AcceleratorError", "CUDA error: unspecified launch failure"),
        ("AcceleratorError", "CUDA error: misaligned address"),
        ("AcceleratorError", "CUDA error: uncorrectable ECC error encountered"),
        ("RuntimeError", "CUDA error: device-side assert triggered"),
        ("RuntimeError", "CUDA error: CUBLAS_STATUS_EXECUTION_FAILED when calling `cublasGemmEx( handle, opa, opb)`"),
        ("RuntimeError", "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"),
        ("RuntimeError", "Triton Error [CUDA]: an illegal memory access was encountered"),
    ],
)
def test_a_gpu_that_is_lost_is_dead(kind: str, said: str) -> None:
    with pytest.raises(EngineDead) as caught, told("on 3 samples"):
        raise error(kind, said + ADVICE)
    assert str(caught.value) == (
        f"the model failed on 3 samples: {said}; the GPU is lost to this process, which has to be started anew"
    )


@pytest.mark.parametrize(
    ("kind", "said", "of_the_gpu"),
    [
        ("AcceleratorError", "CUDA error: no kernel image is available for execution on the device", True),
        ("AcceleratorError", "CUDA error: invalid argument", True),
        ("RuntimeError", "CUDA error: CUBLAS_STATUS_NOT_SUPPORTED when calling `cublasLtMatmulAlgoGetHeuristic`", True),
        ("RuntimeError", "cuDNN error: CUDNN_STATUS_BAD_PARAM", True),
        ("RuntimeError", "mat1 and mat2 shapes cannot be multiplied (3x4 and 5x6)", False),
        ("RuntimeError", "Image features and image tokens do not match: tokens: 22, features: 20", False),
    ],
)
def test_other_errors_leave_the_engine_alive(kind: str, said: str, of_the_gpu: bool) -> None:
    exc = error(kind, said + ADVICE)
    assert is_gpu_fault(exc) == of_the_gpu
    assert not is_gpu_lost(exc)
    with pytest.raises(EngineError) as caught, told("on 3 samples"):
        raise exc
    assert type(caught.value) is EngineError
    assert str(caught.value) == f"the model failed on 3 samples: {said}"
    assert caught.value.__cause__ is exc


def test_a_remedy_stands_behind_what_it_mends() -> None:
    exc = RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore")
    assert str(as_engine_error(exc, "m cannot be run", "install another torch")) == (
        "m cannot be run: CUDA error: no kernel image is available for execution on the device; install another torch"
    )


def test_what_is_not_torchs_passes_through() -> None:
    with pytest.raises(KeyError), told("on 3 samples"):
        raise KeyError("a defect")


def test_an_error_let_go_of_holds_nothing_of_the_work_that_failed() -> None:
    """Neither by its own frames, nor by those of the error behind it, nor by a cycle; and it can still be shown.

    The error that was being handled before keeps what it has.
    """
    import torch

    dead: list[weakref.ref[Any]] = []

    def fail() -> None:
        tensor, cycle = torch.ones(3), [torch.ones(4)]
        cycle.append(cycle)  # type: ignore[arg-type]
        dead.extend((weakref.ref(tensor), weakref.ref(cycle[0])))
        raise RuntimeError("inner")

    def fail_further() -> None:
        tensor = torch.ones(5)
        dead.append(weakref.ref(tensor))
        try:
            fail()
        except RuntimeError as exc:
            raise MemoryError("outer") from exc

    def fail_before() -> None:
        tensor = torch.ones(6)
        dead.append(weakref.ref(tensor))
        raise KeyError("before")

    gc.disable()
    try:
        try:
            fail_before()
        except KeyError as before:
            with pytest.raises(MemoryError) as caught:
                fail_further()
            assert [ref() is None for ref in dead] == [False] * 4
            let_go(caught.value, outside=before)
            assert [ref() is None for ref in dead] == [False, True, True, True]
    finally:
        gc.enable()
    assert caught.traceback[-1].name == "fail_further"
    assert str(caught.value.__cause__) == "inner"


def error(kind: str, message: str) -> RuntimeError:
    import torch

    made: RuntimeError = {**vars(torch), "RuntimeError": RuntimeError}[kind](message)
    return made
