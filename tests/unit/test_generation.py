"""`backend.generation`: real files, a real HTTP server, real datasets, and a scripted author."""

from __future__ import annotations

import csv
import io
import json
import random
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from backend.cli import main
from backend.core.rubric import Requests
from backend.core.types import Reply, Unwritten, Written
from backend.engines.base import Engine, EngineIdentity, WriteRequest
from backend.engines.rubrics import default_rubric
from backend.engines.scripted import ScriptedEngine
from backend.errors import EngineError, GenerationError, SettingsError
from backend.generation.candidates import Kind
from backend.generation.duplicates import PictureIndex, alike
from backend.generation.gather import Gathered
from backend.generation.generators import chosen_generators
from backend.generation.run import GenerateOptions, GenerationRun, gather_images, image_address, write_tasks
from backend.generation.sources import SourceOptions, kind_of
from backend.generation.styles import STYLES, chosen_styles
from backend.interfaces import default_label_config
from backend.looks import look
from backend.progress import plain_progress
from backend.projects import read_tasks
from backend.settings import Settings

WORDED = default_rubric().model_copy(
    update={"requests": Requests(caption="Describe it.", vqa="Ask about it.", ocr="Read it.")}
)


def picture(seed: int) -> Image.Image:
    """Rough coloured blots, unlike those of any other seed."""
    rng = random.Random(seed)
    small = Image.new("RGB", (6, 6))
    small.putdata([tuple(rng.randrange(256) for _ in range(3)) for _ in range(36)])
    return small.resize((120, 90), Image.Resampling.BICUBIC)


def encoded(image: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def saved(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(picture(seed)))
    return path


def by_number(request: WriteRequest) -> Reply:
    """Words that depend on the picture and on the seed, the same for every greedy reply."""
    mark = sha256(request.images[0].tobytes()).hexdigest()[:6]
    words = "likely" if request.temperature == 0 else " ".join(f"{request.seed:x}" * 3)
    value = {"text": f"{mark} {words}"}
    if request.writing.id == "vqa":
        value = {"question": f"What is {mark}?", "answer": words}
    return Written(request.writing, json.dumps(value))


class NamedEngine(ScriptedEngine):
    """Called as it is told."""

    def __init__(self, name: str, author: Callable[[WriteRequest], Reply]) -> None:
        super().__init__(rubric=WORDED, author=author)
        self._name = name

    @property
    def identity(self) -> EngineIdentity:
        return replace(super().identity, name=self._name)


@dataclass
class Bench:
    """One output folder, and the engines that were made for it."""

    folder: Path
    author: Callable[[WriteRequest], Reply] = by_number
    settings: Settings = field(default_factory=lambda: Settings(image_hosts=("127.0.0.1",)))
    engines: list[ScriptedEngine] = field(default_factory=list)

    @property
    def out(self) -> Path:
        return self.folder / "out" / "tasks.jsonl"

    def make(self, settings: Settings) -> Engine:
        name = settings.model.rsplit("/", 1)[-1] if settings.engine == "local" else settings.engine
        self.engines.append(NamedEngine(name, self.author))
        return self.engines[-1]

    @property
    def wrote(self) -> list[WriteRequest]:
        return [request for engine in self.engines for request in engine.wrote]

    def gather(self, images: Path | str, **changes: Any) -> Gathered:
        return gather_images(self.settings, GenerateOptions(str(images), self.out, **changes))

    def run(self, images: Path | str, models: tuple[str, ...] = (), **changes: Any) -> GenerationRun:
        options = GenerateOptions(str(images), self.out, **changes)
        generators = chosen_generators(self.settings, models, options.kind, self.make)
        return write_tasks(self.settings, options, gather_images(self.settings, options), generators)

    def answer_for_the_command(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Have `generate` take these engines."""
        chosen = partial(chosen_generators, make=self.make)
        monkeypatch.setattr("backend.generation.generators.chosen_generators", chosen)

    def data(self) -> list[dict[str, Any]]:
        return [json.loads(line)["data"] for line in self.out.read_text().splitlines()]

    def lines(self, name: str) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self.out.parent / name).read_text().splitlines()]

    def statuses(self) -> dict[str, str]:
        return {line["source"]: line["status"] for line in self.lines("manifest.jsonl")}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


@dataclass
class Server:
    files: dict[str, bytes] = field(default_factory=dict)
    seen: list[str] = field(default_factory=list)
    port: int = 0

    def put(self, path: str, content: bytes) -> str:
        self.files[path] = content
        return f"http://127.0.0.1:{self.port}{path}"


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            server.seen.append(self.path)
            content = server.files.get(self.path)
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            self.wfile.write(content or b"")

        def log_message(self, *args: object) -> None:
            pass

    listening = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.port = listening.server_port
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    listening.shutdown()
    thread.join()
    listening.server_close()


class TestFolder:
    def test_images_are_kept_by_hash_and_described(self, bench: Bench) -> None:
        first = saved(bench.folder / "photos" / "b.png", 1)
        second = bench.folder / "photos" / "deep" / "a.JPG"
        second.parent.mkdir()
        second.write_bytes(encoded(picture(2), "JPEG"))
        (bench.folder / "photos" / "notes.txt").write_text("no image")
        gathered = bench.gather(bench.folder / "photos", sources=SourceOptions(licence="CC0-1.0"))
        assert (gathered.total, len(gathered.used), gathered.duplicates, gathered.failures) == (2, 2, 0, ())
        by_source = {line["source"]: line for line in bench.lines("manifest.jsonl")}
        assert list(by_source) == ["photos/b.png", "photos/deep/a.JPG"]
        digest = sha256(second.read_bytes()).hexdigest()
        jpeg = by_source["photos/deep/a.JPG"]
        looks = {"phash": jpeg.pop("phash"), "colours": jpeg.pop("colours")}
        assert {name: len(value) for name, value in looks.items()} == {"phash": 16, "colours": 96}
        assert jpeg == {
            "source": "photos/deep/a.JPG",
            "status": "used",
            "reason": "",
            "licence": "CC0-1.0",
            "sha256": digest,
            "bytes": second.stat().st_size,
            "width": 120,
            "height": 90,
            "mime": "image/jpeg",
            "path": f"images/{digest}.jpg",
        }
        assert (bench.out.parent / jpeg["path"]).read_bytes() == second.read_bytes()
        assert (bench.out.parent / by_source["photos/b.png"]["path"]).read_bytes() == first.read_bytes()

    def test_near_duplicates_and_unreadable_files_are_counted(self, bench: Bench) -> None:
        photos = bench.folder / "photos"
        saved(photos / "1.png", 1)
        saved(photos / "2-same.png", 1)
        (photos / "3-jpeg.jpg").write_bytes(encoded(picture(1).resize((90, 68)), "JPEG", quality=70))
        (photos / "4-broken.png").write_bytes(b"\x89PNG nothing")
        saved(photos / "5.png", 5)
        gathered = bench.gather(photos)
        assert bench.statuses() == {
            "photos/1.png": "used",
            "photos/2-same.png": "duplicate",
            "photos/3-jpeg.jpg": "duplicate",
            "photos/4-broken.png": "failed",
            "photos/5.png": "used",
        }
        assert (gathered.total, len(gathered.used), gathered.duplicates) == (5, 2, 2)
        assert [failure.reason for failure in gathered.failures] == [
            "photos/4-broken.png is a PNG whose beginning is damaged; use PNG, JPEG, WebP, GIF, BMP, TIFF or AVIF"
        ]
        reasons = {line["source"]: line["reason"] for line in bench.lines("manifest.jsonl")}
        assert reasons["photos/3-jpeg.jpg"] == "looks like photos/1.png"

    def test_our_own_output_inside_the_folder_is_no_source(self, bench: Bench) -> None:
        saved(bench.folder / "1.png", 1)
        images = (bench.out.parent / "images",)
        for _ in range(2):
            gathered = bench.gather(bench.folder, sources=SourceOptions(besides=images))
            assert [record.source for record in gathered.used] == [f"{bench.folder.name}/1.png"]

    def test_too_many_bytes_or_pixels_fail_one_image(self, bench: Bench) -> None:
        photos = bench.folder / "photos"
        saved(photos / "1.png", 1)
        (photos / "2-wide.png").write_bytes(encoded(Image.new("RGB", (200, 100))))
        (photos / "3-heavy.bmp").write_bytes(encoded(picture(3), "BMP"))
        bench.settings = Settings(max_image_bytes=30_000, max_image_pixels=15_000)
        gathered = bench.gather(photos)
        assert [failure.reason for failure in gathered.failures] == [
            "photos/2-wide.png has 200 x 100 = 20000 pixels, more than the 15000 allowed; make it smaller or raise "
            "VLM_JUDGE_MAX_IMAGE_PIXELS",
            "photos/3-heavy.bmp has more than the 30000 bytes allowed; make it smaller or raise "
            "VLM_JUDGE_MAX_IMAGE_BYTES",
        ]

    def test_a_changed_file_is_seen_and_a_mended_one_used(self, bench: Bench) -> None:
        photos = bench.folder / "photos"
        saved(photos / "1.png", 1)
        (photos / "2.png").write_bytes(b"broken")
        assert bench.gather(photos).total == 2
        saved(photos / "1.png", 3)
        saved(photos / "2.png", 2)
        gathered = bench.gather(photos)
        assert [record.sha256 for record in gathered.used] == [
            sha256(encoded(picture(seed))).hexdigest() for seed in (3, 2)
        ]
        assert bench.statuses() == {"photos/1.png": "used", "photos/2.png": "used"}

    def test_limit_ends_the_search(self, bench: Bench) -> None:
        for seed in range(5):
            saved(bench.folder / "photos" / f"{seed}.png", seed)
        assert [record.source for record in bench.gather(bench.folder / "photos", limit=2).used] == [
            "photos/0.png",
            "photos/1.png",
        ]

    def test_nothing_usable_is_an_error(self, bench: Bench) -> None:
        photos = bench.folder / "photos"
        photos.mkdir()
        with pytest.raises(GenerationError, match=r"none of the 0 images of .*photos can be used; is this the right"):
            bench.gather(photos)
        (photos / "1.png").write_bytes(b"")
        with pytest.raises(GenerationError, match=r"none of the 1 images .* the first: photos/1\.png is empty"):
            bench.gather(photos)

    def test_the_manifests_own_name_is_refused(self, bench: Bench) -> None:
        options = GenerateOptions("photos", bench.folder / "manifest.jsonl")
        with pytest.raises(SettingsError, match=r"manifest\.jsonl is where the images are listed; choose another name"):
            gather_images(Settings(), options)

    def test_a_place_that_is_not_there(self) -> None:
        with pytest.raises(GenerationError, match=r"no/such/folder is not there; give a folder of images, a list"):
            kind_of("no/such/folder")


class TestAddresses:
    def listed(self, bench: Bench, server: Server) -> tuple[Path, list[str]]:
        addresses = [
            server.put("/1.png", encoded(picture(1))),
            server.put("/page", b"<html>login</html>"),
            f"http://127.0.0.1:{server.port}/gone.png",
            "photos/local.png",
            server.put("/2.webp", encoded(picture(2), "WEBP")),
        ]
        path = bench.folder / "list.txt"
        path.write_text("# pictures\n\n" + "\n".join([*addresses, addresses[0]]) + "\n")
        return path, addresses

    def test_are_fetched_once_and_failures_listed(self, bench: Bench, server: Server) -> None:
        path, addresses = self.listed(bench, server)
        gathered = bench.gather(path)
        assert (gathered.total, len(gathered.used), gathered.duplicates, len(gathered.failures)) == (6, 2, 1, 3)
        assert bench.statuses() == dict(zip(addresses, ["used", "failed", "failed", "failed", "used"], strict=True))
        reasons = [failure.reason for failure in gathered.failures]
        assert "a web page, perhaps a login page" in reasons[0]
        assert reasons[1].endswith("does not have it (status 404)")
        assert reasons[2] == "'photos/local.png' is not a web address; give http or https addresses"
        assert sorted(server.seen) == ["/1.png", "/2.webp", "/gone.png", "/page"]

    def test_a_second_run_fetches_only_what_failed(self, bench: Bench, server: Server) -> None:
        path, addresses = self.listed(bench, server)
        first = bench.gather(path)
        server.seen.clear()
        server.put("/gone.png", encoded(picture(3)))
        second = bench.gather(path)
        assert sorted(server.seen) == ["/gone.png", "/page"]
        assert [record.source for record in second.used] == [addresses[0], addresses[2], addresses[4]]
        assert {record.sha256 for record in first.used} < {record.sha256 for record in second.used}

    def test_a_stored_file_that_was_removed_is_fetched_again(self, bench: Bench, server: Server) -> None:
        path, _ = self.listed(bench, server)
        (bench.out.parent / bench.gather(path).used[0].path).unlink()
        server.seen.clear()
        bench.gather(path)
        assert "/1.png" in server.seen
        assert "/2.webp" not in server.seen

    def test_private_hosts_are_refused_as_everywhere(self, bench: Bench, server: Server) -> None:
        path, _ = self.listed(bench, server)
        bench.settings = Settings()
        with pytest.raises(GenerationError, match=r"is the private address 127\.0\.0\.1, .* VLM_JUDGE_IMAGE_HOSTS"):
            bench.gather(path)
        assert server.seen == []

    def test_columns_of_csv_and_json_lines(self, bench: Bench, server: Server) -> None:
        rows = [
            {"url": server.put("/1.png", encoded(picture(1))), "license": "CC-BY-4.0"},
            {"url": server.put("/2.png", encoded(picture(2))), "license": ""},
        ]
        table, lines = bench.folder / "list.csv", bench.folder / "list.jsonl"
        with table.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["url", "license"])
            writer.writeheader()
            writer.writerows(rows)
        lines.write_text("".join(json.dumps({"picture": row["url"], "terms": row["license"]}) + "\n" for row in rows))
        expected = [(row["url"], row["license"] or "unknown") for row in rows]
        for path, options in (
            (table, SourceOptions(licence="unknown")),
            (lines, SourceOptions("picture", "terms", "unknown")),
        ):
            found = bench.gather(path, sources=options).used
            assert [(record.source, record.licence) for record in found] == expected

    @pytest.mark.parametrize(
        ("name", "text", "reason"),
        [
            (
                "a.csv",
                "link\nhttp://x/y\n",
                r"a\.csv, row 1 has no image, url, image_url, address, only link; name the",
            ),
            ("a.jsonl", '{"image": "http://x"}\n{oops\n', r"a\.jsonl, line 2 is not JSON"),
            ("a.jsonl", '["http://x"]\n', r"a\.jsonl, line 1: expected an object"),
            ("a.json", "[]", r"a\.json: addresses are read from JSON lines, text or CSV"),
        ],
    )
    def test_wrong_lists_say_where(self, bench: Bench, name: str, text: str, reason: str) -> None:
        (bench.folder / name).write_text(text)
        bench.settings = Settings(fetch_timeout_s=0.2)
        with pytest.raises(GenerationError, match=reason):
            bench.gather(bench.folder / name)


class TestDatasets:
    def parquet(self, folder: Path, count: int = 3) -> Path:
        from datasets import Dataset, Features, Value
        from datasets import Image as ImageFeature

        rows = {
            "picture": [{"bytes": encoded(picture(seed)), "path": None} for seed in range(count)],
            "license": ["CC0-1.0", "", "CC-BY-4.0"][:count],
            "n": list(range(count)),
        }
        features = Features({"picture": ImageFeature(), "license": Value("string"), "n": Value("int64")})
        folder.mkdir()
        dataset = Dataset.from_dict(rows, features=features)
        dataset.to_parquet(folder / "train.parquet")
        return folder

    @pytest.mark.parametrize("part", ["", "train.parquet"])
    def test_parquet(self, bench: Bench, part: str) -> None:
        folder = self.parquet(bench.folder / "data")
        gathered = bench.gather(folder / part)
        name = part or "data"
        assert [(record.source, record.licence, record.sha256) for record in gathered.used] == [
            (f"{name}/train/{seed}", licence, sha256(encoded(picture(seed))).hexdigest())
            for seed, licence in enumerate(["CC0-1.0", "", "CC-BY-4.0"])
        ]

    def test_saved_to_disk(self, bench: Bench) -> None:
        from datasets import Dataset, DatasetDict

        self.parquet(bench.folder / "data")
        dataset = Dataset.from_parquet(str(bench.folder / "data" / "train.parquet"), cache_dir=str(bench.folder / "c"))
        DatasetDict({"test": dataset}).save_to_disk(bench.folder / "saved")
        gathered = bench.gather(bench.folder / "saved", sources=SourceOptions(split="test"), limit=2)
        assert [record.source for record in gathered.used] == ["saved/test/0", "saved/test/1"]
        with pytest.raises(GenerationError, match=r"saved has no split train, only test; choose with --split"):
            bench.gather(bench.folder / "saved")

    def test_a_column_of_addresses(self, bench: Bench, server: Server) -> None:
        from datasets import Dataset

        folder = bench.folder / "data"
        folder.mkdir()
        address = server.put("/1.png", encoded(picture(1)))
        Dataset.from_dict({"url": [address]}).to_parquet(folder / "train.parquet")
        assert [record.source for record in bench.gather(folder).used] == [address]

    def test_files_that_are_not_the_datasets_own_are_left_alone(self, bench: Bench) -> None:
        from backend.generation.sources import _from_row

        options, own = SourceOptions(), "hf://datasets/a/b@main/1.jpg"
        for value in ("/etc/x.png", "file:///etc/x.png", "zip://x.png::/etc/x.zip", "ftp://h/x.png", "memory://x"):
            item = _from_row("s", {"image": {"bytes": None, "path": value}}, "image", options, local=False)
            assert (item.file, item.address) == (None, value)
        for value in (own, f"zip://1.jpg::{own}"):
            item = _from_row("s", {"image": {"bytes": None, "path": value}}, "image", options, local=False)
            assert (item.file, item.address) == (value, None)

    def test_paths_of_a_dataset_on_this_machine(self, bench: Bench) -> None:
        from datasets import Dataset

        folder = bench.folder / "data"
        folder.mkdir()
        paths = [str(saved(bench.folder / "x" / "1.png", 1)), str(bench.folder / "gone.png"), ""]
        Dataset.from_dict({"image": paths}).to_parquet(folder / "train.parquet")
        gathered = bench.gather(folder)
        assert [record.source for record in gathered.used] == ["data/train/0"]
        reasons = [failure.reason for failure in gathered.failures]
        assert reasons[0].startswith("cannot read data/train/1: ")
        assert reasons[1] == "'' is not a web address; give http or https addresses"

    def test_a_column_that_is_not_there(self, bench: Bench) -> None:
        folder = self.parquet(bench.folder / "data")
        with pytest.raises(GenerationError, match=r"data has no image, only picture, license, n; name the column"):
            bench.gather(folder, sources=SourceOptions(image_column="image"))


class TestLikeness:
    def test_colour_counts(self) -> None:
        red, blue = (Image.new("RGB", (224, 224), "white") for _ in range(2))
        red.paste((220, 30, 30), (60, 60, 120, 120))
        blue.paste((30, 30, 220), (60, 60, 120, 120))
        assert look(red)[0] == look(blue)[0]
        index = PictureIndex()
        index.add("red", *look(red))
        assert index.find(*look(blue)) is None
        assert index.find(*look(red.resize((200, 200)))) == "red"

    def test_distance_is_in_bits(self) -> None:
        colours = "80" * 48
        for distance, expected in ((3, None), (4, "a")):
            index = PictureIndex(distance)
            index.add("a", "0" * 16, colours)
            assert index.find("000000000000000f", colours) == expected

    def test_many_pictures(self) -> None:
        index = PictureIndex(0)
        for number in range(200):
            index.add(str(number), f"{number:016x}", "00" * 48)
        assert [index.find(f"{number:016x}", "10" * 48) for number in (0, 63, 64, 199, 200)] == [
            "0",
            "63",
            "64",
            "199",
            None,
        ]

    def test_texts(self) -> None:
        before = ("Two dogs  on a BEACH.", "A cat.")
        assert alike("two dogs on a beach.", before) == "Two dogs  on a BEACH."
        # 20 letters each, three replaced, three put in: 100 * (1 - 6 / 40) = 85
        assert alike("Six dogs on a beach.", before) is None
        assert alike("Six dogs on a beach.", before, ratio=85) == "Two dogs  on a BEACH."
        assert alike("Anything", ()) is None


class TestCandidates:
    def photos(self, bench: Bench, count: int = 2) -> Path:
        for seed in range(count):
            saved(bench.folder / "photos" / f"{seed}.png", seed)
        return bench.folder / "photos"

    def test_a_place_that_cannot_be_written_to_is_named(self, bench: Bench) -> None:
        """As on a full or foreign disk: here a folder, and a file, stand where the other should be."""
        photos = self.photos(bench)
        bench.out.parent.mkdir()
        (bench.out.parent / "images").write_bytes(b"")
        with pytest.raises(GenerationError, match=r"cannot write .*out/images: .*; make room, or name another --out"):
            bench.gather(photos)
        (bench.out.parent / "images").unlink()
        (bench.out.parent / ".manifest.jsonl.new").mkdir()
        with pytest.raises(GenerationError, match=r"cannot write .*manifest\.jsonl: Is a directory; make room"):
            bench.gather(photos)
        (bench.out.parent / ".manifest.jsonl.new").rmdir()
        (bench.out.parent / ".tasks.run.json.new").mkdir()
        with pytest.raises(GenerationError, match=r"cannot write .*tasks\.run\.json: Is a directory; make room"):
            bench.run(photos)

    def test_the_first_is_greedy_and_the_others_are_sampled(self, bench: Bench) -> None:
        run = bench.run(self.photos(bench), candidates=3, temperature=0.5, sources=SourceOptions(licence="CC0-1.0"))
        assert run.summary() == (
            "2 images = 2 used + 0 duplicate + 0 failed; "
            "6 candidates = 6 written (0 of them before) + 0 duplicate + 0 unwritten"
        )
        assert [request.temperature for request in bench.wrote] == [0.0, 0.5, 0.5] * 2
        assert len({request.seed for request in bench.wrote}) == 6
        assert {(request.instructions, request.fields, request.writing.text) for request in bench.wrote} == {
            ("", "", "Describe it.")
        }
        digest = sha256(encoded(picture(0))).hexdigest()
        mark = sha256(picture(0).tobytes()).hexdigest()[:6]
        assert bench.data()[0] == {
            "image": f"/data/local-files/?d=images/{digest}.png",
            "caption": f"{mark} likely",
            "requested": "",
            "generator": "demo",
            "style": "plain",
            "source": "photos/0.png",
            "licence": "CC0-1.0",
            "image_sha256": digest,
            "candidate": 1,
        }

    def test_seeds_are_the_same_again_and_other_with_another_seed(self, tmp_path: Path) -> None:
        seeds = []
        for name, seed in (("a", 0), ("b", 0), ("c", 1)):
            bench = Bench(tmp_path / name)
            bench.run(self.photos(bench, 1), candidates=3, seed=seed)
            seeds.append([request.seed for request in bench.wrote])
        assert seeds[0] == seeds[1]
        assert set(seeds[0]).isdisjoint(seeds[2])

    @pytest.mark.parametrize(
        ("kind", "fields"), [("vqa", {"question", "answer"}), ("ocr", {"text"}), ("caption", {"caption", "requested"})]
    )
    def test_fields_by_kind(self, bench: Bench, kind: Kind, fields: set[str]) -> None:
        bench.run(self.photos(bench, 1), kind=kind)
        common = {"image", "generator", "style", "source", "licence", "image_sha256", "candidate"}
        assert set(bench.data()[0]) == fields | common

    def test_models_and_styles_multiply(self, bench: Bench) -> None:
        styles = chosen_styles(("plain", "short"), None)
        models = ("acme/writer", "acme/other")
        run = bench.run(self.photos(bench), models, styles=styles, requested="a dog, snow", candidates=2)
        # greedy texts are the same in every style and by both models, sampled ones follow the seed, which models share
        assert (run.candidates, run.written, run.duplicates) == (16, 2 + 4, 6 + 4)
        assert {line["generator"] for line in bench.data()} == {"acme/writer"}
        assert len(bench.engines) == 4  # two to look at, two to write
        assert [len(engine.wrote) for engine in bench.engines] == [0, 0, 8, 8]
        assert {request.writing.text for request in bench.wrote} == {"Describe it.", f"{STYLES['short']}\nDescribe it."}
        assert {line["requested"] for line in bench.data()} == {"a dog, snow"}

    def test_two_generators_of_one_name_are_refused(self, bench: Bench) -> None:
        for parent in ("a", "b"):
            (bench.folder / parent / "writer").mkdir(parents=True)
        models = tuple(str(bench.folder / parent / "writer") for parent in ("a", "b"))
        with pytest.raises(SettingsError, match=r"two of the generators are called writer; rename"):
            chosen_generators(bench.settings, models, "caption", bench.make)

    def test_near_duplicate_texts_are_dropped_across_styles(self, bench: Bench) -> None:
        styles = chosen_styles(("plain", "short"), None)
        run = bench.run(self.photos(bench), styles=styles)
        assert (run.candidates, run.written, run.duplicates, run.unwritten) == (4, 2, 2, 0)
        dropped = bench.lines("tasks.dropped.jsonl")
        assert [(line["style"], line["outcome"]) for line in dropped] == [("short", "duplicate")] * 2
        assert dropped[0]["text"] == bench.data()[0]["caption"]

    def test_a_second_run_writes_only_what_is_missing(self, bench: Bench) -> None:
        photos = self.photos(bench)
        styles = chosen_styles(("plain", "short"), None)
        bench.run(photos, styles=styles)
        before = bench.out.read_text()
        again = bench.run(photos, styles=styles)
        assert bench.out.read_text() == before
        assert again.summary().endswith("4 candidates = 2 written (2 of them before) + 2 duplicate + 0 unwritten")
        more = bench.run(photos, styles=styles, candidates=2)
        assert (more.candidates, more.already, more.written, more.duplicates) == (8, 2, 6, 2)
        assert bench.out.read_text().startswith(before)
        assert len(bench.wrote) == 4 + 4

    def test_a_half_written_line_is_cut_off_and_written_again(self, bench: Bench) -> None:
        photos = self.photos(bench)
        bench.run(photos)
        whole = bench.out.read_text()
        bench.out.write_text(whole[:-20])
        run = bench.run(photos)
        assert (run.written, run.already) == (2, 1)
        assert bench.out.read_text() == whole

    def test_what_was_not_written_is_tried_again(self, bench: Bench) -> None:
        photos = self.photos(bench)

        def shy(request: WriteRequest) -> Reply:
            if request.images[0].tobytes() == picture(0).tobytes():
                return Unwritten(request.writing, "ran out of tokens")
            return by_number(request)

        bench.author = shy
        run = bench.run(photos)
        assert (run.written, run.unwritten) == (1, 1)
        assert [line["reason"] for line in bench.lines("tasks.dropped.jsonl")] == ["ran out of tokens"]
        bench.author = by_number
        run = bench.run(photos)
        assert (run.written, run.already, run.unwritten) == (2, 1, 0)
        assert bench.lines("tasks.dropped.jsonl") == []

    def test_an_engine_that_fails_on_one_request_loses_that_one(self, bench: Bench) -> None:
        def picky(request: WriteRequest) -> Reply:
            if request.images[0].tobytes() == picture(1).tobytes():
                raise EngineError("out of memory")
            return by_number(request)

        bench.author = picky
        run = bench.run(self.photos(bench, 3))
        assert (run.written, run.unwritten) == (2, 1)
        assert [line["reason"] for line in bench.lines("tasks.dropped.jsonl")] == ["out of memory"]

    @pytest.mark.parametrize(
        ("value", "reason"),
        [({"text": "  "}, "the reply leaves caption empty"), ({"text": "a\ud83d"}, "the reply holds half a character")],
    )
    def test_replies_that_make_no_task(self, bench: Bench, value: dict[str, str], reason: str) -> None:
        def author(request: WriteRequest) -> Reply:
            is_first = request.images[0].tobytes() == picture(0).tobytes()
            return Written(request.writing, json.dumps(value)) if is_first else by_number(request)

        bench.author = author
        assert bench.run(self.photos(bench)).unwritten == 1
        assert bench.lines("tasks.dropped.jsonl")[0]["reason"].startswith(reason)

    @pytest.mark.parametrize(("count", "tried"), [(2, 2), (40, 32)])
    def test_an_engine_that_cannot_write_is_an_error(self, bench: Bench, count: int, tried: int) -> None:
        bench.author = lambda request: Unwritten(request.writing, "cannot write")
        with pytest.raises(EngineError, match=rf"^demo wrote none of {tried} texts; the last reason: cannot write$"):
            bench.run(self.photos(bench, count))
        assert len(bench.wrote) == tried

    def test_empty_replies_are_not_held_against_the_engine(self, bench: Bench) -> None:
        """Forty pictures in which nothing is written, and then one in which something is."""
        last = picture(40).tobytes()
        bench.author = lambda request: Written(
            request.writing, json.dumps({"text": "EXIT" if request.images[0].tobytes() == last else ""})
        )
        photos = self.photos(bench, 40)
        with pytest.raises(GenerationError, match=r"no reply of 40 makes a task; .*tasks\.dropped\.jsonl"):
            bench.run(photos, kind="ocr")
        saved(photos / "last.png", 40)
        run = bench.run(photos, kind="ocr")
        assert (run.candidates, run.written, run.unwritten) == (41, 1, 40)

    def test_a_stored_file_that_is_gone_costs_its_own_texts(self, bench: Bench) -> None:
        options = GenerateOptions(str(self.photos(bench)), bench.out)
        generators = chosen_generators(bench.settings, (), "caption", bench.make)
        gathered = gather_images(bench.settings, options)
        (bench.out.parent / gathered.used[0].path).unlink()
        run = write_tasks(bench.settings, options, gathered, generators)
        assert (run.written, run.unwritten) == (1, 1)
        assert bench.lines("tasks.dropped.jsonl")[0]["reason"].startswith("cannot read ")

    def test_a_rubric_without_the_wording_is_an_error(self, bench: Bench) -> None:
        silent = ScriptedEngine(rubric=WORDED.model_copy(update={"requests": Requests()}))
        with pytest.raises(
            EngineError, match=r"the engine scripted cannot be asked for ocr: the rubric .* requests\.ocr"
        ):
            chosen_generators(Settings(), (), "ocr", lambda settings: silent)

    @pytest.mark.parametrize(
        ("changes", "reason"),
        [
            ({"temperature": 1.5}, r"temperature was 0\.8 and is 1\.5 now"),
            ({"styles": {"plain": "Shout."}}, r"the request of demo in the style plain was 'Describe it\.' and is"),
        ],
    )
    def test_other_settings_are_refused(self, bench: Bench, changes: dict[str, Any], reason: str) -> None:
        photos = self.photos(bench)
        bench.run(photos)
        with pytest.raises(GenerationError, match=reason):
            bench.run(photos, **changes)

    def test_foreign_output_is_left_alone(self, bench: Bench) -> None:
        photos = self.photos(bench)
        bench.out.parent.mkdir()
        bench.out.write_text('{"data": {"image": "x", "caption": "mine"}}\n')
        with pytest.raises(GenerationError, match=r"tasks\.jsonl, line 1 is no generated caption task; choose another"):
            bench.run(photos)
        assert bench.out.read_text() == '{"data": {"image": "x", "caption": "mine"}}\n'
        assert sorted(path.name for path in bench.out.parent.iterdir()) == ["images", "manifest.jsonl", "tasks.jsonl"]

    def test_a_foreign_list_of_dropped_candidates_is_left_alone(self, bench: Bench) -> None:
        photos = self.photos(bench)
        bench.out.parent.mkdir()
        bench.out.with_suffix(".dropped.jsonl").write_text('{"mine": 1}\n')
        with pytest.raises(GenerationError, match=r"dropped\.jsonl, line 1 is no dropped candidate; choose another"):
            bench.run(photos)
        assert bench.out.with_suffix(".dropped.jsonl").read_text() == '{"mine": 1}\n'

    def test_addresses_are_kept_on_request(self, bench: Bench, server: Server) -> None:
        path = bench.folder / "list.txt"
        path.write_text(server.put("/1.png", encoded(picture(1))))
        bench.run(path, keep_addresses=True)
        assert bench.data()[0]["image"] == f"http://127.0.0.1:{server.port}/1.png"

    def test_generators_are_models_of_the_local_engine_unless_another_is_named(self, bench: Bench) -> None:
        folder = bench.folder / "my-writer"
        folder.mkdir()
        models = ("Qwen/Qwen2.5-VL-3B-Instruct", str(folder), "demo", "Qwen/Qwen2.5-VL-3B-Instruct")
        chosen = chosen_generators(bench.settings, models, "caption", bench.make)
        assert [(one.name, one.settings.engine) for one in chosen] == [
            ("Qwen/Qwen2.5-VL-3B-Instruct", "local"),
            ("my-writer", "local"),
            ("demo", "demo"),
        ]
        assert [one.settings.model for one in chosen[:2]] == list(models[:2])


class TestAddressOfAnImage:
    @given(st.lists(st.text("ab ?&=#%é+", min_size=1, max_size=5).filter(str.strip), max_size=3))
    def test_is_the_path_below_the_document_root(self, parts: list[str]) -> None:
        from urllib.parse import parse_qs, urlsplit

        options = GenerateOptions("x", Path("/srv/files", *parts, "t.jsonl"), document_root=Path("/srv/files"))
        address = urlsplit(image_address(options, "images/a.png"))
        assert address.path == "/data/local-files/"
        assert parse_qs(address.query) == {"d": ["/".join([*parts, "images/a.png"])]}

    def test_outside_it_is_refused(self, bench: Bench) -> None:
        with pytest.raises(SettingsError, match=r"tasks\.jsonl is not below /srv/files, where Label Studio serves"):
            bench.gather(bench.folder, document_root=Path("/srv/files"))


class TestStyles:
    def test_of_a_file(self, tmp_path: Path) -> None:
        file = tmp_path / "styles.yaml"
        file.write_text("pirate: Talk like a pirate.\nshort: One word.\n")
        assert chosen_styles((), file) == {"pirate": "Talk like a pirate.", "short": "One word."}
        assert chosen_styles(("short", "plain"), file) == {"short": "One word.", "plain": ""}
        assert chosen_styles((), None) == {"plain": ""}

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            ("- short", r"must hold styles, one `name: text` each"),
            ("short: [a]", r"the style 'short' must be a text"),
            ("a: b: c", r"is not valid YAML"),
        ],
    )
    def test_wrong_files(self, tmp_path: Path, text: str, reason: str) -> None:
        (tmp_path / "s.yaml").write_text(text)
        with pytest.raises(SettingsError, match=reason):
            chosen_styles((), tmp_path / "s.yaml")

    def test_unknown_name(self) -> None:
        with pytest.raises(SettingsError, match=r"--style loud is not known; known are plain, short, detailed,"):
            chosen_styles(("loud",), None)


def test_the_output_is_what_label_studio_imports(bench: Bench) -> None:
    """Every task satisfies the default interface, for whatever texts an author writes."""
    from label_studio_sdk.label_interface.interface import LabelInterface

    texts = iter(["Zwei Hunde, „nass“.", "line\nbreak\u2028and more", '"quoted" \\ back', "犬が二匹。", "a" * 3000])
    bench.author = lambda request: Written(request.writing, json.dumps({"text": next(texts)}))
    for seed in range(5):
        saved(bench.folder / "photos" / f"{seed}.png", seed)
    bench.run(bench.folder / "photos")
    tasks = read_tasks(bench.out)
    interface: Any = LabelInterface(default_label_config())
    assert len(tasks) == 5
    assert [interface.validate_task({"id": number, **task}) for number, task in enumerate(tasks)] == [True] * 5


class TestCommand:
    def test_an_engine_that_leaves_everything_unwritten(self, tmp_path: Path) -> None:
        photo = saved(tmp_path / "photos" / "1.png", 1)
        rubric = tmp_path / "rubric.yaml"
        rubric.write_text(json.dumps(WORDED.model_dump(mode="json")))
        command = ["generate", str(photo.parent), "--out", str(tmp_path / "t.jsonl"), "--engine", "scripted"]
        done = CliRunner().invoke(main, [*command, "--rubric", str(rubric)])
        assert (done.exit_code, done.stderr) == (
            1,
            "Error: scripted wrote none of 1 texts; the last reason: the scripted engine was given nothing to write\n",
        )

    @pytest.mark.parametrize("broken", [True, False])
    def test_it_ends_with_1_when_an_image_could_not_be_used(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, broken: bool
    ) -> None:
        photos = saved(bench.folder / "photos" / "1.png", 1).parent
        if broken:
            (photos / "2.png").write_bytes(b"no picture")
        bench.answer_for_the_command(monkeypatch)
        done = CliRunner().invoke(main, ["generate", str(photos), "--out", str(bench.out), "--engine", "scripted"])
        assert (done.exit_code, len(bench.data())) == (1 if broken else 0, 1), done.output

    def test_it_ends_with_1_when_a_text_was_not_written(self, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
        numbers = iter((1, 2))
        bench.author = lambda request: (
            by_number(request) if next(numbers) == 1 else Unwritten(request.writing, "no reply")
        )
        for seed in (1, 2):
            saved(bench.folder / "photos" / f"{seed}.png", seed)
        bench.answer_for_the_command(monkeypatch)
        words = ["generate", str(bench.folder / "photos"), "--out", str(bench.out), "--engine", "scripted"]
        done = CliRunner().invoke(main, words)
        assert (done.exit_code, len(bench.data())) == (1, 1), done.output

    def test_wrong_style_is_told_before_anything_is_read(self, tmp_path: Path) -> None:
        command = ["generate", "nowhere/at/all", "--out", str(tmp_path / "t.jsonl"), "--style", "loud"]
        done = CliRunner().invoke(main, command)
        assert done.exit_code == 1
        assert done.stderr.startswith("Error: --style loud is not known")

    def test_progress_in_a_pipe_is_lines(self, capsys: pytest.CaptureFixture[str]) -> None:
        report = plain_progress("Reading images", every_s=0)
        report(1, None)
        report(2, 5)
        rare = plain_progress("Writing texts")
        rare(1, 5)
        first, second = capsys.readouterr().err.splitlines()
        assert first == "Reading images: 1"
        assert re.fullmatch(r"Reading images: 2 of 5 \(\d+\.\d per s, 0 s left\)", second)
