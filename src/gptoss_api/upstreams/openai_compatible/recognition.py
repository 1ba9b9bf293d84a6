"""What kind of server is behind an address that does not tell: the server is asked.

Source: docs/design/servers.md, "What is behind an address".
"""

import asyncio
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from ... import __version__
from ...core.errors import GatewayError
from ...text.loose_json import Unreadable, decode_loosely
from ..http import HttpClient
from ..openai.models import canonical_id
from ..openai.server import Server

# How long one answer is waited for, in seconds, and how much of it is read, in bytes.
ANSWER_TIME: Final = 2.0
ANSWER_SIZE: Final = 4 * 1024 * 1024

# Who owns a model, by the list of a server that runs it.
_OWNERS: Final = {
    "vllm": "vllm",
    "sglang": "sglang",
    "llamacpp": "llamacpp",
    "library": "ollama",
    "organization_owner": "lmstudio",
}
# A gateway like this one: it does everything itself, whatever is behind it.
_GATEWAY: Final = "gpt-oss"
_VERSION: Final = re.compile(r"\d+\.\d")


def kind_by_owner(listed: bytes) -> str | None:
    """The kind of server that a list of models is from, by the owner of its first gpt-oss model.

    ``None`` where nobody has that model who is known, "" where it is sure to be of no kind.
    """
    value = _read(listed)
    entries = value.get("data") if isinstance(value, dict) else None
    for entry in entries if isinstance(entries, list) else ():
        if isinstance(entry, dict) and isinstance(name := entry.get("id"), str) and canonical_id(name):
            owner = entry.get("owned_by")
            return "" if owner == _GATEWAY else _OWNERS.get(owner) if isinstance(owner, str) else None
    return None


def _is_version(value: Any) -> bool:
    """Whether this is ``{"version": "0.12.3"}``; gateways have more to say there, or write it otherwise."""
    if not isinstance(value, dict) or value.keys() != {"version"}:
        return False
    version = value["version"]
    return isinstance(version, str) and _VERSION.match(version) is not None


def _is_props(value: Any) -> bool:
    return isinstance(value, dict) and "default_generation_settings" in value


# Where servers say something that others do not have, beside their ``/v1``.
_PLACES: Final[Mapping[str, tuple[str, Callable[[Any], bool]]]] = {
    "/props": ("llamacpp", _is_props),
    "/api/version": ("ollama", _is_version),
    "/version": ("vllm", _is_version),
}


async def ask_kind(http: HttpClient, server: Server) -> str | None:
    """The name of the kind that ``server`` says it is, "" where it says none; ``None`` without an answer."""
    headers = {"user-agent": f"gptoss-api/{__version__}", "accept": "application/json"}
    if server.key:
        headers["authorization"] = f"Bearer {server.key}"
    headers.update(server.headers)
    base = server.url.rstrip("/")
    listed = await _ask(http, f"{base}/models", headers)
    if listed is None:
        return None
    if (kind := kind_by_owner(listed)) is not None:
        return kind
    root = base.removesuffix("/v1")
    answers = await asyncio.gather(*(_ask(http, root + path, headers) for path in _PLACES))
    for (kind, is_its), answer in zip(_PLACES.values(), answers, strict=True):
        if answer and is_its(_read(answer)):
            return kind
    return ""


async def _ask(http: HttpClient, url: str, headers: Mapping[str, str]) -> bytes | None:
    """What is at ``url``, nothing where that is nothing; ``None`` from a server that cannot answer now."""
    try:
        async with asyncio.timeout(ANSWER_TIME), http.request("GET", url, headers=headers) as response:
            body = await response.read_all(ANSWER_SIZE)
            if response.status >= 500:
                # As long as a model is loaded, nothing else is told.
                return None
            return body if response.status == 200 else b""
    except (GatewayError, TimeoutError):
        return None


def _read(body: bytes) -> Any:
    try:
        return decode_loosely(body)
    except Unreadable:
        return None
