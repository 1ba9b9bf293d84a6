"""A gateway's inside over a simulated website, with every kind of store."""

from collections.abc import AsyncIterator

import pytest

from gptoss_api.state import GuardedStore, Store
from tests.simulator import Simulator
from tests.stores import redis_server as redis_server
from tests.stores import store as store
from tests.stores import store_url as store_url

from .chatting import Inside


@pytest.fixture
async def site() -> AsyncIterator[Simulator]:
    async with Simulator(auth="session") as running:
        yield running


@pytest.fixture
async def inside(site: Simulator, store: Store) -> AsyncIterator[Inside]:
    async with Inside(site, GuardedStore(store)) as running:
        yield running
