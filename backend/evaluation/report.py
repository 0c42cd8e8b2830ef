"""What an evaluation came to: as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import platform
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from backend.core.measures import LEVEL, Estimate, NotComputable, Outcome
from backend.errors import EvaluationError
from backend.evaluation.compare import DIFFERENCE, WITH, WITHOUT, Comparison, finding_of
from backend.evaluation.measure import BLANK, CONSTANT, JUDGE, LENGTH, Group
from backend.evaluation.run import Evaluation

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

VERSION = 1
"""Of the JSON's form."""
BASELINES = (BLANK, CONSTANT, LENGTH)
PACKAGES = (
    "vlm-judge-label-studio",
    "torch",
    "transformers",
    "datasets",
    "numpy",
    "pillow",
    "scikit-learn",
    "scipy",
)


def write_json(evaluation: Evaluation, path: Path) -> None:
    """Write everything that is known of the evaluation. Raises EvaluationError when the file cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(as_json(evaluation), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as exc:
        raise EvaluationError(f"cannot write {path}: {exc.strerror}; name another folder with --out") from exc


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as plain data."""
    options = evaluation.options
    return {
        "version": VERSION,
        "made_at": datetime.now(UTC).isoformat(timespec="seconds"),
        "source": evaluation.source,
        "format": evaluation.format,
        "data_sha256": evaluation.data_sha256,
        "fingerprints": list(evaluation.rubrics),
        "rubrics": [{"name": rubric.name, "sha256": rubric.hash} for rubric in evaluation.rubrics.values()],
        "engine": evaluation.engine,
        "versions": _versions(),
        "options": {
            "good_from": options.good_from,
            "limit": options.limit,
            "baseline": options.baseline,
            "resamples": options.bootstrap.resamples,
            "seed": options.bootstrap.seed,
            "level": LEVEL,
        },
        "rows": {
            "read": evaluation.rows,
            "judged": evaluation.judged,
            "left_out": evaluation.reasons,
            "without_blank_answer": evaluation.blank_failures,
        },
        "problems": [{"row": p.row, "reason": p.reason, "detail": p.detail} for p in evaluation.problems],
        "groups": [_group(group) for group in evaluation.groups],
        **_examples(evaluation),
    }


def print_report(evaluation: Evaluation, console: Console) -> None:
    """The table, what it is of, and the rows that are not in it."""
    about = " and ".join(evaluation.rubrics)
    if evaluation.examples:
        about += f", which is shown {len(evaluation.examples.entries)} examples"
    console.print(f"{evaluation.source}, read as {evaluation.format}; judge {about}", highlight=False, markup=False)
    console.print(_table(evaluation, lines=console.is_terminal))
    for reason in _reasons(evaluation):
        console.print(reason, highlight=False, markup=False)
    left_out = len(evaluation.problems)
    console.print(
        f"{evaluation.rows} rows = {evaluation.judged} judged + {left_out} left out. Intervals: 95 %, "
        f"{evaluation.options.bootstrap.resamples} resamples of whole images.",
        highlight=False,
    )
    for reason, count in evaluation.reasons.items():
        console.print(f"left out: {count} x {reason}", highlight=False, markup=False)
    if evaluation.blank_failures:
        console.print(f"no answer with a blank image: {evaluation.blank_failures} rows", highlight=False)
    if evaluation.comparison:
        console.print(_comparison_table(evaluation.comparison, lines=console.is_terminal))
        console.print(evaluation.comparison.sentence, highlight=False, markup=False)


def _table(evaluation: Evaluation, lines: bool) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD if lines else None, pad_edge=False)
    used = [name for name in BASELINES if any(name in line.by for group in evaluation.groups for line in group.lines)]
    table.add_column("", no_wrap=True)
    for name in ("n", JUDGE, "95 % interval", *used):
        table.add_column(name, justify="right", no_wrap=True)
    for index, group in enumerate(evaluation.groups):
        if index:
            table.add_row()
        table.add_row(f"[bold]{_escaped(group.name)}[/bold], {group.rows} rows on {group.images} images")
        for line in group.lines:
            own = line.by[JUDGE]
            table.add_row(
                f"  {_escaped(line.measure)}",
                str(own.rows),
                f"[bold]{_value(own)}[/bold]",
                _interval(own),
                *(_value(line.by[name]) if name in line.by else "" for name in used),
            )
    return table


def _comparison_table(comparison: Comparison, lines: bool) -> Table:
    from rich import box
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD if lines else None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in ("n", WITHOUT, WITH, DIFFERENCE, "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("the examples", no_wrap=True)
    for index, group in enumerate(comparison.groups):
        if index:
            table.add_row()
        table.add_row(f"[bold]{_escaped(group.name)}[/bold], {group.rows} rows on {group.images} images")
        for line in group.lines:
            table.add_row(
                f"  {_escaped(line.measure)}",
                str(line.by[DIFFERENCE].rows),
                *(_value(line.by[name]) for name in (WITHOUT, WITH, DIFFERENCE)),
                _interval(line.by[DIFFERENCE]),
                finding_of(line),
            )
    return table


def _examples(evaluation: Evaluation) -> dict[str, Any]:
    """What the judge was shown and whether it helped; nothing without examples."""
    examples, comparison = evaluation.examples, evaluation.comparison
    if examples is None or comparison is None:
        return {}
    shown = {
        "kind": examples.kind,
        "count": len(examples.entries),
        "tasks": list(examples.tasks),
        "images_shown": examples.show_images and any(entry.pictures for entry in examples.entries),
    }
    said = {"about": comparison.about, "measure": comparison.measure, "finding": comparison.finding}
    groups = [
        {
            **_group(group),
            "measures": [
                {**found, "finding": finding_of(line)}
                for found, line in zip(_group(group)["measures"], group.lines, strict=True)
            ],
        }
        for group in comparison.groups
    ]
    return {"examples": shown, "comparison": {**said, "sentence": comparison.sentence, "groups": groups}}


def _reasons(evaluation: Evaluation) -> list[str]:
    """Why the judge has no value somewhere."""
    return [
        f"{group.name}, {line.measure}: not computable: {outcome.reason}"
        for group in evaluation.groups
        for line in group.lines
        if isinstance(outcome := line.by[JUDGE], NotComputable)
    ]


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _value(outcome: Outcome) -> str:
    return f"{outcome.value:.3f}" if isinstance(outcome, Estimate) else "–"


def _interval(outcome: Outcome) -> str:
    if not isinstance(outcome, Estimate):
        return "not computable"
    if outcome.low is None or outcome.high is None:
        return "one image only"
    return f"{outcome.low:.3f} to {outcome.high:.3f}"


def _group(group: Group) -> dict[str, Any]:
    measures = [
        {"measure": line.measure, **{name.replace(" ", "_"): _outcome(value) for name, value in line.by.items()}}
        for line in group.lines
    ]
    return {"name": group.name, "rows": group.rows, "images": group.images, "measures": measures}


def _outcome(outcome: Outcome) -> dict[str, Any]:
    if isinstance(outcome, Estimate):
        return {
            "value": outcome.value,
            "low": outcome.low,
            "high": outcome.high,
            "rows": outcome.rows,
            "images": outcome.clusters,
        }
    return {"not_computable": outcome.reason, "rows": outcome.rows}


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
