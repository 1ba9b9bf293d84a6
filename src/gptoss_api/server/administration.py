"""What administrators ask for: nothing here is answered without a key of theirs."""

import time

import msgspec

from ..access import ApiKeys, public_record
from .exchange import Exchange
from .routes import Handler


class Administration:
    """Everything under ``/admin``, as bound handlers."""

    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    @property
    def handlers(self) -> dict[str, Handler]:
        """What answers at each of :data:`~gptoss_api.server.surface.ADMIN`."""
        return {"/admin/keys": self.keys}

    async def keys(self, exchange: Exchange) -> None:
        self._keys.authenticate_admin(exchange.record.headers)
        await self._keys.refresh()
        now = time.time()
        listed = [public_record(key, now) for key in self._keys.records]
        exchange.respond_json(200, msgspec.json.encode({"object": "list", "data": listed}))
