"""The judge on one or more servers, asked over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import httpx
import jsonschema
from pydantic import SecretStr

from backend.addresses import origin
from backend.core.rubric import Rubric
from backend.core.types import Answer, Question, Reply, Unscored, Unwritten, Written
from backend.engines.base import EngineIdentity, JudgeRequest, Passage, WriteRequest
from backend.engines.remote.dialects import CHAT, Dialect, DialectName, Prompt, writing_body
from backend.engines.remote.images import family_of, picture_of, sharing_key
from backend.engines.remote.probe import find_dialect
from backend.engines.remote.servers import CallFailed, Policy, Servers
from backend.engines.remote.wire import Wire, reading
from backend.engines.rubrics import default_rubric
from backend.errors import EngineError, ImageError, SettingsError

T = TypeVar("T")

_TOGETHER = 100
"""Questions of one sample in one request, for the dialect that takes several."""
_CONNECT_S = 5.0
_KEPT_FOR_S = 4.0
"""How long an idle connection is kept: less than the 5 s after which uvicorn, under vLLM and SGLang, closes it."""


_Encoded = tuple[tuple[Passage, ...], int | None, tuple[tuple[tuple[str, ...], str], ...]]
"""The passages that were encoded last, their pixel budget, and what came of them."""


@dataclass(frozen=True, slots=True)
class _Sent:
    """A sample as it is sent."""

    prompt: Prompt
    key: bytes
    """What decides which server gets it."""
    frames: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class _Session:
    """What is open between `load` and `close`."""

    runner: asyncio.Runner
    client: httpx.AsyncClient
    servers: Servers


class RemoteEngine:
    """Any number of servers with the same model. Blocking; all requests of a call are under way together."""

    def __init__(
        self,
        servers: Sequence[str],
        model: str,
        *,
        api_key: SecretStr | None = None,
        dialect: DialectName = "auto",
        max_pixels: int = 1280 * 28 * 28,
        policy: Policy | None = None,
    ) -> None:
        """`servers` are addresses, with or without `/v1`; `max_pixels` is the largest image area the model sees.

        Raises SettingsError for no servers, an address that is none or carries a password, and a key no header takes.
        """
        self._addresses = tuple(dict.fromkeys(check_address(address) for address in servers))
        if not self._addresses:
            raise SettingsError("no judge server is named; set VLM_JUDGE_SERVERS to their addresses, comma separated")
        self._model = model
        self._key = _check_key(api_key)
        self._dialect: DialectName = dialect
        self._max_pixels = max_pixels
        self._policy = policy or Policy()
        self._family = family_of(model)
        self._session: _Session | None = None
        self._encoded: _Encoded = ((), None, ())

    @property
    def identity(self) -> EngineIdentity:
        """The model and the image size, not which servers; the dialect only where the server words the questions.

        What weights a server has loaded under that name cannot be known from here.
        """
        prompt = "the server's own" if self._dialect == "decisions" else "chat template"
        return EngineIdentity(
            self._model.rstrip("/").rsplit("/", 1)[-1],
            {"model": self._model, "max_pixels": str(self._max_pixels), "runs": "remote", "prompt": prompt},
        )

    @property
    def default_rubric(self) -> Rubric:
        """The product's default."""
        return default_rubric()

    def load(self) -> None:
        """Find out what the servers speak; a second call does nothing. Raises EngineError saying what is wrong."""
        self._opened()

    def close(self) -> None:
        """Close all connections; `load` opens them again."""
        if self._session is not None:
            _shut(self._session)
            self._session = None

    def answer(self, requests: Sequence[JudgeRequest]) -> list[tuple[Answer, ...]]:
        """One request to a server per question; a question whose request fails is Unscored with the reason."""
        session = self._opened()
        return session.runner.run(_together(self._answer(session.servers, request) for request in requests))

    def write(self, requests: Sequence[WriteRequest]) -> list[Reply]:
        """One request to a server each; what does not come, is cut off or breaks its schema is Unwritten."""
        session = self._opened()
        return session.runner.run(_together(self._write(session.servers, request) for request in requests))

    def _opened(self) -> _Session:
        if self._session is None:
            client = httpx.AsyncClient(
                headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
                timeout=httpx.Timeout(None, connect=_CONNECT_S),
                limits=httpx.Limits(keepalive_expiry=_KEPT_FOR_S),
            )
            wires = [Wire(client, address, self._key) for address in self._addresses]
            servers = Servers(wires, lambda wire: find_dialect(wire, self._model, self._dialect), self._policy)
            session = _Session(asyncio.Runner(), client, servers)
            try:
                session.runner.run(servers.open())
            except EngineError:
                _shut(session)
                raise
            self._session = session
        return self._session

    async def _answer(self, servers: Servers, request: JudgeRequest) -> tuple[Answer, ...]:
        try:
            sent = await asyncio.to_thread(self._prepare, request)
        except ImageError as exc:
            return tuple(Unscored(question, str(exc)) for question in request.questions)
        size = _TOGETHER if self._dialect == "decisions" else 1
        groups = [request.questions[at : at + size] for at in range(0, len(request.questions), size)]
        answered = await _together(_ask(servers, sent, group) for group in groups)
        return tuple(answer for group in answered for answer in group)

    async def _write(self, servers: Servers, request: WriteRequest) -> Reply:
        if self._dialect == "decisions":
            return Unwritten(request.writing, "a decisions endpoint cannot write")
        try:
            sent = await asyncio.to_thread(self._prepare, request)
        except ImageError as exc:
            return Unwritten(request.writing, str(exc))
        schema = json.loads(request.writing.schema)
        body = writing_body(self._model, sent.prompt, request, schema)

        async def write(wire: Wire, dialect: Dialect) -> tuple[str, str]:
            reply = await wire.post(CHAT, body)
            with reading("message"):
                choice = reply["choices"][0]
                return str(choice["message"]["content"] or ""), str(choice["finish_reason"])

        try:
            content, finish = await servers.call(sent.key, write)
        except CallFailed as exc:
            return Unwritten(request.writing, str(exc), exc.transient)
        if finish == "length":
            return Unwritten(request.writing, f"the reply was cut off after {request.writing.max_tokens} tokens")
        return _check_reply(request, content, schema, sent.frames)

    def _prepare(self, request: JudgeRequest | WriteRequest) -> _Sent:
        """Encode the images; takes time. Raises ImageError."""
        max_pixels = request.max_pixels or self._max_pixels
        pictures = [picture_of(image, self._family, max_pixels) for image in request.images]
        text = f"{request.instructions}\n{request.fields}"
        return _Sent(
            Prompt(
                request.instructions,
                tuple(picture.uri for picture in pictures),
                request.fields,
                self._passages(request),
            ),
            sharing_key(pictures, text),
            tuple(picture.frame for picture in pictures),
        )

    def _passages(self, request: JudgeRequest | WriteRequest) -> tuple[tuple[tuple[str, ...], str], ...]:
        """What stands before the sample, encoded once for all samples that it is the same object for."""
        if not isinstance(request, JudgeRequest) or not request.passages:
            return ()
        before, max_pixels, encoded = self._encoded
        if before is not request.passages or max_pixels != request.max_pixels:
            most = request.max_pixels or self._max_pixels
            encoded = tuple(
                (tuple(picture_of(image, self._family, most).uri for image in passage.images), passage.text)
                for passage in request.passages
            )
            self._encoded = request.passages, request.max_pixels, encoded
        return encoded


def check_address(address: str) -> str:
    """A server's address without `/v1`. Raises SettingsError for what is none, or carries more than an address should.

    A password in an address would end up in messages and logs.
    """
    shown = address if "@" not in address else "one of them"
    try:
        url = httpx.URL(address.strip())
    except httpx.InvalidURL as exc:
        raise SettingsError(f"VLM_JUDGE_SERVERS: {shown} is not an address; write http://host:port") from exc
    if url.scheme not in ("http", "https") or not url.host:
        raise SettingsError(f"VLM_JUDGE_SERVERS: {shown} is not an address; write http://host:port")
    if url.userinfo or url.query or url.fragment:
        raise SettingsError(
            f"VLM_JUDGE_SERVERS: {origin(url)} carries a password or parameters; put the key into VLM_JUDGE_API_KEY"
        )
    return str(url).rstrip("/").removesuffix("/v1").rstrip("/")


def _check_key(key: SecretStr | None) -> str:
    value = key.get_secret_value().strip() if key else ""
    if not (value.isascii() and value.isprintable()):
        raise SettingsError("VLM_JUDGE_API_KEY holds characters that no header can carry; copy the key anew")
    return value


def _check_reply(request: WriteRequest, content: str, schema: Any, frames: tuple[tuple[int, int], ...]) -> Reply:
    try:
        jsonschema.validate(json.loads(content), schema)
    except json.JSONDecodeError:
        return Unwritten(request.writing, "the reply is not JSON")
    except jsonschema.ValidationError as exc:
        return Unwritten(request.writing, f"the reply does not fit its form: {exc.message}"[:200])
    return Written(request.writing, content, frames)


async def _ask(servers: Servers, sent: _Sent, questions: Sequence[Question]) -> tuple[Answer, ...]:
    async def ask(wire: Wire, dialect: Dialect) -> tuple[Answer, ...]:
        return await dialect.answer(wire, sent.prompt, questions)

    try:
        return await servers.call(sent.key, ask)
    except CallFailed as exc:
        return tuple(Unscored(question, str(exc), exc.transient) for question in questions)


def _shut(session: _Session) -> None:
    session.runner.run(session.client.aclose())
    session.runner.close()


async def _together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    return list(await asyncio.gather(*works))
