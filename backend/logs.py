"""The server's log: a sentence or a JSON object a line, with the request's id and without any secret."""

from __future__ import annotations

import base64
import json
import logging
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO
from urllib.parse import quote, quote_plus, unquote

from pydantic import SecretStr
from pythonjsonlogger.jsonlogger import JsonFormatter

from backend.settings import Settings

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that is being answered, set by `backend.doors`; None outside of one."""

MASKED = "***"
MIN_SECRET_CHARS = 6
"""A shorter secret is not looked for by itself: it would be found inside ordinary words."""

Mask = Callable[[str], str]

_QUIET = ("httpx", "httpcore", "urllib3", "filelock", "PIL", "alembic.runtime.plugins")
"""They tell each request or other inner workings at a level at which we tell what the judge does."""
_GUNICORN = ("gunicorn.error", "gunicorn.access")
_EXTRA = ("task", "project")

_ESCAPED = {
    **{number: f"\\x{number:02x}" for number in (*range(32), *range(127, 160))},
    **{ord(char): json.dumps(char)[1:-1] for char in "\n\r\t\u2028\u2029"},
}
"""What a message may not hold as it is, or a stranger's text could look like lines of the log."""

_LOOKS_SECRET = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        # A header, also in the `repr` of a dictionary of headers.
        (
            r"(\b(?:authorization|x-webhook-secret)\\*[\"']?\s*[:=]\s*(?:b?\\*[\"'])?)(?:[^\"'\\\r\n]|\\(?![\"']))+",
            rf"\1{MASKED}",
        ),
        (r"(?<![\w-])token\s+[0-9a-f]{40}\b", f"Token {MASKED}"),
        (r"(?<![\w-])bearer\s+[\w.~+/=-]+", f"Bearer {MASKED}"),
        (r"(?<![\w-])eyJ[\w-]+\.[\w-]+\.[\w-]*", MASKED),
        # A member of a JSON object or a dictionary, then one inside a string that is quoted once more.
        (r"([\"'](?:access_token|password)[\"']\s*:\s*)\"(?:[^\"\\]|\\.)*\"?", rf'\1"{MASKED}"'),
        (r"([\"'](?:access_token|password)[\"']\s*:\s*)'(?:[^'\\]|\\.)*'?", rf"\1'{MASKED}'"),
        (r"(\\+[\"'](?:access_token|password)\\+[\"']\s*:\s*\\+[\"']).*?(?=\\+[\"']|$)", rf"\1{MASKED}"),
        (r"\b((?:access_token|password)=)[^\s&\"']+", rf"\1{MASKED}"),
        (r"(/webhook/+)[^\s?\"']+", rf"\1{MASKED}"),
        # A database's address as SQLAlchemy reads it: the password may have any sign but @.
        (r"(\bpostgres(?:ql)?(?:\+\w+)?://)[^\s:/@]*:[^\r\n@]*@", rf"\1{MASKED}@"),
        # User and password of an address, and its query, which may be a signature; `?...` is cut already.
        (r"(?<=://)[^\s/?#\"'<>]*@", f"{MASKED}@"),
        (r"(://[^\s?\"'<>]*\?)(?!\.\.\.(?:[:;,\s]|$))[^\s\"'<>]+", rf"\1{MASKED}"),
    )
)


_STORE_PASSWORD = re.compile(r"[\w+]+://[^:/]*:([^@]*)@")
"""As SQLAlchemy reads an address; `urlsplit` would end it at the first `/`, `?` or `#`."""
_LOGIN = re.compile(r"^([\w+.-]+://)?[^:/@]*:(?!//)[^@]*@")


def configure(settings: Settings, stream: TextIO | None = None) -> None:
    """Make this process write the log as the settings say, to `stream` or else to standard error.

    Takes the place of whatever handlers the root logger has. Handlers of a running gunicorn keep where they write to
    and get the same form. Warnings and exceptions that end a thread go into the log too. May be called again.
    """
    formatter = make_formatter(settings)
    handler = _Handler(stream)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
    for name in _GUNICORN:
        for own in logging.getLogger(name).handlers:
            own.setFormatter(formatter)
    logging.captureWarnings(capture=True)
    threading.excepthook = _log_end_of_thread


def make_formatter(settings: Settings) -> logging.Formatter:
    """What turns a record into a line of the log, without secrets."""
    mask = make_mask(settings)
    return JsonLines(mask) if settings.log_format == "json" else Sentences(mask)


def make_mask(settings: Settings) -> Mask:
    """What replaces the settings' secrets in a text, however they are encoded, and whatever else looks like one."""
    forms = sorted({form for secret in _secrets(settings) for form in _forms(secret)}, key=len, reverse=True)
    known = re.compile("|".join(map(re.escape, forms)), re.IGNORECASE) if forms else None

    def mask(text: str) -> str:
        if known is not None:
            text = known.sub(MASKED, text)
        for pattern, replacement in _LOOKS_SECRET:
            text = pattern.sub(replacement, text)
        return text

    return mask


def without_login(address: str) -> str:
    """An address, also one without a scheme, with its name and password masked; any other text as it is."""
    return _LOGIN.sub(rf"\g<1>{MASKED}@", address)


class Sentences(logging.Formatter):
    """Time, level, request id in brackets, message; a traceback follows on lines of its own."""

    def __init__(self, mask: Mask) -> None:
        super().__init__()
        self._mask = mask

    def format(self, record: logging.LogRecord) -> str:
        """The record as text."""
        current = request_id.get()
        told = f"[{current}] {record.getMessage()}" if current else record.getMessage()
        lines = [f"{_time(record)} {record.levelname} {_one_line(self._mask(told))}"]
        if record.exc_info:
            lines.append(self._mask(self.formatException(record.exc_info)))
        return "\n".join(lines)


class JsonLines(JsonFormatter):  # type: ignore[misc]
    """An object with time, level, logger, message, request_id; task, project and exception where there are any."""

    def __init__(self, mask: Mask) -> None:
        super().__init__(json_ensure_ascii=False)
        self._mask = mask

    def add_fields(
        self, log_record: dict[str, Any], record: logging.LogRecord, message_dict: Mapping[str, Any]
    ) -> None:
        """Fill in the object; the library calls this."""
        current = request_id.get()
        log_record["time"] = _time(record)
        log_record["level"] = record.levelname
        log_record["logger"] = record.name
        log_record["message"] = self._mask(record.getMessage())
        log_record["request_id"] = self._mask(current) if current else None
        for name in _EXTRA:
            value = getattr(record, name, None)
            if value is not None:
                log_record[name] = value if isinstance(value, int) else self._mask(str(value))
        if record.exc_info:
            log_record["exception"] = self._mask(self.formatException(record.exc_info))


class _Handler(logging.StreamHandler[TextIO]):
    """Writes to a stream; a record that cannot be written is named by its place, never shown unmasked."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Say where the record came from; logging calls this in an `except`."""
        kind = type(sys.exception()).__name__
        with suppress(OSError, ValueError):
            self.stream.write(f"a line of the log is lost ({kind}): {record.pathname}, line {record.lineno}\n")


def _log_end_of_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None:
        name = args.thread.name if args.thread else "unknown"
        exc_info = (args.exc_type, args.exc_value, args.exc_traceback)
        logging.getLogger(__name__).error("the thread %s ended", name, exc_info=exc_info)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _one_line(text: str) -> str:
    return text.translate(_ESCAPED)


def _secrets(settings: Settings) -> Iterator[str]:
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            yield value.get_secret_value()
    password = _password_in(settings.store)
    yield from (password, unquote(password))
    if settings.basic_auth_user and settings.basic_auth_password:
        yield from _basic_forms(settings.basic_auth_user, settings.basic_auth_password.get_secret_value())


def _password_in(address: str) -> str:
    found = _STORE_PASSWORD.match(address)
    return found[1] if found else ""


def _basic_forms(user: str, password: str) -> Iterator[str]:
    """How name and password travel; clients encode them in UTF-8, or like Label Studio in Latin-1."""
    whole = f"{user}:{password}"
    for encoding in ("utf-8", "latin-1"):
        with suppress(UnicodeEncodeError):
            yield base64.b64encode(whole.encode(encoding)).decode().rstrip("=")


def _forms(secret: str) -> Iterator[str]:
    """A secret as it is, in an address, in JSON, and in the `repr` of a string."""
    if len(secret) < MIN_SECRET_CHARS:
        return
    yield from (secret, quote(secret), quote(secret, safe=""), quote_plus(secret))
    yield from (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1], repr(secret)[1:-1])
