from __future__ import annotations

import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse_plain

from backend.metrics import exposition
from tests.status_views import AWAY, BUSY, CROWDED, FAILED, LOADING, PROJECTS, VIEWS

ROOT = Path(__file__).parents[2]
WANTED = """\
# HELP vlm_judge_samples_judged_total Samples judged by the engine.
# TYPE vlm_judge_samples_judged_total counter
vlm_judge_samples_judged_total 5231.0
# HELP vlm_judge_tasks_recalled_total Tasks answered from the store of verdicts.
# TYPE vlm_judge_tasks_recalled_total counter
vlm_judge_tasks_recalled_total 1904.0
# HELP vlm_judge_tasks_failed_total Times that a task could not be judged.
# TYPE vlm_judge_tasks_failed_total counter
vlm_judge_tasks_failed_total 4.0
# HELP vlm_judge_predictions_delivered_total Predictions written back to Label Studio.
# TYPE vlm_judge_predictions_delivered_total counter
vlm_judge_predictions_delivered_total 4020.0
# HELP vlm_judge_batches_total Batches judged by the engine.
# TYPE vlm_judge_batches_total counter
vlm_judge_batches_total 661.0
# HELP vlm_judge_queue_samples Samples that wait to be judged.
# TYPE vlm_judge_queue_samples gauge
vlm_judge_queue_samples 64.0
# HELP vlm_judge_queue_bytes Memory taken by the images of samples that wait.
# TYPE vlm_judge_queue_bytes gauge
vlm_judge_queue_bytes 2.12345678e+08
# HELP vlm_judge_requests_open Prediction requests being answered.
# TYPE vlm_judge_requests_open gauge
vlm_judge_requests_open 2.0
# HELP vlm_judge_engine_ready 1 if the model is loaded, else 0.
# TYPE vlm_judge_engine_ready gauge
vlm_judge_engine_ready 1.0
# HELP vlm_judge_engine_failed 1 if the model cannot be loaded or has stopped working, else 0.
# TYPE vlm_judge_engine_failed gauge
vlm_judge_engine_failed 0.0
# HELP vlm_judge_delivery_waiting 1 if Label Studio could not be reached, else 0.
# TYPE vlm_judge_delivery_waiting gauge
vlm_judge_delivery_waiting 0.0
# HELP vlm_judge_seconds_since_last_batch Since a batch was last finished, or since the start.
# TYPE vlm_judge_seconds_since_last_batch gauge
vlm_judge_seconds_since_last_batch 0.4
# HELP vlm_judge_start_time_seconds When the judge started, since the epoch.
# TYPE vlm_judge_start_time_seconds gauge
vlm_judge_start_time_seconds 1.7956836e+09
# HELP vlm_judge_resident_memory_bytes Memory of the process.
# TYPE vlm_judge_resident_memory_bytes gauge
vlm_judge_resident_memory_bytes 6.412345678e+09
# HELP vlm_judge_gpu_memory_used_bytes Memory in use on the engine's GPU, by all processes.
# TYPE vlm_judge_gpu_memory_used_bytes gauge
vlm_judge_gpu_memory_used_bytes 2.147483648e+10
# HELP vlm_judge_gpu_memory_size_bytes Memory of the engine's GPU.
# TYPE vlm_judge_gpu_memory_size_bytes gauge
vlm_judge_gpu_memory_size_bytes 8.589934592e+10
# HELP vlm_judge_requests_total Prediction requests by how they ended.
# TYPE vlm_judge_requests_total counter
vlm_judge_requests_total{outcome="answered"} 391.0
vlm_judge_requests_total{outcome="busy"} 2.0
vlm_judge_requests_total{outcome="failed"} 0.0
vlm_judge_requests_total{outcome="refused"} 1.0
# HELP vlm_judge_owed_predictions Predictions still to be written back to Label Studio.
# TYPE vlm_judge_owed_predictions gauge
vlm_judge_owed_predictions{project="12"} 0.0
vlm_judge_owed_predictions{project="7"} 1240.0
# HELP vlm_judge_info The judge and its version.
# TYPE vlm_judge_info gauge
vlm_judge_info{engine="local",judge="Qwen2.5-VL-7B-Instruct",model="Qwen/Qwen2.5-VL-7B-Instruct",version="0.1.0"} 1.0
"""
BASE_UNITS = ("_seconds", "_bytes", "_total", "_info")
COUNTED = ("_samples", "_predictions", "_open", "_ready", "_failed", "_waiting", "_fds", "_batch")
"""Endings of gauges that count things or say yes and no; everything else carries a base unit."""


def families(text: str) -> dict[str, Metric]:
    return {family.name: family for family in parse_plain(text)}


def values(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_plain(text)
        for sample in family.samples
    }


def test_everything_is_told_in_prometheus_plain_text() -> None:
    body, content_type = exposition(BUSY)
    text = body.decode("utf-8")
    assert content_type == "text/plain; version=0.0.4; charset=utf-8"
    assert text[: text.index("# HELP process_")] == WANTED


def test_the_process_is_described_by_the_standard_metrics() -> None:
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from backend.metrics import exposition\n"
        "from tests.status_views import BUSY\n"
        "sys.stdout.buffer.write(exposition(BUSY)[0])\n"
        "print('VmRSS', next(line.split()[1] for line in open('/proc/self/status') if line.startswith('VmRSS')))\n"
    )
    started_s = time.time()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    text, resident_kib = done.stdout.rsplit("VmRSS", 1)
    found = values(text)
    assert started_s - 1.5 <= found[("process_start_time_seconds", ())] <= time.time() + 1.5
    assert found[("process_resident_memory_bytes", ())] == pytest.approx(int(resident_kib) * 1024, rel=0.1)


@pytest.mark.parametrize("name", VIEWS)
def test_names_types_and_help_follow_the_rules(name: str) -> None:
    """What `promtool check metrics` would complain about."""
    text = exposition(VIEWS[name])[0].decode("utf-8")
    lines = text.splitlines()
    series = [line.rsplit(" ", 1)[0] for line in lines if not line.startswith("#")]
    assert len(series) == len(set(series)), "no series stands twice"
    described: dict[str, list[str]] = {}
    for line in lines:
        if line.startswith("# "):
            _, kind, metric, rest = line.split(" ", 3)
            described.setdefault(metric, []).append(kind)
            assert rest
            if kind == "TYPE":
                assert (rest == "counter") == metric.endswith("_total"), metric
    assert all(kinds == ["HELP", "TYPE"] for kinds in described.values())
    assert {line.split("{")[0] for line in series} <= described.keys()
    for metric in described:
        assert re.fullmatch(r"(vlm_judge|process)(_[a-z]+)+", metric), metric
        assert metric.endswith(BASE_UNITS + COUNTED), metric


@pytest.mark.parametrize("name", VIEWS)
def test_openmetrics_is_spoken_when_asked_for(name: str) -> None:
    body, content_type = exposition(VIEWS[name], "application/openmetrics-text;version=1.0.0,text/plain;q=0.5")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0; charset=utf-8")
    text = body.decode("utf-8")
    assert text.endswith("# EOF\n")
    in_plain = families(exposition(VIEWS[name])[0].decode("utf-8"))
    opened = {family.name for family in parse_open(text)}  # type: ignore[no-untyped-call]
    assert opened == {name.removesuffix("_info") for name in in_plain}


def test_an_unreachable_label_studio_and_a_lost_model_can_be_alerted_on() -> None:
    def flags(text: str) -> dict[str, float]:
        names = ("vlm_judge_engine_ready", "vlm_judge_engine_failed", "vlm_judge_delivery_waiting")
        return {name: values(text)[(name, ())] for name in names}

    def of(ready: int, failed: int, waiting: int) -> dict[str, float]:
        return {
            "vlm_judge_engine_ready": ready,
            "vlm_judge_engine_failed": failed,
            "vlm_judge_delivery_waiting": waiting,
        }

    assert flags(exposition(LOADING)[0].decode("utf-8")) == of(0, 0, 0)
    assert flags(exposition(FAILED)[0].decode("utf-8")) == of(0, 1, 0)
    assert flags(exposition(AWAY)[0].decode("utf-8")) == of(1, 0, 1)


def test_a_machine_without_gpu_has_no_gpu_metrics() -> None:
    assert "gpu" not in exposition(LOADING)[0].decode("utf-8")


def test_several_label_configs_of_a_project_are_one_series() -> None:
    twice = replace(BUSY, projects=(PROJECTS[0], replace(PROJECTS[0], fingerprint="other", owed=20), PROJECTS[1]))
    found = values(exposition(twice)[0].decode("utf-8"))
    owed = {
        dict(labels)["project"]: value for (name, labels), value in found.items() if name.endswith("owed_predictions")
    }
    assert owed == {"7": 1_260.0, "12": 0.0}


def test_labels_are_escaped_and_can_always_be_sent() -> None:
    text = exposition(replace(CROWDED, model='a "model" \\ \n\ud800'))[0].decode("utf-8")
    [info] = families(text)["vlm_judge_info"].samples
    assert info.labels["model"] == 'a "model" \\ \n?'


def test_an_outcome_that_is_new_is_counted_too() -> None:
    newer = replace(BUSY, vitals=replace(BUSY.vitals, requests=(("abandoned", 3),)))
    found = values(exposition(newer)[0].decode("utf-8"))
    counted = {dict(labels)["outcome"]: value for (name, labels), value in found.items() if "requests_total" in name}
    assert counted == {"abandoned": 3.0, "answered": 0.0, "busy": 0.0, "failed": 0.0, "refused": 0.0}
