"""The command line: ``gptoss-api serve``, ``chat``, ``login``, ``keys``, ``usage`` and others."""

import difflib
import errno
import sys
from importlib import import_module
from typing import Any

import click

from .. import __version__
from .streams import FULL, give_up, open_streams, unwritable_told

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

    def main(self, *args: Any, **extra: Any) -> Any:
        open_streams()
        try:
            return super().main(*args, **extra)
        except OSError as error:
            if error.errno not in (*FULL, errno.EPIPE):
                raise
            # Not even what went wrong can be said.
            give_up(sys.stdout, sys.stderr)
            sys.exit(1)

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        with unwritable_told():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with unwritable_told():
            return super().invoke(ctx)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="gptoss-api %(version)s")
def main() -> None:
    """An OpenAI-compatible API for gpt-oss-120b and gpt-oss-20b."""
