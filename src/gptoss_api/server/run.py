"""Runs the gateway in this process until it is told to stop."""

import asyncio
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from pathlib import Path
from types import FrameType, MappingProxyType
from typing import Final, TypeVar

from .. import __version__
from ..access.origins import ANY, is_loopback
from ..config import ConfigError, Settings
from ..gateway import Gateway
from ..telemetry.logs import hide_from_logs
from ..telemetry.traces import find_tracer, secrets_of
from ..text.ranks import RanksDamaged
from .app import App
from .drain import Drain
from .listening import BACKLOG, DescriptorWatch, listen, remedy
from .metrics import Metrics, MetricsAlone
from .neighbour import address_of
from .notify import NOBODY, Notifier
from .protocol import SWEEP_EVERY, HttpProtocol, Shared
from .reloading import Reloader
from .running import noticed
from .surface import PAGE, Surface
from .tracing import traced

T = TypeVar("T")

NOTHING_GIVEN: Final[Mapping[str, object]] = MappingProxyType({})

# Seconds that answers whose grace is over get to send their error event.
_LAST_WORDS = 0.1
_TICKS_PER_SECOND: Final = round(1 / SWEEP_EVERY)
# Seconds in which clients take the last answers, once nothing new is begun.
_CLOSING_TIME: Final = 2.0
# Seconds between attempts to load what the first request would wait for.
_WARM_PAUSE: Final = 1.0
# Objects that come to stay between two looks of the garbage collector.
_COLLECT_EVERY: Final = 10_000
# Seconds for the first look at the upstreams, longer than any takes.
_LOOK_TIME: Final = 15.0

# What ends a process in order; but SIGHUP asks for another configuration where no terminal was closed.
STOP_SIGNALS: Final = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT", "SIGBREAK")
    if hasattr(signal, name)
)

_log = logging.getLogger(__name__)


@contextlib.contextmanager
def stop_signals_caught(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Every signal to stop goes to ``handler`` meanwhile, but for those that are ignored, as under nohup."""
    before = {
        number: signal.signal(number, handler)
        for number in STOP_SIGNALS
        if number in (signal.SIGINT, signal.SIGTERM) or signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


def asks_to_reload(number: int) -> bool:
    """Whether the signal asks for another configuration: SIGHUP does, unless a terminal was closed."""
    return number == _HANGUP and not _terminal_is_gone()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _terminal_is_gone() -> bool:
    return _AT_A_TERMINAL and not _has_terminal()


_HANGUP: Final = getattr(signal, "SIGHUP", 0)
_AT_A_TERMINAL: Final = _has_terminal()


class DrainingServer:
    """A server whose first stop signal drains: running answers end, new requests get 503 after the delay.

    The listener stays open meanwhile, so that a load balancer sees honest answers instead of refused
    connections. A second signal, or the end of ``grace`` seconds beyond the delay, ends what still runs.
    ``manager`` is told of it; ``accepting`` is called once connections are accepted.
    """

    def __init__(
        self,
        shared: Shared,
        drain: Drain,
        descriptors: DescriptorWatch,
        grace: float,
        reloader: Reloader,
        *,
        manager: Notifier = NOBODY,
        accepting: Callable[[], None] = lambda: None,
    ) -> None:
        self._manager = manager
        self._accepting = accepting
        self._reloader = reloader
        self._reloading: asyncio.Task[None] | None = None
        self._reload_asked = False
        self._shared = shared
        self._drain = drain
        self._grace = grace
        self._deadline: float | None = None
        self._descriptors = descriptors
        self._listeners: list[socket.socket] = []
        self._duplicates: list[socket.socket] = []
        self._servers: list[asyncio.Server] = []
        self.should_exit = False
        self._forced = False

    async def serve(self, listeners: list[socket.socket]) -> None:
        """Serves on sockets that are listening already until it is told to stop."""
        with stop_signals_caught(self._told_to_stop):
            await self.start(listeners)
            self._accepting()
            self._manager.ready()
            tick = 0
            while not self.should_exit:
                await self._tick(tick)
                tick += 1
                await asyncio.sleep(SWEEP_EVERY)
            await self._shut_down()

    async def start(self, listeners: list[socket.socket]) -> None:
        self._listeners = listeners
        for listener in listeners:
            self._duplicates.append(listener.dup())
            self._servers.append(await self._listen_on(self._duplicates[-1]))

    async def _listen_on(self, listener: socket.socket) -> asyncio.Server:
        loop = asyncio.get_running_loop()
        return await loop.create_server(
            lambda: HttpProtocol(self._shared, loop), sock=listener, backlog=BACKLOG
        )

    async def _keep_listening(self) -> None:
        """Listens anew on what the event loop has closed, as it may when descriptors run out.

        That is why it is given a duplicate: meanwhile connections wait with the system.
        """
        for number, duplicate in enumerate(self._duplicates):
            if duplicate.fileno() != -1:
                continue
            with contextlib.suppress(OSError):
                again = self._listeners[number].dup()
                self._duplicates[number] = again
                self._servers[number] = await self._listen_on(again)

    def _told_to_stop(self, number: int, frame: FrameType | None) -> None:
        if asks_to_reload(number):
            self._reload_asked = True
            return
        if self._drain.draining or not self._servers:
            self._forced = self.should_exit = True
        self._drain.begin()

    async def _tick(self, tick: int) -> None:
        self._manager.alive()
        if self._drain.draining:
            await self._drain_on()
        if self._reload_asked:
            self._reload_asked = False
            self._reloading = asyncio.create_task(self._reload())
        await self._keep_listening()
        self._shared.sweep(asyncio.get_running_loop().time())
        if tick % _TICKS_PER_SECOND == 0:
            self._shared.tell_date()
            self._descriptors.look(len(self._shared.connections))

    async def _reload(self) -> None:
        self._manager.reloading()
        # What is wrong was logged.
        with contextlib.suppress(ConfigError):
            await self._reloader.reload()
        self._manager.ready()

    async def _drain_on(self) -> None:
        now = asyncio.get_running_loop().time()
        running = self._drain.in_flight
        if self._deadline is None:
            delay = self._drain.delay
            self._deadline = now + delay + self._grace
            self._manager.stopping(delay + self._grace + _CLOSING_TIME)
            if delay:
                _log.info("stopping: new requests are taken for %g s more", delay)
            if running:
                _log.info("stopping: %d request(s) may finish within %g s", running, delay + self._grace)
        if not self._drain.refuses:
            return
        if running and now >= self._deadline:
            _log.warning("stopping: ending %d request(s) that still run", running)
            self._drain.expire()
            await asyncio.sleep(_LAST_WORDS)
            self.should_exit = True
        elif not running:
            self.should_exit = True

    async def _shut_down(self) -> None:
        """Closes what listens, then every connection once its answer has left, if that does not take long."""
        for server in self._servers:
            server.close()
        for listener in self._listeners:
            listener.close()
        shared = self._shared
        for connection in tuple(shared.connections):
            connection.shut_down()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_TIME):
                while (shared.connections or shared.tasks) and not self._forced:  # noqa: ASYNC110
                    await asyncio.sleep(SWEEP_EVERY)  # a signal may end it too
        for task in tuple(shared.tasks):
            task.cancel()
        await asyncio.gather(*shared.tasks, return_exceptions=True)


def run(settings: Settings, given: Mapping[str, object] = NOTHING_GIVEN) -> int:
    """Serves until it is told to stop; returns the exit code of the process.

    ``given`` is what the command line said, for settings that change meanwhile.

    Raises:
        ConfigError: for settings that only show to be wrong when they are used.
    """
    return run_in_loop(_serve(settings, given))


async def _serve(settings: Settings, given: Mapping[str, object]) -> int:
    gateway = Gateway(settings)
    hide_from_logs(gateway.secrets)
    try:
        listeners = listen_or_say_why_not(settings)
        if listeners is None:
            return 1
        apart = listen_for_metrics(settings)
        await announce(listeners, settings, gateway)
        manager = Notifier(os.environ)
        with noticed(address_of(*listeners[0].getsockname()[:2])):
            return await serve_on(
                listeners, settings, gateway, metrics_listeners=apart, given=given, manager=manager
            )
    finally:
        await gateway.close()


def listen_or_say_why_not(settings: Settings) -> list[socket.socket] | None:
    try:
        return listen(settings.host, settings.port)
    except OSError as error:
        _log.error(
            "cannot listen on %s:%d (%s)%s",
            settings.host,
            settings.port,
            error.strerror or error,
            f"; {words}" if (words := remedy(error, settings.host, settings.port)) else "",
        )
        return None


async def serve_on(
    listeners: list[socket.socket],
    settings: Settings,
    gateway: Gateway,
    *,
    metrics_listeners: Sequence[socket.socket] = (),
    fellows: Path | None = None,
    number: int = 1,
    given: Mapping[str, object] = NOTHING_GIVEN,
    share: Callable[[Settings], Settings] = lambda settings: settings,
    manager: Notifier = NOBODY,
    accepting: Callable[[], None] = lambda: None,
) -> int:
    """Serves on sockets that are listening already; returns the exit code of the process.

    ``fellows`` is the folder where several processes meet, ``number`` which of them this is. Only the first
    tells the log how it finds the upstreams. ``given`` is what the command line said, ``share`` makes a
    worker's part of settings. ``manager`` is told how this process does, ``accepting`` is called once it
    accepts connections.
    """
    drain = Drain(settings.drain_delay)
    descriptors = DescriptorWatch()
    metrics = Metrics(gateway, drain, fellows, number)
    app = App(settings, gateway, drain, metrics)
    edge = app.edge
    hide_from_logs(secrets_of(os.environ))
    tracer = find_tracer(os.environ)
    serve = edge.serve if tracer is None else traced(edge, tracer)
    shared = Shared(serve, edge.surface, read_timeout=_longest_answer(settings), descriptors=descriptors)
    await gateway.state.keys.refresh()

    def use(changed: Settings) -> None:
        app.use(changed)
        shared.surface = edge.surface

    reloader = Reloader(
        settings, given, gateway, use, share=share, tells=number == 1, joins=fellows is not None
    )
    app.reloader = reloader
    server = DrainingServer(
        shared,
        drain,
        descriptors,
        settings.shutdown_timeout,
        reloader,
        manager=manager,
        accepting=accepting,
    )
    warming = asyncio.create_task(_warm_up(gateway, server))
    looking = asyncio.create_task(_look(gateway, tells=number == 1))
    following = [
        asyncio.create_task(each)
        for each in (gateway.state.keys.watch(), gateway.watch_login(), reloader.follow())
    ]
    await metrics.start()
    apart = [await _serve_metrics(listener, metrics, edge.surface) for listener in metrics_listeners]
    await server.serve(listeners)
    descriptors.close()
    for server_of_metrics in apart:
        server_of_metrics.close()
    await metrics.close()
    for task in (*following, looking):
        task.cancel()
    if tracer is not None:
        await asyncio.to_thread(tracer.close)
    _log.info("stopped")
    return await warming


async def _serve_metrics(listener: socket.socket, metrics: Metrics, surface: Surface) -> asyncio.Server:
    loop = asyncio.get_running_loop()
    shared = Shared(MetricsAlone(metrics).serve, surface)
    return await loop.create_server(lambda: HttpProtocol(shared, loop), sock=listener.dup(), backlog=BACKLOG)


def listen_for_metrics(settings: Settings) -> list[socket.socket]:
    """What metrics alone are served on, which may be nothing.

    Raises:
        ConfigError: where that is not possible.
    """
    if settings.metrics_addr is None:
        return []
    host, _, port = settings.metrics_addr.rpartition(":")
    try:
        return listen(host.strip("[]"), int(port))
    except OSError as error:
        raise ConfigError(
            f"GPTOSS_METRICS_ADDR: cannot listen on {settings.metrics_addr} ({error.strerror or error})"
        ) from None


def _longest_answer(settings: Settings) -> float:
    """Seconds that the slowest upstream may take for a whole answer."""
    return max(settings.total_timeout, *(entry.total_timeout or 0.0 for entry in settings.upstreams), 0.0)


async def announce(listeners: list[socket.socket], settings: Settings, gateway: Gateway) -> None:
    """Says in the log what is served where, and what a user should know of it."""
    selection = gateway.selection
    if selection.warning:
        _log.warning("%s", selection.warning)
    for listener in listeners:
        host, port = listener.getsockname()[:2]
        shown = f"[{host}]" if ":" in host else host
        _log.info("gptoss-api %s listens on http://%s:%d", __version__, shown, port)
    _say_what_to_paste(listeners[0], gateway)
    _log.info("upstream: %s (%s)", gateway.upstream.name, selection.because)
    _log.info("state: %s", gateway.state.where)
    _log.info("kept: %s", gateway.state.what)
    if gateway.is_demo:
        _log.warning("DEMO: %s", (await gateway.health()).detail)
    keys = gateway.state.keys
    if not await keys.refresh() and not keys.required:
        _log.warning(
            "the state store cannot be read, so created keys are not known yet and nobody needs one; "
            "set GPTOSS_REQUIRE_KEYS to keep everyone out until they are"
        )
    if not keys.required and not is_loopback(settings.host):
        _log.warning("INSECURE: no API keys are set and %s is not a loopback address", settings.host)
    if not keys.required and ANY in settings.cors_origin:
        _log.warning("INSECURE: no API keys are set and CORS_ORIGIN lets every web page in")


def _say_what_to_paste(listener: socket.socket, gateway: Gateway) -> None:
    """What a client is told, what a browser opens, and one request to try."""
    url = address_of(*listener.getsockname()[:2])
    required = gateway.state.keys.required
    _log.info(
        "for clients: base URL %s/v1, model gpt-oss-120b, %s",
        url,
        "a key of yours" if required else "any key",
    )
    _log.info("in a browser: %s%s", url, PAGE)
    _log.info(
        "to try it: curl -s %s/v1/chat/completions -H 'content-type: application/json'%s -d '%s'",
        url,
        " -H 'x-api-key: <your key>'" if required else "",
        '{"messages": [{"role": "user", "content": "Hello"}]}',
    )


async def _look(gateway: Gateway, *, tells: bool) -> None:
    """Finds out whether the upstreams are there, while the gateway serves already."""
    await gateway.look(_LOOK_TIME)
    if not tells or gateway.is_demo:
        return
    health = await gateway.health()
    several = [(state.name, state.health) for state in await gateway.states()]
    for name, found in several or [(gateway.upstream.name, health)]:
        if found.ready:
            _log.info("upstream %s is ready: %s", name, found.detail)
        else:
            _log.warning("upstream %s is not ready: %s", name, found.detail)


async def _warm_up(gateway: Gateway, server: DrainingServer) -> int:
    """Loads what the first request would wait for, while nobody does; stops the server if that fails.

    Returns the exit code of the process.
    """
    await gateway.state.warm()
    while not gateway.tokens.loaded:
        try:
            await asyncio.to_thread(gateway.tokens.warm)
        except RanksDamaged as error:
            _log.error("stopping: %s", error)
            server.should_exit = True
            return 1
        except OSError:
            # No descriptor is left, which the log is told already; clients have them all and may leave.
            await asyncio.sleep(_WARM_PAUSE)
            if server.should_exit:
                return 0
    # What lives now lives for ever: the collector need not look at it again. A turn makes hundreds of objects
    # of which few need it, so that it is not called for each turn either.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_COLLECT_EVERY, *gc.get_threshold()[1:])
    return 0


def run_in_loop(work: Coroutine[None, None, T]) -> T:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(work)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop
