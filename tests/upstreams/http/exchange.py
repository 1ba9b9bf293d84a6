"""What nearly every test does: a whole exchange."""

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

from gptoss_api.upstreams.http import HttpClient

from .servers import Handler, RawServer

Serve: TypeAlias = Callable[[Handler], Awaitable[RawServer]]


async def fetch(
    client: HttpClient, url: str, method: str = "GET", *, headers: Mapping[str, str] = {}, body: bytes = b""
) -> tuple[int, bytes]:
    async with client.request(method, url, headers=headers, body=body, idle_timeout=5.0) as answer:
        data = await answer.read_all(1 << 30)
        # The size was met, so the end may be still to come; see that it does.
        assert await answer.read_chunk() == b""
        return answer.status, data
