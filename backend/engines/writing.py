"""Replies that fit a JSON Schema: the model writes, a grammar lets nothing else be written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from backend.core.types import Reply, Unwritten, Written
from backend.engines.base import WriteRequest
from backend.engines.faults import first_line
from backend.engines.loading import LoadedModel
from backend.engines.packing import Prompt
from backend.engines.prefill import image_inputs, token_kinds
from backend.errors import EngineError

if TYPE_CHECKING:
    import torch
    from llguidance._lib import JsonCompileOptions

SCHEMAS = 64
"""Grammars that are kept. Few forms need more; where tasks bring their own choices, every task may have another."""
_JSON_FORM: JsonCompileOptions = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""As `json.dumps` writes by default: one way to write a value, and no blanks to get lost in."""


@dataclass(frozen=True, slots=True)
class Job:
    """A request and the prompt that its reply goes on from."""

    request: WriteRequest
    prompt: Prompt

    @property
    def length(self) -> int:
        """Tokens of prompt and longest reply."""
        return len(self.prompt.ids) + self.request.writing.max_tokens


@dataclass(slots=True)
class Draft:
    """A reply while it is written."""

    job: Job
    matcher: Any
    """Where in its grammar the reply is."""
    noise: torch.Generator | None
    """What sampling draws from; None to take the likeliest token."""
    tokens: list[int] = field(default_factory=list)
    done: bool = False

    @property
    def limit(self) -> int:
        """Tokens it may have."""
        return self.job.request.writing.max_tokens

    def take(self, token: int, end: int) -> None:
        """Add a token; done when the grammar has no more to add, when it is `end`, or when the limit is reached."""
        if token == end:
            self.done = True
            return
        self.matcher.consume_token(token)
        self.tokens.append(token)
        self.done = self.matcher.is_stopped() or len(self.tokens) >= self.limit


class Grammars:
    """JSON Schemas made into grammars over one model's vocabulary; the last `SCHEMAS` are kept."""

    def __init__(self, loaded: LoadedModel) -> None:
        """Raises EngineError when the package for grammars is missing or cannot read the tokenizer."""
        try:
            from llguidance import LLMatcher
            from llguidance.hf import from_tokenizer
        except ImportError as exc:
            raise EngineError("writing needs llguidance; run: pip install 'vlm-judge-label-studio[local]'") from exc
        try:
            self._tokenizer = from_tokenizer(loaded.tokenizer, n_vocab=loaded.vocabulary)
        except ValueError as exc:
            raise EngineError(f"no grammar over the tokenizer of {loaded.source}: {first_line(exc)}") from exc
        self._matcher_class = LLMatcher
        self.at_start = lru_cache(SCHEMAS)(self._at_start)
        """A schema's matcher where nothing is written yet, to be copied."""

    def matcher(self, schema: str) -> Any:
        """A fresh matcher at the grammar's start. Raises EngineError for a schema that is none."""
        return self.at_start(schema).deep_copy()

    def _at_start(self, schema: str) -> Any:
        try:
            grammar = self._matcher_class.grammar_from_json_schema(schema, overrides=_JSON_FORM)
        except ValueError as exc:
            raise EngineError(f"not a JSON Schema: {first_line(exc)}") from exc
        matcher = self._matcher_class(self._tokenizer, grammar, log_level=0)
        if matcher.is_error():
            raise EngineError(f"not a JSON Schema that replies can be held to: {matcher.get_error()}")
        return matcher

    def draft(self, job: Job) -> Draft:
        """An empty reply. Raises EngineError that names the writing when its schema is wrong."""
        import torch

        request = job.request
        try:
            matcher = self.matcher(request.writing.schema)
        except EngineError as exc:
            raise EngineError(f"writing {request.writing.id}: {exc}") from exc
        noise = torch.Generator().manual_seed(request.seed) if request.temperature > 0 else None
        return Draft(job, matcher, noise)


class _Constraint:
    """Between the model's logits and the choice of a token: what the grammars allow, and each draft's own dice."""

    def __init__(self, drafts: Sequence[Draft]) -> None:
        self._drafts = drafts

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import torch

        allowed = self._allowed(scores.shape[1]).to(scores.device)
        scores = scores.masked_fill(~allowed, -torch.inf)
        for row, draft in enumerate(self._drafts):
            if draft.noise is not None and not draft.done:
                noise = gumbel(scores.shape[1], draft.noise).to(scores.device)
                scores[row] = scores[row] / draft.job.request.temperature + noise
        return scores

    def _allowed(self, vocabulary: int) -> torch.Tensor:
        """Shape (drafts, vocabulary): what may come next; everything, for a draft that is done."""
        import numpy as np
        import torch
        from llguidance.numpy import allocate_token_bitmask, fill_next_token_bitmask

        bits = allocate_token_bitmask(len(self._drafts), vocabulary)
        for row, draft in enumerate(self._drafts):
            if not draft.done:
                fill_next_token_bitmask(draft.matcher, bits, row)
        flags = np.unpackbits(bits.view(np.uint8), axis=1, bitorder="little", count=vocabulary)
        return torch.from_numpy(flags.astype(bool))


class _Stop:
    """Hands every draft the token chosen for it, and says which are done."""

    def __init__(self, drafts: Sequence[Draft], end: int) -> None:
        self._drafts = drafts
        self._end = end

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        import torch

        for draft, token in zip(self._drafts, input_ids[:, -1].tolist(), strict=True):
            if not draft.done:
                draft.take(token, self._end)
        return torch.tensor([draft.done for draft in self._drafts], device=input_ids.device)


def gumbel(size: int, noise: torch.Generator) -> torch.Tensor:
    """Standard Gumbel numbers, float32: the largest of logit / T + them is a sample from softmax(logits / T).

    They come from one generator on the CPU, so that a reply depends on its own seed only, never on
    the device or on what else is written in the same batch.
    """
    import torch

    return -torch.empty(size).exponential_(generator=noise).log()


def write_drafts(loaded: LoadedModel, drafts: Sequence[Draft]) -> list[Reply]:
    """Write all drafts at once, and what became of each."""
    import torch
    from transformers import LogitsProcessorList, StoppingCriteriaList

    pad, end = loaded.tokenizer.pad_token_id, loaded.tokenizer.eos_token_id
    length = max(len(draft.job.prompt.ids) for draft in drafts)
    padding = [length - len(draft.job.prompt.ids) for draft in drafts]
    rows = [[pad] * missing + list(draft.job.prompt.ids) for missing, draft in zip(padding, drafts, strict=True)]
    ids = torch.tensor(rows, device=loaded.device)
    mask = torch.tensor([[0] * missing + [1] * (length - missing) for missing in padding], device=loaded.device)
    with torch.inference_mode(), torch.compiler.set_stance("force_eager"):  # a step's shapes are compiled for nobody
        loaded.model.generate(
            input_ids=ids,
            attention_mask=mask,
            mm_token_type_ids=token_kinds(loaded, ids),
            max_new_tokens=max(draft.limit for draft in drafts),
            logits_processor=LogitsProcessorList([_Constraint(drafts)]),
            stopping_criteria=StoppingCriteriaList([_Stop(drafts, end)]),
            **image_inputs(loaded, [draft.job.prompt for draft in drafts]),
        )
    return [_reply(loaded, draft) for draft in drafts]


def _reply(loaded: LoadedModel, draft: Draft) -> Reply:
    writing = draft.job.request.writing
    if draft.matcher.is_error():
        return Unwritten(writing, f"the reply left its form: {draft.matcher.get_error().splitlines()[0]}")
    if not draft.matcher.is_accepting():
        return Unwritten(writing, f"the reply was not complete at its limit of {draft.limit} tokens")
    text = loaded.tokenizer.decode(draft.tokens, clean_up_tokenization_spaces=False)
    frames = tuple(loaded.backbone.frame(grid, loaded.patching.patch) for grid in draft.job.prompt.grids)
    return Written(writing, text, frames)
