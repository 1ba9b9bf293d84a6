"""``gptoss-api setup``: writes a client's configuration, and takes it back."""

import shlex
import shutil
from urllib.parse import urlsplit

import click

from ..access.origins import is_loopback
from ..config import Resolution
from ..core.catalog import DEFAULT_MODEL, find_model
from ..core.errors import ModelNotFound
from ..core.program import command as program
from ..server.running import find_address
from .clients import NAMES, find_client
from .clients.changes import Refused, Setup, by_hand, plan_setup, plan_undo, set_up, undo
from .clients.client import Client, Target
from .clients.files import CannotUse
from .clients.running import NoGateway, Sighting, address_given, look_at, wants_keys
from .options import OneOf, read_settings


@click.command("setup", short_help="Write a client's configuration, or take it back.")
@click.argument("name", metavar="CLIENT", type=OneOf(NAMES))
@click.option("--print", "show", is_flag=True, help="Show what would be written, and write nothing.")
@click.option("--undo", "undoing", is_flag=True, help="Give back what was there before.")
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="The model that the client uses.")
@click.option("--default", "as_default", is_flag=True, help="Make it the client's choice over yours.")
@click.option("--base-url", metavar="URL", help="The gateway, unless it is that of these settings.")
@click.option("--config", "config_file", metavar="FILE", help="TOML file with settings.")
def command(
    name: str,
    show: bool,
    undoing: bool,
    model: str,
    as_default: bool,
    base_url: str | None,
    config_file: str | None,
) -> None:
    """Write the configuration with which a client uses the gateway.

    Only what is ours is added; the rest of a file stays as it is, with its comments. A provider of the same
    name that is not ours is left alone, and so is a model that you chose, unless you say --default. A copy is
    kept; --undo gives it back byte for byte. No key is written: the client reads it from a variable.

    CLIENT is one of codex, claude-code, opencode, qwen-code, cline, continue, aider, llm, open-webui, zed,
    vscode.
    """
    client = find_client(name)
    try:
        if undoing:
            _undo(client, plan_undo(client), show=show)
            return
        resolution = read_settings({"config_file": config_file})
        target, seen = find_target(resolution, base_url, model)
        if show:
            _show(client, target, as_default=as_default)
            return
        setup = plan_setup(client, target, as_default=as_default)
        set_up(client, setup)
    except (Refused, NoGateway, CannotUse) as error:
        raise click.ClickException(str(error)) from None
    _report(client, setup, target, "" if seen.answers else _start_first(target, base_url, config_file))
    if seen.is_demo:
        click.echo("Warning: the gateway's built-in demo answers, not a model.", err=True)


def find_target(resolution: Resolution, base_url: str | None, model: str) -> tuple[Target, Sighting]:
    """The gateway and the model that a client is to use, and what was seen there.

    Raises:
        NoGateway: for an address where something else answers, or no address at all.
    """
    try:
        found = find_model(model).id
    except ModelNotFound as error:
        raise NoGateway(str(error)) from None
    address = address_given(base_url) if base_url is not None else find_address(resolution)
    seen = look_at(address)
    if seen.answers and not seen.is_gateway:
        raise NoGateway(f"What answers at {address} is not this gateway; say --base-url, or set PORT")
    keyed = seen.keyed if seen.answers else not base_url and wants_keys(resolution.settings)
    return Target(address, found, keyed), seen


def _show(client: Client, target: Target, *, as_default: bool) -> None:
    try:
        _tell(plan_setup(client, target, as_default=as_default))
    except Refused:
        click.echo(by_hand(client, target), nl=False)
        raise


def _tell(setup: Setup) -> None:
    if not setup.changes:
        click.echo("Nothing would change.", err=True)
    for change in setup.changes:
        click.echo(change.shown(), nl=False)


def _undo(client: Client, setup: Setup, *, show: bool) -> None:
    if not setup.changes:
        raise click.ClickException(f"There is nothing of {client.title} to take back.")
    if show:
        _tell(setup)
        return
    undo(client, setup)
    for change in setup.changes:
        if not change.is_whole:
            done = "has nothing of ours any more; what has changed there since stays"
        elif change.becomes is None:
            done = "is gone, as it was before"
        else:
            done = "is what it was before"
        click.echo(f"{change.was.path} {done}.")


def _start_first(target: Target, base_url: str | None, config_file: str | None) -> str:
    """What is to be done before there is a gateway at the address of ``target``."""
    command = [f"{program()} serve"]
    if base_url:
        parts = urlsplit(target.address)
        if not is_loopback(parts.hostname or ""):
            return f"First start the gateway there: nothing answers at {target.address} yet"
        command.append(f"--port {parts.port or 80}")
    if config_file:
        command.append(f"--config {shlex.quote(config_file)}")
    return f"First start the gateway, as nothing answers at {target.address} yet: {' '.join(command)}"


def _report(client: Client, setup: Setup, target: Target, first: str) -> None:
    """Says what was done and what is to do, with what has to come ``first``."""
    for change in setup.changes:
        click.echo(f"Written: {change.was.path}")
    if setup.changes:
        click.echo(f"{client.title} is set up for {target.model} at {target.v1}.")
    else:
        click.echo(f"{client.title} was set up already; nothing has changed.")
    if setup.keeps:
        click.echo(
            f"Your own choice stays ({', '.join(setup.keeps)}). To choose this one: "
            f"{client.choose.format(model=target.model)}; or run this with --default."
        )
    if target.keyed and client.key_variable:
        click.echo(f"The gateway wants a key. {client.title} reads it from {client.key_variable}.")
    if after := client.with_key if target.keyed else client.without_key:
        click.echo(after)
    if client.start and shutil.which(client.command) is None:
        click.echo(f"{client.title} is not on the PATH; to install it: {client.install}")
    file = shlex.quote(str(client.files[0].find()))
    if first:
        click.echo(first)
    click.echo(f"{'Then try' if first else 'Try'} it: {client.first.format(file=file)}")
    click.echo(f"To take it back: {program()} setup {client.name} --undo")
