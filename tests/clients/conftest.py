"""Fixtures of the tests with other people's clients."""

from collections.abc import Iterator

import pytest

from tests.conftest import RunningGateway, running_gateway

from .stage import ServerStage, SiteStage, Stage, server_stage


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway with nothing behind it, as a person has it who only wants to try a client."""
    with running_gateway(tmp_path_factory.mktemp("home"), GPTOSS_UPSTREAM="demo") as gateway:
        yield gateway


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerStage]:
    """A gateway in front of a server that takes conversations and tools itself; tell it what to play."""
    with server_stage(tmp_path_factory.mktemp("home")) as stage:
        yield stage


@pytest.fixture(params=["gpt-oss.com", "an OpenAI-compatible server"])
def stage(request: pytest.FixtureRequest) -> Stage:
    """A gateway in front of the site, or one in front of a compatible server."""
    if request.param == "gpt-oss.com":
        return SiteStage(request.getfixturevalue("site"))
    server: ServerStage = request.getfixturevalue("server")
    return server
