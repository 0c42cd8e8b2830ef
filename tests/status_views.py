"""Moments in a judge's life, as the status page and the metrics show them."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

from backend.status import DeliveryStatus, MemoryStatus, ProjectStatus, StatusView
from backend.vitals import FailureNote, Vitals

STARTED = datetime(2026, 11, 26, 9, 0, tzinfo=UTC)
FRESH = Vitals(
    started_at=STARTED,
    up_s=12.0,
    judged=0,
    recalled=0,
    delivered=0,
    failed=0,
    rate=0.0,
    batches=0,
    idle_s=12.0,
    failures=(),
    requests=(),
)
LOADING = StatusView(
    vitals=FRESH,
    judge="Qwen2.5-VL-7B-Instruct",
    engine="local",
    model="Qwen/Qwen2.5-VL-7B-Instruct",
    engine_state="loading",
    engine_detail=None,
    waiting=0,
    waiting_bytes=0,
    done=0,
    batch_size=8,
    requests_open=0,
    projects=(),
    delivery=DeliveryStatus("off", "LABEL_STUDIO_URL and LABEL_STUDIO_API_KEY are not set"),
    memory=MemoryStatus(1_234_567_890, None, None),
    store=".vlm-judge.sqlite",
    version="0.1.0",
    warnings=(),
)
UP = timedelta(hours=5, minutes=12, seconds=30)
"""How long the judge of the later moments has run."""
REASONS = (
    "the image https://pictures.example.org/spring/0417.jpg cannot be had: 404 Not Found; check the address",
    "the image is 30,000 x 20,000 pixels and 100,000,000 are allowed; make it smaller or raise "
    "VLM_JUDGE_MAX_IMAGE_PIXELS",
    "`caption` is empty; there is nothing to judge",
    "pictures.example.org did not answer within 20 s; it is asked again with the task",
)


def failures(count: int, reasons: tuple[str, ...]) -> tuple[FailureNote, ...]:
    """So many, the newest first, 4, 16, 36 ... s old."""
    at = STARTED + UP
    ages_s = [4 * (index + 1) ** 2 for index in range(count)]
    return tuple(
        FailureNote(
            str(4711 - index), f"task {4711 - index}: {reasons[index % len(reasons)]}", at - timedelta(seconds=age)
        )
        for index, age in enumerate(ages_s)
    )


PROJECTS = (
    ProjectStatus("7", "Captions of the spring set", "Qwen2.5-VL-7B-Instruct-3f9a1c0b77de", 1_240, ()),
    ProjectStatus(
        "12",
        "Receipts",
        "Qwen2.5-VL-7B-Instruct-91be44d0a2c5",
        0,
        (("total_amount", "a Number without bounds has no menu to choose from"),),
    ),
)
BUSY = replace(
    LOADING,
    vitals=replace(
        FRESH,
        up_s=UP.total_seconds(),
        judged=5_231,
        recalled=1_904,
        delivered=4_020,
        failed=4,
        rate=12.44,
        batches=661,
        idle_s=0.4,
        failures=failures(4, REASONS),
        requests=(("answered", 391), ("busy", 2), ("refused", 1)),
    ),
    engine_state="ready",
    waiting=64,
    waiting_bytes=212_345_678,
    done=2_104,
    requests_open=2,
    projects=PROJECTS,
    delivery=DeliveryStatus("delivering", ""),
    memory=MemoryStatus(6_412_345_678, 21_474_836_480, 85_899_345_920),
    store="postgresql://db.example.org/verdicts",
)
IDLE = replace(
    BUSY,
    vitals=replace(BUSY.vitals, failed=0, failures=(), rate=0.0, idle_s=1_860.0),
    waiting=0,
    waiting_bytes=0,
    done=0,
    requests_open=0,
    projects=(replace(PROJECTS[0], owed=0), PROJECTS[1]),
    delivery=DeliveryStatus("idle", ""),
    warnings=("The embedded judge knows drawn boards of coloured shapes and nothing else.",),
)
FAILED = replace(
    LOADING,
    engine_state="failed",
    engine_detail=(
        f"the model in /models/{'very-long-folder-name' * 8} cannot be loaded: <b>CUDA out of memory</b>.\n"
        "Choose a smaller model, or set VLM_JUDGE_DEVICE=cpu."
    ),
    waiting=3,
    waiting_bytes=999,
)
AWAY = replace(
    IDLE,
    vitals=BUSY.vitals,
    projects=(replace(PROJECTS[0], owed=35),),
    delivery=DeliveryStatus("waiting", "Label Studio at http://127.0.0.1:8080 does not answer; next try in 40 s."),
    warnings=(),
)
HOSTILE = (
    "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\"> \u202egnp.exe \ud800"
)
LONG_WORD = "https://pictures.example.org/" + "a1b2c3d4" * 30 + ".jpg"
CROWDED = replace(
    BUSY,
    vitals=replace(BUSY.vitals, failed=143, failures=failures(100, (LONG_WORD, HOSTILE, "word " * 1_000))),
    judge=LONG_WORD,
    model=LONG_WORD,
    waiting=10**9,
    waiting_bytes=10**15,
    projects=(
        ProjectStatus(LONG_WORD, HOSTILE, LONG_WORD, 10**9, ((LONG_WORD, HOSTILE), (HOSTILE, LONG_WORD))),
        *(ProjectStatus("-", "", f"demo-{number}", 0, ()) for number in range(30)),
    ),
    delivery=DeliveryStatus("delivering", HOSTILE),
    store=LONG_WORD,
    version=HOSTILE,
    warnings=(HOSTILE, LONG_WORD),
)
"""What other people write, at its worst: markup, endless words, text that turns around, half a character."""
VIEWS = {"loading": LOADING, "busy": BUSY, "idle": IDLE, "failed": FAILED, "away": AWAY, "crowded": CROWDED}
