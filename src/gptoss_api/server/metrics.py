"""The numbers of this process, of its fellows, and of those that are gone.

Each worker answers at a socket of its own in a folder that only their supervisor's user can open, and leaves
its numbers in a file beside it: whenever it was asked, so that nothing that was told is ever taken back, and
once a second, so that little is lost with a process that is killed. Its successor goes on from there.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable
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
    BUILD_INFO,
    CONTENT_TYPE,
    IN_FLIGHT,
    QUEUE_DEPTH,
    STORE_FAILURES,
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
    """Counts what ends. ``gauges`` writes what is true at the moment when somebody asks.

    ``folder`` is where the workers of one supervisor meet, ``number`` which of them this is.
    """

    def __init__(
        self, gauges: Callable[[Snapshot], None], folder: Path | None = None, number: int = 0
    ) -> None:
        self._gauges = gauges
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
        self._gauges(now)
        return now

    def _counted(self) -> Snapshot:
        found = self._turns.snapshot()
        found.merge(self._inherited)
        return found

    async def all(self) -> Snapshot:
        """What all of them have together."""
        found = self.own()
        self._save()
        if self._folder is None:
            return found
        others = [path for path in sorted(self._folder.glob("*.numbers")) if path != self._file(".numbers")]
        for path, answer in zip(others, await asyncio.gather(*map(_ask, others)), strict=True):
            if answer is not None:
                found.merge(answer)
            elif (left := _read(path)) is not None:
                found.merge(left, gauges=False)
        return found

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


def gauges(gateway: Gateway, drain: Drain) -> Callable[[Snapshot], None]:
    """What a gateway can say of itself at any moment."""

    def write(into: Snapshot) -> None:
        into.set(IN_FLIGHT, drain.in_flight)
        for name, waiting in gateway.waiting.items():
            into.set(QUEUE_DEPTH, waiting, name)
        for name, state in gateway.breakers.items():
            into.set(UPSTREAM_STATE, _STATES[state], name)
        into.set(STORE_FAILURES, gateway.state.store.failures)
        into.set(USAGE_LOST, gateway.state.usage.lost)

    return write


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
