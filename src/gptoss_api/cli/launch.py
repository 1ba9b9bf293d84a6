"""``gptoss-api launch``: starts a client that uses the gateway for this once."""

import os
import sys
import tempfile
from pathlib import Path

import click

from ..core.catalog import DEFAULT_MODEL
from ..core.program import command as program
from .clients import NAMES, find_client
from .clients.client import Target
from .clients.files import CannotUse
from .clients.processes import NotStarted, Supervisor
from .clients.running import NoGateway, find_key, look_at, tell
from .options import OneOf, read_settings
from .setup import find_target


@click.command(
    "launch",
    short_help="Start a client that uses the gateway for this once.",
    context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False},
)
@click.option("--model", default=DEFAULT_MODEL, show_default=True, help="The model that the client uses.")
@click.option("--base-url", metavar="URL", help="The gateway, unless it is that of these settings.")
@click.option("--config", "config_file", metavar="FILE", help="TOML file with settings.")
@click.argument("name", metavar="CLIENT", type=OneOf(NAMES))
@click.argument("arguments", metavar="[-- ARGS]...", nargs=-1, type=click.UNPROCESSED)
def command(
    model: str, base_url: str | None, config_file: str | None, name: str, arguments: tuple[str, ...]
) -> None:
    """Start a client that uses the gateway for this once, and leave its configuration alone.

    What follows the client's name is passed on to it. Its exit code is this command's. Where no gateway
    runs, one with your settings is started, and ends with the client.
    """
    client = find_client(name)
    # A first -- is ours, as it is elsewhere; any other is the client's.
    arguments = arguments[1:] if arguments[:1] == ("--",) else arguments
    if client.start is None:
        raise click.ClickException(
            f"{client.why_not}; '{program()} setup {name}' sets it up, and --undo takes that back."
        )
    resolution = read_settings({"config_file": config_file})
    with Supervisor() as supervisor, tempfile.TemporaryDirectory(prefix="gptoss-api-") as folder:
        try:
            found = supervisor.find(client.command, client.install)
            target, seen = find_target(resolution, base_url, model)
            if not seen.answers:
                if base_url:
                    raise NoGateway(f"Nothing answers at {target.address}.")
                tell(
                    f"No gateway runs at {target.address}; one is started for as long as {client.title} runs."
                )
                seen = supervisor.start_gateway(target.address, Path(folder), config_file)
                target = Target(target.address, target.model, seen.keyed)
            if seen.is_demo:
                tell(f"The gateway's built-in demo answers, not a model: run '{program()} login' for one.")
            environment = dict(os.environ)
            if target.keyed:
                key = find_key()
                if look_at(target.address, key).keyed:
                    raise NoGateway("The gateway does not take this key")
                environment[client.key_variable] = key
            place = Path(folder, "client")
            place.mkdir()
            start = client.start(target, place)
            environment.update(start.environment)
            code = supervisor.run([found, *start.arguments, *(arguments or client.alone)], environment)
        except (NoGateway, NotStarted, CannotUse) as error:
            raise click.ClickException(str(error).rstrip(".") + ".") from None
    sys.exit(code)
