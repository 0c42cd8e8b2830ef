"""One picture of an evaluation: is a probability what it says, and does it tell good from bad."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from backend.core.measures import ECE_BINS, Array, Bin, reliability_bins
from backend.core.trust.acceptance.intervals import wilson
from backend.errors import EvaluationError
from backend.evaluation.measure import Curves
from backend.evaluation.run import Evaluation

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, QUIET, GRID = "#1b2430", "#6b7686", "#e4e8ee"
JUDGE_COLOUR, BLANK_COLOUR, GOOD_COLOUR, BAD_COLOUR = "#1f5fd0", "#a3adbb", "#2f8f5b", "#c8442e"
HISTOGRAM_BINS = 40
ROWS_PER_BIN = 20
"""With fewer rows the diagram has fewer bins than the ECE, so that a point still says something."""

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "axes.edgecolor": QUIET,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.titlesize": 12,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "xtick.color": QUIET,
    "ytick.color": QUIET,
    "text.color": INK,
    "legend.frameon": False,
}


def draw(evaluation: Evaluation, path: Path) -> None:
    """Write the reliability diagram and the ROC curve, side by side, as PNG. Raises EvaluationError."""
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    with rc_context(STYLE):
        figure = Figure(figsize=(11, 6.2), dpi=150, facecolor="white")
        grid = figure.add_gridspec(
            2, 2, height_ratios=[5, 1], hspace=0.3, wspace=0.2, left=0.065, right=0.975, top=0.81, bottom=0.095
        )
        above, below = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[1, 0])
        _reliability(above, evaluation.curves)
        _histogram(below, evaluation.curves)
        _roc(figure.add_subplot(grid[:, 1]), evaluation.curves)
        figure.text(0.065, 0.95, "Judge against human labels", fontsize=15, fontweight="bold", color=INK)
        figure.text(0.065, 0.905, _subtitle(evaluation), fontsize=9.5, color=QUIET)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            figure.savefig(path)
        except OSError as exc:
            raise EvaluationError(f"cannot write {path}: {exc.strerror}; name another folder with --out") from exc


def _subtitle(evaluation: Evaluation) -> str:
    source = evaluation.source if len(evaluation.source) <= 70 else f"...{evaluation.source[-67:]}"
    return f"{source}   ·   {evaluation.judged} rows judged   ·   {' and '.join(evaluation.rubrics)}"


def _reliability(axes: Axes, curves: Curves) -> None:
    axes.set_title("Reliability", pad=10)
    axes.set_ylabel(f"share that people call {_said(curves)}")
    _square(axes)
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    if not len(curves.truth):
        _note(axes, "not computable: no row has a verdict")
        return
    count = min(ECE_BINS, max(4, len(curves.truth) // ROWS_PER_BIN))
    bins = reliability_bins(curves.truth, curves.judge, count)
    x, y = [item.mean_prob for item in bins], [item.share_true for item in bins]
    low, high = np.array([_interval(item) for item in bins]).T
    axes.vlines(x, low, high, color=JUDGE_COLOUR, alpha=0.35, linewidth=2, zorder=2)
    axes.plot(x, y, color=JUDGE_COLOUR, linewidth=1.8, marker="o", markersize=5, zorder=3, clip_on=False)
    axes.text(0.04, 0.95, "judge too low", color=QUIET, fontsize=8.5, va="top")
    axes.text(0.96, 0.05, "judge too high", color=QUIET, fontsize=8.5, ha="right")


def _histogram(axes: Axes, curves: Curves) -> None:
    """How often each probability is given, by what people said."""
    said = _said(curves)
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    places, width = edges[:-1] + edges[1] / 2, float(edges[1]) * 0.9
    good = np.histogram(curves.judge[curves.truth == 1], edges)[0]
    bad = np.histogram(curves.judge[curves.truth == 0], edges)[0]
    axes.bar(places, good, width, color=GOOD_COLOUR, alpha=0.6, label=f"{said}, by people")
    axes.bar(places, bad, width, good, color=BAD_COLOUR, alpha=0.6, label=f"not {said}")
    axes.set_xlim(0, 1)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.tick_params(length=0, pad=6)
    axes.set_xlabel(f"judge's probability of {said}")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 0.93), ncols=2, fontsize=8.5, labelcolor=QUIET, handlelength=1)


def _said(curves: Curves) -> str:
    return "preferred" if curves.of_pairs else "good"


def _roc(axes: Axes, curves: Curves) -> None:
    from sklearn.metrics import roc_auc_score, roc_curve

    axes.set_title("ROC", pad=10)
    axes.set_xlabel("share of the bad that pass (false positives)")
    axes.set_ylabel("share of the good that pass (true positives)")
    _square(axes)
    axes.plot([0, 1], [0, 1], color=QUIET, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    if len(np.unique(curves.truth)) < 2:
        _note(axes, "not computable: it needs good and bad rows")
        return
    drawn: list[tuple[str, Array | None, str, float]] = [
        ("blank image", curves.blank, BLANK_COLOUR, 1.6),
        ("judge", curves.judge, JUDGE_COLOUR, 2.2),
    ]
    for name, scores, colour, width in drawn:
        if scores is None:
            continue
        x, y, _ = roc_curve(curves.truth, scores, drop_intermediate=False)
        area = roc_auc_score(curves.truth, scores)
        axes.plot(x, y, color=colour, linewidth=width, zorder=3, clip_on=False, label=f"{name}, area {area:.3f}")
        if name == "judge":
            axes.fill_between(x, y, color=colour, alpha=0.06, zorder=0)
    handles, labels = axes.get_legend_handles_labels()
    axes.legend(handles[::-1], labels[::-1], loc="lower right", fontsize=9.5)


def _square(axes: Axes) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_xticks(np.linspace(0, 1, 6))
    axes.set_yticks(np.linspace(0, 1, 6))
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=6)


def _note(axes: Axes, text: str) -> None:
    axes.text(0.5, 0.5, text, ha="center", va="center", color=QUIET, backgroundcolor="white")


def _interval(item: Bin) -> tuple[float, float]:
    """Of the share in a bin, 95 %; rows are taken as independent here."""
    found = wilson(round(item.share_true * item.rows), item.rows)
    return found.low, found.high
