"""``gptoss-api login``: keeps the cookies of a logged-in browser where the gateway finds them."""

import asyncio
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import click

from ..core.program import command as program
from ..core.servers import SERVER_KINDS, SITE
from .hidden_input import read_hidden
from .options import read_settings

if TYPE_CHECKING:
    from ..config import Settings
    from ..upstreams.chatkit.credentials import Credentials
    from ..upstreams.chatkit.trial import Trial

PROMPT = """\
1. Open https://gpt-oss.com in a browser, log in and send a message.
2. Open the developer tools (F12), tab Network, and choose the request named chatkit.
3. Copy the value of its Cookie request header (or the whole request, "Copy as cURL").
Paste it here and press Enter; it is not shown: """


@click.command("login", short_help="Keep the login of a browser at gpt-oss.com.")
@click.option("--config", "config_file", metavar="FILE", help="TOML file with settings.")
@click.option("--credentials-file", metavar="FILE", help="File in which the login is kept.")
@click.option("--from-firefox", is_flag=True, help="Take the cookies that Firefox keeps on this machine.")
@click.option("--profile", metavar="NAME", default="", help="The profile of Firefox, or its folder.")
@click.option("--container", metavar="NAME", default="", help="The container of Firefox.")
@click.option(
    "--check/--no-check",
    "check",
    default=None,
    help="Send one short message with the login without asking, or keep it untried.",
)
@click.option("--previous", is_flag=True, help="Go back to the login that was kept before this one.")
@click.option("--forget", is_flag=True, help="Remove the login that is kept; once more, the one before it.")
def command(
    from_firefox: bool,
    profile: str,
    container: str,
    check: bool | None,
    previous: bool,
    forget: bool,
    **given: str | None,
) -> None:
    """Keep the cookies of a browser that is logged in at gpt-oss.com.

    Reads them from standard input, or asks for them at a terminal: a Cookie header, the two cookies
    user_id and session, a request copied as cURL, PowerShell or fetch, a HAR file, an export of cookies,
    Set-Cookie headers, or a dict of Python.
    What is not understood to its end is refused.

    The login is tried: Hugging Face is asked whose it is, and where that does not tell, one short message is
    sent to gpt-oss.com. A login that is refused there changes nothing. Of a new one, the one before stays
    beside it. The files can be read by their owner only.
    """
    from ..upstreams.chatkit.credentials import Credentials

    settings = read_settings(given).settings
    path = settings.credentials_file
    assert path is not None
    _keep_quiet()
    if previous and forget:
        raise click.UsageError("--previous and --forget exclude each other.")
    if previous or forget:
        (_go_back if previous else _forget)(path)
        if settings.cookie:
            click.echo("Warning: GPTOSS_COOKIE is set and wins over the file.", err=True)
        return
    if (profile or container) and not from_firefox:
        raise click.UsageError("--profile and --container belong to --from-firefox.")
    login, cookies = _read_login(_from_firefox(profile, container) if from_firefox else None)
    if check is not False:
        _try(login, settings, ask=check is None and sys.stdin.isatty(), insist=bool(check))
    account_before = Credentials.load(None, path).account
    try:
        beside = login.keep_in(path)
    except OSError as error:
        raise click.ClickException(f"{path}: cannot be written: {error.strerror}") from None
    click.echo(f"The login is kept in {path}.")
    if account_before and login.account:
        same = "the same account as" if login.account == account_before else "another account than"
        click.echo(f"It is {same} that of the login before.")
    if beside is not None:
        click.echo(f"The one before is in {beside}; with --previous this command goes back to it.")
    if "user_id" not in cookies:
        click.echo("Warning: the cookie user_id is missing; the site may want both.", err=True)
    if settings.cookie:
        _warn_of_variable(settings.cookie, cookies)


def _read_login(text: str | None) -> tuple["Credentials", dict[str, str]]:
    """The login in ``text``, or in what is given to the command; raises ``ClickException``."""
    from ..upstreams.chatkit.cookies import parse_cookies
    from ..upstreams.chatkit.credentials import Credentials

    try:
        cookies = parse_cookies(_read_text() if text is None else text)
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    if "session" not in cookies:
        raise click.ClickException(
            "The cookie session is missing; without it nobody is logged in. Copy the whole Cookie header."
        )
    return Credentials(user_id=cookies.get("user_id", ""), session=cookies["session"]), cookies


def _from_firefox(profile: str, container: str) -> str:
    from .firefox import NoLogin, find_login

    try:
        found = find_login(profile, container)
    except NoLogin as none:
        raise click.ClickException(str(none)) from None
    click.echo(f"The login is that of Firefox, {found.where}.")
    if found.others:
        others = "; ".join(found.others)
        click.echo(f"It was used last. There are others (--profile, --container): {others}.", err=True)
    return found.text


def _try(login: "Credentials", settings: "Settings", *, ask: bool, insist: bool) -> None:
    """Finds out whether the login is good, and whose; raises ``ClickException`` for one that is refused.

    With ``ask`` the person says whether a message may be sent for that; it is always sent where they
    ``insist``, and else only where nothing told that costs none.
    """
    from ..upstreams.chatkit.trial import MESSAGE, Verdict

    url = site_url(settings)
    site = urlsplit(url).hostname or ""
    if site == SITE or site.endswith(f".{SITE}"):
        told = asyncio.run(_ask_owner(login, settings))
        click.echo(told.detail)
        if told.verdict is Verdict.GOOD and not insist:
            return
    what = f"one short message ({MESSAGE!r}) to {site}, which counts as one of yours"
    if ask and not click.confirm(
        f"Only an answer tells whether the login is good. Send {what}?", default=True
    ):
        click.echo("It was not tried.")
        return
    if not ask:
        click.echo(f"Trying the login: sending {what}. With --no-check it is kept untried.", err=True)
    trial = asyncio.run(_ask_site(login, settings, url))
    if trial.verdict is Verdict.REFUSED:
        raise click.ClickException(
            f"{trial.detail} Nothing was changed. Log in again at https://gpt-oss.com, send a message there "
            "and copy that request."
        )
    if trial.verdict is Verdict.UNKNOWN:
        click.echo(
            f"Warning: whether the login is good could not be found out. {trial.detail} "
            f"To remove it again: {program()} login --forget",
            err=True,
        )
    else:
        click.echo(trial.detail)


def site_url(settings: "Settings") -> str:
    """Where the ChatKit server is that the login is for."""
    given = (entry.url for entry in settings.upstreams if entry.kind == SITE and entry.url)
    return next(given, None) or settings.chatkit_url or SERVER_KINDS[SITE].url


async def _ask_owner(login: "Credentials", settings: "Settings") -> "Trial":
    from ..upstreams.chatkit import trial
    from ..upstreams.http import HttpClient

    http = HttpClient(connect_timeout=settings.connect_timeout)
    try:
        return await trial.ask_owner(http, login, trial.USERINFO_URL)
    finally:
        await http.close()


async def _ask_site(login: "Credentials", settings: "Settings", url: str) -> "Trial":
    from ..upstreams.chatkit.trial import ask_site
    from ..upstreams.http import HttpClient

    http = HttpClient(connect_timeout=settings.connect_timeout)
    try:
        return await ask_site(http, login, url=url, dialect=settings.chatkit_dialect)
    finally:
        await http.close()


def _go_back(path: Path) -> None:
    from ..upstreams.chatkit.credentials import UnreadableLogin, file_before, go_back

    try:
        go_back(path)
    except UnreadableLogin as error:
        raise click.ClickException(f"{file_before(path)}: {error}") from None
    except OSError as error:
        raise click.ClickException(f"{path}: cannot be written: {error.strerror}") from None
    click.echo(f"The login before is in {path} again, and the one that was there in {file_before(path)}.")


def _forget(path: Path) -> None:
    from ..upstreams.chatkit.credentials import file_before, forget

    try:
        removed = forget(path)
    except OSError as error:
        raise click.ClickException(f"{path}: cannot be removed: {error.strerror}") from None
    if removed is None:
        click.echo(f"There is no login in {path}.")
        return
    click.echo(f"The login in {removed} is removed. It stays valid at gpt-oss.com until you log out there.")
    if removed == path and (before := file_before(path)).exists():
        click.echo(
            f"The one before stays in {before}: '{program()} login --previous' goes back to it, "
            f"'{program()} login --forget' once more removes it too."
        )


def _warn_of_variable(text: str, kept: dict[str, str]) -> None:
    from ..upstreams.chatkit.cookies import parse_cookies

    try:
        if parse_cookies(text) != kept:
            click.echo("Warning: GPTOSS_COOKIE is set to another login and wins over the file.", err=True)
    except ValueError as error:
        click.echo(f"Warning: GPTOSS_COOKIE is set and stops the start. {error}", err=True)


def _keep_quiet() -> None:
    """What the log would say, the command says itself."""
    logging.getLogger("gptoss_api").addHandler(logging.NullHandler())


def _read_text() -> str:
    from ..upstreams.chatkit.pastes import decoded

    if sys.stdin.isatty():
        return read_hidden(PROMPT)
    try:
        return decoded(sys.stdin.buffer.read())
    except UnicodeDecodeError:
        raise ValueError("The text is not UTF-8.") from None
