from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from backend.bench.floor import Cost, Dimensions, Peaks
from backend.bench.record import Column, as_markdown, load, middle_and_spread, record, save
from backend.bench.roads import Stock, Task, as_released, samples
from backend.bench.run import OURS, Plan, bench
from backend.bench.shapes import published_config
from backend.engines.demo.engine import MODEL, demo_engine
from backend.engines.local import LocalEngine

TASK = Task(side=140, prompt_tokens=60, criteria=2, question_tokens=12, verdict_tokens=4)
PLAN = Plan(TASK, (140, 280), one=1, written=2, each=2, ours=2, rounds=2)


@pytest.fixture(scope="module")
def engine() -> LocalEngine:
    return demo_engine()


@pytest.mark.parametrize(("shape", "pairs_per_s"), [("7b", 83.7), ("3b", 157.5)])
def test_the_floor_of_the_published_shapes(shape: Any, pairs_per_s: float) -> None:
    """504 x 504 pixels, 324 tokens of it, 202 of text and five questions of 12, at 790 TFLOP/s: counted by hand."""
    from transformers import AutoTokenizer

    model = Dimensions(published_config(shape, AutoTokenizer.from_pretrained(MODEL)))
    cost = Cost(model.vision((1, 36, 36)) + model.prefill(526, [12] * 5))
    assert 1 / cost.seconds(Peaks(790e12, 4.3e12)) == pytest.approx(pairs_per_s, rel=0.002)


def test_writing_is_bound_by_reading_the_weights() -> None:
    """7.07 billion weights in bfloat16 for each of 200 tokens, and 36 MB of keys and values, at 4.3 TB/s: 0.66 s."""
    from transformers import AutoTokenizer

    model = Dimensions(published_config("7b", AutoTokenizer.from_pretrained(MODEL)))
    one, many = (model.decode(526, 200, batch, 2).seconds(Peaks(790e12, 4.3e12)) for batch in (1, 64))
    assert one == pytest.approx(200 * (2 * 7.0703e9 + 626 * 57_344) / 4.3e12, rel=1e-4)
    assert many == pytest.approx(200 * (2 * 7.0703e9 + 64 * 626 * 57_344) / 4.3e12, rel=1e-4)


def test_samples_have_just_so_many_tokens(engine: LocalEngine) -> None:
    some = samples(engine.loaded(), TASK, 3)
    packed = [engine.pack(request) for request in some]
    placeholders = [row.prefix.ids.count(engine.loaded().image_token_id) for row in packed]
    assert [len(row.prefix.ids) - extra for row, extra in zip(packed, placeholders, strict=True)] == [60] * 3
    assert [[len(branch) for branch in row.branch_ids] for row in packed] == [[12, 12]] * 3
    assert len({request.fields for request in some}) == 3


def test_the_other_roads_run_the_model_as_released_and_ours_is_back_behind_them(engine: LocalEngine) -> None:
    import torch
    from transformers import AutoModelForImageTextToText

    loaded = engine.loaded()
    some = samples(loaded, TASK, 2)
    before = engine.answer(some)
    released: Any = AutoModelForImageTextToText.from_pretrained(MODEL, attn_implementation="sdpa", dtype=torch.float32)
    inputs = Stock(loaded)._inputs(some, [request.fields for request in some])
    with as_released(loaded.model), torch.inference_mode():
        assert torch.equal(loaded.model(**inputs).logits, released(**inputs).logits)
    assert engine.answer(some) == before


def test_every_road_is_measured_in_every_round(engine: LocalEngine) -> None:
    told: list[str] = []
    found = bench(engine, PLAN, "vlm-judge bench", told.append)
    assert [(row["road"], row["side"], row["at_once"]) for row in found.rows] == [
        ("`generate` of a JSON verdict, one pair at a time", 140, 1),
        ("`generate` of a JSON verdict, batched", 140, 2),
        ("One prefill for each criterion, batched", 140, 2),
        (OURS, 140, 2),
        (OURS, 280, 1),
    ]
    assert [line.partition(": ")[0] for line in told] == ["warm-up"] * 5 + ["round 1"] * 5 + ["round 2"] * 5
    for row in found.rows:
        rate, floor, share = (row[key] for key in ("pairs_per_s", "floor_pairs_per_s", "share_percent"))
        assert isinstance(rate, float)
        assert isinstance(floor, float)
        assert share == pytest.approx(100 * rate / floor)
    by_road = {str(row["road"]): row["pairs_per_s"] for row in reversed(found.rows)}
    slow = found.rows[0]
    assert slow["ours_times"] == pytest.approx(float(str(by_road[OURS])) / float(str(slow["pairs_per_s"])))


def test_a_record_is_read_back_as_it_was_and_shown_as_a_table(tmp_path: Path) -> None:
    columns = (Column("how", "How"), Column("rate", "Per second", 1), Column("none", "Not measured"))
    made = record(
        "Speed", "make it", columns, [{"how": "ours", "rate": 1234.56, "none": None}], ["A note."], {"gpu": "G"}
    )
    save(made, tmp_path / "deep" / "speed.json")
    assert load(tmp_path / "deep" / "speed.json") == made
    lines = as_markdown(made).splitlines()
    assert lines[:5] == [
        "| How | Per second | Not measured |",
        "| --- | ---: | ---: |",
        "| ours | 1,234.6 |  |",
        "",
        "A note.",
    ]
    assert lines[-1].startswith(f"`make it`, {made.date}: ")
    assert ", G; Python 3." in lines[-1]


def test_the_spread_is_half_the_distance_of_the_quartiles() -> None:
    assert middle_and_spread([4.0]) == (4.0, 0.0)
    middle, spread = middle_and_spread([8.0, 2.0, 4.0, 6.0, 10.0])
    assert (middle, spread) == (6.0, (8 - 4) / 2 / 6)
