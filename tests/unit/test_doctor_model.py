"""What the doctor says of the model: whether it is there, fits, loads, and how long a sample takes."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from backend.doctor import Finding
from backend.doctor.findings import Lacking
from backend.doctor.memory import Memory, cpu_finding, gpu_finding, machine_memory
from backend.doctor.model import check_model, load_engine, packages_finding, weights_finding
from backend.doctor.setting_up import assemble
from backend.doctor.timing import check_time, check_write_back, grey_task, time_finding
from backend.doctor.weights import Weights, find_weights, weights_in
from backend.engines.local import LocalEngine
from backend.engines.scripted import ScriptedEngine
from backend.errors import EngineError
from backend.service import JudgeService
from backend.settings import Settings
from tests.checking import seen

SEVEN = Weights("here", True, 8_300_000_000, 16_600_000_000, quantised=False)
AWQ = "--engine remote with a server that runs a quantised one (vllm serve Qwen/Qwen2.5-VL-7B-Instruct-AWQ)"
THREE = f"take a smaller model (--model Qwen/Qwen2.5-VL-3B-Instruct), or {AWQ}"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    place = str(tmp_path / "verdicts.sqlite")
    monkeypatch.setenv("VLM_JUDGE_STORE", place)
    return place


@pytest.fixture
def service(store: str) -> Generator[JudgeService, None, None]:
    _, service = seen(assemble(Settings(engine="scripted", store=store)))
    assert isinstance(service, JudgeService)
    yield service
    service.close()


class TestWeights:
    def test_a_folder_is_counted_without_loading(self, tiny_model: Path) -> None:
        weights = find_weights(str(tiny_model), None, None)
        files = list(tiny_model.glob("*.safetensors"))
        engine = LocalEngine(str(tiny_model), device="cpu")
        assert weights == Weights(
            f"in {tiny_model}", True, engine.parameters, sum(file.stat().st_size for file in files), quantised=False
        )
        assert (weights.bytes_as("bfloat16"), weights.bytes_as("float32")) == (
            2 * engine.parameters,
            4 * engine.parameters,
        )

    def test_quantised_weights_stay_as_they_are_stored(self) -> None:
        assert Weights("", True, 8_300_000_000, 6_900_000_000, quantised=True).bytes_as("bfloat16") == 6_900_000_000

    @pytest.mark.parametrize("name", ["./missing", "/missing", "a/b/c"])
    def test_no_such_folder(self, name: str) -> None:
        with pytest.raises(EngineError) as caught:
            find_weights(name, None, None)
        assert str(caught.value) == f"there is no folder {name}; correct --model (VLM_JUDGE_MODEL)"

    def test_a_folder_without_weights(self, tmp_path: Path) -> None:
        with pytest.raises(EngineError) as caught:
            weights_in(tmp_path, "here")
        assert str(caught.value) == f"{tmp_path} lacks *.safetensors; copy or download the model again"

    def test_a_folder_that_lacks_one_of_its_files(self, tmp_path: Path) -> None:
        index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors", "c": "model-1.safetensors"}}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        (tmp_path / "model-1.safetensors").touch()
        with pytest.raises(EngineError) as caught:
            weights_in(tmp_path, "here")
        assert str(caught.value) == (
            f"{tmp_path} lacks 1 of 2 weight files, such as model-2.safetensors; copy or download the model again"
        )

    @pytest.mark.parametrize(
        ("damage", "why"),
        [
            (lambda content: content[:-1], "it is cut off"),
            (
                lambda _: b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n",
                "it is a Git LFS pointer or no safetensors file",
            ),
            (lambda _: b"", "unpack requires a buffer of 8 bytes"),
        ],
    )
    def test_damaged_files_are_named(self, tiny_model: Path, tmp_path: Path, damage: Any, why: str) -> None:
        [file] = tiny_model.glob("*.safetensors")
        copy = tmp_path / file.name
        copy.write_bytes(damage(file.read_bytes()))
        with pytest.raises(EngineError) as caught:
            weights_in(tmp_path, "here")
        assert str(caught.value) == f"{copy} is damaged ({why}); copy or download the model again"

    def test_where_they_are(self) -> None:
        said = "m/7B: 8.30 billion parameters, 16.6 GB, "
        away = Weights("on the hub", False, 8_300_000_000, 16_600_000_000, quantised=False)
        room, none = 20 * 10**9, 10**9
        assert weights_finding("m/7B", SEVEN, none, load=True) == Finding("model", "ok", f"{said}here")
        assert weights_finding("m/7B", away, room, load=True) == Finding(
            "model", "ok", f"{said}on the hub; it is downloaded now"
        )
        assert weights_finding("m/7B", away, room, load=False) == Finding(
            "model", "warning", f"{said}on the hub; the first start downloads it", "hf download m/7B"
        )
        assert weights_finding("m/7B", away, none, load=True) == Finding(
            "model",
            "failed",
            f"{said}on the hub, and only 1.0 GB free in the cache",
            "make room, or set HF_HOME to a folder on another disk",
        )


class TestMemory:
    """A 7B model in bfloat16 takes 2 x 8.3 = 16.6 GB and 4 GB for a pass, in float32 33.2 GB and 4 GB."""

    SAID = "the weights take 16.6 GB and a pass up to 4.0 GB of {} GPU memory, of which {} are free"

    @pytest.mark.parametrize(
        ("total_gb", "free_gb", "state", "remedy"),
        [
            (16, 16, "failed", THREE),
            (8, 8, "failed", f"take {AWQ}"),
            (20, 19, "warning", f"set a smaller VLM_JUDGE_MAX_PIXELS, or {THREE}"),
            (24, 12, "failed", "end what else runs on the GPU; `nvidia-smi` lists it"),
            (24, 18, "warning", "end what else runs on the GPU; `nvidia-smi` lists it"),
            (24, 23, "ok", ""),
        ],
    )
    def test_gpus(self, total_gb: int, free_gb: int, state: Any, remedy: str) -> None:
        said = self.SAID.format(f"{total_gb:.1f} GB", f"{free_gb:.1f} GB")
        found = gpu_finding(SEVEN, Memory(total_gb * 10**9, free_gb * 10**9))
        assert found == Finding("memory", state, said, remedy)

    def test_a_small_model_wants_no_more_for_a_pass_than_it_is_large(self) -> None:
        tiny = Weights("here", True, 3_000_000, 6_000_000, quantised=False)
        said = "the weights take 6 MB and a pass up to 6 MB of 1.0 GB GPU memory, of which 500 MB are free"
        assert gpu_finding(tiny, Memory(10**9, 5 * 10**8)) == Finding("memory", "ok", said)

    @pytest.mark.parametrize(
        ("total_gb", "free_gb", "state", "more", "remedy"),
        [
            (32, 30, "failed", "", f"use a machine with a GPU, or {THREE}"),
            (64, 20, "failed", "", "end other programs, or use a machine with a GPU"),
            (64, 60, "warning", "; a sample takes minutes", "use a machine with a GPU"),
        ],
    )
    def test_machines_without_a_gpu(self, total_gb: int, free_gb: int, state: Any, more: str, remedy: str) -> None:
        said = f"without a GPU, weights and a pass take 37.2 GB of {total_gb}.0 GB memory, of which {free_gb}.0 GB are "
        found = cpu_finding(SEVEN, Memory(total_gb * 10**9, free_gb * 10**9))
        assert found == Finding("memory", state, f"{said}free{more}", remedy)

    def test_this_machine_has_some(self) -> None:
        memory = machine_memory()
        assert 10**8 < memory.free_bytes <= memory.total_bytes


class TestModel:
    def test_packages_that_are_not_installed(self) -> None:
        assert packages_finding(("torch", "transformers")) == Finding(
            "packages",
            "failed",
            "torch, transformers cannot be imported",
            "pip install 'vlm-judge-label-studio[local]', or take --engine remote",
        )

    def test_a_folder_is_looked_at_and_loaded(self, tiny_model: Path, store: str) -> None:
        settings = Settings(engine="local", model=str(tiny_model), device="cpu", store=store)
        _, service = seen(assemble(settings))
        assert isinstance(service, JudgeService)
        findings, engine = seen(check_model(settings, service, load=True))
        service.close()
        assert [(finding.check, finding.state) for finding in findings] == [
            ("model", "ok"),
            ("memory", "ok"),
            ("load", "ok"),
        ]
        assert findings[2].detail.startswith(f"{tiny_model.name} loaded in ")
        assert engine is service.engine

    def test_what_is_not_there_is_not_loaded(self, store: str) -> None:
        settings = Settings(engine="local", model="./missing", device="cpu", store=store)
        _, service = seen(assemble(settings))
        assert isinstance(service, JudgeService)
        findings, lacking = seen(check_model(settings, service, load=True))
        service.close()
        assert findings == [
            Finding("model", "failed", "there is no folder ./missing", "correct --model (VLM_JUDGE_MODEL)"),
            Finding("load", "skipped", "`model` failed"),
        ]
        assert lacking == Lacking("`model` failed")

    def test_a_model_that_does_not_load(self, tiny_model: Path, tmp_path: Path) -> None:
        for file in tiny_model.glob("*"):
            (tmp_path / file.name).write_bytes(file.read_bytes())
        (tmp_path / "config.json").write_text('{"model_type": "llama"}')
        settings = Settings(engine="local", model=str(tmp_path))
        [finding], lacking = seen(load_engine(settings, LocalEngine(str(tmp_path), device="cpu")))
        assert (finding.check, finding.state, finding.remedy) == (
            "load",
            "failed",
            "the local engine runs Qwen2-VL, Qwen2.5-VL, Qwen3-VL, Qwen3-VL (mixture of experts). Choose one of those",
        )
        assert finding.detail == f"{tmp_path} is a model of type 'llama'"
        assert lacking == Lacking("`load` failed")

    def test_servers_that_do_not_answer(self, store: str) -> None:
        settings = Settings(engine="remote", servers=("http://127.0.0.1:9",), store=store)
        _, service = seen(assemble(settings))
        assert isinstance(service, JudgeService)
        [finding], _ = seen(check_model(settings, service, load=True))
        service.close()
        assert (finding.check, finding.state, finding.remedy) == (
            "load",
            "failed",
            "start one, or set VLM_JUDGE_SERVERS",
        )
        assert finding.detail.startswith("no judge server answers: http://127.0.0.1:9")

    def test_the_embedded_judge_is_not_for_real_data(self, store: str) -> None:
        settings = Settings(engine="demo", store=store)
        _, service = seen(assemble(settings))
        assert isinstance(service, JudgeService)
        [finding], engine = seen(check_model(settings, service, load=True))
        service.close()
        assert (finding.check, finding.state, engine) == ("load", "warning", service.engine)
        assert finding.detail.endswith("; it knows drawn boards of coloured shapes and nothing else")
        assert finding.remedy == "take --engine local or --engine remote for your own data"

    def test_canned_answers_are_for_tests(self) -> None:
        engine = ScriptedEngine()
        remedy = "take --engine local or --engine remote for your own data"
        wanted = Finding("load", "warning", "the scripted engine gives canned answers, for tests", remedy)
        assert seen(load_engine(Settings(engine="scripted"), engine)) == ([wanted], engine)


class TestTime:
    @pytest.mark.parametrize(
        ("took_s", "deadline_s", "said"),
        [
            (0.25, 60.0, "one sample takes 0.25 s, so a request holds about 240 tasks in its 60 s"),
            (12.4, 90.0, "one sample takes 12 s, so a request holds about 7 tasks in its 90 s"),
        ],
    )
    def test_what_a_request_holds(self, took_s: float, deadline_s: float, said: str) -> None:
        more = "; the others are delivered later (Label Studio itself waits 100 s)"
        assert time_finding(took_s, deadline_s, None) == Finding("time-outs", "ok", said + more)

    def test_a_sample_beyond_the_deadline(self) -> None:
        assert time_finding(75.0, 60.0, 3) == Finding(
            "time-outs",
            "warning",
            "one sample takes 75 s, longer than the 60 s in which a request is answered: every verdict comes late",
            "set VLM_JUDGE_PREDICT_DEADLINE_S (at most 95), a smaller VLM_JUDGE_MAX_PIXELS or "
            "VLM_JUDGE_EXPLAIN=never, or use `vlm-judge judge --project 3`, which has no deadline",
        )

    def test_a_grey_picture_is_judged_where_there_is_no_task(self, service: JudgeService) -> None:
        [finding], _ = seen(check_time(service, *grey_task(), 60.0, None))
        assert (finding.check, finding.state) == ("time-outs", "ok")
        assert finding.detail.startswith("one sample takes 0.")

    def test_a_sample_that_cannot_be_judged(self, service: JudgeService) -> None:
        config, task = grey_task()
        broken = {**task, "data": {**task["data"], "caption": ""}}
        wanted = Finding(
            "time-outs",
            "failed",
            "a sample could not be judged: task doctor has no text to judge in `caption`; give it one or delete the "
            "task",
            "see `load` and `images` above",
        )
        assert seen(check_time(service, config, broken, 60.0, None))[0] == [wanted]

    def test_late_verdicts_need_a_key(self) -> None:
        settings = Settings(label_studio_url="http://127.0.0.1:9")
        findings, _ = seen(check_write_back(settings, Lacking("LABEL_STUDIO_API_KEY is not set")))
        assert findings == [
            Finding(
                "late verdicts",
                "warning",
                "verdicts that come after the deadline cannot be written back: LABEL_STUDIO_API_KEY is not set",
                "export LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY for the backend",
            )
        ]

    def test_late_verdicts_are_not_looked_at_with_a_wrong_key(self) -> None:
        settings = Settings(label_studio_url="http://127.0.0.1:9", label_studio_api_key=SecretStr("k"))
        wanted = [Finding("late verdicts", "skipped", "`token` failed")]
        assert seen(check_write_back(settings, Lacking("`token` failed")))[0] == wanted
