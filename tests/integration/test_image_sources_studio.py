"""Every source of images that a real Label Studio has: uploads, local files, and an S3 store on this machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
import httpx
import pytest
from botocore.config import Config
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from PIL import Image
from pydantic import SecretStr
from werkzeug.serving import WSGIRequestHandler, make_server

from backend.assemble import make_service
from backend.core.label_config import parse_label_config
from backend.errors import ImageError
from backend.images import ImageLoader
from backend.label_studio_server import LabelStudioProcess
from backend.service import Failure, Prepared
from backend.settings import Settings
from backend.studio import Studio
from tests.made_pictures import BLUE, GREEN, RED, colours, data_uri, encoded

ONE_IMAGE = """<View><Image name="image" value="$image"/>
  <Choices name="verdict" toName="image"><Choice value="accept"/></Choices></View>"""
PAGES = """<View><Image name="doc" valueList="$pages"/><Text name="caption" value="$caption"/>
  <Rating name="consistency" toName="caption"/></View>"""
PNG = encoded(Image.new("RGB", (6, 4), RED))
BUCKET, KEY, ODD_KEY = "pictures", "boards/a.png", "boards/ü b+c#1.png"


@dataclass
class Bucket:
    """A store that speaks S3, with what was asked of it: path with parameters, and the Authorization header."""

    url: str = ""
    client: Any = None
    seen: list[tuple[str, str | None]] = field(default_factory=list)

    def reads(self) -> list[tuple[str, str | None]]:
        """Requests for objects since this was asked last."""
        found = [item for item in self.seen if "boards/" in item[0].partition("?")[0]]
        self.seen.clear()
        return found


class Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    store = Bucket()
    moto = DomainDispatcherApplication(create_backend_app)

    def application(environ: dict[str, Any], start: Callable[..., Any]) -> Any:
        store.seen.append((environ["RAW_URI"], environ.get("HTTP_AUTHORIZATION")))
        return moto(environ, start)

    server = make_server("127.0.0.1", 0, application, threaded=True, request_handler=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    store.url = f"http://127.0.0.1:{server.server_port}"
    store.client = boto3.client("s3", endpoint_url=store.url, **_keys(), config=Config(retries={"max_attempts": 1}))
    store.client.create_bucket(Bucket=BUCKET)
    for key in (KEY, ODD_KEY):
        store.client.put_object(Bucket=BUCKET, Key=key, Body=PNG)
    try:
        yield store
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@dataclass(frozen=True)
class Desk:
    """A Label Studio, a project of it and what reads its images."""

    server: LabelStudioProcess
    studio: Studio
    project: int

    def loader(self, *hosts: str) -> ImageLoader:
        return ImageLoader(self.settings(*hosts))

    def settings(self, *hosts: str, **more: Any) -> Settings:
        key = SecretStr(self.server.token)
        return Settings(label_studio_url=self.server.url, label_studio_api_key=key, image_hosts=hosts, **more)

    def ask(self, method: str, path: str, **options: Any) -> Any:
        """A request that the product itself never makes."""
        headers = {"Authorization": f"Token {self.server.token}"}
        answer = httpx.request(method, f"{self.server.url}/api/{path}", headers=headers, timeout=30, **options)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def tasks(self) -> list[dict[str, Any]]:
        return [{"id": task.id, "data": dict(task.data)} for page in self.studio.pages(self.project) for task in page]

    def upload(self, name: str, content: bytes) -> None:
        self.ask("POST", f"projects/{self.project}/import", files={"file": (name, content, "image/png")})

    def connect(self, bucket: Bucket, *, presign: bool) -> None:
        """Connect the store as the project's settings page does, and make a task of each object."""
        body = {
            "project": self.project,
            "bucket": BUCKET,
            "prefix": "boards",
            "s3_endpoint": bucket.url,
            "presign": presign,
            "use_blob_urls": True,
            **_keys(),
        }
        made = self.ask("POST", "storages/s3", json=body)
        self.ask("POST", f"storages/s3/{made['id']}/sync", json={})
        bucket.seen.clear()


def _keys() -> dict[str, str]:
    return {"aws_access_key_id": "reader", "aws_secret_access_key": "secret", "region_name": "us-east-1"}


@pytest.fixture
def desk(label_studio: LabelStudioProcess, request: pytest.FixtureRequest) -> Iterator[Desk]:
    studio = Studio(label_studio.url, label_studio.token)
    project = studio.create_project(f"Images {request.node.name}"[:50], ONE_IMAGE)
    yield Desk(label_studio, studio, project.id)
    studio.delete_project(project.id)


def refusal(loader: ImageLoader, uri: str, task: int) -> str:
    with pytest.raises(ImageError) as caught:
        loader.read(uri, str(task))
    return str(caught.value)


def test_an_upload_and_what_is_left_when_it_is_deleted(desk: Desk) -> None:
    desk.upload("ü b.png", PNG)
    [task] = desk.tasks()
    uri = task["data"]["image"]
    assert uri.startswith(f"/data/upload/{desk.project}/")
    assert desk.loader().read(uri) == desk.loader().read(f"{desk.server.url}{uri}") == PNG
    stranger = ImageLoader(Settings(label_studio_url=desk.server.url))
    assert refusal(stranger, uri, task["id"]).endswith("(status 401); set LABEL_STUDIO_API_KEY")
    desk.ask("DELETE", f"projects/{desk.project}/file-uploads", json={})
    assert refusal(desk.loader(), uri, task["id"]) == (
        f"cannot fetch {uri}: {desk.server.url} answered with status 500; it may have been deleted there"
    )


def test_local_files_by_the_addresses_that_label_studio_gives_them(desk: Desk) -> None:
    folder = desk.server.document_root / "image-sources"
    folder.mkdir()
    for name in ("a b#1.png", "ü%41.png"):
        (folder / name).write_bytes(PNG)
    storage = desk.studio.serve_local_files(desk.project, str(folder), "files")
    desk.ask("POST", f"storages/localfiles/{storage}/sync", json={})
    uris = [task["data"]["image"] for task in desk.tasks()]
    assert sorted(uris) == [
        "/data/local-files/?d=image-sources/%C3%BC%2541.png",
        "/data/local-files/?d=image-sources/a%20b%231.png",
    ]
    assert [desk.loader().read(uri) for uri in uris] == [PNG, PNG]
    for outside in ("/data/local-files/?d=../label-studio.log", "/data/local-files/?d=/etc/passwd"):
        with pytest.raises(ImageError, match=r"answered with status \d|does not (have it|let us)"):
            desk.loader().read(outside)


def test_a_store_with_presigned_addresses(desk: Desk, bucket: Bucket) -> None:
    desk.connect(bucket, presign=True)
    tasks = desk.tasks()
    assert sorted(task["data"]["image"] for task in tasks) == sorted(
        [f"s3://{BUCKET}/{KEY}", f"s3://{BUCKET}/{ODD_KEY}"]
    )
    for task in tasks:
        uri = task["data"]["image"]
        assert refusal(desk.loader(), uri, task["id"]) == (
            f"cannot fetch {uri}: where it lies is the private address 127.0.0.1, which tasks may not reach; "
            "if images are meant to come from there, add 127.0.0.1 to VLM_JUDGE_IMAGE_HOSTS"
        )
        assert bucket.reads() == []
        assert desk.loader("127.0.0.1").read(uri, str(task["id"])) == PNG
        [(path, authorization)] = bucket.reads()
        assert "Signature=" in path
        assert authorization is None
    gone = f"s3://{BUCKET}/boards/none.png"
    assert refusal(desk.loader("127.0.0.1"), gone, tasks[0]["id"]) == (
        f"cannot fetch {gone}: {bucket.url} does not let us have it (status 403); see whether the storage's keys may "
        "read it, and whether it is there"
    )


def test_a_store_whose_bytes_label_studio_passes_on(desk: Desk, bucket: Bucket) -> None:
    desk.connect(bucket, presign=False)
    tasks = desk.tasks()
    assert len(tasks) == 2
    for task in tasks:
        assert desk.loader().read(task["data"]["image"], str(task["id"])) == PNG
        assert [bool(authorization) for _, authorization in bucket.reads()] == [True]  # Label Studio's own
    gone = f"s3://{BUCKET}/boards/none.png"
    assert refusal(desk.loader(), gone, tasks[0]["id"]) == (
        f"cannot fetch {gone}: {desk.server.url} answered with status 424; Label Studio itself cannot read it from "
        "the bucket: see whether it is there, and the storage's keys"
    )


@pytest.mark.parametrize("uri", ["s3://elsewhere/a.png", "gs://bucket/a.png", "azure-blob://box/a.png"])
def test_a_bucket_that_the_project_has_no_storage_of(desk: Desk, uri: str) -> None:
    [task] = desk.studio.import_tasks(desk.project, [{"data": {"image": uri}}])
    assert refusal(desk.loader(), uri, task) == (
        f"cannot fetch {uri}: {desk.server.url} does not have it (status 404); connect a storage of this bucket to "
        "the task's project"
    )


def test_pages_from_everywhere_come_in_order(desk: Desk, bucket: Bucket, tmp_path: Path) -> None:
    """A list of pages that mixes all sources, judged as the tasks come from Label Studio."""
    desk.connect(bucket, presign=True)
    desk.upload("page.png", encoded(Image.new("RGB", (4, 4), GREEN)))
    uploaded = next(uri for task in desk.tasks() if (uri := task["data"]["image"]).startswith("/data/upload/"))
    blue = data_uri(encoded(Image.new("RGB", (4, 4), BLUE)))
    pages = [f"s3://{BUCKET}/{KEY}", uploaded, blue]
    documents = desk.studio.create_project("Images in pages", PAGES)
    try:
        desk.ask("POST", "storages/s3", json=_storage(documents.id, bucket))
        data = [{"caption": "a", "pages": pages}, {"caption": "a", "pages": [*pages, f"{uploaded}.gone"]}]
        desk.studio.import_tasks(documents.id, [{"data": item} for item in data])
        service = make_service(desk.settings("127.0.0.1", engine="scripted", store=str(tmp_path / "store")))
        try:
            tasks = Desk(desk.server, desk.studio, documents.id).tasks()
            whole, lacking = service.prepare(tasks, parse_label_config(PAGES))
        finally:
            service.close()
    finally:
        desk.studio.delete_project(documents.id)
    assert isinstance(whole, Prepared)
    assert [colours(image)[0] for image in whole.images] == [RED, GREEN, BLUE]
    assert isinstance(lacking, Failure)
    assert lacking.reason.startswith(f"task {tasks[1]['id']}, `pages[3]`: cannot fetch {uploaded}.gone: ")


def _storage(project: int, bucket: Bucket) -> dict[str, Any]:
    return {"project": project, "bucket": BUCKET, "s3_endpoint": bucket.url, "presign": True, **_keys()}
