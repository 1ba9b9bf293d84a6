"""``gptoss-api usage``: who used how much, from the store that running gateways write to."""

import asyncio
import csv
import io
import json
import time
from collections.abc import Sequence
from typing import Any, Final

import click

from ..config import ConfigError, Settings
from ..core.accounting import GROUPS, Group, Sums, moment_meant, shown, told
from ..state import (
    StoreUnavailable,
    is_made,
    is_shared,
    keys_of,
    open_usage,
    usage_is_made,
    without_password,
)
from .options import WrongSetting, read_settings, tell_no_store

_HEADINGS: Final = {
    "requests": "requests",
    "errors": "errors",
    "input_tokens": "input",
    "cached_tokens": "cached",
    "output_tokens": "output",
    "reasoning_tokens": "reasoning",
    "first_token_ms": "first ms",
    "total_ms": "total ms",
}


class Moment(click.ParamType[float]):
    """A span before now, such as ``7d``, or a date."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return moment_meant(value, time.time())
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is not allowed; expected 30m, 24h, 7d, 4w, or a date such as 2026-08-05")


@click.command("usage")
@click.option("--since", type=Moment(), default="30d", show_default=True, help="From when on.")
@click.option("--until", type=Moment(), default="0m", help="Until when; now unless given.")
@click.option("--by", type=click.Choice(GROUPS), default="day", show_default=True, help="What to sum up by.")
@click.option("--config", "config_file", metavar="FILE", help="TOML file with settings.")
@click.option("--state", metavar="URL", help="State store, as of 'serve'.")
@click.option("--json", "as_json", is_flag=True, help="As JSON.")
@click.option("--csv", "as_csv", is_flag=True, help="As comma-separated values.")
def command(since: float, until: float, by: Group, as_json: bool, as_csv: bool, **places: str | None) -> None:
    """Show what was used: requests, tokens, errors, times.

    Tokens that were cached are part of the input, those of reasoning part of the output. Times are means,
    in milliseconds. Hours and days are those of UTC.
    """
    if since > until:
        raise click.UsageError("--since is later than --until: nothing can be between them.")
    settings = read_settings(places).settings
    try:
        rows = asyncio.run(_read(settings, since, until, by))
    except ConfigError as error:
        raise WrongSetting(str(error)) from None
    if as_json:
        click.echo(json.dumps(rows, indent=2, ensure_ascii=False))
    elif as_csv:
        _write_csv(rows, by)
    else:
        _print_table(rows, by)


async def _read(settings: Settings, since: float, until: float, by: Group) -> list[dict[str, Any]]:
    from ..gateway import open_state, state_url

    url = state_url(settings)
    if not is_shared(url):
        raise WrongSetting(
            "GPTOSS_STATE: with memory:// only the running gateway knows what was used; ask it: "
            "GET /v1/usage, or GET /admin/usage with an admin key"
        )
    store = open_state(settings)
    there = is_made(url)
    if not usage_is_made(url):
        if not there:
            tell_no_store(without_password(url))
        return []
    usage = open_usage(url, settings.usage_days)
    try:
        groups = await usage.sums(since, until, by)
        keys = keys_of(store)
        found = await keys.read_keys(None) if keys is not None and there and by == "key" else None
    except StoreUnavailable as error:
        raise click.ClickException(f"the state store does not answer: {error}") from None
    finally:
        await usage.close()
        await store.close()
    return told(groups, by, _names(found[1] if found else ()))


def _names(records: Sequence[bytes]) -> dict[str, str]:
    from ..access import decode_record

    return {record.id: record.name for record in map(decode_record, records)}


def _write_csv(rows: Sequence[dict[str, Any]], by: Group) -> None:
    columns = [by, *(["name"] if by == "key" else []), *shown(Sums())]
    table = io.StringIO()
    writer = csv.DictWriter(table, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    click.echo(table.getvalue(), nl=False)


def _print_table(rows: Sequence[dict[str, Any]], by: Group) -> None:
    if not rows:
        click.echo("Nothing was used in that time.")
        return
    lines = [[by, *_HEADINGS.values()]]
    for row in rows:
        first = row.get("name") or row[by] or "(none)"
        lines.append([first, *("" if row[name] is None else f"{row[name]:,}" for name in _HEADINGS)])
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        cells = [line[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)]
        click.echo("  ".join(cells).rstrip())
