"""What `vlm-judge certify` hands out: one certificate, or one for each group that was drawn by itself."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from backend.core.audit import group_of
from backend.core.trust.acceptance.bad_accepted import BadAccepted, bad_accepted_from_json
from backend.core.trust.acceptance.binding import Binding
from backend.core.trust.acceptance.certificate import Certificate, certificate_from_json


@dataclass(frozen=True, slots=True)
class Issued:
    """Certificates that hold at once."""

    certificates: Mapping[str, Certificate | BadAccepted]
    """By group; the one of an even draw under an empty name. Groups that got none are absent."""
    by: str = ""
    """The key in the tasks' data that tells the group; empty after an even draw."""
    calibration: str = ""
    """Names the calibration whose confidences they are about; empty where these are the judge's own."""

    @property
    def binding(self) -> Binding:
        """The judge and the tasks that all of them are about."""
        return next(iter(self.certificates.values())).binding

    @property
    def id(self) -> str:
        """Twelve hexadecimal digits that name it."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    def threshold(self, data: Mapping[str, Any]) -> float | None:
        """The confidence from which a task with these data may be accepted; None where none may."""
        found = self.certificates.get(group_of(data, self.by) if self.by else "")
        return found.threshold if found else None

    def to_json(self) -> str:
        """As one line that `issued_from_json` reads."""
        each = {name: json.loads(found.to_json()) for name, found in sorted(self.certificates.items())}
        return json.dumps({"by": self.by, "calibration": self.calibration, "certificates": each}, sort_keys=True)

    def void_because(self, now: Binding, calibration: str) -> str | None:
        """Why they do not hold for this judge, these tasks and this calibration; None while they do."""
        if self.calibration != calibration and now.fingerprint == self.binding.fingerprint:
            return "the confidence has been calibrated since, so that the threshold means something else; certify anew"
        return self.binding.void_because(now)


def issued_from_json(text: str) -> Issued:
    """What `to_json` wrote. Raises ValueError for anything else."""
    try:
        found = json.loads(text)
        each = {str(name): _read(json.dumps(one)) for name, one in found["certificates"].items()}
        if not each:
            raise ValueError("it holds no certificate")
        return Issued(each, str(found["by"]), str(found["calibration"]))
    except (KeyError, TypeError, AttributeError, ValueError) as exc:
        raise ValueError(f"this is no certificate of ours: {exc}; certify anew") from exc


def _read(text: str) -> Certificate | BadAccepted:
    is_certificate = json.loads(text).get("type") == "certificate"
    return certificate_from_json(text) if is_certificate else bad_accepted_from_json(text)
