"""The blind slice: its plan in the label config, its draw, and what is given of a task in it."""

from __future__ import annotations

import random
import time
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy.stats import binom

from backend.audit_slice import Draw, even_shares, hold_to, must_have_its_slice, planned, remembered
from backend.core.audit import AGAIN_SHARE, AuditPlan, fraction, group_of, is_blind, number_of, with_plan, without_plan
from backend.core.case import JudgeOptions
from backend.core.judging import Given, Judge, Judging, make_judging
from backend.core.kinds import kind_of
from backend.core.label_config import parse_label_config
from backend.engines.rubrics import ready_rubric
from backend.errors import LabelConfigError, StoreError, TrustError
from backend.interfaces import default_label_config
from backend.projects import review_tabs
from backend.store import Store
from tests.store_processes import verdict

KEY = "0123456789abcdef"
PLAN = AuditPlan(0.1, KEY)
GROUPED = AuditPlan(0.25, KEY, 'the "generator"', (("a>b", 0.5), ("it's", 1.0)))
BACK = "put back what was there"
SHORT = f"auditKey of the label config must have 8 to 40 characters: {BACK}"
UID = "3.1795361354"


def plan_in(xml: str) -> AuditPlan | None:
    return parse_label_config(xml).audit


def test_the_plan_stands_in_the_outermost_tag_and_all_else_stays() -> None:
    assert with_plan("<View><Header value='Hi'/></View>", PLAN) == (
        '<View auditShare="0.1" auditKey="0123456789abcdef"><Header value=\'Hi\'/></View>'
    )
    assert with_plan("<View/>", GROUPED) == (
        '<View auditShare="0.25" auditKey="0123456789abcdef" auditBy=\'the "generator"\''
        ' auditShares="{&quot;a&gt;b&quot;: 0.5, &quot;it\'s&quot;: 1.0}"/>'
    )
    assert plan_in(with_plan("<View/>", GROUPED)) == GROUPED


@pytest.mark.parametrize(
    ("xml", "before"),
    [
        ("<!-- <View> --><!-- auditKey='x' -->\n<View/>", "<!-- <View> --><!-- auditKey='x' -->\n<View"),
        ("<?xml version='1.0'?>\n<!-- a --> <View>\n</View>", "<?xml version='1.0'?>\n<!-- a --> <View"),
        ('<View title="a > b" style=\'c > "d"\'><View auditShare="2"/></View>', "<View"),
        ("<View title=' auditKey=\"not one\" '/>", "<View"),
        ("<View\n  className='x'\n/>", "<View"),
        ("\ufeff<!-- a --><View/>", "\ufeff<!-- a --><View"),
    ],
)
def test_a_plan_goes_behind_the_first_tag_s_name_and_out_again(xml: str, before: str) -> None:
    planted = with_plan(xml, PLAN)
    assert planted == f'{before} auditShare="0.1" auditKey="{KEY}"{xml.removeprefix(before)}'
    assert plan_in(planted) == PLAN
    assert without_plan(planted) == xml
    assert without_plan(xml) == xml


@pytest.mark.parametrize(
    "there",
    [
        "<View auditShare='0.5' auditKey='fedcba9876543210'/>",
        '<View auditKey = "fedcba9876543210"\n\tauditShares=\'{"a": 0.5}\' auditBy="g>h" auditShare="0.5"/>',
        with_plan("<View/>", GROUPED),
    ],
)
def test_a_plan_takes_the_place_of_the_one_before(there: str) -> None:
    assert with_plan(there, PLAN) == '<View auditShare="0.1" auditKey="0123456789abcdef"/>'


def test_what_stands_between_its_attributes_stays() -> None:
    there = "<View className='a' auditShare='0.5' title=\"b\" auditKey='fedcba9876543210' style='c'><View/></View>"
    assert without_plan(there) == "<View className='a' title=\"b\" style='c'><View/></View>"


def test_where_there_is_no_tag_there_is_no_plan_and_no_long_search() -> None:
    comments, began_s = "<!-- a -->" * 60, time.monotonic()
    assert without_plan(comments) == comments
    with pytest.raises(LabelConfigError, match="does not begin with a tag; take away what stands before it"):
        with_plan(comments, PLAN)
    assert time.monotonic() - began_s < 1.0


WORDS = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff") | st.just("\n"))
SHARES = st.floats(0, 1, exclude_min=True)


@st.composite
def plans(draw: st.DrawFn) -> AuditPlan:
    key = draw(st.text("0123456789abcdef", min_size=8, max_size=40))
    by = draw(WORDS)
    shares = draw(st.dictionaries(WORDS, SHARES, max_size=3)) if by else {}
    return AuditPlan(draw(SHARES), key, by, tuple(sorted(shares.items())))


@st.composite
def label_configs(draw: st.DrawFn) -> str:
    """A label config whose outermost tag has attributes in either kind of quotes, and comments before it."""
    plain = WORDS.map(lambda words: words.replace("&", "").replace("<", "").replace("-", ""))
    before = "".join(f"<!--{words}-->\n" for words in draw(st.lists(plain, max_size=2)))
    attributes = ""
    for name in draw(st.lists(st.sampled_from(["title", "style", "myauditKey", "auditKeys"]), unique=True)):
        quote = draw(st.sampled_from("\"'"))
        value = draw(plain | st.just(" auditShare='1' ") | st.just(' auditKey="x" ')).replace(quote, "")
        attributes += f"{draw(st.sampled_from([' ', chr(10), '  ']))}{name}{draw(st.sampled_from(['=', ' = ']))}"
        attributes += f"{quote}{value}{quote}"
    return f"{before}<View{attributes}><Header auditShare='7'/></View>"


@given(label_configs(), plans())
@example("<View title=\"auditKey='x'\"/>", GROUPED)
def test_any_plan_is_read_as_it_was_written_and_leaves_no_trace(xml: str, plan: AuditPlan) -> None:
    planted = with_plan(xml, plan)
    assert plan_in(planted) == plan
    assert without_plan(planted) == xml
    assert with_plan(with_plan(xml, PLAN), plan) == planted
    bare, root = ElementTree.fromstring(xml), ElementTree.fromstring(planted)
    for name in ("auditShare", "auditKey", "auditBy", "auditShares"):
        root.attrib.pop(name, None)
    assert ElementTree.tostring(root) == ElementTree.tostring(bare)


@pytest.mark.parametrize(
    ("attributes", "said"),
    [
        (f'auditKey="{KEY}"', f"auditShare of the label config must be above 0 and at most 1, not '': {BACK}"),
        ('auditShare="0.1"', SHORT),
        ('auditShare="0.1" auditKey="short"', SHORT),
        (f'auditShare="0.1" auditKey="{"ü" * 21}"', SHORT),
        *(
            (
                f'auditShare="{share}" auditKey="{KEY}"',
                f"auditShare of the label config must be above 0 and at most 1, not '{share}': {BACK}",
            )
            for share in ("0", "-0.1", "1.01", "nan", "inf", "10 %")
        ),
        *(
            (
                f"auditShare='0.1' auditKey='{KEY}' auditBy='g' auditShares='{shares}'",
                f"auditShares of the label config must be a JSON object of shares, not '{shares}': {BACK}",
            )
            for shares in ("a: 0.1", "[0.1]", "null", "[" * 5000)
        ),
        *(
            (
                f"auditShare='0.1' auditKey='{KEY}' auditBy='g' auditShares='{{\"a\": {share}}}'",
                f"auditShares of the label config must be above 0 and at most 1, not {said}: {BACK}",
            )
            for share, said in (("0", "0"), ('"x"', "'x'"), ("null", "None"), ("1" + 400 * "0", "1" + 400 * "0"))
        ),
    ],
    ids=lambda value: value[:50],
)  # fmt: skip
def test_a_plan_that_cannot_be_read_is_told_with_its_remedy(attributes: str, said: str) -> None:
    with pytest.raises(LabelConfigError) as caught:
        parse_label_config(f"<View {attributes}/>")
    assert str(caught.value) == said


class TestDraw:
    def test_it_is_the_same_everywhere(self) -> None:
        """BLAKE2b with a digest of 8 bytes of "1" under the key, its upper 53 bits over 2^53."""
        assert PLAN.position(1) == fraction(KEY, 1) == 0.8971017184600892
        assert PLAN.position(2) == 0.012258514175056412
        assert [task for task in range(1, 41) if PLAN.drawn_with(task, {})] == [2, 3, 12, 13, 31]

    def test_about_the_share_is_drawn(self) -> None:
        """With 20,000 tasks, within what a fair draw does but once in a million."""
        for share in (0.03, 0.1, 0.6):
            drawn = sum(AuditPlan(share, KEY).drawn_with(task, {}) == share for task in range(20_000))
            low, high = binom.interval(1 - 1e-6, 20_000, share)
            assert low <= drawn <= high
        assert all(AuditPlan(1.0, KEY).drawn_with(task, {}) == 1.0 for task in range(1_000))

    def test_a_larger_share_has_all_that_a_smaller_one_has(self) -> None:
        drawn = [{task for task in range(2_000) if AuditPlan(share, KEY).drawn_with(task, {})} for share in (0.1, 0.3)]
        assert drawn[0] < drawn[1]

    def test_another_key_draws_others_and_those_looked_at_again_are_drawn_anew(self) -> None:
        """Of 20,000 tasks 10 % by one key: of another key's 10 %, and of the 3 %, a tenth are among them too."""
        drawn = {task for task in range(20_000) if PLAN.drawn_with(task, {})}
        another = {task for task in range(20_000) if AuditPlan(0.1, KEY[::-1]).drawn_with(task, {})}
        again = {task for task in range(20_000) if PLAN.place_again(task) is not None}
        for others, share in ((another, 0.1), (again, AGAIN_SHARE)):
            for count, expected in ((len(others), share), (len(drawn & others), 0.1 * share)):
                low, high = binom.interval(1 - 1e-6, 20_000, expected)
                assert low <= count <= high

    def test_the_place_among_those_looked_at_again(self) -> None:
        """0.9150... is not below 3 %."""
        assert fraction(f"{KEY}/continuing", 1) == 0.9150918479988619
        assert PLAN.place_again(1) is None
        first = next(task for task in range(1_000) if PLAN.place_again(task) is not None)
        assert PLAN.place_again(first) == fraction(f"{KEY}/continuing", first) / 0.03

    def test_what_is_blind_comes_first_and_in_the_order_of_the_draw(self) -> None:
        plan = AuditPlan(0.3, KEY)
        drawn = [task for task in range(500) if plan.drawn_with(task, {})]
        made = {task: plan.blind(task, {}, "judge-1") for task in drawn}
        assert made[2] == {"result": [], "score": 0.012258514175056412 / 0.3 * 1e-6, "model_version": "judge-1"}
        assert all(0 <= one["score"] < 1e-6 for one in made.values())
        assert sorted(drawn, key=lambda task: made[task]["score"]) == sorted(drawn, key=plan.position)
        assert {is_blind(one["result"]) for one in made.values()} == {True}
        assert not is_blind([{}])

    def test_groups_are_drawn_by_their_own_shares(self) -> None:
        """Task 2 stands at 0.012 and task 1 at 0.897: with a share of 1 both are in, with 0.5 only the one."""
        plan = AuditPlan(0.5, KEY, "by", (("7", 1.0), ("x", 0.01)))
        given = {name: [plan.drawn_with(task, {"by": name}) for task in (1, 2)] for name in (7, "x", "y", None)}
        assert given == {7: [1.0, 1.0], "x": [None, None], "y": [None, 0.5], None: [None, 0.5]}
        assert plan.drawn_with(1, {}) is None
        assert plan.blind(2, {"by": "7"}, "j")["score"] == 0.012258514175056412 * 1e-6
        assert [group_of(data, "by") for data in ({}, {"by": None}, {"by": 0}, {"by": ["a"]})] == ["", "", "0", "['a']"]


class TestPlanned:
    def test_the_groups_come_to_about_equal_numbers(self) -> None:
        """0.3 of 160 are 48, 16 a group. b has but 10, so 38 are left for two: 19 of 100 and 19 of 50."""
        shares = even_shares({"a": 100, "b": 10, "c": 50}, 0.3)
        assert shares == (("a", 0.19), ("b", 1.0), ("c", 0.38))
        assert even_shares({"a": 3, "b": 5}, 1.0) == (("a", 1.0), ("b", 1.0))
        assert even_shares({"a": 1, "b": 3}, 0.5) == (("a", 1.0), ("b", 1 / 3))

    @given(
        st.dictionaries(st.text(max_size=3), st.integers(1, 500), min_size=1, max_size=8),
        st.floats(1e-6, 1.0),
    )
    def test_all_groups_together_come_to_the_share(self, sizes: Mapping[str, int], share: float) -> None:
        shares = dict(even_shares(sizes, share))
        assert shares.keys() == sizes.keys()
        assert all(0 < one <= 1 for one in shares.values())
        assert sum(shares[name] * size for name, size in sizes.items()) == pytest.approx(share * sum(sizes.values()))
        numbers = {shares[name] * sizes[name] for name in sizes if shares[name] < 1}
        assert max(numbers, default=0) == pytest.approx(min(numbers, default=0))
        assert all(size <= max(numbers) * (1 + 1e-9) for name, size in sizes.items() if numbers and shares[name] == 1)

    def test_a_key_is_drawn_once_and_stays(self) -> None:
        first, second = (planned(Draw(0.1), (), None) for _ in range(2))
        assert first.key != second.key
        assert len(bytes.fromhex(first.key)) == 8
        assert planned(Draw(0.5), (), first) == AuditPlan(0.5, first.key)

    def test_groups_are_counted_in_the_data(self) -> None:
        """Half of 6 are 3, of three groups one each."""
        data = [{"by": "a"}, {"by": "a"}, {"by": "a"}, {"by": "b"}, {"by": "b"}, {}]
        plan = planned(Draw(0.5, "by"), data, PLAN)
        assert plan == AuditPlan(0.5, KEY, "by", (("", 1.0), ("a", 1 / 3), ("b", 0.5)))

    @pytest.mark.parametrize("share", [0.0, -0.5, 1.5, float("nan")])
    def test_a_share_that_is_none_is_refused(self, share: float) -> None:
        with pytest.raises(TrustError, match="--audit is the share of tasks to keep blind, above 0 and at most 1"):
            planned(Draw(share), (), None)

    @pytest.mark.parametrize("data", [(), ({"other": 1},), ({"by": None}, {"by": ""})])
    def test_a_key_that_no_task_has_is_refused(self, data: tuple[dict[str, Any], ...]) -> None:
        with pytest.raises(TrustError) as caught:
            planned(Draw(0.5, "by"), data, None)
        assert str(caught.value) == (
            "no task has `by` in its data; name a key that tells the group, or leave --audit-by out"
        )


def judging(plan: AuditPlan | None) -> Judging:
    xml = default_label_config()
    config = parse_label_config(with_plan(xml, plan) if plan else xml)
    return make_judging(config, ready_rubric(kind_of(config)), JudgeOptions(), Judge("scripted", {}))


class TestGiven:
    def test_a_verdict_of_the_slice_is_kept_and_another_given(self) -> None:
        """Task 2 is in the slice, task 1 is not."""
        by = judging(PLAN)
        made = by.prediction(verdict())
        assert made["result"]
        assert by.given({"id": 1, "data": {}}, verdict()) == Given(made)
        assert by.given({"id": 2, "data": {}}, verdict()) == Given(PLAN.blind(2, {}, by.fingerprint), withheld=made)
        assert by.audit_key == KEY

    def test_without_a_slice_all_is_given(self) -> None:
        by = judging(None)
        for number in (2, "2", None):
            assert by.given({"id": number, "data": {}}, verdict()) == Given(by.prediction(verdict()))
        assert by.audit_key == ""

    @pytest.mark.parametrize("number", ["1", "", None, 1.0, True, -1, 2**63, [1], {"id": 1}])
    def test_of_a_task_whose_number_is_none_nothing_is_shown(self, number: object) -> None:
        """Nobody can tell whether it is in the slice."""
        by, task = judging(PLAN), {"id": number, "data": {}}
        nothing = Given({"result": [], "score": 0.0, "model_version": by.fingerprint})
        assert by.given(task, verdict()) == nothing
        assert by.given({"data": {}}, verdict()) == nothing
        assert number_of(task) is None

    def test_the_slice_is_no_part_of_the_fingerprint(self) -> None:
        assert judging(PLAN).fingerprint == judging(GROUPED).fingerprint == judging(None).fingerprint


def test_a_project_with_a_slice_has_its_tab_first_and_tells_no_disagreement_with_what_nobody_saw() -> None:
    tabs = review_tabs(parse_label_config(with_plan(default_label_config(), PLAN)))
    assert [tab.title for tab in tabs][:2] == ["Audit (blind)", "Least sure first"]
    assert [one["operator"] for one in tabs[0].filters] == ["greater", "not_contains"]
    disagree = next(tab for tab in tabs if tab.title == "Judge and human disagree")
    pairs = [(one["value"], one["child_filter"]["operator"], one["child_filter"]["value"]) for one in disagree.filters]
    assert len(set(pairs)) == 6
    assert {operator for _, operator, _ in pairs} == {"contains"}
    assert all(human != judge for human, _, judge in pairs)


class TestRemembered:
    @pytest.fixture
    def store(self, tmp_path: Path) -> Store:
        return Store(tmp_path / "s.sqlite")

    def test_a_label_config_that_lost_its_slice_is_refused_with_what_to_put_back(self, store: Store) -> None:
        hold_to(store, UID, PLAN)
        for plan in (None, AuditPlan(0.1, KEY[::-1])):
            for check in (must_have_its_slice, hold_to):
                with pytest.raises(LabelConfigError) as caught:
                    check(store, UID, plan)
                assert str(caught.value) == (
                    "the label config has lost the blind slice of project 3, and judging would show what people must "
                    f'not see; put this back into its outermost tag: auditShare="0.1" auditKey="{KEY}"'
                )
        assert remembered(store, UID) == PLAN

    def test_a_share_may_change_and_other_projects_have_their_own(self, store: Store) -> None:
        hold_to(store, UID, PLAN)
        hold_to(store, UID, GROUPED)
        assert remembered(store, UID) == GROUPED
        must_have_its_slice(store, "4.1795361354", None)
        must_have_its_slice(store, "", None)

    def test_what_merely_asks_is_not_remembered(self, store: Store) -> None:
        must_have_its_slice(store, UID, PLAN)
        assert remembered(store, UID) is None

    def test_a_store_that_cannot_be_read_is_no_hindrance(self, store: Store, tmp_path: Path) -> None:
        hold_to(store, UID, PLAN)
        store.close()
        for path in tmp_path.glob("s.sqlite*"):
            if path.is_file():
                path.write_bytes(random.Random(0).randbytes(4096))
        with pytest.raises(StoreError):
            remembered(store, UID)
        must_have_its_slice(store, UID, None)
