"""The command line: ``gptoss-api serve``, ``login``, ``keys``, ``usage`` and ``config``."""

from importlib import import_module

import click

from .. import __version__

_COMMANDS = ("serve", "login", "keys", "usage", "config")


class _Commands(click.Group):
    """Imports a command when it is asked for: none needs what the others need."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f".{cmd_name}", __name__).command
        return command


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, message="gptoss-api %(version)s")
def main() -> None:
    """An OpenAI-compatible API for gpt-oss-120b and gpt-oss-20b."""
