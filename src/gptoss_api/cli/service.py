"""``gptoss-api service``: the gateway as a service of the person's own session."""

import contextlib
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import click

from ..config import OPTIONS, ConfigError, Resolution, resolve
from ..core.program import command as typed
from .options import WrongSetting, setting_options
from .session_managers import Service, ServiceFailed, refuse_foreign, served, session_manager


@click.group("service", short_help="Let the gateway run in the background.")
def command() -> None:
    """Let the gateway run in the background from now on, started with your session."""


@command.command("install")
@click.option("--print", "only_print", is_flag=True, help="Show the service's file; change nothing.")
@setting_options
def install(only_print: bool, **given: object) -> None:
    """Install the service and start it; a second time takes its place.

    Takes the options of 'serve'. Everything else comes from the configuration file: variables of this shell
    are not taken along, and no secret is written into the service's file.
    """
    resolution = _as_the_service_reads(given)
    options = [*_options(given, resolution)]
    service = session_manager(options)
    content = service.text(served(options))
    if only_print:
        click.echo(f"{service.file}:", err=True)
        click.echo(content, nl=False)
        return
    refuse_foreign(service.file)
    if left := sorted(option.env for option in OPTIONS if os.environ.get(option.env)):
        click.echo(
            f"Warning: the service does not see {', '.join(left)}; write such settings into the "
            f"configuration file ('{typed()} config' shows which is read).",
            err=True,
        )
    before = service.file.read_bytes() if service.file.exists() else None
    try:
        service.file.parent.mkdir(parents=True, exist_ok=True)
        service.file.write_bytes(content)
    except OSError as error:
        raise click.ClickException(f"{service.file}: cannot be written: {error.strerror}") from None
    try:
        service.start()
    except ServiceFailed as failure:
        _take_back(service, before)
        kept = "the service of before is back" if before is not None else "nothing is installed"
        raise ServiceFailed(f"{failure.message}; {kept}") from None
    click.echo(f"The service runs ({service.state()}); its file is {service.file}.\n{service.advice()}")


@command.command("status", short_help="Say whether the service is installed and runs.")
def status() -> None:
    """Say whether the service is installed and runs; the exit code is 0 if so, else 3."""
    service = session_manager([])
    if not service.file.exists():
        click.echo(f"The service is not installed; '{typed()} service install' does that.")
        sys.exit(3)
    state = service.state()
    click.echo(f"{service.file}\nstate: {state}")
    sys.exit(0 if state in ("active", "running") else 3)


@command.command("remove", short_help="Stop the service and remove its file.")
def remove() -> None:
    """Stop the service and remove its file; logins, keys and conversations stay."""
    service = session_manager([])
    if not service.file.exists():
        click.echo("The service is not installed.")
        return
    refuse_foreign(service.file)
    service.stop()
    service.file.unlink()
    service.forgotten()
    click.echo(f"The service is stopped, and {service.file} is removed.")


def _take_back(service: Service, before: bytes | None) -> None:
    """Leaves the file as it was ``before`` a start that failed, and what ran on it running."""
    if before is not None:
        service.file.write_bytes(before)
        with contextlib.suppress(ServiceFailed):
            service.start()
        return
    # While the file is there: the manager finds by it what it has to forget.
    with contextlib.suppress(ServiceFailed):
        service.stop()
    service.file.unlink(missing_ok=True)
    with contextlib.suppress(ServiceFailed):
        service.forgotten()


def _as_the_service_reads(given: Mapping[str, object]) -> Resolution:
    """The settings that the service will have; raises ``WrongSetting`` where it would not start."""
    from ..gateway import created_keys_exist

    try:
        resolution = resolve(given, {})
        resolution.refuse_exposure(created_keys_exist)
    except ConfigError as error:
        raise WrongSetting(str(error)) from None
    return resolution


def _options(given: Mapping[str, object], resolution: Resolution) -> Iterator[str]:
    """What was given, to be read anywhere: the service has another folder."""
    values = {option.name: value for option, value, _ in resolution}
    for option in OPTIONS:
        match given.get(option.name):
            case None:
                continue
            case True:
                yield option.flag
            case False:
                yield f"--no-{option.flag[2:]}"
            case text:
                value = values[option.name]
                yield option.flag
                yield str(value.absolute()) if isinstance(value, Path) else str(text)
