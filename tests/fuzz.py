"""Thousands of requests of every kind against a running backend: `python -m tests.fuzz --requests 10000`.

First all of `tests.tricks`; half of the rest is made by schemathesis from the description that the backend serves, as
it says and against it, and half by `tests.hostile`. Every answer is looked at; nothing stops at the first fault.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.core.result import Ok

from backend.label_studio_server import free_port, stop_group, wait_until_healthy
from tests.described import Described, strict_json
from tests.hostile import CONFIG, Shot, shots
from tests.tricks import known_tricks

Case = schemathesis.Case[Any]

ANSWERED_IN_S = 5.0
DEADLINE_S = 3.0
"""Of prediction requests; what is not judged by then must not keep the answer."""
MOST_ERROR_BYTES = 10_000
PROBLEMS_KEPT = 20


@dataclass(frozen=True, slots=True)
class Served:
    """A backend in a process of its own."""

    address: str
    log: Path


@contextmanager
def served_backend(folder: Path, **variables: str) -> Iterator[Served]:
    """`vlm-judge serve` with the scripted judge, its store and log in the folder; variables are settings."""
    log, address = folder / "log", f"http://127.0.0.1:{free_port()}"
    own = {
        "VLM_JUDGE_STORE": str(folder / "store.sqlite"),
        "VLM_JUDGE_PREDICT_DEADLINE_S": str(DEADLINE_S),
        **variables,
    }
    command = [
        sys.executable,
        "-m",
        "backend.cli",
        "serve",
        "--engine",
        "scripted",
        "--port",
        address.rsplit(":", 1)[1],
    ]
    with log.open("wb") as file:
        process = subprocess.Popen(
            command, env={**os.environ, **own}, stdout=file, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        wait_until_healthy(f"{address}/health", process, log, "the backend")
        yield Served(address, log)
    finally:
        stop_group(process)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back."""

    status: int
    headers: dict[str, str]
    """By names in lower case."""
    content: bytes
    seconds: float


def faults(answer: Answer, tasks: int | None = None, *, is_head: bool = False) -> Iterator[str]:
    """What is wrong with an answer to anything at all; `tasks` is how many entries it must have."""
    if answer.status >= 500 and not (answer.status == 503 and answer.headers.get("retry-after", "").isdecimal()):
        yield f"status {answer.status}"
    if answer.seconds > ANSWERED_IN_S:
        yield f"took {answer.seconds:.1f} s"
    if b"Traceback" in answer.content:
        yield "a traceback in the body"
    if answer.status == 200 and tasks is not None:
        yield from _faults_of_results(answer.content, tasks)
    if answer.status >= 400 and not is_head:
        yield from _faults_of_error(answer.content)


def _faults_of_results(content: bytes, tasks: int) -> Iterator[str]:
    try:
        entries = len(strict_json(content)["results"])
    except ValueError as exc:
        yield f"results that are no JSON ({exc})"
        return
    if entries != tasks:
        yield f"{entries} entries for {tasks} tasks"


def _faults_of_error(content: bytes) -> Iterator[str]:
    if len(content) > MOST_ERROR_BYTES:
        yield f"an error of {len(content)} bytes"
    try:
        said = strict_json(content)
    except ValueError as exc:
        yield f"an error that is no JSON ({exc}): {content[:80]!r}"
        return
    if not (isinstance(said, dict) and set(said) == {"error"} and isinstance(said["error"], str) and said["error"]):
        yield f"an error that is no sentence: {content[:80]!r}"


@dataclass(slots=True)
class Tally:
    """What was asked and answered so far."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    slowest: tuple[float, str] = (0.0, "nothing")
    problems: list[str] = field(default_factory=list)

    def add(self, name: str, answer: Answer, wrong: Iterable[str]) -> None:
        """Count an answer, and note what is wrong with it."""
        self.requests += 1
        self.statuses[answer.status] += 1
        self.slowest = max(self.slowest, (answer.seconds, name))
        self.problems += [f"{name}: {problem}; answered {answer.status} {answer.content[:200]!r}" for problem in wrong]

    def lost(self, name: str, exc: Exception) -> None:
        """Count a request that was not answered at all."""
        self.requests += 1
        self.problems.append(f"{name}: no answer, {type(exc).__name__}: {exc}")

    def __str__(self) -> str:
        statuses = ", ".join(f"{count:,} x {status}" for status, count in sorted(self.statuses.items()))
        seconds, name = self.slowest
        return (
            f"{self.requests:,} requests: {statuses}; slowest {seconds:.2f} s ({name[:60]}); "
            f"{len(self.problems)} problems"
        )


def fuzz(address: str, count: int, seeded: int = 0) -> Tally:
    """Ask so many times, but at least all known tricks and every operation; the same seed asks the same."""
    tally = Tally()
    with httpx.Client(base_url=address, timeout=30) as client:
        described = Described(client.get("/openapi.json").json())

        def shoot(shot: Shot, name: str = "") -> None:
            name = name or f"{shot.method} {shot.path[:40]} {shot.content[:300]!r}"
            try:
                answer = _sent(client, shot)
            except httpx.HTTPError as exc:
                tally.lost(name, exc)
            else:
                wrong = [*faults(answer, shot.tasks, is_head=shot.method == "HEAD")]
                if (shot.method, shot.path) in described.operations:
                    wrong += described.faults(shot.method, shot.path, answer.status, answer.headers, answer.content)
                tally.add(name, answer, wrong)

        for name, shot in known_tricks():
            shoot(shot, name)
        _fuzz_by_description(address, max(0, count - tally.requests) // 2, seeded, tally)
        _many(shots(), count - tally.requests, seeded, shoot)
    return tally


def _sent(client: httpx.Client, shot: Shot) -> Answer:
    began = time.monotonic()
    headers = {name.encode(): value.encode("latin-1") for name, value in shot.headers}
    answer = client.request(shot.method, shot.path, content=shot.content, headers=headers)
    return Answer(answer.status_code, dict(answer.headers), answer.content, time.monotonic() - began)


def _fuzz_by_description(address: str, count: int, seeded: int, tally: Tally) -> None:
    """What schemathesis makes of the description; its checks say whether the answers keep to it."""
    schema = schemathesis.openapi.from_url(f"{address}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations() if isinstance(result, Ok)]
    with_body = [operation for operation in operations if operation.body]
    for operation in operations:
        each = count // (2 * len(with_body)) if operation in with_body else 1
        for mode in schemathesis.GenerationMode:
            with requests.Session() as session:
                ask = partial(_ask, address=address, session=session, tally=tally)
                made = operation.as_strategy(generation_mode=mode)
                _many(made.map(_with_config) if mode.is_positive else made, each, seeded, ask)


def _with_config(case: Case) -> Case:
    """The case with a real label config: the description can only say that it is a text."""
    if isinstance(case.body, dict):
        case.body |= {name: CONFIG for name in ("label_config", "schema") if name in case.body}
    return case


def _ask(case: Case, address: str, session: requests.Session, tally: Tally) -> None:
    name = f"{case.method} {case.path} {case.body!r:.300}"
    try:
        response = case.call(base_url=address, session=session, timeout=30)
    except requests.RequestException as exc:
        tally.lost(name, exc)
        return
    headers = {key: values[0] for key, values in response.headers.items()}
    answer = Answer(response.status_code, headers, response.content, response.elapsed)
    tally.add(name, answer, _wrong(case, response, answer))


def _wrong(case: Case, response: schemathesis.Response, answer: Answer) -> Iterator[str]:
    asked = case.body if isinstance(case.body, dict) and case.path == "/predict" else {}
    tasks = asked.get("tasks")
    yield from faults(answer, len(tasks) if isinstance(tasks, list) else None)
    try:
        case.validate_response(response)
    except FailureGroup as group:
        yield from (f"{type(failure).__name__}: {failure}" for failure in group.exceptions)
    except Failure as failure:
        yield f"{type(failure).__name__}: {failure}"


def _many(strategy: st.SearchStrategy[Any], count: int, seeded: int, use: Callable[[Any], None]) -> None:
    """Use so many values of a strategy, fewer where it has not so many."""
    if count <= 0:
        return

    @seed(seeded)
    @settings(
        max_examples=count,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def each(value: Any) -> None:
        use(value)

    try:
        each()
    except Unsatisfiable:  # an operation without anything that could be negated
        return


def main() -> int:
    """Start a backend, ask it, and say how it did; the exit code is 1 where something was wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=main.__doc__)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, served_backend(Path(folder)) as served:
        tally = fuzz(served.address, asked.requests, asked.seed)
        if "Traceback" in (log := served.log.read_text(errors="replace")):
            tally.problems.append(f"the log holds a traceback: {log[log.index('Traceback') :][:3000]}")
    for problem in tally.problems[:PROBLEMS_KEPT]:
        print(problem[:2000])
    print(f"{tally}; {time.monotonic() - began:.0f} s, seed {asked.seed}")
    return 1 if tally.problems else 0


if __name__ == "__main__":
    sys.exit(main())
