"""The tables of docs/many-machines.md are those that were measured and computed, and the arithmetic is right."""

from __future__ import annotations

import os
import re
from pathlib import Path

from backend.bench.record import Cell, Column, record
from tests.paper_plan import (
    Estimate,
    Rate,
    estimate,
    measured_table,
    price_table,
    rates,
    rates_of,
    ray_table,
    supposed_table,
    usd_per_million,
)

DOCS = Path(__file__).parents[2] / "docs"
PAGE = DOCS / "many-machines.md"


def page() -> str:
    """The page with its tables as they are now."""
    tables = {
        "ray": ray_table(DOCS / "bench"),
        "measured": measured_table(rates(DOCS / "bench")),
        "supposed": supposed_table(),
        "prices": price_table(),
    }

    def put(found: re.Match[str]) -> str:
        return f"<!-- {found[1]} -->\n{tables[found[1]]}\n<!-- end -->"

    return re.sub(r"<!-- (\w+) -->\n((?!<!-- ).)*?<!-- end -->", put, PAGE.read_text(encoding="utf-8"), flags=re.DOTALL)


def test_the_tables_are_up_to_date() -> None:
    now = page()
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(now, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == now, "run UPDATE_DOCS=1 pytest tests/unit/test_many_machines_doc.py"


def test_hours_and_nodes_follow_from_the_rate() -> None:
    """36 million pairs at 100/s: 100 GPU hours; at 1/s 10,000, of which a node of 8 does 1,344 in 7 days: 8 nodes."""
    assert estimate(100.0, 36_000_000) == Estimate(100.0, 1, 12.5)
    assert estimate(1.0, 36_000_000) == Estimate(10_000.0, 8, 156.25)


def test_dollars_follow_from_rate_and_price() -> None:
    """A million pairs at 100/s are 10,000 s, 2.78 hours; at $3.60 an hour that is $10."""
    assert round(usd_per_million(100.0, 3.6), 9) == 10.0


def test_measured_rates_are_our_road_on_a_gpu_with_a_price() -> None:
    columns = (Column("road", "How"), Column("side", "Side"), Column("pairs_per_s", "Pairs/s", 2))
    rows: tuple[dict[str, Cell], ...] = (
        {"road": "`generate` of a JSON verdict", "side": 504, "pairs_per_s": 1.5},
        {"road": "VLM Judge", "side": 504, "pairs_per_s": 40.0},
        {"road": "VLM Judge", "side": 1036, "pairs_per_s": None},
        {"road": "VLM Judge, layers not fused", "side": 504, "pairs_per_s": 30.0},
    )
    on_gpu = record("Judging with random-7b", "vlm-judge bench", columns, rows, machine={"gpu": "NVIDIA H200"})
    assert rates_of(on_gpu) == (Rate("Qwen2.5-VL, 7B shape, 504 pixels", "H200", 40.0),)
    assert rates_of(record("Judging with demo", "vlm-judge bench", columns, rows)) == ()
    assert measured_table(rates_of(on_gpu)).split("\n")[2] == (
        "| Qwen2.5-VL, 7B shape, 504 pixels | H200 | 40.0 | 6,944 | 6 | 145 | 31.25 to 31.88 | 31,250 to 31,875 |"
    )


def test_the_example_in_the_text_is_right() -> None:
    text = PAGE.read_text(encoding="utf-8")
    took = estimate(40.0)
    assert (f"{took.gpu_hours:,.0f}", took.nodes, f"{took.hours:.0f}") == ("6,944", 6, "145")
    cost = usd_per_million(40.0, 3.99)
    assert (f"${cost:.2f}" in text, f"${cost * 1000:,.0f}" in text) == (True, True)
