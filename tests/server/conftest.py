"""A gateway over the demo upstream for everything that concerns HTTP only."""

from collections.abc import Iterator

import pytest

from tests.conftest import RunningGateway, running_gateway


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running_gateway(tmp_path_factory.mktemp("home"), GPTOSS_UPSTREAM="demo") as gateway:
        yield gateway
