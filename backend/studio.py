"""Everything said to Label Studio: projects, tasks, predictions, tabs; and, from its base, connections to backends."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, Literal, TypeVar

from backend.errors import StudioError
from backend.studio_access import AnswerTooLarge, AnswerTooSlow, StudioAccess, StudioRefusal
from backend.studio_connections import StudioConnections
from backend.studio_types import (
    Connection,
    Imported,
    Json,
    Project,
    StudioTask,
    Tab,
    User,
    parse_project,
    parse_task,
    parse_user,
)

__all__ = ["Connection", "Project", "Studio", "StudioTask", "Tab", "User"]

Item = TypeVar("Item")

Fields = Literal["data", "predictions", "judged", "all"]
"""What is read of tasks: their data; also their predictions; not the data but the predictions; annotations as well."""

MAX_PAGE_BYTES = 64 * 2**20
"""A page of tasks beyond this is asked for again with fewer tasks."""
_INCLUDED: Mapping[Fields, str] = {
    "data": "id,data",
    "predictions": "id,data,predictions",
    "judged": "id,created_at,predictions",
    "all": "id,data,created_at,predictions,annotations,"
    "result,was_cancelled,completed_by,updated_by,updated_at,lead_time,parent_prediction,ground_truth,task",
}
"""What we use of a task; Label Studio needs four times as long for all that it could tell."""
TASKS_PER_IMPORT = 500
TASKS_BY_ID = 200
"""Their numbers are in the address, whose length servers limit."""
IMPORT_TIMEOUT_S = 900.0
PAGE_TIMEOUT_S = 120.0
RETRIEVE_TIMEOUT_S = 150.0
"""Label Studio itself gives the backend 100 s, and then takes 18 ms a task to store what came."""


class Studio(StudioConnections):
    """One Label Studio server. Every method raises StudioError with what went wrong and what to do."""

    def __init__(self, url: str, api_key: str) -> None:
        super().__init__(StudioAccess(url, api_key))

    def whoami(self) -> User:
        """The user that the API key belongs to; the cheapest proof that address and key are right."""
        return parse_user(self._access.call("GET", "api/current-user/whoami", "ask who the API key belongs to"))

    def users(self) -> tuple[User, ...]:
        """Everyone in the key's organization."""
        found = self._access.call("GET", "api/users", "list the users")
        return tuple(parse_user(item) for item in found)

    def project(self, project_id: int) -> Project:
        """The project with this number."""
        return parse_project(self._access.call("GET", f"api/projects/{project_id}", f"open project {project_id}"))

    def find_project(self, title: str) -> Project | None:
        """The oldest project with exactly this title."""
        page, matches = 1, []
        while True:
            params: dict[str, str | int] = {"title": title, "page": page, "page_size": 100}
            found = self._access.call("GET", "api/projects", "list the projects", params=params)
            matches += [item for item in found["results"] if item["title"] == title]
            if not found["next"]:
                break
            page += 1
        return self.project(min(item["id"] for item in matches)) if matches else None

    def create_project(self, title: str, label_config: str, **settings: object) -> Project:
        """A new project. At creation, and only then, `model_version` may name a judge that has not predicted yet."""
        body = {"title": title, "label_config": label_config, **settings}
        return parse_project(self._access.call("POST", "api/projects", f"create the project {title!r}", body=body))

    def update_project(self, project_id: int, **settings: object) -> Project:
        """Change some of a project's settings."""
        doing = f"change the settings of project {project_id}"
        return parse_project(self._access.call("PATCH", f"api/projects/{project_id}", doing, body=settings))

    def delete_project(self, project_id: int) -> None:
        """Delete a project with its tasks, predictions and annotations."""
        self._access.call("DELETE", f"api/projects/{project_id}", f"delete project {project_id}")

    def use_model_version(self, project_id: int, model_version: str) -> bool:
        """Make this judge's predictions the ones annotators see; False while the project has no prediction of it yet.

        Label Studio sets the backend's title here when a backend is connected. That is not a version: uncertainty
        sampling and the score column find nothing under it. So this is called again after judging.
        """
        if self.project(project_id).model_version == model_version:
            return True
        try:
            self.update_project(project_id, model_version=model_version)
        except StudioRefusal as exc:
            if exc.status == 400 and "model version" in exc.detail.lower():
                return False
            raise
        return True

    def pages(
        self,
        project_id: int,
        page_size: int = 200,
        filters: tuple[Json, ...] = (),
        after: int = 0,
        *,
        fields: Fields = "predictions",
    ) -> Iterator[tuple[StudioTask, ...]]:
        """The tasks that pass the Data Manager's filters, by rising id, at most `page_size` at a time.

        With their data alone they take Label Studio a fifth of the time.
        """
        for page in self._pages(project_id, page_size, filters, after, fields):
            yield tuple(parse_task(item) for item in page)

    def count(self, project_id: int, filters: tuple[Json, ...] = ()) -> int:
        """How many tasks pass the Data Manager's filters."""
        query = json.dumps({"filters": {"conjunction": "and", "items": list(filters)}})
        found = self._page(project_id, 1, query, "data")
        return int(found["total"])

    def tasks(
        self, project_id: int, ids: Collection[int], fields: Fields = "predictions"
    ) -> Iterator[tuple[StudioTask, ...]]:
        """Those of these tasks that are in the project, by rising id, some at a time."""
        for page in self._by_id(project_id, ids, fields):
            yield tuple(parse_task(item) for item in page)

    def judged_tasks(self, project_id: int, ids: Collection[int]) -> Iterator[tuple[Json, ...]]:
        """Those of these tasks that are in the project, in Label Studio's form: `created_at` and whole predictions."""
        yield from self._by_id(project_id, ids, "judged")

    def annotated_tasks(
        self, project_id: int, page_size: int = 100, *, only_annotated: bool = False, filters: tuple[Json, ...] = ()
    ) -> Iterator[tuple[Json, ...]]:
        """Tasks in Label Studio's form, with annotations (skips too) and whole predictions, by rising id.

        With `only_annotated` those without any submitted annotation are left out, and so are those only skipped.

        Page by page 2,000 tasks take Label Studio 1.23.2 4.8 s of processor time (7.4 s with all that it could tell), a
        snapshot (`/exports/`) 2.7 s, in as little memory on either side. Yet without Redis, which Community does not
        bring, it makes a snapshot within the one request that asks for it: of 100,000 tasks that would be two minutes
        without a word, which proxies cut off, and it leaves a file in Label Studio's storage. A page can be had again.
        """
        annotated = {"filter": "filter:tasks:total_annotations", "operator": "greater", "type": "Number", "value": 0}
        chosen = (*filters, annotated) if only_annotated else filters
        yield from self._pages(project_id, page_size, chosen, 0, "all")

    def import_tasks(self, project_id: int, tasks: Iterable[Json]) -> tuple[int, ...]:
        """Add tasks (`{"data": {...}}`); their new ids in the same order."""
        ids: list[int] = []
        for chunk in _chunks(tasks, TASKS_PER_IMPORT):
            answer = self._access.call(
                "POST",
                f"api/projects/{project_id}/import",
                f"import {len(chunk)} tasks into project {project_id} ({len(ids)} went in before)",
                body=chunk,
                params={"return_task_ids": "true"},
                timeout_s=IMPORT_TIMEOUT_S,
            )
            ids += answer.get("task_ids", [])
        return tuple(ids)

    def import_predictions(self, project_id: int, predictions: Sequence[Json]) -> Imported:
        """Store predictions (`{"task", "result", "score", "model_version"}`) by one call of the bulk route.

        Each call makes the server count the whole project anew, so few large ones are cheap. Storing the same twice
        adds it twice. Predictions that do not fit the label config are dropped by Label Studio without a word while
        the others are stored; the answer names them. After StudioAway they may be stored all the same.
        """
        if not predictions:
            return Imported(0)
        answer = self._access.call(
            "POST",
            f"api/projects/{project_id}/import/predictions",
            f"store {len(predictions)} predictions in project {project_id}",
            body=list(predictions),
            timeout_s=IMPORT_TIMEOUT_S,
        )
        created = int(answer["created"])
        dropped = self._dropped(project_id, predictions, created) if created != len(predictions) else []
        return Imported(created, tuple(dropped))

    def prediction_counts(self, project_id: int) -> Mapping[str, int]:
        """How many predictions the project has, by model version."""
        found: Mapping[str, int] = self._access.call(
            "GET", f"api/projects/{project_id}/model-versions/", f"count the predictions of project {project_id}"
        )
        return found

    def delete_prediction(self, number: int) -> None:
        """Delete one prediction; one that is gone already is as good."""
        try:
            self._access.call("DELETE", f"api/predictions/{number}/", f"delete prediction {number}")
        except StudioRefusal as exc:
            if exc.status != 404:
                raise

    def change_prediction(self, number: int, prediction: Json) -> None:
        """Put another result, score or version into a prediction that is there."""
        self._access.call("PATCH", f"api/predictions/{number}/", f"change prediction {number}", body=prediction)

    def retrieve_predictions(self, project_id: int, task_ids: Sequence[int] | None = None) -> str:
        """Press "Retrieve predictions" for these tasks, or all; what Label Studio says about it.

        It says "Retrieved N predictions" even when the backend failed and nothing was stored.
        """
        chosen = {"all": True, "excluded": []} if task_ids is None else {"all": False, "included": list(task_ids)}
        answer = self._access.call(
            "POST",
            "api/dm/actions",
            f"retrieve predictions in project {project_id}",
            body={"selectedItems": chosen},
            params={"id": "retrieve_tasks_predictions", "project": project_id},
            timeout_s=RETRIEVE_TIMEOUT_S,
        )
        return str(answer.get("detail", ""))

    def annotate(self, task_id: int, annotation: Json) -> int:
        """Submit an annotation as the API key's user; its id."""
        path, doing = f"api/tasks/{task_id}/annotations/", f"annotate task {task_id}"
        return int(self._access.call("POST", path, doing, body=annotation)["id"])

    def delete_annotation(self, number: int) -> None:
        """Delete one annotation; one that is gone already is as good."""
        try:
            self._access.call("DELETE", f"api/annotations/{number}/", f"delete annotation {number}")
        except StudioRefusal as exc:
            if exc.status != 404:
                raise

    def service_account(self, email: str, name: str) -> int | None:
        """The number of the account of this address, made if need be; None where the key's user may not make any."""
        found = next((user.id for user in self.users() if user.email == email), None)
        if found is not None:
            return found
        body = {"email": email, "username": email, "first_name": name, "last_name": ""}
        try:
            return int(self._access.call("POST", "api/users", f"make the account {email}", body=body)["id"])
        except StudioRefusal as exc:
            if exc.status != 403:
                raise
            return None

    def columns(self, project_id: int) -> tuple[str, ...]:
        """The Data Manager's columns by full name, e.g. `tasks:data.image`."""
        found = self._access.call("GET", "api/dm/columns", "list the columns", params={"project": project_id})
        nested = {"data": "data."}
        return tuple(f"tasks:{nested.get(column.get('parent'), '')}{column['id']}" for column in found["columns"])

    def tabs(self, project_id: int) -> Mapping[str, int]:
        """The Data Manager's tabs: id by title."""
        found = self._access.call("GET", "api/dm/views", "list the tabs", params={"project": project_id})
        return {item["data"].get("title", ""): item["id"] for item in found}

    def put_tab(self, project_id: int, tab: Tab) -> int:
        """Create the tab, or bring the one with its title back to this form; its id."""
        data = {
            "title": tab.title,
            "type": "list",
            "target": "tasks",
            "filters": {"conjunction": tab.conjunction, "items": [dict(item) for item in tab.filters]},
            "ordering": list(tab.ordering),
            "hiddenColumns": {"explore": list(tab.hidden_columns), "labeling": list(tab.hidden_columns)},
            "columnsWidth": dict(tab.widths_px),
        }
        body, doing = {"project": project_id, "data": data}, f"make the tab {tab.title!r}"
        existing = self.tabs(project_id).get(tab.title)
        if existing is None:
            return int(self._access.call("POST", "api/dm/views/", doing, body=body)["id"])
        return int(self._access.call("PATCH", f"api/dm/views/{existing}/", doing, body=body)["id"])

    def tab_tasks(self, project_id: int, tab_id: int, limit: int = 100) -> tuple[int, ...]:
        """The ids of the first tasks under a tab, in the tab's order."""
        params: dict[str, str | int] = {"project": project_id, "view": tab_id, "page": 1, "page_size": limit}
        found = self._access.call("GET", "api/tasks", f"list the tasks of tab {tab_id}", params=params)
        return tuple(item["id"] for item in found["tasks"])

    def serve_local_files(self, project_id: int, path: str, title: str) -> int:
        """Let this project show files under `path`, a folder on Label Studio's machine; the storage's id."""
        params: dict[str, str | int] = {"project": project_id}
        for storage in self._access.call("GET", "api/storages/localfiles", "list the storages", params=params):
            if storage["path"].rstrip("/") == path.rstrip("/"):
                return int(storage["id"])
        body = {"project": project_id, "path": path, "title": title, "use_blob_urls": True}
        doing = f"let project {project_id} show the files in {path}"
        return int(self._access.call("POST", "api/storages/localfiles", doing, body=body)["id"])

    def misfits(self, project_id: int, predictions: Sequence[Json]) -> list[tuple[int, str]]:
        """Which of these predictions do not fit the project's label config, by Label Studio's own check: task, why."""
        from label_studio_sdk.label_interface.interface import LabelInterface

        interface: Any = LabelInterface(self.project(project_id).label_config)
        wrong = {item["task"]: interface.validate_prediction(dict(item), return_errors=True) for item in predictions}
        return [(int(task), ", ".join(errors)) for task, errors in wrong.items() if errors]

    def _dropped(self, project_id: int, sent: Sequence[Json], created: int) -> list[tuple[int, str]]:
        """Which of the predictions sent were left out, and why. Raises StudioError when that cannot be told."""
        named = self.misfits(project_id, sent)
        if len(named) != len(sent) - created:
            raise StudioError(
                f"Label Studio stored {created} of {len(sent)} predictions in project {project_id} and does not say "
                "which; judge again to store the others"
            )
        return named

    def _by_id(self, project_id: int, ids: Collection[int], fields: Fields) -> Iterator[tuple[Json, ...]]:
        for chunk in _chunks(sorted(ids), TASKS_BY_ID):
            chosen = {"filter": "filter:tasks:id", "operator": "in_list", "type": "Number", "value": chunk}
            yield from self._pages(project_id, TASKS_BY_ID, (chosen,), 0, fields)

    def _pages(
        self, project_id: int, page_size: int, filters: tuple[Json, ...], last: int, fields: Fields
    ) -> Iterator[tuple[Json, ...]]:
        """Pages by rising id, each asking for what comes after the last; so nothing shifts when tasks are deleted."""
        while True:
            after = {"filter": "filter:tasks:id", "operator": "greater", "type": "Number", "value": last}
            query = {"filters": {"conjunction": "and", "items": [after, *filters]}, "ordering": ["tasks:id"]}
            try:
                page = tuple(self._page(project_id, page_size, json.dumps(query), fields)["tasks"])
            except (AnswerTooLarge, AnswerTooSlow):
                if page_size == 1:
                    raise
                page_size = max(1, page_size // 4)
                continue
            if not page:
                return
            yield page
            last = int(page[-1]["id"])

    def _page(self, project_id: int, page_size: int, query: str, fields: Fields) -> Json:
        """A page of tasks.

        Asked in the review form, Label Studio does not have tasks judged that have no prediction yet, which it does
        otherwise where the project says so: while we read it, it would ask our own backend for all of them.
        """
        params: dict[str, str | int] = {"project": project_id, "page": 1, "page_size": page_size, "query": query}
        params |= {"fields": "task_only" if fields == "data" else "all", "resolve_uri": "false"}
        params |= {"review": "true", "include": _INCLUDED[fields]}
        max_bytes = MAX_PAGE_BYTES if page_size > 1 else 16 * MAX_PAGE_BYTES
        doing = f"read tasks of project {project_id}"
        try:
            found = self._access.read("api/tasks", doing, params, max_bytes, PAGE_TIMEOUT_S)
        except AnswerTooLarge as exc:
            if page_size > 1:
                raise
            raise StudioError(f"could not {doing}: one task alone is {exc}; its data must be made smaller") from exc
        answer: Json = found
        return answer


def _chunks(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
