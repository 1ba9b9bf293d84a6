"""``gptoss-api login``: keeps the cookies of a logged-in browser where the gateway finds them."""

import sys

import click

from .hidden_input import read_hidden
from .options import read_settings

PROMPT = """\
1. Open https://gpt-oss.com in a browser, log in and send a message.
2. Open the developer tools (F12), tab Network, and choose the request named chatkit.
3. Copy the value of its Cookie request header (or the whole request, "Copy as cURL").
Paste it here and press Enter; it is not shown: """


@click.command("login")
@click.option("--config", "config_file", metavar="FILE", help="TOML file with settings.")
@click.option("--credentials-file", metavar="FILE", help="File in which the login is kept.")
def command(**given: str | None) -> None:
    """Keep the cookies of a browser that is logged in at gpt-oss.com.

    Reads them from standard input, or asks for them at a terminal: a Cookie header, the two cookies
    user_id and session, or a request copied as cURL. The file can be read by its owner only.
    """
    from ..upstreams.chatkit.cookies import parse_cookies
    from ..upstreams.chatkit.credentials import Credentials

    settings = read_settings(given).settings
    text = _read_text()
    try:
        missing = {"user_id", "session"} - parse_cookies(text).keys()
        credentials = Credentials.parse(text, settings.credentials_file)
        if "session" in missing:
            raise click.ClickException(
                "The cookie session is missing; without it nobody is logged in. Copy the whole Cookie header."
            )
        credentials.store()
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(
            f"{settings.credentials_file}: cannot be written: {error.strerror}"
        ) from None
    click.echo(f"The login is kept in {settings.credentials_file}.")
    if missing:
        click.echo("Warning: the cookie user_id is missing; the site may want both.", err=True)
    if settings.cookie and Credentials.parse(settings.cookie).secrets != credentials.secrets:
        click.echo("Warning: GPTOSS_COOKIE is set to another login and wins over the file.", err=True)


def _read_text() -> str:
    if sys.stdin.isatty():
        return read_hidden(PROMPT)
    return sys.stdin.buffer.read().decode("utf-8", "replace")
