"""``gptoss-api completion``."""

import click
from click.shell_completion import get_completion_class

from .options import OneOf


@click.command("completion")
@click.argument("shell", type=OneOf(["bash", "zsh", "fish"]))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print what makes a shell complete commands and options.

    \b
    bash: gptoss-api completion bash >> ~/.bashrc
    zsh:  gptoss-api completion zsh >> ~/.zshrc  (after compinit)
    fish: gptoss-api completion fish > ~/.config/fish/completions/gptoss-api.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    completion = kind(ctx.find_root().command, {}, "gptoss-api", "_GPTOSS_API_COMPLETE")
    source = completion.source_template % completion.source_vars()
    click.echo(source)
