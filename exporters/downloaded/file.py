"""Reads Label Studio's JSON export task by task, and says in words what is wrong with a file that is none.

The file comes from Label Studio's own button (Export > JSON), from its API (`exportType=JSON`, with
`download_all_tasks=true` also those without annotations) or is a snapshot. They differ in what they say of people
(numbers, or objects with addresses) and of predictions (numbers, or whole). Drafts, names and addresses of people and
all else that is not used here is not kept.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from backend.errors import ExportError
from exporters.downloaded.held import HeldTasks, Task

_REMEDY = "export the project from Label Studio in the format JSON, and name that file"
_MIN = frozenset({"annotation_id", "annotator"})
"""What the tasks of JSON-MIN have and no others."""
_BROKEN_OFF = ("premature EOF", "Incomplete")
"""What ijson's parsers say then; its `IncompleteJSONError` is raised for much else."""
_WHITESPACE = b" \t\r\n"
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MOST_ID = 2**63
_TEN_DIGITS = re.compile(rb"[0-9]{10}")
_MOST_SAID = 80
"""Of a parser's words, in characters: some repeat what they could not read."""
_OF_ANNOTATION = ("id", "result", "was_cancelled", "lead_time", "created_at", "updated_at", "ground_truth")
_NUMBERS_OF_ANNOTATION = ("completed_by", "updated_by", "parent_prediction")
"""Of people and predictions; some files have them as objects."""
_OF_PREDICTION = ("id", "result", "score", "model_version", "created_at")


@dataclass(frozen=True, slots=True)
class Download:
    """What a file holds beside its tasks."""

    name: str
    """Of the file, as messages say it."""
    project_id: int
    lacking: tuple[int, ...] = ()
    """Tasks of which Label Studio counts more annotations than the file has."""


def read_download(path: Path, tasks: HeldTasks, project_id: int | None = None) -> Download:
    """Put the file's tasks into `tasks`, each checked.

    `project_id` is whose they must be; None takes the project that the file names. Raises ExportError naming the task
    and the field when the file is another one, is broken, or would not be read whole.
    """
    reader = _Reader(path.name, tasks, project_id)
    try:
        with path.open("rb") as file, _understood(path.name):
            _check_start(file, path.name)
            for place, raw in enumerate(_items(file), 1):
                reader.take(place, raw)
    except OSError as exc:
        raise ExportError(f"{path} cannot be read ({exc}); name a file that you may read") from exc
    if reader.project_id is None:
        _refuse(path.name, "does not say which project its tasks are of", "name it with --project NUMBER")
    return Download(path.name, reader.project_id, tuple(reader.lacking))


class _Reader:
    def __init__(self, name: str, tasks: HeldTasks, project_id: int | None) -> None:
        self.project_id = project_id
        self.lacking: list[int] = []
        self._name = name
        self._tasks = tasks

    def take(self, place: int, raw: object) -> None:
        task = _checked(raw, self._name, place)
        self._check_project(task["id"], raw.get("project") if isinstance(raw, Mapping) else None)
        if not self._tasks.add(task):
            _refuse(self._name, f"holds task {task['id']} twice", f"it was put together of several; {_REMEDY}")
        if isinstance(raw, Mapping) and _lacks_annotations(raw):
            self.lacking.append(task["id"])

    def _check_project(self, task: int, project: object) -> None:
        if not isinstance(project, int) or project == self.project_id:
            return
        if self.project_id is None:
            self.project_id = project
            return
        remedy = f"export project {self.project_id} alone, or say --project {project} if that is the one you mean"
        _refuse(self._name, f"holds task {task} of project {project}, not of project {self.project_id}", remedy)


def _items(file: BinaryIO) -> Iterator[object]:
    import ijson

    # The quick parser kills the process at a whole number that Python refuses for its length; the other one refuses it.
    parser = ijson.get_backend("python") if _has_long_digits(file) else ijson
    yield from parser.items(file, "item")  # as floats it would take no whole number of 64 bits or more


def _has_long_digits(file: BinaryIO) -> bool:
    """Whether there are more digits in a row than Python takes for a whole number; now and then also for fewer.

    Among so many every byte at a tenth of that distance is a digit, ten times in a row. The file stays where it is.
    """
    start, seen, step = file.tell(), b"", sys.get_int_max_str_digits() // 10
    found = False
    while step and not found and (block := file.read(step * 4096)):
        seen = seen[-9:] + block[::step]
        found = _TEN_DIGITS.search(seen) is not None
    file.seek(start)
    return found


@contextmanager
def _understood(name: str) -> Iterator[None]:
    import ijson

    try:
        yield
    except (ijson.JSONError, UnicodeDecodeError, RecursionError, ArithmeticError) as exc:
        said = str(exc).partition("\n")[0][:_MOST_SAID]
        if any(sign in said for sign in _BROKEN_OFF):
            raise ExportError(f"{name} breaks off in the middle ({said}); download it again") from exc
        raise ExportError(f"{name} is no JSON ({said}); {_REMEDY}") from exc


def _check_start(file: BinaryIO, name: str) -> None:
    """Raise ExportError unless a list begins; afterwards the file is at its start, behind a byte order mark."""
    start = file.read(4096)
    skipped = len(_BYTE_ORDER_MARK) if start.startswith(_BYTE_ORDER_MARK) else 0
    file.seek(skipped)
    start = start[skipped:]
    first = start.lstrip(_WHITESPACE)[:1]
    if start.startswith(b"PK\x03\x04"):
        _refuse(name, "is a zip archive", "unpack it, and name the JSON file in it")
    if first == b"{":
        _refuse(name, "holds one object, as COCO exports do, and not a list of tasks")
    if not first:
        _refuse(name, "is empty")
    if first != b"[":
        _refuse(name, "does not begin as a list of tasks does; CSV, TSV and other formats say too little")


def _checked(raw: object, name: str, place: int) -> Task:
    """What is used of a task. Raises ExportError."""
    if not isinstance(raw, Mapping):
        _refuse(name, f"holds {_said(raw)} as its entry {place}, where a task must be")
    if raw.keys() & _MIN and "annotations" not in raw:
        _refuse(name, "is in the format JSON-MIN, which leaves out the judge's answers and who changed what")
    number = raw.get("id")
    if not _is_number(number):
        _refuse(name, f"has no number of a task in `id` of its entry {place} but {_said(number)}")
    data = raw.get("data")
    if not isinstance(data, Mapping):
        _refuse(name, f"task {number}: `data` must be an object, not {_said(data)}")
    return {
        "id": number,
        "data": data,
        "created_at": raw.get("created_at"),
        "annotations": [_annotation(one, name, f"task {number}: {where}") for where, one in _each(raw, name)],
        "predictions": _predictions(raw.get("predictions"), name, f"task {number}: `predictions`"),
    }


def _each(raw: Mapping[str, Any], name: str) -> Iterator[tuple[str, object]]:
    annotations = raw.get("annotations")
    if not isinstance(annotations, list):
        _refuse(name, f"task {raw['id']}: `annotations` must be a list, not {_said(annotations)}")
    for index, annotation in enumerate(annotations):
        yield f"`annotations[{index}]`", annotation


def _annotation(raw: object, name: str, where: str) -> Mapping[str, Any]:
    if not isinstance(raw, Mapping):
        _refuse(name, f"{where} must be a whole annotation, not {_said(raw)}")
    if not _is_number(raw.get("id")):
        _refuse(name, f"{where}: `id` must be a number, not {_said(raw.get('id'))}")
    if not isinstance(raw.get("result"), list):
        _refuse(name, f"{where}: `result` must be a list, not {_said(raw.get('result'))}")
    by = raw.get("completed_by")
    known = by.get("id") if isinstance(by, Mapping) else by
    if not _is_number(known) and by is not None:  # without a number no pseudonym can be told from another
        _refuse(name, f"{where}: `completed_by` has no user's number but {_said(by)}")
    kept = {key: raw[key] for key in _OF_ANNOTATION if key in raw}
    kept |= {key: _number_in(raw[key]) for key in _NUMBERS_OF_ANNOTATION if key in raw}
    seen = raw.get("prediction")
    return kept | ({"prediction": used_of_prediction(seen)} if isinstance(seen, Mapping) else {})


def _number_in(value: object) -> object:
    return value.get("id") if isinstance(value, Mapping) else value


def used_of_prediction(raw: Mapping[str, Any]) -> dict[str, Any]:
    """What is used of a prediction."""
    return {key: raw[key] for key in _OF_PREDICTION if key in raw}


def _predictions(raw: object, name: str, where: str) -> list[Any]:
    """Predictions as they are, whole or as numbers."""
    if raw is None:
        return []
    if not isinstance(raw, list):
        _refuse(name, f"{where} must be a list, not {_said(raw)}")
    for index, one in enumerate(raw):
        whole = isinstance(one, Mapping) and _is_number(one.get("id")) and isinstance(one.get("result"), list)
        if not whole and not _is_number(one):
            _refuse(name, f"{where}[{index}] must be a prediction or its number, not {_said(one)}")
    return [used_of_prediction(one) if isinstance(one, Mapping) else one for one in raw]


def _lacks_annotations(raw: Mapping[str, Any]) -> bool:
    """Whether Label Studio counts more annotations, skips included, than there are here."""
    counted = [raw.get("total_annotations"), raw.get("cancelled_annotations")]
    return sum(one for one in counted if isinstance(one, int)) > len(raw["annotations"])


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_ID


def _said(value: object) -> str:
    """What was found, without what may be private: keys, not values."""
    if isinstance(value, Mapping):
        return f"an object with {', '.join(map(str, list(value)[:5]))}" if value else "an empty object"
    names = {type(None): "nothing", str: "a text", list: "a list", bool: "true or false"}
    return names.get(type(value)) or str(value)


def _refuse(name: str, wrong: str, remedy: str = _REMEDY) -> NoReturn:
    raise ExportError(f"{name}{' ' if not wrong.startswith('task ') else ', '}{wrong}; {remedy}")
