"""The numbers in the how-to pages are those of the code and of the measurements."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import binom

from backend.core.trust.acceptance.binding import Binding
from backend.core.trust.acceptance.certificate import (
    BlindLabel,
    Certificate,
    NoCertificate,
    Promise,
    certify,
    enough_without_error,
)
from backend.doctor.memory import _SIZES, PASS_BYTES

DOCS = Path(__file__).parents[2] / "docs"
PROJECT = {task: 1 - task / 2000 for task in range(1000)}
"""1,000 tasks; every rank has a confidence of its own, from 1.0 down to 0.5005."""
SLICE = range(2, 1000, 5)
"""200 of them, spread evenly: each 5 % step of the project has 10 labels more."""
WRONG = frozenset({602, 742, 752, 802, 852, 902, 952, 982})
"""Ranks above 600: one error among the 130 labels of the first 650, three among the 160 of the first 800."""


def tables_of(page: str) -> list[list[list[str]]]:
    """The tables with numbers that are held against something, each as its rows of cells."""
    text = (DOCS / "how-to" / page).read_text(encoding="utf-8")
    found = re.findall(r"<!-- numbers: test_how_to_numbers\.py -->\n(.*?)\n<!-- end -->", text, re.DOTALL)
    return [
        [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()[2:]] for table in found
    ]


def certified(look: int) -> Certificate | NoCertificate:
    labels = [BlindLabel(task, task in WRONG) for task in SLICE]
    return certify(Promise(0.05, 0.95, look), labels, PROJECT, Binding("judge", "tasks"))


def test_the_worked_example_of_a_certificate_is_what_the_code_says() -> None:
    rows = tables_of("certificates.md")[0]
    made = []
    for tasks in range(400, 900, 50):
        above = [task for task in SLICE if task < tasks]
        errors, threshold = len(WRONG & set(above)), PROJECT[tasks - 1]
        chance = float(binom.cdf(errors, len(above), 0.05))
        made.append(
            [f"{threshold:.2f}", str(tasks), str(len(above)), str(errors), f"{chance:.1%}".replace("%", " %"),
             "passed" if chance <= 0.04 else "failed"]
        )  # fmt: skip
    assert rows == made
    assert [row[-1] for row in rows] == ["passed"] * 9 + ["failed"]


def test_the_worked_example_is_certified_as_the_page_says() -> None:
    found = certified(1)
    assert isinstance(found, Certificate)
    # Clopper and Pearson for 3 of 160 at 4 %: the share a with P(Binomial(160, a) <= 3) = 0.04 is 0.0497.
    assert (found.accepted, found.tasks, found.labels, found.labels_above, found.errors_above) == (
        800,
        1000,
        200,
        160,
        3,
    )
    assert (round(found.threshold, 2), round(found.upper_bound, 4), round(3 / 160, 3)) == (0.6, 0.0497, 0.019)
    later = certified(2)
    assert isinstance(later, Certificate)
    assert later.accepted == 600


def test_how_many_labels_are_enough_is_what_the_code_says() -> None:
    first, errors = Promise(0.05, 0.95, 1), (0.1, 0.05, 0.02, 0.01)
    assert tables_of("certificates.md")[1] == [
        ["labels above the threshold", *(str(enough_without_error(error, first.delta)) for error in errors)]
    ]
    text = (DOCS / "how-to" / "certificates.md").read_text(encoding="utf-8")
    enough = [enough_without_error(0.05, 0.05, errors) for errors in range(4)]
    assert enough == [59, 93, 124, 153]
    assert all(str(count) in text for count in enough)
    assert round(0.95**59, 3) == 0.048


def rows_of(shape: str) -> list[dict[str, Any]]:
    rows = json.loads((DOCS / "bench" / f"engine-{shape}.json").read_text(encoding="utf-8"))["rows"]
    return [row for row in rows if str(row["road"]).startswith("VLM Judge")]


def sizing(card: str) -> list[dict[str, Any]]:
    """Every model and size; those held to less memory come last of each model."""
    found: list[dict[str, Any]] = json.loads((DOCS / "bench" / f"sizing-{card}.json").read_text(encoding="utf-8"))[
        "rows"
    ]
    return found


def test_the_sizing_table_is_what_was_measured() -> None:
    made = []
    for h100, h200 in zip(sizing("h100"), sizing("h200"), strict=True):
        if not h100["card"].startswith("the same"):
            side, rates = h100["side"], (h100["pairs_per_s"], h200["pairs_per_s"])
            cells = [h100["model"], f"{side:,} x {side:,}", *(f"{rate:.1f}" for rate in rates)]
            peak = max(h100["peak_gib"], h200["peak_gib"])
            made.append([*cells, f"{100_000 / rates[0] / 60:.0f} min", f"{peak:.1f} GiB"])
    assert tables_of("gpu-sizing.md")[0] == made


@pytest.mark.parametrize("card", ["h100", "h200"])
@pytest.mark.parametrize(("model", "held_gib"), [("3B", 12), ("7B", 20)])
def test_smaller_cards_are_enough_as_the_page_says(card: str, model: str, held_gib: int) -> None:
    whole, held = (
        next(
            row for row in sizing(card) if row["model"] == model and row["side"] == 1002 and row["card"].endswith(name)
        )
        for name in (f"{card.upper()} 80GB HBM3" if card == "h100" else "H200", f"held to {held_gib} GiB")
    )
    assert held["answered"] == 100
    assert held["pairs_per_s"] > 0.97 * whole["pairs_per_s"]
    assert held["peak_gib"] < held_gib - 1


def test_what_the_sizing_page_says_in_passing_was_measured() -> None:
    text = (DOCS / "how-to" / "gpu-sizing.md").read_text(encoding="utf-8")
    largest = rows_of("7b")[0]
    notes = json.loads((DOCS / "bench" / "engine-7b.json").read_text(encoding="utf-8"))["notes"]
    assert "774 TFLOP/s" in text
    assert any("774 TFLOP/s" in note for note in notes)
    assert f"{largest['share_percent']:.0f} % of what that allows" in text
    assert f"manages {rows_of('cpu')[0]['pairs_per_s']:.2f} boards a second" in text
    every = [*sizing("h100"), *sizing("h200")]
    took = [max(row["peak_gib"] for row in every if row["model"] == model) for model in ("3B", "7B")]
    assert f"took {took[0]:.1f} and {took[1]:.1f} GiB at most" in text


@pytest.mark.parametrize(("name", "parameters"), _SIZES)
def test_the_memory_table_is_what_the_doctor_adds_up(name: str, parameters: int) -> None:
    weights = 2 * parameters  # two bytes each in bfloat16
    row = next(row for row in tables_of("gpu-sizing.md")[1] if name == f"Qwen/{row[0]}-Instruct")
    assert row[1:3] == [f"{weights / 1e9:.1f} GB", f"{(weights + PASS_BYTES) / 1e9:.1f} GB"]
