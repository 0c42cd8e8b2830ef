"""Several servers, slow, busy and dead ones: every question gets its answer, or the reason why it has none."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from PIL import Image

from backend.core.types import Option, Question, Scored, Unscored, Unwritten
from backend.core.writing import text_writing
from backend.engines.base import JudgeRequest, WriteRequest
from backend.engines.remote.engine import RemoteEngine
from backend.engines.remote.gate import Gate
from backend.engines.remote.servers import Policy
from backend.errors import EngineError
from tests.contract import chat_server

QUESTIONS = tuple(
    Question(f"q{number}", f"Is it {number}? Yes or No?", (Option("yes", "Yes"), Option("no", "No")))
    for number in range(3)
)
POLICY = Policy(deadline_s=10.0, backoff_s=0.02, rest_s=0.05)


def requests(count: int, questions: Sequence[Question] = QUESTIONS) -> list[JudgeRequest]:
    """Samples with an image each."""
    images = [Image.new("RGB", (56, 56), (seed * 37 % 256, seed % 256, 9)) for seed in range(count)]
    return [JudgeRequest((image,), "", "caption\n", tuple(questions)) for image in images]


@contextmanager
def remote(addresses: Sequence[str], policy: Policy = POLICY) -> Iterator[RemoteEngine]:
    engine = RemoteEngine(addresses, chat_server.ChatServer().model, policy=policy)
    try:
        yield engine
    finally:
        engine.close()


@contextmanager
def running(count: int, **state: Any) -> Iterator[list[Any]]:
    with ExitStack() as stack:
        yield [stack.enter_context(chat_server.running_server(**state)) for _ in range(count)]


def shares(servers: Sequence[Any]) -> dict[str, set[str]]:
    """Per image, the servers that were asked about it."""
    asked: dict[str, set[str]] = {}
    for server in servers:
        for body in server.asked:
            asked.setdefault(chat_server.image_of(body), set()).add(server.address)
    asked.pop("", None)
    return asked


def nobodys_address() -> str:
    """An address of this machine that nothing listens at."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}"


def test_one_images_questions_go_to_one_server_and_stay_there_when_another_goes() -> None:
    with running(3) as servers:
        addresses = [server.address for server in servers]
        with remote(addresses) as engine:
            engine.answer(requests(24))
            first = shares(servers)
            assert len(first) == 24
            assert {len(asked) for asked in first.values()} == {1}
            assert {address for asked in first.values() for address in asked} == set(addresses)
            servers[1].kill()
            for server in servers:
                server.asked.clear()
            engine.answer(requests(24))
        second = shares([servers[0], servers[2]])
        assert {len(asked) for asked in second.values()} == {1}
        stayed = {image: asked for image, asked in first.items() if addresses[1] not in asked}
        assert 0 < len(stayed) < 24
        assert {image: second[image] for image in stayed} == stayed


def test_every_server_gets_its_share_of_a_batch() -> None:
    """24 images by 3 servers, no answer before all are under way: 8 each, or one more where it was begun first."""
    with running(3, delay_s=0.5) as servers:
        with remote([server.address for server in servers]) as engine:
            engine.load()
            engine.answer(requests(24))
        taken = [address for asked in shares(servers).values() for address in asked]
    counts = sorted(taken.count(server.address) for server in servers)
    assert sum(counts) == 24
    assert counts[0] >= 7
    assert counts[-1] <= 9


def test_judges_that_ask_one_image_at_a_time_agree_on_the_server_of_each() -> None:
    """With nothing else under way the hash alone decides, in every process the same."""
    with running(3) as servers:
        addresses = [server.address for server in servers]
        for order in (addresses, addresses[::-1]):
            with remote(order) as engine:
                for request in requests(12):
                    engine.answer([request])
        assert {len(asked) for asked in shares(servers).values()} == {1}


def test_when_a_server_dies_in_the_middle_nothing_is_lost_and_it_is_used_again_once_it_is_back() -> None:
    with running(2, delay_s=0.02) as servers, remote([server.address for server in servers]) as engine:
        whole = engine.answer(requests(12))
        mortal, other = servers
        mortal.dies_after = 4
        before = len(other.asked)
        assert engine.answer(requests(12)) == whole
        assert {type(answer) for row in whole for answer in row} == {Scored}
        assert mortal.stopped.is_set()
        assert len(other.asked) > before
        mortal.asked.clear()
        mortal.start()
        give_up_s = time.monotonic() + 5
        while not any(chat_server.image_of(body) for body in mortal.asked) and time.monotonic() < give_up_s:
            assert engine.answer(requests(12)) == whole
        assert any(chat_server.image_of(body) for body in mortal.asked)


def test_a_server_that_is_down_at_the_start_does_not_matter_while_another_is_up() -> None:
    with running(1) as (server,), remote([nobodys_address(), server.address]) as engine:
        (row,) = engine.answer(requests(1))
    assert [type(answer) for answer in row] == [Scored] * 3


def test_no_server_at_all_is_an_error_with_the_way_out() -> None:
    address = nobodys_address()
    with remote([address]) as engine, pytest.raises(EngineError) as caught:
        engine.load()
    assert str(caught.value) == (
        f"no judge server answers: {address} (it cannot be reached: All connection attempts failed); "
        "start one, or set VLM_JUDGE_SERVERS"
    )


def test_the_only_server_going_leaves_questions_unscored_at_the_deadline() -> None:
    with running(1) as (server,), remote([server.address], Policy(deadline_s=0.3, rest_s=0.05)) as engine:
        engine.load()
        server.kill()
        (row,) = engine.answer(requests(1))
    ((reason, transient),) = {(answer.reason, answer.transient) for answer in row if isinstance(answer, Unscored)}
    assert transient
    assert len(row) == 3
    assert reason.startswith(f"no answer within 0.3 s from {server.address} (it cannot be reached: ")


@pytest.mark.parametrize("after", [0.3, None])
def test_a_busy_server_is_asked_again_when_it_says_so(after: float | None) -> None:
    headers = {} if after is None else {"Retry-After": str(after)}
    with running(1) as (server,), remote([server.address]) as engine:
        engine.load()
        server.asked.clear()
        server.refusals.append(chat_server.Refusal(429, "too many", headers))
        ((answer,),) = engine.answer(requests(1, QUESTIONS[:1]))
        assert isinstance(answer, Scored)
        first, second = (body["at_s"] for body in server.asked)
        assert second - first >= (after or 0.01)


def test_a_request_the_server_will_never_take_is_not_repeated() -> None:
    with running(2) as servers, remote([server.address for server in servers]) as engine:
        engine.load()
        for server in servers:
            server.asked.clear()
            server.refusals.append(chat_server.Refusal(400, "image   too\nlarge"))
        ((answer,),) = engine.answer(requests(1, QUESTIONS[:1]))
        (asked,) = [server for server in servers if server.asked]
        assert answer == Unscored(QUESTIONS[0], f"{asked.address} refused it: 400 image too large")
        assert len(asked.asked) == 1


def test_a_server_error_is_tried_elsewhere_and_given_up_after_four() -> None:
    with running(2) as servers, remote([server.address for server in servers]) as engine:
        engine.load()
        for server in servers:
            server.refusals.extend([chat_server.Refusal(500, "out of memory")] * 2)
        answers = engine.answer(requests(1, QUESTIONS[:1]))
        assert isinstance(answers[0][0], Unscored)
        assert answers[0][0].reason.endswith(" failed at it 4 times: 500 out of memory")
        assert [len(server.refusals) for server in servers] == [0, 0]
        servers[0].refusals.append(chat_server.Refusal(500))
        servers[1].refusals.append(chat_server.Refusal(502))
        ((answer,),) = engine.answer(requests(1, QUESTIONS[:1]))
        assert isinstance(answer, Scored)


def test_a_slow_server_leaves_questions_unscored_at_the_deadline() -> None:
    writing = text_writing("caption", "Write.")
    with running(1) as (server,), remote([server.address], Policy(deadline_s=0.3)) as engine:
        engine.load()
        server.delay_s = 30
        started = time.monotonic()
        answers = engine.answer(requests(2))
        reason = f"no answer within 0.3 s from {server.address}"
        assert answers == [tuple(Unscored(question, reason, transient=True) for question in QUESTIONS)] * 2
        assert time.monotonic() - started < 3
        (reply,) = engine.write([WriteRequest((), "", "", writing)])
    assert isinstance(reply, Unwritten)
    assert reply.writing == writing


def test_a_hung_server_holds_up_a_large_batch_for_a_few_deadlines_only() -> None:
    """8 requests at first, 3 of whose deadlines bury the server; what waits is let go one deadline later."""
    policy = Policy(deadline_s=0.2, probe_s=0.2, rest_s=10)
    with running(1) as (server,), remote([server.address], policy) as engine:
        engine.load()
        server.delay_s = 30
        started = time.monotonic()
        answers = engine.answer(requests(40))
        assert {type(answer) for row in answers for answer in row} == {Unscored}
        assert time.monotonic() - started < 3


def test_no_server_ever_gets_more_requests_at_a_time_than_allowed() -> None:
    with running(2, delay_s=0.01) as servers:
        with remote([server.address for server in servers], Policy(concurrency=4)) as engine:
            answers = engine.answer(requests(30))
        assert {type(answer) for row in answers for answer in row} == {Scored}
        assert 2 <= max(server.busiest for server in servers) <= 4


def test_a_reply_of_another_form_is_unscored() -> None:
    with running(1) as (server,), remote([server.address]) as engine:
        engine.answer(requests(1))
        server.speaks = frozenset({"openai"})
        ((answer,),) = engine.answer(requests(1, QUESTIONS[:1]))
    assert answer == Unscored(QUESTIONS[0], "the reply leaves out 2 of the 2 tokens asked for", transient=True)


def test_the_limit_grows_by_one_a_round_and_halves_once_for_one_rounds_failures() -> None:
    """Full use of 8: eight good answers add about one. Failures that entered before a cut do not cut again."""

    async def play() -> list[int]:
        gate, limits = Gate(most=9), []
        slots = [gate.slot() for _ in range(8)]
        entered = [await slot.__aenter__() for slot in slots]
        for _ in range(9):
            gate.went_well()
        limits.append(gate.limit)
        for _ in range(100):
            gate.went_well()
        limits.append(gate.limit)
        gate.went_badly(entered[0])
        gate.went_badly(entered[1])
        limits.append(gate.limit)
        gate.went_badly(asyncio.get_running_loop().time() + 1)
        limits.append(gate.limit)
        for slot in slots:
            await slot.__aexit__(None, None, None)
        gate.went_well()
        limits.append(gate.limit)
        return limits

    assert asyncio.run(play()) == [9, 9, 4, 2, 2]


def test_room_given_to_one_who_left_goes_to_the_next() -> None:
    async def play() -> bool:
        gate = Gate(most=1)
        first = gate.slot()
        await first.__aenter__()
        impatient = asyncio.create_task(gate.slot().__aenter__())
        patient = asyncio.create_task(gate.slot().__aenter__())
        await asyncio.sleep(0)
        await first.__aexit__(None, None, None)
        impatient.cancel()
        await asyncio.wait_for(patient, 1)
        return impatient.cancelled()

    assert asyncio.run(play())


def test_a_server_that_is_out_for_an_hour_costs_no_wait_while_another_is_there() -> None:
    with running(2) as servers, remote([server.address for server in servers]) as engine:
        engine.load()
        servers[0].refusals.append(chat_server.Refusal(503, "loading", {"Retry-After": "3600"}))
        answers = engine.answer(requests(20))
        assert not servers[0].refusals
        assert {type(answer) for row in answers for answer in row} == {Scored}


def test_a_server_that_is_out_for_an_hour_is_not_waited_for() -> None:
    with running(1) as (server,), remote([server.address]) as engine:
        engine.load()
        server.refusals.append(chat_server.Refusal(429, "no quota", {"Retry-After": "3600"}))
        answers = engine.answer(requests(20))
    reason = f"{server.address} asks to be left alone for 3600 s"
    assert {answer.reason for row in answers for answer in row if isinstance(answer, Unscored)} == {reason}
