"""``gptoss-api keys``: the gateway's own API keys, in the state store that running gateways look at."""

import asyncio
import json
import re
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple, TypeVar

import click
from msgspec.structs import replace

from ..access import (
    Budget,
    KeyLimits,
    KeyRecord,
    decode_record,
    encode_record,
    moment,
    new_key_id,
    new_secret,
    public_record,
)
from ..config import ConfigError, Settings
from ..core.catalog import find_model
from ..core.errors import ModelNotFound
from ..core.program import command as program
from ..state import KeyStore, StoreUnavailable, keys_of
from .options import WrongSetting, read_settings, tell_no_store
from .streams import give_up

T = TypeVar("T")
Command = Callable[..., Any]
# One of all records as it shall be, or with ``None`` one that shall be removed.
Make = Callable[[Sequence[KeyRecord]], KeyRecord | tuple[KeyRecord, None]]

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}")
_COUNT: Final = re.compile(r"([0-9]{1,15})([kM]?)")
_SPAN: Final = re.compile(r"([0-9]{1,6})([mhdw])")
_UNITS: Final = {"": 1, "k": 1_000, "M": 1_000_000}
_SPANS: Final = {"m": 60.0, "h": 3_600.0, "d": 86_400.0, "w": 7 * 86_400.0}
# The year 9999, after which there are no dates.
_LATEST: Final = datetime(9999, 1, 1, tzinfo=UTC).timestamp()
_PERIODS: Final = ("day", "month", "total")
# What takes a limit back.
_NONE: Final = "none"
# Others may write at the same moment.
_TRIES: Final = 20


class Count(click.ParamType[int | str]):
    """A whole number above 0, with ``k`` or ``M`` for thousands and millions; or ``none``."""

    name = "count"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        if value == _NONE:
            return _NONE
        found = _COUNT.fullmatch(value)
        if found is None or not int(found[1]):
            self.fail(f"{value!r} is not allowed; expected a number such as 60, 20k or 2M, or none")
        return int(found[1]) * _UNITS[found[2]]


class BudgetType(click.ParamType[Budget | str]):
    """``COUNT/day``, ``COUNT/month`` or ``COUNT/total``; or ``none``."""

    name = "budget"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Budget | str:
        if value == _NONE:
            return _NONE
        count, _, period = value.partition("/")
        found = _COUNT.fullmatch(count)
        if found is None or not int(found[1]) or period not in _PERIODS:
            self.fail(
                f"{value!r} is not allowed; expected tokens such as 500k/day, 10M/month or 1M/total, or none"
            )
        return Budget(int(found[1]) * _UNITS[found[2]], period)


class Models(click.ParamType[tuple[str, ...]]):
    """Names of models, separated by commas; or ``all``."""

    name = "models"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, ...]:
        if value == "all":
            return ()
        try:
            return tuple(dict.fromkeys(find_model(name.strip()).id for name in value.split(",")))
        except ModelNotFound as unknown:
            self.fail(unknown.message)


class End(NamedTuple):
    """When a key ends, in seconds: a ``span``, or a ``moment`` of Unix time; never without either."""

    span: float = 0.0
    moment: float = 0.0

    def after(self, now: float) -> float | None:
        """In Unix seconds, for a span that begins ``now``."""
        return now + self.span if self.span else self.moment or None


class Expiry(click.ParamType[End]):
    """A span such as ``90d``, or a date, whose beginning in UTC is meant; or ``never``."""

    name = "expiry"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> End:
        if value == "never":
            return End()
        if found := _SPAN.fullmatch(value):
            end = End(span=int(found[1]) * _SPANS[found[2]])
        else:
            try:
                end = End(moment=datetime.strptime(value, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
            except ValueError:
                end = End()
        now = time.time()
        if not now < (end.after(now) or 0.0) < _LATEST:
            self.fail(f"{value!r} is not allowed; expected 30m, 12h, 90d, 4w, a date to come, or never")
        return end


def _name(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value is not None and (not _NAME.fullmatch(value) or value.startswith("key_")):
        raise click.BadParameter(
            "expected up to 64 letters, digits and any of . _ @ + - that do not begin with key_"
        )
    return value


def _store_options(command: Command) -> Command:
    command = click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)
    command = click.option("--state", metavar="URL", help="State store, as of 'serve'.")(command)
    return click.option("--config", "config_file", metavar="FILE", help="TOML file with settings.")(command)


def _key_options(command: Command) -> Command:
    for decorate in reversed(
        (
            click.option("--models", type=Models(), metavar="A,B", help="Models it may use, or all."),
            click.option("--rpm", type=Count(), metavar="N", help="Requests a minute, or none."),
            click.option("--tpm", type=Count(), metavar="N", help="Tokens a minute, or none."),
            click.option("--concurrency", type=Count(), metavar="N", help="Turns at a time, or none."),
            click.option(
                "--budget",
                "budgets",
                type=BudgetType(),
                multiple=True,
                metavar="N/PERIOD",
                help="Tokens a day, a month or in total, or none; may stand there several times.",
            ),
            click.option("--expires", type=Expiry(), metavar="90d", help="When it ends, or never."),
            click.option("--admin/--no-admin", default=None, help="Whether it opens /admin too."),
        )
    ):
        command = decorate(command)
    return command


@click.group("keys", short_help="Create, list, change, revoke and delete API keys.")
def command() -> None:
    """Create, list, change, revoke and delete the gateway's own API keys.

    They are kept in the state store (GPTOSS_STATE), as SHA-256 only. Running gateways and all their workers
    follow within two seconds; as soon as there is a key, every request to the API needs one.
    """


@command.command("create")
@click.argument("name", callback=_name)
@_key_options
@_store_options
def create(name: str, as_json: bool, **given: Any) -> None:
    """Make a key called NAME and show its secret, this once."""
    secret = new_secret()
    is_first = False

    def added(records: Sequence[KeyRecord]) -> KeyRecord:
        nonlocal is_first
        _refuse_taken(records, name)
        is_first = not records
        now = round(time.time(), 3)
        return _changed(KeyRecord(new_key_id(), name, secret.digest, secret.ending, now), given, now)

    record = _write(given, added, makes_store=True)
    if as_json:
        _show(json.dumps({**public_record(record, time.time()), "key": secret.secret}, indent=2), record)
        return
    click.echo(
        f"{record.name} ({record.id}). Models: {_models(record)}. "
        f"Expires: {moment(record.expires) or 'never'}. "
        f"Limits: {_all_limits(record)}.{' It opens /admin too.' if record.admin else ''}",
        err=True,
    )
    if is_first:
        click.echo(
            "This is the first key: from now on requests without a key are refused, within two seconds also "
            "by gateways that run.",
            err=True,
        )
    click.echo("This is its secret, which is shown only now:", err=True)
    _show(secret.secret, record)


def _show(secret: str, record: KeyRecord) -> None:
    """Raises ``ClickException`` where nobody reads it: it cannot be shown again."""
    try:
        click.echo(secret)
    except OSError as error:
        give_up(sys.stdout)
        raise click.ClickException(
            f"The key {record.name} was made, but its secret cannot be written: {error.strerror}. Delete it "
            f"with '{program()} keys delete {record.name}', and make another one."
        ) from None


@command.command("list")
@_store_options
def list_keys(as_json: bool, **given: Any) -> None:
    """List all keys."""
    records, now = _read(given), time.time()
    if as_json:
        click.echo(json.dumps([public_record(record, now) for record in records], indent=2))
    elif records:
        rows = [("NAME", "ID", "SECRET", "STATE", "MODELS", "LIMITS")]
        rows += [
            (
                record.name,
                record.id,
                f"…{record.ending}",
                record.state(now) + (", admin" if record.admin else ""),
                _models(record),
                _all_limits(record),
            )
            for record in records
        ]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            click.echo("  ".join(map(str.ljust, row, widths)).rstrip())
    else:
        click.echo(f"There are no keys; {program()} keys create NAME makes one.")


@command.command("show")
@click.argument("key")
@_store_options
def show(key: str, as_json: bool, **given: Any) -> None:
    """Show one key by its name or id."""
    _print(_found(_read(given), key), as_json)


@command.command("edit")
@click.argument("key")
@click.option("--name", callback=_name, metavar="NAME", help="Another name.")
@_key_options
@_store_options
def edit(key: str, as_json: bool, name: str | None, **given: Any) -> None:
    """Change what a key may do; what is not given stays."""

    def edited(records: Sequence[KeyRecord]) -> KeyRecord:
        record = _found(records, key)
        if name is not None and name != record.name:
            _refuse_taken(records, name)
            record = replace(record, name=name)
        return _changed(record, given, time.time())

    _print(_write(given, edited), as_json)


@command.command("revoke", short_help="End a key for good; its record stays.")
@click.argument("key")
@_store_options
def revoke(key: str, as_json: bool, **given: Any) -> None:
    """End a key for good; its record stays, so that its name still says whose it was."""

    before: float | None = None

    def revoked(records: Sequence[KeyRecord]) -> KeyRecord:
        nonlocal before
        record = _found(records, key)
        before = record.revoked
        return record if before is not None else replace(record, revoked=round(time.time(), 3))

    record = _write(given, revoked)
    _print(record, as_json)
    done = (
        "is revoked: within two seconds it opens nothing any more. Its record stays until 'keys delete'."
        if before is None
        else "was revoked already; nothing changed."
    )
    click.echo(f"{record.name} ({record.id}) {done}", err=True)


@command.command("delete")
@click.argument("key")
@_store_options
def delete(key: str, as_json: bool, **given: Any) -> None:
    """Remove a key with its record, revoked or not."""

    def removed(records: Sequence[KeyRecord]) -> tuple[KeyRecord, None]:
        return _found(records, key), None

    record = _write(given, removed)
    _print(record, as_json)
    click.echo(
        f"{record.name} ({record.id}) is deleted: within two seconds it opens nothing any more. Its record "
        f"and what its limits had counted are gone; what it used stays in '{program()} usage'.",
        err=True,
    )
    if not _read(given):
        click.echo(
            "That was the last one. Gateways that start from now on want no key, unless GPTOSS_API_KEYS or "
            "GPTOSS_REQUIRE_KEYS is set; those that run want one until they are restarted.",
            err=True,
        )


def _changed(record: KeyRecord, given: dict[str, Any], now: float) -> KeyRecord:
    """``record`` with the options of :func:`_key_options` that were given; spans begin ``now``."""
    limits, budgets = record.limits, given["budgets"]
    for field, option in (("requests", "rpm"), ("tokens", "tpm"), ("concurrency", "concurrency")):
        if (value := given[option]) is not None:
            limits = replace(limits, **{field: None if value == _NONE else value})
    if budgets:
        kept = {budget.period: budget for budget in budgets if budget != _NONE}
        limits = replace(limits, budgets=tuple(kept.values()))
    record = replace(record, limits=limits)
    if given["models"] is not None:
        record = replace(record, models=given["models"])
    if given["expires"] is not None:
        record = replace(record, expires=given["expires"].after(now))
    if given["admin"] is not None:
        record = replace(record, admin=given["admin"])
    return record


def _read(given: dict[str, Any]) -> list[KeyRecord]:
    async def work(store: KeyStore) -> list[KeyRecord]:
        return _decoded(await store.read_keys(None))[1]

    return _in_store(given, work, list)


def _write(given: dict[str, Any], make: Make, *, makes_store: bool = False) -> KeyRecord:
    """Stores what ``make`` makes of all records, or removes it, as one step."""

    async def work(store: KeyStore) -> KeyRecord:
        for _ in range(_TRIES):
            revision, records = _decoded(await store.read_keys(None))
            made = make(records)
            record, kept = made if isinstance(made, tuple) else (made, made)
            value = None if kept is None else encode_record(kept)
            if await store.write_key(record.id, value, revision):
                return record
        raise click.ClickException("Others write keys all the time. Try again.")

    def nothing() -> KeyRecord:
        made = make(())
        return made[0] if isinstance(made, tuple) else made

    return _in_store(given, work, None if makes_store else nothing)


def _decoded(found: tuple[bytes, Sequence[bytes]] | None) -> tuple[bytes, list[KeyRecord]]:
    revision, values = found or (b"", ())
    records = []
    for value in values:
        try:
            records.append(decode_record(value))
        except ValueError:
            click.echo("Warning: a key in the store cannot be read and is left out.", err=True)
    return revision, sorted(records, key=lambda record: record.created)


def _in_store(
    given: dict[str, Any], work: Callable[[KeyStore], Awaitable[T]], nothing: Callable[[], T] | None = None
) -> T:
    """What ``work`` does in the store. One that was never made is made, unless ``nothing`` stands for it."""
    from ..gateway import open_state, state_url
    from ..state import is_made, without_password

    places = {name: given[name] for name in ("config_file", "state")}
    settings: Settings = read_settings(places).settings
    shown = without_password(state_url(settings))

    async def run() -> T:
        store = open_state(settings)
        keys = keys_of(store)
        if keys is None:
            raise click.ClickException(
                f"The state store is {shown}, which lives in the gateway's own memory: no other process can "
                "put a key there. Set GPTOSS_STATE to an sqlite:/// or redis:// URL, or give keys to the "
                "gateway with GPTOSS_API_KEYS."
            )
        try:
            if nothing is not None and not is_made(state_url(settings)):
                tell_no_store(shown)
                return nothing()
            return await work(keys)
        finally:
            await store.close()

    try:
        return asyncio.run(run())
    except ConfigError as error:
        raise WrongSetting(str(error)) from None
    except StoreUnavailable as error:
        raise click.ClickException(f"The state store {shown} cannot be used now: {error}") from None


def _refuse_taken(records: Sequence[KeyRecord], name: str) -> None:
    for record in records:
        if record.name == name:
            state = record.state(time.time())
            raise click.ClickException(f"There is a key {name} already ({record.id}, {state}).")


def _found(records: Sequence[KeyRecord], wanted: str) -> KeyRecord:
    for record in records:
        if wanted in (record.name, record.id):
            return record
    # It may be a secret, given where a name belongs.
    raise click.ClickException(f"There is no key with this name or id; {program()} keys list shows all.")


def _print(record: KeyRecord, as_json: bool) -> None:
    public = public_record(record, time.time())
    if as_json:
        click.echo(json.dumps(public, indent=2))
        return
    public["models"] = _models(record)
    public["limits"] = _all_limits(record)
    public["ending"] = f"…{record.ending}"
    for name, value in public.items():
        if value is not None:
            click.echo(f"{name:<8} {str(value).lower() if isinstance(value, bool) else value}")


def _models(record: KeyRecord) -> str:
    return ",".join(record.models) or "all"


def _all_limits(record: KeyRecord) -> str:
    return ", ".join(_limits(record.limits)) or "none"


def _limits(limits: KeyLimits) -> Iterator[str]:
    if limits.requests is not None:
        yield f"{limits.requests:,} requests/minute"
    if limits.tokens is not None:
        yield f"{limits.tokens:,} tokens/minute"
    if limits.concurrency is not None:
        yield f"{limits.concurrency:,} at a time"
    for budget in limits.budgets:
        yield (
            f"{budget.tokens:,} tokens/{budget.period}"
            if budget.period != "total"
            else f"{budget.tokens:,} tokens"
        )
