"""Whether the installed transformers runs this model as the engine takes for granted; cheap enough for every start.

Checked on one small drawn image: that image processor and model cut images the same way; that the
model wants as many placeholders as are filled in; that image tokens stand at the positions of the
published M-RoPE; that two questions packed behind one prefix, through the vision tower as the
engine changes it, are answered as by a plain forward pass each; and that neither sees the other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from backend.core.types import Question
from backend.engines.backbones import Grid
from backend.engines.base import JudgeRequest
from backend.engines.encoding import Encoder
from backend.engines.fast import compile_layers, replace_slow_spots
from backend.engines.faults import as_engine_error, first_line, is_gpu_fault, is_out_of_memory
from backend.engines.loading import BIGGER, LoadedModel, version_of
from backend.engines.packing import PackedRequest, Prompt
from backend.engines.prefill import branch_logits, image_inputs, prefix_positions, token_kinds
from backend.errors import EngineError, ImageError

if TYPE_CHECKING:
    import torch
    from PIL import Image

_ALIKE = {"float32": 1e-3, "bfloat16": 0.2}
"""Largest distance in [0, 1] between the answers to a question asked together and alone.

float32 sums in another order differ by 1e-6 in a small model and by little more in a deep one.
bfloat16 keeps 8 bits, so a logit of 20 is rounded by up to 0.06 at the end alone, and other
kernels add to that in every layer: a token that is as likely as not can move by a tenth. What is
rounded away there is caught by the positions, which are whole numbers, and by `_UNMOVED`.
"""

_UNMOVED = {"float32": 1e-3, "bfloat16": 0.02}
"""Largest distance between the answers to one question beside two others of the same length.

The kernels are the same, and what is masked counts exactly nothing: only experts, which take other
tokens along, round another way.
"""

_PIXELS_APART = 0.02
"""Largest mean distance of a normalised pixel: torchvision and Pillow round differently, as does bfloat16."""

_MISFITS = (RuntimeError, ValueError, TypeError, AttributeError, IndexError)
"""What a model raises that is called in a way its transformers version does not know."""


def check_and_prepare(loaded: LoadedModel, encoder: Encoder) -> None:
    """Run the checks, and put the faster vision tower in place between them. Raises EngineError when one fails."""
    try:
        packed = encoder.pack(_sample())
        _check_patches(loaded, _sample(), packed)
        _check_positions(loaded, packed.prefix)
        plain = [_plain(loaded, packed, branch) for branch in packed.branch_ids]
        replace_slow_spots(loaded.model)
        together = branch_logits(loaded, [packed]).softmax(dim=-1)
        beside_another = branch_logits(loaded, [_with_another_first(packed)]).softmax(dim=-1)
        apart = max(distance(one, other) for one, other in zip(plain, together, strict=True))
        moved = distance(together[1], beside_another[1])
    except (*_MISFITS, MemoryError, ImageError) as exc:
        raise _as_engine_error(loaded, exc) from exc
    dtype = str(loaded.model.dtype).removeprefix("torch.")
    if not apart <= _ALIKE[dtype]:
        raise _misfit(loaded, f"questions asked together get other answers than alone, {apart:.2g} of at most 1 apart")
    if not moved <= _UNMOVED[dtype]:
        raise _misfit(loaded, "a question's answer depends on what else is asked")


def fuse(loaded: LoadedModel, encoder: Encoder) -> None:
    """Have torch fuse the model's layers, if it then answers as before. Raises EngineError when nothing runs at all."""
    one = encoder.pack(_sample())

    def try_it() -> torch.Tensor:
        """One row and several, which torch compiles apart."""
        import torch

        return torch.cat([branch_logits(loaded, rows).softmax(dim=-1) for rows in ([one], [one, one, one])])

    try:
        compile_layers(loaded.model, try_it, _ALIKE[str(loaded.model.dtype).removeprefix("torch.")])
    except (RuntimeError, MemoryError) as exc:
        raise _as_engine_error(loaded, exc) from exc


def distance(one: torch.Tensor, other: torch.Tensor) -> float:
    """Total variation distance in [0, 1]: half the sum of absolute differences of two distributions (vocabulary,)."""
    return float((one - other).abs().sum()) / 2


def _with_another_first(packed: PackedRequest) -> PackedRequest:
    first, second = packed.branch_ids
    return PackedRequest(packed.prefix, (first[::-1], second), packed.option_ids)


def _as_engine_error(loaded: LoadedModel, exc: Exception) -> EngineError:
    if is_out_of_memory(exc):
        return EngineError(f"{loaded.source} leaves no memory to run it in; {BIGGER}")
    if is_gpu_fault(exc):
        remedy = "install a torch that fits this GPU and its driver, or set VLM_JUDGE_DEVICE=cpu"
        return as_engine_error(exc, f"{loaded.source} cannot be run", remedy)
    return _misfit(loaded, first_line(exc))


def _misfit(loaded: LoadedModel, reason: str) -> EngineError:
    return EngineError(
        f"transformers {version_of('transformers')} does not fit {loaded.source} ({reason}); "
        "install the version that this product was tested with"
    )


def _sample() -> JudgeRequest:
    questions = ("Is there a red square? Answer Yes or No.", "How many squares are there? Answer with a digit.")
    return JudgeRequest(
        (_picture(),), "", 'caption: "A red square."\n', tuple(Question("self-test", text, ()) for text in questions)
    )


def _picture() -> Image.Image:
    """Wider than high and nowhere the same, so that exchanged axes show."""
    from PIL import Image, ImageDraw

    picture = Image.linear_gradient("L").resize((168, 112)).convert("RGB")
    ImageDraw.Draw(picture).rectangle((20, 10, 70, 60), fill=(200, 30, 30))
    return picture


def _check_patches(loaded: LoadedModel, request: JudgeRequest, packed: PackedRequest) -> None:
    """That images are cut as the model wants them, and prepared as the image processor would."""
    vision, ours = loaded.model.config.vision_config, loaded.patching
    if (ours.patch, ours.merge) != (vision.patch_size, vision.spatial_merge_size):
        raise EngineError(
            f"the image processor of {loaded.source} cuts patches of {ours.patch} pixels and merges {ours.merge} a "
            f"side, its model wants {vision.patch_size} and {vision.spatial_merge_size}: take preprocessor_config.json "
            "from where config.json is from"
        )
    theirs = loaded.image_processor(images=list(request.images), return_tensors="pt")["pixel_values"]
    made = image_inputs(loaded, [packed.prefix])["pixel_values"].float().cpu()
    if made.shape != theirs.shape or not float((made - theirs).abs().mean()) < _PIXELS_APART:
        raise _misfit(loaded, "its image processor prepares images in another way")


def _check_positions(loaded: LoadedModel, prompt: Prompt) -> None:
    import torch

    ids = torch.tensor([prompt.ids], device=loaded.device)
    grid = torch.tensor(prompt.grids, device=loaded.device)
    got, after = prefix_positions(loaded, ids, torch.zeros_like(ids), grid)
    want, end = mrope_positions(prompt.ids, prompt.grids, loaded.image_token_id, loaded.patching.merge)
    if got[:, 0].T.tolist() != [list(place) for place in want] or int(after[0]) != end:
        raise _misfit(loaded, "it places the tokens of an image wrongly")


def mrope_positions(
    ids: tuple[int, ...], grids: tuple[Grid, ...], image_token_id: int, merge_size: int
) -> tuple[list[tuple[int, int, int]], int]:
    """Time, height and width of every token, and the position after the last, for text with still images.

    Qwen2-VL, arXiv 2409.12191, section 2.1: text counts on along all three axes at once; a token
    of an image that begins at s stands at (s, s + row, s + column); what follows an image begins
    behind its longer side.
    """
    places: list[tuple[int, int, int]] = []
    start, index, images = 0, 0, iter(grids)
    while index < len(ids):
        if ids[index] != image_token_id:
            places.append((start, start, start))
            start, index = start + 1, index + 1
            continue
        _, height, width = (side // merge_size for side in next(images))
        places += [(start, start + row, start + column) for row in range(height) for column in range(width)]
        start, index = start + max(height, width), index + height * width
    return places, start


def _plain(loaded: LoadedModel, packed: PackedRequest, branch: tuple[int, ...]) -> torch.Tensor:
    """Next-token probabilities (vocabulary,) after prefix and branch, by a forward pass as anyone would do it."""
    import torch

    ids = torch.tensor([[*packed.prefix.ids, *branch]], device=loaded.device)
    images: dict[str, Any] = image_inputs(loaded, [packed.prefix])
    with torch.inference_mode():
        outputs = loaded.model(
            input_ids=ids,
            attention_mask=torch.ones_like(ids),
            mm_token_type_ids=token_kinds(loaded, ids),
            logits_to_keep=1,
            use_cache=False,
            **images,
        )
        probs: torch.Tensor = outputs.logits[0, -1].float().softmax(dim=-1)
        return probs
