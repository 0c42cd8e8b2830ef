"""The one door to Label Studio: sign-in by either kind of token, requests, and errors as sentences."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from backend.errors import StudioAway, StudioError

if TYPE_CHECKING:
    import httpx

DEFAULT_TIMEOUT_S = 60.0
_MAX_ERROR_CHARS = 600
_JWT = re.compile(rb"eyJ[\w-]+\.[\w-]+\.[\w-]*")
"""A personal access token, or one that it was exchanged for."""
_TRY_LATER = (408, 425, 429)
"""Statuses by which a server says that the request was in order but came at the wrong time."""
_ELSEWHERE = "set LABEL_STUDIO_URL to the address at which its start page opens in a browser"


class AnswerTooLarge(Exception):
    """An answer went over the number of bytes that the caller wants to hold; always caught inside the product."""


class AnswerTooSlow(StudioAway):
    """Label Studio is there but did not answer in time."""


class StudioRefusal(StudioError):
    """Label Studio answered with an error status; `status` and `detail` are what it said."""

    def __init__(self, message: str, status: int, detail: str) -> None:
        super().__init__(message)
        self.status = status
        self.detail = detail


class StudioFailing(StudioRefusal, StudioAway):
    """Label Studio, or what stands before it, answered that it cannot just now."""


class StudioAccess:
    """Signed-in access to one Label Studio server.

    Built on the SDK's client for its exchange and refresh of personal access tokens. The SDK's typed methods are not
    used: they are generated from the Enterprise schema and repeat failed writes, which would store things twice.
    Safe to use from several threads.
    """

    def __init__(self, url: str, api_key: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise StudioError(f"Label Studio's address {url!r} must begin with http:// or https://")
        if not api_key.strip():
            raise StudioError(f"no API key for Label Studio at {url}; set LABEL_STUDIO_API_KEY")
        self.url = url.rstrip("/")
        self._legacy = "." not in api_key
        self._key = api_key.strip()
        with self._explained("sign in", DEFAULT_TIMEOUT_S):
            from label_studio_sdk.base_client import LabelStudioBase

            # With the slash, because the SDK's token refresh joins addresses and would drop a path prefix.
            self._wrapper = LabelStudioBase(base_url=f"{self.url}/", api_key=api_key.strip())._client_wrapper

    def authorization(self) -> str:
        """The value of the Authorization header; a personal access token is exchanged for a short-lived one."""
        with self._explained("exchange the personal access token", DEFAULT_TIMEOUT_S):
            return str(self._wrapper.get_headers()["Authorization"])

    def call(
        self,
        method: str,
        path: str,
        doing: str,
        *,
        body: object = None,
        params: Mapping[str, str | int] | None = None,
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ) -> Any:
        """The JSON of the answer, None where it is empty; `doing` completes "could not ..." in errors.

        Reads are repeated when the connection breaks, writes never are. Raises StudioError.
        """
        options: Any = {"timeout": timeout_s, "max_retries": 2 if method == "GET" else 0}
        with self._explained(doing, timeout_s):
            response = self._wrapper.httpx_client.request(
                path, method=method, json=body, params=dict(params or {}), request_options=options
            )
            return self._json(response.status_code, response.content, doing)

    def read(self, path: str, doing: str, params: Mapping[str, str | int], max_bytes: int, timeout_s: float) -> Any:
        """The JSON of a GET, read piece by piece. Raises AnswerTooLarge beyond `max_bytes`, else StudioError."""
        options: Any = {"timeout": timeout_s}
        with self._explained(doing, timeout_s):
            stream = self._wrapper.httpx_client.stream(path, method="GET", params=dict(params), request_options=options)
            with stream as response:
                return self._json(response.status_code, _at_most(response, max_bytes), doing)

    def _json(self, status: int, content: bytes, doing: str) -> Any:
        if status >= 400:
            raise self._refusal(status, content, doing)
        if not content.strip():
            return None
        try:
            return json.loads(content)
        except ValueError as exc:
            raise self._stranger(doing) from exc

    def _stranger(self, doing: str) -> StudioError:
        return StudioError(f"could not {doing}: what answers at {self.url} is not Label Studio's API; {_ELSEWHERE}")

    @contextmanager
    def _explained(self, doing: str, timeout_s: float) -> Iterator[None]:
        import httpx
        from label_studio_sdk.core.api_error import ApiError

        try:
            yield
        except ApiError as exc:
            body = exc.body if isinstance(exc.body, str) else json.dumps(exc.body)
            raise self._refusal(exc.status_code or 0, body.encode(), doing) from exc
        except httpx.TimeoutException as exc:
            raise AnswerTooSlow(
                f"could not {doing}: Label Studio at {self.url} did not answer within {timeout_s:g} s; "
                "see whether it is busy, and try again"
            ) from exc
        except httpx.TransportError as exc:
            raise StudioAway(
                f"could not {doing}: nothing answers at {self.url} ({exc}); is Label Studio running there? "
                "The address comes from LABEL_STUDIO_URL"
            ) from exc
        except (httpx.InvalidURL, httpx.TooManyRedirects) as exc:
            raise StudioError(f"could not {doing}: {self.url} is not an address that can be asked ({exc})") from exc
        except json.JSONDecodeError as exc:  # from the SDK's own token refresh
            raise self._stranger(doing) from exc

    def _refusal(self, status: int, content: bytes, doing: str) -> StudioRefusal:
        detail = _detail(_JWT.sub(b"***", content.replace(self._key.encode(), b"***")))  # some repeat our headers
        message = f'could not {doing}: Label Studio at {self.url} says {status} "{detail}"'
        kind = StudioFailing if status >= 500 or status in _TRY_LATER else StudioRefusal
        if status == 404 and b'"detail"' not in content:
            return kind(f"{message}; that is no Label Studio's answer; {_ELSEWHERE}", status, detail)
        return kind(f"{message}; {self._remedy(status, detail)}", status, detail)

    def _remedy(self, status: int, detail: str) -> str:
        if status == 401:
            kind = (
                "the API key is a legacy token, which is off by default: use a personal access token, or switch "
                "legacy tokens on (Organization > Access token settings)"
                if self._legacy
                else "the API key is a personal access token that is expired, revoked or from another server"
            )
            return (
                f"{kind}; a new one is made under Account & Settings > Personal Access Token, then type: "
                "export LABEL_STUDIO_API_KEY=..."
            )
        if status == 403:
            return "the API key's user is not allowed to do this"
        if status == 404:
            return (
                "it does not exist there, or the API key's user cannot see it; the number of a project is in its "
                "address, as in /projects/1/data"
            )
        if status >= 500:
            return "its log has the details"
        return "correct this and try again"


def _at_most(response: httpx.Response, max_bytes: int) -> bytes:
    content = bytearray()
    for piece in response.iter_bytes():
        content += piece
        if len(content) > max_bytes:
            raise AnswerTooLarge(f"more than {max_bytes} bytes")
    return bytes(content)


def _detail(content: bytes) -> str:
    """What the server said, as one line without markup."""
    text = content.decode(errors="replace")
    try:
        said = json.loads(text)
    except ValueError:
        said = text
    if isinstance(said, dict):
        fields = said.get("validation_errors") or said.get("detail") or said
        said = "; ".join(_flattened("", fields))
    plain = html.unescape(re.sub(r"<[^>]+>", "", str(said)))
    return " ".join(plain.split())[:_MAX_ERROR_CHARS]


def _flattened(name: str, value: object) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _flattened("" if key == "non_field_errors" else str(key), inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _flattened(name, inner)
    else:
        yield f"{name}: {value}" if name else str(value)
