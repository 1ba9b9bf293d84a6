"""The sockets the gateway listens on."""

import errno
import socket
import sys
from typing import Final

_BACKLOG: Final = 2048

# What a machine without IPv6 says to the IPv6 half of a name.
_NO_SUCH_ADDRESS: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


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


def _listener(family: int, address: object, port: int) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform != "win32":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener
