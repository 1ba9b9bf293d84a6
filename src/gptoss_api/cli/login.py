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
    user_id and session, a request copied as cURL, or an export of cookies. The file can be read by its owner
    only. What is not understood to its end is refused, and the login kept before stays.
    """
    from ..upstreams.chatkit.cookies import parse_cookies
    from ..upstreams.chatkit.credentials import Credentials

    settings = read_settings(given).settings
    try:
        cookies = parse_cookies(_read_text())
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    if "session" not in cookies:
        raise click.ClickException(
            "The cookie session is missing; without it nobody is logged in. Copy the whole Cookie header."
        )
    credentials = Credentials(
        user_id=cookies.get("user_id", ""), session=cookies["session"], path=settings.credentials_file
    )
    try:
        credentials.store()
    except OSError as error:
        raise click.ClickException(
            f"{settings.credentials_file}: cannot be written: {error.strerror}"
        ) from None
    click.echo(f"The login is kept in {settings.credentials_file}.")
    if "user_id" not in cookies:
        click.echo("Warning: the cookie user_id is missing; the site may want both.", err=True)
    if settings.cookie:
        _warn_of_variable(settings.cookie, cookies)


def _warn_of_variable(text: str, kept: dict[str, str]) -> None:
    from ..upstreams.chatkit.cookies import parse_cookies

    try:
        if parse_cookies(text) != kept:
            click.echo("Warning: GPTOSS_COOKIE is set to another login and wins over the file.", err=True)
    except ValueError as error:
        click.echo(f"Warning: GPTOSS_COOKIE is set and stops the start. {error}", err=True)


def _read_text() -> str:
    from ..upstreams.chatkit.pastes import decoded

    if sys.stdin.isatty():
        return read_hidden(PROMPT)
    try:
        return decoded(sys.stdin.buffer.read())
    except UnicodeDecodeError:
        raise ValueError("The text is not UTF-8.") from None
