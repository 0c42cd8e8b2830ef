"""What each kind of server is asked, and how its reply is read: the same answers from the same probabilities."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import inf, log
from typing import Any, Literal, Protocol

from backend.core.scoring import read_answer
from backend.core.types import Answer, Question, Unscored
from backend.engines.base import WriteRequest
from backend.engines.remote.wire import BadReply, Refused, Wire, reading

DialectName = Literal["auto", "vllm", "openai", "sglang", "decisions"]

CHAT = "/v1/chat/completions"

_TOKEN_ID = re.compile(r"token_id:(\d+)")


@dataclass(frozen=True, slots=True)
class Prompt:
    """What all questions about one sample begin with."""

    instructions: str
    """The system message; empty for none."""
    images: tuple[str, ...]
    """Data URIs."""
    fields: str
    passages: tuple[tuple[tuple[str, ...], str], ...] = ()
    """What stands before the sample: images as data URIs, and the text behind them."""

    @property
    def all_images(self) -> tuple[str, ...]:
        """All images in the order of the prompt."""
        return (*(uri for uris, _ in self.passages for uri in uris), *self.images)


class Dialect(Protocol):
    """One way of asking. May raise what Wire raises."""

    async def answer(self, wire: Wire, prompt: Prompt, questions: Sequence[Question]) -> tuple[Answer, ...]:
        """One answer per question, in order."""


class _OneByOne:
    """A dialect with one request per question."""

    async def answer(self, wire: Wire, prompt: Prompt, questions: Sequence[Question]) -> tuple[Answer, ...]:
        """One answer per question, in order."""
        return tuple([await self._answer(wire, prompt, question) for question in questions])

    async def _answer(self, wire: Wire, prompt: Prompt, question: Question) -> Answer:
        raise NotImplementedError


class VllmDialect(_OneByOne):
    """vLLM's chat with `logprob_token_ids`: exactly the options' log-probabilities, whatever their rank.

    The options' tokens come from the server's own /tokenize, which renders its own chat template: no tokenizer has to
    be installed or downloaded here, and none can differ from the server's.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._prefix: list[int] = []
        """The tokens of a short conversation up to the answer; empty until they were asked for."""
        self._ids: dict[str, int | None] = {}
        """The token of each option; None for one that is not a single token."""
        self._asking = asyncio.Lock()
        """Keeps many questions from asking for the same token at once."""

    async def _answer(self, wire: Wire, prompt: Prompt, question: Question) -> Answer:
        ids = [await self.token_id(wire, option.token) for option in question.options]
        known = [token for token in ids if token is not None]
        if len(set(known)) < len(ids):
            return _unfit(question, ids)
        listed = await self.logprobs(wire, chat_body(self._model, prompt, question.text), known)
        return read_answer(question, _pick(listed, known))

    async def logprobs(self, wire: Wire, body: dict[str, Any], ids: Sequence[int]) -> Mapping[int, float]:
        """Log-probabilities of the first token of the reply, by token; more than was asked for may be in it."""
        asked = {"logprobs": True, "logprob_token_ids": list(ids), "return_tokens_as_token_ids": True}
        reply = await wire.post(CHAT, body | asked)
        named = [(_TOKEN_ID.fullmatch(token), logprob) for token, logprob in _listed(reply)]
        return {int(match.group(1)): logprob for match, logprob in named if match}

    async def token_id(self, wire: Wire, token: str) -> int | None:
        """The token that an option is right after the prompt, or None when it is not a single one."""
        async with self._asking:
            if token not in self._ids:
                ask = {"role": "user", "content": "?"}
                if not self._prefix:
                    self._prefix = await self._tokenize(wire, [ask], add_generation_prompt=True)
                said = {"role": "assistant", "content": token}
                ids = await self._tokenize(wire, [ask, said], add_generation_prompt=False, continue_final_message=True)
                self._ids[token] = ids[-1] if ids[:-1] == self._prefix else None
            return self._ids[token]

    async def _tokenize(self, wire: Wire, messages: Sequence[Mapping[str, str]], **how: bool) -> list[int]:
        reply = await wire.post("/tokenize", {"model": self._model, "messages": messages, **how})
        with reading("tokens"):
            return [int(token) for token in reply["tokens"]]


class OpenAIDialect(_OneByOne):
    """Chat with `top_logprobs`, which every OpenAI-compatible server has.

    An option that is not listed is less likely than the last one that is, and counts as nothing: its share is missing
    in `label_mass`, so a menu that the model did not think of stays unscored.
    """

    def __init__(self, model: str, listed: int) -> None:
        """`listed` is how many of the likeliest tokens the server names, 20 by OpenAI's own limit."""
        self._model = model
        self._how_many = listed

    async def _answer(self, wire: Wire, prompt: Prompt, question: Question) -> Answer:
        listed = await self.logprobs(wire, chat_body(self._model, prompt, question.text))
        return read_answer(question, [listed.get(option.token, -inf) for option in question.options])

    async def logprobs(self, wire: Wire, body: dict[str, Any]) -> Mapping[str, float]:
        """Log-probabilities of the likeliest first tokens of the reply, by their text."""
        reply = await wire.post(CHAT, body | {"logprobs": True, "top_logprobs": self._how_many})
        listed: dict[str, float] = {}
        for token, logprob in _listed(reply):
            listed.setdefault(token, logprob)
        return listed


class SglangDialect(_OneByOne):
    """SGLang's own /generate with `token_ids_logprob`, which its chat route lacks.

    That route takes a rendered prompt. Qwen-VL's template is written out here, and a probe compares its length in
    tokens with what the server's chat route makes of the same conversation.
    """

    def __init__(self, system: str) -> None:
        """`system` is what the server's template says when there are no instructions; empty for nothing."""
        self._system = system
        self._ids: dict[str, int | None] = {}
        self._asking = asyncio.Lock()

    async def _answer(self, wire: Wire, prompt: Prompt, question: Question) -> Answer:
        ids = [await self.token_id(wire, option.token) for option in question.options]
        known = [token for token in ids if token is not None]
        if len(set(known)) < len(ids):
            return _unfit(question, ids)
        reply = await self.generate(wire, prompt, question.text, known)
        with reading("log-probabilities"):
            listed = {int(row[1]): float(row[0]) for row in reply["meta_info"]["output_token_ids_logprobs"][0]}
        return read_answer(question, _pick(listed, known))

    async def generate(self, wire: Wire, prompt: Prompt, text: str, ids: Sequence[int]) -> Any:
        """The reply to one token of generation, as the server gives it."""
        body: dict[str, Any] = {
            "text": _qwen_text(prompt, text, self._system),
            "sampling_params": {"max_new_tokens": 1, "temperature": 0},
            "return_logprob": True,
            "logprob_start_len": -1,
            "token_ids_logprob": list(ids),
        }
        return await wire.post(
            "/generate", body | ({"image_data": list(prompt.all_images)} if prompt.all_images else {})
        )

    async def token_id(self, wire: Wire, token: str) -> int | None:
        """The token that an option is right after the prompt, or None when it is not a single one."""
        async with self._asking:
            if token not in self._ids:
                before = "<|im_start|>assistant\n"
                body = {"prompt": [before, before + token], "add_special_tokens": False}
                reply = await wire.post("/tokenize", body)
                with reading("tokens"):
                    prefix, ids = reply["tokens"]
                    self._ids[token] = int(ids[-1]) if ids[:-1] == prefix else None
            return self._ids[token]


class DecisionsDialect:
    """The hosted `POST /v1/decisions`: typed questions in, a probability per option out, in the server's own wording.

    The server shares all probability out among the options and does not say how much of it the model gave to anything
    else, so `label_mass` is 1 unless the reply names it.
    """

    def __init__(self, model: str) -> None:
        self._model = model

    async def answer(self, wire: Wire, prompt: Prompt, questions: Sequence[Question]) -> tuple[Answer, ...]:
        """One request for all questions."""
        reply = await wire.post("/v1/decisions", self._body(prompt, questions))
        with reading("answers"):
            given = reply["answers"]
            return tuple(self._read(question, answer) for question, answer in zip(questions, given, strict=True))

    def _body(self, prompt: Prompt, questions: Sequence[Question]) -> dict[str, Any]:
        shown = (*prompt.passages, (prompt.images, prompt.instructions), ((), prompt.fields))
        parts = [part for uris, text in shown for part in _input_parts(uris, text)]
        return {
            "model": self._model,
            "input": [{"type": "message", "role": "user", "content": parts}],
            "questions": [
                {
                    "type": "choice",
                    "name": f"q{number}",
                    "instructions": question.text,
                    "choices": [{"value": option.token} for option in question.options],
                }
                for number, question in enumerate(questions)
            ],
        }

    def _read(self, question: Question, answer: Mapping[str, Any]) -> Answer:
        if answer["type"] == "refusal":
            return Unscored(question, "the server declined to answer this question")
        probs = {entry["value"]: float(entry["probability"]) for entry in answer["probabilities"]}
        mass = float(answer.get("label_mass", 1.0))
        shares = [probs[option.token] * mass for option in question.options]
        return read_answer(question, [log(share) if share > 0 else -inf for share in shares])


def chat_body(model: str, prompt: Prompt, text: str, max_tokens: int = 1) -> dict[str, Any]:
    """A chat request: instructions and images first and the same for all questions, so that prefixes are shared."""
    shown = (*prompt.passages, (prompt.images, prompt.fields + text))
    parts = [part for uris, said in shown for part in _chat_parts(uris, said)]
    system = [{"role": "system", "content": prompt.instructions}] if prompt.instructions else []
    return {
        "model": model,
        "messages": [*system, {"role": "user", "content": parts}],
        "max_tokens": max_tokens,
        "temperature": 0,
    }


def _chat_parts(uris: Sequence[str], text: str) -> list[dict[str, Any]]:
    return [*({"type": "image_url", "image_url": {"url": uri}} for uri in uris), {"type": "text", "text": text}]


def _input_parts(uris: Sequence[str], text: str) -> list[dict[str, Any]]:
    images = [{"type": "input_image", "image_url": uri, "detail": "high"} for uri in uris]
    return [*images, *([{"type": "input_text", "text": text}] if text else [])]


def writing_body(model: str, prompt: Prompt, request: WriteRequest, schema: Mapping[str, Any]) -> dict[str, Any]:
    """A chat request whose reply is held to a JSON Schema."""
    name = re.sub(r"[^A-Za-z0-9_-]", "_", request.writing.id)[:64] or "reply"
    return chat_body(model, prompt, request.writing.text, request.writing.max_tokens) | {
        "temperature": request.temperature,
        "seed": request.seed,
        "response_format": {"type": "json_schema", "json_schema": {"name": name, "schema": schema, "strict": True}},
    }


def _qwen_text(prompt: Prompt, text: str, system: str) -> str:
    """The conversation in Qwen-VL's chat template, up to where the answer begins."""
    said = prompt.instructions or system
    head = f"<|im_start|>system\n{said}<|im_end|>\n" if said else ""
    shown = (*prompt.passages, (prompt.images, prompt.fields + text))
    body = "".join("<|vision_start|><|image_pad|><|vision_end|>" * len(uris) + said for uris, said in shown)
    return f"{head}<|im_start|>user\n{body}<|im_end|>\n<|im_start|>assistant\n"


def _listed(reply: Any) -> Iterator[tuple[str, float]]:
    """Token and log-probability of every entry for the reply's first position, likeliest first."""
    with reading("log-probabilities"):
        for entry in reply["choices"][0]["logprobs"]["content"][0]["top_logprobs"]:
            yield str(entry["token"]), float(entry["logprob"])


def _pick(listed: Mapping[int, float], ids: Sequence[int]) -> list[float]:
    """The log-probabilities of these tokens. Raises BadReply when the server left one out."""
    if missing := [token for token in ids if token not in listed]:
        raise BadReply(f"the reply leaves out {len(missing)} of the {len(ids)} tokens asked for")
    return [listed[token] for token in ids]


def _unfit(question: Question, ids: Sequence[int | None]) -> Unscored:
    """Why this menu cannot be read."""
    for option, token in zip(question.options, ids, strict=True):
        if token is None:
            reason = f"{option.token!r} is not a single token after the server's prompt; use another word"
            return Unscored(question, reason)
    return Unscored(question, "two options share a token in the server's model; word them differently")


_NOT_KNOWN = frozenset({400, 404, 405, 415, 422, 501})
"""Statuses by which a server says that it does not know a route or an option."""


def not_known(refusal: Refused) -> bool:
    """Whether a refusal means that the server does not speak a dialect, rather than that it is unwell."""
    return refusal.status in _NOT_KNOWN
