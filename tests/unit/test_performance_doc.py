"""The tables in docs/performance.md are those that were measured; UPDATE_DOCS=1 writes them in anew."""

from __future__ import annotations

import os
import re
from pathlib import Path

from backend.bench.record import as_markdown, load

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "performance.md"
BENCH = ROOT / "docs" / "bench"
PLACE = re.compile(r"(<!-- bench ([a-z0-9-]+) -->\n)((?:(?!<!--).)*)(\n<!-- end -->)", re.DOTALL)
NOT_MEASURED = "Not measured yet."


def shown(name: str) -> str:
    path = BENCH / f"{name}.json"
    return as_markdown(load(path)) if path.exists() else NOT_MEASURED


def page() -> str:
    return PLACE.sub(lambda found: f"{found[1]}{shown(found[2])}{found[4]}", PAGE.read_text(encoding="utf-8"))


def test_every_table_is_what_was_measured() -> None:
    if os.environ.get("UPDATE_DOCS"):
        PAGE.write_text(page(), encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page(), "run UPDATE_DOCS=1 make test"


def test_every_measurement_has_one_place_and_every_place_a_name_that_is_measured() -> None:
    text = PAGE.read_text(encoding="utf-8")
    places = [found[2] for found in PLACE.finditer(text)]
    assert len(places) == len(set(places)) == text.count("<!-- bench ") == text.count("<!-- end -->")
    assert {path.stem for path in BENCH.glob("*.json")} <= set(places)
    assert set(places) == {
        *("start", "studio", "servers", "ray", "export"),
        *("engine-cpu", "engine-7b", "engine-3b", "sizing-h200", "sizing-h100"),
    }


def test_the_readme_quotes_what_was_measured() -> None:
    rows = load(BENCH / "engine-7b.json").rows
    ours = next(row for row in rows if row["road"] == "VLM Judge" and row["side"] == 504)
    one, many = (row for row in rows if str(row["road"]).startswith("`generate`"))
    text = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())
    assert f"judges {ours['pairs_per_s']:.1f} pairs of 504 x 504 pixels and five criteria a second" in text
    assert f"That is {ours['share_percent']:.1f} % of what the GPU's arithmetic allows" in text
    assert f"{one['ours_times']:.1f} times as fast as a JSON verdict for one pair after the other" in text
    assert f"{many['ours_times']:.1f} times as fast as those in batches of {many['at_once']}" in text


def test_nothing_measured_names_a_folder_of_the_machine() -> None:
    """Files go into the repository."""
    for path in BENCH.glob("*.json"):
        assert re.findall(r"(?:/work|/home|/root|/tmp)/", path.read_text(encoding="utf-8")) == [], path.name
