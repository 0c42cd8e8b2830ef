"""`serve` and `demo`: the servers."""

from __future__ import annotations

from typing import Any

import click

from backend.cli.root import engine_options, load_settings, main


@main.command(result=False)
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="Port to listen on.  [default: 9090]")
@engine_options
def serve(**options: Any) -> None:
    """Serve the ML backend that Label Studio connects to.

    It logs to standard error until Ctrl-C or SIGTERM; VLM_JUDGE_LOG_FORMAT=json makes that a JSON object a line.

    Example: vlm-judge serve --engine demo --port 9090
    """
    from backend.serving import serve as serve_backend

    serve_backend(load_settings(**options))


@main.command(result=False, settings=False)
@click.option(
    "--port", type=click.IntRange(1, 65535), help="Label Studio's port.  [default: 8080, or the next free one]"
)
@click.option(
    "--backend-port", type=click.IntRange(1, 65535), help="The backend's port.  [default: 9090, or the next free one]"
)
def demo(**options: Any) -> None:
    """Start a Label Studio with pre-judged sample tasks, ready to review; Ctrl-C stops it.

    Example: vlm-judge demo --port 8081
    """
    from backend.demo import DemoOptions, run_demo

    run_demo(DemoOptions(**options))
