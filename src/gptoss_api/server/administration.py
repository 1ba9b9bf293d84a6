"""What administrators ask for: nothing here is answered without a key of theirs."""

import time

import msgspec
from starlette.types import Receive, Scope, Send

from ..access import ApiKeys, public_record
from .exchange import send_json
from .operations import Handler
from .request import RequestRecord


class Administration:
    """Everything under ``/admin``, as bound ASGI callables."""

    def __init__(self, keys: ApiKeys) -> None:
        self._keys = keys

    @property
    def handlers(self) -> dict[str, Handler]:
        """What answers at each of :data:`~gptoss_api.server.surface.ADMIN`."""
        return {"/admin/keys": self.keys}

    async def keys(self, scope: Scope, receive: Receive, send: Send) -> None:
        record: RequestRecord = scope["gptoss"]
        self._keys.authenticate_admin(record.headers)
        await self._keys.refresh()
        now = time.time()
        listed = [public_record(key, now) for key in self._keys.records]
        await send_json(send, 200, msgspec.json.encode({"object": "list", "data": listed}))
