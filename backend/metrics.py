"""What the status page shows, as metrics for Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from backend.status import OUTCOMES, StatusView

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.registry import Collector


def exposition(view: StatusView, accept: str | None = None) -> tuple[bytes, str]:
    """Body and content type, in the format that the request's `Accept` header asks for; None is the plain text.

    After the judge's own metrics come those that the client library gives for every process (`process_...`).
    """
    from prometheus_client import CollectorRegistry, ProcessCollector
    from prometheus_client.exposition import choose_encoder

    registry = CollectorRegistry()
    registry.register(_collector(view))
    ProcessCollector(registry=registry)
    encode, content_type = choose_encoder(accept or "")
    return encode(registry), content_type


def _collector(view: StatusView) -> Collector:
    from prometheus_client.registry import Collector

    class OfView(Collector):
        """Metrics of one moment."""

        def collect(self) -> Iterator[Metric]:
            yield from _counters(view)
            yield from _gauges(view)
            yield from _labelled(view)

    return OfView()


def _counters(view: StatusView) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily

    vitals = view.vitals
    for name, meaning, value in (
        ("samples_judged", "Samples judged by the engine.", vitals.judged),
        ("tasks_recalled", "Tasks answered from the store of verdicts.", vitals.recalled),
        ("tasks_failed", "Times that a task could not be judged.", vitals.failed),
        ("predictions_delivered", "Predictions written back to Label Studio.", vitals.delivered),
        ("batches", "Batches judged by the engine.", vitals.batches),
    ):
        yield CounterMetricFamily(f"vlm_judge_{name}", meaning, value)


def _gauges(view: StatusView) -> Iterator[Metric]:
    from prometheus_client.core import GaugeMetricFamily

    memory = view.memory
    for name, meaning, value in (
        ("queue_samples", "Samples that wait to be judged.", view.waiting),
        ("queue_bytes", "Memory taken by the images of samples that wait.", view.waiting_bytes),
        ("requests_open", "Prediction requests being answered.", view.requests_open),
        ("engine_ready", "1 if the model is loaded, else 0.", int(view.engine_state == "ready")),
        (
            "engine_failed",
            "1 if the model cannot be loaded or has stopped working, else 0.",
            int(view.engine_state == "failed"),
        ),
        ("delivery_waiting", "1 if Label Studio could not be reached, else 0.", int(view.delivery.state == "waiting")),
        ("seconds_since_last_batch", "Since a batch was last finished, or since the start.", view.vitals.idle_s),
        ("start_time_seconds", "When the judge started, since the epoch.", view.vitals.started_at.timestamp()),
        ("resident_memory_bytes", "Memory of the process.", memory.resident_bytes),
        ("gpu_memory_used_bytes", "Memory in use on the engine's GPU, by all processes.", memory.gpu_used_bytes),
        ("gpu_memory_size_bytes", "Memory of the engine's GPU.", memory.gpu_total_bytes),
    ):
        if value is not None:
            yield GaugeMetricFamily(f"vlm_judge_{name}", meaning, value)


def _labelled(view: StatusView) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

    requests = CounterMetricFamily("vlm_judge_requests", "Prediction requests by how they ended.", labels=["outcome"])
    counted = dict(view.vitals.requests)
    for outcome in sorted(OUTCOMES.keys() | counted):
        requests.add_metric([_text(outcome)], counted.get(outcome, 0))
    yield requests

    owed = GaugeMetricFamily(
        "vlm_judge_owed_predictions", "Predictions still to be written back to Label Studio.", labels=["project"]
    )
    for project, number in sorted(_owed(view).items()):
        owed.add_metric([_text(project)], number)
    yield owed

    about = {"judge": view.judge, "engine": view.engine, "model": view.model, "version": view.version}
    yield InfoMetricFamily(
        "vlm_judge", "The judge and its version.", value={name: _text(value) for name, value in about.items()}
    )


def _owed(view: StatusView) -> dict[str, int]:
    """By project; several label configs of one project are one series."""
    owed: Counter[str] = Counter()
    for project in view.projects:
        owed[project.project] += project.owed
    return dict(owed)


def _text(value: str) -> str:
    """A label's value without lone surrogates, which UTF-8 cannot carry."""
    return value.encode("utf-8", "replace").decode("utf-8")
