"""Fixtures shared by every suite: the simulated website and the real gateway as a process.

``site`` is the quick pair for most tests: one simulator and one gateway for the whole session, the
simulator reset before each test. ``gateway`` starts a gateway of a test's own with other settings::

    def test_x(simulator, gateway):
        running = gateway(simulator, GPTOSS_IDLE_TIMEOUT="0.5")
        httpx.post(f"{running.base_url}/v1/chat/completions", …)
"""

import gc
import logging
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.simulator import Simulator, simulator_thread
from tests.skip_summary import pytest_terminal_summary

# pytest finds hooks here alone.
__all__ = ["pytest_collection_finish", "pytest_terminal_summary"]


def pytest_collection_finish() -> None:
    """Leaves thousands of tests out of every later collection, which tests that measure would pay for."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    """Undoes what a command that ran in the process of the tests made of their log."""
    root, ours = logging.getLogger(), logging.getLogger("gptoss_api")
    handlers, level, own_level, raises = root.handlers[:], root.level, ours.level, logging.raiseExceptions
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    ours.setLevel(own_level)
    logging.raiseExceptions = raises
    logging.captureWarnings(False)


START_SECONDS = 20.0
STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class RunningGateway:
    """A gateway process. ``base_url`` has no ``/v1``; ``home`` is its empty home folder."""

    base_url: str
    process: "subprocess.Popen[bytes]"
    log_file: Path
    home: Path

    def log(self) -> str:
        """Everything it wrote to standard output and standard error so far."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> int:
        """Ask it to end and wait; the value is its exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


@dataclass(frozen=True, slots=True)
class Site:
    """The simulated website and a gateway that is logged in there."""

    simulator: Simulator
    gateway: RunningGateway


StartGateway = Callable[..., RunningGateway]


def _share_cache(home: Path) -> None:
    """Lets gateways find what others have made, as those of one user do."""
    if sys.platform != "win32":
        ours = Path(tempfile.gettempdir(), f"gptoss-api-cache-of-tests-{os.geteuid()}")
        ours.mkdir(mode=0o700, exist_ok=True)
        home.joinpath("cache").mkdir(exist_ok=True)
        link = home / "cache/gptoss-api"
        if not link.is_symlink():
            link.symlink_to(ours)


@contextmanager
def running_gateway(
    home: Path, simulator: Simulator | None = None, *, before: str = "", **environment: str
) -> Iterator[RunningGateway]:
    """A gateway in front of ``simulator``, its environment clean but for what is given here.

    ``before`` is Python that its process runs first, for what no setting changes.
    """
    port = int(environment.get("PORT") or free_port())
    variables = {
        **{name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TMPDIR") if name in os.environ},
        "HOME": str(home),
        "USERPROFILE": str(home),
        "APPDATA": str(home),
        "LOCALAPPDATA": str(home),
        **{f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CONFIG", "CACHE", "DATA", "STATE")},
        "PYTHONUNBUFFERED": "1",
        "HOST": "127.0.0.1",
        "PORT": str(port),
        "GPTOSS_UPSTREAM": "gpt-oss.com",
        # Upstreams are looked for at the start: none that is not on this machine is found.
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    _share_cache(home)
    if simulator is not None:
        variables |= {"GPTOSS_CHATKIT_URL": simulator.chatkit_url, "GPTOSS_COOKIE": simulator.cookie}
    variables |= environment
    log_file = home / "gateway.log"
    program = f"{before}\nfrom gptoss_api.cli import main\nmain(['serve'])"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, *(("-c", program) if before else ("-m", "gptoss_api", "serve"))],
            stdout=log,
            stderr=subprocess.STDOUT,
            env=variables,
            cwd=home,
        )
    gateway = RunningGateway(f"http://127.0.0.1:{port}", process, log_file, home)
    try:
        _wait_until_healthy(gateway)
        yield gateway
    finally:
        gateway.stop()


def free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_healthy(gateway: RunningGateway) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if (code := gateway.process.poll()) is not None:
            raise RuntimeError(f"the gateway ended with code {code}:\n{gateway.log()}")
        try:
            with urllib.request.urlopen(f"{gateway.base_url}/healthz", timeout=2):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.02)
    raise TimeoutError(f"the gateway did not become healthy:\n{gateway.log()}")


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A simulated website of this test's own, which demands a login."""
    with simulator_thread(auth="session") as running:
        yield running


@pytest.fixture
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartGateway]:
    """Starts gateways that end with the test: ``gateway(simulator, GPTOSS_KEEPALIVE="1")``."""
    with ExitStack() as stack:

        def start(
            simulator: Simulator | None = None, *, before: str = "", **environment: str
        ) -> RunningGateway:
            home = tmp_path_factory.mktemp("home")
            return stack.enter_context(running_gateway(home, simulator, before=before, **environment))

        yield start


@pytest.fixture(scope="session")
def shared_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with (
        simulator_thread(auth="session") as simulator,
        running_gateway(tmp_path_factory.mktemp("home"), simulator) as gateway,
    ):
        yield Site(simulator, gateway)


@pytest.fixture
def site(shared_site: Site) -> Site:
    """The session's simulator, reset, and its gateway."""
    shared_site.simulator.reset()
    return shared_site
