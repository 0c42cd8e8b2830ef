"""What a statement about a judge is bound to, so that it can be seen to be void."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Binding:
    """The judge and the data that a statement was made about."""

    fingerprint: str
    """The judge's: model, revision, precision, image size, rubric, prompt, versions."""
    tasks_digest: str
    """Of the project's form, of its tasks and of what the judge answered to them, as `digest_of` makes it."""

    def void_because(self, now: Binding) -> str | None:
        """Why a statement bound to this does not hold for what is there now; None while it holds."""
        if now.fingerprint != self.fingerprint:
            return (
                f"the judge has changed: it was {self.fingerprint}, now it is {now.fingerprint}. "
                "Label a blind slice of the new judge's verdicts and certify anew"
            )
        if now.tasks_digest != self.tasks_digest:
            return (
                "the project has changed since: its form, its tasks, or what the judge said of them. "
                "Draw the blind slice again from the tasks as they are now and certify anew"
            )
        return None


def digest_of(tasks: Iterable[tuple[int, str]]) -> str:
    """One hash for all tasks, whatever their order: SHA-256 over id and content hash of each, hexadecimal."""
    digest = hashlib.sha256()
    for task, content in sorted(tasks):
        digest.update(f"{task}:{len(content)}:{content};".encode())
    return digest.hexdigest()
