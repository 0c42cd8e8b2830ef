"""What an export tells the person who asked for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from exporters.card.page import REASONS
from exporters.files.written import WrittenConfig, loading
from exporters.hub.plan import PushPlan
from exporters.hub.push import Pushed
from exporters.images.pictures import NO_PICTURES, PictureCounts
from exporters.records.tally import Counts


@dataclass(frozen=True, slots=True)
class ExportSummary:
    """What an export did."""

    folder: Path
    counts: Counts
    configs: tuple[WrittenConfig, ...] = ()
    """Those that hold rows; the first is loaded when none is named."""
    empty: tuple[WrittenConfig, ...] = ()
    """Those that were asked for and would hold none."""
    splits: tuple[str, ...] = ()
    """Those that were asked for."""
    pictures: PictureCounts = NO_PICTURES
    notes: tuple[str, ...] = ()
    """What is not as in the project, a line each."""
    plan: PushPlan | None = None
    """What a push would change; None where none was asked for, or it was carried out."""
    pushed: Pushed | None = None

    @property
    def rows_out(self) -> int:
        """Rows in the dataset."""
        return self.counts.rows_out

    def lines(self) -> tuple[str, ...]:
        """What to tell the person who exported; the last three lines are code that loads the result."""
        lines = [*self._of_tasks(), *self.notes, *self._of_configs(), *self._of_pictures()]
        lines.append(f"written to {self.folder}")
        if self.plan is not None:
            lines += [*self.plan.lines(), "dry run: nothing was written to the Hub"]
        if self.pushed is not None:
            lines.append(self.pushed.line())
        is_there = self.pushed is not None and self.pushed.pull_request is None
        name = self.pushed.plan.target.repo_id if self.pushed is not None and is_there else str(self.folder)
        first = self.configs[0]
        return (
            *lines,
            "",
            "from datasets import load_dataset",
            f"rows = {loading(name, self.configs, first, first.splits[0])}",
            "print(rows[0])",
        )

    def _of_tasks(self) -> list[str]:
        counts = self.counts
        deciders = ", ".join(f"{number} {name}" for name, number in counts.decided_by.items())
        lines = [counts.balance(), f"decided by: {deciders}"]
        lines += [f"left out, {REASONS[reason]}: {_tasks(ids)}" for reason, ids in counts.left_out.items()]
        if counts.several:
            lines.append(f"several annotations: {counts.several} rows, {counts.disagreeing} with different verdicts")
        if counts.missing_text:
            lines.append(
                "no final text, the fix, the verdict, a preferred text or the text itself is missing: "
                f"{_tasks(counts.missing_text)}"
            )
        return lines

    def _of_configs(self) -> list[str]:
        lines = [f"config {config.name}: {config.balance()}" for config in self.configs]
        for config in self.configs:
            lacking = [name for name in self.splits if name not in {split.name for split in config.splits}]
            if lacking:
                lines.append(f"config {config.name} has no split {', '.join(lacking)}: no row of it falls there")
        return [*lines, *(f"no config {config.name}: {why_empty(config)}" for config in self.empty)]

    def _of_pictures(self) -> list[str]:
        lines = []
        if self.counts.missing_images:
            lines.append(f"null image, it could not be read: {_tasks(self.counts.missing_images)}")
        of = f"of {self.pictures.images} images"
        if self.pictures.without_place:
            lines.append(f"where it was taken was removed from {self.pictures.without_place} {of}")
        if self.pictures.encoded:
            lines.append(f"{self.pictures.encoded} {of} were encoded anew")
        return lines


def why_empty(config: WrittenConfig) -> str:
    """Why a config holds no row."""
    return ", ".join(f"{count} rows left out ({reason})" for reason, count in config.left_out.items())


def _tasks(ids: tuple[int, ...], shown: int = 10) -> str:
    more = f" and {len(ids) - shown} more" if len(ids) > shown else ""
    return f"tasks {', '.join(map(str, ids[:shown]))}{more}" if len(ids) > 1 else f"task {ids[0]}"
