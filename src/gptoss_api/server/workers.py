"""Several processes that serve together on the same sockets, and the one that looks after them.

Where forking is safe, workers are forked from a supervisor that has loaded everything and does nothing else:
what they do not change they share with it.
"""

import asyncio
import contextlib
import gc
import logging
import multiprocessing
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import FrameType
from typing import Final

from ..config import ConfigError, Settings
from ..gateway import Gateway, state_url
from ..state import is_shared
from ..telemetry.logs import configure_logging, hide_from_logs
from ..text.ranks import RanksDamaged
from ..threads import Notes, UnderWay
from .neighbour import address_of
from .notify import Notifier
from .run import (
    NOTHING_GIVEN,
    STOP_SIGNALS,
    announce,
    asks_to_reload,
    listen_for_metrics,
    listen_or_say_why_not,
    run_in_loop,
    serve_on,
    stop_signals_caught,
)
from .running import noticed

# Seconds. A worker that ends sooner than this after its start would probably do so again.
_YOUNG: Final = 10.0
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
# A worker shows so often that its event loop runs, and is replaced when it has not for so long.
_BEAT: Final = 1.0
_ACCEPTS: Final = b"a"
# Within which every worker has seen that settings have changed.
_RELOAD_TIME: Final = 2.0
_HUNG: Final = 30.0
# What a worker may take to stop beyond the time its answers get.
_STOP_TIME: Final = 5.0

_FROM_TERMINALS: Final = {signal.SIGINT, signal.SIGHUP, signal.SIGQUIT} if sys.platform != "win32" else set()

_log = logging.getLogger(__name__)


def run_workers(settings: Settings, given: Mapping[str, object] = NOTHING_GIVEN) -> int:
    """Serves with ``settings.workers`` processes until it is told to stop; returns the exit code.

    Raises:
        ConfigError: for settings that only show to be wrong when they are used, such as a store that
            processes cannot share.
    """
    if sys.platform == "win32":
        raise ConfigError("GPTOSS_WORKERS: several workers are not possible on Windows")
    if not is_shared(state_url(settings)):
        raise ConfigError(
            f"GPTOSS_WORKERS: {settings.workers} workers cannot share {state_url(settings)}; "
            "set GPTOSS_STATE to an sqlite:/// or redis:// URL"
        )
    listeners = run_in_loop(_prepare(settings))
    if listeners is None:
        return 1
    apart = listen_for_metrics(settings)
    # Short, as the name of a socket has to be, and for nobody else.
    url = address_of(*listeners[0].getsockname()[:2])
    with tempfile.TemporaryDirectory(prefix="gptoss-") as fellows, noticed(url):
        return Supervisor(settings, given, listeners, apart, Path(fellows)).run()


async def _prepare(settings: Settings) -> list[socket.socket] | None:
    gateway = Gateway(settings)
    hide_from_logs(gateway.secrets)
    try:
        listeners = listen_or_say_why_not(settings)
        if listeners is not None:
            await announce(listeners, settings, gateway)
            gateway.tokens.warm()
        return listeners
    except RanksDamaged as error:
        _log.error("stopping: %s", error)
        return None
    finally:
        await gateway.close()


class _Worker:
    """One place among the workers, and the process that fills it now, if any."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.process: BaseProcess | None = None
        self.started = 0.0
        # Where its event loop shows that it runs, and when it last did.
        self.beats: Connection | None = None
        self.seen = 0.0
        self.accepts = False
        self.pause = _FIRST_PAUSE
        self.due: float | None = None

    def listen(self) -> None:
        """Takes the signs of life that have come."""
        if self.beats is not None and self.beats.poll():
            self.seen = time.monotonic()
            signs = os.read(self.beats.fileno(), 4096)
            self.accepts = self.accepts or _ACCEPTS in signs
            if not signs:
                self.deafen()

    def deafen(self) -> None:
        """Nothing more will come."""
        if self.beats is not None:
            self.beats.close()
            self.beats = None


class Supervisor:
    """Starts the workers, replaces those that die or hang, and passes the signals to stop on.

    The sockets stay open here: while a worker is replaced, the others or the next one take its connections.
    """

    def __init__(
        self,
        settings: Settings,
        given: Mapping[str, object],
        listeners: list[socket.socket],
        metrics_listeners: list[socket.socket],
        fellows: Path,
    ) -> None:
        self._settings = settings
        self._given = dict(given)
        self._listeners = listeners
        self._metrics_listeners = metrics_listeners
        self._fellows = fellows
        self._workers = [_Worker(number) for number in range(1, settings.workers + 1)]
        # Libraries of other systems do not bear it to be forked.
        self._context = (
            multiprocessing.get_context("fork")
            if sys.platform == "linux"
            else multiprocessing.get_context("spawn")
        )
        # Only what is forked inherits memory.
        self._under_way = UnderWay(settings.workers) if self._context.get_start_method() == "fork" else None
        self._signals: list[int] = []
        self._stopping = False
        self._deadline: float | None = None
        self._exit_code = 0
        self._manager = Notifier(os.environ)
        # When the service manager is to be told that the workers accept, or have reread their settings.
        self._ready_at: float | None = 0.0

    def run(self) -> int:
        """Until all workers have ended; returns the exit code of the process."""
        # A collector that looks at what is shared would write to it.
        gc.collect()
        gc.freeze()
        with self._signals_caught() as wakeup:
            for worker in self._workers:
                self._start(worker)
            while any(worker.process is not None or worker.due is not None for worker in self._workers):
                self._wait(wakeup)
                with contextlib.suppress(BlockingIOError):
                    wakeup.recv(4096)
                self._obey_signals()
                self._look_after()
                self._tell_manager()
        _log.info("stopped")
        return self._exit_code

    @contextlib.contextmanager
    def _signals_caught(self) -> Iterator[socket.socket]:
        """Signals are noted in ``_signals``; the socket wakes who waits."""

        def note(number: int, _frame: FrameType | None) -> None:
            self._signals.append(number)

        reader, writer = socket.socketpair()
        with reader, writer:
            reader.setblocking(False)
            writer.setblocking(False)
            with stop_signals_caught(note):
                descriptor = signal.set_wakeup_fd(writer.fileno())
                try:
                    yield reader
                finally:
                    signal.set_wakeup_fd(descriptor)

    def _wait(self, wakeup: socket.socket) -> None:
        """Until something happens or is to be done."""
        processes = [worker.process for worker in self._workers if worker.process is not None]
        beats = [worker.beats for worker in self._workers if worker.beats is not None]
        patience = self._patience()
        began = time.monotonic()
        wait([wakeup, *beats, *(process.sentinel for process in processes)], patience)
        for worker in self._workers:
            worker.listen()
        if patience is not None and time.monotonic() - began > patience + _BEAT:
            # This process was stopped itself, as the workers may have been.
            for worker in self._workers:
                worker.seen = time.monotonic()

    def _patience(self) -> float | None:
        """Seconds until something is to be done although nothing happens."""
        moments = [worker.due for worker in self._workers if worker.due is not None]
        if not self._stopping:
            moments += [worker.seen + _HUNG for worker in self._workers if worker.process is not None]
        if self._deadline is not None:
            moments.append(self._deadline)
        if self._manager.due is not None:
            moments.append(self._manager.due)
        if self._ready_at and not self._stopping and self._ready_at > time.monotonic():
            moments.append(self._ready_at)
        return max(0.0, min(moments) - time.monotonic()) if moments else None

    def _obey_signals(self) -> None:
        while self._signals:
            if asks_to_reload(self._signals.pop()):
                _log.info("SIGHUP: every worker takes over changed settings within two seconds")
                if self._ready_at is None:
                    self._manager.reloading()
                    self._ready_at = time.monotonic() + _RELOAD_TIME
            else:
                self._stop()

    def _stop(self) -> None:
        """Tells all workers to stop; those that were told before stop at once."""
        if not self._stopping:
            self._stopping = True
            within = self._settings.drain_delay + self._settings.shutdown_timeout + _STOP_TIME
            self._deadline = time.monotonic() + within
            self._manager.stopping(within)
        for worker in self._workers:
            worker.due = None
            if worker.process is not None and worker.process.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.process.pid, signal.SIGTERM)

    def _tell_manager(self) -> None:
        self._manager.alive()
        due = self._ready_at is not None and time.monotonic() >= self._ready_at
        if due and not self._stopping and all(worker.accepts for worker in self._workers):
            self._ready_at = None
            self._manager.ready()

    def _look_after(self) -> None:
        now = time.monotonic()
        for worker in self._workers:
            if worker.process is not None and worker.process.exitcode is not None:
                self._ended(worker, worker.process, now)
            elif worker.due is not None and now >= worker.due:
                self._start(worker)
            elif worker.process is not None and now - worker.seen >= _HUNG and not self._stopping:
                _log.error("worker %d has hung for %g s and is killed", worker.number, _HUNG)
                worker.seen = now
                worker.process.kill()
        if self._deadline is not None and now >= self._deadline:
            self._deadline = None
            for worker in self._workers:
                if worker.process is not None:
                    _log.error("worker %d does not stop and is killed", worker.number)
                    worker.process.kill()

    def _ended(self, worker: _Worker, process: BaseProcess, now: float) -> None:
        code = process.exitcode
        process.close()
        worker.deafen()
        worker.process = None
        if self._stopping:
            return
        young = now - worker.started < _YOUNG
        if young and code == 1:
            _log.error("worker %d cannot serve: stopping", worker.number)
            self._exit_code = 1
            self._stop()
            return
        worker.pause = min(worker.pause * 2, _LONGEST_PAUSE) if young else _FIRST_PAUSE
        worker.due = now + worker.pause if young else now
        _log.warning(
            "worker %d ended (%s) and is replaced%s",
            worker.number,
            f"signal {-code}" if code is not None and code < 0 else f"exit code {code}",
            f" in {worker.pause:g} s: it had run for {now - worker.started:.1f} s" if young else "",
        )

    def _start(self, worker: _Worker) -> None:
        worker.due = None
        worker.started = worker.seen = time.monotonic()
        worker.accepts = False
        worker.beats, theirs = self._context.Pipe(duplex=False)
        worker.process = self._context.Process(
            target=_work,
            args=(
                self._settings,
                self._given,
                self._listeners,
                self._metrics_listeners,
                theirs,
                self._fellows,
                worker.number,
                self._under_way,
            ),
            name=f"gptoss-api worker {worker.number}",
        )
        mask = signal.pthread_sigmask(signal.SIG_BLOCK, {*_FROM_TERMINALS, signal.SIGTERM})
        try:
            worker.process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            theirs.close()
        _log.info("worker %d is process %d", worker.number, worker.process.pid)


def _share_of(settings: Settings) -> Settings:
    """The settings of one worker: what is allowed to all together is divided."""

    def part(of_all: int, least: int) -> int:
        return max(least, of_all // settings.workers)

    upstreams = tuple(
        replace(
            entry,
            # Read-only views do not travel to another process.
            models=dict(entry.models),
            headers=dict(entry.headers),
            max_concurrency=None if entry.max_concurrency is None else part(entry.max_concurrency, 1),
            max_queue=None if entry.max_queue is None else part(entry.max_queue, 0),
        )
        for entry in settings.upstreams
    )
    return replace(
        settings,
        max_concurrency=part(settings.max_concurrency, 1),
        max_queue=part(settings.max_queue, 0),
        upstreams=upstreams,
    )


def _work(
    settings: Settings,
    given: Mapping[str, object],
    listeners: list[socket.socket],
    metrics_listeners: list[socket.socket],
    beats: Connection,
    fellows: Path,
    number: int,
    under_way: UnderWay | None,
) -> None:
    """The whole life of a worker process."""
    _take_signals()
    configure_logging(settings.log_level, settings.log_format, secrets=settings.secrets)
    notes = None if under_way is None else under_way.part(number - 1)
    sys.exit(
        run_in_loop(_serve(settings, given, listeners, metrics_listeners, beats, fellows, number, notes))
    )


def _take_signals() -> None:
    """Lets SIGTERM end this process, and nothing tell the supervisor of it.

    What a terminal sends stays blocked: it reaches every process, but only the supervisor says when to stop.
    It is blocked again because with the first process multiprocessing may start its resource tracker, which
    unblocks SIGINT.
    """
    signal.set_wakeup_fd(-1)
    for number in STOP_SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_BLOCK, _FROM_TERMINALS)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})


async def _serve(
    settings: Settings,
    given: Mapping[str, object],
    listeners: list[socket.socket],
    metrics_listeners: list[socket.socket],
    beats: Connection,
    fellows: Path,
    number: int,
    notes: Notes | None,
) -> int:
    _show_life(beats)
    for listener in (*listeners, *metrics_listeners):
        listener.setblocking(False)
    gateway = Gateway(_share_of(settings), joins=True, notes=notes)
    hide_from_logs(gateway.secrets)
    try:
        return await serve_on(
            listeners,
            settings,
            gateway,
            metrics_listeners=metrics_listeners,
            fellows=fellows,
            number=number,
            given=given,
            share=_share_of,
            accepting=partial(_show, beats, _ACCEPTS),
        )
    finally:
        await gateway.close()


def _show_life(beats: Connection) -> None:
    """Tells the supervisor again and again that this event loop runs, and stops when nobody is there."""
    supervisor = multiprocessing.parent_process()
    assert supervisor is not None
    loop = asyncio.get_running_loop()
    os.set_blocking(beats.fileno(), False)

    def beat() -> None:
        # Not the end of a pipe: other workers have inherited its other end.
        if os.getppid() != supervisor.pid:
            os.kill(os.getpid(), signal.SIGTERM)
            return
        _show(beats, b".")
        loop.call_later(_BEAT, beat)

    beat()


def _show(beats: Connection, sign: bytes) -> None:
    # A supervisor that reads nothing has unread signs enough.
    with contextlib.suppress(BlockingIOError, BrokenPipeError):
        os.write(beats.fileno(), sign)
