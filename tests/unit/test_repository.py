"""What stands beside the code: licence, citation, how to contribute and report, and what the hosting service reads."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PAGES = ("CODE_OF_CONDUCT.md", "CONTRIBUTING.md", "SECURITY.md", ".github/pull_request_template.md")
WORKFLOWS = ROOT / ".github" / "workflows"
FORMS = ROOT / ".github" / "ISSUE_TEMPLATE"
CITATION_SCHEMA = Path(__file__).parent / "citation_1_2_0.schema.json"
"""As the Citation File Format publishes it, by its authors under CC-BY-4.0."""
HOSTS = {"huggingface.co", "labelstud.io"}
ACTIONS = {"actions/checkout@v4", "actions/setup-python@v5"}


def read(name: str) -> Any:
    return yaml.safe_load((ROOT / name).read_text(encoding="utf-8"))


def steps(name: str) -> list[dict[str, Any]]:
    """The steps of a workflow's only job."""
    [job] = read(f".github/workflows/{name}")["jobs"].values()
    found: list[dict[str, Any]] = job["steps"]
    return found


def test_the_licence_is_the_whole_apache_licence() -> None:
    """The sum of the text as apache.org gives it, by which distributions know it."""
    content = (ROOT / "LICENSE").read_bytes()
    assert hashlib.md5(content).hexdigest() == "3b83ef96387f14655fc854ddc3c6bd57"


def test_the_citation_is_valid() -> None:
    """A date in YAML is no text in JSON, so the file holds none."""
    schema = json.loads(CITATION_SCHEMA.read_text(encoding="utf-8"))
    assert [error.message for error in jsonschema.Draft7Validator(schema).iter_errors(read("CITATION.cff"))] == []


@pytest.mark.parametrize(("name", "command"), [("ci.yml", "make check test"), ("audit.yml", "make audit")])
def test_a_workflow_runs_one_command_and_nothing_else(name: str, command: str) -> None:
    assert [step["run"] for step in steps(name) if "run" in step] == [command]
    assert {step["uses"] for step in steps(name) if "uses" in step} == ACTIONS
    [python] = [step["with"] for step in steps(name) if step.get("uses", "").startswith("actions/setup-python")]
    assert python["python-version"] == "3.11"  # in quotes, or it would be a number
    assert read(f".github/workflows/{name}")["permissions"] == {"contents": "read"}


def test_workflows_are_no_more_than_these() -> None:
    assert sorted(path.name for path in WORKFLOWS.iterdir()) == ["audit.yml", "ci.yml"]


def test_what_workflows_run_can_be_made() -> None:
    for name in ("ci.yml", "audit.yml"):
        targets = next(step["run"].split()[1:] for step in steps(name) if "run" in step)
        dry = ["make", "--dry-run", "--always-make", *targets]
        done = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True, timeout=30)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["bug.yml", "feature.yml"])
def test_an_issue_form_can_be_shown(name: str) -> None:
    form = read(f".github/ISSUE_TEMPLATE/{name}")
    assert set(form) == {"name", "description", "labels", "body"}
    asked = [item for item in form["body"] if item["type"] != "markdown"]
    assert {item["type"] for item in asked} <= {"checkboxes", "dropdown", "input", "textarea"}
    assert all(item["attributes"]["label"] for item in asked)
    assert len({item["id"] for item in asked}) == len(asked)
    assert any(item.get("validations", {}).get("required") for item in asked)


def test_issue_forms_are_no_more_than_these() -> None:
    assert sorted(path.name for path in FORMS.iterdir()) == ["bug.yml", "config.yml", "feature.yml"]
    assert read(".github/ISSUE_TEMPLATE/config.yml") == {"blank_issues_enabled": True}


@pytest.mark.parametrize("name", PAGES)
def test_what_a_page_names_is_there(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    linked = [target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text)]
    named = re.findall(r"`((?:backend|exporters|tests|docker|docs)/[\w/.-]+)`", text)
    assert [target for target in (*linked, *named) if not (ROOT / target).exists()] == []


def test_security_names_every_pin_that_label_studio_holds_back() -> None:
    text = (ROOT / "SECURITY.md").read_text(encoding="utf-8").split("forbid newer")[1].split("They leave")[0]
    asked = [Requirement(line) for name in ("label-studio", "label-studio-sdk") for line in requires(name) or ()]
    held = {
        item.name.lower().replace("_", "-")
        for item in asked
        if re.search(r"==|<|~=", str(item.specifier)) and (item.marker is None or item.marker.evaluate({"extra": ""}))
    }
    assert set(re.findall(r"`([\w-]+)`", text)) - {"demo"} == held


def test_no_file_of_these_names_a_machine_or_an_index() -> None:
    """Hosts of package indexes and folders of one machine are nobody else's: only these hosts are named."""
    names = [*PAGES, "CITATION.cff", "constraints.txt", "pyproject.toml", "Makefile"]
    files = [ROOT / name for name in names] + [
        path for folder in ("examples", ".github") for path in (ROOT / folder).rglob("*") if path.is_file()
    ]
    texts = {path.name: path.read_text(encoding="utf-8") for path in files}
    hosts = re.compile(r"\b[\w.-]+\.(?:org|com|io|co|net|dev)\b(?![\w(])", re.IGNORECASE)
    assert {name: found for name, text in texts.items() if (found := set(hosts.findall(text)) - HOSTS)} == {}
    here = "|".join(re.escape(f"{folder}/") for folder in (ROOT, Path(sys.prefix), Path.home()))
    places = re.compile(rf"{here}|/home/|file://|index-url", re.IGNORECASE)
    assert {name: found for name, text in texts.items() if (found := set(places.findall(text)))} == {}
