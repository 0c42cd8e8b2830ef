"""The remote engine asks every kind of server over HTTP, and the answers are those of the model's probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from math import log
from typing import Any

import pytest
from PIL import Image
from pydantic import SecretStr

from backend.core.scoring import read_answer
from backend.core.types import Answer, Option, Question, Scored, Unscored, Unwritten, Writing, Written
from backend.core.writing import box_writing, text_writing
from backend.engines.base import JudgeRequest, WriteRequest
from backend.engines.factory import make_engine
from backend.engines.remote.engine import RemoteEngine
from backend.engines.remote.images import family_of, picture_of, seen_size
from backend.errors import EngineError, ImageError, SettingsError
from backend.settings import load_settings
from tests.contract import chat_server

MODEL = "Qwen/Qwen2.5-VL-7B-Instruct"
YES_NO = Question("true", "Is the text true? Answer Yes or No.", (Option("yes", "Yes"), Option("no", "No")))
SCALE = Question("real", "How real, 1 to 5?", tuple(Option(str(level), str(level)) for level in range(1, 6)))
FIELDS = 'caption: "a red square"\n'


def picture(seed: int = 0) -> Image.Image:
    """An image of 56 x 84 pixels, which is a size that the model sees unchanged."""
    return Image.new("RGB", (56, 84), (seed % 256, seed * 7 % 256, 90))


def request(seed: int = 0, instructions: str = "", questions: Sequence[Question] = (YES_NO, SCALE)) -> JudgeRequest:
    return JudgeRequest((picture(seed),), instructions, FIELDS, tuple(questions))


def expected(server: Any, asked: JudgeRequest) -> tuple[Answer, ...]:
    """What the server's model makes of the questions, computed here."""
    images = [chat_server._content(picture_of(image, family_of(MODEL), 10**6).uri) for image in asked.images]
    system = f"<|im_start|>system\n{asked.instructions or server.system}<|im_end|>\n"
    marks = "<|vision_start|><|image_pad|><|vision_end|>" * len(images)
    answers = []
    for question in asked.questions:
        text = f"{system}<|im_start|>user\n{marks}{asked.fields}{question.text}<|im_end|>\n<|im_start|>assistant\n"
        logprobs = server.logprobs(text, images)
        answers.append(read_answer(question, [logprobs[option.token] for option in question.options]))
    return tuple(answers)


@contextmanager
def remote(*servers: Any, **options: Any) -> Iterator[RemoteEngine]:
    engine = RemoteEngine([server.address for server in servers], options.pop("model", servers[0].model), **options)
    try:
        yield engine
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("speaks", "path", "field"),
    [
        ({"vllm"}, "/v1/chat/completions", "logprob_token_ids"),
        ({"openai"}, "/v1/chat/completions", "top_logprobs"),
        ({"sglang"}, "/generate", "token_ids_logprob"),
    ],
)
@pytest.mark.parametrize("instructions", ["", "You judge captions."])
def test_every_dialect_is_found_and_gives_the_models_answers(
    speaks: set[str], path: str, field: str, instructions: str
) -> None:
    with chat_server.running_server(speaks=frozenset(speaks)) as server, remote(server) as engine:
        asked = [request(seed, instructions) for seed in range(3)]
        answers = engine.answer(asked)
        assert answers == [expected(server, one) for one in asked]
        assert {type(answer) for row in answers for answer in row} == {Scored}
        assert [(body["path"], field in body) for body in server.asked[-6:]] == [(path, True)] * 6


def test_decisions_gives_the_same_probabilities_and_asks_for_all_at_once() -> None:
    with (
        chat_server.running_server(speaks=frozenset({"decisions"})) as server,
        remote(server, dialect="decisions") as engine,
    ):
        engine.load()
        before = len(server.asked)
        (answers,) = engine.answer([request()])
        for answer, wanted in zip(answers, expected(server, request()), strict=True):
            assert isinstance(answer, Scored)
            assert isinstance(wanted, Scored)
            assert answer.probs == pytest.approx(wanted.probs, abs=1e-12)
            assert answer.label_mass == pytest.approx(1.0)
        assert len(server.asked) == before + 1


def test_a_declined_question_is_unscored() -> None:
    forbidden = Question("no", "A forbidden question. Yes or No?", YES_NO.options)
    with (
        chat_server.running_server(speaks=frozenset({"decisions"})) as server,
        remote(server, dialect="decisions") as engine,
    ):
        (answers,) = engine.answer([request(questions=(forbidden,))])
    assert answers == (Unscored(forbidden, "the server declined to answer this question"),)


@pytest.mark.parametrize("speaks", ["vllm", "openai", "sglang"])
def test_the_numbers_are_those_of_a_calculation_by_hand(speaks: str) -> None:
    """exp(logit) = 6, 3, 1: of the whole 0.6, 0.3, 0.1; of the menu 2/3 and 1/3."""
    logits = chat_server.fixed({"Yes": log(6), "No": log(3), "!": 0.0})
    with chat_server.running_server(speaks=frozenset({speaks}), logits=logits) as server, remote(server) as engine:
        ((answer,),) = engine.answer([request(questions=(YES_NO,))])
    assert isinstance(answer, Scored)
    assert answer.probs == pytest.approx((2 / 3, 1 / 3))
    assert answer.label_mass == pytest.approx(0.9)


def test_an_option_outside_the_likeliest_twenty_counts_as_nothing_and_is_missing_in_the_mass() -> None:
    """70 parts Yes, 1 part each for 20 other tokens, half a part No: 21st and last of those listed are parts of 1."""
    others = {token: 0.0 for token in chat_server.VOCABULARY[2:22]}
    logits = chat_server.fixed({"Yes": log(70), "No": log(0.5), **others})
    with chat_server.running_server(speaks=frozenset({"openai"}), logits=logits) as server, remote(server) as engine:
        ((answer,),) = engine.answer([request(questions=(YES_NO,))])
    assert isinstance(answer, Scored)
    assert answer.probs == (1.0, 0.0)
    assert answer.label_mass == pytest.approx(70 / 90.5)


def test_a_menu_the_model_did_not_think_of_is_unscored() -> None:
    logits = chat_server.fixed({"Yes": 0.0, "!": log(9)})
    with chat_server.running_server(logits=logits) as server, remote(server) as engine:
        ((answer,),) = engine.answer([request(questions=(YES_NO,))])
    assert answer == Unscored(YES_NO, "only 10% of the model's answer was on the menu")


@pytest.mark.parametrize("speaks", ["vllm", "sglang"])
def test_an_option_that_is_no_single_token_is_refused_clearly(speaks: str) -> None:
    odd = Question("odd", "Perhaps? Answer Yes or No.", (Option("yes", "Yes"), Option("perhaps", "Perhaps")))
    with chat_server.running_server(speaks=frozenset({speaks})) as server, remote(server) as engine:
        ((answer,),) = engine.answer([request(questions=(odd,))])
    assert answer == Unscored(odd, "'Perhaps' is not a single token after the server's prompt; use another word")


def test_a_hosted_service_that_knows_no_option_but_its_own_is_asked_for_the_likeliest() -> None:
    with (
        chat_server.running_server(speaks=frozenset({"openai"}), knows_only_openai=True) as server,
        remote(server) as engine,
    ):
        assert engine.answer([request()]) == [expected(server, request())]
        assert server.asked[-1]["top_logprobs"] == 20


@pytest.mark.parametrize(("system", "path"), [("", "/generate"), ("Be kind.", "/v1/chat/completions")])
def test_sglang_is_asked_natively_only_if_its_template_is_ours(system: str, path: str) -> None:
    """Qwen3-VL's says nothing without instructions; one that says something else gets the chat route."""
    with chat_server.running_server(speaks=frozenset({"sglang"}), system=system) as server, remote(server) as engine:
        (answers,) = engine.answer([request(instructions="Judge.")])
        assert answers == expected(server, request(instructions="Judge."))
        assert server.asked[-1]["path"] == path


def test_questions_of_a_sample_share_everything_before_them() -> None:
    with chat_server.running_server() as server, remote(server) as engine:
        engine.answer([request(instructions="Judge.")])
        texts = [body["messages"][1]["content"].pop()["text"] for body in server.asked[-2:]]
        assert sorted(texts) == sorted([FIELDS + YES_NO.text, FIELDS + SCALE.text])
        first, second = (body["messages"] for body in server.asked[-2:])
        assert first == second
        assert first[1]["content"][0]["type"] == "image_url"


def writing_request(writing: Writing, size: tuple[int, int] = (100, 50)) -> WriteRequest:
    return WriteRequest((Image.new("RGB", size),), "", "", writing, temperature=0.7, seed=3)


def test_what_is_written_fits_its_form_and_says_what_boxes_are_measured_in() -> None:
    """100 x 50 is rounded to 112 x 56 by 28; Qwen3-VL measures in thousandths whatever the size."""
    box = box_writing("box", "Where?")
    reply = ('{"bbox_2d": [0, 1, 2, 3]}', "stop")
    for model, frame in ((MODEL, (112, 56)), ("Qwen/Qwen3-VL-8B-Instruct", (1000, 1000))):
        with chat_server.running_server(model=model, reply=reply) as server, remote(server) as engine:
            assert engine.write([writing_request(box)]) == [Written(box, '{"bbox_2d": [0, 1, 2, 3]}', (frame,))]
            body = server.asked[-1]
    assert {name: body[name] for name in ("max_tokens", "temperature", "seed")} == {
        "max_tokens": 64,
        "temperature": 0.7,
        "seed": 3,
    }
    assert body["response_format"]["type"] == "json_schema"
    assert body["response_format"]["json_schema"]["name"] == "box"
    assert body["response_format"]["json_schema"]["schema"]["required"] == ["bbox_2d"]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (('{"text": "a', "length"), "the reply was cut off after 512 tokens"),
        (("a red square", "stop"), "the reply is not JSON"),
        (('{"text": 5}', "stop"), "the reply does not fit its form: 5 is not of type 'string'"),
    ],
)
def test_what_does_not_fit_is_unwritten(reply: tuple[str, str], reason: str) -> None:
    writing = text_writing("caption", "Write a caption.")
    with chat_server.running_server(reply=reply) as server, remote(server) as engine:
        assert engine.write([writing_request(writing)]) == [Unwritten(writing, reason)]


def test_a_decisions_endpoint_writes_nothing() -> None:
    writing = text_writing("caption", "Write a caption.")
    with (
        chat_server.running_server(speaks=frozenset({"decisions"})) as server,
        remote(server, dialect="decisions") as engine,
    ):
        assert engine.write([writing_request(writing)]) == [Unwritten(writing, "a decisions endpoint cannot write")]


def test_a_server_set_up_wrongly_is_told_with_the_way_out() -> None:
    with chat_server.running_server(key="right-key") as server:
        options: dict[str, Any] = {"api_key": SecretStr("wrong-key")}
        with remote(server, **options) as engine, pytest.raises(EngineError) as caught:
            engine.load()
        assert str(caught.value) == (
            f"{server.address} refuses the API key (401 Incorrect API key provided: ***); "
            "set VLM_JUDGE_API_KEY to the one it was started with"
        )
        with remote(server, api_key=SecretStr("right-key"), model="other/model") as engine:
            with pytest.raises(EngineError) as caught:
                engine.load()
            assert str(caught.value) == (f"{server.address} serves {MODEL} and not other/model; set VLM_JUDGE_MODEL")
            assert "right-key" not in repr(vars(engine)["_session"]) + repr(engine)


def test_a_server_without_probabilities_or_of_another_dialect_is_refused() -> None:
    with chat_server.running_server(speaks=frozenset()) as server:
        with remote(server) as engine, pytest.raises(EngineError) as caught:
            engine.load()
        assert str(caught.value) == (
            f"{server.address} gives no token probabilities for {MODEL}; start it with log-probabilities on"
        )
        with remote(server, dialect="vllm") as engine, pytest.raises(EngineError) as caught:
            engine.load()
        assert str(caught.value) == f"{server.address} does not speak vllm for {MODEL}; set VLM_JUDGE_DIALECT=auto"


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("judge:8000", "VLM_JUDGE_SERVERS: judge:8000 is not an address; write http://host:port"),
        (
            "http://me:geheim@judge:8000",
            "VLM_JUDGE_SERVERS: http://judge:8000 carries a password or parameters; put the key into VLM_JUDGE_API_KEY",
        ),
        (
            "https://judge/v1?key=geheim",
            "VLM_JUDGE_SERVERS: https://judge:443 carries a password or parameters; put the key into VLM_JUDGE_API_KEY",
        ),
    ],
)
def test_an_address_that_is_none_or_carries_a_secret_is_refused(address: str, message: str) -> None:
    settings = load_settings(engine="remote", servers=address)
    assert "geheim" not in repr(settings)
    with pytest.raises(SettingsError) as caught:
        make_engine(settings)
    assert str(caught.value) == message


def test_settings_make_the_engine_and_no_servers_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match="set VLM_JUDGE_SERVERS"):
        make_engine(load_settings(engine="remote"))
    with chat_server.running_server(key="k1") as server:
        monkeypatch.setenv("VLM_JUDGE_SERVERS", f"{server.address}/v1/, {server.address}")
        monkeypatch.setenv("VLM_JUDGE_API_KEY", "k1")
        engine = make_engine(load_settings(engine="remote"))
        assert isinstance(engine, RemoteEngine)
        assert engine.answer([request()]) == [expected(server, request())]
        engine.close()
        with pytest.raises(SettingsError) as caught:
            make_engine(load_settings(engine="demo"))
    assert str(caught.value) == (
        "VLM_JUDGE_SERVERS, VLM_JUDGE_API_KEY: the demo engine has a judge of its own; "
        "add --engine remote, or leave it out"
    )


def test_a_key_that_no_header_takes_is_refused_without_being_shown() -> None:
    with pytest.raises(SettingsError) as caught:
        RemoteEngine(["http://judge:8000"], MODEL, api_key=SecretStr("ge\nheim"))
    assert str(caught.value) == "VLM_JUDGE_API_KEY holds characters that no header can carry; copy the key anew"


def test_the_identity_needs_no_server_and_is_the_same_in_every_dialect_of_one_prompt() -> None:
    engines = [RemoteEngine(["http://a:1"], MODEL), RemoteEngine(["http://b:2"], MODEL, dialect="openai")]
    assert engines[0].identity == engines[1].identity
    assert engines[0].identity.name == "Qwen2.5-VL-7B-Instruct"
    assert engines[0].identity.details == {
        "model": MODEL,
        "max_pixels": "1003520",
        "runs": "remote",
        "prompt": "chat template",
    }
    other = RemoteEngine(["http://a:1"], MODEL, dialect="decisions").identity
    assert other.details["prompt"] == "the server's own"


@pytest.mark.parametrize(
    ("size", "max_pixels", "model", "seen"),
    [
        ((1280, 720), 10**7, MODEL, (1288, 728)),
        ((1654, 2339), 1280 * 28 * 28, MODEL, (840, 1176)),
        ((10, 10), 10**6, MODEL, (56, 56)),
        ((1280, 720), 10**7, "Qwen/Qwen3-VL-8B-Instruct", (1280, 704)),
        ((100, 100), 10**6, "Qwen/Qwen3-VL-8B-Instruct", (256, 256)),
    ],
)
def test_images_are_sent_at_the_size_the_model_sees(
    size: tuple[int, int], max_pixels: int, model: str, seen: tuple[int, int]
) -> None:
    """A4 at 200 dpi: sqrt(1654 * 2339 / 1003520) = 1.963; 842.4 and 1191.3 are 30 and 42 times 28, rounded down."""
    assert seen_size(*size, family_of(model), max_pixels) == seen


def test_an_image_the_model_would_refuse_leaves_its_questions_unscored() -> None:
    with pytest.raises(ImageError):
        seen_size(4020, 20, family_of(MODEL), 10**6)
    long = JudgeRequest((Image.new("RGB", (4020, 20)),), "", FIELDS, (YES_NO,))
    reason = "an image of 4020 x 20 pixels is too long for the model; crop it to 200 to 1 at most"
    with chat_server.running_server() as server, remote(server) as engine:
        assert engine.answer([long, request()]) == [(Unscored(YES_NO, reason),), expected(server, request())]


def test_an_image_limit_of_the_request_wins() -> None:
    """28 * 28 * 4 pixels: 56 x 56."""
    small = JudgeRequest((Image.new("RGB", (280, 280)),), "", FIELDS, (YES_NO,), max_pixels=28 * 28 * 4)
    with chat_server.running_server() as server, remote(server) as engine:
        engine.answer([small])
        content = chat_server._content(server.asked[-1]["messages"][0]["content"][0]["image_url"]["url"])
    width, height = (int.from_bytes(content[at : at + 4]) for at in (16, 20))
    assert (width, height) == (56, 56)
