"""The rubrics that come along, and one of a user's own, from the file to the controls."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest
from click.testing import CliRunner
from PIL import Image

from backend.cli import main
from backend.core.kinds import Kind, kind_of
from backend.core.label_config import parse_label_config
from backend.core.rubric import Rubric, load_rubric
from backend.core.types import Answer, Question, Scored, Unscored
from backend.core.verdict import decision_probs, make_verdict
from backend.engines.base import JudgeRequest
from backend.engines.rubrics import ready_rubric
from backend.engines.scripted import ScriptedEngine
from backend.errors import RubricError, SettingsError
from backend.interfaces import rubric_file, rubric_names, rubric_summary
from backend.service import JudgeService, Prepared
from backend.settings import load_settings
from backend.store import Store

KINDS: tuple[Kind, ...] = get_args(Kind)
LANGUAGES = ("de", "es", "fr", "zh")

OWN = """
# Posters for a shop
name: posters
instructions: You check posters.
criteria:
  - id: brand_colours
    title: Brand colours
    question: How well does the poster keep to the brand's colours?
    weight: 2
    levels:
      - {value: 1, means: Not at all., decision: reject}
      - {value: 2, means: In part., decision: fix}
      - {value: 3, means: Throughout., decision: accept}
  - id: mood
    title: Mood
    question: How cheerful is it?
    weight: 0
    levels:
      - {value: 1, means: Sad., decision: reject}
      - {value: 2, means: Cheerful., decision: accept}
checks: {claim: "Does the poster say {claim}?", word: "Is {word} right in {claim}?"}
"""
OWN_XML = """
<View>
  <Image name="image" value="$image"/><Text name="slogan" value="$slogan"/>
  <Rating name="brand_colours" toName="image" maxRating="3"/><Rating name="mood" toName="image" maxRating="5"/>
  <Choices name="verdict" toName="image"><Choice value="accept"/><Choice value="fix"/><Choice value="reject"/></Choices>
  <TextArea name="rationale" toName="image"/>
</View>
"""


class Shelf:
    """The same picture under every name."""

    def load(self, uri: str, task: str | None = None) -> Image.Image:
        return Image.new("RGB", (8, 8))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = Store(tmp_path / "verdicts.sqlite")
    yield store
    store.close()


def answered(rubric: Rubric, *probs: tuple[float, ...]) -> list[Scored]:
    return [Scored(rubric.question(line), each, 1.0) for line, each in zip(rubric.criteria, probs, strict=True)]


def test_every_kind_has_a_rubric_of_its_name_and_every_file_one_of_its_own() -> None:
    assert set(rubric_names()) == {*KINDS, *(f"image-text.{language}" for language in LANGUAGES)}
    assert [load_rubric(rubric_file(name)).name for name in rubric_names()] == list(rubric_names())
    assert len({rubric_summary(name) for name in rubric_names()}) == len(rubric_names())


@pytest.mark.parametrize("name", [name for name in rubric_names() if name != "preference-pair"])
def test_the_ready_rubrics_rate_from_one_to_five_in_sentences(name: str) -> None:
    rubric = load_rubric(rubric_file(name))
    assert all([level.value for level in line.levels] == [1, 2, 3, 4, 5] for line in rubric.criteria)
    assert all(level.means.endswith((".", "。")) for line in rubric.criteria for level in line.levels)
    assert all([line.levels[0].decision, line.levels[-1].decision] == ["reject", "accept"] for line in rubric.criteria)
    assert {line.id for line in rubric.criteria} >= {"visual_realism", "requested_features"}


@pytest.mark.parametrize("name", rubric_names())
def test_requests_name_the_keys_that_their_replies_have(name: str) -> None:
    requests = load_rubric(rubric_file(name)).requests
    keys = {
        "caption": ["text"],
        "vqa": ["question", "answer"],
        "ocr": ["text"],
        "correct": ["text"],
        "box": ["bbox_2d"],
    }
    for request, named in keys.items():
        wording = getattr(requests, request)
        assert wording is None or all(f'"{key}"' in wording for key in named)
        assert wording is None or "JSON" in wording


def test_documents_are_read_blind_and_large() -> None:
    rubric = ready_rubric("document")
    assert rubric.max_pixels == 4096 * 28 * 28
    assert rubric.transcription is not None
    assert (rubric.transcription.fix_above, rubric.transcription.reject_above) == (0.02, 0.2)


@pytest.mark.parametrize("language", LANGUAGES)
def test_another_language_asks_the_same(language: str) -> None:
    def structure(rubric: Rubric) -> object:
        criteria = [
            (line.id, line.needs, line.weight, [(level.value, level.decision) for level in line.levels])
            for line in rubric.criteria
        ]
        requests = {name: bool(wording) for name, wording in rubric.requests.model_dump().items()}
        said = (rubric.checks.claim_decision, rubric.checks.feature_decision, bool(rubric.checks.feature))
        return criteria, requests, said, rubric.max_pixels, rubric.show_levels, rubric.only_wording

    english, other = ready_rubric("image-text"), load_rubric(rubric_file(f"image-text.{language}"))
    assert structure(other) == structure(english)
    ours = [english.question(line).text for line in english.criteria]
    theirs = [other.question(line).text for line in other.criteria]
    assert not any(line in "\n".join(theirs).splitlines() for text in ours for line in text.splitlines())
    for wording in (other.checks.claim, other.checks.word, str(other.checks.feature)):
        assert "Yes" in wording
        assert "No" in wording


def test_weight_is_the_exponent_on_a_criterions_share(tmp_path: Path) -> None:
    """Colours (weight 2): accept 0.8, not rejected 0.9; mood (weight 0) has no say: 0.64, 0.81 - 0.64, 1 - 0.81."""
    (tmp_path / "own.yaml").write_text(OWN)
    rubric = load_rubric(tmp_path / "own.yaml")
    answers = answered(rubric, (0.1, 0.1, 0.8), (1.0, 0.0))
    assert decision_probs(rubric, answers) == pytest.approx({"accept": 0.64, "fix": 0.17, "reject": 0.19})
    (tmp_path / "even.yaml").write_text(OWN.replace("weight: 2", "weight: 1").replace("weight: 0", "weight: 1"))
    even = load_rubric(tmp_path / "even.yaml")
    answers = answered(even, (0.1, 0.1, 0.8), (0.5, 0.5))
    assert decision_probs(even, answers) == pytest.approx({"accept": 0.4, "fix": 0.05, "reject": 0.55})


def test_what_has_no_weight_is_told_but_cannot_hold_up_the_decision(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_text(OWN)
    rubric = load_rubric(tmp_path / "own.yaml")
    colours, _ = answered(rubric, (0.0, 0.0, 1.0), (1.0, 0.0))
    verdict = make_verdict(rubric, [colours, Unscored(rubric.question(rubric.criteria[1]), "no reply")], (), (), "j")
    assert (verdict.decision, verdict.confidence) == ("accept", 1.0)
    assert verdict.evidence.rationale == "Mood: not scored, no reply."
    colours, mood = answered(rubric, (0.0, 0.0, 1.0), (1.0, 0.0))
    verdict = make_verdict(rubric, [colours, mood], (), (), "j")
    assert (verdict.decision, verdict.evidence.rationale) == ("accept", "Mood 1 of 2: Sad.")


def test_a_rubric_of_ones_own_fills_the_ratings_of_its_names(tmp_path: Path, store: Store) -> None:
    (tmp_path / "own.yaml").write_text(OWN)

    def script(request: JudgeRequest, question: Question) -> Answer:
        assert request.instructions == "You check posters."
        wanted = {"brand_colours": "2", "mood": "1"}.get(question.id, "yes")
        rest = 0.1 / (len(question.options) - 1)
        return Scored(question, tuple(0.9 if o.value == wanted else rest for o in question.options), 1.0)

    settings = load_settings(rubric=str(tmp_path / "own.yaml"))
    assert settings.rubric is not None
    service = JudgeService(ScriptedEngine(script), Shelf(), store, load_rubric(settings.rubric))
    config = parse_label_config(OWN_XML)
    [prepared] = service.prepare([{"id": 1, "data": {"image": "poster", "slogan": "Buy."}}], config)
    assert isinstance(prepared, Prepared)
    [verdict] = service.judge([prepared])
    made = service.judging(config).prediction(verdict)
    assert {region["from_name"]: region["value"] for region in made["result"]} == {
        "brand_colours": {"rating": 2},
        "mood": {"rating": 1},
        "verdict": {"choices": ["fix"]},
        "rationale": {"text": ["Brand colours 2 of 3: In part.\nMood 1 of 2: Sad."]},
    }


@pytest.mark.parametrize(
    ("texts", "kind"),
    [(("caption",), "image-text"), (("question", "answer"), "question-answer"), (("transcription",), "document")],
)
def test_a_project_gets_the_rubric_of_its_kind(texts: tuple[str, ...], kind: str, store: Store) -> None:
    shown = "".join(f'<Text name="{name}" value="${name}"/>' for name in texts)
    config = parse_label_config(
        f'<View><Image name="image" value="$image"/>{shown}<Rating name="visual_realism" toName="image"/></View>'
    )
    assert kind_of(config) == kind
    assert JudgeService(ScriptedEngine(), Shelf(), store).judging(config).rubric.name == kind


def test_the_setting_takes_a_file_or_the_name_of_a_ready_one(tmp_path: Path) -> None:
    assert load_settings(rubric="image-text.de").rubric == rubric_file("image-text.de")
    assert load_settings(rubric=str(tmp_path / "mine.yaml")).rubric == tmp_path / "mine.yaml"
    assert load_settings(rubric="mine.yml").rubric == Path("mine.yml")
    assert load_settings().rubric is None
    with pytest.raises(
        SettingsError, match=r"--rubric: there is no ready rubric image-text\.it; there are chart, check"
    ):
        load_settings(rubric="image-text.it")
    with pytest.raises(RubricError, match="there is no ready rubric nothing"):
        rubric_file("nothing")


def test_the_ready_rubrics_can_be_listed_and_copied(tmp_path: Path) -> None:
    listed = CliRunner().invoke(main, ["rubric", "list"])
    assert [line.split()[0] for line in listed.output.splitlines()] == list(rubric_names())
    assert "chart            Texts about charts" in listed.output
    shown = CliRunner().invoke(main, ["rubric", "show", "chart"])
    (tmp_path / "mine.yaml").write_text(shown.output, encoding="utf-8")
    assert load_rubric(tmp_path / "mine.yaml").hash == ready_rubric("chart").hash
    wrong = CliRunner().invoke(main, ["rubric", "show", "art"])
    assert (wrong.exit_code, "there is no ready rubric art; there are chart" in wrong.output) == (1, True)
