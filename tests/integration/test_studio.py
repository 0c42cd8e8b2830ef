"""`backend.studio` and `backend.projects` against a real Label Studio."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import chain
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from PIL import Image
from pydantic import SecretStr

from backend import studio as studio_module
from backend.errors import ConnectionRefusedByStudio, ImageError, StudioError
from backend.images import ImageLoader
from backend.label_studio_server import LabelStudioOptions, LabelStudioProcess, free_port
from backend.projects import ProjectSpec, create_project
from backend.settings import Settings
from backend.studio import Fields, Project, Studio, Tab
from backend.studio_types import Imported

CONFIG = (Path(__file__).parents[2] / "label_config.xml").read_text().strip()
VERSION = "scripted-0123456789ab"


@dataclass
class Backend:
    """A backend that answers at once; what it was asked is in `asked`."""

    url: str = ""
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        if path == "/setup":
            return {"model_version": VERSION}
        results = [_prediction(task["id"], "fix", 0.25) for task in body.get("tasks", [])]
        return {"results": [{key: item[key] for key in ("result", "score", "model_version")} for item in results]}


@pytest.fixture
def backend() -> Iterator[Backend]:
    stand_in = Backend()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._reply({"status": "UP", "model_class": "Stand-in"})

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])) or b"{}")
            self._reply(stand_in.answer(self.path, body))

        def _reply(self, answer: dict[str, Any]) -> None:
            stand_in.asked.append(self.path)
            content = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    stand_in.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield stand_in
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def studio(label_studio: LabelStudioProcess) -> Studio:
    return Studio(label_studio.url, label_studio.token)


@pytest.fixture(scope="module")
def personal_token(label_studio: LabelStudioProcess) -> Iterator[str]:
    """A user has one at a time, and it is shown in full only when it is made; it is revoked at the end."""
    url, headers = f"{label_studio.url}/api/token", {"Authorization": f"Token {label_studio.token}"}
    token = str(httpx.post(f"{url}/", headers=headers).raise_for_status().json()["token"])
    yield token
    httpx.post(f"{url}/blacklist/", headers=headers, json={"refresh": token}).raise_for_status()


def encoded_png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (3, 2), (9, 8, 7)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def project(studio: Studio, request: pytest.FixtureRequest) -> Iterator[Project]:
    made = studio.create_project(f"Studio test {request.node.name}"[:50], CONFIG)
    yield made
    studio.delete_project(made.id)


def _tasks(count: int, first: int = 0) -> list[dict[str, Any]]:
    return [
        {"data": {"image": "data:,", "caption": f"caption {number}", "requested": ""}}
        for number in range(first, first + count)
    ]


def _verdict(decision: str) -> dict[str, Any]:
    return {
        "id": "v1",
        "type": "choices",
        "from_name": "verdict",
        "to_name": "caption",
        "value": {"choices": [decision]},
    }


def _rationale(text: str) -> dict[str, Any]:
    return {
        "id": "r1",
        "type": "textarea",
        "from_name": "rationale",
        "to_name": "caption",
        "value": {"text": [text]},
    }


def _prediction(task: int, decision: str, score: float, version: str = VERSION) -> dict[str, Any]:
    result = [_verdict(decision), _rationale("would accept, fix or reject")]
    return {"task": task, "result": result, "score": score, "model_version": version}


class TestSignIn:
    def test_both_kinds_of_token_name_the_same_user(
        self, label_studio: LabelStudioProcess, personal_token: str
    ) -> None:
        assert personal_token.count(".") == 2
        with_personal, with_legacy = (
            Studio(label_studio.url, personal_token),
            Studio(label_studio.url, label_studio.token),
        )
        assert with_personal.whoami() == with_legacy.whoami()
        assert with_personal.whoami().email == label_studio.email
        assert label_studio.email in [user.email for user in with_personal.users()]

    def test_wrong_legacy_token_says_which_and_where_to_get_one(self, label_studio: LabelStudioProcess) -> None:
        with pytest.raises(StudioError, match=r"legacy token.*Personal Access Token.*LABEL_STUDIO_API_KEY"):
            Studio(label_studio.url, "0" * 40).whoami()

    def test_personal_token_of_another_server_is_named_as_such(self, label_studio: LabelStudioProcess) -> None:
        import jwt

        foreign = jwt.encode({"token_type": "refresh", "exp": 8_000_000_000, "jti": "1"}, "k" * 32, algorithm="HS256")
        with pytest.raises(StudioError, match=r"401.*personal access token that is expired, revoked or from another"):
            Studio(label_studio.url, foreign).whoami()

    def test_expired_personal_token_is_refused_before_any_request(self) -> None:
        import jwt

        expired = jwt.encode({"token_type": "refresh", "exp": 1_000_000_000}, "k" * 32, algorithm="HS256")
        with pytest.raises(StudioError, match=r"could not sign in.*expired"):
            Studio("http://127.0.0.1:9", expired)

    def test_nothing_listens(self) -> None:
        with pytest.raises(StudioError, match=r"nothing answers at http://127.0.0.1:9 .*is Label Studio running there"):
            Studio("http://127.0.0.1:9", "0" * 40).whoami()

    def test_another_server_answers(self, label_studio: LabelStudioProcess) -> None:
        with pytest.raises(StudioError, match=r"is not Label Studio's API|says 404"):
            Studio(f"{label_studio.url}/user/login/", "0" * 40).whoami()

    @pytest.mark.parametrize(
        ("url", "key", "reason"), [("localhost:8080", "k", "must begin"), ("http://x", " ", "no API key")]
    )
    def test_address_and_key_are_checked_at_once(self, url: str, key: str, reason: str) -> None:
        with pytest.raises(StudioError, match=reason):
            Studio(url, key)

    def test_the_key_is_in_no_error(self, label_studio: LabelStudioProcess) -> None:
        with pytest.raises(StudioError) as caught:
            Studio(label_studio.url, "secret" * 7).whoami()
        assert "secret" not in str(caught.value)


class TestProjects:
    def test_missing_project_is_named(self, studio: Studio) -> None:
        with pytest.raises(StudioError, match=r"could not open project 987654: .*404.*does not exist"):
            studio.project(987654)

    def test_server_reasons_reach_the_message(self, studio: Studio) -> None:
        with pytest.raises(StudioError, match=r"title: Ensure this field has at least 3 characters"):
            studio.create_project("ab", CONFIG)

    def test_find_wants_the_exact_title(self, studio: Studio, project: Project) -> None:
        assert studio.find_project(project.title) == project
        assert studio.find_project(project.title[:-1]) is None

    def test_model_version_before_and_after_its_first_prediction(self, studio: Studio, project: Project) -> None:
        assert studio.use_model_version(project.id, VERSION) is False
        (task,) = studio.import_tasks(project.id, _tasks(1))
        studio.import_predictions(project.id, [_prediction(task, "accept", 0.9)])
        assert studio.use_model_version(project.id, VERSION) is True
        assert studio.project(project.id).model_version == VERSION


class TestTasksAndPredictions:
    def test_pages_hold_every_task_once_with_its_versions(self, studio: Studio, project: Project) -> None:
        ids = studio.import_tasks(project.id, _tasks(25))
        assert studio.import_predictions(project.id, [_prediction(ids[3], "fix", 0.5)]) == Imported(1)
        pages = list(studio.pages(project.id, page_size=10))
        assert [len(page) for page in pages] == [10, 10, 5]
        tasks = list(chain(*pages))
        assert tuple(task.id for task in tasks) == ids
        assert [dict(task.data) for task in tasks] == [task["data"] for task in _tasks(25)]
        assert [task.model_versions for task in tasks] == [
            frozenset({VERSION}) if task.id == ids[3] else frozenset() for task in tasks
        ]
        assert studio.project(project.id).task_count == 25

    def test_no_more_is_read_of_a_task_than_is_used(self, studio: Studio, project: Project) -> None:
        """Label Studio needs four times as long for all that it could tell."""
        (task,) = studio.import_tasks(project.id, _tasks(1))
        studio.import_predictions(project.id, [_prediction(task, "fix", 0.5)])
        read = {fields: next(studio._pages(project.id, 10, (), 0, fields))[0] for fields in get_args(Fields)}
        assert set(read["data"]) == {"id", "data"}
        assert set(read["predictions"]) == {"id", "data", "predictions"}
        assert set(read["all"]) > {"id", "data", "predictions", "annotations"}

    def test_a_task_deleted_while_reading_moves_nothing(
        self, studio: Studio, project: Project, label_studio: LabelStudioProcess
    ) -> None:
        ids = studio.import_tasks(project.id, _tasks(9))
        pages = studio.pages(project.id, page_size=3)
        seen = [task.id for task in next(pages)]
        headers = {"Authorization": f"Token {label_studio.token}"}
        httpx.delete(f"{label_studio.url}/api/tasks/{ids[0]}/", headers=headers).raise_for_status()
        seen += [task.id for page in pages for task in page]
        assert tuple(seen) == ids

    def test_large_pages_are_asked_for_in_smaller_pieces(
        self, studio: Studio, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(studio_module, "MAX_PAGE_BYTES", 20_000)
        heavy = [{"data": {"image": "x" * 6000, "caption": str(number), "requested": ""}} for number in range(8)]
        ids = studio.import_tasks(project.id, heavy)
        pages = list(studio.pages(project.id, page_size=8))
        assert tuple(task.id for page in pages for task in page) == ids
        assert max(len(page) for page in pages) == 2

    def test_one_task_beyond_every_bound_is_an_error(
        self, studio: Studio, project: Project, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(studio_module, "MAX_PAGE_BYTES", 1000)
        studio.import_tasks(project.id, [{"data": {"image": "x" * 20_000, "caption": "c", "requested": ""}}])
        with pytest.raises(StudioError, match=r"one task alone is more than 16000 bytes"):
            list(studio.pages(project.id))

    def test_a_task_without_the_needed_key_is_named(self, studio: Studio, project: Project) -> None:
        with pytest.raises(StudioError, match=r'item 0: "caption" key is expected'):
            studio.import_tasks(project.id, [{"data": {"image": "x", "requested": ""}}])

    def test_an_invalid_prediction_is_named_and_the_others_stored(self, studio: Studio, project: Project) -> None:
        first, second = studio.import_tasks(project.id, _tasks(2))
        wrong = _prediction(second, "perhaps", 0.5)
        done = studio.import_predictions(project.id, [_prediction(first, "fix", 0.5), wrong])
        assert (done.stored, [task for task, _ in done.dropped]) == (1, [second])
        assert "perhaps" in done.dropped[0][1]
        assert [task.model_versions for page in studio.pages(project.id) for task in page] == [{VERSION}, set()]

    def test_meta_of_a_region_survives(self, studio: Studio, project: Project) -> None:
        (task,) = studio.import_tasks(project.id, _tasks(1))
        meta = {"judge": {"probs": {"accept": 0.75, "fix": 0.25}, "label_mass": 0.98}}
        silent = {"preference": {"flags": ["instructions"], "features": [{"text": "dog", "prob": 0.25}]}}
        region = {**_verdict("accept"), "meta": meta | {"judge_silent": silent}}
        studio.import_predictions(project.id, [{**_prediction(task, "accept", 0.9), "result": [region]}])
        ((stored,),) = studio.annotated_tasks(project.id)
        assert stored["predictions"][0]["result"] == [region]
        assert stored["predictions"][0]["score"] == 0.9

    def test_annotated_tasks_carry_annotations_and_whole_predictions(self, studio: Studio, project: Project) -> None:
        done, skipped, _untouched = studio.import_tasks(project.id, _tasks(3))
        studio.import_predictions(project.id, [_prediction(done, "fix", 0.5)])
        submitted = studio.annotate(done, {"result": [_verdict("reject")], "lead_time": 4.5})
        studio.annotate(skipped, {"result": [], "was_cancelled": True})
        everything = [task for page in studio.annotated_tasks(project.id, page_size=2) for task in page]
        assert [len(task["annotations"]) for task in everything] == [1, 1, 0]
        assert [task["annotations"][0]["was_cancelled"] for task in everything[:2]] == [False, True]
        assert everything[0]["annotations"][0]["id"] == submitted
        assert everything[0]["annotations"][0]["lead_time"] == 4.5
        assert everything[0]["predictions"][0]["model_version"] == VERSION
        assert [task["id"] for page in studio.annotated_tasks(project.id, only_annotated=True) for task in page] == [
            done
        ]


class TestConnection:
    def test_connecting_twice_leaves_one_row_with_the_version(
        self, studio: Studio, project: Project, backend: Backend
    ) -> None:
        first = studio.connect_backend(project.id, backend.url, "Judge")
        again = studio.connect_backend(project.id, f"{backend.url}/", "Judge, renamed")
        assert (first.title, first.model_version, again.id) == ("Judge", VERSION, first.id)
        assert [(item.id, item.title) for item in studio.connections(project.id)] == [(first.id, "Judge, renamed")]

    def test_disconnecting_leaves_no_row_and_no_webhook(
        self, studio: Studio, project: Project, backend: Backend, label_studio: LabelStudioProcess
    ) -> None:
        def webhooks() -> list[str]:
            headers = {"Authorization": f"Token {label_studio.token}"}
            listed = httpx.get(f"{label_studio.url}/api/webhooks/?project={project.id}", headers=headers).json()
            return [hook["url"] for hook in listed]

        studio.connect_backend(project.id, backend.url, "Judge")
        assert webhooks() == [f"{backend.url}/webhook"]
        studio.disconnect_backend(project.id, backend.url)
        assert (studio.connections(project.id), webhooks()) == ((), [])

    def test_the_button_stores_predictions(self, studio: Studio, project: Project, backend: Backend) -> None:
        ids = studio.import_tasks(project.id, _tasks(4))
        studio.connect_backend(project.id, backend.url, "Judge")
        assert studio.retrieve_predictions(project.id, ids[:2]) == "Retrieved 2 predictions"
        assert [bool(task.model_versions) for page in studio.pages(project.id) for task in page] == [
            True,
            True,
            False,
            False,
        ]
        studio.retrieve_predictions(project.id)
        assert all(task.model_versions == {VERSION} for page in studio.pages(project.id) for task in page)

    def test_a_dead_backend_is_explained(self, studio: Studio, project: Project) -> None:
        with pytest.raises(StudioError, match=r"Can't connect to ML backend http://127.0.0.1:9, health check failed"):
            studio.connect_backend(project.id, "http://127.0.0.1:9", "Judge")
        assert studio.connections(project.id) == ()


@pytest.mark.parametrize("half_open", [False, True])
def test_address_check_is_recognised_explained_and_leaves_nothing(
    label_studio: LabelStudioProcess, backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, half_open: bool
) -> None:
    """A second server over a copy of the data, with the checks of 1.23 on; half open, the row is written before 403."""
    import shutil

    shutil.copytree(label_studio.options.data_dir, tmp_path / "data")
    options = LabelStudioOptions(
        data_dir=tmp_path / "data",
        document_root=tmp_path / "files",
        port=free_port(),
        log=tmp_path / "log",
        token=label_studio.token,
        allow_private_backends=False,
    )
    server = LabelStudioProcess(options)
    if half_open:
        original = studio_environment()
        monkeypatch.setattr(
            "backend.label_studio_server._environment",
            lambda chosen: {**original(chosen), "ML_BLOCK_LOCAL_IP": "false"},
        )
    try:
        server.start()
        studio = Studio(server.url, label_studio.token)
        project = studio.create_project("Guarded", CONFIG)
        with pytest.raises(ConnectionRefusedByStudio) as caught:
            studio.connect_backend(project.id, backend.url, "Judge")
        assert "ML_BLOCK_LOCAL_IP=false and SSRF_PROTECTION_ENABLED=false" in str(caught.value)
        assert backend.url in str(caught.value)
        assert studio.connections(project.id) == ()
        assert ("/setup" in backend.asked) is half_open
    finally:
        server.stop()


def studio_environment() -> Any:
    from backend import label_studio_server

    return label_studio_server._environment


class TestCreateProject:
    def _spec(self, **changes: Any) -> ProjectSpec:
        spec: dict[str, Any] = {"title": "Whole project", "label_config": CONFIG, "tasks": tuple(_tasks(6))}
        return ProjectSpec(**(spec | changes))

    @pytest.fixture
    def made(self, studio: Studio) -> Iterator[Project]:
        project = create_project(studio, self._spec(model_version=VERSION))
        yield project
        studio.delete_project(project.id)

    def test_settings(self, label_studio: LabelStudioProcess, made: Project) -> None:
        headers = {"Authorization": f"Token {label_studio.token}"}
        stored = httpx.get(f"{label_studio.url}/api/projects/{made.id}", headers=headers).json()
        names = ("title", "show_collab_predictions", "sampling", "model_version", "task_number", "label_config")
        assert {name: stored[name] for name in names} == {
            "title": "Whole project",
            "show_collab_predictions": True,
            "sampling": "Uncertainty sampling",
            "model_version": VERSION,
            "task_number": 6,
            "label_config": CONFIG,
        }

    def test_each_tab_holds_its_tasks(self, studio: Studio, made: Project) -> None:
        ids = [task.id for page in studio.pages(made.id) for task in page]
        judged = ("reject", "accept", "fix", "reject", "fix", "accept")
        scores = (0.5, 0.9, 0.3, 0.7, 0.4, 0.8)
        studio.import_predictions(made.id, [_prediction(*item) for item in zip(ids, judged, scores, strict=True)])
        studio.annotate(ids[0], {"result": [_verdict("reject"), _rationale("accept and fix")]})  # agrees
        studio.annotate(ids[1], {"result": [_verdict("reject")]})  # judge said accept
        studio.annotate(ids[4], {"result": [_verdict("accept")]})  # judge said fix
        studio.annotate(ids[5], {"result": [], "was_cancelled": True})  # skipped
        tabs = studio.tabs(made.id)
        assert list(tabs) == ["Least sure first", "Judge rejects", "Judge and human disagree", "Reviewed", "Not judged"]
        assert {title: studio.tab_tasks(made.id, number) for title, number in tabs.items()} == {
            "Least sure first": (ids[2], ids[3], ids[5]),
            "Judge rejects": (ids[0], ids[3]),
            "Judge and human disagree": (ids[4], ids[1]),
            "Reviewed": (ids[0], ids[1], ids[4]),
            "Not judged": (),
        }

    def test_again_changes_nothing(self, studio: Studio, made: Project) -> None:
        before = (studio.tabs(made.id), [task for page in studio.pages(made.id) for task in page])
        assert create_project(studio, self._spec(model_version=VERSION)) == made
        assert (studio.tabs(made.id), [task for page in studio.pages(made.id) for task in page]) == before

    def test_a_half_made_project_is_completed(self, studio: Studio) -> None:
        half = studio.create_project("Half a project", CONFIG)
        studio.import_tasks(half.id, _tasks(4))
        studio.put_tab(half.id, Tab("Reviewed"))
        whole = create_project(studio, self._spec(title="Half a project"))
        assert (whole.id, whole.task_count) == (half.id, 6)
        tasks = [dict(task.data) for page in studio.pages(half.id) for task in page]
        assert tasks == [task["data"] for task in _tasks(6)]
        assert len(studio.tabs(half.id)) == 5
        studio.delete_project(half.id)

    def test_local_files_are_served_and_loaded_with_both_tokens(
        self, studio: Studio, label_studio: LabelStudioProcess, personal_token: str
    ) -> None:
        folder = label_studio.document_root / "pictures"
        folder.mkdir()
        Image.new("RGB", (3, 2), (1, 2, 3)).save(folder / "a b.png")
        project = create_project(studio, self._spec(title="With files", tasks=(), local_files=folder))
        create_project(studio, self._spec(title="With files", tasks=(), local_files=folder))
        address = "/data/local-files/?d=pictures/a b.png"
        for token in (label_studio.token, personal_token):
            loader = ImageLoader(Settings(label_studio_url=label_studio.url, label_studio_api_key=SecretStr(token)))
            assert loader.load(address).getpixel((2, 1)) == (1, 2, 3)
            assert loader.read(address) == (folder / "a b.png").read_bytes()
            with pytest.raises(ImageError, match=r"does not have it \(status 404\)"):
                loader.load("/data/local-files/?d=pictures/none.png")
        with pytest.raises(ImageError, match=r"status 401\); set LABEL_STUDIO_API_KEY"):
            ImageLoader(Settings(label_studio_url=label_studio.url)).load(address)
        studio.delete_project(project.id)

    def test_uploaded_files_are_loaded(self, studio: Studio, label_studio: LabelStudioProcess) -> None:
        choices = '<Choices name="verdict" toName="image"><Choice value="accept"/></Choices>'
        one_key = f'<View><Image name="image" value="$image"/>{choices}</View>'
        project = studio.create_project("Uploaded", one_key)
        headers = {"Authorization": f"Token {label_studio.token}"}
        httpx.post(
            f"{label_studio.url}/api/projects/{project.id}/import",
            headers=headers,
            files={"file": ("a.png", encoded_png(), "image/png")},
        ).raise_for_status()
        ((task,),) = studio.pages(project.id)
        loader = ImageLoader(
            Settings(label_studio_url=label_studio.url, label_studio_api_key=SecretStr(label_studio.token))
        )
        assert task.data["image"].startswith(f"/data/upload/{project.id}/")
        assert loader.read(task.data["image"]) == encoded_png()
        studio.delete_project(project.id)
