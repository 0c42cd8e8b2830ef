"""Runs a Qwen-VL model in this process with transformers and reads answers from its logits after one prefill.

Tokenizer and image processor are loaded apart rather than by AutoProcessor: that one wants a video processor, which
wants torchvision, of which there is no build for every machine. What a processor would do, repeating each image
placeholder as often as the image's patches ask for, is done here, and a test holds it against the plain road.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from backend.core.rubric import Rubric
from backend.core.scoring import read_answer
from backend.core.types import Answer, Question
from backend.engines.base import EngineIdentity, JudgeRequest
from backend.engines.messages import Message, split_prompt
from backend.engines.packing import lay_out, tree_mask, tree_positions
from backend.engines.rubrics import default_rubric
from backend.errors import EngineError

if TYPE_CHECKING:
    import torch

Device = Literal["auto", "cuda", "cpu"]

_MIB = 2**20

_OLDEST_TRANSFORMERS = (5, 5, 4)
"""Earlier ones place the tokens of Qwen2.5-VL's images wrongly, or do not know `mm_token_type_ids`."""


@dataclass(frozen=True, slots=True)
class PackedRequest:
    """One request as tokens: a prefix and one branch per question."""

    prefix_ids: tuple[int, ...]
    branch_ids: tuple[tuple[int, ...], ...]
    option_ids: tuple[tuple[int, ...], ...]
    """Per question, the token of each option."""
    grids: tuple[tuple[int, int, int], ...]
    """Per image: patches in time, height and width."""
    pixel_values: torch.Tensor | None

    @property
    def length(self) -> int:
        """Tokens in the packed row."""
        return len(self.prefix_ids) + sum(len(branch) for branch in self.branch_ids)


class LocalEngine:
    """`Qwen/Qwen2.5-VL-*-Instruct`, or any model folder of that family, on one device."""

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        max_pixels: int | None = None,
        device: Device = "auto",
        name: str | None = None,
        rubric: Rubric | None = None,
    ) -> None:
        """`max_pixels` is the largest image area the model sees; None keeps the processor's own."""
        self._source = model
        self._revision = revision
        self._max_pixels = max_pixels
        self._device = _pick_device(device)
        self._name = name or model.rstrip("/").rsplit("/", 1)[-1]
        self._rubric = rubric
        self._model: Any = None
        self._tokenizer: Any = None
        self._image_processor: Any = None
        self._template: str | None = None
        self._prompts: dict[tuple[str, int], tuple[str, str]] = {}
        self._menu_ids: dict[tuple[str, str], int] = {}

    @property
    def identity(self) -> EngineIdentity:
        """Model and revision, or a hash of the folder's files; precision; image size; library versions."""
        folder = Path(self._source)
        content = hash_folder(folder) if folder.is_dir() else f"{self._source}@{self._revision or 'main'}"
        return EngineIdentity(
            self._name,
            {
                "model": content,
                "dtype": "bfloat16" if self._device == "cuda" else "float32",
                "max_pixels": str(self._max_pixels),
                "torch": _version("torch"),
                "transformers": _version("transformers"),
                "torchvision": _version("torchvision"),
            },
        )

    @property
    def default_rubric(self) -> Rubric:
        """The product's default, unless the engine was made with its own."""
        return self._rubric or default_rubric()

    @property
    def parameters(self) -> int:
        """How many weights the loaded model has."""
        return sum(weight.numel() for weight in self._model.parameters())

    def load(self) -> None:
        """Load tokenizer, image processor and weights; a second call does nothing."""
        if self._model is not None:
            return
        refuse_broken_transformers(_version("transformers"))
        import torch
        from safetensors import SafetensorError
        from transformers import AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

        from backend.engines.vision import linear_patch_embedding, register

        if self._device == "cuda" and not torch.cuda.is_available():
            raise EngineError(
                "a GPU is there but this torch cannot use it; install torch for CUDA or set VLM_JUDGE_DEVICE=cpu"
            )
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(self._source, revision=self._revision)
            processor: Any = AutoImageProcessor
            self._image_processor = processor.from_pretrained(self._source, revision=self._revision)
            model: Any = AutoModelForImageTextToText.from_pretrained(
                self._source,
                revision=self._revision,
                dtype=torch.bfloat16 if self._device == "cuda" else torch.float32,
                attn_implementation="sdpa",
                device_map="auto" if self._device == "cuda" and torch.cuda.device_count() > 1 else self._device,
            )
        except (OSError, ValueError, ImportError, KeyError, RuntimeError, SafetensorError) as exc:
            raise EngineError(f"cannot load the model {self._source}: {_first_line(exc)}") from exc
        if self._max_pixels is not None:
            size = dict(self._image_processor.size)
            smallest = min(int(size["shortest_edge"]), self._max_pixels)
            self._image_processor.size = {"shortest_edge": smallest, "longest_edge": self._max_pixels}
        if getattr(model.config.vision_config, "fullatt_block_indexes", None) is not None:
            model.set_attn_implementation({"vision_config": register()})
            linear_patch_embedding(model.model.visual)
        self._model = model.eval()

    def answer(self, requests: Sequence[JudgeRequest]) -> list[tuple[Answer, ...]]:
        """Answers from one forward pass over all requests, each packed as prefix and branches."""
        self.load()
        packed = [self.pack(request) for request in requests]
        try:
            logprobs = self._forward(packed)
        except RuntimeError as exc:
            raise EngineError(f"the model failed on {len(packed)} samples at once: {_first_line(exc)}") from exc
        answers, at = [], 0
        for request, row in zip(requests, packed, strict=True):
            part = logprobs[at : at + len(row.branch_ids)]
            answers.append(
                tuple(
                    read_answer(question, [float(line[token]) for token in ids])
                    for question, line, ids in zip(request.questions, part, row.option_ids, strict=True)
                )
            )
            at += len(row.branch_ids)
        return answers

    def pack(self, request: JudgeRequest) -> PackedRequest:
        """Tokenise a request; every image placeholder is repeated as often as its patches ask for."""
        self.load()
        before, tail = self._prompt(request.instructions, len(request.images))
        pixels, grids = self._pixels(request)
        prefix = self._fill_placeholders(before, grids) + request.fields
        branches = [question.text + tail for question in request.questions]
        encoded = self._tokenizer([prefix, *branches], add_special_tokens=False).input_ids
        return PackedRequest(
            prefix_ids=tuple(encoded[0]),
            branch_ids=tuple(tuple(ids) for ids in encoded[1:]),
            option_ids=tuple(self._options(question, tail) for question in request.questions),
            grids=grids,
            pixel_values=pixels,
        )

    def _prompt(self, instructions: str, images: int) -> tuple[str, str]:
        key = (instructions, images)
        if key not in self._prompts:
            self._prompts[key] = split_prompt(self._render, instructions, images, "")
        return self._prompts[key]

    def _render(self, messages: Sequence[Message]) -> str:
        text: str = self._tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        return text

    def _pixels(self, request: JudgeRequest) -> tuple[torch.Tensor | None, tuple[tuple[int, int, int], ...]]:
        if not request.images:
            return None, ()
        inputs = self._image_processor(images=list(request.images), return_tensors="pt")
        return inputs["pixel_values"], tuple(tuple(grid) for grid in inputs["image_grid_thw"].tolist())

    def _fill_placeholders(self, text: str, grids: Sequence[tuple[int, int, int]]) -> str:
        pad = self._tokenizer.convert_ids_to_tokens(self._model.config.image_token_id)
        parts = text.split(pad)
        if len(parts) != len(grids) + 1:
            raise EngineError(
                f"the chat template of {self._source} renders {len(parts) - 1} images instead of {len(grids)}"
            )
        merged = self._image_processor.merge_size**2
        counts = [time * height * width // merged for time, height, width in grids]
        return "".join(part + pad * count for part, count in zip(parts, [*counts, 0], strict=True))

    def _options(self, question: Question, tail: str) -> tuple[int, ...]:
        ids = tuple(self._option_id(option.token, tail) for option in question.options)
        if len(set(ids)) != len(ids):
            raise EngineError(f"question {question.id}: two options share a token in this model; word them differently")
        return ids

    def _option_id(self, token: str, tail: str) -> int:
        if (token, tail) not in self._menu_ids:
            alone = self._tokenizer(tail, add_special_tokens=False).input_ids
            ids = self._tokenizer(tail + token, add_special_tokens=False).input_ids
            if len(ids) != len(alone) + 1 or ids[:-1] != alone:
                raise EngineError(
                    f"{token!r} is not a single token after the prompt of {self._source}; use another word"
                )
            self._menu_ids[token, tail] = ids[-1]
        return self._menu_ids[token, tail]

    def _forward(self, packed: Sequence[PackedRequest]) -> torch.Tensor:
        """Log-probabilities over the vocabulary at the end of every branch, shape (branches, vocabulary), float32."""
        import torch

        length = max(row.length for row in packed)
        layouts = [lay_out(len(row.prefix_ids), [len(b) for b in row.branch_ids], length) for row in packed]
        pad = self._tokenizer.pad_token_id
        ids = torch.tensor([_flat_ids(row, length, pad) for row in packed], device=self._device)
        segments = torch.tensor([layout.segments.tolist() for layout in layouts], device=self._device)
        offsets = torch.tensor([layout.offsets.tolist() for layout in layouts], device=self._device)
        pixels = [row.pixel_values for row in packed if row.pixel_values is not None]
        grid = torch.tensor([grid for row in packed for grid in row.grids], device=self._device) if pixels else None
        with torch.inference_mode():
            positions, after = self._prefix_positions(ids, segments, grid)
            hidden = self._model.model(
                input_ids=ids,
                attention_mask=tree_mask(segments),
                position_ids=tree_positions(positions, after, segments, offsets),
                pixel_values=torch.cat(pixels).to(self._device, self._model.dtype) if pixels else None,
                image_grid_thw=grid,
                use_cache=False,
            ).last_hidden_state
            rows = [row for row, layout in enumerate(layouts) for _ in layout.ends]
            columns = [int(end) for layout in layouts for end in layout.ends]
            logits = self._model.lm_head(hidden[rows, columns]).float()
            return torch.log_softmax(logits, dim=-1).cpu()

    def _prefix_positions(
        self, ids: torch.Tensor, segments: torch.Tensor, grid: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """M-RoPE positions (3, rows, length) of the prefixes, and the position that follows each (rows,)."""
        import torch

        prefix = segments == 0
        if grid is None:
            positions = torch.arange(ids.shape[1], device=ids.device).expand(3, *ids.shape)
        else:
            kinds = (ids == self._model.config.image_token_id).int()
            positions, _ = self._model.model.get_rope_index(
                ids, mm_token_type_ids=kinds, image_grid_thw=grid, attention_mask=prefix.long()
            )
        after = positions.amax(dim=0).masked_fill(~prefix, -1).amax(dim=1) + 1
        return positions, after


def _flat_ids(row: PackedRequest, length: int, pad: int) -> list[int]:
    ids = [*row.prefix_ids, *(token for branch in row.branch_ids for token in branch)]
    return ids + [pad] * (length - len(ids))


def _pick_device(device: Device) -> Literal["cuda", "cpu"]:
    """The device by what the machine shows, without importing torch, so that the fingerprint is known at once."""
    if device != "auto":
        return device
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES", "all") in ("", "-1")
    present = any(Path(path).exists() for path in ("/dev/nvidia0", "/dev/nvidiactl", "/dev/dxg"))
    return "cuda" if present and not hidden else "cpu"


def hash_folder(folder: Path) -> str:
    """SHA-256 over the names, sizes and bytes of a model folder's files; of large ones the first and last MiB."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*")):
        if path.is_file() and path.suffix in (".json", ".jinja", ".safetensors", ".txt"):
            size = path.stat().st_size
            digest.update(f"{path.name}:{size}:".encode())
            with path.open("rb") as file:
                if size <= 64 * _MIB:
                    digest.update(file.read())
                else:
                    digest.update(file.read(_MIB))
                    file.seek(-_MIB, os.SEEK_END)
                    digest.update(file.read())
    return digest.hexdigest()


def refuse_broken_transformers(installed: str) -> None:
    """Raise EngineError for a transformers version that computes wrong positions for Qwen2.5-VL."""
    parts = tuple(int(part) for part in installed.split(".")[:3] if part.isdigit())
    if parts < _OLDEST_TRANSFORMERS:
        oldest = ".".join(str(part) for part in _OLDEST_TRANSFORMERS)
        raise EngineError(f"transformers {installed} places image tokens wrongly; install {oldest} or newer")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "none"


def _first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
