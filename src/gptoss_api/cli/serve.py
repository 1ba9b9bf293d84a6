"""``gptoss-api serve``."""

import logging
import sys

import click

from ..config import ConfigError
from ..telemetry.logs import configure_logging
from .options import WrongSetting, read_settings, setting_options

_log = logging.getLogger(__name__)


@click.command("serve")
@setting_options
def command(**given: object) -> None:
    """Answer requests until told to stop.

    Each setting may also stand in the environment or in the TOML file. API keys and cookies stand only
    there: GPTOSS_API_KEYS, GPTOSS_COOKIE (or run 'gptoss-api login' first).
    """
    resolution = read_settings(given)
    settings = resolution.settings
    configure_logging(settings.log_level, settings.log_format, secrets=settings.secrets)
    for warning in resolution.warnings:
        _log.warning("%s", warning)
    from ..gateway import created_keys_exist

    try:
        resolution.refuse_exposure(created_keys_exist)
        if settings.workers > 1:
            from ..server.workers import run_workers

            sys.exit(run_workers(settings, given))
        from ..server import run

        sys.exit(run(settings, given))
    except ConfigError as error:
        raise WrongSetting(str(error)) from None
