"""Judges a dataset on the machines of a Ray: its actors hold the engine, and Ray Data deals them the parts.

The rows themselves do not go through Ray: an actor is given a part's name, reads its rows, and writes their verdicts.
So a part that is dealt again, because its actor or its machine was lost, is judged from where its journal ends, and is
there once all the same.
"""

from __future__ import annotations

import json
import logging
import os
import secrets
import socket
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from typing import Any

from backend.batch.judging import Job, PartJudge
from backend.batch.manifest import alone
from backend.batch.parts import Part
from backend.batch.run import PARTS_AT_ONCE, Batch, BatchOptions, BatchRun, Tally, Told, prepare
from backend.batch.shards import PartDone
from backend.errors import BatchError, EngineDead, VlmJudgeError
from backend.settings import Settings

LOCAL = "local"
"""Instead of an address: a Ray on this machine, for as long as the command runs."""
MOST_BLOCKS = 10_000
"""Parts are dealt singly up to so many, and several at a time beyond."""
_STORE_BYTES = 128 * 2**20
"""Shared memory of a local Ray; only the names of parts go through it."""
_KNOCK_S = 10.0
_DEAD_ENGINE = 70
"""Exit status of an actor whose engine is dead."""


@dataclass(frozen=True, slots=True)
class RayOptions:
    """Where and how broadly."""

    address: str = LOCAL
    """`auto` or `host:port` of the head, on a machine of the cluster; or `local`."""
    actors: int | None = None
    """None is one per GPU, for the remote engine one per machine, and on CPUs one for every two."""


class PartActor:
    """What runs in each of Ray's actors: an engine that is loaded once, and judges what parts it is dealt."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._judge: PartJudge | None = None
        self._loading = threading.Lock()
        self._rows = 0
        """Judged since it was started."""

    def __call__(self, batch: Mapping[str, Any]) -> dict[str, list[str]]:
        """Judge the parts in the batch's column `part`; what they came to, or what is wrong, as the column `done`.

        When its engine is dead it ends, and Ray starts it anew and deals it the part again; but not if it got nowhere
        since it was started, because then it never would.
        """
        return {"done": [self._done(text) for text in batch["part"]]}

    def _done(self, text: str) -> str:
        try:
            return json.dumps(asdict(self._loaded().judge(_part(text), self._count)))
        except VlmJudgeError as exc:  # told as it is: Ray would wrap it up in a page of its own
            if isinstance(exc, EngineDead) and self._rows:
                os._exit(_DEAD_ENGINE)
            return json.dumps({"error": str(exc)})

    def _loaded(self) -> PartJudge:
        with self._loading:
            if self._judge is None:
                self._judge = PartJudge(self._job)
            return self._judge

    def _count(self, rows: int) -> None:
        self._rows += rows


def judge_on_ray(
    settings: Settings, options: BatchOptions, ray_options: RayOptions, told: Told | None = None
) -> BatchRun:
    """Judge all rows that are not judged yet. Raises BatchError or EngineError, and then what is judged is kept.

    Ctrl-C ends it with what is judged kept.
    """
    told = told or Told()
    _require_ray()
    with alone(options.out.absolute()):
        batch = prepare(settings, options)
        if batch.source.rows is None:
            raise BatchError(
                f"{batch.source.name} can only be read from its beginning to its end, which is no work for several; "
                f"give its Parquet form, {batch.source.name}@refs/convert/parquet, or do without --ray"
            )
        tally = Tally(batch, told)
        parts = tuple(batch.todo())
        try:
            if parts:
                with _connected(ray_options):
                    _deal(parts, batch, ray_options, tally)
            return tally.result()
        except KeyboardInterrupt:
            return tally.result(interrupted=True)


def _deal(parts: tuple[Part, ...], batch: Batch, options: RayOptions, tally: Tally) -> None:
    """Have Ray Data deal the parts to actors, and count what comes back.

    By its own rules Ray starts an actor anew that was lost, and deals its parts again, without end.
    """
    import ray
    import ray.data

    gpus = _gpus_each(batch.job.settings)
    actors = options.actors or _usual_actors(batch.job.settings, gpus)
    tally.told.said(f"{len(parts)} parts to judge by {actors} actors{' with a GPU each' if gpus else ''}")
    names = [{"part": json.dumps(asdict(part))} for part in parts]
    dealt = ray.data.from_items(names, override_num_blocks=min(len(names), MOST_BLOCKS)).map_batches(
        PartActor,
        fn_constructor_args=(batch.job,),
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(
            size=actors,
            max_tasks_in_flight_per_actor=PARTS_AT_ONCE,
            max_concurrent_calls_per_actor=PARTS_AT_ONCE,
            enable_true_multi_threading=True,
        ),
        num_cpus=1,
        num_gpus=gpus,
    )
    try:
        for row in dealt.iter_rows():
            done = _done(row["done"])
            tally.add(done)
            tally.tell(done.rows)
    except ray.exceptions.RayError as exc:
        first = str(exc).strip().split("\n")[0]
        raise BatchError(f"Ray gave up ({type(exc).__name__}: {first}); start again, what is judged is kept") from exc


def _gpus_each(settings: Settings) -> int:
    """One where the engine runs the model itself and the cluster has GPUs."""
    has_gpus = _cluster().get("GPU", 0) >= 1
    return int(settings.engine == "local" and settings.device != "cpu" and has_gpus)


def _usual_actors(settings: Settings, gpus: int) -> int:
    has = _cluster()
    if gpus:
        return int(has["GPU"])
    if settings.engine == "remote":
        return len([name for name in has if name.startswith("node:") and name != "node:__internal_head__"]) or 1
    return max(1, int(has.get("CPU", 1)) // 2)


def _cluster() -> dict[str, float]:
    """What the cluster has: CPUs, GPUs, and one entry per machine."""
    import ray

    found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    return found


@contextmanager
def _connected(options: RayOptions) -> Iterator[None]:
    """A Ray that is spoken to until the block ends: a cluster, or one of our own on this machine.

    Our own is reached by 127.0.0.1 and with a token that nobody else has, has no dashboard and reports nothing to its
    makers. Raises BatchError.
    """
    if options.address == LOCAL:
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    _knock(options.address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it complains of its own doings on our standard error
    import ray
    import ray.data

    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):  # its files keep their level
            handler.setLevel(logging.ERROR)
    own: dict[str, Any] = {
        "include_dashboard": False,
        "_node_ip_address": "127.0.0.1",
        "object_store_memory": _STORE_BYTES,
        "num_cpus": max(os.cpu_count() or 1, options.actors or 1),
    }
    place: dict[str, Any] = own if options.address == LOCAL else {}
    try:
        ray.init(address=options.address, log_to_driver=False, logging_level=logging.ERROR, **place)
    except (ray.exceptions.RayError, ConnectionError, OSError, RuntimeError, ValueError) as exc:
        raise BatchError(
            f"there is no Ray to be had at {options.address}: {exc}; where it asks for a token, set "
            "RAY_AUTH_MODE=token and RAY_AUTH_TOKEN, as for any client of it"
        ) from exc
    ray.data.DataContext.get_current().enable_progress_bars = False
    with redirect_stdout(sys.stderr):  # where Ray says which of its actors were lost
        try:
            yield
        finally:
            ray.shutdown()


def _knock(address: str) -> None:
    """See whether somebody listens there: Ray itself would try for minutes. Raises BatchError."""
    if address.startswith("ray://"):
        raise BatchError(
            f"Ray Data cannot be used by way of Ray's client server at {address}; give the command on a machine of the "
            "cluster, with --ray auto, or there by `ray job submit`"
        )
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK_S).close()
    except (OSError, OverflowError) as exc:
        raise BatchError(f"there is no Ray to be had at {address}: {exc}; see `ray status` on its head") from exc


def _part(text: str) -> Part:
    found = json.loads(str(text))
    return Part(found["number"], tuple(found["files"]), found["start"], found["stop"])


def _done(text: str) -> PartDone:
    """What an actor says of a part. Raises BatchError when it says what is wrong."""
    found = json.loads(text)
    if "error" in found:
        raise BatchError(found["error"])
    return PartDone(**{**found, "away": tuple(found["away"])})


def _require_ray() -> None:
    try:
        import ray.data  # noqa: F401
    except ImportError as exc:
        raise BatchError(
            "Ray is not installed; install it with: pip install 'vlm-judge-label-studio[ray]', or do without --ray"
        ) from exc
