"""The log's two forms, and that no secret gets into either."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
import threading
import time
import traceback
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote, quote_plus

import pytest

from backend.logs import configure, make_mask, request_id
from backend.settings import Settings

log = logging.getLogger("backend.somewhere")

TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
USER = "Zoë"
SECRETS: dict[str, Any] = {
    "api_key": "sk-remote/engine+key==",
    "basic_auth_password": "pass wörd: \"quoted\" ✓ and 'single' \\ back",
    "webhook_secret": "hook/s3cret%20é",
    "label_studio_api_key": "0123456789abcdef0123456789abcdef01234567",
    "hf_token": "hf_AbCdEfGhIjKlMnOpQrStUvWx",
}
STORE_PASSWORD = "st0re p@ss"


def secretive(**more: Any) -> Settings:
    """Settings with a secret in every place for one."""
    store = f"postgresql://judge:{quote(STORE_PASSWORD)}@db.example:5432/verdicts"
    return Settings(basic_auth_user=USER, store=store, **SECRETS, **more)


def forms(secret: str) -> set[str]:
    """A secret as clients, addresses, JSON and Python write it."""
    pair = f"{USER}:{secret}"
    as_bytes = [pair.encode()]
    if secret.isascii() or all(ord(char) < 256 for char in secret):
        as_bytes.append(pair.encode("latin-1"))
    return {
        secret,
        quote(secret),
        quote(secret, safe=""),
        quote(secret, safe="").lower(),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        repr(secret)[1:-1],
        *((base64.b64encode(one).decode() for one in as_bytes) if secret == SECRETS["basic_auth_password"] else ()),
    }


@pytest.fixture
def restored() -> Iterator[None]:
    """Leaves logging as it was."""
    root, hook = logging.getLogger(), threading.excepthook
    kept = (root.handlers[:], root.level, logging.getLogger("httpx").level)
    yield
    root.handlers[:], level, httpx_level = kept
    root.setLevel(level)
    logging.getLogger("httpx").setLevel(httpx_level)
    logging.captureWarnings(capture=False)
    threading.excepthook = hook


@pytest.fixture
def written(restored: None, request: pytest.FixtureRequest) -> io.StringIO:
    """Where a log goes in the form that the test names, text if none."""
    stream = io.StringIO()
    configure(secretive(log_format=getattr(request, "param", "text")), stream)
    return stream


in_json = pytest.mark.parametrize("written", ["json"], indirect=True)
in_both = pytest.mark.parametrize("written", ["text", "json"], indirect=True)


class TestText:
    def test_a_line_is_time_level_message(self, written: io.StringIO) -> None:
        log.info("answered %d tasks, ✓", 3)
        assert re.fullmatch(rf"{TIME} INFO answered 3 tasks, ✓\n", written.getvalue())

    def test_the_request_id_stands_in_brackets(self, written: io.StringIO) -> None:
        token = request_id.set("abc-1")
        log.warning("refused")
        request_id.reset(token)
        log.warning("later")
        assert [line.split(" ", 1)[1] for line in written.getvalue().splitlines()] == [
            "WARNING [abc-1] refused",
            "WARNING later",
        ]

    def test_a_traceback_follows(self, written: io.StringIO) -> None:
        try:
            raise ValueError("no such luck")
        except ValueError:
            log.exception("judging failed")
            expected = traceback.format_exc().rstrip("\n")
        first, _, rest = written.getvalue().partition("\n")
        assert first.endswith(" ERROR judging failed")
        assert rest == f"{expected}\n"

    def test_a_strangers_text_cannot_look_like_a_line(self, written: io.StringIO) -> None:
        log.info("path %s", "/x\n2026-01-01T00:00:00.000Z INFO forged\r\x1b[31m\x85\u2028\x00")
        assert written.getvalue().split(" INFO ", 1)[1] == (
            "path /x\\n2026-01-01T00:00:00.000Z INFO forged\\r\\x1b[31m\\x85\\u2028\\x00\n"
        )


class TestJson:
    @in_json
    def test_a_line_is_an_object(self, written: io.StringIO) -> None:
        token = request_id.set("abc-1")
        log.info("judged\n%s ✓", "it", extra={"task": 7, "project": "3.179", "other": "left out"})
        request_id.reset(token)
        log.error("later")
        first, second = (json.loads(line) for line in written.getvalue().split("\n")[:-1])
        assert re.fullmatch(TIME, first.pop("time"))
        assert first == {
            "level": "INFO",
            "logger": "backend.somewhere",
            "message": "judged\nit ✓",
            "request_id": "abc-1",
            "task": 7,
            "project": "3.179",
        }
        second.pop("time")
        assert second == {
            "level": "ERROR",
            "logger": "backend.somewhere",
            "message": "later",
            "request_id": None,
        }

    @in_json
    def test_an_exception_is_one_field(self, written: io.StringIO) -> None:
        try:
            raise ValueError("no such luck")
        except ValueError:
            log.exception("judging failed")
            expected = traceback.format_exc().rstrip("\n")
        [line] = written.getvalue().splitlines()
        assert json.loads(line)["exception"] == expected

    @in_json
    def test_half_a_character_still_makes_a_line(self, restored: None, written: io.StringIO, tmp_path: Path) -> None:
        with (tmp_path / "log").open("w", encoding="utf-8", errors="backslashreplace") as stream:
            configure(secretive(log_format="json"), stream)
            log.info("odd: \udc80")
        assert json.loads((tmp_path / "log").read_text())["message"] == "odd: \udc80"


class TestSecrets:
    @in_both
    def test_no_form_of_a_secret_is_written(self, written: io.StringIO) -> None:
        planted = {form for secret in SECRETS.values() for form in forms(secret)}
        planted |= {STORE_PASSWORD, quote(STORE_PASSWORD)}
        for form in planted:
            log.info("message " + form.replace("%", "%%"))
            log.info("argument %s and %r", form, {"key": form}, extra={"task": form, "project": form})
            try:
                raise ValueError(form)
            except ValueError as exc:
                try:
                    raise KeyError(form) from exc
                except KeyError:
                    log.exception("failed")
        for line in written.getvalue().splitlines():
            whole = [line]
            if line.startswith("{"):
                whole += [str(value) for value in json.loads(line).values()]
            for text in whole:
                assert not [form for form in planted if form.lower() in text.lower()], text
        assert "message ***" in written.getvalue()

    @in_both
    def test_a_secret_as_the_request_id_is_masked(self, written: io.StringIO) -> None:
        token = request_id.set(SECRETS["hf_token"])
        log.info("hello")
        request_id.reset(token)
        assert "***" in written.getvalue()
        assert SECRETS["hf_token"] not in written.getvalue()

    @pytest.mark.parametrize(
        ("text", "masked"),
        [
            ("Authorization: Basic dXNlcjpwYXNz", "Authorization: ***"),
            ("{'authorization': 'Token abc', 'Host': 'h'}", "{'authorization': '***', 'Host': 'h'}"),
            ('{"Authorization": "Digest a=b, c=d"}', '{"Authorization": "***"}'),
            (r"body \"Authorization\": \"Basic x\" end", r"body \"Authorization\": \"***\" end"),
            ("b'Authorization': b'Bearer x'", "b'Authorization': b'***'"),
            ("X-Webhook-Secret: what ever\nnext", "X-Webhook-Secret: ***\nnext"),
            (f"sent Token {'ab12' * 10}.", "sent Token ***."),
            ("sent bearer abc.DEF-1/2+3==; again", "sent Bearer ***; again"),
            ("the key eyJhbGciOi.eyJleHAi_-0.c2ln-x_ is old", "the key *** is old"),
            ('{"access_token": "a\\"b", "project": "3"}', '{"access_token": "***", "project": "3"}'),
            ("{'password': 'a\\'b', 'login': 'me'}", "{'password': '***', 'login': 'me'}"),
            (r'"{\"password\": \"abc\", \"x\": 1}"', r'"{\"password\": \"***\", \"x\": 1}"'),
            ('{"password": "cut', '{"password": "***"'),
            ("host=db password=abc port=1", "host=db password=*** port=1"),
            ("https://me:pw@host/a.png?sig=ab&x=1, 404", "https://***@host/a.png?*** 404"),
            ("HTTPS://h/a.png?sig=ab 'x'", "HTTPS://h/a.png?*** 'x'"),
            ('"POST /webhook/abc HTTP/1.1" 200', '"POST /webhook/*** HTTP/1.1" 200'),
            ("https://h/a.png?...sig=ab 1", "https://h/a.png?*** 1"),
            ("postgresql+psycopg://u:p@ss@h/db", "postgresql+psycopg://***@h/db"),
        ],
    )
    def test_what_looks_like_a_secret_is_masked(self, text: str, masked: str) -> None:
        assert make_mask(Settings())(text) == masked

    @pytest.mark.parametrize(
        "text",
        [
            "Token of no kind",
            "answered 3 tasks, 0 of them failed, 0 pending",
            "password authentication failed for user judge",
            "https://host/a.png has 3 x 2 = 6 pixels",
            "cannot fetch https://host/a.png?...: https://host does not have it (status 404)",
            "not judged: task 4 has no text to judge in `caption`; ask me@example.org",
            "the commit 0123456789abcdef0123456789abcdef01234567",
        ],
    )
    def test_nothing_else_is(self, text: str) -> None:
        assert make_mask(Settings(basic_auth_user="a", basic_auth_password="task"))(text) == text

    def test_a_short_password_is_masked_where_it_travels(self) -> None:
        mask = make_mask(Settings(basic_auth_user="judge", basic_auth_password="abc"))
        assert mask(base64.b64encode(b"judge:abc").decode()) == "***"

    def test_long_hostile_texts_take_no_time(self) -> None:
        mask = make_mask(secretive())
        hostile = ["://" * 3000, "eyJ" * 3000, "-eyJ" * 2000, "\\" * 8000, '"password":"' * 700, "authorization" * 600]
        began = time.monotonic()
        for text in hostile:
            mask(text)
        assert time.monotonic() - began < 5


class TestOtherLoggers:
    def test_gunicorns_handlers_keep_their_place_and_get_the_form(self, restored: None) -> None:
        theirs, stream = logging.getLogger("gunicorn.error"), io.StringIO()
        handler = logging.StreamHandler(stream)
        theirs.addHandler(handler)
        try:
            configure(secretive(), io.StringIO())
            theirs.warning("Invalid HTTP Header: 'Authorization : Basic x'")
        finally:
            theirs.removeHandler(handler)
        assert re.fullmatch(rf"{TIME} WARNING Invalid HTTP Header: 'Authorization : \*\*\*'\n", stream.getvalue())

    def test_httpx_tells_no_requests(self, written: io.StringIO) -> None:
        logging.getLogger("httpx").info("HTTP Request: GET http://h/x?sig=1")
        assert written.getvalue() == ""

    def test_warnings_and_ends_of_threads_are_lines_too(self, written: io.StringIO) -> None:
        warnings.warn(f"beware of {SECRETS['hf_token']}", UserWarning, stacklevel=1)

        def end() -> None:
            raise RuntimeError(SECRETS["hf_token"])

        thread = threading.Thread(target=end, name="loader")
        thread.start()
        thread.join()
        text = written.getvalue()
        assert "beware of ***" in text
        assert " ERROR the thread loader ended\nTraceback" in text
        assert text.rstrip().endswith("RuntimeError: ***")

    def test_again_is_as_once(self, restored: None) -> None:
        first, second = io.StringIO(), io.StringIO()
        configure(secretive(), first)
        configure(secretive(), second)
        log.info("one line")
        assert first.getvalue() == ""
        assert second.getvalue().endswith("INFO one line\n")
        assert len(second.getvalue().splitlines()) == 1

    def test_it_goes_to_standard_error(self, restored: None, capsys: pytest.CaptureFixture[str]) -> None:
        configure(secretive())
        log.info("one line")
        out, err = capsys.readouterr()
        assert out == ""
        assert err.endswith("INFO one line\n")


def test_a_line_that_cannot_be_made_names_its_place_and_not_its_contents(written: io.StringIO) -> None:
    [ours] = [handler for handler in logging.getLogger().handlers if getattr(handler, "stream", None) is written]
    ours.handle(log.makeRecord(log.name, logging.INFO, "worker.py", 7, "%d tasks", (SECRETS["hf_token"],), None))
    assert written.getvalue() == "a line of the log is lost (TypeError): worker.py, line 7\n"


@pytest.mark.parametrize("sign", ["/", "#", "?", " ", "'", "%40"])
def test_the_stores_password_is_masked_whatever_signs_it_has(sign: str) -> None:
    """As SQLAlchemy reads it: up to the first @."""
    mask = make_mask(Settings(store=f"postgresql+psycopg://judge:long{sign}password@db:5432/x"))
    assert mask(f"it is long{sign}password.") == "it is ***."
    assert mask(f"cannot open postgresql://judge:p{sign}w@db:5432/x") == "cannot open postgresql://***@db:5432/x"
