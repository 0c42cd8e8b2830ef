"""Runs a Qwen-VL model in this process with transformers: answers from its logits after one prefill, replies by it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal, TypeVar

from backend.core.rubric import Rubric
from backend.core.scoring import read_answer
from backend.core.types import Answer, Reply, Unscored, Unwritten
from backend.engines.base import EngineIdentity, JudgeRequest, WriteRequest
from backend.engines.batching import run_in_batches, run_or_halve, within_memory
from backend.engines.encoding import Encoder
from backend.engines.fast import can_compile
from backend.engines.faults import let_go, told
from backend.engines.fitting import Request, Tries, load_of, too_large
from backend.engines.loading import LoadedModel, load_model, version_of
from backend.engines.packing import PackedRequest, Prompt
from backend.engines.prefill import PendingMenus, begin_menus
from backend.engines.rubrics import default_rubric
from backend.engines.selftest import check_and_prepare, fuse
from backend.engines.writing import Grammars, Job, write_drafts
from backend.errors import EngineError, ImageError

Device = Literal["auto", "cuda", "cpu"]

T = TypeVar("T")
R = TypeVar("R")

MAX_BATCH_TOKENS = {"cuda": 16_384, "cpu": 4096}
"""Of one forward pass, by device. An H200 is no faster with twice as many and hardly slower with half; the pass takes
2.5 GiB beside a 7B model's weights of 15.4 in bfloat16 (docs/performance.md), so it goes on a card of 24 GB. A CPU is
slower with more."""

_MOST_THREADS = 8
"""That shrink images: so many make 1,700 of 504 x 504 pixels a second (docs/performance.md), more than a GPU judges."""

_MIB = 2**20
_HASHED = (".json", ".jinja", ".safetensors", ".bin", ".txt")
"""Files of a model folder that decide what it answers, by their ending."""

_ENCODED_AT_ONCE = 64
"""Requests: two passes or more on a GPU, so that rows of alike length find each other."""

Line = tuple[float, ...]
"""The log-probability of each of a question's options."""
Lines = tuple[Line | None, ...]
"""One per question of a sample; None where memory did not suffice for it."""

_Begun = tuple[list[PackedRequest | ImageError], list[PackedRequest], list[PendingMenus | None]]
"""Requests, the rows made of them, and what is coming for each row; None where memory did not suffice."""


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
        compiled: bool | None = None,
    ) -> None:
        """`max_pixels` is the largest image area the model sees; None keeps the processor's own.

        `max_batch_tokens` bounds one forward pass, padding counted, and one batch of replies with their prompts; a
        single question or reply that is longer goes alone. None takes `MAX_BATCH_TOKENS`; for replies always that of
        GPUs, because a step costs about the same for few as for many. `compiled` has torch fuse the model's layers,
        which takes about half a minute at the start; None does so on a GPU where it can.
        """
        self._source = model
        self._revision = revision
        self._max_pixels = max_pixels
        self._device = _pick_device(device)
        self._name = name or model.rstrip("/").rsplit("/", 1)[-1]
        self._rubric = rubric
        self._compiled = compiled
        self._max_batch_tokens = max_batch_tokens or MAX_BATCH_TOKENS[self._device]
        self._max_write_tokens = max_batch_tokens or MAX_BATCH_TOKENS["cuda"]
        self._encoder: Encoder | None = None
        self._grammars: Grammars | None = None
        self._pool = ThreadPoolExecutor(min(_MOST_THREADS, os.cpu_count() or 1), "pixels")
        self._tried_answers = Tries()
        self._tried_writing = Tries()

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
                "pillow": version_of("pillow"),
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
        """Load the model and test that it runs as it should; a second call does nothing.

        Raises EngineError, after which it may be called again: the hub was away, another process had the memory.
        Raises EngineDead when the GPU is lost to this process.
        """
        if self._encoder is not None:
            return
        try:
            self._encoder = self._prepare()
        except EngineError as exc:
            let_go(exc)  # or half a model stays in memory for as long as the error
            raise

    def answer(self, requests: Sequence[JudgeRequest]) -> list[tuple[Answer, ...]]:
        """Answers in order; Unscored where the model takes no such image or the sample exceeds the memory.

        Each sample is packed as prefix and branches, and many are answered by one forward pass.
        Raises EngineError, or EngineDead when the GPU is lost.
        """
        self._ready()
        with told(f"on {len(requests)} samples"):
            found = run_or_halve(requests, self._read)
            return [self._answers(request, lines) for request, lines in zip(requests, found, strict=True)]

    def write(self, requests: Sequence[WriteRequest]) -> list[Reply]:
        """Replies in order, each held to its schema; Unwritten where it exceeds its limit or the memory.

        The likeliest tokens at temperature 0. Above it, a reply varies with its seed and with nothing else.
        Raises EngineError, or EngineDead when the GPU is lost.
        """
        self._ready()
        with told(f"writing {len(requests)} replies"):
            replies = run_or_halve(requests, self._write)
            return [
                reply or Unwritten(request.writing, self._too_large(request, self._reply_fits))
                for request, reply in zip(requests, replies, strict=True)
            ]

    def pack(self, request: JudgeRequest) -> PackedRequest:
        """Tokenise a request; every image placeholder is repeated as often as its patches ask for."""
        return self._ready().pack(request)

    def loaded(self) -> LoadedModel:
        """The model itself, loaded now if it was not. Raises EngineError."""
        return self._ready().loaded

    def _load(self) -> LoadedModel:
        return load_model(self._source, revision=self._revision, max_pixels=self._max_pixels, device=self._device)

    def _prepare(self) -> Encoder:
        loaded = self._load()
        encoder = Encoder(loaded)
        check_and_prepare(loaded, encoder)
        if self._compiled or (self._compiled is None and self._device == "cuda" and can_compile()):
            fuse(loaded, encoder)
        return encoder

    def _ready(self) -> Encoder:
        self.load()
        if self._encoder is None:
            raise AssertionError("load() leaves an encoder behind")
        return self._encoder

    def _read(self, requests: Sequence[JudgeRequest]) -> list[Lines | str]:
        """What the model says to every question; the reason alone where an image cannot be taken.

        A part is encoded while the passes over the one before are under way.
        """
        begun = [self._begin(requests[at : at + _ENCODED_AT_ONCE]) for at in range(0, len(requests), _ENCODED_AT_ONCE)]
        return [said for part in begun for said in self._end(part)]

    def _begin(self, requests: Sequence[JudgeRequest]) -> _Begun:
        packed = self._ready().pack_all(requests)
        rows = [row for item in packed if isinstance(item, PackedRequest) for row in item.split(self._max_batch_tokens)]
        sizes = [row.size for row in rows]
        return packed, rows, run_in_batches(rows, sizes, self._max_batch_tokens, self._answer_pass, self._look_ahead)

    def _end(self, begun: _Begun) -> list[Lines | str]:
        packed, rows, pending = begun
        lines = iter(
            line
            for row, menus in zip(rows, pending, strict=True)
            for line in (self._one_by_one(row) if menus is None else menus.read())
        )
        return [
            str(item) if isinstance(item, ImageError) else tuple(islice(lines, len(item.branch_ids))) for item in packed
        ]

    def _one_by_one(self, row: PackedRequest) -> Lines:
        """The questions of a row that does not fit, one after the other until one does not fit either."""
        lines: list[Line] = []
        for single in row.singles if len(row.branch_ids) > 1 else ():
            menus = within_memory(partial(self._answer_pass, [single]))
            if menus is None:
                break
            lines += menus[0].read()
        return (*lines, *[None] * (len(row.branch_ids) - len(lines)))

    def _answers(self, request: JudgeRequest, found: Lines | str | None) -> tuple[Answer, ...]:
        """The answers of one request; None was found when it did not even fit as patches."""
        if isinstance(found, str):
            return tuple(Unscored(question, found) for question in request.questions)
        lines = found or [None] * len(request.questions)
        reason = self._too_large(request, self._answers_fit) if None in lines else ""
        return tuple(
            Unscored(question, reason) if line is None else read_answer(question, line)
            for question, line in zip(request.questions, lines, strict=True)
        )

    def _write(self, requests: Sequence[WriteRequest]) -> list[Reply | None]:
        """The replies; None where one with its prompt does not fit."""
        prompts = [_encoded(self._ready().prompt, request) for request in requests]
        jobs = [
            Job(request, prompt)
            for request, prompt in zip(requests, prompts, strict=True)
            if isinstance(prompt, Prompt)
        ]
        sizes = [(job.length,) for job in jobs]
        replies = iter(run_in_batches(jobs, sizes, self._max_write_tokens, self._write_pass))
        return [
            Unwritten(request.writing, prompt) if isinstance(prompt, str) else next(replies)
            for request, prompt in zip(requests, prompts, strict=True)
        ]

    def _answers_fit(self, request: JudgeRequest) -> bool:
        """Whether the longest question about a sample fits into memory with it."""
        row = max(self.pack(request).singles, key=lambda single: single.length)
        load = load_of(row.length, row.grids)
        return self._tried_answers.went(load, lambda: within_memory(partial(self._answer_pass, [row])) is not None)

    def _reply_fits(self, request: WriteRequest) -> bool:
        """Whether a reply fits into memory with its prompt."""
        job = Job(request, self._ready().prompt(request))
        load = load_of(job.length, job.prompt.grids)
        return self._tried_writing.went(load, lambda: within_memory(partial(self._write_pass, [job])) is not None)

    def _too_large(self, request: Request, try_it: Callable[[Request], bool]) -> str:
        """Why a sample that does not fit has no answer."""
        area = self._ready().area(request)
        return too_large(request, area, lambda smaller: bool(within_memory(partial(try_it, smaller))))

    def _answer_pass(self, rows: Sequence[PackedRequest]) -> list[PendingMenus]:
        return begin_menus(self._ready().loaded, rows)

    def _look_ahead(self, row: PackedRequest) -> None:
        """Have its images shrunk while the GPU is at work; a CPU has its hands full."""
        if self._device == "cuda":
            row.prefix.pictures.begin(self._pool)

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
        if path.is_file() and path.suffix in _HASHED:
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
