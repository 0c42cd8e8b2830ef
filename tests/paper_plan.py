"""The tables of docs/many-machines.md: what so many pairs cost at a rate that was measured, or that is supposed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from backend.bench.record import Record, as_markdown, load

PAIRS = 10**9
GPUS_PER_NODE = 8
DAYS = 7
"""The work is to be done in so many."""
SUPPOSED = (10, 20, 40, 80)
"""Pairs a second by one GPU, for the table that supposes nothing of the GPU."""
OURS = "VLM Judge"
"""Our road in the engines' records; see `backend.bench.run`."""


@dataclass(frozen=True, slots=True)
class Price:
    """What one GPU costs by the hour, without commitment."""

    gpu: str
    """As it stands in an accelerator's name: H100, H200."""
    offer: str
    usd_per_hour: float
    read_on: str
    source: str
    """The provider's page."""
    by_way_of: str
    """Where it was read, a file that quotes that page."""


_SILYBENCH = "https://raw.githubusercontent.com/tgarg01/silybench-data/main/derived/csv/gpu_prices.csv"
_RECEIPTS = "https://raw.githubusercontent.com/datareceipts/data-receipts/main/109-gpu-pricing/README.md"
PRICES = (
    Price("H100", "RunPod Secure Cloud", 3.99, "2026-11-09", "https://www.runpod.io/pricing", _RECEIPTS),
    Price("H100", "Lambda, 8 GPUs", 3.99, "2026-09-25", "https://lambda.ai/pricing", _SILYBENCH),
    Price("H100", "AWS p5.48xlarge", 6.88, "2026-11-09", "https://aws.amazon.com/ec2/pricing/on-demand/", _RECEIPTS),
    Price("H200", "Nebius HGX", 4.50, "2026-09-25", "https://nebius.com/prices", _SILYBENCH),
    Price("H200", "RunPod Secure Cloud", 4.59, "2026-09-25", "https://www.runpod.io/pricing", _SILYBENCH),
)


@dataclass(frozen=True, slots=True)
class Rate:
    """How fast one GPU judges."""

    what: str
    """Model and image."""
    gpu: str
    pairs_per_s: float


@dataclass(frozen=True, slots=True)
class Estimate:
    """What it takes to judge `PAIRS` pairs."""

    gpu_hours: float
    nodes: int
    """So many, of `GPUS_PER_NODE` each, are done within `DAYS`."""
    hours: float
    """That these nodes need."""


def estimate(pairs_per_s: float, pairs: int = PAIRS) -> Estimate:
    """GPU hours = pairs / rate / 3600; nodes = the least whole number that is done in time."""
    gpu_hours = pairs / pairs_per_s / 3600
    nodes = ceil(gpu_hours / (24 * DAYS) / GPUS_PER_NODE)
    return Estimate(gpu_hours, nodes, gpu_hours / (nodes * GPUS_PER_NODE))


def usd_per_million(pairs_per_s: float, usd_per_hour: float) -> float:
    """A million pairs are 1e6 / rate / 3600 GPU hours."""
    return 1e6 / pairs_per_s / 3600 * usd_per_hour


def rates(bench: Path) -> tuple[Rate, ...]:
    """What was measured on a GPU: our road in `engine-*.json`, for every size of image; empty where none was."""
    found = [load(path) for path in sorted(bench.glob("engine-*.json"))]
    return tuple(rate for record in found for rate in rates_of(record))


def rates_of(record: Record) -> tuple[Rate, ...]:
    """The same of one record; none where its machine has no GPU that a price is known of."""
    machine = " ".join(record.machine.values())
    gpu = next((price.gpu for price in PRICES if price.gpu in machine), None)
    if gpu is None:
        return ()
    model = record.title.removeprefix("Judging with ")
    drawn = model.removeprefix("random-")
    what = model if drawn == model else f"Qwen2.5-VL, {drawn.upper()} shape"
    rows = [row for row in record.rows if row["road"] == OURS]
    return tuple(
        Rate(f"{what}, {row['side']} pixels", gpu, speed)
        for row in rows
        if isinstance(speed := row["pairs_per_s"], int | float)
    )


def supposed_table() -> str:
    """GPU hours, nodes and hours by the rate of one GPU."""
    lines = [
        f"| pairs a second and GPU | GPU hours | nodes of {GPUS_PER_NODE} for {DAYS} days | hours with these |",
        "| ---: | ---: | ---: | ---: |",
    ]
    lines += [_line(str(rate), estimate(rate)) for rate in SUPPOSED]
    return "\n".join(lines)


def price_table(speeds: Iterable[float] = SUPPOSED) -> str:
    """Dollars a million pairs, by price and rate."""
    speeds = tuple(speeds)
    lines = [
        "| GPU | offer | $/h | read on | " + " | ".join(f"at {speed:g}/s, $/million" for speed in speeds) + " |",
        "| --- | --- | ---: | --- |" + " ---: |" * len(speeds),
    ]
    for price in PRICES:
        cost = " | ".join(f"{usd_per_million(speed, price.usd_per_hour):,.2f}" for speed in speeds)
        offer = f"[{price.offer}]({price.source}), [read here]({price.by_way_of})"
        lines.append(f"| {price.gpu} | {offer} | {price.usd_per_hour:.2f} | {price.read_on} | {cost} |")
    return "\n".join(lines)


def measured_table(found: Sequence[Rate]) -> str:
    """What was measured, and what it comes to at the prices of that GPU; an empty row where nothing was."""
    lines = [
        "| model and image | GPU | pairs a second and GPU | GPU hours | nodes | hours | $/million, lowest to highest | "
        "$ in all |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [_measured_line(rate) for rate in found] or ["| | | | | | | | |"]
    return "\n".join(lines)


def ray_table(bench: Path) -> str:
    """The measured cost of dealing rows to actors; a sentence where it was not measured."""
    path = bench / "ray.json"
    return as_markdown(load(path)) if path.exists() else "Not measured yet: `python -m tests.bench --only ray`."


def _line(name: str, took: Estimate) -> str:
    return f"| {name} | {took.gpu_hours:,.0f} | {took.nodes:,} | {took.hours:,.0f} |"


def _measured_line(rate: Rate) -> str:
    took = estimate(rate.pairs_per_s)
    costs = sorted(usd_per_million(rate.pairs_per_s, price.usd_per_hour) for price in PRICES if price.gpu == rate.gpu)
    low, high = costs[0], costs[-1]
    all_of_it = f"{low * PAIRS / 1e6:,.0f} to {high * PAIRS / 1e6:,.0f}"
    return (
        f"| {rate.what} | {rate.gpu} | {rate.pairs_per_s:.1f} | {took.gpu_hours:,.0f} | {took.nodes} | "
        f"{took.hours:,.0f} | {low:.2f} to {high:.2f} | {all_of_it} |"
    )
