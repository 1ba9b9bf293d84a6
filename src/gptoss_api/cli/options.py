"""The settings as options of a command."""

from collections.abc import Callable, Mapping
from typing import Any

import click
from click.shell_completion import CompletionItem

from ..config import OPTIONS, ConfigError, Option, Resolution, resolve
from ..config.values import flag, path

Command = Callable[..., Any]


class WrongSetting(click.ClickException):
    """A setting that cannot be used: one line on standard error, exit code 2."""

    exit_code = 2


def setting_options(command: Command) -> Command:
    """Gives ``command`` an option for every setting but the secrets: every user sees the process list."""
    for option in reversed(OPTIONS):
        if not option.secret:
            command = _decorator(option)(command)
    return command


def read_settings(given: Mapping[str, object]) -> Resolution:
    """The settings with what was ``given`` on the command line, by field name.

    Raises:
        WrongSetting: naming the first that cannot be used.
    """
    try:
        return resolve(given)
    except ConfigError as error:
        raise WrongSetting(str(error)) from None


def tell_no_store(shown: str) -> None:
    """Says that the state store ``shown`` was never made; who only looks for something makes none."""
    click.echo(
        f"There is no state store {shown} yet: no gateway has used it, and no key was made there. Run this "
        "as the user that the gateway runs as, or say with --state or GPTOSS_STATE where its store is.",
        err=True,
    )


def _decorator(option: Option) -> Callable[[Command], Command]:
    told = f"{option.purpose} [{option.env}; default: {option.default or 'none'}]"
    if option.kind is flag:
        flags = f"{option.flag}/--no-{option.flag[2:]}" if option.default == "on" else option.flag
        return click.option(flags, option.name, is_flag=True, default=None, help=told)

    def complete(ctx: click.Context, parameter: click.Parameter, begun: str) -> list[CompletionItem]:
        if option.kind is path:
            return [CompletionItem(begun, type="file")]
        return [CompletionItem(word) for word in option.kind.words if word.startswith(begun)]

    return click.option(option.flag, option.name, metavar="VALUE", shell_complete=complete, help=told)
