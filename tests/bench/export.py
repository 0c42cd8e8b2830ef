"""What exporting many rows with images takes, beside the obvious way: one JSON file and `Dataset.from_list`."""

from __future__ import annotations

import argparse
import io
import json
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from backend.bench.record import Cell, Column, Record, record

ROWS = 100_000
SIDE = 256
"""Pixels of an image's side; as a JPEG of noise it has some 20 kB."""
DIFFERENT = 64
"""So many are drawn; their bytes come again too far apart for Parquet's compression to see it."""
TIMEOUT_S = 6 * 3600.0
XML = """<View><Image name="image" value="$image"/><Text name="caption" value="$caption"/>
<Rating name="consistency" toName="caption"/>
<Choices name="verdict" toName="caption"><Choice value="accept"/><Choice value="fix"/></Choices></View>"""
WAYS = {
    "obvious": "one JSON, images one by one, `Dataset.from_list`, `to_parquet`",
    "all": "`vlm-judge export --configs all`",
    "five": "`vlm-judge export`, all five configs",
}
COLUMNS = (
    Column("what", "what"),
    Column("rows", "rows"),
    Column("s", "seconds", 1),
    Column("per_s", "rows a second", 0),
    Column("mib", "MiB at most", 0),
    Column("disk_mib", "MiB written", 0),
)


@dataclass(frozen=True, slots=True)
class Took:
    """One way from its start to the finished folder."""

    seconds: float
    peak_mib: float
    """Most resident memory of its process."""
    disk_mib: float


def measure(rows: int = ROWS) -> Record:
    """Every way once, each in a process of its own, over the same images from a server of this machine."""
    with served_images() as address:
        took = {way: _run(way, rows, address) for way in WAYS}
    return record(
        "Exporting rows with images",
        "python -m tests.bench --only export",
        COLUMNS,
        [_row(WAYS[way], rows, found) for way, found in took.items()],
        notes=(
            f"Every row has an image of its own, a JPEG of {SIDE} x {SIDE} pixels from an HTTP server on the same "
            "machine, and a person's annotation. Reading the project from Label Studio is in none of them.",
            "Ours decodes every image to its last pixel and looks for where it was taken; the obvious way looks at "
            "none of them.",
        ),
    )


def _row(what: str, rows: int, took: Took) -> dict[str, Cell]:
    return {
        "what": what,
        "rows": rows,
        "s": took.seconds,
        "per_s": rows / took.seconds,
        "mib": took.peak_mib,
        "disk_mib": took.disk_mib,
    }


def _run(way: str, rows: int, address: str) -> Took:
    """Raises subprocess.CalledProcessError when it fails, as for lack of memory."""
    with tempfile.TemporaryDirectory(prefix="vlm-judge-bench-") as folder:
        if way == "obvious":
            _write_json(Path(folder) / "export.json", rows, address)
        words = [sys.executable, "-m", "tests.bench.export", way, str(rows), address, folder]
        done = subprocess.run(words, stdout=subprocess.PIPE, text=True, check=True, timeout=TIMEOUT_S)
    return Took(**json.loads(done.stdout.splitlines()[-1]))


@contextmanager
def served_images() -> Iterator[str]:
    """An HTTP server that has an image under every number, each with bytes of its own."""
    some = [_noise(seed) for seed in range(DIFFERENT)]

    class Images(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # a client that waits for a body would wait 40 ms for its second packet
        wbufsize = -1

        def do_GET(self) -> None:
            number = self.path.rsplit("/", 1)[-1].encode()
            whole = some[int(number) % DIFFERENT]
            content = b"".join((whole[:2], b"\xff\xfe", (len(number) + 2).to_bytes(2, "big"), number, whole[2:]))
            self.send_response(200)
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Images)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def _noise(seed: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.frombytes("RGB", (SIDE, SIDE), random.Random(seed).randbytes(3 * SIDE * SIDE)).save(
        buffer, "JPEG", quality=30
    )
    return buffer.getvalue()


def task(number: int, address: str) -> dict[str, Any]:
    """A task as Label Studio exports it."""
    from backend.core.label_config import parse_label_config
    from backend.core.regions import encode
    from backend.core.types import ControlValue

    values = (ControlValue("consistency", "Rating", 1 + number % 5), ControlValue("verdict", "Choices", ("accept",)))
    result = encode(values, parse_label_config(XML))
    return {
        "id": number,
        "data": {"image": f"{address}/{number}", "caption": f"A picture of noise, number {number}."},
        "annotations": [{"id": number, "result": result, "completed_by": 1, "updated_by": 1, "lead_time": 4.0}],
        "predictions": [],
    }


def _write_json(path: Path, rows: int, address: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        for number in range(rows):
            file.write(("[" if number == 0 else ",") + json.dumps(task(number, address)))
        file.write("]")


class Pages:
    """The tasks as the API gives them, 100 a page."""

    def __init__(self, rows: int, address: str) -> None:
        self._rows = rows
        self._address = address

    def annotated_tasks(self, project_id: int) -> Iterator[tuple[dict[str, Any], ...]]:
        """The pages."""
        for start in range(0, self._rows, 100):
            yield tuple(task(number, self._address) for number in range(start, min(start + 100, self._rows)))


def ours(rows: int, address: str, folder: Path, *, only_all: bool) -> None:
    """Our way, without Label Studio before it."""
    from backend.images import ImageLoader
    from backend.settings import Settings
    from backend.studio_types import Project
    from exporters.export import write_export
    from exporters.images.pictures import PictureReader
    from exporters.options import USUAL, ExportOptions
    from exporters.records.consolidate import Policy

    reader = PictureReader(ImageLoader(Settings(image_hosts=("127.0.0.1",))), allow_missing=False)
    options = ExportOptions(("all",)) if only_all else USUAL
    project = Project(1, "Noise", XML, "", rows)
    write_export(
        project, Pages(rows, address), reader, folder / "out", policy=Policy(annotator_key=b"key"), options=options
    )


def obvious(folder: Path) -> None:
    """What one writes in ten minutes."""
    import httpx
    from datasets import Dataset, Image

    rows = []
    with httpx.Client() as client:
        for one in json.loads((folder / "export.json").read_text(encoding="utf-8")):
            said = {region["from_name"]: region["value"] for region in one["annotations"][0]["result"]}
            rows.append(
                {
                    "image": {"bytes": client.get(one["data"]["image"]).content, "path": None},
                    "caption": one["data"]["caption"],
                    "verdict": said["verdict"]["choices"][0],
                    "consistency": said["consistency"]["rating"],
                }
            )
    (folder / "out").mkdir()
    Dataset.from_list(rows).cast_column("image", Image()).to_parquet(folder / "out" / "train.parquet")


def main() -> None:
    """One way in this process; the last line printed is what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("way", choices=WAYS)
    parser.add_argument("rows", type=int)
    parser.add_argument("address")
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    began_s = time.monotonic()
    if given.way == "obvious":
        obvious(given.folder)
    else:
        ours(given.rows, given.address, given.folder, only_all=given.way == "all")
    seconds = time.monotonic() - began_s
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    written = sum(path.stat().st_size for path in (given.folder / "out").rglob("*") if path.is_file())
    print(json.dumps(asdict(Took(seconds, peak_mib, written / 2**20))))


if __name__ == "__main__":
    main()
