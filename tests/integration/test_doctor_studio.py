"""The doctor at a real Label Studio: what is well, and what people do wrong."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from pydantic import SecretStr

from backend.doctor import Finding, Orders, examine
from backend.doctor.connection import check_reach
from backend.doctor.findings import Lacking
from backend.doctor.label_studio import GET_A_KEY, SignedIn, sign_in
from backend.doctor.reach import SERVE_THERE, Hindrance, address_hindrance, reach_hindrance
from backend.doctor.timing import grey_task
from backend.label_studio_server import LabelStudioProcess, free_port
from backend.settings import Settings
from backend.studio import Project, Studio
from tests.checking import seen
from tests.road import Road

CONFIG = (Path(__file__).parents[2] / "label_config.xml").read_text(encoding="utf-8").strip()
GREY = grey_task()[1]["data"]["image"]


@dataclass(frozen=True)
class Clinic:
    """A Label Studio with a project, and the doctor called to it."""

    label_studio: LabelStudioProcess
    studio: Studio
    project: Project

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Token {self.label_studio.token}"}

    def said(self, *checks: str, **orders: Any) -> list[Finding]:
        """What the doctor says under these checks, with the scripted judge, which is not loaded."""
        asked = Orders(project=self.project.id, load=False, engine_options={"engine": "scripted"})
        asked = Orders(**{name: getattr(asked, name) for name in ("project", "load", "engine_options")} | orders)
        return [finding for finding in examine(asked) if finding.check.startswith(checks)]

    def sign_in(self) -> SignedIn:
        url = self.label_studio.url
        _, signed = seen(sign_in(with_token(url, self.label_studio.token), url, is_needed=True))
        assert isinstance(signed, SignedIn)
        return signed

    def import_one(self, image: str) -> int:
        data = {"image": image, "caption": "A plain grey surface.", "requested": ""}
        (task,) = self.studio.import_tasks(self.project.id, [{"data": data}])
        return task

    def left(self) -> tuple[list[Any], list[Any]]:
        """The backends and webhooks of the project, as Label Studio lists them."""
        lists = []
        for path in ("ml", "webhooks/"):
            address = f"{self.label_studio.url}/api/{path}"
            params = {"project": self.project.id}
            lists.append(httpx.get(address, params=params, headers=self.headers(), timeout=60).json())
        return lists[0], lists[1]


@pytest.fixture
def clinic(
    label_studio: LabelStudioProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Clinic]:
    monkeypatch.setenv("VLM_JUDGE_STORE", str(tmp_path / "doctor.sqlite"))
    monkeypatch.setenv("LABEL_STUDIO_URL", label_studio.url)
    monkeypatch.setenv("LABEL_STUDIO_API_KEY", label_studio.token)
    studio = Studio(label_studio.url, label_studio.token)
    project = studio.create_project(f"Doctor {request.node.name}"[:50], CONFIG)
    yield Clinic(label_studio, studio, project)
    studio.delete_project(project.id)


def connect(clinic: Clinic, url: str) -> str:
    return f"vlm-judge project connect --project {clinic.project.id} {url}"


def test_all_is_well_by_the_command(road: Road) -> None:
    """With the real backend; the one warning is what the embedded judge is made for."""
    project = road.create("Doctor, all well", "--connect", road.backend_url)
    road.studio.retrieve_predictions(project, [road.tasks(project)[0]["id"]])
    [connection] = road.studio.connections(project)
    assert road.studio.use_model_version(project, connection.model_version)
    done = road.run("doctor", "--project", str(project), "--backend", road.backend_url, "--json")
    findings = [Finding(**item) for item in json.loads(done.stdout)["findings"]]
    assert [(finding.check, finding.state) for finding in findings] == [
        ("settings", "ok"),
        ("store", "ok"),
        ("disk", "ok"),
        ("judge", "ok"),
        ("Label Studio", "ok"),
        ("token", "ok"),
        ("project", "ok"),
        ("label config", "ok"),
        ("model version", "ok"),
        ("connection", "ok"),
        ("reach", "ok"),
        ("backend", "ok"),
        ("image: local file", "ok"),
        ("load", "warning"),
        ("time-outs", "ok"),
        ("late verdicts", "ok"),
    ]
    assert [finding.check for finding in findings if finding.remedy] == ["load"]
    assert findings[9].detail == (
        f"connection {connection.id}: Label Studio reaches {road.backend_url}, "
        f"which judges as {connection.model_version}"
    )
    road.studio.delete_project(project)


class TestToken:
    def test_a_wrong_one_skips_what_needs_it(self, clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("LABEL_STUDIO_API_KEY", "0" * 40)
        checks = ("token", "project", "connection", "reach", "images")
        assert clinic.said(*checks, backend="http://127.0.0.1:9") == [
            Finding(
                "token",
                "failed",
                'Label Studio does not take the legacy token: "Invalid token."',
                f"copy it anew under Account & Settings > Legacy Token, or {GET_A_KEY}",
            ),
            *(Finding(check, "skipped", "`token` failed") for check in checks[1:]),
        ]

    def test_a_personal_one_and_legacy_ones_switched_off(self, clinic: Clinic) -> None:
        url, legacy = clinic.label_studio.url, clinic.label_studio.token
        with personal_token(clinic) as token:
            findings, signed = seen(sign_in(with_token(url, token), url, is_needed=True))
            assert findings == [Finding("token", "ok", f"a personal access token of {clinic.label_studio.email}")]
            assert isinstance(signed, SignedIn)
            headers = {"Authorization": signed.access.authorization()}
            with legacy_tokens_off(url, headers):
                assert seen(sign_in(with_token(url, legacy), url, is_needed=True)) == (
                    [
                        Finding(
                            "token",
                            "failed",
                            'Label Studio does not take the legacy token: "Authentication token no longer valid: '
                            'legacy token authentication has been disabled for this organization"',
                            f"switch legacy tokens on under Organization > Access token settings, or {GET_A_KEY}",
                        )
                    ],
                    Lacking("`token` failed"),
                )
        [finding], _ = seen(sign_in(with_token(url, token), url, is_needed=True))
        assert finding.detail.startswith("Label Studio does not take the personal access token: ")
        assert "blacklisted" in finding.detail
        assert finding.remedy == f"it is expired, revoked or of another server: {GET_A_KEY}"


def with_token(url: str, token: str) -> Settings:
    return Settings(label_studio_url=url, label_studio_api_key=SecretStr(token))


@contextmanager
def personal_token(clinic: Clinic) -> Iterator[str]:
    """A user has one at a time; it is revoked at the end."""
    url = f"{clinic.label_studio.url}/api/token"
    token = httpx.post(f"{url}/", headers=clinic.headers()).raise_for_status().json()["token"]
    try:
        yield str(token)
    finally:
        httpx.post(f"{url}/blacklist/", headers=clinic.headers(), json={"refresh": token}).raise_for_status()


@contextmanager
def legacy_tokens_off(url: str, headers: dict[str, str]) -> Iterator[None]:
    address, allowed = f"{url}/api/jwt/settings", {"api_tokens_enabled": True}
    httpx.post(address, headers=headers, json={**allowed, "legacy_api_tokens_enabled": False}).raise_for_status()
    try:
        yield
    finally:
        httpx.post(address, headers=headers, json={**allowed, "legacy_api_tokens_enabled": True}).raise_for_status()


class TestProject:
    def test_one_that_is_not_there(self, clinic: Clinic) -> None:
        remedy = f"take the number from the project's address, {clinic.label_studio.url}/projects/NUMBER/data"
        assert clinic.said("project", "label", "images", project=987654) == [
            Finding("project", "failed", f"{clinic.label_studio.email} can see no project 987654", remedy),
            Finding("label config", "skipped", "`project` failed"),
            Finding("images", "skipped", "`project` failed"),
        ]

    def test_an_empty_one(self, clinic: Clinic) -> None:
        remedy = "add some with its Import button, or by `vlm-judge project create --title TITLE --tasks FILE`"
        assert clinic.said("project", "images") == [
            Finding("project", "warning", f"{clinic.project.id}, {clinic.project.title!r}, has no tasks", remedy),
            Finding("images", "skipped", f"project {clinic.project.id} has no tasks"),
        ]


class TestBackend:
    def test_one_that_is_not_started_yet(self, clinic: Clinic) -> None:
        url = f"http://127.0.0.1:{free_port()}"
        nothing = f"from here, nothing answers at {url} ([Errno 111] Connection refused)"
        assert clinic.said("connection", "reach", "backend", backend=url) == [
            Finding(
                "connection",
                "warning",
                f"the backend at {url} is not connected to project {clinic.project.id}",
                connect(clinic, url),
            ),
            Finding("reach", "failed", f"Label Studio does not reach {url}: Connection refused", SERVE_THERE),
            Finding("backend", "failed", nothing, "start it with `vlm-judge serve`"),
        ]
        assert clinic.left() == ([], [])

    def test_one_that_does_not_speak(self, clinic: Clinic) -> None:
        """The kernel takes the connection and nobody answers; Label Studio gives up after a second, and retries."""
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"http://127.0.0.1:{silent.getsockname()[1]}"
            findings, reached = seen(check_reach(clinic.sign_in(), clinic.project, url))
        detail = f"Label Studio does not reach {url}: no answer within 1 s"
        assert (findings, reached) == ([Finding("reach", "failed", detail, SERVE_THERE)], False)

    def test_a_running_one_is_tried_without_a_trace(self, clinic: Clinic, road: Road) -> None:
        findings = clinic.said("reach", "backend", backend=road.backend_url)
        assert findings[0] == Finding("reach", "ok", f"Label Studio may call {road.backend_url} and reaches it")
        assert findings[1].check == "backend"
        assert clinic.left() == ([], [])

    def test_a_half_connected_one_and_the_remedy(self, clinic: Clinic, road: Road) -> None:
        url = road.backend_url
        clinic.studio.connect_backend(clinic.project.id, url, "Judge")
        [connection], [hook] = clinic.left()
        address = f"{clinic.label_studio.url}/api/webhooks/{hook['id']}/"
        httpx.delete(address, headers=clinic.headers()).raise_for_status()
        detail = f"connection {connection['id']}: {url} is half-connected: it has no webhook, so no review comes back"
        assert clinic.said("connection") == [Finding("connection", "failed", detail, connect(clinic, url))]
        road.run(*connect(clinic, url).split()[1:])
        assert [finding.state for finding in clinic.said("connection")] == ["warning"]  # judges as demo, not scripted

    def test_one_that_was_stopped(self, clinic: Clinic, road: Road) -> None:
        clinic.studio.connect_backend(clinic.project.id, road.backend_url, "Judge")
        [connection], _ = clinic.left()
        gone = f"http://127.0.0.1:{free_port()}"
        move(clinic, connection["id"], gone)
        detail = f"connection {connection['id']}: Label Studio does not reach {gone}: Connection refused"
        assert clinic.said("connection") == [Finding("connection", "failed", detail, SERVE_THERE)]


def move(clinic: Clinic, connection: int, url: str) -> None:
    """Let a connection have another address; Label Studio's API refuses one where nothing answers."""
    import sqlite3

    database = clinic.label_studio.options.data_dir / "label_studio.sqlite3"
    with sqlite3.connect(database, timeout=30) as opened:
        opened.execute("UPDATE ml_mlbackend SET url = ? WHERE id = ?", (url, connection))


class TestImages:
    def test_one_of_each_source(self, clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = clinic.label_studio.document_root / "doctor"
        folder.mkdir(exist_ok=True)
        Image.new("RGB", (3, 2), (1, 2, 3)).save(folder / "there.png")
        clinic.studio.serve_local_files(clinic.project.id, str(folder), "doctor")
        tasks = [
            clinic.import_one(image)
            for image in (
                GREY,
                "/data/local-files/?d=doctor/there.png",
                "/data/local-files/?d=doctor/missing.png",
                "http://127.0.0.1:9/a.png",
                "s3://bucket/a.png",
                f"/data/upload/{clinic.project.id}/missing.png",
            )
        ]
        findings = {finding.check: finding for finding in clinic.said("image")}
        assert {check: finding.state for check, finding in findings.items()} == {
            "image: data URI": "ok",
            "image: local file": "ok",
            "image: web": "failed",
            "image: s3": "failed",
            "image: upload": "failed",
        }
        assert findings["image: local file"].detail == f"task {tasks[1]} shows 3 x 2 pixels"
        assert findings["image: web"].detail.startswith(f"task {tasks[3]}, `image`: ")
        assert "VLM_JUDGE_IMAGE_HOSTS" in findings["image: web"].remedy
        for check, number in (("image: s3", 4), ("image: upload", 5)):
            assert findings[check].detail.startswith(f"task {tasks[number]}, `image`: ")
            assert findings[check].remedy

    def test_a_missing_file(self, clinic: Clinic) -> None:
        folder = clinic.label_studio.document_root / "doctor"
        folder.mkdir(exist_ok=True)
        clinic.studio.serve_local_files(clinic.project.id, str(folder), "doctor")
        task = clinic.import_one("/data/local-files/?d=doctor/missing.png")
        [finding] = clinic.said("image")
        assert (finding.check, finding.state) == ("image: local file", "failed")
        assert finding.detail.startswith(f"task {task}, `image`: ")
        assert "404" in finding.detail
        assert finding.remedy

    def test_a_task_that_lacks_its_image_is_named(self, clinic: Clinic) -> None:
        clinic.import_one(GREY)
        task = clinic.import_one("")
        detail = (
            f"1 of the first 2 tasks cannot be judged, such as: task {task} has nothing in `image`, which the label "
            "config shows as an image"
        )
        remedy = "correct these tasks or delete them; the others are judged"
        assert clinic.said("tasks") == [Finding("tasks", "warning", detail, remedy)]


def test_a_sample_of_the_project_is_timed(clinic: Clinic) -> None:
    clinic.import_one(GREY)
    [load, times] = clinic.said("load", "time-outs", load=True)
    assert (load.state, times.state) == ("warning", "ok")
    assert times.detail.startswith("one sample takes 0.")


def test_what_the_doctor_asks_is_refused_for_the_right_reason(clinic: Clinic) -> None:
    """Its requests are wrong on purpose; were they taken for another mistake, it would see nothing."""
    signed = clinic.sign_in()
    assert address_hindrance(signed, "http://127.0.0.1:9") is None
    unknown = address_hindrance(signed, "http://judge.invalid:9")
    reason = 'Label Studio does not know the host of http://judge.invalid:9: "Can\'t resolve hostname judge.invalid"'
    assert unknown == Hindrance(reason, SERVE_THERE)
    unreached = reach_hindrance(signed, clinic.project.id, "http://127.0.0.1:9")
    assert unreached == Hindrance("Label Studio does not reach http://127.0.0.1:9: Connection refused", SERVE_THERE)
    assert clinic.left() == ([], [])
