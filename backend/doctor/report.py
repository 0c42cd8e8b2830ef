"""Findings as text and as JSON."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from typing import get_args

import click

from backend.doctor.findings import Finding, State

_COLOURS: dict[State, str] = {"ok": "green", "warning": "yellow", "failed": "red", "skipped": "bright_black"}
_WIDTH = max(len(state) for state in _COLOURS)


def as_line(finding: Finding) -> str:
    """One line: the state (coloured; `click.echo` takes the colour off where there is no terminal), check, sentence."""
    mark = click.style(finding.state.ljust(_WIDTH), fg=_COLOURS[finding.state], bold=finding.state == "failed")
    said = " ".join(finding.detail.split())
    remedy = f". Remedy: {finding.remedy}" if finding.remedy else ""
    return f"{mark}  {finding.check}: {said}{remedy}"


def as_json(findings: Sequence[Finding]) -> str:
    """A list of objects with `check`, `state`, `detail` and `remedy`."""
    return json.dumps([asdict(finding) for finding in findings], indent=2, ensure_ascii=False)


def summary(findings: Sequence[Finding]) -> str:
    """How many there are of each state."""
    counts = Counter(finding.state for finding in findings)
    return ", ".join(f"{counts[state]} {state}" for state in get_args(State))
