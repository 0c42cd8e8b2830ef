"""Which split a row belongs to: told by its image's content alone, so that one image never sits on two sides. Pure.

BLAKE2b of the image's identity is a number that is as good as drawn evenly from [0, 1); the shares cut that range. So
the split does not depend on the order of rows, on the machine or on the rest of the project: when tasks are added, the
images that were there stay where they are. Within every group of rows (a generator, a verdict) the shares hold about,
because the draw knows nothing of groups: of n images a share s gets n s, give or take sqrt(n s (1 - s)).

Two things need all images before the first row is written; a `Survey` takes them in, about 400 bytes of memory each:

- Tasks with several images: images that occur in one task belong together, and so do those that they occur with
  elsewhere. All of them follow the smallest identity among them. Where all tasks share one picture, all are on one
  side.
- Exact shares within groups (`--stratify`): each group's images stand in the order of their draw and are cut where the
  shares say: of n images a share s gets n s, rounded up or down. Which of the two a number drawn from the group's name
  tells, so that the shares hold over many small groups as well. An image whose rows are of several groups counts for
  the group that comes first in the alphabet. Then images may change sides when tasks are added.
"""

from __future__ import annotations

import hashlib
import math
import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

from backend.errors import ExportError

ALL = "train"
"""Name of the split when there is one only."""
_NAME = re.compile(r"\w+(\.\w+)*", re.ASCII)
"""What `datasets` takes for a split's name."""
_EVERYTHING = "all"
"""What `datasets` calls all splits together."""
_HALF = 32
"""So many of the 64 hex digits of a SHA-256 are enough to tell images apart."""
_WRITTEN = "write it as train=0.9,validation=0.05,test=0.05"


@dataclass(frozen=True, slots=True)
class Share:
    """One split and how much of the images it gets."""

    name: str
    share: float
    """In (0, 1]."""


WHOLE = (Share(ALL, 1.0),)


def parse_shares(text: str) -> tuple[Share, ...]:
    """Splits as `train=0.9,test=0.1`. Raises ExportError when they are not that, or do not sum to 1."""
    shares = tuple(_share(part) for part in text.split(","))
    names = [share.name for share in shares]
    if len(set(names)) < len(names):
        raise ExportError(f"--splits {text} names a split twice; {_WRITTEN}")
    total = math.fsum(share.share for share in shares)
    if abs(total - 1) > 1e-9:
        raise ExportError(f"the shares of --splits {text} sum to {total:g}; they must sum to 1")
    return shares


def drawn(identity: str) -> float:
    """The draw of an image, in [0, 1): 8 bytes of BLAKE2b of the first half of its identity, read as a number."""
    digest = hashlib.blake2b(identity[:_HALF].encode(), digest_size=8, person=b"vlm-judge split").digest()
    return (int.from_bytes(digest, "big") >> 11) / 2**53


class Splits:
    """Splits and who belongs to which."""

    def __init__(self, shares: tuple[Share, ...] = WHOLE, placed: Mapping[bytes, str] | None = None) -> None:
        """`placed` is what a survey found; images that it does not know go by their own draw."""
        self.shares = shares
        self._placed = placed or {}
        self._cuts = _cuts(shares)

    @property
    def names(self) -> tuple[str, ...]:
        """The splits in the order in which they were given."""
        return tuple(share.name for share in self.shares)

    def of(self, task: int, identities: Sequence[str]) -> str:
        """The split of a row with these images; of one without any, it follows from its task's number."""
        for identity in identities:  # some may have become readable, or come to the task, since the survey
            if (placed := self._placed.get(_key(identity))) is not None:
                return placed
        draw = drawn(identities[0] if identities else f"task {task}")
        return self.shares[bisect_right(self._cuts, draw)].name


class Survey:
    """Which images belong together, and to which group: what a first pass over the records finds out."""

    def __init__(self) -> None:
        self._parents: dict[bytes, bytes] = {}
        self._groups: dict[bytes, str] = {}

    def add(self, identities: Sequence[str], group: str = "") -> None:
        """Take in one record."""
        roots = sorted({self._root(_key(identity)) for identity in identities})
        for root in roots:
            self._parents[root] = roots[0]
        if roots:
            groups = (self._groups.pop(root, group) for root in roots)
            self._groups[roots[0]] = min(group, *groups)

    def placed(self, shares: tuple[Share, ...], *, exact: bool) -> Mapping[bytes, str]:
        """The split of every image; `exact` cuts each group where the shares say."""
        cuts, names = _cuts(shares), [share.name for share in shares]
        draws = {root: drawn(root.hex()) for root in self._groups}
        if exact:
            draws = self._ranked(draws)
        sides = {root: names[bisect_right(cuts, draw)] for root, draw in draws.items()}
        return {image: sides[self._root(image)] for image in list(self._parents)}

    def _ranked(self, draws: Mapping[bytes, float]) -> dict[bytes, float]:
        """In the place of each draw its rank in its group, evenly over [0, 1), from where the group's name draws.

        Were all ranks taken in their middle, no group of fewer than five images would reach a last share of a tenth.
        """
        members: dict[str, list[bytes]] = {}
        for root in sorted(draws, key=lambda root: (draws[root], root)):
            members.setdefault(self._groups[root], []).append(root)
        starts = {name: drawn(hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()) for name in members}
        return {
            root: (rank + starts[name]) / len(group)
            for name, group in members.items()
            for rank, root in enumerate(group)
        }

    def _root(self, image: bytes) -> bytes:
        """The smallest identity among those that belong together with this one."""
        found = self._parents.setdefault(image, image)
        while found != self._parents[found]:
            found = self._parents[found]
        while image != found:  # the way is shorter next time
            self._parents[image], image = found, self._parents[image]
        return found


def _key(identity: str) -> bytes:
    return bytes.fromhex(identity[:_HALF])


def _cuts(shares: tuple[Share, ...]) -> list[float]:
    """Where each split but the last ends."""
    return list(accumulate(share.share for share in shares))[:-1]


def _share(part: str) -> Share:
    name, equals, number = (word.strip() for word in part.partition("="))
    try:
        share = float(number)
    except ValueError:
        share = math.nan
    if not equals or not 0 < share <= 1:
        raise ExportError(f"{part.strip()!r} is no split and its share between 0 and 1; {_WRITTEN}")
    if not _NAME.fullmatch(name) or name == _EVERYTHING:
        raise ExportError(f"{name!r} cannot name a split; use letters, digits and _, and not `{_EVERYTHING}`")
    return Share(name, share)
