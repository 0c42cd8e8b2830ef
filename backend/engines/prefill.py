"""The logits that packed requests are answered from, by one forward pass."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from backend.engines.loading import LoadedModel
from backend.engines.packing import PackedRequest, Prompt, lay_out, tree_mask, tree_positions

if TYPE_CHECKING:
    import torch

Menus = tuple[tuple[float, ...], ...]
"""Per question, the log-probability of each of its options over the whole vocabulary."""


def branch_logits(loaded: LoadedModel, rows: Sequence[PackedRequest]) -> torch.Tensor:
    """Logits at the end of every branch, shape (branches of all rows, vocabulary), float32, on the model's device.

    The output head runs at these positions only.
    """
    import torch

    length = max(row.length for row in rows)
    layouts = [lay_out(len(row.prefix.ids), [len(b) for b in row.branch_ids], length) for row in rows]
    pad = loaded.tokenizer.pad_token_id
    ids = torch.tensor([_flat_ids(row, length, pad) for row in rows], device=loaded.device)
    segments = torch.tensor([layout.segments.tolist() for layout in layouts], device=loaded.device)
    offsets = torch.tensor([layout.offsets.tolist() for layout in layouts], device=loaded.device)
    images = image_inputs(loaded, [row.prefix for row in rows])
    with torch.inference_mode():
        positions, after = prefix_positions(loaded, ids, segments, images.get("image_grid_thw"))
        hidden = loaded.model.model(
            input_ids=ids,
            attention_mask=tree_mask(segments),
            position_ids=tree_positions(positions, after, segments, offsets),
            mm_token_type_ids=token_kinds(loaded, ids),
            use_cache=False,
            **images,
        ).last_hidden_state
        index = [row for row, layout in enumerate(layouts) for _ in layout.ends]
        columns = [int(end) for layout in layouts for end in layout.ends]
        logits: torch.Tensor = loaded.model.lm_head(hidden[index, columns]).float()
        return logits


def option_logprobs(logits: torch.Tensor, rows: Sequence[PackedRequest]) -> list[Menus]:
    """Per row, the log-probabilities of its questions' options."""
    import torch

    menus = [ids for row in rows for ids in row.option_ids]
    lines = [line for line, ids in enumerate(menus) for _ in ids]
    tokens = [token for ids in menus for token in ids]
    values = iter((logits[lines, tokens] - torch.logsumexp(logits, dim=-1)[lines]).tolist())
    return [tuple(tuple(next(values) for _ in ids) for ids in row.option_ids) for row in rows]


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

    pixels = [prompt.pixel_values for prompt in prompts if prompt.pixel_values is not None]
    if not pixels:
        return {}
    grids = [grid for prompt in prompts for grid in prompt.grids]
    return {
        "pixel_values": torch.cat(pixels).to(loaded.device, loaded.model.dtype),
        "image_grid_thw": torch.tensor(grids, device=loaded.device),
    }


def _flat_ids(row: PackedRequest, length: int, pad: int) -> list[int]:
    ids = [*row.prefix.ids, *(token for branch in row.branch_ids for token in branch)]
    return ids + [pad] * (length - len(ids))
