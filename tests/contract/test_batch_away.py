"""Rows whose images are away: asked for again, written down as such, judged by the next run; and waited for."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from backend import patience
from backend.batch import judging
from backend.batch.run import BatchOptions, BatchRun, Told, judge_dataset
from backend.batch.shards import PartDone, part_done, shard_path
from backend.errors import EngineError
from backend.settings import Settings
from tests.contract.picture_server import Handler, PictureServer, answer, serving
from tests.datasets_made import judged, png, prediction_of, write_parquet

SETTINGS = Settings(engine="scripted", image_hosts=("127.0.0.1",), image_cache_bytes=0)
AWAY = "`image`: cannot fetch {url}/2.png: {url} answered with status 503"


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(judging, "RETRY_PAUSES_S", (0.01, 0.01))


def judge(source: Path, out: Path, said: list[str] | None = None, patience_s: float = 600.0) -> BatchRun:
    options = BatchOptions(str(source), out, part_rows=4, patience_s=patience_s)
    return judge_dataset(SETTINGS, options, Told(said=(said if said is not None else []).append))


def data(server: PictureServer, folder: Path, count: int) -> Path:
    """A dataset of addresses; image 2 is not served."""
    for number in range(count):
        server.body(f"/{number}.png", png(number))
    server.body("/2.png", b"", 503)
    found = [{"image": f"{server.url}/{number}.png", "caption": f"Dog {number}."} for number in range(count)]
    return write_parquet(folder / "in.parquet", found)


def test_an_image_that_comes_back_in_time_is_judged(tmp_path: Path) -> None:
    with serving() as server:
        source = data(server, tmp_path, 3)
        asked: list[int] = []

        def second_time(handler: Handler) -> None:
            asked.append(1)
            answer(handler, png(2), 200 if len(asked) > 1 else 503)

        server.routes["/2.png"] = second_time
        said: list[str] = []
        run = judge(source, tmp_path / "out", said)
        assert (run.rows, run.judged, run.failed, run.away) == (3, 3, 0, 0)
        assert said == ["1 rows could not be judged for now; trying them again in 0 s"]
        assert server.paths.count("/2.png") == 2
        expected = [prediction_of(f"Dog {n}.", png(n)) for n in range(3)]
        assert [json.loads(row["judge_prediction"]) for row in judged(tmp_path / "out")] == expected


def test_an_image_that_stays_away_is_judged_by_the_next_run_and_nothing_else_is(tmp_path: Path) -> None:
    with serving() as server:
        source = data(server, tmp_path, 6)
        run = judge(source, tmp_path / "out")
        assert (run.rows, run.judged, run.already, run.failed, run.away) == (6, 5, 0, 0, 1)
        assert run.summary().startswith(
            "6 rows = 5 judged + 0 judged before + 0 failed + 1 that may be judged another time: start again (judge "
        )
        assert part_done(shard_path(tmp_path / "out", 0)) == PartDone(0, 4, 1, ("in.parquet#2",))
        failures = [row["judge_failure"] for row in judged(tmp_path / "out")]
        assert failures == [None, None, AWAY.format(url=server.url), None, None, None]
        server.body("/2.png", png(2))
        server.seen.clear()
        again = judge(source, tmp_path / "out")
        assert (again.rows, again.judged, again.already, again.failed, again.away) == (6, 1, 5, 0, 0)
        assert server.paths == ["/2.png"]
        expected = [prediction_of(f"Dog {n}.", png(n)) for n in range(6)]
        assert [json.loads(row["judge_prediction"]) for row in judged(tmp_path / "out")] == expected


def test_where_everything_is_away_the_run_ends_and_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "IN_A_ROW", 3)
    with serving() as server:
        source = data(server, tmp_path, 4)
        for number in range(4):
            server.body(f"/{number}.png", b"", 503)
        with pytest.raises(EngineError) as raised:
            judge(source, tmp_path / "out", patience_s=0)
        assert str(raised.value).startswith("3 rows one after the other could not be judged: task in.parquet#")
        assert str(raised.value).endswith(" answered with status 503; start again later, what is judged is kept")
        assert not shard_path(tmp_path / "out", 0).exists()
        for number in range(4):
            server.body(f"/{number}.png", png(number))
        assert judge(source, tmp_path / "out").judged == 4
