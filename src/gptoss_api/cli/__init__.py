"""The command line: ``gptoss-api serve``, ``chat``, ``login``, ``keys``, ``usage`` and others."""

import difflib
from importlib import import_module

import click

from .. import __version__

_COMMANDS = (
    "serve",
    "chat",
    "login",
    "doctor",
    "setup",
    "launch",
    "keys",
    "usage",
    "config",
    "verify",
    "service",
    "completion",
)


class _Commands(click.Group):
    """Imports a command when it is asked for: none needs what the others need."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f".{cmd_name}", __name__).command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        near = difflib.get_close_matches(name, _COMMANDS, 1, 0.5)
        if name in _COMMANDS or not near or name.startswith("-"):
            return super().resolve_command(ctx, args)
        raise click.UsageError(f"No such command {name!r}. Did you mean {near[0]!r}?", ctx)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="gptoss-api %(version)s")
def main() -> None:
    """An OpenAI-compatible API for gpt-oss-120b and gpt-oss-20b."""
