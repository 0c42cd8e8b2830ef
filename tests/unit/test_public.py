"""`from backend import Judge`: the judge without a server, on the embedded weights and on canned answers."""

from __future__ import annotations

import base64
import gc
import io
import json
import random
import re
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from backend import Failure, Judge, Sample, Verdict
from backend.assemble import make_service
from backend.core import types
from backend.core.label_config import parse_label_config
from backend.engines.demo.engine import demo_engine
from backend.engines.demo.evaluate import true_decision
from backend.engines.demo.sample import Item, sample_items
from backend.engines.demo.world import draw
from backend.engines.scripted import ScriptedEngine
from backend.errors import EngineError, LabelConfigError, SettingsError, TaskError
from backend.images import ImageLoader
from backend.interfaces import KINDS, default_label_config, label_config_of, sample_tasks
from backend.pictures import ADVICE
from backend.public.results import DecisionProbs, Score, public_verdict
from backend.public.samples import GivenImages, bind_sample
from backend.settings import Settings, load_settings
from tests.contract.picture_server import serving

OWN = """<View><Image name="photo" value="$photo"/><Text name="wanted" value="$wanted"/>
<Choices name="verdict" toName="photo"><Choice value="accept"/><Choice value="fix"/><Choice value="reject"/></Choices>
<Header value="Is it a drawing?"/>
<Choices name="style" toName="photo"><Choice value="photo"/><Choice value="drawing"/></Choices></View>"""


def png(picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()


KINDS_OF_WRONG = ("none", "colour", "unrelated")
GREY = Image.new("RGB", (8, 8), (120, 120, 120))


def board(item: Item) -> Image.Image:
    return draw(item.scene, random.Random(item.drawing_seed))


@pytest.fixture(scope="module")
def demo() -> Iterator[Judge]:
    with Judge("demo") as judge:
        yield judge


@pytest.fixture
def scripted() -> Iterator[Judge]:
    with Judge("scripted", batch_size=4) as judge:
        yield judge


def test_boards_get_the_decisions_they_deserve(demo: Judge) -> None:
    items = [next(item for item in sample_items() if item.example.corruption == kind) for kind in KINDS_OF_WRONG]
    results = demo.judge(
        {"image": board(item), "caption": item.example.caption, "requested": item.example.requested} for item in items
    )
    rubric = demo_engine().default_rubric
    assert [result.decision for result in results if isinstance(result, Verdict)] == [
        true_decision(item.example, rubric) for item in items
    ]


def test_a_wrong_word_is_marked_boxed_and_corrected(demo: Judge) -> None:
    item = next(item for item in sample_items() if item.example.corruption == "colour")
    [claim] = [claim for claim in item.example.claims if not claim.holds]
    [verdict] = demo.judge([Sample(image=board(item), caption=item.example.caption, id="board")])
    assert isinstance(verdict, Verdict)
    assert (verdict.id, verdict.decision) == ("board", "fix")
    assert claim.wrong_words is not None
    assert {span.text for span in verdict.unsupported} == set(claim.wrong_words)
    assert all(item.example.caption[span.start : span.end] == span.text for span in verdict.unsupported)
    assert [box.claim for box in verdict.boxes] == [claim.text]
    assert verdict.correction is not None
    assert verdict.correction != item.example.caption
    assert verdict.fingerprint.startswith("demo-")
    assert str(verdict) == f"fix ({verdict.confidence:.2f}): {verdict.rationale}"


def test_the_judge_is_the_one_of_a_label_studio_project(scripted: Judge, tmp_path: Path) -> None:
    """Same settings, same fingerprint: what was learnt of one holds for the other."""
    service = make_service(load_settings(engine="scripted", store=str(tmp_path / "store.sqlite")))
    for kind in KINDS:
        data = {"kind": kind, **unbound(kind, dict(sample_tasks(kind)[0]["data"]))}
        [verdict] = scripted.judge([data])
        assert isinstance(verdict, Verdict), (kind, verdict)
        assert verdict.fingerprint == service.judging(parse_label_config(label_config_of(kind))).fingerprint, kind
    service.close()


def unbound(kind: str, data: dict[str, Any]) -> dict[str, Any]:
    """A task's data under the names that samples have."""
    image = next(data.pop(key) for key in ("image", "images", "chart", "pages") if key in data)
    if kind == "preference-pair":
        return {"image": image, "question": data["question"], "candidates": [data["text_a"], data["text_b"]]}
    return {"image": image, **data}


def test_what_fails_fails_alone_and_the_order_is_kept(scripted: Judge, tmp_path: Path) -> None:
    good = tmp_path / "good.png"
    GREY.save(good)
    samples: list[Any] = [
        {"image": good, "caption": "A grey square."},
        {"image": tmp_path / "none.png", "caption": "A grey square."},
        {"image": str(good), "caption": "A grey board.", "id": "mine"},
        {"image": b"no picture", "caption": "A grey square."},
        7,
        {"image": good, "question": "Which colour?", "answer": "Grey."},
        {"image": good},
        Sample(image=3, caption="A grey square.", id="odd"),  # type: ignore[arg-type]
        {"caption": "A grey square."},
        {"image": good, "candidates": ["Grey."]},
        {"image": good, "caption": "A grey square.", "kind": "poem"},
        Sample(image=GREY, requested=("a square", "grey")),
    ]
    results = scripted.judge(samples)
    assert [result.id for result in results] == [
        *("0", "1", "mine", "3", "4", "5", "6", "odd", "8", "9", "10", "11"),
    ]
    kinds = ", ".join(KINDS)
    assert {result.id: result.reason for result in results if isinstance(result, Failure)} == {
        "1": f"`image`: cannot read {tmp_path / 'none.png'}: No such file or directory",
        "3": f"`image`: an image of 10 bytes is not an image that can be read; {ADVICE}",
        "4": "a sample is a backend.Sample or a mapping with its fields, not int",
        "6": "there is nothing to judge; give one of candidates, transcription, answer, caption, requested",
        "odd": "`image`: an image is a path, an address, bytes or a Pillow image, not int",
        "8": "a sample of the kind image-text has one image, not 0",
        "9": "`candidates` must be a list of 2 to 10 texts",
        "10": f"there is no kind poem; there are {kinds}",
    }
    assert [result.id for result in results if isinstance(result, Verdict)] == ["0", "mine", "5", "11"]
    assert not any(result.transient for result in results if isinstance(result, Failure))


def test_a_generator_is_judged_in_bounded_memory(scripted: Judge) -> None:
    """With a batch size of 4 at most 32 samples are in hand, and 8 that came early may wait for their turn."""

    taken: list[weakref.ref[Image.Image]] = []
    most = 0

    def alive() -> int:
        return sum(picture() is not None for picture in taken)

    def samples() -> Iterator[dict[str, Any]]:
        for number in range(400):
            picture = Image.new("RGB", (8, 8), (number % 256, number // 256, 0))
            taken.append(weakref.ref(picture))
            yield {"image": picture, "caption": f"Square {number}."}

    names = []
    for result in scripted.stream(samples()):
        names.append(result.id)
        most = max(most, alive())
    gc.collect()
    assert names == [str(number) for number in range(400)]
    assert 4 <= most <= 64
    assert alive() == 0


def test_a_stream_that_is_left_takes_no_more_samples(scripted: Judge) -> None:
    taken = []

    def samples() -> Iterator[dict[str, Any]]:
        for number in range(1000):
            taken.append(number)
            yield {"image": GREY, "caption": f"Square {number}."}

    assert next(iter(scripted.stream(samples()))).id == "0"
    assert len(taken) <= 64


def test_what_the_samples_raise_is_raised_and_the_judge_goes_on(scripted: Judge) -> None:
    def samples() -> Iterator[dict[str, Any]]:
        yield {"image": GREY, "caption": "A square."}
        raise ZeroDivisionError

    results = scripted.stream(samples())
    assert isinstance(next(results), Verdict)
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert isinstance(scripted.judge([{"image": GREY, "caption": "A square."}])[0], Verdict)


def test_threads_share_a_judge(scripted: Judge) -> None:
    said: dict[str, tuple[str, ...]] = {}

    def run(word: str) -> None:
        samples = [{"image": GREY, "caption": f"{word} {number}.", "id": f"{word}{number}"} for number in range(20)]
        said[word] = tuple(result.id for result in scripted.judge(samples))

    threads = [threading.Thread(target=run, args=(word,)) for word in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert said == {word: tuple(f"{word}{number}" for number in range(20)) for word in ("a", "b")}


def test_candidates_are_compared_two_or_more(scripted: Judge) -> None:
    pair, three, none = scripted.judge(
        [
            {"image": GREY, "candidates": ["Grey.", "Blue."]},
            {"image": GREY, "candidates": ["Grey.", "Blue.", "Green."], "question": "Which colour?"},
            {"image": [GREY, GREY], "candidates": ["Grey.", "Blue."]},
        ]
    )
    assert isinstance(pair, Verdict)
    assert isinstance(three, Verdict)
    assert (len(pair.preference), len(three.preference)) == (2, 3)
    assert sum(three.preference) == pytest.approx(1)
    assert (pair.decision, pair.scores) == (None, ())
    assert none == Failure("2", "candidates are compared by one image, not 2")


def test_samples_under_a_label_config_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "own.xml"
    file.write_text(OWN, encoding="utf-8")
    sample = {"photo": GREY, "wanted": "A grey square.", "id": 5}
    with Judge("scripted", label_config=file) as by_file, Judge("scripted", label_config=OWN) as by_text:
        [verdict], [again] = by_file.judge([sample]), by_text.judge([sample])
        [lacking] = by_file.judge([{"wanted": "A grey square."}])
    assert verdict == again
    assert isinstance(verdict, Verdict)
    assert verdict.id == "5"
    assert [filled.value.control for filled in verdict.controls] == ["style"]
    assert lacking == Failure("0", "has nothing in `photo`, which the label config shows as an image")


def test_what_is_wrong_from_the_start_is_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no ready rubric prose; there are"):
        Judge(rubric="prose")
    with pytest.raises(SettingsError, match="colour"):
        Judge(colour="red")
    with pytest.raises(LabelConfigError, match=r"cannot read the label config none\.xml: No such file"):
        Judge(label_config="none.xml")
    with pytest.raises(LabelConfigError, match="shows no image"):
        Judge(label_config="<View><Text name='a' value='$a'/></View>")
    with pytest.raises(EngineError, match=r"absent"), Judge(model=str(tmp_path / "absent")):
        pass


def test_a_model_is_run_here_and_servers_are_asked() -> None:
    with pytest.raises(SettingsError, match="the demo engine has a judge of its own"):
        Judge("demo", model="Qwen/Qwen2.5-VL-7B-Instruct")
    for judge, engine in (
        (Judge(model="Qwen/Qwen2.5-VL-7B-Instruct"), "local"),
        (Judge(servers=["http://127.0.0.1:9"], model="judge"), "remote"),
        (Judge(servers="http://127.0.0.1:9", model="judge"), "remote"),
        (Judge(), "demo"),
    ):
        assert judge._settings.engine == engine
        assert judge._settings.servers == (("http://127.0.0.1:9",) if engine == "remote" else ())
        judge.close()


def test_a_closed_judge_says_so_and_a_single_sample_is_no_list() -> None:
    judge = Judge("scripted")
    with pytest.raises(TypeError, match="not as one dict"):
        judge.judge({"image": GREY, "caption": "A square."})  # type: ignore[dict-item]
    judge.close()
    with pytest.raises(EngineError, match="this judge is closed; make another"):
        judge.judge([])


def test_a_judge_that_is_closed_while_it_streams_says_so() -> None:
    judge = Judge("scripted", batch_size=1)

    def samples() -> Iterator[dict[str, Any]]:
        for number in range(1000):
            yield {"image": GREY, "caption": f"Square {number}."}

    results = judge.stream(samples())
    next(results)
    judge.close()
    with pytest.raises(EngineError, match="this judge is closed; make another"):
        list(results)


class LateEngine(ScriptedEngine):
    """Cannot be loaded at first."""

    tried = 0

    def load(self) -> None:
        self.tried += 1
        if self.tried == 1:
            raise EngineError("the servers are away")


def test_a_judge_that_could_not_be_loaded_is_loaded_when_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = LateEngine()
    monkeypatch.setattr("backend.public.judge.make_engine", lambda settings: engine)
    judge = Judge("scripted")
    with pytest.raises(EngineError, match="the servers are away"):
        judge.load()
    assert isinstance(judge.judge([{"image": GREY, "caption": "A square."}])[0], Verdict)
    judge.load()
    assert engine.tried == 2
    judge.close()


def test_a_store_remembers_verdicts(tmp_path: Path) -> None:
    store = tmp_path / "verdicts.sqlite"
    for judged in (1, 0):
        with Judge("scripted", store=store) as judge:
            judge.judge([{"image": GREY, "caption": "A square."}])
            assert judge._worker.vitals.snapshot().judged == judged


@pytest.mark.parametrize(
    ("fields", "kind", "data"),
    [
        ({"caption": "A.", "requested": ["a", "b"]}, "image-text", {"caption": "A.", "requested": "a, b"}),
        ({"caption": "A.", "kind": "chart"}, "chart", {"caption": "A."}),
        ({"question": "Q?", "answer": "A."}, "question-answer", {"question": "Q?", "answer": "A."}),
        ({"transcription": "A."}, "document", {"transcription": "A."}),
        ({"requested": "a, b"}, "checklist", {"requested": "a, b"}),
        ({"candidates": ["A", "B"]}, "preference-pair", {"text_a": "A", "text_b": "B"}),
        ({"caption": "A.", "generator": "g"}, "image-text", {"caption": "A.", "generator": "g"}),
        ({"caption": "A.", "split": "train", "answer": None}, "image-text", {"caption": "A."}),
    ],
)
def test_the_texts_tell_the_kind(fields: dict[str, Any], kind: Any, data: dict[str, Any]) -> None:
    bound = bind_sample({"image": b"bytes", **fields}, 3, None)
    image = parse_label_config(label_config_of(kind)).images[0]
    address: Any = [f"held:{image.key}[0]"] if image.several else f"held:{image.key}"
    held = address[0] if image.several else address
    assert (bound.name, bound.label_config) == ("3", label_config_of(kind))
    assert bound.data == {**data, image.key: address}
    assert bound.held == {held: b"bytes"}


def test_several_images_are_held_one_by_one_and_addresses_stay() -> None:
    bound = bind_sample(Sample(image=["https://h.example/a.png", GREY], caption="A."), 0, None)
    assert bound.label_config == label_config_of("several-images")
    assert bound.data == {"caption": "A.", "images": ["https://h.example/a.png", "held:images[1]"]}
    assert bound.held == {"held:images[1]": GREY}
    with pytest.raises(TaskError, match="a sample of the kind chart has one image, not 2"):
        bind_sample({"image": [GREY, GREY], "caption": "A.", "kind": "chart"}, 0, None)


def saved(picture: Image.Image, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def pictures() -> dict[str, bytes]:
    """Files of 4 x 2 pixels of every kind that Pillow opens differently."""
    rng = random.Random(0)
    colours = Image.frombytes("RGB", (4, 2), rng.randbytes(24))
    clear = Image.frombytes("RGBA", (4, 2), rng.randbytes(32))
    turned = Image.Exif()
    turned[0x0112] = 6
    deep = Image.frombytes("I;16", (4, 2), rng.randbytes(16))
    return {
        "rgb": saved(colours, "PNG"),
        "turned": saved(colours, "PNG", exif=turned),
        "jpeg": saved(colours, "JPEG", exif=turned),
        "clear": saved(clear, "PNG"),
        "clear palette": saved(clear.quantize(4), "PNG"),
        "one clear colour": saved(colours, "PNG", transparency=colours.getpixel((0, 0))),
        "grey": saved(colours.convert("L"), "PNG"),
        "grey and clear": saved(clear.convert("LA"), "PNG"),
        "black and white": saved(colours.convert("1"), "PNG"),
        "deep": saved(deep, "PNG"),
        "cmyk": saved(colours.convert("CMYK"), "TIFF"),
    }


@pytest.mark.parametrize("kind", pictures())
def test_a_pillow_image_is_seen_as_its_file_is(kind: str, tmp_path: Path) -> None:
    content = pictures()[kind]
    images = GivenImages(ImageLoader(Settings()), 1000)
    file = tmp_path / "picture"
    file.write_bytes(content)
    images.hold("t", {"held:a": content, "held:b": file, "held:c": str(file), "held:d": Image.open(file)})
    address = f"data:image/png;base64,{base64.b64encode(content).decode()}"
    seen = [images.load(uri, "t") for uri in (address, "held:a", "held:b", "held:c", "held:d")]
    assert {(picture.mode, picture.size, picture.tobytes()) for picture in seen} == {
        ("RGB", seen[0].size, seen[0].tobytes())
    }


@pytest.mark.parametrize("mode", ["I", "F"])
def test_a_pillow_image_of_unknown_range_is_refused(mode: str) -> None:
    images = GivenImages(ImageLoader(Settings()), 1000)
    images.hold("t", {"held:a": Image.new(mode, (2, 2))})
    with pytest.raises(TaskError, match=f"the Pillow image of mode {mode} holds .* whose range is unknown"):
        images.load("held:a", "t")


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_a_picture_that_samples_share_is_opened_once_and_seen_the_same_by_all(form: str, tmp_path: Path) -> None:
    """Pillow reads a file when its pixels are first asked for, and not safely in several threads."""
    noise = Image.frombytes("RGB", (400, 400), random.Random(0).randbytes(480_000))
    file = tmp_path / "noise"
    noise.save(file, form)
    seen = ImageLoader(Settings()).decode(file.read_bytes(), "the file").tobytes()
    for _ in range(5):
        images, start = GivenImages(ImageLoader(Settings()), 1000), threading.Barrier(8)
        images.hold("t", {"held:a": Image.open(file)})

        def load(_: int, images: GivenImages = images, start: threading.Barrier = start) -> bytes:
            start.wait()
            return images.load("held:a", "t").tobytes()

        with ThreadPoolExecutor(8) as pool:
            assert [found == seen for found in pool.map(load, range(8))] == [True] * 8


@pytest.mark.parametrize("form", ["PNG", "JPEG"])
def test_samples_share_a_picture(scripted: Judge, form: str, tmp_path: Path) -> None:
    file = tmp_path / "noise"
    Image.frombytes("RGB", (300, 300), random.Random(1).randbytes(270_000)).save(file, form)
    shared = Image.open(file)
    results = scripted.judge([{"image": shared, "caption": f"Noise {number}."} for number in range(16)])
    assert [result for result in results if isinstance(result, Failure)] == []


def test_a_broken_file_that_pillow_was_given_fails_alone() -> None:
    """The length of its first chunk of pixels is cut short, so that the next chunk begins in the middle of them."""
    content = bytearray(saved(Image.frombytes("RGB", (64, 64), random.Random(2).randbytes(12_288)), "PNG"))
    begin = content.index(b"IDAT") - 4
    content[begin : begin + 4] = (100).to_bytes(4, "big")
    images = GivenImages(ImageLoader(Settings()), 1000)
    images.hold("t", {"held:a": Image.open(io.BytesIO(bytes(content)))})
    with pytest.raises(TaskError, match=r"the Pillow image cannot be read \(.+\); give the file's path"):
        images.load("held:a", "t")


def test_what_is_no_text_or_no_picture_fails_that_sample_alone(scripted: Judge) -> None:
    grid, content = np.zeros((8, 8, 3), np.uint8), png(GREY)
    odd: list[Any] = [
        {"image": GREY, "caption": "A.", "kind": "preference-pair"},
        {"image": GREY, "candidates": np.array(["Grey.", "Blue."])},
        {"image": GREY, "candidates": ["Grey.", 7]},
        {"image": grid, "caption": "A."},
        Sample(image=grid, caption="A."),  # type: ignore[arg-type]
        {"image": GREY, "caption": "A.", "kind": np.array(["chart", "document"])},
        {"image": GREY, "caption": np.array(["A.", "B."])},
        {"image": bytearray(content), "caption": "A."},
        {"image": memoryview(content), "caption": "A."},
        {"image": [GREY, bytearray(content)], "caption": "A."},
    ]
    results = scripted.judge(odd)
    kinds = ", ".join(KINDS)
    no_picture = "an image is a path, an address, bytes or a Pillow image, not ndarray"
    texts = "`candidates` must be a list of 2 to 10 texts"
    assert [result.reason for result in results[:6] if isinstance(result, Failure)] == [
        *(texts, texts, texts, f"`image`: {no_picture}", f"`image`: {no_picture}"),
        f"there is no kind ['chart' 'document']; there are {kinds}",
    ]
    assert results[6] == Failure("6", "`caption` must be text, not ndarray")
    assert [type(result) for result in results[7:]] == [Verdict] * 3


def test_a_large_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "large.png"
    file.write_bytes(b"x" * 1001)
    images = GivenImages(ImageLoader(Settings()), 1000)
    images.hold("t", {"held:a": file})
    with pytest.raises(TaskError, match=r"large.png has more than the 1000 bytes allowed; make it smaller or raise"):
        images.load("held:a", "t")


def test_a_verdict_is_told_whole() -> None:
    """Expected value 1 * 0.25 + 2 * 0.75 = 1.75."""
    rubric = demo_engine().default_rubric
    options = (types.Option("1", "1"), types.Option("2", "2"))
    scored = types.Scored(types.Question("consistency", "?", options), (0.25, 0.75), 0.5)
    unscored = types.Unscored(types.Question("text_accuracy", "?", options), "too little of it")
    span, feature = types.Span(2, 5, "red", 0.25), types.Feature("a car", 0.75)
    area = types.ImageArea("image", 0.0, 25.0, 50.0, 75.0, "red")
    evidence = types.Evidence((span,), (feature,), "Because.\nAnd so on.", (area,), corrected="A blue car.")
    flag = types.Flag("own-family", "Same family.")
    core = types.Verdict(
        (scored, unscored), "fix", {"accept": 0.25, "fix": 0.5, "reject": 0.25}, 0.5, evidence, "demo-1", flags=(flag,)
    )
    verdict = public_verdict("a", core, rubric)
    first = Score("consistency", "Image-text consistency", 2, 1.75, (1, 2), (0.25, 0.75), 0.5)
    second = Score("text_accuracy", "Text accuracy", None, None, (1, 2), (), None, "too little of it")
    assert verdict.scores == (first, second)
    assert verdict.score("consistency") == first
    with pytest.raises(KeyError, match="there is no criterion style; there are consistency, text_accuracy"):
        verdict.score("style")
    assert (verdict.probs, verdict.unsupported, verdict.boxes) == (DecisionProbs(0.25, 0.5, 0.25), (span,), (area,))
    assert str(verdict) == "fix (0.50): Because."
    told = verdict.to_dict()
    assert json.loads(json.dumps(told)) == told
    assert told == {
        "id": "a",
        "decision": "fix",
        "confidence": 0.5,
        "probs": {"accept": 0.25, "fix": 0.5, "reject": 0.25},
        "scores": {
            "consistency": {
                "title": "Image-text consistency",
                "level": 2,
                "expected": 1.75,
                "probs": {"1": 0.25, "2": 0.75},
                "label_mass": 0.5,
                "reason": None,
            },
            "text_accuracy": {
                "title": "Text accuracy",
                "level": None,
                "expected": None,
                "probs": {},
                "label_mass": None,
                "reason": "too little of it",
            },
        },
        "unsupported": [{"start": 2, "end": 5, "text": "red", "support_prob": 0.25}],
        "features": [{"text": "a car", "support_prob": 0.75}],
        "boxes": [{"image": "image", "x": 0.0, "y": 25.0, "width": 50.0, "height": 75.0, "claim": "red"}],
        "correction": "A blue car.",
        "rationale": "Because.\nAnd so on.",
        "flags": [{"kind": "own-family", "sentence": "Same family."}],
        "fingerprint": "demo-1",
        "preferred": None,
        "preference": [],
        "transcription": None,
        "controls": [],
        "reliance": None,
    }
    with pytest.raises(AttributeError):
        verdict.decision = "accept"  # type: ignore[misc]


def test_a_failure_is_told() -> None:
    failure = Failure("a", "its server is away", transient=True)
    assert failure.to_dict() == {"id": "a", "reason": "its server is away", "transient": True}
    assert str(failure) == "not judged: its server is away"


def test_the_import_brings_nothing_and_submodules_are_there() -> None:
    code = """
import sys
before = set(sys.modules)
import backend
print(*sorted({name.partition('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names)))
from backend import errors
assert errors.VlmJudgeError
try:
    backend.Jury
except AttributeError as exc:
    print(exc)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("backend\nmodule 'backend' has no attribute 'Jury'\n", "")


def test_the_default_label_config_is_that_of_captions() -> None:
    assert bind_sample({"image": GREY, "caption": "A."}, 0, None).label_config == default_label_config()


def test_the_page_names_every_field_of_samples_and_verdicts() -> None:
    page = (Path(__file__).parents[2] / "docs" / "how-to" / "python.md").read_text(encoding="utf-8")
    said, read = page.split("## Read a verdict")
    read = read.split("## Judge more")[0]
    for part, kind in ((said.split("## Say what a sample is")[1], Sample), (read, Verdict)):
        named = {
            name
            for line in part.splitlines()
            if line.startswith("| `")
            for name in re.findall(r"`(\w+)`", line.split("|")[1])
        }
        assert named == {field.name for field in fields(kind)}


def test_an_image_is_fetched_from_its_address_where_that_is_allowed() -> None:
    sample = {"caption": "A grey square.", "id": "a"}
    with serving() as server:
        address = server.body("/grey.png", png(GREY))
        with Judge("scripted", image_hosts="127.0.0.1") as judge:
            [verdict] = judge.judge([{**sample, "image": address}])
        with Judge("scripted") as careful:
            [refused] = careful.judge([{**sample, "image": address}])
    assert isinstance(verdict, Verdict)
    assert server.paths == ["/grey.png"]
    assert isinstance(refused, Failure)
    assert "VLM_JUDGE_IMAGE_HOSTS" in refused.reason
