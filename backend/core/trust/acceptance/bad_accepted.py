"""A threshold by the share of all tasks that are accepted and wrong, by conformal risk control."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from math import ceil, floor

from backend.core.trust.acceptance.binding import Binding
from backend.core.trust.acceptance.certificate import BlindLabel, NoCertificate, must_fit


@dataclass(frozen=True, slots=True)
class BadAccepted:
    """A threshold above which, on average over slices, at most `max_bad` of all tasks are accepted and wrong."""

    max_bad: float
    threshold: float
    accepted: int
    tasks: int
    errors_above: int
    labels: int
    bound: float
    """(errors + 1) / (labels + 1), at most max_bad."""
    binding: Binding

    def to_json(self) -> str:
        """As one line that `bad_accepted_from_json` reads."""
        return json.dumps({"type": "bad accepted", **asdict(self)})


def bad_accepted_from_json(text: str) -> BadAccepted:
    """What `to_json` wrote. Raises ValueError for anything else."""
    try:
        found = json.loads(text)
        if found.pop("type") != "bad accepted":
            raise ValueError("another type")
        return BadAccepted(binding=Binding(**found.pop("binding")), **found)
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise ValueError(f"this is no such statement of ours: {exc}; make it anew") from exc


def fewest_labels(max_bad: float) -> int:
    """Of fewer labels, whatever they say, no threshold follows; 19 for 5 %."""
    return ceil(1 / max_bad - 1e-9) - 1


def bad_accepted(
    max_bad: float,
    labels: Sequence[BlindLabel],
    project: Mapping[int, float],
    binding: Binding,
    fitted_on: Collection[int] = (),
) -> BadAccepted | NoCertificate:
    """The lowest threshold with (n R + 1) / (n + 1) <= max_bad, R the share of the slice that is above it and wrong.

    Conformal risk control (Angelopoulos et al. 2022, arXiv 2208.02814): the loss "accepted and wrong" of a task never
    grows with the threshold and is at most 1, so its expectation for a further task of the same kind is at most
    max_bad. An expectation over slices, not a confidence: a single slice may be unlucky. It is no bound for the share
    of wrong ones among the accepted, whose loss is not monotone; that is what a certificate is for.

    Assumes a slice drawn at random, as `certify` does, and raises ValueError as it does.
    """
    if not 0 < max_bad < 1:
        raise ValueError(f"max_bad must lie between 0 and 1, not {max_bad}")
    must_fit(labels, project, fitted_on)
    count = len(labels)
    if len({label.probability for label in labels}) > 1:
        return NoCertificate("the slice was not drawn evenly, so its errors cannot simply be counted", count)
    allowed = floor(max_bad * (count + 1) + 1e-9) - 1
    if allowed < 0:
        missing = fewest_labels(max_bad) - count
        return NoCertificate(f"{missing} more blind labels are needed", count, None, missing)
    wrong = sorted((project[label.task] for label in labels if label.wrong), reverse=True)
    floor_of_accepted = wrong[allowed] if len(wrong) > allowed else float("-inf")
    accepted = [confidence for confidence in project.values() if confidence > floor_of_accepted]
    if not accepted:
        return NoCertificate("the judge is wrong where it is most confident; no threshold will do", count)
    threshold = min(accepted)
    errors = sum(confidence >= threshold for confidence in wrong)
    bound = (errors + 1) / (count + 1)
    return BadAccepted(max_bad, threshold, len(accepted), len(project), errors, count, bound, binding)
