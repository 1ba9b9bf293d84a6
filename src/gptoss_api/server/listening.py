"""The sockets the gateway listens on."""

import errno
import logging
import os
import socket
import sys
import time
from pathlib import Path
from typing import Final

from ..core.program import command
from .neighbour import NEAR, address_of, find_neighbour

BACKLOG: Final = 2048
# How many ports after one that is taken are tried for advice.
_PORTS_TRIED: Final = 20
# Ports below it are the administrator's.
_FIRST_FREE: Final = 1024

_NO_DESCRIPTOR: Final = frozenset({errno.EMFILE, errno.ENFILE})
# One for a connection, one for the event loop's reserve, one for whoever is faster.
_SPARE: Final = 3
# Seconds without trouble after which the next trouble is told again.
_QUIET: Final = 10.0

# What a machine without IPv6 says to the IPv6 half of a name.
_NO_SUCH_ADDRESS: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

_log = logging.getLogger(__name__)


def listen(host: str, port: int) -> list[socket.socket]:
    """Listening sockets on every address of ``host``: ``localhost`` often has two. All have one port.

    Raises:
        OSError: if one of the addresses cannot be used.
    """
    listeners: list[socket.socket] = []
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    try:
        for family, _, _, _, address in dict.fromkeys(found):
            try:
                listeners.append(_listener(family, address[0], port))
            except OSError as error:
                if not listeners or error.errno not in _NO_SUCH_ADDRESS:
                    raise
            else:
                # Port 0 asked for any free one; the other addresses take the same.
                port = listeners[0].getsockname()[1]
    except OSError:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def remedy(error: OSError, host: str, port: int) -> str:
    """What mends that :func:`listen` failed, "" where nobody knows."""
    if isinstance(error, socket.gaierror):
        return "HOST must be an address of this machine, or a name of one"
    match error.errno:
        case errno.EADDRINUSE:
            return _other_program(host, port)
        case errno.EADDRNOTAVAIL | errno.EAFNOSUPPORT:
            return "HOST must be an address of this machine, such as 127.0.0.1, or 0.0.0.0 for all of them"
        case errno.EACCES | errno.EPERM if port < _FIRST_FREE:
            return (
                f"ports below {_FIRST_FREE} need rights that this process does not have: "
                "choose a higher PORT, or give it the capability CAP_NET_BIND_SERVICE"
            )
        case errno.EACCES | errno.EPERM:
            return "the system keeps this port to itself: choose another PORT"
        case _:
            return ""


def _other_program(host: str, port: int) -> str:
    url = address_of(host, port)
    found = find_neighbour(url, {}, NEAR)
    who = "another program is there"
    if found is not None:
        answers = f", whose answers come from {found.upstream}" if found.upstream else ""
        who = f"a gateway of version {found.version} is there{answers}, and can be used at {url}/v1"
    return f"{who}; stop it, or choose another PORT: {_started_at(_free_port_after(host, port))}"


def _started_at(port: int) -> str:
    """The command that starts the gateway at ``port`` as this one was started."""
    # make puts that into the environment of what it runs.
    by_make = os.environ.get("MAKELEVEL") and Path(sys.prefix).parent == Path.cwd()
    return f"PORT={port} make run" if by_make else f"{command()} serve --port {port}"


def _free_port_after(host: str, port: int) -> int:
    for other in range(port + 1, min(port + _PORTS_TRIED, 65_536)):
        try:
            for listener in listen(host, other):
                listener.close()
        except OSError:
            continue
        return other
    return 0


def _listener(family: int, address: object, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


class DescriptorWatch:
    """Tells the log when connections cannot be accepted because descriptors have run out.

    The event loop does not: it accepts and closes what it has no descriptor for, and says nothing. For that
    it has one in reserve, which another thread may take in the wrong moment; without it the loop turns round
    and round. It makes a new reserve with the next connection that it accepts, and a few descriptors are kept
    here to make that possible.
    """

    def __init__(self) -> None:
        self._trouble: float | None = None
        # Whether the last look found none.
        self._missed = False
        self._spare: list[int] = []
        self._fill_up()
        self._last = _descriptor_limit() - 1

    def took(self, descriptor: int, connections: int) -> None:
        """A connection got this descriptor, the lowest that was free; ``connections`` are there with it."""
        if descriptor >= self._last:
            self._tell(connections)

    def look(self, connections: int) -> None:
        """To be called every second or so: what is no connection takes descriptors too."""
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            if error.errno in _NO_DESCRIPTOR:
                if self._missed:
                    # Not at once: whoever took the last one may be about to take more.
                    self.close()
                self._missed = True
                self._tell(connections)
        else:
            self._missed = False
            self._fill_up()
            if self._trouble is not None and time.monotonic() - self._trouble >= _QUIET:
                self._trouble = None

    def close(self) -> None:
        """Gives the descriptors back that are kept here."""
        while self._spare:
            os.close(self._spare.pop())

    def _fill_up(self) -> None:
        """Keeps some, where that leaves others as many."""
        if self._spare:
            return
        try:
            while len(self._spare) < 2 * _SPARE:
                self._spare.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            self.close()
        while len(self._spare) > _SPARE:
            os.close(self._spare.pop())

    def _tell(self, connections: int) -> None:
        if self._trouble is None:
            _log.error(
                "no descriptors are left (%d connections of clients): new ones are closed until some end; "
                "allow this process more (ulimit -n)",
                connections,
            )
        self._trouble = time.monotonic()


def _descriptor_limit() -> int:
    if sys.platform == "win32":
        return sys.maxsize
    import resource

    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit
