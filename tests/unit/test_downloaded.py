"""A project out of the file that Label Studio's Export > JSON writes."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import SecretStr

from backend.annotated import AnnotatedTask, annotated_tasks, read_task
from backend.cli import main
from backend.core.label_config import parse_label_config
from backend.errors import ExportError, StudioError
from backend.settings import Settings
from exporters.downloaded.completing import Completed, complete, notes_of
from exporters.downloaded.file import Download, read_download
from exporters.downloaded.held import Task, held_tasks
from exporters.downloaded.source import DownloadFacts, downloaded
from exporters.export import export_download
from exporters.records.consolidate import LeftOut, Policy, Record, consolidate, pseudonym
from tests.made_pictures import png

XML = """<View><Image name="image" value="$image"/><Text name="caption" value="$caption"/>
<Choices name="verdict" toName="caption"><Choice value="accept"/><Choice value="fix"/></Choices></View>"""
CONFIG = parse_label_config(XML)
POLICY = Policy(annotator_key=b"key")
PIXEL = "data:image/png;base64," + base64.b64encode(png(1, 1, 8, 2, bytes(4))).decode()


def region(verdict: str, origin: str | None = None) -> dict[str, Any]:
    value = {"id": "0-v", "from_name": "verdict", "to_name": "caption", "type": "choices"}
    return {**value, "value": {"choices": [verdict]}, **({"origin": origin} if origin else {})}


def prediction(number: int, verdict: str | None = "accept") -> dict[str, Any]:
    """As Label Studio's API says it, shortened."""
    result = [] if verdict is None else [region(verdict)]
    made = {"model_version": "demo-1", "score": 0.5, "created_at": "2026-11-27T02:37:30.118284Z"}
    return {"id": number, "result": result, **made, "task": number, "project": 1, "cluster": None}


def annotation(number: int, **fields: Any) -> dict[str, Any]:
    """As Label Studio 1.23.2 wrote it into a file."""
    return {
        "id": number,
        "completed_by": 1,
        "result": [region("accept", "prediction")],
        "was_cancelled": False,
        "ground_truth": False,
        "created_at": "2026-11-27T02:37:30.562764Z",
        "updated_at": "2026-11-27T02:37:30.562800Z",
        "draft_created_at": None,
        "lead_time": 3.5,
        "prediction": {},
        "result_count": 1,
        "unique_id": "b161d422-09ce-4160-bdd2-d716b0a9b5c4",
        "import_id": None,
        "last_action": None,
        "bulk_created": False,
        "task": 1,
        "project": 1,
        "updated_by": 1,
        "parent_prediction": 1,
        "parent_annotation": None,
        "last_created_by": None,
        **fields,
    }


def task(number: int, *annotations: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """As Label Studio 1.23.2 wrote it into a file."""
    return {
        "id": number,
        "annotations": list(annotations),
        "drafts": [{"id": 1, "user": "a@example.org", "result": [region("fix")], "lead_time": 1.0}],
        "predictions": [number],
        "data": {"image": PIXEL, "caption": "A red square."},
        "meta": {},
        "created_at": "2026-11-27T02:37:29.989293Z",
        "updated_at": "2026-11-27T02:37:30.721818Z",
        "allow_skip": True,
        "inner_id": number,
        "total_annotations": len(annotations),
        "cancelled_annotations": 0,
        "total_predictions": 1,
        "comment_count": 0,
        "project": 1,
        "updated_by": 1,
        "comment_authors": [],
        **fields,
    }


class There:
    """Answers as `Studio.judged_tasks` does, of what a project has."""

    def __init__(self, tasks: Mapping[int, Mapping[str, Any]]) -> None:
        self.tasks = tasks
        self.asked: list[list[int]] = []

    def judged_tasks(self, project_id: int, ids: Collection[int]) -> Iterator[tuple[Mapping[str, Any], ...]]:
        self.asked.append(sorted(ids))
        yield tuple(self.tasks[number] for number in ids if number in self.tasks)


def judged(number: int, *predictions: Mapping[str, Any], created_at: str = "2026-11-27T02:37:29.989293Z") -> Task:
    return {"id": number, "created_at": created_at, "predictions": list(predictions)}


def write(folder: Path, content: object) -> Path:
    path = folder / "project-1-at-2026.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def read(path: Path, there: There | None = None, project: int | None = None) -> tuple[list[AnnotatedTask], Completed]:
    with held_tasks() as tasks:
        download = read_download(path, tasks, project)
        completed = complete(download, tasks, there)

        class Held:
            def annotated_tasks(self, project_id: int) -> Iterator[tuple[Task, ...]]:
                yield from tasks.pages()

        return list(annotated_tasks(Held(), 1)), completed


def row(found: AnnotatedTask) -> Record:
    outcome = consolidate(found, CONFIG, POLICY)
    assert not isinstance(outcome, LeftOut)
    return outcome[0]


def refused(path: Path, project: int | None = None) -> str:
    with held_tasks() as tasks, pytest.raises(ExportError) as caught:
        read_download(path, tasks, project)
    return str(caught.value)


def test_tasks_come_by_rising_number_without_drafts_and_their_predictions_from_label_studio(tmp_path: Path) -> None:
    path = write(tmp_path, [task(7), task(2, annotation(4))])
    there = There({2: judged(2, prediction(2), prediction(9)), 7: judged(7, prediction(7, "fix"))})
    tasks, completed = read(path, there)
    assert ([one.id for one in tasks], there.asked, completed) == ([2, 7], [[2, 7]], Completed())
    assert [[one.id for one in found.predictions] for found in tasks] == [[2], [7]], "9 came after the file was made"
    assert [(one.id, one.completed_by, one.parent_prediction) for one in tasks[0].annotations] == [(4, 1, 1)]
    assert "drafts" not in tasks[0].data


def test_whole_predictions_and_people_of_a_snapshot_need_nobody(tmp_path: Path) -> None:
    person = {"id": 3, "email": "somebody@example.org", "first_name": "Some", "last_name": "Body"}
    whole = task(1, annotation(5, completed_by=person), predictions=[prediction(1)])
    [found], completed = read(write(tmp_path, [whole]))
    assert completed == Completed()
    made = row(found)
    assert (made.annotators, made.decided_by, made.audit) == ((pseudonym(3, b"key"),), "confirmed", False)
    assert "example.org" not in repr(made)


def test_what_an_annotation_keeps_of_its_prediction_serves_where_nobody_can_be_asked(tmp_path: Path) -> None:
    path = write(tmp_path, [task(1, annotation(5, prediction=prediction(1), result=[region("fix", "manual")]))])
    [found], completed = read(path)
    made = row(found)
    assert completed == Completed()
    assert (made.judge_verdict, made.human_verdict, made.decided_by) == ("accept", "fix", "corrected")
    assert (made.corrected_controls, made.saw_prediction, made.judge_confidence) == (("verdict",), True, 0.5)


@pytest.mark.parametrize(
    ("given", "saw", "decided_by"),
    [
        (annotation(5), True, "confirmed"),  # its regions' origin tells
        (annotation(5, result=[region("fix", "manual")]), None, "human"),  # what it started from may have been blind
        (annotation(5, result=[region("fix", "manual")], parent_prediction=None), None, "human"),
    ],
)
def test_what_hangs_on_unknown_predictions_is_null_and_said(
    tmp_path: Path, given: dict[str, Any], saw: bool | None, decided_by: str
) -> None:
    path = write(tmp_path, [task(1, given)])
    [found], completed = read(path)
    made = row(found)
    assert (found.unread, completed) == ((1,), Completed(unread=(1,)))
    assert (made.saw_prediction, made.audit, made.judge, made.fingerprint) == (saw, None, None, None)
    assert made.decided_by == decided_by
    [note] = notes_of(Download(path.name, 1), completed, asked=False)
    assert note == (
        "judge's answers that the file names and does not hold: task 1; set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY "
        "to have them"
    )


def test_a_task_that_is_gone_from_label_studio_stays_with_what_the_file_has(tmp_path: Path) -> None:
    path = write(tmp_path, [task(1), task(2, annotation(5, prediction=prediction(2)))])
    tasks, completed = read(path, There({1: judged(1, prediction(1))}))
    assert completed == Completed(gone=(2,))
    assert [[one.id for one in found.predictions] for found in tasks] == [[1], [2]]
    assert notes_of(Download(path.name, 1, (1,)), completed, asked=True) == (
        "the file leaves out annotations that Label Studio counts, because it was exported by a filter: task 1",
        "not in the project any more, the rows are those of the file: task 2",
    )


def test_a_prediction_that_was_deleted_is_as_on_the_other_road(tmp_path: Path) -> None:
    path = write(tmp_path, [task(1, annotation(5, prediction=prediction(1)))])
    [found], completed = read(path, There({1: judged(1)}))
    assert (found.predictions, found.unread, completed) == ((), (), Completed())


def test_another_label_studio_is_known_by_when_its_tasks_were_made(tmp_path: Path) -> None:
    path = write(tmp_path, [task(1)])
    with pytest.raises(ExportError) as caught:
        read(path, There({1: judged(1, created_at="2025-01-01T00:00:00Z")}))
    assert str(caught.value) == (
        "project-1-at-2026.json, task 1: `created_at` is 2026-11-27T02:37:29.989293Z, and 2025-01-01T00:00:00Z in "
        "project 1 of this Label Studio, which is another one; set LABEL_STUDIO_URL to the one that the file is from, "
        "or unset it and give the label config by --label-config"
    )
    with pytest.raises(
        ExportError, match=r"project 1 of this Label Studio has none of the file's tasks \(task 1\); set LABEL_"
    ):
        read(path, There({}))


def test_a_project_whose_first_tasks_were_deleted_is_still_the_same(tmp_path: Path) -> None:
    """120 tasks are more than a page; whole predictions need no asking, yet what is gone is counted."""
    path = write(tmp_path, [task(number, predictions=[prediction(number)]) for number in range(1, 121)])
    _, completed = read(path, There({120: judged(120, prediction(120))}))
    assert completed == Completed(gone=tuple(range(1, 120)))
    with pytest.raises(ExportError, match=r"none of the file's tasks \(tasks 1, 2, 3, 4, 5 and 115 more\); set LABEL_"):
        read(path, There({}))


EXPORT_ANEW = "export the project from Label Studio in the format JSON, and name that file"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            "image,caption\n1,2\n",
            f"does not begin as a list of tasks does; CSV, TSV and other formats say too little; {EXPORT_ANEW}",
        ),
        (
            {"images": [], "annotations": []},
            f"holds one object, as COCO exports do, and not a list of tasks; {EXPORT_ANEW}",
        ),
        ("PK\x03\x04rest", "is a zip archive; unpack it, and name the JSON file in it"),
        (" \n", f"is empty; {EXPORT_ANEW}"),
        (
            [{"id": 1, "image": "a.png", "caption": "A.", "annotator": 1, "annotation_id": 1, "verdict": "accept"}],
            f"is in the format JSON-MIN, which leaves out the judge's answers and who changed what; {EXPORT_ANEW}",
        ),
        ([task(1), task(1)], f"holds task 1 twice; it was put together of several; {EXPORT_ANEW}"),
        (
            [task(1), task(2, project=5)],
            "holds task 2 of project 5, not of project 1; export project 1 alone, or say --project 5 if that is the "
            "one you mean",
        ),
        ([{"data": {}}], f"has no number of a task in `id` of its entry 1 but nothing; {EXPORT_ANEW}"),
        ([task(1), 3], f"holds 3 as its entry 2, where a task must be; {EXPORT_ANEW}"),
        ([task(1, data="x")], f"task 1: `data` must be an object, not a text; {EXPORT_ANEW}"),
        ([task(1) | {"annotations": None}], f"task 1: `annotations` must be a list, not nothing; {EXPORT_ANEW}"),
        (
            [task(1) | {"annotations": [5]}],
            f"task 1: `annotations[0]` must be a whole annotation, not 5; {EXPORT_ANEW}",
        ),
        (
            [task(1, annotation(5), annotation(6, result=None))],
            f"task 1: `annotations[1]`: `result` must be a list, not nothing; {EXPORT_ANEW}",
        ),
        (
            [task(1, annotation(5, completed_by={"email": "a@example.org"}))],
            "task 1: `annotations[0]`: `completed_by` has no user's number but an object with email; " + EXPORT_ANEW,
        ),
        (
            [task(1, predictions=[{"id": 1}])],
            f"task 1: `predictions`[0] must be a prediction or its number, not an object with id; {EXPORT_ANEW}",
        ),
        ([task(1) | {"project": None}], "does not say which project its tasks are of; name it with --project NUMBER"),
        ("[]", "does not say which project its tasks are of; name it with --project NUMBER"),
    ],
)
def test_a_file_of_another_kind_is_refused_in_words(tmp_path: Path, content: object, message: str) -> None:
    assert refused(write(tmp_path, content)).replace("json, ", "json ", 1) == f"project-1-at-2026.json {message}"


def test_a_file_that_breaks_off_is_told_from_one_that_is_no_json(tmp_path: Path) -> None:
    whole = json.dumps([task(1), task(2)])
    for end in (-200, -1, 1):
        assert refused(write(tmp_path, whole[:end])) == (
            "project-1-at-2026.json breaks off in the middle (parse error: premature EOF); download it again"
        )
    assert refused(write(tmp_path, "[{'id': 1}]")).startswith(
        "project-1-at-2026.json is no JSON (lexical error: invalid char in json text.); export the project"
    )
    assert "cannot be read" in refused(tmp_path / "none.json")


def test_numbers_come_as_the_api_gives_them(tmp_path: Path) -> None:
    numbers = "[18446744073709551615, -9223372036854775809, 123456789012345678901234, 1.5, 1E5, 0.1, -0.0, 1e400]"
    path = write(tmp_path, json.dumps([task(1, data={"n": "N"})]).replace('"N"', numbers))
    [found], _ = read(path)
    given = found.data["n"]
    assert given == json.loads(numbers)
    assert [type(one) for one in given] == [int] * 3 + [float] * 5
    whole, digits = json.dumps([task(1, data={"n": "N"}), task(2)]), "1" * 5_000
    [found, _] = read(write(tmp_path, whole.replace("N", digits)))[0]
    assert found.data["n"] == digits, "in a text they may be as many as they like"


@pytest.mark.parametrize("number", ["1" * 4_301, "-" + "7" * 9_000, "1e99999999999999999999"])
@pytest.mark.parametrize("before", [0, 1, 429, 1_761_000])
def test_a_number_beyond_all_measure_is_refused_and_ends_nothing_else(tmp_path: Path, number: str, before: int) -> None:
    text = json.dumps([task(1, data={"caption": "a" * before, "n": "N"})]).replace('"N"', number)
    assert refused(write(tmp_path, text)).startswith("project-1-at-2026.json is no JSON (")


def test_a_byte_order_mark_is_passed_over(tmp_path: Path) -> None:
    [found], _ = read(write(tmp_path, "\ufeff" + json.dumps([task(1)])))
    assert found.id == 1
    assert refused(write(tmp_path, "\ufeff{}")).startswith("project-1-at-2026.json holds one object, as COCO exports")


def test_names_and_addresses_of_people_are_not_kept(tmp_path: Path) -> None:
    """As a snapshot has them, with what its answers keep of predictions."""
    person = {"id": 3, "email": "somebody@example.org", "first_name": "Some", "last_name": "Body"}
    by = {"completed_by": person, "updated_by": person, "last_created_by": person, "reviews": [{"by": person}]}
    seen = prediction(1) | {"created_by": person}
    made = annotation(5, **by, parent_prediction={"id": 1, "by": person}, prediction=seen)
    path = write(tmp_path, [task(1, made, predictions=[seen, prediction(2)], updated_by=person), task(2)])
    with held_tasks() as tasks:
        complete(read_download(path, tasks), tasks, There({1: judged(1, seen), 2: judged(2, seen | {"id": 2})}))
        kept = [json.dumps(task) for page in tasks.pages() for task in page]
        [found, _] = [read_task(task) for page in tasks.pages() for task in page]
    assert ("@" in path.read_text(encoding="utf-8"), [text for text in kept if "@" in text]) == (True, [])
    [answer] = found.annotations
    assert (answer.completed_by, answer.updated_by, answer.parent_prediction) == (3, 3, 1)
    assert [(one.id, one.score, one.model_version) for one in found.predictions] == [
        (1, 0.5, "demo-1"),
        (2, 0.5, "demo-1"),
    ]


def test_a_region_that_is_none_is_told_with_its_task(tmp_path: Path) -> None:
    for wrong in (task(1, annotation(5, result=["x"])), task(1, predictions=[prediction(1) | {"result": [None]}])):
        with pytest.raises(
            StudioError, match=r"^task 1 cannot be read \(TypeError: a region of a result must be an obj"
        ):
            read(write(tmp_path, [wrong]))
    [found], _ = read(write(tmp_path, [task(1, predictions=[prediction(1) | {"model_version": 5}])]))
    assert row(found).fingerprint == "5"


def test_the_projects_number_may_be_said_where_the_file_does_not(tmp_path: Path) -> None:
    path = write(tmp_path, [task(1) | {"project": None}])
    with held_tasks() as tasks:
        assert read_download(path, tasks, 4) == Download(path.name, 4)
    assert "holds task 1 of project 1, not of project 4" in refused(write(tmp_path, [task(1)]), project=4)


def test_annotations_that_a_filter_kept_out_are_noticed(tmp_path: Path) -> None:
    path = write(tmp_path, [task(1, annotation(5), cancelled_annotations=1), task(2)])
    with held_tasks() as tasks:
        assert read_download(path, tasks).lacking == (1,)


def test_without_label_studio_the_label_config_and_a_key_must_be_given(tmp_path: Path) -> None:
    path = write(tmp_path, [task(1, annotation(5))])
    with pytest.raises(ExportError, match="does not hold the label config; give it with --label-config FILE, or set"):
        export_download(Settings(annotator_key=SecretStr("key")), path, tmp_path / "out")
    with pytest.raises(ExportError, match="pseudonyms need a key: set VLM_JUDGE_ANNOTATOR_KEY to a secret text"):
        export_download(Settings(), path, tmp_path / "out", label_config=XML)
    with downloaded(Settings(), path, None, XML, POLICY) as source:
        assert source.facts == DownloadFacts(1, "Project 1", XML, 1)


def test_the_command_exports_a_file_and_says_what_it_lacks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLM_JUDGE_ANNOTATOR_KEY", "key")
    path = write(tmp_path, [task(2), task(1, annotation(5, prediction=prediction(1)))])
    (tmp_path / "config.xml").write_text(XML, encoding="utf-8")
    words = ["export", "--from-file", str(path), "--out", str(tmp_path / "out")]
    done = CliRunner().invoke(main, [*words, "--label-config", str(tmp_path / "config.xml")])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[:4] == [
        "2 tasks = 1 rows + 1 left out (unannotated)",
        "decided by: 1 confirmed",
        "left out, nobody annotated it and no judge has answered: task 2",
        "judge's answers that the file names and does not hold: task 2; set LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY "
        "to have them",
    ]
    bare = write(tmp_path, [task(1), task(2)])
    with pytest.raises(ExportError) as caught:
        export_download(Settings(annotator_key=SecretStr("key")), bare, tmp_path / "none", label_config=XML)
    assert str(caught.value).splitlines() == [
        "project 1 (Project 1) has nothing to export: 2 unannotated; annotate its tasks first, or judge them: "
        "vlm-judge judge --project 1",
        "judge's answers that the file names and does not hold: tasks 1, 2; set LABEL_STUDIO_URL and "
        "LABEL_STUDIO_API_KEY to have them",
    ]
    wrong = CliRunner().invoke(main, ["export", "--project", "1", "--label-config", str(path), "--out", "x"])
    assert (wrong.exit_code, "--label-config is that of --from-file" in wrong.output) == (2, True)


def test_a_large_file_is_read_in_little_memory(tmp_path: Path) -> None:
    path = tmp_path / "project-1.json"
    body = json.dumps(task(1, annotation(5), data={"image": PIXEL, "caption": "a " * 5_000}))
    with path.open("w", encoding="utf-8") as file:
        file.write("[" + ",".join(body.replace('{"id": 1,', f'{{"id": {number},', 1) for number in range(1, 3)))
        for number in range(3, 6_000):
            file.write("," + body.replace('{"id": 1,', f'{{"id": {number},', 1))
        file.write("]")
    assert path.stat().st_size > 60 * 2**20
    with held_tasks() as tasks:
        read_download(write(tmp_path, [task(1)]), tasks)
    before = _resident_mib()
    with held_tasks() as tasks:
        read_download(path, tasks)
        assert sum(len(page) for page in tasks.pages()) == len(tasks) == 5_999
    assert _resident_mib() - before < 32


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
