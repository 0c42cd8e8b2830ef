"""What Label Studio may send, and how whoever sends something else is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backend.wire import BadRequest, Message, PredictRequest, SetupRequest, WebhookRequest, cut, read

NO_JSON = "the request body is not valid JSON in UTF-8"
NO_ACTION = "`action` must say what happened, such as ANNOTATION_CREATED, in at most 100 characters"
PROJECT = (
    "`project` must be the project's number and creation time, such as `3.1795361354`: a text of at most 64 "
    "characters, or a whole number"
)


def refusal(model: type[Message], content: bytes) -> str:
    with pytest.raises(BadRequest) as refused:
        read(model, content)
    return str(refused.value)


def asked(**members: Any) -> PredictRequest:
    return read(PredictRequest, json.dumps({"tasks": [], "label_config": "<View/>", **members}).encode())


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "the request body must be a JSON object"),
        (b"[]", "the request body must be a JSON object"),
        (b"{", f"{NO_JSON}: EOF while parsing an object at line 1 column 1"),
        ('{"tasks": []}'.encode("utf-16"), f"{NO_JSON}: expected value at line 1 column 1"),
        (b'\xef\xbb\xbf{"tasks": []}', f"{NO_JSON}: expected value at line 1 column 1"),
        (
            b'{"tasks": [], "label_config": "\\ud800"}',
            "`label_config` must hold the project's label config",
        ),
        (
            b'{"a":' + b"[" * 100_000,
            f"{NO_JSON}: recursion limit exceeded at line 1 column 206",
        ),
        (b"{}", "`tasks` must be a list of task objects; `label_config` must hold the project's label config"),
        (b'{"tasks": [], "label_config": "x", "params": 3}', "`params`: input should be an object"),
    ],
)
def test_what_is_no_prediction_request_is_told_what_is_wrong(content: bytes, reason: str) -> None:
    assert refusal(PredictRequest, content) == reason


@pytest.mark.parametrize("project", [True, 1.5, -1, 2**63, "x" * 65, [], {}, float("inf")])
def test_a_project_that_is_none_is_told_once_what_it_must_be(project: object) -> None:
    content = json.dumps({"tasks": [], "label_config": "<View/>", "schema": "<View/>", "project": project}).encode()
    assert (refusal(PredictRequest, content), refusal(SetupRequest, content)) == (PROJECT, PROJECT)


@pytest.mark.parametrize(
    ("project", "kept", "uid"),
    [
        ("3.1795361354", "3.1795361354", "3.1795361354"),
        (None, None, None),
        ("", "", None),
        (3, 3, None),
        (3.0, 3, None),
        ("captions", "captions", None),
        ("3", "3", None),
        ("0.1795361354", "0.1795361354", None),
        ("3.1795361354\n", "3.1795361354\n", None),
        ("٣.1795361354", "٣.1795361354", None),
        (f"{'9' * 19}.1795361354", f"{'9' * 19}.1795361354", None),
    ],
)
def test_only_a_project_named_as_label_studio_names_it_can_be_written_to(
    project: object, kept: object, uid: str | None
) -> None:
    body = asked(project=project)
    assert (body.project, type(body.project), body.uid) == (kept, type(kept), uid)


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"action": "A" * 101}, NO_ACTION),
        ({"action": ""}, NO_ACTION),
        ({"project": 3}, "`project` must be the project as an object, with `id` and `created_at`"),
        ({"annotation": 3}, "`annotation` must be an annotation object or a list of them"),
        ({"annotations": [3]}, "`annotations` must be a list of annotation objects"),
    ],
)
def test_a_webhook_that_is_none_is_told_what_is_wrong(members: dict[str, Any], reason: str) -> None:
    assert refusal(WebhookRequest, json.dumps({"action": "A", **members}).encode()) == reason


def test_half_a_character_in_a_task_is_that_task_s_own_fault() -> None:
    body = read(
        PredictRequest, b'{"tasks": [{"id": 1, "data": {"a": "\\ud800"}}, {"id": 2}], "label_config": "<View/>"}'
    )
    assert body.tasks == [{"id": 1, "data": {"a": "\ud800"}}, {"id": 2}]


def test_of_many_faults_five_are_told() -> None:
    told = refusal(PredictRequest, json.dumps({"params": 1, "project": [], "tasks": 2, "label_config": 3}).encode())
    assert told == (
        f"`tasks` must be a list of task objects; `label_config` must hold the project's label config; {PROJECT}; "
        "`params`: input should be an object"
    )


@pytest.mark.parametrize(("text", "shown"), [("abc", "abc"), ("abcd", "abc...")])
def test_a_text_is_cut_where_it_is_too_long(text: str, shown: str) -> None:
    assert cut(text, 3) == shown
