"""Puts whole predictions in the place of the numbers by which a downloaded file names them.

Label Studio's own JSON export has numbers only. What they stand for is asked of the API, or taken from where the file
says it by the way: with an annotation it keeps the prediction of the project's judge as it was when that was submitted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from backend.errors import ExportError
from exporters.downloaded.file import Download, used_of_prediction
from exporters.downloaded.held import HeldTasks, Task

_SHOWN = 5
_REMEDY = (
    "set LABEL_STUDIO_URL to the one that the file is from, or unset it and give the label config by --label-config"
)


class Answers(Protocol):
    """Where predictions are to be had; `backend.studio.Studio` in production."""

    def judged_tasks(self, project_id: int, ids: Collection[int]) -> Iterator[tuple[Mapping[str, Any], ...]]:
        """Those of these tasks that are in the project, with `created_at` and whole predictions. Raises StudioError."""
        ...


@dataclass(frozen=True, slots=True)
class Completed:
    """What is not as in the project."""

    unread: tuple[int, ...] = ()
    """Tasks with predictions of which nothing but the number is known."""
    gone: tuple[int, ...] = ()
    """Tasks that the project does not have any more."""


def complete(download: Download, tasks: HeldTasks, answers: Answers | None) -> Completed:
    """Complete the tasks' predictions, from Label Studio where `answers` are given, else from the file alone.

    A prediction that came after the file was made is not taken in. Raises StudioError, and ExportError when the tasks
    there are others than those of the file.
    """
    unread: list[int] = []
    gone: list[int] = []
    for page in tasks.pages():
        there = _asked(answers, download, [task["id"] for task in page]) if answers else {}
        if answers:
            _check_same(download, page, there)
            gone += [task["id"] for task in page if task["id"] not in there]
        changed = [task for task in page if _numbers(task)]
        for task in changed:
            _fill(task, there.get(task["id"]))
        unread += [task["id"] for task in changed if task["unread_predictions"]]
        tasks.change(changed)
    if gone and len(gone) == len(tasks):
        raise ExportError(
            f"{download.name}: project {download.project_id} of this Label Studio has none of the file's tasks "
            f"({_shown(tuple(gone))}); {_REMEDY}"
        )
    return Completed(tuple(unread), tuple(gone))


def notes_of(download: Download, completed: Completed, *, asked: bool) -> tuple[str, ...]:
    """What to tell the person who exports; `asked` whether Label Studio was."""
    notes = []
    if download.lacking:
        notes.append(
            "the file leaves out annotations that Label Studio counts, because it was exported by a filter: "
            + _shown(download.lacking)
        )
    if completed.gone:
        notes.append(f"not in the project any more, the rows are those of the file: {_shown(completed.gone)}")
    if completed.unread:
        offline = "set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY to have them"
        remedy = "those tasks are not there to be asked about" if asked else offline
        notes.append(f"judge's answers that the file names and does not hold: {_shown(completed.unread)}; {remedy}")
    return tuple(notes)


def _asked(answers: Answers, download: Download, ids: list[int]) -> dict[int, Mapping[str, Any]]:
    return {task["id"]: task for page in answers.judged_tasks(download.project_id, ids) for task in page}


def _check_same(download: Download, here: Sequence[Task], there: Mapping[int, Mapping[str, Any]]) -> None:
    """Numbers are the same on every server, so it is by the time of creation that a task is known to be the same."""
    for task in here:
        made, found = task["created_at"], there.get(task["id"], {}).get("created_at")
        if made and found and made != found:
            raise ExportError(
                f"{download.name}, task {task['id']}: `created_at` is {made}, and {found} in project "
                f"{download.project_id} of this Label Studio, which is another one; {_REMEDY}"
            )


def _numbers(task: Task) -> list[int]:
    return [one for one in task["predictions"] if isinstance(one, int)]


def _fill(task: Task, there: Mapping[str, Any] | None) -> None:
    """Put in what is known of the task's predictions, and note those of which nothing is.

    Of a task that is there a prediction that is not has been deleted, and the API's own road would not know of it
    either; there, too, what an annotation keeps of it counts for nothing.
    """
    found = _kept(task) if there is None else _given(there)
    known = {**found, **{one["id"]: one for one in task["predictions"] if isinstance(one, dict)}}
    numbers = [one if isinstance(one, int) else one["id"] for one in task["predictions"]]
    task["predictions"] = [known[number] for number in numbers if number in known]
    task["unread_predictions"] = [] if there else [number for number in numbers if number not in known]


def _given(there: Mapping[str, Any]) -> dict[int, Any]:
    """Predictions that Label Studio tells."""
    return {one["id"]: used_of_prediction(one) for one in there.get("predictions", ())}


def _kept(task: Task) -> dict[int, Any]:
    """Predictions that annotations keep."""
    kept = [one.get("prediction") for one in task["annotations"]]
    whole = [one for one in kept if isinstance(one, dict) and isinstance(one.get("result"), list)]
    return {one["id"]: one for one in whole if isinstance(one.get("id"), int)}


def _shown(ids: tuple[int, ...]) -> str:
    more = f" and {len(ids) - _SHOWN} more" if len(ids) > _SHOWN else ""
    return f"{'tasks' if len(ids) > 1 else 'task'} {', '.join(map(str, ids[:_SHOWN]))}{more}"
