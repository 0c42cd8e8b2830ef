"""How much memory there is, and whether a model and a pass through it fit in."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from backend.doctor.findings import Finding, State
from backend.doctor.setting_up import size
from backend.doctor.weights import Weights

MEMORY = "memory"
PASS_BYTES = 4 * 10**9
"""What a forward pass of 16,384 tokens through a 7B model takes beside the weights; smaller models take less."""
SLOW_ON_CPU = 10**9
"""A model with so many parameters takes minutes a sample on a CPU."""
_QUANTISED = "--engine remote with a server that runs a quantised one (vllm serve Qwen/Qwen2.5-VL-7B-Instruct-AWQ)"
_SIZES = (
    ("Qwen/Qwen2.5-VL-72B-Instruct", 73_400_000_000),
    ("Qwen/Qwen2.5-VL-32B-Instruct", 33_500_000_000),
    ("Qwen/Qwen2.5-VL-7B-Instruct", 8_300_000_000),
    ("Qwen/Qwen2.5-VL-3B-Instruct", 3_800_000_000),
)
"""Models by their number of parameters, rounded up."""
_CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
_CGROUP_USED = ("/sys/fs/cgroup/memory.current", "/sys/fs/cgroup/memory/memory.usage_in_bytes")


@dataclass(frozen=True, slots=True)
class Memory:
    """The memory of all GPUs together, or that of the machine."""

    total_bytes: int
    free_bytes: int


def gpu_memory() -> Memory | None:
    """That of all GPUs that torch can use; None when it can use none."""
    import torch

    if not torch.cuda.is_available():
        return None
    found = [torch.cuda.mem_get_info(number) for number in range(torch.cuda.device_count())]
    return Memory(sum(total for _, total in found), sum(free for free, _ in found))


def machine_memory() -> Memory:
    """That of the machine, or what its container may have of it."""
    page = os.sysconf("SC_PAGE_SIZE")
    total, free = page * os.sysconf("SC_PHYS_PAGES"), _available() or page * os.sysconf("SC_AVPHYS_PAGES")
    limit, used = _number_in(_CGROUP_LIMITS), _number_in(_CGROUP_USED)
    if limit is None or limit >= total:
        return Memory(total, free)
    return Memory(limit, min(free, limit - (used or 0)))


def gpu_finding(weights: Weights, memory: Memory) -> Finding:
    """Whether the weights in bfloat16, and a pass beside them, fit onto the GPUs."""
    need = weights.bytes_as("bfloat16")
    whole = need + min(need, PASS_BYTES)
    said = f"the weights take {size(need)} and a pass up to {size(whole - need)} of "
    said += f"{size(memory.total_bytes)} GPU memory, of which {size(memory.free_bytes)} are free"
    if need > memory.total_bytes:
        return Finding(MEMORY, "failed", said, _smaller(memory.total_bytes, 2))
    if whole > memory.total_bytes:
        return Finding(MEMORY, "warning", said, f"set a smaller VLM_JUDGE_MAX_PIXELS, or {_smaller(need, 2)}")
    if whole > memory.free_bytes:
        state: State = "failed" if need > memory.free_bytes else "warning"
        return Finding(MEMORY, state, said, "end what else runs on the GPU; `nvidia-smi` lists it")
    return Finding(MEMORY, "ok", said)


def cpu_finding(weights: Weights, memory: Memory) -> Finding:
    """Whether the weights in float32, and a pass beside them, fit into the machine, and whether that is worth while."""
    need = weights.bytes_as("float32")
    whole = need + min(need, PASS_BYTES)
    said = f"without a GPU, weights and a pass take {size(whole)} of {size(memory.total_bytes)} memory, of which "
    said += f"{size(memory.free_bytes)} are free"
    if whole > memory.total_bytes:
        return Finding(MEMORY, "failed", said, f"use a machine with a GPU, or {_smaller(memory.total_bytes, 4)}")
    if whole > memory.free_bytes:
        return Finding(MEMORY, "failed", said, "end other programs, or use a machine with a GPU")
    if weights.parameters >= SLOW_ON_CPU:
        return Finding(MEMORY, "warning", f"{said}; a sample takes minutes", "use a machine with a GPU")
    return Finding(MEMORY, "ok", said)


def _smaller(room_bytes: int, bytes_each: int) -> str:
    """The largest model that fits into less than this room, with a pass, or a way to do without one here."""
    for name, parameters in _SIZES:
        if parameters * bytes_each + PASS_BYTES < room_bytes:
            return f"take a smaller model (--model {name}), or {_QUANTISED}"
    return f"take {_QUANTISED}"


def _available() -> int | None:
    """Linux's own estimate of what programs may still take, which counts caches it would give up."""
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)


def _number_in(files: Iterable[str]) -> int | None:
    for file in files:
        try:
            return int(Path(file).read_text(encoding="ascii"))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return None
