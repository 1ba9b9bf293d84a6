"""Every kind of store, among them a real Redis server of the tests' own.

The fixtures are for the ``conftest.py`` of a folder: a test that takes ``store`` or ``store_url`` runs on
each kind, with an empty store each time. Where no redis-server is installed, its tests are skipped.
"""

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from gptoss_api.state import Store, open_store

# For processes that the tests start: where this copy of the project is.
ROOT = os.pathsep.join(str(Path(__file__).parents[1] / folder) for folder in ("src", "."))

KINDS = ("memory", "sqlite", "redis")

_START_TIME = 10.0
_databases = itertools.count(1)


class RedisServer:
    """``redis-server`` on a port of its own and on a Unix socket, nothing kept on disk.

    In ``options``, ``{tls_port}`` stands for a free port.
    """

    def __init__(self, folder: Path, *options: str) -> None:
        self._folder = folder
        self._options = options
        self.port, self.tls_port = _free_port(), _free_port()
        # A socket's path is short by law, a test's folder is not.
        self._sockets = Path(tempfile.mkdtemp(prefix="redis"))
        self.socket = self._sockets / "redis.sock"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def unix_url(self) -> str:
        return f"unix://{self.socket}"

    def start(self) -> None:
        command = ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--unixsocket", str(self.socket), "--dir", str(self._folder), "--databases", "1000"]
        command += [option.format(tls_port=self.tls_port) for option in self._options]
        with (self._folder / "redis.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        deadline = time.monotonic() + _START_TIME
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self._folder / "redis.log").read_text())
            time.sleep(0.01)

    def kill(self) -> None:
        """As ``kill -9`` does; everything it knew is lost."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> None:
        self.kill()
        shutil.rmtree(self._sockets, ignore_errors=True)

    def _answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def running_redis(folder: Path, *options: str) -> Iterator[RedisServer]:
    if shutil.which("redis-server") is None:
        pytest.skip("needs redis-server (apt-get install redis-server)")
    server = RedisServer(folder, *options)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One server for all tests that do not stop it."""
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(params=KINDS)
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a store that is empty."""
    if request.param == "memory":
        return "memory://"
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/state.db"
    server: RedisServer = request.getfixturevalue("redis_server")
    return f"redis://127.0.0.1:{server.port}/{next(_databases)}"


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    opened = open_store(store_url)
    yield opened
    await opened.close()
