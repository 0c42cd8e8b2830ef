"""Many questions about one sample in a single row: the prefix once, the questions as branches behind it.

A branch sees the prefix and itself, never another branch, and its positions go on where the
prefix ended. The result equals a full forward pass per question (tests prove it), for the price
of one prefix.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from backend.engines.backbones import Grid
    from backend.engines.pixels import Pictures


@dataclass(frozen=True, slots=True)
class Prompt:
    """Text and images as a model takes them."""

    ids: tuple[int, ...]
    """Tokens; an image's placeholder is there as often as the model makes tokens of it."""
    grids: tuple[Grid, ...]
    """Per image: patches in time, height and width."""
    pictures: Pictures
    """Its images, as many as there are grids."""


@dataclass(frozen=True, slots=True)
class PackedRequest:
    """One request as tokens: a prefix and one branch per question."""

    prefix: Prompt
    branch_ids: tuple[tuple[int, ...], ...]
    option_ids: tuple[tuple[int, ...], ...]
    """Per question, the token of each option."""

    @property
    def grids(self) -> tuple[Grid, ...]:
        """Per image: patches in time, height and width."""
        return self.prefix.grids

    @property
    def length(self) -> int:
        """Tokens in the packed row."""
        return len(self.prefix.ids) + sum(len(branch) for branch in self.branch_ids)

    @property
    def size(self) -> tuple[int, int]:
        """Tokens of the prefix and of all branches."""
        return len(self.prefix.ids), self.length - len(self.prefix.ids)

    def split(self, max_tokens: int) -> tuple[PackedRequest, ...]:
        """The same questions in order over as many rows as `max_tokens` asks for, each with the whole prefix.

        Every row has one question at least, and is longer than `max_tokens` where that alone asks for it.
        """
        if self.length <= max_tokens:
            return (self,) if self.branch_ids else ()
        starts, length = [0], len(self.prefix.ids)
        for index, branch in enumerate(self.branch_ids):
            if length + len(branch) > max_tokens and index > starts[-1]:
                starts.append(index)
                length = len(self.prefix.ids)
            length += len(branch)
        bounds = pairwise([*starts, len(self.branch_ids)])
        return tuple(PackedRequest(self.prefix, self.branch_ids[a:b], self.option_ids[a:b]) for a, b in bounds if a < b)

    @property
    def singles(self) -> tuple[PackedRequest, ...]:
        """Each question in a row of its own."""
        return self.split(0)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything stands in one packed row of `length` tokens."""

    segments: NDArray[np.int64]
    """Shape (length,): 0 for the prefix, k for branch k counted from 1, -1 for padding."""
    offsets: NDArray[np.int64]
    """Shape (length,): position within the branch; 0 in the prefix and the padding."""
    ends: NDArray[np.int64]
    """Shape (branches,): index of each branch's last token, whose logits are the answer."""


def lay_out(prefix_len: int, branch_lens: Sequence[int], length: int, room: int | None = None) -> Layout:
    """Place a prefix from the left and its branches from `room` on, or right behind it; the rest is padding."""
    segments = np.full(length, -1, dtype=np.int64)
    offsets = np.zeros(length, dtype=np.int64)
    segments[:prefix_len] = 0
    at, ends = prefix_len if room is None else room, []
    for number, size in enumerate(branch_lens, start=1):
        segments[at : at + size] = number
        offsets[at : at + size] = np.arange(size)
        at += size
        ends.append(at - 1)
    return Layout(segments, offsets, np.asarray(ends, dtype=np.int64))


def tree_mask(segments: torch.Tensor, room: int = 0) -> torch.Tensor:
    """Boolean attention mask of shape (batch, 1, length - room, length) from segments of shape (batch, length).

    True where row i, counted from `room`, may look at column j: j is not after i, and j is in the prefix or in i's
    own branch. Padding looks at itself only, so that no row of the softmax is empty.
    """
    import torch

    length = segments.shape[1]
    rows, columns = segments[:, room:, None], segments[:, None, :]
    index = torch.arange(length, device=segments.device)
    at, other = index[room:, None], index[None, :]
    visible = ((columns == 0) & (rows >= 0)) | ((columns == rows) & (rows > 0)) | (at == other)
    return (visible & (at >= other))[:, None]


def tree_positions(
    prefix_positions: torch.Tensor, next_position: torch.Tensor, segments: torch.Tensor, offsets: torch.Tensor
) -> torch.Tensor:
    """M-RoPE positions of shape (3, batch, length).

    `prefix_positions` has that shape and is read where a token is in the prefix; a branch token
    stands at `next_position` (batch,), the first position after the prefix, plus its offset, the
    same on all three axes.
    """
    branches = (next_position[:, None] + offsets).expand(3, -1, -1)
    return prefix_positions.where(segments == 0, branches)
