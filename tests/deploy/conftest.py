"""Two gateways before one simulated website, each behind every proxy."""

from collections.abc import Iterator

import pytest

from tests.conftest import RunningGateway, running_gateway
from tests.simulator import Simulator, simulator_thread

from .proxies import PROXIES, Proxy, running_proxy

PATIENT = {
    "GPTOSS_MAX_CONCURRENCY": "200",
    "GPTOSS_TRUSTED_PROXIES": "loopback",
    # Silence is to be silence: what proxies make of comments is not the question.
    "GPTOSS_KEEPALIVE": "off",
    "GPTOSS_IDLE_TIMEOUT": "700",
}


@pytest.fixture(scope="session")
def patient_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Simulator, RunningGateway]]:
    with (
        simulator_thread(auth="session") as simulator,
        running_gateway(tmp_path_factory.mktemp("home"), simulator, **PATIENT) as gateway,
    ):
        yield simulator, gateway


@pytest.fixture(scope="session", params=PROXIES)
def shared_proxy(
    request: pytest.FixtureRequest,
    patient_site: tuple[Simulator, RunningGateway],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Proxy]:
    with running_proxy(request.param, tmp_path_factory.mktemp(request.param), [patient_site[1]]) as proxy:
        yield proxy


@pytest.fixture
def proxied(shared_proxy: Proxy, patient_site: tuple[Simulator, RunningGateway]) -> tuple[Simulator, Proxy]:
    """The website, reset, and the proxy before its gateway."""
    patient_site[0].reset()
    return patient_site[0], shared_proxy
