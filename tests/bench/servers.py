"""How the rate of judging grows with the number of servers, each with a fixed service time and so many places."""

from __future__ import annotations

import multiprocessing
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess

from PIL import Image

from backend.bench.record import Cell, Column, Record, middle_and_spread, record
from backend.core.types import Option, Question, Scored
from backend.engines.base import JudgeRequest
from backend.engines.remote.engine import RemoteEngine
from backend.engines.remote.servers import Policy
from tests.contract import chat_server

SERVERS = (1, 2, 4)
ROUNDS = 3
SERVICE_S = 0.5
PLACES = 8
"""Questions that a server answers at a time."""
SAMPLES = 32
"""Per server and run."""
BATCHES = (8, 32)
"""Samples per server that the engine has at a time."""

QUESTIONS = tuple(
    Question(f"q{number}", f"Is it {number}? Yes or No?", (Option("yes", "Yes"), Option("no", "No")))
    for number in range(5)
)

COLUMNS = (
    Column("servers", "servers"),
    Column("batch", "images a batch"),
    Column("runs", "runs"),
    Column("rate", "answers a second", 1),
    Column("spread", "spread, %", 0),
    Column("growth", "of one server's", 2),
    Column("most", "of the most possible, %", 0),
    Column("together", "images on one server, %", 0),
)


class FixedTime:
    """A model that takes the same time for every prompt and does so many at a time."""

    def __init__(self, service_s: float, places: int) -> None:
        self._service_s = service_s
        self._places = threading.Semaphore(places)
        self._logits = chat_server.fixed({"Yes": 5.0, "No": 4.0})

    def __call__(self, text: str, images: Sequence[bytes]) -> Mapping[str, float]:
        with self._places:
            time.sleep(self._service_s)
        return self._logits(text, images)


@dataclass(frozen=True, slots=True)
class Ran:
    """One run over some servers."""

    rate: float
    """Answers a second."""
    together: float
    """The share of images all of whose questions went to one server."""


def measure(servers: Sequence[int] = SERVERS, rounds: int = ROUNDS, samples: int = SAMPLES) -> Record:
    """Each number of servers in turns; every server is a process of its own."""
    kinds = [(batch, count) for batch in BATCHES for count in servers]
    ran: dict[tuple[int, int], list[Ran]] = {kind: [] for kind in kinds}
    for number in range(rounds):
        for batch, count in kinds:
            ran[batch, count].append(run(count, samples * count, batch * count, seed=number))
    return record(
        "Several judge servers",
        "python -m tests.bench --only servers",
        COLUMNS,
        [_row(batch, count, ran[batch, count], ran[batch, servers[0]]) for batch, count in kinds],
        notes=(
            f"Servers on this machine that take {SERVICE_S:g} s for an answer and give {PLACES} at a time, so that "
            f"{PLACES / SERVICE_S:g} answers a second and server is the most possible; asked by the remote engine, "
            f"{samples} images per server, {len(QUESTIONS)} questions each.",
        ),
    )


def run(servers: int, samples: int, batch: int, seed: int = 0) -> Ran:
    """Judge so many images by so many servers, as many at a time as are in a batch."""
    with ExitStack() as stack:
        pipes = [stack.enter_context(serving()) for _ in range(servers)]
        engine = RemoteEngine([address for address, _ in pipes], chat_server.ChatServer().model, policy=Policy())
        stack.callback(engine.close)
        engine.answer(requests(2 * servers, 1000 + seed))
        for _, pipe in pipes:
            _asked(pipe)
        todo = requests(samples, seed)
        began_s = time.monotonic()
        answers = [row for at in range(0, samples, batch) for row in engine.answer(todo[at : at + batch])]
        took_s = time.monotonic() - began_s
        if {type(answer) for row in answers for answer in row} != {Scored}:
            raise RuntimeError("some questions were left without an answer")
        asked = [_asked(pipe) for _, pipe in pipes]
    images = set().union(*asked)
    together = sum(sum(image in per_server for per_server in asked) == 1 for image in images)
    return Ran(samples * len(QUESTIONS) / took_s, together / len(images))


def requests(count: int, seed: int) -> list[JudgeRequest]:
    """Samples with an image each that no other has."""
    images = [Image.new("RGB", (56, 56), (number % 256, number // 256, seed % 256)) for number in range(count)]
    return [JudgeRequest((image,), "", "caption\n", QUESTIONS) for image in images]


@contextmanager
def serving() -> Iterator[tuple[str, Connection]]:
    """A server in a process of its own: its address, and a pipe that tells the images it was asked about."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs,), daemon=True)
    process.start()
    try:
        yield str(ours.recv()), ours
    finally:
        _end(process)


def _serve(pipe: Connection) -> None:
    """In the server's process, until it is ended: send the images asked about whenever something comes."""
    with chat_server.running_server(logits=FixedTime(SERVICE_S, PLACES)) as server:
        pipe.send(server.address)
        while pipe.recv():
            pipe.send({uri for body in server.asked if (uri := chat_server.image_of(body))})
            server.asked.clear()


def _asked(pipe: Connection) -> set[str]:
    """The images that a server was asked about since this was asked last."""
    pipe.send(True)
    return set(pipe.recv())


def _end(process: SpawnProcess) -> None:
    process.terminate()
    process.join(10)


def _row(batch: int, servers: int, runs: Sequence[Ran], of_one: Sequence[Ran]) -> dict[str, Cell]:
    rate, spread = middle_and_spread([each.rate for each in runs])
    return {
        "servers": servers,
        "batch": batch * servers,
        "runs": len(runs),
        "rate": rate,
        "spread": 100 * spread,
        "growth": rate / middle_and_spread([each.rate for each in of_one])[0],
        "most": 100 * rate / (servers * PLACES / SERVICE_S),
        "together": 100 * min(each.together for each in runs),
    }
