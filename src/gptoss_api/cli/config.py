"""``gptoss-api config``."""

import json
import os
from collections.abc import Iterator

import click

from ..config import ConfigError, Option, Resolution
from ..core.redaction import Redactor
from .options import WrongSetting, read_settings, setting_options


@click.command("config", short_help="Show every setting, its value and its source.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@setting_options
def command(as_json: bool, **given: object) -> None:
    """Show every setting, what is in force and where it came from; secrets stay hidden.

    Takes the options of 'serve', to show what they would do.
    """
    resolution = read_settings(given)
    redact = Redactor(resolution.settings.secrets)
    click.echo(_as_json(resolution, redact) if as_json else "\n".join(_as_text(resolution, redact)))
    for warning in resolution.warnings:
        click.echo(f"Warning: {redact(warning)}", err=True)
    from ..gateway import choose_upstreams, created_keys_exist, open_state, read_credentials

    try:
        resolution.refuse_exposure(created_keys_exist)
        settings = resolution.settings
        chosen = choose_upstreams(settings, read_credentials(settings), os.environ)
        chosen.refuse_unreadable_login()
        open_state(settings)
    except ConfigError as error:
        raise WrongSetting(str(error)) from None
    if chosen.warning:
        click.echo(f"Warning: {chosen.warning}.", err=True)
    if not as_json:
        click.echo(redact(f"\nAnswers come from {chosen.names}: {chosen.because}."))


def _as_text(resolution: Resolution, redact: Redactor) -> Iterator[str]:
    rows = [
        (option.env, redact(option.show(value)) or option.default or "none", redact(str(source)))
        for option, value, source in resolution
    ]
    names = max(len(name) for name, _, _ in rows)
    # One long value must not push every other line's source off the screen.
    values = max(len(value) for _, value, _ in rows if len(value) <= 48)
    for name, value, source in rows:
        yield f"{name:<{names}}  {value:<{values}}  {source}"


def _as_json(resolution: Resolution, redact: Redactor) -> str:
    return json.dumps(
        {
            option.name: {
                "variable": option.env,
                "value": _json_value(option, value, redact),
                "source": redact(str(source)),
            }
            for option, value, source in resolution
        },
        indent=2,
    )


def _json_value(option: Option, value: object, redact: Redactor) -> object:
    if option.secret or option.kind.delicate:
        return redact(option.show(value)) or None
    if value is None or isinstance(value, bool | int | float):
        return value
    if isinstance(value, tuple) and all(isinstance(item, str) for item in value):
        return [redact(item) for item in value]
    return redact(value if isinstance(value, str) else option.show(value))
