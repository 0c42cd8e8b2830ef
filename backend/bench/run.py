"""Measures the roads side by side: in one process, in turn, each as often."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from backend.bench.floor import Cost, Dimensions, Peaks, measure_peaks, timed
from backend.bench.record import Cell, Column, Record, middle_and_spread, record
from backend.bench.roads import Stock, Task, as_released, samples
from backend.engines.base import JudgeRequest
from backend.engines.fast import layers_of
from backend.engines.loading import LoadedModel
from backend.engines.local import LocalEngine

COLUMNS = (
    Column("road", "How"),
    Column("side", "Image side"),
    Column("at_once", "At once"),
    Column("pairs_per_s", "Pairs/s", 2),
    Column("spread_percent", "± %", 1),
    Column("ours_times", "VLM Judge is faster by", 1),
    Column("floor_pairs_per_s", "Floor, pairs/s", 2),
    Column("share_percent", "Of the floor, %", 1),
    Column("peak_gib", "Peak memory, GiB", 1),
)
OURS = "VLM Judge"

Work = Callable[[], object]
Least = Callable[[Peaks], float]
Setting = Callable[[], AbstractContextManager[None]]

_THREADS = 8
_WARM_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    task: Task
    sides: tuple[int, ...]
    """Of the images; the other roads are measured with the first."""
    one: int
    """Samples that are judged one after the other in a round."""
    written: int
    """Samples whose verdicts are written at once."""
    each: int
    """Samples that are prefilled at once for each criterion."""
    ours: int
    """Samples of a round of ours."""
    rounds: int


@dataclass(slots=True)
class _Road:
    """One way to judge, the least time for it, and what was measured."""

    name: str
    side: int
    count: int
    """Samples a round."""
    at_once: int
    least: Least
    """Seconds for one sample."""
    judge: Work
    warm: Work
    """A short run that does not count."""
    setting: Setting = nullcontext
    """How the model has to be for it."""
    pair_s: list[float] = field(default_factory=list)
    peak_gib: float | None = None

    @property
    def label(self) -> str:
        return f"{self.name}, {self.side} pixels"


def bench(engine: LocalEngine, plan: Plan, command: str, told: Callable[[str], None]) -> Record:
    """Measure all roads, and what they could reach; `told` is given a line for each measurement. Raises EngineError."""
    loaded = engine.loaded()
    device, dtype = loaded.device, loaded.model.dtype
    roads = [*_stock_roads(engine, loaded, plan), *_our_roads(engine, loaded, plan)]
    for road in roads:
        with road.setting():
            told(f"warm-up: {road.label}: {timed(road.warm, device):.3g} s")
    peaks = measure_peaks(device, dtype)
    for number in range(1, plan.rounds + 1):
        peaks = peaks.or_better(measure_peaks(device, dtype))
        for road in roads:
            with road.setting():
                _measure(road, device)
            told(f"round {number}: {road.label}: {1 / road.pair_s[-1]:.3g} pairs/s")
    notes = (*_notes(plan, peaks), _shrunk_per_s(engine, plan))
    return record(
        f"Judging with {engine.identity.name}", command, COLUMNS, _rows(roads, peaks), notes, _accelerator(device)
    )


def _stock_roads(engine: LocalEngine, loaded: LoadedModel, plan: Plan) -> list[_Road]:
    """What people do today, with the model as it is released."""
    task = replace(plan.task, side=plan.sides[0])
    some = samples(loaded, task, max(plan.one, plan.written, plan.each))
    stock, new, least = Stock(loaded), task.verdict_tokens, _Least(engine, loaded, some[0])

    def one_by_one(tokens: int) -> None:
        for request in some[: plan.one]:
            stock.generate([request], tokens)

    def road(name: str, count: int, at_once: int, least_s: Least, judge: Work, warm: Work) -> _Road:
        return _Road(name, task.side, count, at_once, least_s, judge, warm, partial(as_released, loaded.model))

    written, each = some[: plan.written], some[: plan.each]
    return [
        road(
            "`generate` of a JSON verdict, one pair at a time",
            plan.one,
            1,
            partial(least.written, new, 1),
            partial(one_by_one, new),
            partial(one_by_one, _WARM_TOKENS),
        ),
        road(
            "`generate` of a JSON verdict, batched",
            len(written),
            len(written),
            partial(least.written, new, len(written)),
            partial(stock.generate, written, new),
            partial(stock.generate, written, _WARM_TOKENS),
        ),
        road(
            "One prefill for each criterion, batched",
            len(each),
            len(each),
            least.each,
            partial(stock.prefill_each, each, task.criteria),
            partial(stock.prefill_each, each, 1),
        ),
    ]


def _our_roads(engine: LocalEngine, loaded: LoadedModel, plan: Plan) -> list[_Road]:
    """Ours with images of every size; and without fused layers, where they are."""

    def road(name: str, side: int, setting: Setting = nullcontext) -> _Road:
        count = max(1, plan.ours * plan.sides[0] ** 2 // side**2)
        some = samples(loaded, replace(plan.task, side=side), count)
        judge = partial(engine.answer, some)
        return _Road(name, side, count, count, _Least(engine, loaded, some[0]).ours, judge, judge, setting)

    roads = [road(OURS, side) for side in plan.sides]
    if any(layer._compiled_call_impl is not None for layer in layers_of(loaded.model)):
        roads.append(road(f"{OURS}, layers not fused", plan.sides[0], partial(_not_fused, loaded.model)))
    return roads


class _Least:
    """The least seconds for a sample, by road."""

    def __init__(self, engine: LocalEngine, loaded: LoadedModel, request: JudgeRequest) -> None:
        self._packed = engine.pack(request)
        self._model = Dimensions(loaded.model.config)
        self._bytes = loaded.model.dtype.itemsize
        self._vision = sum(self._model.vision(grid) for grid in self._packed.grids)
        self._branches = [len(branch) for branch in self._packed.branch_ids]

    def ours(self, peaks: Peaks) -> float:
        """One prefill with all questions behind it."""
        operations = self._vision + self._model.prefill(len(self._packed.prefix.ids), self._branches)
        return Cost(operations).seconds(peaks)

    def each(self, peaks: Peaks) -> float:
        """A whole prefill for each question."""
        prefix = len(self._packed.prefix.ids)
        operations = sum(self._vision + self._model.prefill(prefix + branch) for branch in self._branches)
        return Cost(operations).seconds(peaks)

    def written(self, new: int, batch: int, peaks: Peaks) -> float:
        """A prefill with all questions, and tokens written by it."""
        prefill = Cost(self._vision + self._model.prefill(self._packed.length))
        decode = self._model.decode(self._packed.length, new, batch, self._bytes)
        return prefill.seconds(peaks) + decode.seconds(peaks) / batch


def _measure(road: _Road, device: str) -> None:
    import torch

    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
    road.pair_s.append(timed(road.judge, device) / road.count)
    if device != "cpu":
        road.peak_gib = torch.cuda.max_memory_allocated() / 2**30


def _rows(roads: Sequence[_Road], peaks: Peaks) -> list[dict[str, Cell]]:
    ours_s = {road.side: middle_and_spread(road.pair_s)[0] for road in roads if road.name == OURS}
    rows: list[dict[str, Cell]] = []
    for road in roads:
        pair_s, spread = middle_and_spread(road.pair_s)
        least_s = road.least(peaks)
        rows.append(
            {
                "road": road.name,
                "side": road.side,
                "at_once": road.at_once,
                "pairs_per_s": 1 / pair_s,
                "spread_percent": 100 * spread,
                "ours_times": None if road.name == OURS else pair_s / ours_s[road.side],
                "floor_pairs_per_s": 1 / least_s,
                "share_percent": 100 * least_s / pair_s,
                "peak_gib": road.peak_gib,
            }
        )
    return rows


def _notes(plan: Plan, peaks: Peaks) -> tuple[str, ...]:
    task = plan.task
    return (
        f"A pair is an image and a text of {task.prompt_tokens} tokens, with {task.criteria} criteria of "
        f"{task.question_tokens} tokens each; a verdict that is written out has {task.verdict_tokens}. Medians of "
        f"{plan.rounds} rounds in which the roads took turns; ± is half the distance of the quartiles.",
        f"The floor is what {peaks.operations_per_s / 1e12:.3g} TFLOP/s and {peaks.bytes_per_s / 1e12:.3g} TB/s, "
        "the best seen in the same run, would allow for that road's own arithmetic and reading of weights.",
    )


def _shrunk_per_s(engine: LocalEngine, plan: Plan) -> str:
    """How many images the CPU alone makes ready for the model."""
    some = samples(engine.loaded(), replace(plan.task, side=plan.sides[0]), plan.ours)
    packed = [engine.pack(request) for request in some]
    with ThreadPoolExecutor(_THREADS) as pool:

        def shrink() -> None:
            for item in packed:
                item.prefix.pictures.begin(pool)
            for item in packed:
                item.prefix.pictures.take()

        rate = len(packed) / timed(shrink, "cpu")
    return f"Images of {plan.sides[0]} pixels made ready by the CPU alone, in {_THREADS} threads: {rate:,.0f} a second."


@contextmanager
def _not_fused(model: Any) -> Iterator[None]:
    """The model's layers as written, for a while."""
    layers = layers_of(model)
    compiled = [layer._compiled_call_impl for layer in layers]
    for layer in layers:
        layer._compiled_call_impl = None
    try:
        yield
    finally:
        for layer, call in zip(layers, compiled, strict=True):
            layer._compiled_call_impl = call


def _accelerator(device: str) -> dict[str, str]:
    import torch

    return {} if device == "cpu" else {"gpu": torch.cuda.get_device_name()}
