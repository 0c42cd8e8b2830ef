"""Examples on servers: every dialect shows them before the sample, and the model's answers are those of that prompt."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from PIL import Image

from backend.core.scoring import read_answer
from backend.core.types import Answer, Option, Question
from backend.core.writing import text_writing
from backend.engines.base import JudgeRequest, Passage, WriteRequest
from backend.engines.remote import engine as remote_engine
from backend.engines.remote.engine import RemoteEngine
from backend.engines.remote.images import Picture, family_of, picture_of
from tests.contract import chat_server

MODEL = "Qwen/Qwen2.5-VL-7B-Instruct"
YES_NO = Question("true", "Is the text true? Answer Yes or No.", (Option("yes", "Yes"), Option("no", "No")))
RED, BLUE = Image.new("RGB", (56, 84), "red"), Image.new("RGB", (84, 56), "blue")
PASSAGES = (Passage((), "How people decided.\n"), Passage((RED, BLUE), "\nExample 1\n\nNow the sample:\n"))
ASKED = JudgeRequest((BLUE,), "You judge captions.", 'caption: "a red square"\n', (YES_NO,), passages=PASSAGES)
MARK = "<|vision_start|><|image_pad|><|vision_end|>"


def expected(server: Any, asked: JudgeRequest) -> tuple[Answer, ...]:
    """What the server's model makes of the prompt, written out here."""
    shown = (*asked.passages, Passage(asked.images, asked.fields + YES_NO.text))
    images = [
        chat_server._content(picture_of(image, family_of(MODEL), 10**6).uri)
        for passage in shown
        for image in passage.images
    ]
    body = "".join(MARK * len(passage.images) + passage.text for passage in shown)
    head = f"<|im_start|>system\n{asked.instructions}<|im_end|>\n"
    text = f"{head}<|im_start|>user\n{body}<|im_end|>\n<|im_start|>assistant\n"
    logprobs = server.logprobs(text, images)
    return (read_answer(YES_NO, [logprobs[option.token] for option in YES_NO.options]),)


@pytest.mark.parametrize("speaks", ["vllm", "openai", "sglang"])
def test_every_dialect_shows_the_examples_before_the_sample(speaks: str) -> None:
    words = replace(ASKED, passages=(Passage((), "How people decided.\n"),))
    plain = replace(ASKED, passages=())
    with chat_server.running_server(speaks=frozenset({speaks})) as server:
        engine = RemoteEngine([server.address], server.model)
        answers = engine.answer([ASKED, words, plain])
        assert answers == [expected(server, one) for one in (ASKED, words, plain)]
        assert len(set(answers)) == 3
        engine.close()


def test_the_decisions_dialect_shows_them_as_well() -> None:
    with chat_server.running_server(speaks=frozenset({"decisions"})) as server:
        engine = RemoteEngine([server.address], server.model, dialect="decisions")
        engine.answer([ASKED])
        [message] = server.asked[-1]["input"]
        said = [part.get("text", "image") for part in message["content"]]
        assert said == [
            "How people decided.\n",
            "image",
            "image",
            "\nExample 1\n\nNow the sample:\n",
            "image",
            "You judge captions.",
            'caption: "a red square"\n',
        ]
        engine.close()


def test_images_of_examples_are_encoded_once_and_nothing_is_written_from_them(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[Image.Image] = []

    def noting(image: Image.Image, *how: Any) -> Picture:
        encoded.append(image)
        return picture_of(image, *how)

    monkeypatch.setattr(remote_engine, "picture_of", noting)
    with chat_server.running_server(speaks=frozenset({"vllm"})) as server:
        engine = RemoteEngine([server.address], server.model)
        own = [Image.new("RGB", (56, 56), (level, 0, 0)) for level in range(4)]
        for image in own:
            engine.answer([replace(ASKED, images=(image,))])
        assert [encoded.count(image) for image in (RED, BLUE)] == [1, 1]
        engine.write([WriteRequest((RED,), "", 'caption: "a"\n', text_writing("t", "Write."))])
        content = server.asked[-1]["messages"][-1]["content"]
        assert [part["type"] for part in content] == ["image_url", "text"]
        engine.close()
