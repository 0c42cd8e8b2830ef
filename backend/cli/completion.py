"""`completion`: has the shell complete commands and options."""

from __future__ import annotations

import click

from backend.cli.command import FAILED
from backend.cli.root import main

VARIABLE = "_VLM_JUDGE_COMPLETE"
"""What click names the variable by which a shell asks for completions of `vlm-judge`."""


@main.command(result=False, settings=False)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that has a shell complete commands, options and their values.

    \b
    bash (4.4 or newer), in ~/.bashrc:
      eval "$(vlm-judge completion bash)"
    zsh, in ~/.zshrc:
      eval "$(vlm-judge completion zsh)"
    fish:
      vlm-judge completion fish > ~/.config/fish/completions/vlm-judge.fish

    Example: vlm-judge completion bash
    """  # noqa: D301
    from click.shell_completion import get_completion_class

    of_shell = get_completion_class(shell)
    if of_shell is None:
        raise click.UsageError(f"this click completes nothing in {shell}; upgrade it with: pip install --upgrade click")
    try:
        click.echo(of_shell(main, {}, "vlm-judge", VARIABLE).source())
    except RuntimeError as exc:  # a bash that is too old
        click.echo(f"Error: {exc}", err=True)
        ctx.exit(FAILED)
