"""What was named as personal is found before it is published."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from backend.errors import ExportError
from exporters.hub.privacy import check_keys, check_personal, key_pattern, parse_fields, personal_places


def write(folder: Path, config: str, rows: list[dict[str, Any]], schema: pyarrow.Schema | None = None) -> Path:
    save: Callable[..., None] = pyarrow.parquet.write_table
    path = folder / "data" / config / "train-00000-of-00001-aa.parquet"
    path.parent.mkdir(parents=True)
    save(pyarrow.Table.from_pylist(rows, schema=schema), path)
    return folder


def test_fields_are_read_from_the_command_line() -> None:
    assert parse_fields(" name, email,,name") == ("name", "email")
    with pytest.raises(
        ExportError, match=r"^--personal-fields names no field; write keys of the tasks' data like name"
    ):
        parse_fields(" , ")


def test_keys_that_go_into_the_rows_are_refused_before_the_work() -> None:
    check_keys(("image", "caption", "meta.page"), ("email", "pagename"))
    with pytest.raises(ExportError, match=r"^the rows would hold `Email`, `meta.email` of the tasks' data"):
        check_keys(("image", "meta.email", "Email"), ("email",))


@pytest.mark.parametrize("column", ["email", "Email", "input_email", "email_sha256"])
def test_a_column_of_that_name_is_found_where_it_says_something(tmp_path: Path, column: str) -> None:
    rows: list[dict[str, Any]] = [
        {"task_id": 5, column: "ada@example.org"},
        {"task_id": 3, column: None},
        {"task_id": 4, column: ""},
    ]
    write(tmp_path, "all", rows)
    assert personal_places(tmp_path, ("name", "email")) == {f"column `{column}` of config all": (5,)}


def test_a_column_of_another_name_is_let_pass(tmp_path: Path) -> None:
    write(tmp_path, "all", [{"task_id": 1, "emails_sent": "3", "text": 'email: ada@example.org, "email" her'}])
    assert personal_places(tmp_path, ("email",)) == {}


def test_a_key_is_found_in_texts_at_any_depth(tmp_path: Path) -> None:
    said = [{"role": "user", "content": [{"type": "text", "text": 'Read {"person": {"email": "a@b"}}'}]}]
    write(tmp_path, "sft", [{"task_id": 7, "messages": said}, {"task_id": 9, "messages": []}])
    write(tmp_path, "all", [{"task_id": n, "meta": '{"email": 1}'} for n in (2, 1)])
    assert personal_places(tmp_path, ("email",)) == {
        "the key `email` in the text of column `meta` of config all": (1, 2),
        "the key `email` in the text of column `messages` of config sft": (7,),
    }


def test_bytes_of_images_are_not_read_as_text(tmp_path: Path) -> None:
    picture = {"bytes": b'{"email": "a@b"}', "path": "a.png"}
    write(tmp_path, "all", [{"task_id": 1, "image": picture, "images": [picture]}])
    assert personal_places(tmp_path, ("email",)) == {}
    assert personal_places(tmp_path, ("image",)) == {"column `image` of config all": (1,)}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('{"email": "a@b"}', True),
        ('{ "EMAIL" : 1', True),
        ("{'email': 'a@b'}", True),
        (r'{"raw": "{\"email\": \"a@b\"}"}', True),
        (r'"{\\\"email\\\":3}"', True),
        ('{"email": null}', False),
        ('{"email":null}', False),
        ('{"email": ""}', False),
        ('{"emails": 3}', False),
        ('["email"]', False),
        ("", False),
    ],
)
def test_keys_of_json(text: str, found: bool) -> None:
    assert (key_pattern("email").search(text) is not None) is found


def test_a_key_in_another_script_is_found_in_both_of_its_spellings() -> None:
    pattern = key_pattern("имя")
    assert pattern.search('{"имя": "Ада"}')
    assert pattern.search(r'{"\u0438\u043c\u044f": "\u0410"}')


def test_the_refusal_names_places_and_tasks(tmp_path: Path) -> None:
    write(tmp_path, "all", [{"task_id": n, "email": "a@b"} for n in range(1, 13)])
    with pytest.raises(
        ExportError,
        match=r"^not pushed: the rows hold what you named as personal: column `email` of config all: tasks 1, 2, 3, 4, "
        r"5, 6, 7, 8, 9, 10 and 2 more\. Take it out",
    ):
        check_personal(tmp_path, ("email",))
    check_personal(tmp_path, ())


def test_rows_without_a_number_are_found_too(tmp_path: Path) -> None:
    write(tmp_path, "default", [{"email": "a@b"}])
    with pytest.raises(ExportError, match=r"column `email` of config default: rows without a task's number\."):
        check_personal(tmp_path, ("email",))
