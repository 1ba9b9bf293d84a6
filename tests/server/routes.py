"""The routes of a gateway, as its router has them."""

import asyncio

from gptoss_api.config import resolve
from gptoss_api.gateway import Gateway
from gptoss_api.server.app import create_app
from gptoss_api.server.drain import Drain


def routes() -> set[tuple[str, str]]:
    """Method and path of each, ``HEAD`` included."""
    return asyncio.run(_routes())


async def _routes() -> set[tuple[str, str]]:
    settings = resolve(environ={"GPTOSS_UPSTREAM": "demo", "GPTOSS_STATE": "memory://"}).settings
    gateway = Gateway(settings, {})
    try:
        found = create_app(settings, gateway, Drain()).routes.served
    finally:
        await gateway.close()
    return {(method, path.replace(":path}", "}")) for method, path in found}
