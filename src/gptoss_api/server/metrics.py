"""The numbers of this process, of its fellows, and of those that are gone.

Each worker answers at a socket of its own in a folder that only their supervisor's user can open, and leaves
its numbers in a file beside it: whenever it was asked, so that nothing that was told is ever taken back, and
once a second, so that little is lost with a process that is killed. Its successor goes on from there.
"""

import asyncio
import contextlib
import os
from pathlib import Path
from typing import Final

import msgspec

from .. import __version__
from ..core.accounting import TurnAccount
from ..core.errors import NotFound
from ..dialects.openai_errors import error_response
from ..gateway import Gateway
from ..routing import BreakerState
from ..telemetry.metrics import (
    BUDGET_REMAINING,
    BUILD_INFO,
    CONTENT_TYPE,
    IN_FLIGHT,
    MOST,
    QUEUE,
    QUEUE_DEPTH,
    STORE_FAILURES,
    UPSTREAM_IN_FLIGHT,
    UPSTREAM_STATE,
    USAGE_LOST,
    Snapshot,
    TurnCounter,
    exposition,
)
from .drain import Drain
from .exchange import Exchange

# Seconds that a fellow may take to answer; one that hangs is told from its file.
_PATIENCE: Final = 0.5
# Seconds between two times at which what is new is left in the file.
_EVERY: Final = 1.0

_STATES: Final = {BreakerState.OPEN: 0, BreakerState.HALF_OPEN: 1, BreakerState.CLOSED: 2}

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Snapshot).decode


class Metrics:
    """Counts what ends, and asks ``gateway`` and ``drain`` for the rest when somebody wants to know.

    ``folder`` is where the workers of one supervisor meet, ``number`` which of them this is.
    """

    def __init__(self, gateway: Gateway, drain: Drain, folder: Path | None = None, number: int = 0) -> None:
        self._gateway = gateway
        self._drain = drain
        self._folder = folder
        self._number = number
        self._turns = TurnCounter()
        # What the one before in this place has counted.
        self._inherited = Snapshot()
        self._changed = False
        self._server: asyncio.Server | None = None
        self._saving: asyncio.Task[None] | None = None

    def count(self, turn: TurnAccount) -> None:
        self._turns.count(turn)
        self._changed = True

    def own(self) -> Snapshot:
        """What this process has, its gauges included."""
        now = self._counted()
        now.set(BUILD_INFO, 1, __version__)
        _add_gauges(now, self._gateway, self._drain)
        return now

    def _counted(self) -> Snapshot:
        found = self._turns.snapshot()
        _add_counters(found, self._gateway)
        found.merge(self._inherited)
        return found

    async def all(self) -> Snapshot:
        """What all of them have together."""
        found = self.own()
        self._save()
        await self._add_fellows(found)
        # The same for all of them.
        await _add_budgets(found, self._gateway)
        return found

    async def _add_fellows(self, found: Snapshot) -> None:
        if self._folder is None:
            return
        others = [path for path in sorted(self._folder.glob("*.numbers")) if path != self._file(".numbers")]
        for path, answer in zip(others, await asyncio.gather(*map(_ask, others)), strict=True):
            if answer is not None:
                found.merge(answer)
            elif (left := _read(path)) is not None:
                found.merge(left, gauges=False)

    async def start(self) -> None:
        """Takes its place among its fellows."""
        if self._folder is None:
            return
        if (left := _read(self._file(".numbers"))) is not None:
            self._inherited.merge(left, gauges=False)
        self._changed = True
        self._save()
        socket = self._file(".socket")
        socket.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._answer, socket)
        self._saving = asyncio.create_task(self._keep_saving())

    async def close(self) -> None:
        if self._saving is not None:
            self._saving.cancel()
        if self._server is not None:
            self._server.close()
            self._file(".socket").unlink(missing_ok=True)
        self._save()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            self._save()
            writer.write(_encode(self.own()))
            await writer.drain()
        writer.close()

    async def _keep_saving(self) -> None:
        while True:
            await asyncio.sleep(_EVERY)
            self._save()

    def _save(self) -> None:
        if self._folder is None or not self._changed:
            return
        path = self._file(".numbers")
        new = path.with_suffix(".new")
        with contextlib.suppress(OSError):
            new.write_bytes(_encode(self._counted()))
            new.replace(path)
            self._changed = False

    def _file(self, suffix: str) -> Path:
        assert self._folder is not None
        return self._folder / f"{self._number}{suffix}"


async def _ask(numbers: Path) -> Snapshot | None:
    """What the fellow says whose numbers are in this file; ``None`` where it does not answer."""
    with contextlib.suppress(OSError, TimeoutError, msgspec.MsgspecError):
        async with asyncio.timeout(_PATIENCE):
            reader, writer = await asyncio.open_unix_connection(os.fspath(numbers.with_suffix(".socket")))
            try:
                return _decode(await reader.read())
            finally:
                writer.close()
    return None


def _read(path: Path) -> Snapshot | None:
    with contextlib.suppress(OSError, msgspec.MsgspecError):
        return _decode(path.read_bytes())
    return None


def _add_gauges(into: Snapshot, gateway: Gateway, drain: Drain) -> None:
    """What a gateway can say of itself at any moment."""
    into.set(IN_FLIGHT, drain.in_flight)
    for name, waiting in gateway.waiting.items():
        into.set(QUEUE_DEPTH, waiting, name)
    for name, running in gateway.running.items():
        into.set(UPSTREAM_IN_FLIGHT, running, name)
    for name, state in gateway.breakers.items():
        into.set(UPSTREAM_STATE, _STATES[state], name)


def _add_counters(into: Snapshot, gateway: Gateway) -> None:
    """What it counts since its start beside the requests that end."""
    into.add(STORE_FAILURES, gateway.state.store.failures)
    into.add(USAGE_LOST, gateway.state.usage.lost)
    for name, waits in gateway.waits.items():
        into.put(QUEUE, waits, name)


async def _add_budgets(into: Snapshot, gateway: Gateway) -> None:
    """What is left of the budgets of keys, of so many as a metric may have sets of labels."""
    state, room = gateway.state, MOST
    for key in state.keys.records:
        budgets = key.limits.budgets
        if key.revoked is None and budgets and (room := room - len(budgets)) >= 0:
            for period, left in (await state.accounts.budgets_left(key)).items():
                into.set(BUDGET_REMAINING, left, key.id, period)


async def tell_metrics(metrics: Metrics, exchange: Exchange) -> None:
    text = exposition(await metrics.all())
    exchange.respond(200, text, [(b"content-type", CONTENT_TYPE), (b"cache-control", b"no-store")])


class MetricsAlone:
    """What is served at an address that has nothing but metrics."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    async def serve(self, exchange: Exchange) -> None:
        if exchange.path == "/metrics" and exchange.method in ("GET", "HEAD"):
            await tell_metrics(self._metrics, exchange)
            return
        status, headers, body = error_response(
            NotFound("Only GET /metrics is answered at this address."), exchange.record.id
        )
        exchange.respond_json(status, body, headers)
