"""`doctor`: what is wrong, and what to type."""

from __future__ import annotations

import json
from typing import Any

import click

from backend.cli.command import FAILED, Result, config_file, wants_json
from backend.cli.root import engine_options, main


@main.command()
@click.option("--project", "project_id", type=int, help="The project's number, to look at its form, images, backends.")
@click.option("--backend", "backend_url", help="Address of a running backend, as Label Studio sees it.")
@click.option("--no-load", is_flag=True, help="Do not load the model, so download nothing and time nothing.")
@engine_options
def doctor(project_id: int | None, backend_url: str | None, no_load: bool, **options: Any) -> Result:
    """Check everything between Label Studio and a verdict; each line says what is wrong and what to type.

    Nothing is left behind in Label Studio. Ends with exit code 1 when something failed; warnings are no failure.

    Example: vlm-judge doctor --project 1 --backend http://127.0.0.1:9090 --engine local
    """
    from backend.doctor import Orders, examine, report

    findings = []
    given = {**options, "config_file": config_file()}
    for finding in examine(Orders(project_id, backend_url, not no_load, given)):
        findings.append(finding)
        if not wants_json():
            click.echo(report.as_line(finding))
    failed = any(finding.state == "failed" for finding in findings)
    data = {"findings": json.loads(report.as_json(findings)), "failed": failed}
    return Result(data, (report.summary(findings),), FAILED if failed else 0)
