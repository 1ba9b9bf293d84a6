"""The command itself: what it is asked, of whom, and how it ends."""

import json
import os
import sys
import warnings
from getpass import GetPassWarning
from typing import Final, NamedTuple

import click
from click.core import ParameterSource

from ...config import ConfigError, Resolution
from ...telemetry.logs import configure_logging
from ..address import NoAddress, gateway_address
from ..options import WrongSetting, read_settings
from ..streams import NOBODY_READS
from .conversation import Conversation, Said, as_unicode, full_name
from .remote import Remote
from .screen import Screen
from .session import EFFORTS, Session
from .source import Failed, Heard, Source

# What a program that was interrupted ends with.
_INTERRUPTED: Final = 130
# Keys that are typed before it is over.
_TRIES: Final = 3
BASE_URL: Final = "GPTOSS_BASE_URL"
KEY: Final = "GPTOSS_API_KEY"


@click.command("chat")
@click.argument("question", nargs=-1)
@click.option("-m", "--model", default="gpt-oss-120b", show_default=True, metavar="NAME", help="Who answers.")
@click.option("-e", "--effort", type=click.Choice(EFFORTS), help="How much the model thinks.")
@click.option("-s", "--system", default="", metavar="TEXT", help="Instructions for the model.")
@click.option(
    "--base-url",
    envvar=BASE_URL,
    metavar="URL",
    help=f"The gateway to ask. [{BASE_URL}; default: at HOST and PORT, else one of yours, else this process]",
)
@click.option("--key", "asks_key", is_flag=True, help=f"Ask for the API key, hidden. [{KEY}]")
@click.option("--no-thinking", is_flag=True, help="Do not show the model's thoughts.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole answer as JSON.")
@click.option("--config", "config_file", metavar="FILE", help="TOML file with settings.")
@click.pass_context
def command(
    ctx: click.Context,
    question: tuple[str, ...],
    model: str,
    effort: str | None,
    system: str,
    base_url: str | None,
    asks_key: bool,
    no_thinking: bool,
    as_json: bool,
    config_file: str | None,
) -> None:
    """Chat in the terminal, or ask one QUESTION.

    What is piped in is read first, and the question is asked about it. The answer goes to standard output,
    everything else to standard error. The exit code is 1 where there is no answer, 130 after Ctrl-C.
    """
    resolution = read_settings({"config_file": config_file})
    settings = resolution.settings
    given = _given(ctx, base_url)
    asked = _asked(as_unicode(" ".join(question)), settings.max_body)
    configure_logging("error", settings.log_format, secrets=settings.secrets)
    conversation = Conversation(full_name(as_unicode(model)), effort, as_unicode(system))
    screen = Screen(thinking=not (no_thinking or as_json), answers=not as_json)
    try:
        key = _asked_key("API key") if asks_key else os.environ.get(KEY, "")
        source = _source(resolution, given, key.strip(), screen)
        try:
            if asked is None:
                Session(source, conversation, screen).run()
            else:
                conversation.said.append(Said("user", asked))
                _answer(source, conversation, screen, as_json=as_json)
        finally:
            source.close()
    except (KeyboardInterrupt, click.Abort):
        screen.end()
        sys.exit(_INTERRUPTED)
    except Failed as failure:
        screen.end()
        screen.fail(str(failure))
        sys.exit(1)


def _asked(question: str, most: int) -> str | None:
    """The one question, with what is piped in before it; ``None`` where a person is to type.

    Raises:
        UsageError: where nothing is asked, or what is piped in cannot be.
    """
    if sys.stdin.isatty():
        return question or None
    data = sys.stdin.buffer.read(most + 1)
    if len(data) > most:
        raise click.UsageError(f"More than {most} bytes were piped in; GPTOSS_MAX_BODY allows no more.")
    try:
        piped = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise click.UsageError("What was piped in is no UTF-8 text.") from None
    asked = "\n\n".join(filter(str.strip, (piped, question)))
    if not asked:
        raise click.UsageError("Nothing is asked: give a question, or pipe one in.")
    return asked


class _Given(NamedTuple):
    """The address of a gateway, without ``/v1``, and the option or the variable that gave it."""

    url: str
    named: str


def _given(ctx: click.Context, base_url: str | None) -> _Given | None:
    if base_url is None:
        return None
    typed = ctx.get_parameter_source("base_url") is ParameterSource.COMMANDLINE
    named = "--base-url" if typed else BASE_URL
    try:
        return _Given(gateway_address(base_url, named), named)
    except NoAddress as refused:
        raise click.UsageError(str(refused)) from None


def _source(resolution: Resolution, given: _Given | None, key: str, screen: Screen) -> Source:
    """The gateway that was named, or that runs where this configuration has it; else one in this process.

    Raises:
        Failed: where something else is at the address that was named.
    """
    from ...server.neighbour import find_neighbour, patience_for
    from ...server.running import find_address

    settings = resolution.settings
    url = given.url if given is not None else find_address(resolution)
    found = find_neighbour(url, {}, patience_for(url))
    if found is not None:
        # The gateway's own keys are there for whoever may read its configuration.
        own = settings.api_keys[0] if settings.api_keys and given is None else ""
        return _opened(Remote(url, key or own, found.upstream))
    if given is not None:
        raise Failed(f"No gateway answers at {url}. Start one with 'serve', or leave out {given.named}.")
    from .local import Local

    try:
        local = Local(settings)
    except ConfigError as error:
        raise WrongSetting(str(error)) from None
    screen.note(f"No gateway runs at {url}; this process asks {local.where}.")
    return local


def _opened(remote: Remote) -> Remote:
    """``remote`` with a key that opens it, which a person at a terminal is asked for.

    Raises:
        Failed: for a key that does not.
    """
    typed = 0
    while (refused := _refused(remote)) is not None:
        if (remote.key and not typed) or typed == _TRIES or not sys.stdin.isatty():
            raise Failed(f"{refused} Set {KEY}, or type it after --key.")
        if typed:
            click.echo(f"Error: {refused}", err=True)
        typed += 1
        remote.key = _asked_key("This gateway wants an API key")
    return remote


def _asked_key(prompt: str) -> str:
    """Raises :class:`Failed` where there is no terminal, which would show what is typed."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", GetPassWarning)
        try:
            key: str = click.prompt(prompt, hide_input=True, err=True)
        except GetPassWarning:
            raise Failed(f"There is no terminal to ask for the API key; set {KEY}.") from None
    return key.strip()


def _refused(remote: Remote) -> Failed | None:
    """Why the key of ``remote`` opens nothing; what else fails, a question may find mended."""
    try:
        remote.models()
    except Failed as failure:
        return failure if failure.wants_key else None
    return None


def _answer(source: Source, conversation: Conversation, screen: Screen, *, as_json: bool) -> None:
    heard = Heard(screen)
    source.ask(conversation, heard)
    screen.end()
    if screen.gone:
        sys.exit(NOBODY_READS)
    if as_json:
        screen.result(json.dumps(_whole(heard), ensure_ascii=False, indent=2))
        return
    if heard.finish_reason == "length":
        screen.note("The answer was cut: it is as long as it may be.")
    for note in heard.notes:
        screen.note(f"Note: {note}")


def _whole(heard: Heard) -> dict[str, object]:
    return {
        "content": "".join(heard.text),
        "reasoning": "".join(heard.reasoning),
        "model": heard.model,
        "upstream": heard.upstream,
        "finish_reason": heard.finish_reason,
        "usage": heard.usage,
        "notes": heard.notes,
    }
