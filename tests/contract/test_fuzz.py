"""Nonsense of every kind against `vlm-judge serve`: always an answer, never a traceback."""

from __future__ import annotations

import json
import random
import re
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from backend.admission import Admission
from backend.delivery import Delivery
from backend.running import Running
from backend.server import MOST_ERROR_CHARS, create_app
from backend.settings import Settings
from backend.studio import Studio
from backend.vitals import VitalSigns
from backend.worker import Worker
from tests.described import Described
from tests.fuzz import Answer, Served, faults, fuzz, served_backend
from tests.hostile import CONFIG, PICTURE, form, task
from tests.slow_judge import slow_service

MOST_BYTES = 16 * 2**20
GOOD = json.dumps({"tasks": [task()], "label_config": CONFIG}).encode()
LENGTH = b"Content-Length: %d\r\n" % len(GOOD)
CHUNKS = b"Transfer-Encoding: chunked\r\n"
HUNG_UP_BYTES = 65_536
"""Of a longer request the server need not hear the end, and its answer may be lost to who still speaks."""
HEALTH = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served_backend(tmp_path_factory.mktemp("fuzz"), VLM_JUDGE_MAX_REQUEST_BYTES=str(MOST_BYTES)) as served:
        yield served


@pytest.fixture
def client(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.address, timeout=10) as client:
        yield client


def test_hundreds_of_requests_are_answered_as_described(served: Served) -> None:
    tally = fuzz(served.address, 600)
    assert tally.problems == []
    assert tally.requests == 600
    assert tally.statuses[200] > 100 < tally.statuses[400]
    assert set(tally.statuses) <= {200, 400, 404, 405}


def post(headers: bytes, body: bytes = b"") -> bytes:
    return b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\n" + headers + b"\r\n" + body


def chunk(content: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(content), content)


RAW: dict[str, tuple[bytes, list[int]]] = {
    "noise": (random.Random(0).randbytes(4000).replace(b"\r\n", b""), [400]),
    "another protocol": (b"SSH-2.0-OpenSSH_9.0\r\n", [400]),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0", [400]),
    "HTTP/0.9": (b"GET /health\r\n", [400]),
    "HTTP/9.9": (b"GET /health HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n", [400]),
    "line feeds alone": (b"GET /health HTTP/1.1\nHost: x\n\n", [400]),
    "no host": (b"GET /health HTTP/1.1\r\n\r\n", [200]),
    "another's address": (b"GET http://example.org/health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", [200]),
    "a proxy's request": (b"CONNECT example.org:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", [404]),
    "no path": (b"OPTIONS * HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", [404]),
    "a path that is no text": (b"GET /\xff\xfe HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", [400]),
    "a path of 100 kB": (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", [414]),
    "a header of 1 MB": (HEALTH + b"A: " + b"a" * 1_000_000 + b"\r\n\r\n", [431]),
    "20,000 headers": (HEALTH + b"A: b\r\n" * 20_000 + b"\r\n", [431]),
    "a folded header": (HEALTH + b"A: b\r\n c\r\n\r\n", [400]),
    "a header without a colon": (HEALTH + b"A\r\n\r\n", [400]),
    "a web socket": (HEALTH + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", [400]),
    "a negative length": (post(b"Content-Length: -1\r\n", GOOD), [400]),
    "a length of letters": (post(b"Content-Length: 1e3\r\n", GOOD), [400]),
    "two lengths": (post(b"Content-Length: 5\r\n" + LENGTH, GOOD), [400]),
    "length and chunks": (post(LENGTH + CHUNKS, b"0\r\n\r\n"), [400]),
    "an unknown coding": (post(b"Transfer-Encoding: x\r\n", b"0\r\n\r\n"), [501]),
    "a length of 1 GB": (post(b"Content-Length: 1000000000\r\n", b"{"), [413]),
    "a length of 100 digits": (post(b"Content-Length: " + b"9" * 100 + b"\r\n", b"{"), [413]),
    "a body cut off": (post(LENGTH, GOOD[:50]), [400]),
    "no body": (post(LENGTH), [400]),
    "a chunk cut off": (post(CHUNKS, chunk(GOOD)[:50]), [400]),
    "no last chunk": (post(CHUNKS, chunk(GOOD)), [400]),
    "a chunk longer than it says": (post(CHUNKS, b"5\r\nhello, world\r\n0\r\n\r\n"), [400]),
    "a chunk of a negative size": (post(CHUNKS, b"-5\r\nhello\r\n0\r\n\r\n"), [400]),
    "a chunk of letters": (post(CHUNKS, b"zz\r\nhello\r\n0\r\n\r\n"), [400]),
    "a chunk of any size": (post(CHUNKS, b"f" * 100 + b"\r\nhello"), [400]),
    "a length after the chunks": (post(CHUNKS, chunk(GOOD) + b"0\r\nContent-Length: 5\r\n\r\n"), [400]),
    "a chunk a letter": (post(CHUNKS, b"".join(chunk(bytes([letter])) for letter in GOOD) + b"0\r\n\r\n"), [200]),
    "chunks beyond the limit": (post(CHUNKS, chunk(b" " * 2**20) * 17 + b"0\r\n\r\n"), [413]),
    "an expectation": (post(LENGTH + b"Expect: 100-continue\r\n", GOOD), [100, 200]),
    "an odd expectation": (post(LENGTH + b"Expect: 200-ok\r\n", GOOD), [417]),
    "garbage after a request": (post(LENGTH, GOOD) + b"garbage\r\n\r\n", [200, 400]),
    "50 requests at once": (post(LENGTH, GOOD) * 50, [200] * 50),
}


@pytest.mark.parametrize("name", RAW)
def test_broken_http_is_answered_and_let_go(served: Served, client: httpx.Client, name: str) -> None:
    sent, statuses = RAW[name]
    began = time.monotonic()
    told = shouted(served, sent)
    assert time.monotonic() - began < 5
    answered = [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) ", told)]
    assert answered == statuses or (not answered and len(sent) > HUNG_UP_BYTES)
    assert b"Traceback" not in told
    assert client.get("/health").json()["status"] == "UP"


def shouted(served: Served, sent: bytes) -> bytes:
    """All that comes back until the server hangs up, which it may do in the middle of what is sent."""
    told = b""
    with connected(served) as connection, suppress(OSError):
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        while part := connection.recv(65536):
            told += part
    return told


def connected(served: Served) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(served.address.rsplit(":", 1)[1])), timeout=10)


def test_a_body_that_says_it_is_1_gb_is_refused_before_it_comes(served: Served) -> None:
    with connected(served) as connection:
        connection.sendall(post(b"Content-Length: 1000000000\r\n", b"{"))
        told = b""
        while not told.endswith(b"}\n") and (part := connection.recv(65536)):
            told += part
    assert told.startswith(b"HTTP/1.1 413 ")
    assert told.endswith(
        b'{"error":"the request body is larger than 16,777,216 bytes (VLM_JUDGE_MAX_REQUEST_BYTES); '
        b'send fewer tasks at a time"}\n'
    )


def test_a_body_that_comes_slowly_is_answered_when_it_is_there(served: Served, client: httpx.Client) -> None:
    with connected(served) as connection:
        connection.sendall(post(LENGTH, GOOD[:-4]))
        for letter in GOOD[-4:]:
            assert client.get("/health").status_code == 200
            time.sleep(0.2)
            connection.sendall(bytes([letter]))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (post(CHUNKS, b"zz\r\nhello\r\n"), "the request body is broken: Invalid chunk size: b'zz'"),
        (post(CHUNKS, chunk(GOOD)[:50]), "the request body ended, or nothing more came, before it was complete"),
        (
            post(LENGTH + b"Content-Encoding: gzip\r\n", GOOD),
            "a body with the Content-Encoding 'gzip' is not read; send it uncompressed",
        ),
        (
            post(LENGTH + b"Content-Encoding: " + b"x" * 5000 + b"\r\n", GOOD),
            f"a body with the Content-Encoding '{'x' * 40}...' is not read; send it uncompressed",
        ),
    ],
)
def test_a_body_that_cannot_be_read_is_told_why(served: Served, sent: bytes, reason: str) -> None:
    told = shouted(served, sent)
    assert told.startswith(b"HTTP/1.1 400 ")
    assert json.loads(told.partition(b"\r\n\r\n")[2]) == {"error": reason}


def test_a_sentence_about_thousands_of_controls_is_cut(client: httpx.Client) -> None:
    controls = "".join(f'<Brush name="b{number}" toName="image"/>' for number in range(900))
    answer = client.post("/setup", json={"schema": f'<View><Image name="image" value="$image"/>{controls}</View>'})
    assert answer.status_code == 400
    told = answer.json()["error"]
    assert told.startswith("the judge can fill none of the label config's controls (`b0`: ")
    assert len(told) == MOST_ERROR_CHARS + len("...")


def test_an_id_of_a_megabyte_does_not_fill_the_status_page(served: Served, client: httpx.Client) -> None:
    body = {"tasks": [{"id": "x" * 10**6}], "label_config": CONFIG, "project": "3.1795361354"}
    assert client.post("/predict", json=body).json() == {"results": [[]]}
    assert len(client.get("/status").content) < 10**6
    assert max(len(line) for line in served.log.read_text().splitlines()) < 10_000


@pytest.mark.parametrize(
    ("members", "owed"),
    [
        ({"project": "3.1795361354"}, {"3.1795361354": 2}),
        ({"project": "99999999999999999999.1795361354"}, {}),
        ({"project": "captions"}, {}),
        ({"project": 3}, {}),
        ({}, {}),
        ({"project": "3.1795361354", "params": {"context": {"result": []}}}, {}),
    ],
)
def test_only_to_a_project_of_label_studio_s_is_anything_owed(
    tmp_path: Path, members: dict[str, Any], owed: dict[str, int]
) -> None:
    """What is owed to a project that Label Studio cannot even look for would hold up all others."""
    service, vitals = slow_service(tmp_path / "s.sqlite", 0), VitalSigns()
    worker = Worker(service, 4, vitals)
    delivery = Delivery(lambda: Studio("http://127.0.0.1:1", "token"), service, worker, vitals)
    running = Running(Settings(engine="scripted"), service, worker, vitals, Admission(9, 9, lambda: 0.0), delivery)
    worker.start()
    tasks = [{"id": number, "data": {"image": PICTURE, "caption": f"Dog {number}."}} for number in (1, 2)]
    body = {"label_config": form(""), "tasks": tasks, **members}
    answer = create_app(running).test_client().post("/predict", json=body)
    assert [len(entry["result"]) for entry in answer.get_json()["results"]] == [1, 1]
    assert service.store.jobs.counts() == owed
    worker.stop()
    service.close()


def test_nothing_of_all_this_left_a_traceback_in_the_log(served: Served, client: httpx.Client) -> None:
    assert client.post("/predict", content=GOOD).json()["results"][0]["result"]
    log = served.log.read_text()
    assert "answered 1 tasks: 1 judged" in log
    assert "Traceback" not in log
    assert "a line of the log is lost" not in log


@pytest.mark.parametrize(
    ("answer", "tasks", "found"),
    [
        (Answer(200, {}, b'{"results": [[]]}', 0.1), 1, []),
        (Answer(200, {}, b'{"results": [[]]}', 0.1), 2, ["1 entries for 2 tasks"]),
        (Answer(200, {}, b'{"results": [NaN]}', 0.1), 1, ["results that are no JSON (it holds NaN)"]),
        (Answer(200, {}, b"Traceback", 6.0), None, ["took 6.0 s", "a traceback in the body"]),
        (Answer(500, {}, b'{"error": "x"}', 0.1), None, ["status 500"]),
        (Answer(503, {}, b'{"error": "x"}', 0.1), None, ["status 503"]),
        (Answer(503, {"retry-after": "3"}, b'{"error": "x"}', 0.1), None, []),
        (Answer(404, {}, b'{"error": ""}', 0.1), None, ['an error that is no sentence: b\'{"error": ""}\'']),
        (Answer(400, {}, b"[]" + b" " * 10_000, 0.1), None, ["an error of 10002 bytes"]),
    ],
)
def test_the_fuzzer_sees_what_is_wrong(answer: Answer, tasks: int | None, found: list[str]) -> None:
    assert [*faults(answer, tasks)][: len(found) or None] == found


def test_the_fuzzer_sees_what_is_not_as_described(client: httpx.Client) -> None:
    described = Described(client.get("/openapi.json").json())
    headers = {"content-type": "application/json", "x-request-id": "a"}
    told = [
        [*described.faults("POST", "/predict", status, given, content)]
        for status, given, content in (
            (200, headers, b'{"results": [[]]}'),
            (200, {"content-type": "text/html"}, b""),
            (200, headers, b'{"results": [{"result": [], "score": 2}]}'),
            (418, headers, b"{}"),
            (503, {**headers, "retry-after": "soon"}, b'{"error": "x"}'),
        )
    ]
    assert [len(found) for found in told] == [0, 2, 1, 1, 1]
    assert told[1] == ["X-Request-Id is missing", "content type 'text/html' is not described"]
    assert told[3:] == [["status 418 is not described"], ["Retry-After: 'soon' is not of type 'integer'"]]
