"""Ratings written as rows, one entry per rater."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from backend.core.trust.agreement.raters import Category, Ratings


def ratings(
    rows: Sequence[Sequence[Category | None]], categories: Sequence[Category], weights: Sequence[float] | None = None
) -> Ratings:
    """One unit per row, None where a rater said nothing; every unit is its own image. Weights get a mean of 1."""
    places = [[np.nan if entry is None else float(categories.index(entry)) for entry in row] for row in rows]
    width = len(rows[0]) if rows else 0
    scaled = None if weights is None else np.asarray(weights, dtype=np.float64) / np.mean(weights)
    return Ratings(
        tuple(categories), np.array(places, dtype=np.float64).reshape(len(rows), width), range(len(rows)), scaled
    )
