"""Every kind of store: a test that takes ``store`` runs on each of them, a fresh one each time."""

import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gptoss_api.state import Store, open_store
from tests.redis_server import redis_server as redis_server

KINDS = ("memory", "sqlite", "redis")
_databases = itertools.count(1)


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that is empty."""
    if request.param == "memory":
        return "memory://"
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/state.db"
    server = request.getfixturevalue("redis_server")
    return f"redis://127.0.0.1:{server.port}/{next(_databases)}"


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    opened = open_store(url)
    yield opened
    await opened.close()
