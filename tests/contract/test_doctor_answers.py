"""What the doctor makes of answers of Label Studio 1.23.2, of a backend and of the hub, recorded and played back."""

from __future__ import annotations

import json
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from backend.doctor import Finding
from backend.doctor.backend_here import ask_backend
from backend.doctor.findings import Lacking
from backend.doctor.label_studio import GET_A_KEY, SignedIn, find_label_studio, sign_in
from backend.doctor.project import open_project
from backend.doctor.weights import Weights, find_weights
from backend.errors import EngineError
from backend.settings import Settings
from tests.checking import seen
from tests.contract.replay import STUDIO, Answer, Replay, replaying, said

LEGACY = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def studio() -> Iterator[Replay]:
    with replaying(STUDIO) as replay:
        yield replay


def settings_for(studio: Replay, token: str = LEGACY) -> Settings:
    return Settings(label_studio_url=studio.url, label_studio_api_key=SecretStr(token))


class TestAddress:
    def found(self, url: str | None, *, is_needed: bool = True) -> tuple[Finding, str | Lacking]:
        [finding], known = seen(find_label_studio(Settings(label_studio_url=url), is_needed=is_needed))
        assert finding.check == "Label Studio"
        return finding, known

    @pytest.mark.parametrize(("is_needed", "state"), [(True, "failed"), (False, "warning")])
    def test_none_is_set(self, is_needed: bool, state: Any) -> None:
        remedy = "export LABEL_STUDIO_URL=http://127.0.0.1:8080, or where yours is"
        assert self.found(None, is_needed=is_needed) == (
            Finding("Label Studio", state, "LABEL_STUDIO_URL is not set", remedy),
            Lacking("LABEL_STUDIO_URL is not set"),
        )

    def test_it_answers(self, studio: Replay) -> None:
        wanted = Finding("Label Studio", "ok", f"version 1.23.2 at {studio.url}")
        assert self.found(f"{studio.url}/") == (wanted, studio.url)

    def test_it_is_older_than_what_was_tested(self, studio: Replay) -> None:
        studio.answers["GET /api/version/"] = (200, {"release": "1.9.2.post0"})
        detail = f"version 1.9.2.post0 at {studio.url}; this product is tested with 1.20 and newer"
        wanted = Finding("Label Studio", "warning", detail, "pip install --upgrade label-studio")
        assert self.found(studio.url) == (wanted, studio.url)

    @pytest.mark.parametrize("answer", [(200, "<html>A page</html>"), (200, {"version": 1}), (404, {}), (200, [])])
    def test_something_else_answers(self, studio: Replay, answer: Answer) -> None:
        studio.answers["GET /api/version/"] = answer
        detail = f"what answers at {studio.url} is not Label Studio"
        remedy = "set LABEL_STUDIO_URL to the address at which Label Studio opens in the browser"
        assert self.found(studio.url) == (
            Finding("Label Studio", "failed", detail, remedy),
            Lacking("`Label Studio` failed"),
        )

    def test_nothing_answers_and_no_password_is_shown(self) -> None:
        detail = "nothing answers at http://127.0.0.1:9 ([Errno 111] Connection refused)"
        remedy = "start Label Studio there, or correct LABEL_STUDIO_URL"
        wanted = Finding("Label Studio", "failed", detail, remedy)
        assert self.found("http://me:secret@127.0.0.1:9")[0] == wanted

    def test_it_is_silent(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("backend.doctor.label_studio._TIMEOUT_S", 0.2)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            detail, remedy = f"{url} does not answer within 0.2 s", "see whether Label Studio is busy"
            assert self.found(url)[0] == Finding("Label Studio", "failed", detail, remedy)

    def test_an_address_that_is_none(self) -> None:
        [finding], _ = seen(find_label_studio(Settings(label_studio_url="localhost:8080"), is_needed=True))
        assert finding.detail.startswith("LABEL_STUDIO_URL is localhost:8080, which cannot be asked (")

    def test_it_has_moved(self, studio: Replay) -> None:
        with replaying({"GET /api/version/": (302, "", {"Location": f"{studio.url}/api/version/"})}) as old:
            detail = f"version 1.23.2, but {old.url} sends everybody on to {studio.url}"
            wanted = Finding("Label Studio", "warning", detail, f"export LABEL_STUDIO_URL={studio.url}")
            assert self.found(old.url) == (wanted, old.url)


class TestToken:
    def refused(self, studio: Replay, token: str) -> Finding:
        [finding], lacking = seen(sign_in(settings_for(studio, token), studio.url, is_needed=True))
        assert (finding.check, finding.state, lacking) == ("token", "failed", Lacking("`token` failed"))
        return finding

    @pytest.mark.parametrize(("is_needed", "state"), [(True, "failed"), (False, "warning")])
    def test_none_is_set(self, studio: Replay, is_needed: bool, state: Any) -> None:
        settings = Settings(label_studio_url=studio.url)
        wanted = Finding("token", state, "LABEL_STUDIO_API_KEY is not set", GET_A_KEY)
        assert seen(sign_in(settings, studio.url, is_needed=is_needed))[0] == [wanted]

    def test_whose_it_is(self, studio: Replay) -> None:
        findings, signed = seen(sign_in(settings_for(studio), studio.url, is_needed=False))
        assert findings == [Finding("token", "ok", "a legacy token of a@example.org")]
        assert isinstance(signed, SignedIn)

    def test_legacy_tokens_are_off(self, studio: Replay) -> None:
        detail = (
            "Authentication token no longer valid: legacy token authentication has been disabled for this organization"
        )
        studio.answers["GET /api/current-user/whoami"] = said(401, detail)
        finding = self.refused(studio, LEGACY)
        assert finding.detail == f'Label Studio does not take the legacy token: "{detail}"'
        assert finding.remedy == f"switch legacy tokens on under Organization > Access token settings, or {GET_A_KEY}"

    def test_a_wrong_legacy_token(self, studio: Replay) -> None:
        studio.answers["GET /api/current-user/whoami"] = said(401, "Invalid token.")
        finding = self.refused(studio, LEGACY)
        assert finding.detail == 'Label Studio does not take the legacy token: "Invalid token."'
        assert finding.remedy == f"copy it anew under Account & Settings > Legacy Token, or {GET_A_KEY}"

    def test_a_revoked_personal_token(self, studio: Replay) -> None:
        import jwt

        token = jwt.encode({"token_type": "refresh", "exp": 8_000_000_000}, "k" * 32, algorithm="HS256")
        studio.answers["POST /api/token/refresh/"] = (401, {"detail": "Token is blacklisted", "code": "x"})
        studio.answers["POST /api/token/refresh"] = studio.answers["POST /api/token/refresh/"]
        finding = self.refused(studio, token)
        assert finding.detail == 'Label Studio does not take the personal access token: "Token is blacklisted"'
        assert finding.remedy == f"it is expired, revoked or of another server: {GET_A_KEY}"

    def test_a_token_that_is_cut_off_is_not_sent(self, studio: Replay) -> None:
        finding = self.refused(studio, "eyJh.eyJ")
        assert finding.detail == "LABEL_STUDIO_API_KEY looks like a personal access token but is cut off or damaged"
        assert studio.asked == []


def test_a_project_that_is_not_there(studio: Replay) -> None:
    _, signed = seen(sign_in(settings_for(studio), studio.url, is_needed=True))
    assert isinstance(signed, SignedIn)
    studio.answers["GET /api/projects/9"] = said(404, "No Project matches the given query.")
    remedy = f"take the number from the project's address, {studio.url}/projects/NUMBER/data"
    assert seen(open_project(signed, 9)) == (
        [Finding("project", "failed", "a@example.org can see no project 9", remedy)],
        Lacking("`project` failed"),
    )


class TestBackendFromHere:
    """What a backend says of itself at `/health`."""

    OURS: dict[str, Any] = {  # noqa: RUF012
        "status": "UP",
        "model_class": "vlm-judge local",
        "judge": "Qwen",
        "engine": "ready",
        "detail": None,
    }

    def asked(self, answer: Answer, *, is_reached: bool = False) -> tuple[str, Finding]:
        with replaying({"GET /health": answer}) as backend:
            [finding], _ = seen(ask_backend(Settings(), backend.url, is_reached=is_reached))
        return backend.url, finding

    def test_it_is_ready(self) -> None:
        url, finding = self.asked((200, self.OURS))
        assert finding == Finding("backend", "ok", f"{url} runs Qwen, which is ready")

    def test_it_is_loading(self) -> None:
        url, finding = self.asked((200, {**self.OURS, "engine": "loading"}))
        remedy = "wait until it is loaded; tasks asked for meanwhile are judged afterwards"
        assert finding == Finding("backend", "warning", f"{url} runs Qwen, which is still loading", remedy)

    def test_its_engine_failed(self) -> None:
        url, finding = self.asked((200, {**self.OURS, "engine": "failed", "detail": "no GPU"}))
        detail = f"{url} runs Qwen, which failed: no GPU"
        assert finding == Finding("backend", "failed", detail, "see the backend's log, and start it again")

    @pytest.mark.parametrize("answer", [(200, "<html/>"), (200, {"status": "UP", "model_class": "BERT"}), (404, {})])
    def test_it_is_not_ours(self, answer: Answer) -> None:
        url, finding = self.asked(answer)
        detail = f"what answers at {url} is not this product's backend"
        assert finding == Finding("backend", "failed", detail, "give the address of a `vlm-judge serve`")

    @pytest.mark.parametrize("status", [401, 403])
    def test_it_does_not_let_us_in(self, status: int) -> None:
        url, finding = self.asked((status, {"error": "no"}))
        remedy = "export VLM_JUDGE_BASIC_AUTH_USER and VLM_JUDGE_BASIC_AUTH_PASSWORD as the backend has them"
        assert finding == Finding("backend", "failed", f"{url} does not let us in (status {status})", remedy)

    def test_it_is_locked(self) -> None:
        url, finding = self.asked((200, {"status": "UP"}))
        assert (finding.state, finding.detail) == (
            "warning",
            f"{url} is up and says no more, as ours does without its name and password",
        )

    @pytest.mark.parametrize(
        ("is_reached", "state", "remedy"),
        [
            (False, "failed", "start it with `vlm-judge serve`"),
            (True, "warning", "none is needed if only Label Studio's network knows the address"),
        ],
    )
    def test_nothing_answers(self, is_reached: bool, state: Any, remedy: str) -> None:
        [finding], _ = seen(ask_backend(Settings(), "http://127.0.0.1:9", is_reached=is_reached))
        detail = "from here, nothing answers at http://127.0.0.1:9 ([Errno 111] Connection refused)"
        assert finding == Finding("backend", state, detail, remedy)


class TestHub:
    """A hub at another address, with an empty cache."""

    MODEL = "GET /api/models/me/judge"

    @pytest.fixture(autouse=True)
    def hub(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Replay]:
        with replaying({}) as hub:
            monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)
            monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
            yield hub

    def refused(self, revision: str | None = None) -> str:
        with pytest.raises(EngineError) as caught:
            find_weights("me/judge", revision, "hf_secret")
        return str(caught.value)

    def test_the_weights_are_counted_from_there(self, hub: Replay) -> None:
        hub.answers[self.MODEL] = (
            200,
            {
                "id": "me/judge",
                "siblings": [
                    {"rfilename": "model-1.safetensors", "size": 9_000_000_000},
                    {"rfilename": "model-2.safetensors", "size": 7_600_000_000},
                    {"rfilename": "config.json", "size": 900},
                ],
                "safetensors": {"parameters": {"BF16": 8_300_000_000}, "total": 8_300_000_000},
                "config": {"model_type": "qwen2_5_vl"},
            },
        )
        wanted = Weights("on the hub, not yet on this machine", False, 8_300_000_000, 16_600_000_000, quantised=False)
        assert find_weights("me/judge", None, None) == wanted

    def test_there_is_no_such_model(self, hub: Replay) -> None:
        hub.answers[self.MODEL] = (404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        assert self.refused() == (
            "there is no model me/judge on the hub, or it is private; correct --model (VLM_JUDGE_MODEL), or export "
            "HF_TOKEN"
        )

    def test_its_terms_are_not_accepted(self, hub: Replay) -> None:
        hub.answers[self.MODEL] = (403, {"error": "Access to it is restricted"}, {"X-Error-Code": "GatedRepo"})
        assert self.refused() == (
            "me/judge is only for those who accept its terms; accept them on its page, and export HF_TOKEN"
        )

    def test_there_is_no_such_revision(self, hub: Replay) -> None:
        name = "GET /api/models/me/judge/revision/v9"
        hub.answers[name] = (404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
        assert self.refused("v9") == "me/judge has no revision v9; correct VLM_JUDGE_REVISION"

    def test_the_hub_is_away(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
        assert self.refused() == (
            "me/judge is not on this machine, and the hub cannot be asked ([Errno 111] Connection refused); download "
            "it where there is a network, by `hf download me/judge --local-dir FOLDER`, and give the folder as --model"
        )

    def test_a_model_without_safetensors(self, hub: Replay) -> None:
        hub.answers[self.MODEL] = (200, {"id": "me/judge", "siblings": [{"rfilename": "model.bin"}]})
        assert self.refused() == "me/judge has no safetensors weights on the hub; choose a model that has"

    def test_what_is_in_the_cache_is_not_asked_for(self, hub: Replay, tiny_model: Path, tmp_path: Path) -> None:
        repo = tmp_path / "cache" / "models--me--judge"
        shutil.copytree(tiny_model, repo / "snapshots" / "abc")
        (repo / "refs").mkdir()
        (repo / "refs" / "main").write_text("abc")
        weights = find_weights("me/judge", None, None)
        assert (weights.place, weights.here, hub.asked) == ("in the cache of this machine", True, [])
        assert weights.parameters == find_weights(str(tiny_model), None, None).parameters

    def test_a_name_that_is_none(self) -> None:
        with pytest.raises(EngineError) as caught:
            find_weights("my judge!", None, None)
        assert str(caught.value) == "my judge! is no name of a model; correct --model (VLM_JUDGE_MODEL)"


def test_the_secret_is_in_no_finding(studio: Replay) -> None:
    studio.answers["GET /api/current-user/whoami"] = said(401, "Invalid token.")
    findings, _ = seen(sign_in(settings_for(studio), studio.url, is_needed=True))
    assert LEGACY not in json.dumps([str(finding) for finding in findings])
