"""Who said what of a task: people who saw the judge's answer, people who did not, and the judge itself."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from backend.annotated import AnnotatedTask, Annotation, Prediction, unblinded
from backend.authorship import (
    ACCEPTED,
    is_accepted,
    is_audited,
    is_judgement,
    is_mass_created,
    newest_judgement,
    parent_of,
    saw_prediction,
    was_shown,
)
from backend.core.label_config import parse_label_config
from backend.errors import StudioError

CONFIG = parse_label_config(
    """<View><Image name="image" value="$image"/>
    <Choices name="verdict" toName="image"><Choice value="accept"/><Choice value="fix"/></Choices></View>"""
)
JUDGE = "judge-0123456789ab"


def at(hour: int) -> datetime:
    return datetime(2026, 1, 1, hour, tzinfo=UTC)


def choice(value: str, **more: Any) -> dict[str, Any]:
    """A region of the verdict."""
    value_ = {"choices": [value]}
    return {"id": "v", "from_name": "verdict", "to_name": "image", "type": "choices", "value": value_, **more}


SAYS_FIX, SAYS_ACCEPT = choice("fix"), choice("accept")


def shown(number: int = 1, hour: int | None = 1, *, version: str = JUDGE) -> Prediction:
    created = None if hour is None else at(hour)
    return Prediction(number, (SAYS_FIX,), 0.75, version, created)


def blind(number: int = 1, hour: int = 1, *, version: str = JUDGE) -> Prediction:
    return Prediction(number, (), 1e-7, version, at(hour))


def notice(number: int = 1) -> Prediction:
    """What the first versions of the backend left where a task could not be judged."""
    return Prediction(number, (SAYS_FIX,), None, "judge-failed", at(1))


def annotation(*result: dict[str, Any], parent: int | None = None, hour: int | None = 5, **fields: Any) -> Annotation:
    values: dict[str, Any] = {
        "was_cancelled": False,
        "completed_by": 7,
        "updated_by": 7,
        "lead_time_s": 12.5,
        "created_at": at(3),
        "updated_at": None if hour is None else at(hour),
        "ground_truth": False,
        **fields,
    }
    return Annotation(9, result, parent_prediction=parent, **values)


def task(written: Annotation, *predictions: Prediction) -> AnnotatedTask:
    return AnnotatedTask(3, {"image": "a.png"}, (written,), predictions)


def revealed(found: AnnotatedTask, version: str = JUDGE) -> AnnotatedTask:
    """With what the store keeps of its blind prediction."""
    kept = {"result": [SAYS_FIX], "score": 0.9, "model_version": version, "created_at": "2026-01-01T01:00:00"}
    return unblinded(found, (kept,))


class TestSawPrediction:
    MANUAL = choice("fix", origin="manual")

    @pytest.mark.parametrize(
        ("written", "predictions", "saw"),
        [
            (annotation(MANUAL, parent=1), (shown(),), True),
            (annotation(MANUAL), (shown(),), True),
            (annotation(MANUAL), (), False),
            (annotation(MANUAL, parent=1), (), True),
            (annotation(MANUAL, parent=2), (shown(1, 8),), True),
            (annotation(choice("fix", origin="prediction")), (), True),
            (annotation(choice("fix", origin="prediction-changed")), (), True),
            (annotation(choice("fix", origin="prediction"), parent=1), (blind(),), True),
            (annotation(MANUAL, hour=5), (shown(hour=5),), True),
            (annotation(MANUAL, hour=5), (shown(hour=6),), False),
            (annotation(MANUAL, hour=5), (shown(hour=None),), True),
            (annotation(MANUAL, hour=None), (shown(hour=4),), False),
            (annotation(MANUAL, hour=None), (shown(hour=2),), True),
            (annotation(MANUAL, hour=None, created_at=None), (shown(hour=8),), True),
            (annotation(MANUAL, parent=1), (notice(),), False),
            (annotation(was_cancelled=True), (shown(),), True),
            (annotation(was_cancelled=True), (blind(),), False),
        ],
        ids=[
            *("began with it", "began empty, but it was there", "there was none", "what it began with was deleted"),
            *("what it began with was deleted, another came later", "kept a region of it", "changed a region of it"),
            *("kept a region of what was made blind later", "came at that moment", "came later", "nobody knows when"),
            *("never updated, came later", "never updated, was there", "nobody knows when it was written"),
            *("began with a notice", "skipped it", "skipped a blind one"),
        ],
    )  # fmt: skip
    def test_what_was_before_them(self, written: Annotation, predictions: tuple[Prediction, ...], saw: bool) -> None:
        assert saw_prediction(task(written, *predictions), written) is saw

    def test_what_is_kept_in_the_store_was_seen_by_nobody(self) -> None:
        written = annotation(self.MANUAL, parent=1)
        before = task(written, blind())
        after = revealed(before)
        assert after.predictions == (Prediction(1, (SAYS_FIX,), 0.9, JUDGE, at(1), withheld=True),)
        assert [saw_prediction(one, written) for one in (before, after)] == [False, False]

    def test_of_two_judges_one_that_is_shown_is_enough(self) -> None:
        written = annotation(self.MANUAL, parent=1)
        both = task(written, blind(1), shown(2, 4, version="other-0123456789ab"))
        assert saw_prediction(revealed(both), written) is True
        assert (
            saw_prediction(revealed(task(written, blind(1), blind(2, version="other-0123456789ab"))), written) is False
        )


class TestPredictions:
    def test_what_is_blind_or_a_notice_is_no_judgement(self) -> None:
        kept = revealed(task(annotation(), blind())).predictions[0]
        each = (shown(), blind(), notice(), kept)
        assert [is_judgement(one) for one in each] == [True, False, False, True]
        assert [was_shown(one) for one in each] == [True, False, False, False]
        assert [is_audited(task(annotation(), one)) for one in each] == [False, True, False, True]
        assert is_audited(task(annotation(), shown(1), blind(2)))
        assert not is_audited(task(annotation(), Prediction(1, (), None, "judge-pending", at(1))))

    def test_what_is_kept_takes_the_place_of_its_own_judge_s_alone(self) -> None:
        found = task(annotation(), blind(1), blind(2, version="other-0123456789ab"), shown(3))
        assert revealed(found).predictions == (
            Prediction(1, (SAYS_FIX,), 0.9, JUDGE, at(1), withheld=True),
            *found.predictions[1:],
        )
        assert unblinded(found, ()) == found

    def test_the_newest_counts_of_any_judge_or_of_this_one(self) -> None:
        other = shown(3, 2, version="other-0123456789ab")
        all_of_them = (shown(1, 1), other, blind(4, 9), shown(2, 1), notice(5), shown(6, None))
        assert newest_judgement(all_of_them) == other
        assert newest_judgement(all_of_them, JUDGE) == shown(2, 1)
        assert newest_judgement(all_of_them, "another") is None
        assert newest_judgement((blind(), notice())) is None


class TestAccepted:
    MARKED = choice("accept", meta={ACCEPTED: "c-1", "judge": {}})

    @pytest.mark.parametrize(
        ("written", "accepted"),
        [
            (annotation(MARKED, lead_time_s=None), True),
            (annotation(MARKED, lead_time_s=0.0), True),
            (annotation(MARKED, MARKED, lead_time_s=None, updated_by=None), True),
            (annotation(MARKED, lead_time_s=0.5), False),
            (annotation(MARKED, SAYS_FIX, lead_time_s=None), False),
            (annotation(choice("fix", meta={"judge": {}}), lead_time_s=None), False),
            (annotation(choice("fix", meta=ACCEPTED), lead_time_s=None), False),
            (annotation(lead_time_s=None), False),
        ],
        ids=["its own", "no time", "all marked", "worked on", "one added", "not marked", "no object", "empty"],
    )
    def test_the_judge_s_own_is_known_by_its_marks_and_that_nobody_worked_on_it(
        self, written: Annotation, accepted: bool
    ) -> None:
        assert is_accepted(written) is accepted


class TestMassCreated:
    """`created` is what "Create annotations from predictions" leaves: no time, nobody who updated it, no origins."""

    @staticmethod
    def created(*result: dict[str, Any], parent: int | None = 1, **more: Any) -> Annotation:
        return annotation(*result, parent=parent, **{"lead_time_s": None, "updated_by": None, **more})

    @pytest.mark.parametrize(
        ("written", "predictions", "mass"),
        [
            (created(SAYS_FIX), (shown(),), True),
            (created({**SAYS_FIX, "id": "other"}), (shown(),), True),
            (created(SAYS_FIX), (), True),
            (created(), (blind(),), True),
            (created(SAYS_FIX), (blind(),), False),
            (created(SAYS_ACCEPT), (shown(),), False),
            (created(), (shown(),), False),
            (created(SAYS_FIX, parent=None), (shown(),), False),
            (created(SAYS_FIX, lead_time_s=3.0), (shown(),), False),
            (created(SAYS_FIX, updated_by=7), (shown(),), False),
            (created(choice("fix", origin="manual")), (shown(),), False),
        ],
        ids=[
            *("as it was", "with new ids", "the prediction was deleted", "of a blind one", "by hand on a blind one"),
            *("says otherwise", "emptied", "no parent", "took time", "updated", "has an origin"),
        ],
    )  # fmt: skip
    def test_it_is_told_from_what_people_write(
        self, written: Annotation, predictions: tuple[Prediction, ...], mass: bool
    ) -> None:
        assert is_mass_created(task(written, *predictions), written, CONFIG) is mass

    def test_of_a_blind_one_it_is_held_against_what_was_shown_and_not_against_what_is_kept(self) -> None:
        empty, says_the_same = self.created(), self.created(SAYS_FIX)
        assert is_mass_created(revealed(task(empty, blind())), empty, CONFIG)
        assert not is_mass_created(revealed(task(says_the_same, blind())), says_the_same, CONFIG)

    def test_a_region_that_cannot_be_read_names_the_task(self) -> None:
        broken = self.created({"from_name": "verdict", "type": "choices", "value": None})
        with pytest.raises(StudioError, match=r"^task 3: an annotation or prediction has a region that cannot be read"):
            is_mass_created(task(broken, shown()), broken, CONFIG)

    def test_its_parent_is_found_by_number(self) -> None:
        written = annotation(parent=2)
        assert parent_of(task(written, shown(1), shown(2)), written) == shown(2)
        assert parent_of(task(written, shown(1)), written) is None
