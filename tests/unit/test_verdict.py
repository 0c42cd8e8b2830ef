import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.core.claims import Piece
from backend.core.prompts import YES_NO
from backend.core.rubric import Rubric, parse_rubric
from backend.core.scoring import read_answer
from backend.core.types import Feature, Option, Question, Scored, Span, Unscored
from backend.core.verdict import decision_probs, make_verdict, shown_prob, unsupported_spans

RUBRIC = parse_rubric(
    """
name: two
instructions: Judge.
criteria:
  - id: consistency
    title: Consistency
    question: Does it fit?
    levels:
      - {value: 1, means: Wrong., decision: reject}
      - {value: 2, means: One thing is wrong., decision: fix}
      - {value: 3, means: Right., decision: accept}
  - id: features
    title: Features
    question: All there?
    needs: requested
    levels:
      - {value: 1, means: Missing., decision: reject}
      - {value: 2, means: There., decision: accept}
checks: {claim: "Shown: {claim}?", word: "Right: {word}?"}
""",
    "test",
)


def scored(rubric: Rubric, criterion: int, *probs: float) -> Scored:
    return Scored(rubric.question(rubric.criteria[criterion]), probs, 1.0)


def yes(question: str, prob: float) -> tuple[str, Scored]:
    return question, Scored(Question(question, "?", YES_NO), (prob, 1 - prob), 1.0)


def test_probabilities_of_decisions_are_products_over_criteria() -> None:
    # accept = .7 * .9 = .63; not reject = (.7 + .2) * .9 = .81, so fix = .18; reject = 1 - .81 = .19
    probs = decision_probs(RUBRIC, [scored(RUBRIC, 0, 0.1, 0.2, 0.7), scored(RUBRIC, 1, 0.1, 0.9)])
    assert probs == pytest.approx({"accept": 0.63, "fix": 0.18, "reject": 0.19})


def test_the_weakest_claim_and_feature_have_a_say_where_the_rubric_gives_them_one() -> None:
    # by the criteria accept = .8 * 1, passable = .9 * 1
    answers = [scored(RUBRIC, 0, 0.1, 0.1, 0.8), scored(RUBRIC, 1, 0.0, 1.0)]
    assert decision_probs(RUBRIC, answers, [0.2], [0.3]) == pytest.approx({"accept": 0.8, "fix": 0.1, "reject": 0.1})
    checks = RUBRIC.checks.model_copy(update={"claim_decision": "fix", "feature_decision": "reject"})
    strict = RUBRIC.model_copy(update={"checks": checks})
    # claim: accept = min(.8, .2), passable stays .9
    assert decision_probs(strict, answers, [0.9, 0.2]) == pytest.approx({"accept": 0.2, "fix": 0.7, "reject": 0.1})
    # feature: accept and passable = .3
    assert decision_probs(strict, answers, [0.9], [0.3]) == pytest.approx({"accept": 0.3, "fix": 0.0, "reject": 0.7})


@given(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), st.lists(st.floats(0.01, 1), min_size=2, max_size=2))
def test_probabilities_of_decisions_sum_to_one(first: list[float], second: list[float]) -> None:
    answers = [
        scored(RUBRIC, 0, *(p / sum(first) for p in first)),
        scored(RUBRIC, 1, *(p / sum(second) for p in second)),
    ]
    probs = decision_probs(RUBRIC, answers)
    assert sum(probs.values()) == pytest.approx(1)
    assert min(probs.values()) >= 0


def test_a_verdict_joins_decision_evidence_and_reason() -> None:
    span = Span(2, 7, "green", 0.03)
    answers = [scored(RUBRIC, 0, 0.1, 0.8, 0.1), scored(RUBRIC, 1, 0.05, 0.95)]
    verdict = make_verdict(RUBRIC, answers, [span], [Feature("a dog", 0.9)], "judge-1")
    assert verdict.decision == "fix"
    assert verdict.confidence == pytest.approx(0.9 * 0.95 - 0.1 * 0.95)
    assert verdict.evidence.spans == (span,)
    assert verdict.evidence.rationale == "Consistency 2 of 3: “green” is not supported (p = 0.03)."
    assert verdict.fingerprint == "judge-1"


def test_a_line_names_four_pieces_and_counts_the_others() -> None:
    spans = [Span(i, i + 1, letter, 0.1) for i, letter in enumerate("abcdef")]
    verdict = make_verdict(RUBRIC, [scored(RUBRIC, 0, 1.0, 0.0, 0.0)], spans, [], "j")
    assert verdict.evidence.rationale == (
        "Consistency 1 of 3: “a” is not supported (p = 0.10), “b” is not supported (p = 0.10), "
        "“c” is not supported (p = 0.10), “d” is not supported (p = 0.10), and 2 more."
    )


def test_missing_features_are_named() -> None:
    answers = [scored(RUBRIC, 0, 0.0, 0.0, 1.0), scored(RUBRIC, 1, 0.9, 0.1)]
    verdict = make_verdict(RUBRIC, answers, [], [Feature("a dog", 0.2), Feature("a cat", 0.8)], "j")
    assert verdict.evidence.rationale == "Features 1 of 2: “a dog” is not found (p = 0.20)."


def test_nothing_wrong_is_said_in_words() -> None:
    verdict = make_verdict(RUBRIC, [scored(RUBRIC, 0, 0.0, 0.0, 1.0)], [], [], "j")
    assert verdict.evidence.rationale == "The judge found nothing against it."


def test_doubts_are_named_even_when_every_single_answer_accepts() -> None:
    # accept = .55 * .6 = .33, reject = 1 - .55 * .6 = .67: rejected although both criteria lean to accept
    answers = [scored(RUBRIC, 0, 0.45, 0.0, 0.55), scored(RUBRIC, 1, 0.4, 0.6)]
    verdict = make_verdict(RUBRIC, answers, [], [], "j")
    assert verdict.decision == "reject"
    assert verdict.evidence.rationale == (
        "No single criterion fails, together they are too doubtful; most of all: Consistency (p = 0.45)."
    )


def test_evidence_against_an_accepted_sample_is_said() -> None:
    answers = [scored(RUBRIC, 0, 0.0, 0.0, 1.0), scored(RUBRIC, 1, 0.0, 1.0)]
    verdict = make_verdict(RUBRIC, answers, [Span(0, 1, "x", 0.4)], [Feature("a dog", 0.3)], "j")
    assert verdict.decision == "accept"
    assert verdict.evidence.rationale == (
        "Doubtful: “x” is not supported (p = 0.40).\nDoubtful: “a dog” is not found (p = 0.30)."
    )


def test_an_unscored_criterion_leaves_the_decision_to_a_person() -> None:
    question = RUBRIC.question(RUBRIC.criteria[1])
    verdict = make_verdict(RUBRIC, [scored(RUBRIC, 0, 0.0, 0.0, 1.0), Unscored(question, "too dark")], [], [], "j")
    assert (verdict.decision, verdict.decision_probs, verdict.confidence) == (None, {}, 0.0)
    assert verdict.evidence.rationale == (
        "Features: not scored, too dark.\nThe judge gives no verdict; please decide yourself."
    )


def test_an_unsupported_claim_is_marked_whole_or_by_its_wrong_words() -> None:
    text = "A red dog, a green cat, a sofa"
    claims = {0: Piece(0, 9, "A red dog"), 1: Piece(11, 22, "a green cat"), 2: Piece(24, 30, "a sofa")}
    answers = dict(
        [
            yes("claim:0", 0.9),
            yes("claim:1", 0.1),
            yes("word:1:0", 0.8),
            yes("word:1:1", 0.2),
            yes("word:1:2", 0.7),
            yes("claim:2", 0.3),
            yes("word:2:0", 0.8),
            yes("word:2:1", 0.9),
        ]
    )
    assert unsupported_spans(claims, answers) == (Span(13, 18, "green", 0.2), Span(24, 30, "a sofa", 0.3))
    assert text[13:18] == "green"


def test_an_answer_keeps_the_mass_outside_the_menu() -> None:
    question = Question("q", "?", (Option("yes", "Yes"), Option("no", "No")))
    answer = read_answer(question, [math.log(0.6), math.log(0.2)])
    assert isinstance(answer, Scored)
    assert answer.probs == pytest.approx((0.75, 0.25))
    assert answer.label_mass == pytest.approx(0.8)


@pytest.mark.parametrize("logprob", [math.log(0.2), float("nan"), float("-inf")])
def test_too_little_mass_on_the_menu_is_no_answer(logprob: float) -> None:
    question = Question("q", "?", (Option("yes", "Yes"), Option("no", "No")))
    answer = read_answer(question, [logprob, math.log(0.1)])
    assert isinstance(answer, Unscored)
    assert "on the menu" in answer.reason


def test_expected_value_and_best_option() -> None:
    answer = scored(RUBRIC, 0, 0.2, 0.5, 0.3)
    assert answer.expected == pytest.approx(0.2 + 1.0 + 0.9)
    assert answer.best == "2"


@pytest.mark.parametrize(
    ("prob", "shown"),
    [(0.0, "p < 0.01"), (0.0049, "p < 0.01"), (0.005, "p = 0.01"), (0.5, "p = 0.50"), (0.996, "p > 0.99")],
)
def test_a_probability_is_never_shown_as_certain(prob: float, shown: str) -> None:
    assert shown_prob(prob) == shown
