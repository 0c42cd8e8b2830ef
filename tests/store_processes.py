"""What tests do to a store in processes of their own; run with `in_process`."""

from __future__ import annotations

import multiprocessing
import os
import random
import resource
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from sqlalchemy import Engine, event

from backend.core.types import Evidence, Feature, Option, Question, Scored, Span, Unscored, Verdict
from backend.errors import VlmJudgeError
from backend.store import Store

PROJECT = "3.1795361354"
MODEL = "scripted"
JUDGE = f"{MODEL}-0123456789ab"
"""A fingerprint of the model."""
TIMEOUT_S = 60

QUESTION = Question("consistency", "How consistent?", (Option("1", "1"), Option("2", "2")))


def verdict(words: str = "“Löwe” is not supported.") -> Verdict:
    """A verdict with something of everything."""
    return Verdict(
        answers=(Scored(QUESTION, (0.25, 0.75), 0.99), Unscored(QUESTION, "no probability")),
        decision="fix",
        decision_probs={"accept": 0.25, "fix": 0.5, "reject": 0.25},
        confidence=0.5,
        evidence=Evidence((Span(0, 3, "Löwe", 0.1),), (Feature("a cat 🐈", 0.9),), words),
        fingerprint=JUDGE,
    )


@contextmanager
def in_process(target: Callable[..., None], *args: Any) -> Iterator[tuple[BaseProcess, Connection]]:
    """A process that runs `target(pipe, *args)`, and our end of the pipe; killed at the end."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.store_processes", "psycopg", "alembic.command"])
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *args))
    process.start()
    theirs.close()
    try:
        yield process, ours
    finally:
        process.kill()
        process.join()
        ours.close()


def told(pipe: Connection) -> Any:
    """What the process says next."""
    assert pipe.poll(TIMEOUT_S), "the process says nothing"
    return pipe.recv()


def _said(call: Callable[[], object]) -> str:
    """How a call ends, as a sentence."""
    try:
        call()
    except VlmJudgeError as exc:
        return f"{type(exc).__name__}: {exc}"
    return "done"


def open_at_once(pipe: Connection, place: str) -> None:
    """Say that we are there, wait for the start, open the store, owe something, and say how it ended."""
    pipe.send("ready")
    pipe.recv()

    def use() -> None:
        store = Store(place)
        store.jobs.owe(PROJECT, JUDGE, {os.getpid()}, 0.0)
        store.close()

    pipe.send(_said(use))


def write_all(pipe: Connection, place: str, seed: int, count: int) -> None:
    """Put so many verdicts and owe so many tasks, the same as everybody, in an order of our own; say what was new."""
    store = Store(place)
    dice = random.Random(seed)
    pipe.send("ready")
    pipe.recv()
    new: list[int] = []
    numbers = dice.sample(range(count), count)
    for at in range(0, count, 50):
        part = numbers[at : at + 50]
        store.verdicts.put({str(number): verdict() for number in part})
        new += store.jobs.owe(PROJECT, JUDGE, part, 0.0)
        store.jobs.put_off(PROJECT, JUDGE, part, 5.0, "once more")
    pipe.send(sorted(new))
    store.close()


def hold(pipe: Connection, place: str, project: str) -> None:
    """Hold a project until something is said, or this process is killed."""
    store = Store(place)
    with store.alone(project) as mine:
        pipe.send(mine)
        pipe.recv()
    pipe.send("let go")
    store.close()


def run_out_of_disk(pipe: Connection, place: str) -> None:
    """Write while files can grow no more, read meanwhile, and write again when they can; say how each ended."""
    store = Store(place)
    store.verdicts.put({"before": verdict()})
    wal = Path(f"{place}-wal").stat().st_size
    _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (wal, most))
    many = {f"meanwhile {number}": verdict() for number in range(100)}
    pipe.send(_said(lambda: store.verdicts.put(many)))
    pipe.send(_said(lambda: store.jobs.owe(PROJECT, JUDGE, range(1000), 0.0)))
    pipe.send(sorted(store.verdicts.get(["before", *many])))
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
    pipe.send(_said(lambda: store.verdicts.put(many)))
    pipe.send(sorted(store.verdicts.get(["before", *many])) == sorted(["before", *many]))
    store.close()


def open_as_nobody(pipe: Connection, place: str, warm: str) -> None:
    """Open a store as somebody who owns nothing; `warm` is opened before, so that all modules are there."""
    Store(warm).close()
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
    pipe.send(_said(lambda: Store(place)))


def die_at(pipe: Connection, place: str, statement: str) -> None:
    """Open a store, and be killed after the first statement that begins so."""

    @event.listens_for(Engine, "after_cursor_execute")
    def look(connection: object, cursor: object, said: str, *rest: object) -> None:
        if said.strip().startswith(statement):
            os.kill(os.getpid(), signal.SIGKILL)

    Store(place)
    pipe.send("never there")


def look_often(pipe: Connection, place: str, seed: int, digests: list[str]) -> None:
    """Look with each of these sets of labels in an order of our own; say which number each look had."""
    store = Store(place)
    dice = random.Random(seed)
    pipe.send("ready")
    pipe.recv()
    order = dice.sample(digests, len(digests))
    pipe.send({digest: store.statements.look("key", JUDGE, digest) for digest in order})
    store.close()


def withhold_all(pipe: Connection, place: str, seed: int, count: int) -> None:
    """Keep the verdicts of so many tasks, the same as everybody, in an order of our own; say how it ended."""
    store = Store(place)
    dice = random.Random(seed)
    pipe.send("ready")
    pipe.recv()
    numbers = dice.sample(range(count), count)

    def use() -> None:
        for at in range(0, count, 50):
            part = numbers[at : at + 50]
            store.withheld.put("key", {task: {"model_version": JUDGE, "by": seed} for task in part})

    pipe.send(_said(use))
    store.close()
