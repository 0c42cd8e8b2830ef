"""What the doctor says of backends as Label Studio 1.23.2 sees them, by its recorded answers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from backend.doctor import Finding
from backend.doctor.connection import Wiring, check_connections, check_reach
from backend.doctor.label_studio import SignedIn, sign_in
from backend.doctor.reach import ALLOW_PRIVATE, SERVE_THERE, UNLOCK
from backend.settings import Settings
from backend.studio_types import Project
from tests.checking import seen
from tests.contract.replay import STUDIO, Answer, Replay, replaying, said, wrong

LEGACY = "0123456789abcdef0123456789abcdef01234567"
BACKEND = "http://10.0.0.7:9090"
REACH = {"url": f"{BACKEND}/vlm-judge-doctor", "project": 3, "title": "vlm-judge-doctor"}
PROJECT = Project(3, "Captions", "<View/>", "", 2)
BLOCKED = "URL resolves to a reserved network address (block: 10.0.0.0/8)"
LETS_PASS = wrong(is_interactive=["Must be a valid boolean."], project=["This field is required."])
NO_HOST = wrong(url=["Enter a valid URL."], actions={"0": ['"vlm-judge-doctor" is not a valid choice.']})
CANNOT = (
    f"Can't connect to ML backend {BACKEND}/vlm-judge-doctor, health check failed. Make sure it is up and your "
    'firewall is properly configured. <a href="https://labelstud.io/guide/ml.html">Learn more</a> about how to set up '
    "an ML backend. Additional info: "
)
REFUSED = (
    "HTTPConnectionPool(host='10.0.0.7', port=9090): Max retries exceeded with url: /vlm-judge-doctor/health (Caused "
    "by NewConnectionError(\"HTTPConnection(host='10.0.0.7', port=9090): Failed to establish a new connection: "
    '[Errno 111] Connection refused"))'
)
SLOW = (
    "HTTPConnectionPool(host='10.0.0.7', port=9090): Max retries exceeded with url: /vlm-judge-doctor/health (Caused "
    "by ConnectTimeoutError(<HTTPConnection(host='10.0.0.7', port=9090) at 0x7f>, 'Connection to 10.0.0.7 timed out. "
    "(connect timeout=1.0)'))"
)
LOCKED = "Able to connect to ML Server, but authentication parameters were either not provided or are incorrect."
NOT_THERE = f"404 Client Error: NOT FOUND for url: {BACKEND}/vlm-judge-doctor/health"
FORBIDDEN = f"403 Client Error: FORBIDDEN for url: {BACKEND}/vlm-judge-doctor/health"


@pytest.fixture
def studio() -> Iterator[Replay]:
    with replaying(STUDIO) as replay:
        yield replay


@pytest.fixture
def signed(studio: Replay) -> SignedIn:
    _, signed = seen(sign_in(settings_for(studio), studio.url, is_needed=True))
    assert isinstance(signed, SignedIn)
    return signed


def settings_for(studio: Replay, **more: Any) -> Settings:
    return Settings(label_studio_url=studio.url, label_studio_api_key=SecretStr(LEGACY), **more)


class TestReach:
    def test_the_check_of_backends_refuses_the_address(self, studio: Replay, signed: SignedIn) -> None:
        studio.answers["POST /api/ml"] = said(403, BLOCKED)
        detail = f'Label Studio does not call the address {BACKEND}: "{BLOCKED}"'
        wanted = Finding("reach", "failed", detail, ALLOW_PRIVATE)
        assert seen(check_reach(signed, PROJECT, BACKEND)) == ([wanted], False)
        assert wanted.remedy == "start Label Studio with ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED=false"
        assert studio.asked[-1] == ("POST /api/ml", {"url": BACKEND, "is_interactive": "vlm-judge-doctor"})

    def test_the_check_of_webhooks_refuses_the_address(self, studio: Replay, signed: SignedIn) -> None:
        studio.answers |= {"POST /api/ml": LETS_PASS, "POST /api/webhooks/": said(403, BLOCKED)}
        detail = f'Label Studio sends no webhooks to {BACKEND}, which leaves a connection half-made: "{BLOCKED}"'
        remedy = f"{ALLOW_PRIVATE} (the first alone is not enough)"
        assert seen(check_reach(signed, PROJECT, BACKEND)) == ([Finding("reach", "failed", detail, remedy)], False)
        hook = {"url": f"{BACKEND}/webhook", "actions": ["vlm-judge-doctor"]}
        assert studio.asked[-1] == ("POST /api/webhooks/", hook)

    def test_a_host_without_a_dot_gets_no_webhook(self, studio: Replay, signed: SignedIn) -> None:
        studio.answers |= {"POST /api/ml": LETS_PASS, "POST /api/webhooks/": NO_HOST}
        [finding], _ = seen(check_reach(signed, PROJECT, "http://judge:9090"))
        assert finding == Finding(
            "reach",
            "failed",
            "Label Studio makes no webhook for http://judge:9090, whose host has no dot in its name, so no review "
            "comes back",
            "give the backend a host name with a dot in it, or its IP address, and connect that",
        )

    def test_a_host_that_label_studio_does_not_know(self, studio: Replay, signed: SignedIn) -> None:
        studio.answers["POST /api/ml"] = said(500, "Can't resolve hostname judge.example")
        [finding], _ = seen(check_reach(signed, PROJECT, "http://judge.example:9090"))
        detail = (
            'Label Studio does not know the host of http://judge.example:9090: "Can\'t resolve hostname judge.example"'
        )
        assert finding == Finding("reach", "failed", detail, SERVE_THERE)

    def test_what_is_no_address_is_not_asked_about(self, studio: Replay, signed: SignedIn) -> None:
        before = len(studio.asked)
        detail = "localhost:9090 is not the address of a backend"
        wanted = Finding("reach", "failed", detail, "give one such as http://HOST:9090")
        assert seen(check_reach(signed, PROJECT, "localhost:9090")) == ([wanted], False)
        assert len(studio.asked) == before

    def test_without_a_project_only_the_address_is_checked(self, studio: Replay, signed: SignedIn) -> None:
        studio.answers["POST /api/ml"] = LETS_PASS
        detail = f"Label Studio may call {BACKEND} as far as its address goes; with --project it also tries to"
        assert seen(check_reach(signed, None, BACKEND)) == ([Finding("reach", "ok", detail)], False)


class TestTrial:
    """The address passes; then Label Studio says what came of calling it."""

    def tried(self, signed: SignedIn, studio: Replay, answer: Answer) -> Finding:
        from backend.doctor.reach import reach_hindrance

        studio.answers["POST /api/ml"] = answer
        found = reach_hindrance(signed, PROJECT.id, BACKEND)
        assert ("POST /api/ml", REACH) in studio.asked
        return Finding("reach", "failed", found.reason, found.remedy) if found else Finding("reach", "ok", "")

    @pytest.mark.parametrize("detail", [CANNOT + NOT_THERE, LOCKED, CANNOT + "Expecting value: line 1 column 1"])
    def test_an_answer_of_any_kind_is_an_answer(self, studio: Replay, signed: SignedIn, detail: str) -> None:
        assert self.tried(signed, studio, wrong(non_field_errors=[detail])).state == "ok"

    @pytest.mark.parametrize(
        ("info", "why"), [(REFUSED, "Connection refused"), (SLOW, "no answer within 1 s"), ("Odd.", "Odd.")]
    )
    def test_no_answer(self, studio: Replay, signed: SignedIn, info: str, why: str) -> None:
        finding = self.tried(signed, studio, wrong(non_field_errors=[CANNOT + info]))
        assert finding == Finding("reach", "failed", f"Label Studio does not reach {BACKEND}: {why}", SERVE_THERE)

    def test_a_backend_that_serves_its_own_machine_only(self, studio: Replay, signed: SignedIn) -> None:
        finding = self.tried(signed, studio, wrong(non_field_errors=[CANNOT + FORBIDDEN]))
        assert finding.detail == (
            f"the server at {BACKEND} refuses Label Studio (403), as ours does when asked from another machine without "
            "a password being set"
        )
        assert finding.remedy == UNLOCK

    def test_what_answers_under_every_path_leaves_nothing(self, studio: Replay, signed: SignedIn) -> None:
        made = {"id": 8, "project": 3, "url": REACH["url"], "title": "x", "model_version": ""}
        hook = {"id": 5, "project": 3, "url": f"{REACH['url']}/webhook"}
        studio.answers |= {"GET /api/ml": (200, [made]), "GET /api/webhooks/": (200, [hook])}
        studio.answers |= {"DELETE /api/ml/8": (204, ""), "DELETE /api/webhooks/5/": (204, "")}
        assert self.tried(signed, studio, (201, made)).state == "ok"
        assert [name for name, _ in studio.asked if name.startswith("DELETE")] == [
            "DELETE /api/ml/8",
            "DELETE /api/webhooks/5/",
        ]


class TestConnections:
    """The list of a project's ML backends, and that of its webhooks."""

    CONNECTION: dict[str, Any] = {  # noqa: RUF012
        "id": 4,
        "project": 3,
        "url": BACKEND,
        "state": "CO",
        "error_message": None,
        "model_version": "judge-1",
        "auth_method": "NONE",
    }
    HOOK: dict[str, Any] = {  # noqa: RUF012
        "id": 5,
        "project": 3,
        "url": f"{BACKEND}/webhook",
        "is_active": True,
        "headers": {},
    }
    CONNECT = f"vlm-judge project connect --project 3 {BACKEND}"

    def checked(
        self, studio: Replay, signed: SignedIn, backend: str | None = None, fingerprint: str = "judge-1", **more: Any
    ) -> list[Finding]:
        wiring = Wiring(settings_for(studio, **more), signed, PROJECT, fingerprint)
        findings, _ = seen(check_connections(wiring, backend))
        assert {finding.check for finding in findings} == {"connection"}
        return findings

    def listed(self, studio: Replay, hooks: list[Any], **changes: Any) -> None:
        studio.answers["GET /api/ml"] = (200, [{**self.CONNECTION, **changes}])
        studio.answers["GET /api/webhooks/"] = (200, hooks)

    def test_a_whole_one(self, studio: Replay, signed: SignedIn) -> None:
        self.listed(studio, [self.HOOK])
        detail = f"connection 4: Label Studio reaches {BACKEND}, which judges as judge-1"
        assert self.checked(studio, signed, f"{BACKEND}/") == [Finding("connection", "ok", detail)]

    def test_one_that_judges_otherwise(self, studio: Replay, signed: SignedIn) -> None:
        self.listed(studio, [self.HOOK])
        detail = f"connection 4: {BACKEND} judges as judge-1, but these settings as judge-2"
        remedy = "give `vlm-judge` the backend's settings, or start it with these"
        wanted = Finding("connection", "warning", detail, remedy)
        assert self.checked(studio, signed, fingerprint="judge-2") == [wanted]

    def test_none(self, studio: Replay, signed: SignedIn) -> None:
        assert self.checked(studio, signed) == [
            Finding(
                "connection",
                "warning",
                "no backend is connected to project 3",
                "vlm-judge project connect --project 3 http://HOST:9090",
            )
        ]

    def test_another_than_the_one_asked_for(self, studio: Replay, signed: SignedIn) -> None:
        self.listed(studio, [self.HOOK])
        _, finding = self.checked(studio, signed, "http://10.0.0.8:9090")
        assert finding == Finding(
            "connection",
            "warning",
            "the backend at http://10.0.0.8:9090 is not connected to project 3",
            "vlm-judge project connect --project 3 http://10.0.0.8:9090",
        )

    def test_a_half_made_one(self, studio: Replay, signed: SignedIn) -> None:
        self.listed(studio, [])
        detail = f"connection 4: {BACKEND} is half-connected: it has no webhook, so no review comes back"
        assert self.checked(studio, signed) == [Finding("connection", "failed", detail, self.CONNECT)]

    def test_a_half_made_one_that_would_be_half_made_again(self, studio: Replay, signed: SignedIn) -> None:
        self.listed(studio, [])
        studio.answers["POST /api/webhooks/"] = said(403, BLOCKED)
        reason = f'Label Studio sends no webhooks to {BACKEND}, which leaves a connection half-made: "{BLOCKED}"'
        remedy = f"{ALLOW_PRIVATE} (the first alone is not enough)"
        assert self.checked(studio, signed) == [Finding("connection", "failed", f"connection 4: {reason}", remedy)]

    def test_its_webhook_is_no_longer_sent(self, studio: Replay, signed: SignedIn) -> None:
        """As after a restart of Label Studio without the variable; a name without a dot is no fault any more."""
        self.listed(studio, [self.HOOK])
        studio.answers["POST /api/webhooks/"] = said(403, BLOCKED)
        [finding] = self.checked(studio, signed)
        assert (finding.state, finding.remedy) == ("failed", f"{ALLOW_PRIVATE} (the first alone is not enough)")
        studio.answers["POST /api/webhooks/"] = NO_HOST
        assert self.checked(studio, signed)[0].state == "ok"

    def test_its_webhook_is_switched_off(self, studio: Replay, signed: SignedIn) -> None:
        self.listed(studio, [{**self.HOOK, "is_active": False}])
        detail = f"connection 4: the webhook to {BACKEND} is switched off, so no review comes back"
        wanted = Finding("connection", "failed", detail, "switch it on under Settings > Webhooks")
        assert self.checked(studio, signed) == [wanted]

    def test_its_webhook_carries_no_key(self, studio: Replay, signed: SignedIn) -> None:
        self.listed(studio, [self.HOOK])
        detail = f"connection 4: the webhook to {BACKEND} carries no key, so the backend refuses it"
        wanted = Finding("connection", "failed", detail, self.CONNECT)
        assert self.checked(studio, signed, webhook_secret=SecretStr("s")) == [wanted]
        for other in ({"headers": {"X-Webhook-Secret": "s"}}, {"url": f"{BACKEND}/webhook/s"}):
            self.listed(studio, [{**self.HOOK, **other}])
            assert self.checked(studio, signed, webhook_secret=SecretStr("s"))[0].state == "ok"
        self.listed(studio, [{**self.HOOK, "url": f"{BACKEND}/webhooks-of-another"}])
        assert "half-connected" in self.checked(studio, signed)[0].detail

    def test_it_refuses_the_project(self, studio: Replay, signed: SignedIn) -> None:
        message = f"400 Client Error: BAD REQUEST for url: {BACKEND}/setup"
        self.listed(studio, [self.HOOK], state="ER", error_message=message)
        detail = f'connection 4: {BACKEND} is there but refuses the project: "{message}"'
        remedy = "see the backend's log; perhaps the label config does not fit"
        assert self.checked(studio, signed) == [Finding("connection", "failed", detail, remedy)]

    @pytest.mark.parametrize(
        ("auth", "reason", "remedy"),
        [
            ("NONE", "answers, but its /health not within 1 s or not well", "see the backend's log"),
            ("BASIC_AUTH", "answers, but not to the name and password that the connection gives", UNLOCK),
        ],
    )
    def test_it_is_disconnected_but_there(
        self, studio: Replay, signed: SignedIn, auth: str, reason: str, remedy: str
    ) -> None:
        self.listed(studio, [self.HOOK], state="DI", auth_method=auth)
        studio.answers["POST /api/ml"] = wrong(non_field_errors=[CANNOT + NOT_THERE])
        wanted = Finding("connection", "failed", f"connection 4: {BACKEND} {reason}", remedy)
        assert self.checked(studio, signed) == [wanted]

    def test_it_is_away(self, studio: Replay, signed: SignedIn) -> None:
        self.listed(studio, [self.HOOK], state="DI")
        studio.answers["POST /api/ml"] = wrong(non_field_errors=[CANNOT + REFUSED])
        detail = f"connection 4: Label Studio does not reach {BACKEND}: Connection refused"
        assert self.checked(studio, signed) == [Finding("connection", "failed", detail, SERVE_THERE)]

    def test_label_studio_refuses_to_list_them(self, studio: Replay, signed: SignedIn) -> None:
        studio.answers["GET /api/ml"] = said(403, "You do not have permission to perform this action.")
        [finding] = self.checked(studio, signed)
        said_so = 'says 403 "You do not have permission to perform this action."'
        detail = f"could not list the ML backends: Label Studio at {studio.url} {said_so}"
        assert finding == Finding("connection", "failed", detail, "the API key's user is not allowed to do this")
