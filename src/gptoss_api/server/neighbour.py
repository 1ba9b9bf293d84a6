"""A gateway that serves already, recognised by what it says of itself."""

import contextlib
import http.client
from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct

from ..access.origins import is_loopback

# Seconds for a gateway on this machine, which answers at once, and for one elsewhere.
NEAR: Final = 0.8
FAR: Final = 10.0
# A longer answer is no state of a gateway, in bytes.
_LONGEST: Final = 1 << 20


class Neighbour(Struct, frozen=True):
    """``url`` is its address without ``/v1``. ``upstream`` is "" where it tells strangers nothing."""

    url: str
    version: str
    upstream: str
    models: tuple[str, ...]
    is_demo: bool


def find_neighbour(url: str, headers: Mapping[str, str], patience: float) -> Neighbour | None:
    """The gateway at ``url``, which has no ``/v1``; ``None`` if nothing or something else is there.

    ``patience`` bounds each wait, in seconds.
    """
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=patience)
    try:
        connection.request("GET", f"{parts.path}/", headers={"accept": "application/json", **headers})
        response = connection.getresponse()
        said = msgspec.json.decode(response.read(_LONGEST)) if response.status == 200 else None
    except (OSError, http.client.HTTPException, msgspec.DecodeError, RecursionError, ValueError):
        return None
    finally:
        connection.close()
    return _recognised(url, said)


def _recognised(url: str, said: Any) -> Neighbour | None:
    if not isinstance(said, dict) or said.get("name") != "gptoss-api" or "endpoints" not in said:
        return None
    upstream = said.get("upstream")
    told = upstream if isinstance(upstream, dict) else {}
    models = said.get("models")
    return Neighbour(
        url,
        str(said.get("version", "")),
        str(told.get("name", "")),
        tuple(str(model) for model in models) if isinstance(models, list) else (),
        bool(told.get("demo")),
    )


def address_of(host: str, port: int) -> str:
    """The URL at which this machine reaches what listens on ``host``."""
    with contextlib.suppress(ValueError):
        if (address := ip_address(host)).is_unspecified:
            host = "::1" if address.version == 6 else "127.0.0.1"
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def patience_for(url: str) -> float:
    """Seconds to wait for what may be at ``url``."""
    return NEAR if is_loopback(urlsplit(url).hostname or "") else FAR
