"""What a service manager is told of this process: systemd's protocol, a datagram for each change.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

import contextlib
import logging
import os
import socket
import time
from collections.abc import Mapping
from typing import Final

# Signs of life that are due within one watchdog interval, so that a late one does no harm.
_SIGNS: Final = 2

_log = logging.getLogger(__name__)


class Notifier:
    """Tells the service manager that ``environment`` names, or nobody where it names none.

    It never waits: a manager that does not listen must not hold the gateway up.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        place = environment.get("NOTIFY_SOCKET", "")
        # A leading @ stands for the zero byte of the abstract namespace.
        self._place = f"\0{place[1:]}" if place.startswith("@") else place
        self._every = _watchdog_interval(environment) / _SIGNS if self._place else 0.0
        self._due = 0.0

    @property
    def due(self) -> float | None:
        """When, on the monotonic clock, :meth:`alive` is to be called next; ``None``: never."""
        return self._due if self._every else None

    def ready(self) -> None:
        """Every listener accepts, or settings that were reread are in force."""
        self._tell(b"READY=1\nSTATUS=Serving.")

    def reloading(self) -> None:
        """Settings are reread; :meth:`ready` ends it."""
        self._tell(b"RELOADING=1\nMONOTONIC_USEC=%d\nSTATUS=Rereading settings." % _microseconds())

    def stopping(self, within: float) -> None:
        """No more is begun; what runs may take ``within`` seconds, whatever the unit says."""
        self._tell(b"STOPPING=1\nEXTEND_TIMEOUT_USEC=%d\nSTATUS=Finishing answers." % (within * 1_000_000))

    def alive(self) -> None:
        """A sign of life, if one is due; to be called by what would not be if the process hung."""
        now = time.monotonic()
        if self._every and now >= self._due:
            self._due = now + self._every
            self._tell(b"WATCHDOG=1")

    def _tell(self, state: bytes) -> None:
        if not self._place:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)
                sender.sendto(state, self._place)
        except OSError as error:
            words = state.partition(b"\n")[0].decode()
            _log.warning("the service manager could not be told %s (%s)", words, error.strerror or error)


def _microseconds() -> int:
    return time.monotonic_ns() // 1000


def _watchdog_interval(environment: Mapping[str, str]) -> float:
    """Seconds after which the manager takes this process for dead; 0 where it does not watch it."""
    with contextlib.suppress(ValueError):
        watched = int(environment.get("WATCHDOG_PID") or os.getpid())
        interval = int(environment.get("WATCHDOG_USEC", "0"))
        if watched == os.getpid() and interval > 0:
            return interval / 1_000_000
    return 0.0


NOBODY: Final = Notifier({})
