"""Fixtures of the tests with other people's clients."""

from collections.abc import Iterator

import pytest

from tests.conftest import RunningGateway, running_gateway


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with nothing behind it, as a person has it who only wants to try a client."""
    with running_gateway(tmp_path_factory.mktemp("home"), GPTOSS_UPSTREAM="demo") as gateway:
        yield gateway
