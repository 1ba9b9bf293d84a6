"""Which models a server has, and what it calls them."""

import asyncio
import contextlib
import re
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final

from ...core.catalog import find_model
from ...core.errors import GatewayError, ModelNotFound
from ...text.loose_json import Unreadable, decode_loosely, joined
from ..base import ServedModel

# For how long a list of models is believed, in seconds; for how long the lack of one is.
LIST_AGE: Final = 300.0
TROUBLE_AGE: Final = 10.0

_SIZE: Final = re.compile(r"gpt[-_ ]?oss[-_: ]?(safeguard[-_: ]?)?(120b|20b)", re.I)


def canonical_id(name: str) -> str | None:
    """The canonical model that a server's name means: also file names such as ``gpt-oss-20b-mxfp4.gguf``."""
    try:
        return find_model(name).id
    except ModelNotFound:
        found = _SIZE.search(name)
        if found is None:
            return None
        return f"gpt-oss-{'safeguard-' if found[1] else ''}{found[2].lower()}"


def read_models(body: bytes) -> tuple[ServedModel, ...]:
    """The gpt-oss models in a server's list, in its order: OpenAI's shape, Ollama's, or a bare array."""
    try:
        value: Any = decode_loosely(body)
    except Unreadable:
        return ()
    if isinstance(value, dict):
        value = value.get("data") or value.get("models") or value.get("result")
    if not isinstance(value, list):
        return ()
    found: dict[str, ServedModel] = {}
    for entry in value:
        name = entry if isinstance(entry, str) else _name(entry)
        name = joined(name)
        if name and (known := canonical_id(name)) is not None:
            found.setdefault(name, ServedModel(name, known))
    return tuple(found.values())


def _name(entry: Any) -> str:
    if not isinstance(entry, dict):
        return ""
    return next((entry[key] for key in ("id", "name", "model") if isinstance(entry.get(key), str)), "")


class ModelList:
    """A server's list of models, asked for by ``fetch`` when it is needed and too old.

    A list that was once there stands in for one that cannot be had.
    """

    def __init__(self, fetch: Callable[[], Awaitable[tuple[ServedModel, ...]]]) -> None:
        self._fetch = fetch
        self._models: tuple[ServedModel, ...] | None = None
        self._failure: GatewayError | None = None
        self._expires = 0.0
        self._lock = asyncio.Lock()

    async def get(self) -> tuple[ServedModel, ...]:
        """Raises: GatewayError, if the server could not be asked now and never could before."""
        if time.monotonic() >= self._expires:
            async with self._lock:
                if time.monotonic() >= self._expires:
                    with contextlib.suppress(GatewayError):
                        await self._renew()
        return self._known()

    async def renew(self) -> None:
        """Asks for the list, however old the one that is there.

        Raises:
            GatewayError: if it cannot be had now.
        """
        async with self._lock:
            await self._renew()

    async def _renew(self) -> None:
        try:
            self._models = await self._fetch()
            self._expires = time.monotonic() + LIST_AGE
        except GatewayError as failure:
            self._failure = failure.with_traceback(None)
            self._expires = time.monotonic() + TROUBLE_AGE
            raise

    def _known(self) -> tuple[ServedModel, ...]:
        if self._models is None:
            assert self._failure is not None
            raise self._failure
        return self._models
