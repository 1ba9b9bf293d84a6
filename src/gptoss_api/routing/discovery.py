"""Servers of gpt-oss on this machine, found where they usually listen.

Only loopback addresses are asked, once, when the gateway starts, all at the same time and not for long.
"""

import http.client
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import msgspec
from msgspec import Struct

from ..core.servers import SERVER_KINDS
from ..upstreams.base import ServedModel
from ..upstreams.openai.models import read_models
from ..upstreams.openai_compatible.recognition import kind_by_owner

TIMEOUT: Final = 0.3
_LARGEST_LIST: Final = 1024 * 1024


class LocalServer(Struct, frozen=True):
    """Where a kind of server listens unless told otherwise."""

    kind: str
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"


class FoundServer(Struct, frozen=True):
    """A server that answered, and the gpt-oss models it lists."""

    server: LocalServer
    models: tuple[ServedModel, ...]

    @property
    def told(self) -> str:
        names = ", ".join(model.name for model in self.models)
        return f"{self.server.kind} at 127.0.0.1:{self.server.port} lists {names}"


LOCAL_SERVERS: Final = tuple(LocalServer(kind.name, kind.port) for kind in SERVER_KINDS.values() if kind.port)


def find_local_servers(
    servers: Sequence[LocalServer] = LOCAL_SERVERS, *, own_port: int = 0, timeout: float = TIMEOUT
) -> list[FoundServer]:
    """Those of ``servers`` that list a gpt-oss model. ``own_port`` is our own: nobody else can be there."""
    asked = [server for server in servers if server.port != own_port]
    if not asked:
        return []
    with ThreadPoolExecutor(len(asked)) as pool:
        found = pool.map(lambda server: _ask(server, timeout), asked)
        return [server for server in found if server.models]


def _ask(server: LocalServer, timeout: float) -> FoundServer:
    """What is at the port of ``server``, which may be of another kind than is usual there and say so."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=timeout)
    try:
        connection.request("GET", "/v1/models", headers={"Accept": "application/json"})
        response = connection.getresponse()
        body = response.read(_LARGEST_LIST) if response.status == 200 else b""
    except (OSError, http.client.HTTPException):
        body = b""
    finally:
        connection.close()
    if _is_gateway(body):
        return FoundServer(server, ())
    return FoundServer(LocalServer(kind_by_owner(body) or server.kind, server.port), read_models(body))


def _is_gateway(body: bytes) -> bool:
    """Whether the list is that of another gateway like this one, which must not be asked for answers."""
    try:
        value: Any = msgspec.json.decode(body)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return False
    entries = value.get("data") if isinstance(value, dict) else None
    first = entries[0] if isinstance(entries, list) and entries else None
    return isinstance(first, dict) and first.get("owned_by") == "gpt-oss"
