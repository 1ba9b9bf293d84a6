"""The routes of a gateway, as its router has them."""

import asyncio

from starlette.routing import Route

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
        found = create_app(settings, gateway, Drain()).router.routes
    finally:
        await gateway.close()
    assert all(isinstance(route, Route) for route in found)
    return {
        (method, route.path.replace(":path}", "}"))
        for route in found
        if isinstance(route, Route)
        for method in route.methods or ()
    }
