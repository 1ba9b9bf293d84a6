"""A gateway over the demo upstream for everything that concerns HTTP only."""

from collections.abc import Iterator

import pytest

from tests.conftest import RunningGateway, Site, running_gateway
from tests.simulator import simulator_thread


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    hurry = "import gptoss_api.upstreams.demo as demo; demo.PACE = 0"
    with running_gateway(tmp_path_factory.mktemp("home"), before=hurry, GPTOSS_UPSTREAM="demo") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def shared_impatient_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with (
        simulator_thread(auth="session") as simulator,
        running_gateway(tmp_path_factory.mktemp("home"), simulator, GPTOSS_IDLE_TIMEOUT="0.5") as gateway,
    ):
        yield Site(simulator, gateway)


@pytest.fixture
def impatient_site(shared_impatient_site: Site) -> Site:
    """A simulated website, reset, and a gateway that waits half a second for its next word."""
    shared_impatient_site.simulator.reset()
    return shared_impatient_site
