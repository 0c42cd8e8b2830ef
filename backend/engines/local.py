"""Runs a Qwen-VL model in this process with transformers: answers from its logits after one prefill, replies by it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Literal, TypeVar

from backend.core.rubric import Rubric
from backend.core.scoring import read_answer
from backend.core.types import Answer, Reply, Unscored, Unwritten
from backend.engines.base import EngineIdentity, JudgeRequest, WriteRequest
from backend.engines.batching import run_in_batches
from backend.engines.encoding import Encoder
from backend.engines.loading import first_line, load_model, version_of
from backend.engines.packing import PackedRequest, Prompt
from backend.engines.prefill import Menus, branch_logits, option_logprobs
from backend.engines.rubrics import default_rubric
from backend.engines.selftest import check_and_prepare
from backend.engines.writing import Grammars, Job, write_drafts
from backend.errors import EngineError, ImageError

Device = Literal["auto", "cuda", "cpu"]

T = TypeVar("T")
R = TypeVar("R")

MAX_BATCH_TOKENS = {"cuda": 16_384, "cpu": 4096}
"""Of one forward pass, by device. A large GPU is filled (vLLM prefills as many at once on an H100), and what the pass
needs, a few GB, goes with the 17 GB of a 7B model in bfloat16 on a card of 24 GB. A CPU is slower with more."""

_MIB = 2**20

_TOO_LARGE = "the sample does not fit into memory at this size; set a smaller max_pixels (VLM_JUDGE_MAX_PIXELS)"


class LocalEngine:
    """Any Qwen2-VL, Qwen2.5-VL or Qwen3-VL model, from the hub or a folder, on this machine's GPUs or CPU."""

    def __init__(
        self,
        model: str,
        *,
        revision: str | None = None,
        max_pixels: int | None = None,
        device: Device = "auto",
        name: str | None = None,
        rubric: Rubric | None = None,
        max_batch_tokens: int | None = None,
    ) -> None:
        """`max_pixels` is the largest image area the model sees; None keeps the processor's own.

        `max_batch_tokens` bounds one forward pass, padding counted, and one batch of replies with their prompts; a
        single question or reply that is longer goes alone. None takes `MAX_BATCH_TOKENS`; for replies always that of
        GPUs, because a step costs about the same for few as for many.
        """
        self._source = model
        self._revision = revision
        self._max_pixels = max_pixels
        self._device = _pick_device(device)
        self._name = name or model.rstrip("/").rsplit("/", 1)[-1]
        self._rubric = rubric
        self._max_batch_tokens = max_batch_tokens or MAX_BATCH_TOKENS[self._device]
        self._max_write_tokens = max_batch_tokens or MAX_BATCH_TOKENS["cuda"]
        self._encoder: Encoder | None = None
        self._grammars: Grammars | None = None

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
                "torch": version_of("torch"),
                "transformers": version_of("transformers"),
                "llguidance": version_of("llguidance"),
                "torchvision": version_of("torchvision"),
            },
        )

    @property
    def default_rubric(self) -> Rubric:
        """The product's default, unless the engine was made with its own."""
        return self._rubric or default_rubric()

    @property
    def parameters(self) -> int:
        """How many weights the loaded model has."""
        return sum(weight.numel() for weight in self._ready().loaded.model.parameters())

    def load(self) -> None:
        """Load the model and test that it runs as it should; a second call does nothing. Raises EngineError."""
        if self._encoder is not None:
            return
        loaded = load_model(self._source, revision=self._revision, max_pixels=self._max_pixels, device=self._device)
        encoder = Encoder(loaded)
        check_and_prepare(loaded, encoder)
        self._encoder = encoder

    def answer(self, requests: Sequence[JudgeRequest]) -> list[tuple[Answer, ...]]:
        """Answers in order; Unscored where the model takes no such image or the sample exceeds the memory.

        Each sample is packed as prefix and branches, and many are answered by one forward pass.
        """
        encoder = self._ready()
        packed = [_encoded(encoder.pack, request) for request in requests]
        rows = [row for item in packed if not isinstance(item, str) for row in item.split(self._max_batch_tokens)]
        with _told(f"on {len(rows)} samples"):
            read = run_in_batches(rows, [row.length for row in rows], self._max_batch_tokens, self._answer_pass)
        lines = iter(
            line
            for row, found in zip(rows, read, strict=True)
            for line in (found if found is not None else [None] * len(row.branch_ids))
        )
        return [_answers(request, item, lines) for request, item in zip(requests, packed, strict=True)]

    def write(self, requests: Sequence[WriteRequest]) -> list[Reply]:
        """Replies in order, each held to its schema; Unwritten where it exceeds its limit or the memory.

        The likeliest tokens at temperature 0. Above it, a reply varies with its seed and with nothing else.
        """
        encoder = self._ready()
        prompts = [_encoded(encoder.prompt, request) for request in requests]
        jobs = [
            Job(request, prompt)
            for request, prompt in zip(requests, prompts, strict=True)
            if isinstance(prompt, Prompt)
        ]
        with _told(f"writing {len(jobs)} replies"):
            replies = iter(run_in_batches(jobs, [job.length for job in jobs], self._max_write_tokens, self._write_pass))
        return [
            Unwritten(request.writing, prompt)
            if isinstance(prompt, str)
            else next(replies) or Unwritten(request.writing, _TOO_LARGE)
            for request, prompt in zip(requests, prompts, strict=True)
        ]

    def pack(self, request: JudgeRequest) -> PackedRequest:
        """Tokenise a request; every image placeholder is repeated as often as its patches ask for."""
        return self._ready().pack(request)

    def _ready(self) -> Encoder:
        self.load()
        if self._encoder is None:
            raise AssertionError("load() leaves an encoder behind")
        return self._encoder

    def _answer_pass(self, rows: Sequence[PackedRequest]) -> list[Menus]:
        loaded = self._ready().loaded
        return option_logprobs(branch_logits(loaded, rows), rows)

    def _write_pass(self, jobs: Sequence[Job]) -> list[Reply]:
        loaded = self._ready().loaded
        if self._grammars is None:
            self._grammars = Grammars(loaded)
        return write_drafts(loaded, [self._grammars.draft(job) for job in jobs])


def _encoded(encode: Callable[[T], R], request: T) -> R | str:
    """What `encode` makes of a request, or why its images cannot be taken."""
    try:
        return encode(request)
    except ImageError as exc:
        return str(exc)


@contextmanager
def _told(work: str) -> Iterator[None]:
    """What torch and transformers raise, as an EngineError."""
    try:
        yield
    except RuntimeError as exc:
        raise EngineError(f"the model failed {work}: {first_line(exc)}") from exc


def _answers(
    request: JudgeRequest, packed: PackedRequest | str, lines: Iterator[tuple[float, ...] | None]
) -> tuple[Answer, ...]:
    """The answers of one request, reading on in `lines` where it was packed."""
    if isinstance(packed, str):
        return tuple(Unscored(question, packed) for question in request.questions)
    return tuple(
        Unscored(question, _TOO_LARGE) if line is None else read_answer(question, line)
        for question, line in zip(request.questions, islice(lines, len(request.questions)), strict=True)
    )


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
