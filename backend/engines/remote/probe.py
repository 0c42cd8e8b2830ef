"""Finds out how a server can be asked, by asking: nothing is concluded from names or versions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from backend.core.types import Option, Question
from backend.engines.remote.dialects import (
    CHAT,
    DecisionsDialect,
    Dialect,
    DialectName,
    OpenAIDialect,
    Prompt,
    SglangDialect,
    VllmDialect,
    chat_body,
    not_known,
)
from backend.engines.remote.wire import BadReply, Refused, Wire, reading
from backend.errors import EngineError

_MENU = Question("probe", "Is this an image? Answer Yes or No.", (Option("yes", "Yes"), Option("no", "No")))
_ANY_TWO = (0, 1)
"""Tokens that no answer would have among its likeliest, so that finding them listed means they were asked for."""
_DOT = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAEAAAABAAQAAAACCEkxzAAAAFElEQVR42mP8zwABTAyjjFEGyQwAzx8Bf7QK4E8A"
    "AAAASUVORK5CYII="
)
"""A white image, 64 pixels square."""
_SYSTEMS = ("You are a helpful assistant.", "")
"""What Qwen-VL's templates say without instructions: Qwen2-VL and Qwen2.5-VL the first, Qwen3-VL nothing."""


async def find_dialect(wire: Wire, model: str, wanted: DialectName) -> Dialect:
    """The dialect to ask this server in. Raises EngineError when key, model or dialect is wrong, else what Wire does.

    `auto` tries those that read any token's probability first and never picks `decisions`, which words questions anew.
    """
    try:
        await _check_model(wire, model)
        for name in ("vllm", "sglang", "openai") if wanted == "auto" else (wanted,):
            dialect = await _PROBES[name](wire, model)
            if dialect is not None:
                return dialect
    except Refused as exc:
        if exc.status in (401, 403):
            reason = f"{wire.address} refuses the API key ({exc}); set VLM_JUDGE_API_KEY to the one it was started with"
            raise EngineError(reason) from exc
        raise
    if wanted == "auto":
        raise EngineError(
            f"{wire.address} gives no token probabilities for {model}; start it with log-probabilities on"
        )
    raise EngineError(f"{wire.address} does not speak {wanted} for {model}; set VLM_JUDGE_DIALECT=auto")


@contextmanager
def _declining() -> Iterator[None]:
    """Go on behind the block when the server does not know what it is asked, or replies in another form."""
    try:
        yield
    except BadReply:
        return
    except Refused as exc:
        if not not_known(exc):
            raise


async def _check_model(wire: Wire, model: str) -> None:
    """Raise EngineError when the server lists its models and this one is not among them."""
    try:
        reply = await wire.get("/v1/models")
    except Refused as exc:
        if not_known(exc):
            return
        raise
    with reading("list of models"):
        served = [str(entry["id"]) for entry in reply["data"]]
    if model not in served:
        listed = ", ".join(served[:5]) + (", ..." if len(served) > 5 else "")
        raise EngineError(f"{wire.address} serves {listed or 'nothing'} and not {model}; set VLM_JUDGE_MODEL")


async def _vllm(wire: Wire, model: str) -> Dialect | None:
    dialect = VllmDialect(model)
    with _declining():
        listed = await dialect.logprobs(wire, chat_body(model, Prompt("", (), ""), _MENU.text), _ANY_TWO)
        if set(_ANY_TWO) <= set(listed) and await dialect.token_id(wire, "Yes") is not None:
            return dialect
    return None


async def _sglang(wire: Wire, model: str) -> Dialect | None:
    prompt = Prompt("", (_DOT,), "")
    with _declining():
        reply = await wire.post(CHAT, chat_body(model, prompt, _MENU.text))
        with reading("count of tokens"):
            length = int(reply["usage"]["prompt_tokens"])
        for system in _SYSTEMS:
            dialect = SglangDialect(system)
            reply = await dialect.generate(wire, prompt, _MENU.text, _ANY_TWO)
            with reading("count of tokens"):
                same = int(reply["meta_info"]["prompt_tokens"]) == length
            if same:
                await dialect.answer(wire, prompt, (_MENU,))
                return dialect if await dialect.token_id(wire, "Yes") is not None else None
    return None


async def _openai(wire: Wire, model: str) -> Dialect | None:
    for most in (20, 5):
        dialect = OpenAIDialect(model, most)
        with _declining():
            if await dialect.logprobs(wire, chat_body(model, Prompt("", (), ""), _MENU.text)):
                return dialect
    return None


async def _decisions(wire: Wire, model: str) -> Dialect | None:
    dialect = DecisionsDialect(model)
    with _declining():
        await dialect.answer(wire, Prompt("", (_DOT,), ""), (_MENU,))
        return dialect
    return None


_PROBES = {"vllm": _vllm, "sglang": _sglang, "openai": _openai, "decisions": _decisions}
