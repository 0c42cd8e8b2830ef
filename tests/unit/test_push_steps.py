"""In which commits a push is made: all of it, none too large, and never half a dataset for who loads it meanwhile."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from exporters.files.folder import CARD, MARKER
from exporters.hub.plan import (
    Change,
    Digests,
    HereFile,
    PlannedFile,
    PushPlan,
    PushTarget,
    There,
    manifest_text,
    read_manifest,
)

OLD, NEW = Digests("a" * 64, "a" * 40), Digests("b" * 64, "b" * 40)
CHANGES = st.sampled_from(["add", "remove", "same"])


def plan(changes: list[Change]) -> PushPlan:
    """Of data files with these changes, and a card and a manifest that change."""
    named = {f"data/{number}.parquet": change for number, change in enumerate(changes)}
    here = {path: HereFile(b"", 0, NEW) for path, change in named.items() if change != "remove"}
    files = [PlannedFile(path, one, 0, b"" if one == "add" else None) for path, one in named.items()]
    files += [PlannedFile(CARD, "replace", 0, b""), PlannedFile(MARKER, "replace", 0, manifest_text(here).encode())]
    before = {path: NEW if change == "same" else OLD for path, change in named.items() if change != "add"}
    return PushPlan(PushTarget("me/dots"), "", There(exists=True, manifest=before), tuple(files), (), ())


@given(st.lists(CHANGES, max_size=40), st.integers(3, 12))
def test_every_change_is_made_once_and_the_card_turns_between_what_comes_and_what_goes(
    changes: list[Change], most: int
) -> None:
    made = plan(changes)
    steps = made.steps(most)
    assert all(len(step) <= most for step in steps)
    done = [one for step in steps for one in step if one.path != MARKER]
    assert sorted(one.path for one in done) == sorted(one.path for one in made.changes if one.path != MARKER)
    order = [{"add": 0, "replace": 1, "remove": 2}[one.change] for one in done]
    assert len(steps) == 1 or order == sorted(order)
    assert made.steps(len(made.changes)) == (made.changes,)


@given(st.lists(CHANGES, min_size=4, max_size=40))
def test_every_commit_has_the_manifest_of_what_is_there_then(changes: list[Change]) -> None:
    made = plan(changes)
    there = dict(made.there.manifest or {})
    for step in made.steps(3):
        for one in step:
            if one.change == "add":
                there[one.path] = NEW
            elif one.change == "remove":
                del there[one.path]
        [content] = [one.content for one in step if one.path == MARKER]
        assert isinstance(content, bytes)
        assert read_manifest(content.decode()) == there
    [final] = [one.content for one in made.files if one.path == MARKER]
    assert isinstance(final, bytes)
    assert read_manifest(final.decode()) == there
