"""Fixtures of the end-to-end tests."""

from collections.abc import Iterator

import pytest
from openai import DEFAULT_MAX_RETRIES, OpenAI

from tests.conftest import Site
from tests.simulator import Simulator, simulator_thread

from .sdk import client


@pytest.fixture
def new_simulator() -> Iterator[Simulator]:
    """A simulated website that has moved to the public SDK's dialect."""
    with simulator_thread(auth="session", dialect="new") as running:
        yield running


@pytest.fixture(scope="session")
def shared_sdk(shared_site: Site) -> Iterator[OpenAI]:
    with client(shared_site.gateway) as made:
        yield made


@pytest.fixture
def sdk(site: Site, shared_sdk: OpenAI) -> OpenAI:
    """The official SDK for the gateway of ``site``, without retries."""
    return shared_sdk


@pytest.fixture
def patient_sdk(sdk: OpenAI) -> OpenAI:
    """The same, retrying as often as it does by default."""
    return sdk.with_options(max_retries=DEFAULT_MAX_RETRIES)
