"""What the doctor says of settings, store, project and images; in which order, and how it prints it."""

from __future__ import annotations

import json
from collections.abc import Generator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from backend.cli import main
from backend.core.label_config import parse_label_config
from backend.core.types import ImageRef
from backend.doctor import Finding, Orders, examine
from backend.doctor.findings import Lacking, after, both, parted
from backend.doctor.images import Source, kind_of_source, load_source, tasks_finding
from backend.doctor.label_studio import kind_of_token
from backend.doctor.project import check_label_config, check_model_version
from backend.doctor.report import as_json, as_line, summary
from backend.doctor.setting_up import assemble, check_store, disk_finding, read_settings, size
from backend.doctor.timing import grey_task
from backend.errors import ImageError, StudioError
from backend.images import ImageLoader
from backend.service import JudgeService
from backend.settings import Settings
from backend.studio_types import Project, StudioTask
from tests.checking import seen

CONFIG = (Path(__file__).parents[2] / "label_config.xml").read_text(encoding="utf-8")
KEY = "LABEL_STUDIO_API_KEY"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    place = str(tmp_path / "verdicts.sqlite")
    monkeypatch.setenv("VLM_JUDGE_STORE", place)
    return place


@pytest.fixture
def service(store: str) -> Generator[JudgeService, None, None]:
    _, service = seen(assemble(Settings(engine="scripted", store=store)))
    assert isinstance(service, JudgeService)
    yield service
    service.close()


class TestSettings:
    def test_an_unknown_name(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VLM_JUDGE_MODLE", "x")
        [finding], lacking = seen(read_settings({}))
        assert (finding.check, finding.state) == ("settings", "failed")
        assert finding.detail == "unknown setting VLM_JUDGE_MODLE"
        assert finding.remedy == "correct its name, perhaps to VLM_JUDGE_MODEL, or take it away"
        assert lacking == Lacking("`settings` failed")

    def test_half_a_basic_auth(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VLM_JUDGE_BASIC_AUTH_USER", "judge")
        detail = "VLM_JUDGE_BASIC_AUTH_USER and VLM_JUDGE_BASIC_AUTH_PASSWORD go together"
        assert seen(read_settings({}))[0] == [Finding("settings", "failed", detail, "set both, or unset both")]

    def test_wrong_values_are_all_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VLM_JUDGE_PORT", "99999")
        detail = (
            "--batch-size: Input should be greater than or equal to 1; "
            "VLM_JUDGE_PORT: Input should be less than or equal to 65535"
        )
        remedy = "correct it, or unset it to have the default"
        assert seen(read_settings({"batch_size": 0}))[0] == [Finding("settings", "failed", detail, remedy)]

    def test_good_ones_come_back(self, store: str) -> None:
        findings, settings = seen(read_settings({"engine": "scripted", "model": None}))
        assert findings == [Finding("settings", "ok", "readable; 2 given, the others have their defaults")]
        assert settings == Settings(engine="scripted", store=store)

    def test_settings_that_do_not_fit_together(self, store: str) -> None:
        findings, lacking = seen(assemble(Settings(engine="demo", model="my/model", store=store)))
        detail = "--model (VLM_JUDGE_MODEL): the demo engine has a judge of its own"
        assert findings == [Finding("judge", "failed", detail, "add --engine local, or leave it out")]
        assert lacking == Lacking("`judge` failed")

    def test_a_rubric_that_is_not_there(self, store: str, tmp_path: Path) -> None:
        missing = tmp_path / "mine.yaml"
        [finding], _ = seen(assemble(Settings(engine="scripted", rubric=missing, store=store)))
        assert (finding.check, finding.state) == ("judge", "failed")
        assert str(missing) in finding.detail
        assert finding.remedy


class TestStore:
    def test_one_that_cannot_be_written(self, tmp_path: Path) -> None:
        place = tmp_path / "missing" / "verdicts.sqlite"
        [finding], lacking = seen(check_store(Settings(store=str(place))))
        assert finding.detail == f"cannot keep verdicts in {place}: unable to open database file"
        assert (finding.state, finding.remedy) == ("failed", "name another place with VLM_JUDGE_STORE")
        assert lacking == Lacking("`store` failed")

    def test_one_that_can(self, store: str) -> None:
        findings, place = seen(check_store(Settings(store=store)))
        assert findings[0] == Finding("store", "ok", f"verdicts are kept in {store}")
        assert (findings[1].check, place) == ("disk", store)

    @pytest.mark.parametrize(
        ("free_bytes", "state", "said"),
        [
            (99_999_999, "failed", "100 MB"),
            (100_000_000, "warning", "100 MB"),
            (999_000_000, "warning", "999 MB"),
            (1_000_000_000, "ok", "1.0 GB"),
        ],
    )
    def test_the_disk(self, free_bytes: int, state: Any, said: str) -> None:
        remedy = "" if state == "ok" else "make room there, or name another place with VLM_JUDGE_STORE"
        found = disk_finding(free_bytes, Path("/srv"))
        assert found == Finding("disk", state, f"{said} free where the store lies (/srv)", remedy)


class TestToken:
    @pytest.mark.parametrize(
        ("token", "said"),
        [
            ("0123456789abcdef" * 2 + "01234567", ("legacy token", "")),
            (
                '"0123"',
                ("", "LABEL_STUDIO_API_KEY is neither a personal access token nor a legacy one (40 hex digits)"),
            ),
            ("eyJh.eyJ", ("", "LABEL_STUDIO_API_KEY looks like a personal access token but is cut off or damaged")),
            ("a.b.c", ("", "LABEL_STUDIO_API_KEY looks like a personal access token but is cut off or damaged")),
        ],
    )
    def test_by_its_looks(self, token: str, said: tuple[str, str]) -> None:
        assert kind_of_token(token) == said

    @pytest.mark.parametrize(
        ("claims", "said"),
        [
            ({"token_type": "refresh", "exp": 8_000_000_000}, ("personal access token", "")),
            (
                {"token_type": "refresh", "exp": 1_000_000_000},
                ("", "the personal access token has expired on 2001-09-09"),
            ),
            (
                {"token_type": "access", "exp": 8_000_000_000},
                ("", "LABEL_STUDIO_API_KEY is a short-lived access token, not the personal access token it is made of"),
            ),
        ],
    )
    def test_by_what_it_says_of_itself(self, claims: dict[str, Any], said: tuple[str, str]) -> None:
        import jwt

        assert kind_of_token(jwt.encode(claims, "k" * 32, algorithm="HS256")) == said


class TestProject:
    def test_a_label_config_that_shows_no_image(self, service: JudgeService) -> None:
        config = '<View><Text name="t" value="$t"/><Choices name="c" toName="t"><Choice value="a"/></Choices></View>'
        [finding], lacking = seen(check_label_config(project(config), service))
        assert (finding.check, finding.state) == ("label config", "failed")
        assert finding.detail.startswith("the label config shows no image from the task's data, only `t` (Text)")
        assert finding.remedy.startswith("change it under Settings > Labeling Interface")
        assert lacking == Lacking("`label config` failed")

    def test_what_is_filled_and_what_stays_empty(self, service: JudgeService) -> None:
        config = (
            '<View><Image name="image" value="$image"/><Text name="caption" value="$caption"/>'
            '<Choices name="verdict" toName="caption"><Choice value="accept"/><Choice value="fix"/>'
            '<Choice value="reject"/></Choices><KeyPointLabels name="points" toName="image"><Label value="here"/>'
            "</KeyPointLabels></View>"
        )
        [finding], judging = seen(check_label_config(project(config), service))
        [empty] = service.judging(parse_label_config(config)).form.unfilled
        assert finding == Finding(
            "label config", "ok", f"the judge fills `verdict`; leaves `points` empty: {empty.reason}"
        )
        assert not isinstance(judging, Lacking)

    @pytest.mark.parametrize(
        ("version", "state", "said"),
        [
            ("other-1", "warning", "annotators see the predictions of other-1; this judge is {}"),
            ("", "warning", "annotators see no predictions, because none are chosen; this judge is {}"),
            ("{}", "ok", "annotators see the predictions of {}, this judge"),
        ],
    )
    def test_whose_predictions_are_shown(self, service: JudgeService, version: str, state: Any, said: str) -> None:
        judging = service.judging(parse_label_config(CONFIG))
        shown = project(CONFIG, version.format(judging.fingerprint))
        [finding], _ = seen(check_model_version(shown, judging, " --engine scripted"))
        remedy = "" if state == "ok" else "vlm-judge judge --project 7 --engine scripted"
        assert finding == Finding("model version", state, said.format(judging.fingerprint), remedy)


def project(label_config: str, model_version: str = "") -> Project:
    return Project(7, "A project", label_config, model_version, 3)


class TestImages:
    @pytest.mark.parametrize(
        ("uri", "kind"),
        [
            ("data:image/png;base64,AA", "data URI"),
            ("/data/upload/3/a.png", "upload"),
            ("/data/local-files/?d=a.png", "local file"),
            ("http://example.org/a.png", "web"),
            ("https://example.org/a.png", "web"),
            ("s3://bucket/a.png", "s3"),
            ("gs://bucket/a.png", "gs"),
            ("azure-blob://bucket/a.png", "azure"),
            ("/tasks/3/resolve/?fileuri=a", "Label Studio path"),
            ("ftp://example.org/a.png", "other"),
        ],
    )
    def test_the_kinds_of_sources(self, uri: str, kind: str) -> None:
        assert kind_of_source(uri)[0] == kind

    @pytest.mark.parametrize(
        ("uri", "check"),
        [
            ("data:image/png;base64,AAA", "image: data URI"),
            ("data:text/plain,hello", "image: data URI"),
            ("/data/local-files/?d=a.png", "image: local file"),
            ("ftp://example.org/a.png", "image: other"),
        ],
    )
    def test_one_that_cannot_be_loaded_is_told_in_the_loaders_words(self, uri: str, check: str) -> None:
        loader = ImageLoader(Settings())
        with pytest.raises(ImageError) as caught:
            loader.load(uri, "5")
        wrong, remedy = parted(caught.value, kind_of_source(uri)[1])
        source = Source(StudioTask(5, {"image": uri}), ImageRef("image", uri))
        wanted = Finding(check, "failed", f"task 5, `image`: {wrong}", remedy)
        assert seen(load_source(loader, source)) == ([wanted], False)
        assert remedy

    def test_one_that_can(self) -> None:
        _, task = grey_task()
        source = Source(StudioTask(5, task["data"]), ImageRef("image", task["data"]["image"]))
        wanted = Finding("image: data URI", "ok", "task 5 shows 224 x 224 pixels")
        assert seen(load_source(ImageLoader(Settings()), source)) == ([wanted], True)

    @pytest.mark.parametrize(("faults", "state"), [(["task 1 has no `data` object"], "warning"), (["x"] * 4, "failed")])
    def test_tasks_that_cannot_be_judged(self, faults: list[str], state: Any) -> None:
        detail = f"{len(faults)} of the first 4 tasks cannot be judged, such as: {faults[0]}"
        remedy = "correct these tasks or delete them; the others are judged"
        assert tasks_finding(faults, 4) == Finding("tasks", state, detail, remedy)


class TestOrder:
    def test_what_is_lacking_skips_what_needs_it(self) -> None:
        def look(_: object) -> Generator[Finding, None, int]:
            yield Finding("second", "ok", "looked")
            return 1

        assert seen(after("second", Lacking("`first` failed"), look)) == (
            [Finding("second", "skipped", "`first` failed")],
            Lacking("`first` failed"),
        )
        assert seen(after("second", 0, look)) == ([Finding("second", "ok", "looked")], 1)
        assert both(1, Lacking("b")) == both(Lacking("b"), Lacking("c")) == Lacking("b")
        assert both(1, 2) == (1, 2)

    def test_messages_are_parted_at_their_remedy(self) -> None:
        assert parted(StudioError("this; that is wrong; do so"), "else") == ("this; that is wrong", "do so")
        assert parted(StudioError("this is wrong"), "else") == ("this is wrong", "else")

    def test_wrong_settings_skip_everything(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("VLM_JUDGE_MODLE", "x")
        findings = list(examine(Orders(project=1, backend="http://127.0.0.1:9")))
        states = [(finding.check, finding.state, finding.detail) for finding in findings[1:]]
        names = (
            "store",
            "judge",
            "Label Studio",
            "token",
            "project",
            "label config",
            "model version",
            "connection",
            "reach",
            "backend",
            "images",
            "load",
            "time-outs",
            "late verdicts",
        )
        assert findings[0].state == "failed"
        assert states == [(name, "skipped", "`settings` failed") for name in names]

    def test_the_engines_options_are_typed_again(self) -> None:
        options = {"engine": "local", "model": "my model", "rubric": None, "batch_size": 4}
        assert Orders(engine_options=options).typed == " --engine local --model 'my model' --batch-size 4"


class TestReport:
    FINDINGS = (
        Finding("token", "ok", "a legacy token of a@example.org"),
        Finding("disk", "warning", "little\n  room", "make room"),
        Finding("store", "failed", "no room", "make room"),
        Finding("load", "skipped", "--no-load was given"),
    )

    def test_one_line_each(self) -> None:
        from click import unstyle

        assert [unstyle(as_line(finding)) for finding in self.FINDINGS] == [
            "ok       token: a legacy token of a@example.org",
            "warning  disk: little room. Remedy: make room",
            "failed   store: no room. Remedy: make room",
            "skipped  load: --no-load was given",
        ]
        assert as_line(self.FINDINGS[2]).startswith("\x1b[31m\x1b[1mfailed ")
        assert summary(self.FINDINGS) == "1 ok, 1 warning, 1 failed, 1 skipped"

    def test_json(self) -> None:
        assert json.loads(as_json(self.FINDINGS))[1] == {
            "check": "disk",
            "state": "warning",
            "detail": "little\n  room",
            "remedy": "make room",
        }

    def test_sizes(self) -> None:
        assert (size(999), size(10**6), size(16_600_000_000)) == ("0 MB", "1 MB", "16.6 GB")


class TestCommand:
    def run(self, *arguments: str, color: bool = False) -> Any:
        return CliRunner().invoke(main, ["doctor", *arguments], prog_name="vlm-judge", color=color)

    def test_warnings_are_no_failure(self, store: str) -> None:
        done = self.run("--engine", "scripted")
        lines = done.stdout.splitlines()
        assert done.exit_code == 0
        assert [line.split(":")[0] for line in lines[:4]] == [
            "ok       settings",
            "ok       store",
            "ok       disk",
            "ok       judge",
        ]
        assert lines[-1] == "5 ok, 3 warning, 0 failed, 8 skipped"

    def test_a_failure_is(self, store: str) -> None:
        done = self.run("--engine", "scripted", "--project", "1", "--no-load")
        assert done.exit_code == 1
        assert (
            "failed   Label Studio: LABEL_STUDIO_URL is not set. Remedy: export "
            "LABEL_STUDIO_URL=http://127.0.0.1:8080, or where yours is\n"
        ) in done.stdout

    def test_json_is_all_of_the_output(self, store: str) -> None:
        done = self.run("--engine", "scripted", "--no-load", "--json")
        found = json.loads(done.stdout)
        findings = found["findings"]
        assert (done.exit_code, found["failed"]) == (0, False)
        assert {"check": "load", "state": "skipped", "detail": "--no-load was given", "remedy": ""} in findings
        assert set(chain.from_iterable(findings)) == {"check", "state", "detail", "remedy"}

    @pytest.mark.parametrize(("no_color", "coloured"), [(None, True), ("1", False), ("", True)])
    def test_colours(self, store: str, monkeypatch: pytest.MonkeyPatch, no_color: str | None, coloured: bool) -> None:
        if no_color is not None:
            monkeypatch.setenv("NO_COLOR", no_color)
        assert ("\x1b[" in self.run("--engine", "scripted", "--no-load", color=True).stdout) is coloured
