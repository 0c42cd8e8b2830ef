"""Promises are kept on simulated projects, and docs/trust.md shows what was found; UPDATE_DOCS=1 writes it anew."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from backend.bench.record import Record, as_markdown, load
from backend.core.trust.acceptance.intervals import exact
from tests.simulate.judges import JUDGES
from tests.simulate.table import trials
from tests.simulate.trial import PROMISE

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "trust.md"
FOUND = ROOT / "docs" / "simulation.json"
PLACE = re.compile(r"(<!-- simulation -->\n)((?:(?!<!--).)*)(\n<!-- end -->)", re.DOTALL)
DELTA = 1 - PROMISE.confidence
EXCHANGEABLE = ("good", "mediocre", "overconfident", "on the edge")
"""Judges that are the same before and after the certificate."""


def recorded() -> dict[str, dict[str, float]]:
    rows = load(FOUND).rows
    return {
        str(row["judge"]).partition(":")[0]: {key: v for key, v in row.items() if isinstance(v, int | float)}
        for row in rows
    }


@pytest.fixture(scope="module")
def page() -> str:
    text = PAGE.read_text(encoding="utf-8")
    record: Record = load(FOUND)
    return PLACE.sub(lambda found: f"{found[1]}{as_markdown(record)}{found[3]}", text)


def test_the_page_shows_what_was_found(page: str) -> None:
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(page, encoding="utf-8")
    assert len(PLACE.findall(page)) == 1
    assert PAGE.read_text(encoding="utf-8") == page, "run UPDATE_DOCS=1 make test"


def test_the_page_was_written_from_two_thousand_projects_of_every_judge() -> None:
    assert {name: row["projects"] for name, row in recorded().items()} == {judge.name: 2_000 for judge in JUDGES}


@pytest.mark.parametrize("judge", EXCHANGEABLE)
def test_broken_promises_are_no_more_than_the_confidence_allows(judge: str) -> None:
    assert recorded()[judge]["broken"] <= 100 * DELTA


@pytest.mark.parametrize("judge", [judge.name for judge in JUDGES])
def test_the_quality_interval_holds_as_often_as_it_says(judge: str) -> None:
    assert recorded()[judge]["covered"] >= 100 * PROMISE.confidence
    assert recorded()[judge]["length"] < 100


def test_the_audit_finds_the_judge_that_drifts_and_leaves_the_good_one_alone() -> None:
    found = recorded()
    assert found["drifting"]["later_wrong"] > 100 * PROMISE.max_error
    assert found["drifting"]["alarms"] > 30
    for judge in ("good", "mediocre"):
        assert found[judge]["alarms"] <= 100 * DELTA


@pytest.mark.parametrize("name", EXCHANGEABLE)
def test_a_hundred_projects_of_today_do_not_contradict_it(name: str) -> None:
    """More than 5 % broken or less than 95 % held must not be beyond chance (one in a thousand)."""
    place = next(number for number, judge in enumerate(JUDGES) if judge.name == name)
    done = trials(JUDGES[place], 100, seed=100 + place)
    assert exact(sum(trial.broken for trial in done), len(done), 0.998).low <= DELTA
    assert exact(sum(trial.covered for trial in done), len(done), 0.998).high >= PROMISE.confidence
    assert sum(trial.bad_accepted for trial in done) / len(done) <= 0.06
