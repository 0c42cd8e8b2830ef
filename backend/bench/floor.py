"""The least time that judging can take on a machine: its measured peaks, and what a model has to compute and to read.

Two operations per multiplication and addition. Sums, norms and softmaxes are left out, as they are small beside
products of matrices; so no program can be faster, and none quite as fast.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backend.engines.backbones import Grid

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Peaks:
    """What a device was seen to do."""

    operations_per_s: float
    """In a product of square matrices of random numbers, in the model's precision."""
    bytes_per_s: float
    """In a copy within its memory, read and written bytes counted."""

    def or_better(self, other: Peaks) -> Peaks:
        """The best of two measurements."""
        return Peaks(max(self.operations_per_s, other.operations_per_s), max(self.bytes_per_s, other.bytes_per_s))


@dataclass(frozen=True, slots=True)
class Cost:
    """What a piece of work asks of a device."""

    operations: float
    read_bytes: float = 0.0
    """Weights, and what else is read from memory again and again; where it matters."""

    def seconds(self, peaks: Peaks) -> float:
        """The least time for it: computing and reading go on side by side."""
        return max(self.operations / peaks.operations_per_s, self.read_bytes / peaks.bytes_per_s)


def measure_peaks(device: str, dtype: torch.dtype) -> Peaks:
    """The best of ten runs."""
    import torch

    large = device != "cpu"
    side = 8192 if large else 2048
    one, other = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
    source = torch.empty(2**31 if large else 2**27, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    products_s = min(timed(lambda: one @ other, device) for _ in range(10))
    copies_s = min(timed(lambda: target.copy_(source), device) for _ in range(10))
    return Peaks(2 * side**3 / products_s, 2 * source.numel() / copies_s)


def timed(work: Callable[[], object], device: str) -> float:
    """Seconds until the work is done, on the device too."""
    import torch

    if device != "cpu":
        torch.cuda.synchronize()
    began = time.perf_counter()
    work()
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter() - began


@dataclass(frozen=True, slots=True)
class Dimensions:
    """The numbers of a Qwen2.5-VL model that its cost depends on."""

    config: Any

    @property
    def body(self) -> int:
        """Weights that every token of the language model goes through."""
        text = self.config.text_config
        head = text.hidden_size // text.num_attention_heads
        attention = 2 * text.hidden_size * head * (text.num_attention_heads + text.num_key_value_heads)
        return int(text.num_hidden_layers * (attention + 3 * text.hidden_size * text.intermediate_size))

    @property
    def head(self) -> int:
        """Weights of the output head."""
        return int(self.config.text_config.hidden_size * self.config.text_config.vocab_size)

    @property
    def kept_per_token(self) -> int:
        """Keys and values of a token, numbers."""
        text = self.config.text_config
        return int(2 * text.num_hidden_layers * text.num_key_value_heads * text.hidden_size // text.num_attention_heads)

    def vision(self, grid: Grid) -> float:
        """Operations for an image of so many patches."""
        import torch
        from transformers.vision_utils import get_vision_window_index

        tower = self.config.vision_config
        width, full = tower.hidden_size, len(tower.fullatt_block_indexes)
        patches = grid[0] * grid[1] * grid[2]
        values = tower.in_channels * tower.temporal_patch_size * tower.patch_size**2
        _, bounds = get_vision_window_index(
            torch.tensor([grid]), tower.spatial_merge_size, tower.window_size, tower.patch_size
        )
        windows = sum(length**2 for length in (bounds[1:] - bounds[:-1]).tolist())
        unit = tower.spatial_merge_size**2
        linear = 2 * patches * (values * width + tower.depth * (4 * width**2 + 3 * width * tower.intermediate_size))
        attention = 4 * width * (full * patches**2 + (tower.depth - full) * windows)
        merger = 2 * patches / unit * ((unit * width) ** 2 + unit * width * tower.out_hidden_size)
        return float(linear + attention + merger)

    def prefill(self, tokens: int, branches: Sequence[int] = ()) -> float:
        """Operations for a prefix, and for branches behind it that are read at their ends; without any, at its own."""
        text = self.config.text_config
        pairs = tokens**2 / 2 + sum(branch * (tokens + branch / 2) for branch in branches)
        attention = 4 * text.num_hidden_layers * text.hidden_size * pairs
        return float(2 * (tokens + sum(branches)) * self.body + attention + 2 * self.head * max(1, len(branches)))

    def decode(self, tokens: int, new: int, batch: int, bytes_each: int) -> Cost:
        """For `new` more tokens to each of a batch of prompts, step by step."""
        text = self.config.text_config
        seen = tokens + new / 2
        operations = batch * new * (2 * (self.body + self.head) + 4 * text.num_hidden_layers * text.hidden_size * seen)
        read = new * bytes_each * (self.body + self.head + batch * self.kept_per_token * seen)
        return Cost(operations, read)
