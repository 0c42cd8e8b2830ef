"""`doctor`: what is wrong, and what to type."""

from __future__ import annotations

import os
import sys
from typing import Any

import click

from backend.cli.root import engine_options, main, told_plainly


@main.command()
@click.option("--project", "project_id", type=int, help="The project's number, to look at its form, images, backends.")
@click.option("--backend", "backend_url", help="Address of a running backend, as Label Studio sees it.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of {check, state, detail, remedy}.")
@click.option("--no-load", is_flag=True, help="Do not load the model, so download nothing and time nothing.")
@engine_options
@told_plainly
def doctor(project_id: int | None, backend_url: str | None, as_json: bool, no_load: bool, **options: Any) -> None:
    """Check everything between Label Studio and a verdict; each line says what is wrong and what to type.

    Nothing is left behind in Label Studio. Ends with exit code 1 when something failed; warnings are no failure.

    Example: vlm-judge doctor --project 1 --backend http://127.0.0.1:9090 --engine local
    """
    from backend.doctor import Orders, examine, report

    findings = []
    colour = False if os.environ.get("NO_COLOR") else None
    for finding in examine(Orders(project_id, backend_url, not no_load, options)):
        findings.append(finding)
        if not as_json:
            click.echo(report.as_line(finding), color=colour)
    click.echo(report.as_json(findings) if as_json else report.summary(findings))
    sys.exit(1 if any(finding.state == "failed" for finding in findings) else 0)
