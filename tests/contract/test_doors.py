"""Who is let in over real HTTP, and what every answer carries."""

from __future__ import annotations

import base64
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from flask import Flask, g, jsonify, request
from werkzeug.serving import make_server

from backend.doors import (
    CHALLENGE,
    HEADERS,
    NO_KEY,
    NO_WEBHOOK_KEY,
    NOT_BY_THIS_NAME,
    NOT_HERE,
    NOT_OF_OURS,
    is_loopback,
    lock,
    shown_path,
)
from backend.errors import SettingsError
from backend.logs import request_id
from backend.serving import refuse_unlocked_address
from backend.settings import Settings, load_settings

NAME, PASSWORD, SECRET = "label-studio", "pa:ss wörd ✓ \U0001f511", "hook/sécret ✓"
LOCKED: dict[str, Any] = {"basic_auth_user": NAME, "basic_auth_password": PASSWORD}
ROUTES = [("GET", "/"), ("GET", "/metrics"), ("POST", "/predict"), ("POST", "/health"), ("GET", "/nowhere")]

Open = Callable[..., httpx.Client]


def guarded_app(**settings: Any) -> Flask:
    """An application with the routes that the door knows by name, one that fails, and one behind it."""
    app = Flask("guarded")
    lock(app, Settings(**settings))

    @app.get("/health")
    @app.post("/health")
    @app.get("/metrics")
    @app.get("/")
    @app.post("/predict")
    @app.post("/webhook")
    @app.post("/webhook/<path:secret>")
    def answer(secret: str | None = None) -> Any:
        return jsonify(authorized=g.authorized, path=shown_path(request), id=request_id.get())

    @app.get("/broken")
    def broken() -> Any:
        raise ZeroDivisionError

    return app


@pytest.fixture
def opened() -> Iterator[Open]:
    """Serves a guarded application with these settings; the answer is a client for it."""
    ends: list[Callable[[], None]] = []

    def serve(**settings: Any) -> httpx.Client:
        server = make_server("127.0.0.1", 0, guarded_app(**settings), threaded=True)
        thread = threading.Thread(
            target=server.serve_forever, args=(0.01,), daemon=True
        )  # looks for its end so often, in s
        thread.start()
        client = httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}", timeout=20)
        ends.extend((client.close, server.shutdown, thread.join, server.server_close))
        return client

    yield serve
    for end in ends:
        end()


def basic(user: str, password: str, encoding: str = "utf-8") -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode(encoding)).decode()}


def refused(answer: httpx.Response, reason: str, status: int = 401) -> bool:
    """Whether the answer is this refusal, with a challenge where one belongs."""
    challenge = CHALLENGE if status == 401 else None
    found = (answer.status_code, answer.json(), answer.headers.get("WWW-Authenticate"))
    return found == (status, {"error": reason}, challenge)


class TestBasicAuthorization:
    @pytest.mark.parametrize(("method", "path"), ROUTES)
    def test_every_route_wants_it_also_those_that_do_not_exist(self, opened: Open, method: str, path: str) -> None:
        client = opened(**LOCKED)
        assert refused(client.request(method, path), NO_KEY)
        assert refused(client.request(method, path, headers=basic(NAME, "wrong")), NO_KEY)
        assert refused(client.request(method, path, headers=basic("wrong", PASSWORD)), NO_KEY)
        right = client.request(method, path, headers=basic(NAME, PASSWORD))
        assert right.status_code == (404 if path == "/nowhere" else 200)
        assert path == "/nowhere" or right.json()["authorized"] is True

    def test_anybody_may_ask_for_health_but_not_with_wrong_credentials(self, opened: Open) -> None:
        client = opened(**LOCKED)
        assert client.get("/health").json()["authorized"] is False
        assert client.head("/health").status_code == 200
        assert client.get("/health", headers=basic(NAME, PASSWORD)).json()["authorized"] is True
        assert refused(client.get("/health", headers=basic(NAME, "wrong")), NO_KEY)

    def test_the_password_may_come_in_latin_1_as_label_studio_sends_it(self, opened: Open) -> None:
        client = opened(basic_auth_user="Zoë", basic_auth_password="motdepassé")
        for encoding in ("utf-8", "latin-1"):
            assert client.get("/", headers=basic("Zoë", "motdepassé", encoding)).status_code == 200
        assert refused(client.get("/", headers=basic("Zoe", "motdepasse")), NO_KEY)

    @pytest.mark.parametrize(
        "header",
        [
            b"",
            b"Basic",
            b"Basic !!!!",
            b"Basic \xff\xfe",
            b"Basic " + base64.b64encode(b"no colon"),
            b"Basic " + base64.b64encode(b":"),
            b"Basic " + base64.b64encode(b"\xff\xfe:\x00"),
            b"Basic " + b"A" * 60_000,
            b"Bearer " + base64.b64encode(f"{NAME}:{PASSWORD}".encode()),
            b"Digest username=x",
            base64.b64encode(f"{NAME}:{PASSWORD}".encode()),
        ],
        ids=lambda header: repr(header[:24]),
    )
    def test_a_malformed_header_is_refused_and_nothing_breaks(self, opened: Open, header: bytes) -> None:
        answer = opened(**LOCKED).get("/", headers=[(b"Authorization", header)])
        assert refused(answer, NO_KEY)

    @pytest.mark.parametrize("half", [{**LOCKED, "basic_auth_user": ""}, {**LOCKED, "basic_auth_password": ""}])
    def test_an_empty_half_is_no_lock_but_an_error(self, half: dict[str, Any]) -> None:
        with pytest.raises(SettingsError, match="go together; set both"):
            load_settings(**half)

    def test_empty_name_and_password_are_none(self, opened: Open) -> None:
        client = opened(basic_auth_user="", basic_auth_password="")
        assert client.get("/").json()["authorized"] is True


class TestWebhooks:
    def test_without_locks_every_webhook_is_taken(self, opened: Open) -> None:
        client = opened()
        assert [client.post(path).status_code for path in ("/webhook", "/webhook/anything")] == [200, 200]

    @pytest.mark.parametrize("locks", [{"webhook_secret": SECRET}, {**LOCKED, "webhook_secret": SECRET}])
    def test_the_secret_opens_in_path_or_header(self, opened: Open, locks: dict[str, str]) -> None:
        client = opened(**locks)
        header = [(b"X-Webhook-Secret", SECRET.encode())]
        assert client.post("/webhook/hook/s%C3%A9cret%20%E2%9C%93").json()["path"] == "/webhook/***"
        assert client.post("/webhook", headers=header).status_code == 200
        for path in ("/webhook", "/webhook/", "/webhook/wrong", "/webhook/hook", "/webhook//hook/sécret ✓"):
            assert refused(client.post(path), NO_WEBHOOK_KEY)
        assert refused(client.post("/webhook", headers={"X-Webhook-Secret": "wrong"}), NO_WEBHOOK_KEY)

    def test_the_secret_opens_nothing_else(self, opened: Open) -> None:
        client = opened(**LOCKED, webhook_secret=SECRET)
        header = [(b"X-Webhook-Secret", SECRET.encode())]
        assert refused(client.post("/predict", headers=header), NO_KEY)
        assert client.post("/webhook", headers=header).json()["authorized"] is False

    @pytest.mark.parametrize("secret", [{}, {"webhook_secret": SECRET}])
    def test_basic_authorization_opens_too(self, opened: Open, secret: dict[str, str]) -> None:
        client = opened(**LOCKED, **secret)
        assert client.post("/webhook", headers=basic(NAME, PASSWORD)).status_code == 200
        assert refused(client.post("/webhook", headers=basic(NAME, "wrong")), NO_WEBHOOK_KEY)
        assert refused(client.post("/webhook"), NO_WEBHOOK_KEY)

    def test_a_secret_alone_leaves_the_rest_open_to_this_machine(self, opened: Open) -> None:
        assert opened(webhook_secret=SECRET).get("/").json()["authorized"] is True


class TestPeers:
    @pytest.mark.parametrize(
        ("peer", "own"),
        [
            ("127.0.0.1", True),
            ("127.8.9.1", True),
            ("::1", True),
            ("::ffff:127.0.0.1", True),
            ("10.0.0.3", False),
            ("192.0.2.7", False),
            ("::ffff:10.0.0.3", False),
            ("fe80::1%eth0", False),
            ("0.0.0.0", False),
            ("localhost", False),
            ("", False),
        ],
    )
    def test_without_a_password_only_this_machine_is_served(self, peer: str, own: bool) -> None:
        assert is_loopback(peer) is own
        for method, path in [*ROUTES[:4], ("GET", "/health"), ("POST", "/webhook")]:
            open_to = guarded_app().test_client().open(path, method=method, environ_base={"REMOTE_ADDR": peer})
            assert open_to.status_code == (200 if own else 403)
            assert own or open_to.json == {"error": NOT_HERE}
        locked = guarded_app(**LOCKED).test_client()
        answer = locked.get("/", headers=basic(NAME, PASSWORD), environ_base={"REMOTE_ADDR": peer})
        assert answer.status_code == 200

    def test_a_forwarded_address_changes_nothing(self) -> None:
        answer = (
            guarded_app()
            .test_client()
            .get("/", headers={"X-Forwarded-For": "127.0.0.1"}, environ_base={"REMOTE_ADDR": "10.0.0.3"})
        )
        assert answer.status_code == 403

    @pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.1"])
    def test_own_addresses_may_be_served_without_a_password(self, host: str) -> None:
        refuse_unlocked_address(Settings(host=host))

    @pytest.mark.parametrize(
        ("host", "named"),
        [
            ("0.0.0.0", "0.0.0.0"),
            ("0", "0.0.0.0"),
            ("::", "::"),
            ("192.168.1.5", "192.168.1.5"),
            ("8.8.8.8", "8.8.8.8"),
        ],
    )
    def test_other_addresses_want_a_password_first(self, host: str, named: str) -> None:
        with pytest.raises(SettingsError) as caught:
            refuse_unlocked_address(Settings(host=host))
        assert str(caught.value) == (
            f"{host} ({named}) can be reached from other machines; set VLM_JUDGE_BASIC_AUTH_USER and "
            "VLM_JUDGE_BASIC_AUTH_PASSWORD, or listen on 127.0.0.1 with --host"
        )
        refuse_unlocked_address(Settings(host=host, **LOCKED))

    def test_a_name_counts_as_all_its_addresses(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """What a hosts file that gives this machine's name two addresses does, without writing one."""

        def two(host: str, port: int, type: int) -> list[tuple[Any, ...]]:
            return [(socket.AF_INET, type, 6, "", (address, port)) for address in ("127.0.0.1", "10.1.2.3")]

        monkeypatch.setattr(socket, "getaddrinfo", two)
        with pytest.raises(SettingsError, match=r"^judge-machine \(10\.1\.2\.3\) can be reached"):
            refuse_unlocked_address(Settings(host="judge-machine"))

    def test_the_server_does_not_start_where_others_could_ask_it(self, tmp_path: Path) -> None:
        command = [sys.executable, "-m", "backend.cli", "serve", "--engine", "scripted", "--host", "0.0.0.0"]
        environment = {**os.environ, "VLM_JUDGE_STORE": str(tmp_path / "s.sqlite")}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(
            "Error: 0.0.0.0 (0.0.0.0) can be reached from other machines; set VLM_JUDGE_BASIC"
        )
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("host", ["", "no-such-host.invalid"])
    def test_a_host_that_is_none_is_refused(self, host: str) -> None:
        with pytest.raises(SettingsError, match=rf"^cannot listen on '{host}': .*; choose another with --host$"):
            refuse_unlocked_address(Settings(host=host))


class TestEveryAnswer:
    def test_carries_the_headers_that_browsers_heed(self, opened: Open) -> None:
        client = opened(**LOCKED)
        key = basic(NAME, PASSWORD)
        answers = [
            client.get("/health"),
            client.get("/"),
            client.get("/nowhere", headers=key),
            client.get("/broken", headers=key),
        ]
        assert [answer.status_code for answer in answers] == [200, 401, 404, 500]
        for answer in answers:
            assert {name: answer.headers.get_list(name) for name in HEADERS} == {n: [v] for n, v in HEADERS.items()}

    def test_carries_the_request_id_that_was_given_or_a_new_one(self, opened: Open) -> None:
        client = opened()
        given = client.get("/", headers={"X-Request-Id": "a.B_9-" + "x" * 58})
        assert given.headers["X-Request-Id"] == given.json()["id"] == "a.B_9-" + "x" * 58
        made = [
            client.get("/", headers=[(b"X-Request-Id", wrong)]) for wrong in (b"", b"x" * 65, b"a b", b"a\tb", b"\xe4")
        ]
        ids = [answer.headers["X-Request-Id"] for answer in made]
        assert ids == [answer.json()["id"] for answer in made]
        assert len(set(ids)) == 5
        assert all(len(one) == 16 for one in ids)

    def test_a_refused_request_gets_an_id_too(self, opened: Open) -> None:
        answer = opened(**LOCKED).get("/", headers={"X-Request-Id": "mine"})
        assert answer.headers["X-Request-Id"] == "mine"


def test_refusals_are_logged_without_what_follows_the_webhook(opened: Open, caplog: pytest.LogCaptureFixture) -> None:
    client = opened(**LOCKED, webhook_secret=SECRET)
    with caplog.at_level(logging.WARNING, logger="backend.doors"):
        client.post("/WebHook/nearly-right", headers=basic(NAME, "guess"))
        client.post(f"/{'x' * 300}")
    assert [record.getMessage() for record in caplog.records] == [
        "POST /WebHook/*** from 127.0.0.1: refused with 401",
        f"POST /{'x' * 199}... from 127.0.0.1: refused with 401",
    ]


def test_the_id_ends_with_the_request() -> None:
    body = guarded_app().test_client().get("/", headers={"X-Request-Id": "mine"})
    assert body.get_json()["id"] == "mine"
    assert request_id.get() is None


class TestWebPages:
    @pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", "nonsense"])
    def test_a_page_of_another_site_cannot_send_anything(self, opened: Open, origin: str) -> None:
        answer = opened().post("/webhook", headers={"Origin": origin})
        assert (answer.status_code, answer.json()) == (403, {"error": NOT_OF_OURS})
        assert opened().get("/", headers={"Origin": origin}).status_code == 200

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_a_page_whose_name_was_made_to_lead_here_cannot_either(self, opened: Open, method: str) -> None:
        headers = {"Host": "evil.example:9090", "Origin": "http://evil.example:9090"}
        answer = opened().request(method, "/webhook" if method == "POST" else "/", headers=headers)
        assert (answer.status_code, answer.json()) == (403, {"error": NOT_BY_THIS_NAME})

    @pytest.mark.parametrize(
        "host", ["127.0.0.1:9090", "[::1]:9090", "localhost", "LOCALHOST.:80", socket.gethostname()]
    )
    def test_this_machine_is_known_by_its_own_names(self, opened: Open, host: str) -> None:
        assert opened().get("/", headers={"Host": host}).status_code == 200

    def test_with_a_password_any_name_will_do(self, opened: Open) -> None:
        client = opened(**LOCKED)
        answer = client.get("/", headers={"Host": "judge.example", **basic(NAME, PASSWORD)})
        assert answer.status_code == 200

    def test_a_page_of_our_own_can(self, opened: Open) -> None:
        client = opened()
        own = str(client.base_url).rstrip("/")
        assert client.post("/webhook", headers={"Origin": own}).status_code == 200
