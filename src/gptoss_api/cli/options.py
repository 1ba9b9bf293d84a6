"""The settings as options of a command."""

import textwrap
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


class OneOf(click.Choice[str]):
    """One of several words, which are listed alike whether none was given or another."""

    def get_missing_message(self, param: click.Parameter, ctx: click.Context | None) -> str:
        """What is said where no word was given."""
        return self._listed

    def get_invalid_choice_message(self, value: str, ctx: click.Context | None) -> str:
        """What is said of another word."""
        return f"{value!r} is none of them. {self._listed}"

    @property
    def _listed(self) -> str:
        words = textwrap.fill(
            ", ".join(self.choices), initial_indent="  ", subsequent_indent="  ", break_on_hyphens=False
        )
        return f"Choose one of:\n{words}"


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
