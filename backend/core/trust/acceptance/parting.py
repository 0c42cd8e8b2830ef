"""Which labels of the blind slice fit the confidence, and which are kept for the certificate."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable


def part(tasks: Iterable[int], key: str, fitting_share: float = 1 / 3) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The tasks to fit on and those to certify with, each rising.

    A keyed hash of the task's id decides (BLAKE2b), so that it is the same on every machine, does not change when
    labels are added, and cannot depend on what they say: the second part stays a random draw, as `certify` needs. Take
    another key than for the draw of the slice, or all of the slice may fall on one side.

    Raises ValueError for a share outside of 0 to 1 and for a key of more than 64 bytes.
    """
    if not 0 <= fitting_share <= 1:
        raise ValueError(f"fitting_share must lie between 0 and 1, not {fitting_share}")
    limit = fitting_share * 2**64
    fitting: list[int] = []
    certifying: list[int] = []
    for task in sorted(tasks):
        digest = hashlib.blake2b(str(task).encode(), digest_size=8, key=key.encode()).digest()
        (fitting if int.from_bytes(digest) < limit else certifying).append(task)
    return tuple(fitting), tuple(certifying)
