"""What `vlm-judge certify` hands out: its form in the store, whom it speaks for, and when it is void."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from backend.core.trust.acceptance.bad_accepted import BadAccepted
from backend.core.trust.acceptance.binding import Binding
from backend.core.trust.acceptance.certificate import Certificate, Promise
from backend.core.trust.acceptance.issued import Issued, issued_from_json

HERE = Binding("judge-1", "d1")
ALL = Certificate(Promise(0.05, 0.95, 2), 0.9, 700, 1_000, 150, 2, 200, 0.041, HERE)
ON_AVERAGE = BadAccepted(0.05, 0.7, 900, 1_000, 6, 200, 7 / 201, HERE)
EVEN = Issued({"": ALL})
GROUPS = Issued({"gpt": ALL, "llava": replace(ALL, threshold=0.8)}, "generator", "0f3a")


@pytest.mark.parametrize("issued", [EVEN, GROUPS, Issued({"": ON_AVERAGE})], ids=["even", "groups", "on average"])
def test_it_comes_back_from_the_store_as_it_was(issued: Issued) -> None:
    again = issued_from_json(issued.to_json())
    assert (again, again.id, again.binding) == (issued, issued.id, HERE)


def test_every_other_certificate_has_another_name() -> None:
    all_of_them = (EVEN, GROUPS, replace(EVEN, calibration="0f3a"), Issued({"": ON_AVERAGE}))
    assert len({one.id for one in all_of_them}) == 4
    assert {len(one.id) for one in all_of_them} == {12}


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"by": "", "calibration": "", "certificates": {}}', EVEN.to_json().replace("threshold", "limit")],
)
def test_anything_else_is_refused_and_says_what_to_do(text: str) -> None:
    with pytest.raises(ValueError, match=r"this is no certificate of ours: .*; certify anew"):
        issued_from_json(text)


def test_one_without_its_calibration_is_refused() -> None:
    """Without it, nobody can tell which confidences the threshold is about."""
    found = json.loads(EVEN.to_json())
    del found["calibration"]
    with pytest.raises(ValueError, match="certify anew"):
        issued_from_json(json.dumps(found))


def test_every_group_has_its_own_threshold_and_others_have_none() -> None:
    assert EVEN.threshold({"generator": "gpt"}) == 0.9
    assert GROUPS.threshold({"generator": "gpt"}) == 0.9
    assert GROUPS.threshold({"generator": "llava"}) == 0.8
    assert GROUPS.threshold({"generator": "new"}) is None
    assert GROUPS.threshold({}) is None


def test_it_is_void_for_another_judge_other_tasks_and_another_calibration() -> None:
    assert GROUPS.void_because(HERE, "0f3a") is None
    assert EVEN.void_because(HERE, "") is None
    assert "the judge has changed" in str(EVEN.void_because(Binding("judge-2", "d1"), ""))
    assert "project has changed" in str(EVEN.void_because(Binding("judge-1", "d2"), ""))
    since = "the confidence has been calibrated since, so that the threshold means something else; certify anew"
    assert EVEN.void_because(HERE, "0f3a") == since
    assert GROUPS.void_because(HERE, "") == since
    assert "the judge has changed" in str(GROUPS.void_because(Binding("judge-2", "d1"), ""))
