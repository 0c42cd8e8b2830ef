"""JSON to and from one server over HTTP, with its refusals as exceptions and without its secrets."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

_LONGEST_SAYING = 200
"""Characters of a server's own message that are passed on."""


class Refused(Exception):
    """A server answered, but not with what was asked for."""

    def __init__(self, status: int, said: str, retry_after_s: float | None = None) -> None:
        super().__init__(f"{status} {said}".strip())
        self.status = status
        self.retry_after_s = retry_after_s


class BadReply(Exception):
    """A server's reply is not of the form that its dialect promises."""


class Wire:
    """One server. Every method raises Refused, BadReply or httpx.TransportError."""

    def __init__(self, client: httpx.AsyncClient, address: str, secret: str = "") -> None:
        """`address` is without `/v1` and without secrets; `secret` is cut out of whatever the server says."""
        self.address = address
        self._client = client
        self._secret = secret

    async def get(self, path: str) -> Any:
        """The JSON at a path."""
        return await self._send("GET", path)

    async def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """The JSON that a path answers with."""
        return await self._send("POST", path, body)

    async def _send(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Any:
        try:
            response = await self._client.request(method, self.address + path, json=body)
        except httpx.DecodingError as exc:
            raise BadReply("the reply cannot be decompressed") from exc
        if response.status_code != httpx.codes.OK:
            raise Refused(response.status_code, self._said(response), _retry_after_s(response))
        try:
            return response.json()
        except ValueError as exc:
            raise BadReply("the reply is not JSON") from exc

    def _said(self, response: httpx.Response) -> str:
        """The server's own words, shortened; OpenAI, vLLM and SGLang put them in different places."""
        try:
            body = response.json()
        except ValueError:
            body = response.text
        if isinstance(body, dict):
            inner = body.get("error", body)
            body = inner.get("message", inner.get("detail", "")) if isinstance(inner, dict) else inner
        said = " ".join(str(body).split())
        return (said.replace(self._secret, "***") if self._secret else said)[:_LONGEST_SAYING]


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Turn what goes wrong while a reply is taken apart into BadReply."""
    try:
        yield
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as exc:
        raise BadReply(f"the reply holds no {what}") from exc


def _retry_after_s(response: httpx.Response) -> float | None:
    """The Retry-After header, in seconds or as a date; None when it is missing or makes no sense."""
    value = response.headers.get("retry-after", "")
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None
