"""The logits that packed requests are answered from, by one forward pass; on a GPU without waiting for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.engines.loading import LoadedModel
from backend.engines.packing import PackedRequest, Prompt, lay_out, tree_mask, tree_positions
from backend.engines.vision import image_places

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

Menus = tuple[tuple[float, ...], ...]
"""Per question, the log-probability of each of its options over the whole vocabulary."""


@dataclass(frozen=True, slots=True)
class PendingMenus:
    """What a pass under way will have said to the questions of one row."""

    option_ids: tuple[tuple[int, ...], ...]
    """Per question, the token of each option."""
    values: torch.Tensor
    """Shape (options of all questions,), on the CPU; not to be read before it is ready."""
    ready: torch.cuda.Event | None

    def read(self) -> Menus:
        """Wait for the pass, and what it says."""
        if self.ready is not None:
            self.ready.synchronize()
        values = iter(self.values.tolist())
        return tuple(tuple(next(values) for _ in ids) for ids in self.option_ids)


def begin_menus(loaded: LoadedModel, rows: Sequence[PackedRequest]) -> list[PendingMenus]:
    """Start a pass over the rows; the log-probabilities of their questions' options come later."""
    import torch

    logits = branch_logits(loaded, rows)
    menus = [ids for row in rows for ids in row.option_ids]
    with torch.inference_mode():
        lines = _upload(torch.tensor([line for line, ids in enumerate(menus) for _ in ids]), logits.device)
        tokens = _upload(torch.tensor([token for ids in menus for token in ids]), logits.device)
        values = logits[lines, tokens] - torch.logsumexp(logits, dim=-1)[lines]
        ready = None
        if values.is_cuda:
            values = values.to("cpu", non_blocking=True)
            ready = torch.cuda.current_stream(logits.device).record_event()
    parts = torch.split(values, [sum(map(len, row.option_ids)) for row in rows])
    return [PendingMenus(row.option_ids, part, ready) for row, part in zip(rows, parts, strict=True)]


def branch_logits(loaded: LoadedModel, rows: Sequence[PackedRequest]) -> torch.Tensor:
    """Logits at the end of every branch, shape (branches of all rows, vocabulary), float32, on the model's device.

    The output head runs at these positions only.
    """
    import torch

    room = max(len(row.prefix.ids) for row in rows)
    length = room + max(row.length - len(row.prefix.ids) for row in rows)
    layouts = [lay_out(len(row.prefix.ids), [len(b) for b in row.branch_ids], length, room) for row in rows]
    ids = torch.from_numpy(np.stack([_spread(row, room, length, loaded.tokenizer.pad_token_id) for row in rows]))
    segments, offsets = (
        torch.from_numpy(np.stack(part))
        for part in ([one.segments for one in layouts], [one.offsets for one in layouts])
    )
    positions = tree_positions(*prefix_positions(loaded, ids, segments, _grids(rows)), segments, offsets)
    line = torch.tensor([row for row, layout in enumerate(layouts) for _ in layout.ends])
    column = torch.from_numpy(np.concatenate([layout.ends for layout in layouts]))
    ids, segments, positions, line, column = (
        _upload(part, loaded.device) for part in (ids, segments, positions, line, column)
    )
    with torch.inference_mode():
        hidden = loaded.model.model(
            input_ids=ids,
            attention_mask=tree_mask(segments, room),
            position_ids=positions,
            mm_token_type_ids=token_kinds(loaded, ids),
            use_cache=False,
            **_seen(loaded, [row.prefix for row in rows]),
        ).last_hidden_state
        logits: torch.Tensor = loaded.model.lm_head(hidden[line, column]).float()
        return logits


def prefix_positions(
    loaded: LoadedModel, ids: torch.Tensor, segments: torch.Tensor, grid: torch.Tensor | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """M-RoPE positions (3, rows, length) of the prefixes, and the position that follows each (rows,)."""
    import torch

    prefix = segments == 0
    if grid is None:
        positions = torch.arange(ids.shape[1], device=ids.device).expand(3, *ids.shape)
    else:
        positions, _ = loaded.model.model.get_rope_index(
            ids, mm_token_type_ids=token_kinds(loaded, ids), image_grid_thw=grid, attention_mask=prefix.long()
        )
    after = positions.amax(dim=0).masked_fill(~prefix, -1).amax(dim=1) + 1
    return positions, after


def token_kinds(loaded: LoadedModel, ids: torch.Tensor) -> torch.Tensor:
    """1 where an image's feature goes and 0 for text, in the shape of `ids`."""
    return (ids == loaded.image_token_id).int()


def image_inputs(loaded: LoadedModel, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """`pixel_values` and `image_grid_thw` of all images in order; empty without images."""
    import torch

    grids = [grid for prompt in prompts for grid in prompt.grids]
    if not grids:
        return {}
    pixels = [_upload(image, loaded.device) for prompt in prompts for image in prompt.pictures.take()]
    patches = [loaded.patching.patches(image, loaded.model.dtype) for image in pixels]
    return {"pixel_values": torch.cat(patches), "image_grid_thw": torch.tensor(grids, device=loaded.device)}


def _upload(values: torch.Tensor, device: str | torch.device) -> torch.Tensor:
    """The same on a device; to a GPU from memory that is copied while this thread goes on."""
    import torch

    if torch.device(device).type == "cpu":
        return values
    return values.pin_memory().to(device, non_blocking=True)


def _seen(loaded: LoadedModel, prompts: Sequence[Prompt]) -> dict[str, Any]:
    """What the vision tower makes of all images, as the model takes it; empty without images.

    Where each patch stands is worked out on the CPU: the model would ask the GPU for it, and wait for all its work.
    """
    import torch

    inputs = image_inputs(loaded, prompts)
    if not inputs:
        return {}
    grid = torch.tensor([grid for prompt in prompts for grid in prompt.grids])
    places, lengths = image_places(loaded.model.model.visual, grid)
    uploaded = {name: _upload(value, loaded.device) for name, value in places.items()}
    with torch.inference_mode():
        found = loaded.model.model.get_image_features(
            inputs["pixel_values"], image_grid_thw=grid, return_dict=True, **uploaded, **lengths
        )
    return {"mm_encoder_outputs": {"image": found}}


def _grids(rows: Sequence[PackedRequest]) -> torch.Tensor | None:
    import torch

    grids = [grid for row in rows for grid in row.grids]
    return torch.tensor(grids) if grids else None


def _spread(row: PackedRequest, room: int, length: int, pad: int) -> NDArray[np.int64]:
    """The row's tokens, the prefix from the left and the branches from `room` on."""
    ids = np.full(length, pad, dtype=np.int64)
    ids[: len(row.prefix.ids)] = row.prefix.ids
    branches = [token for branch in row.branch_ids for token in branch]
    ids[room : room + len(branches)] = branches
    return ids
