"""What a trusted proxy says of a request, and what anybody else says."""

import threading
import time
from collections.abc import Iterator

import pytest

from tests.conftest import RunningGateway, StartGateway, running_gateway
from tests.server.talking import CHAT, HELLO, ask
from tests.simulator import Answer, Simulator

VIA = {
    "host": "127.0.0.1",
    "x-forwarded-for": "203.0.113.9",
    "x-forwarded-host": "gate.example",
    "x-forwarded-proto": "https",
}


@pytest.fixture(scope="module")
def proxied(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway that trusts proxies on this machine and answers to one name."""
    with running_gateway(
        tmp_path_factory.mktemp("home"),
        GPTOSS_UPSTREAM="demo",
        GPTOSS_TRUSTED_PROXIES="loopback",
        GPTOSS_ALLOWED_HOSTS="gate.example",
    ) as gateway:
        yield gateway


def test_a_trusted_proxy_tells_where_clients_reach_the_gateway(proxied: RunningGateway) -> None:
    assert ask(proxied, "GET", "/", headers=VIA).json()["base_url"] == "https://gate.example/v1"
    direct = ask(proxied, "GET", "/")
    assert direct.json()["base_url"] == f"{proxied.base_url}/v1"


def test_the_name_that_the_proxy_was_asked_for_is_the_one_that_must_be_allowed(
    proxied: RunningGateway,
) -> None:
    refused = ask(proxied, "GET", "/v1/models", headers={**VIA, "x-forwarded-host": "evil.example"})
    assert refused.status == 403
    assert ask(proxied, "GET", "/v1/models", headers={**VIA, "host": "inner.example"}).status == 200


def test_what_is_no_name_is_refused_from_a_trusted_proxy_too(proxied: RunningGateway) -> None:
    refused = ask(proxied, "GET", "/", headers={**VIA, "x-forwarded-host": 'gate.example"><b>'})
    assert (refused.status, "X-Forwarded-Host" in refused.error["message"]) == (400, True)


@pytest.mark.parametrize("name", ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto"])
def test_a_request_that_came_through_a_proxy_did_not_come_from_this_machine(
    proxied: RunningGateway, name: str
) -> None:
    assert ask(proxied, "GET", "/metrics").status == 200
    assert ask(proxied, "GET", "/metrics", headers={name: VIA[name]}).status == 401


def test_the_page_of_the_gateway_may_use_it_under_the_name_that_the_proxy_was_asked_for(
    proxied: RunningGateway,
) -> None:
    page = {**VIA, "origin": "https://gate.example"}
    assert ask(proxied, "POST", CHAT, HELLO, page).status == 200
    other = {**VIA, "origin": "https://evil.example", "x-forwarded-host": "gate.example"}
    assert ask(proxied, "POST", CHAT, HELLO, other).status == 403


def test_the_log_names_the_address_of_the_client_and_none_of_this_machine(proxied: RunningGateway) -> None:
    assert ask(proxied, "POST", CHAT, HELLO, {**VIA, "x-request-id": "from-afar"}).status == 200
    assert ask(proxied, "POST", CHAT, HELLO, {"x-request-id": "from-here"}).status == 200
    deadline = time.monotonic() + 5
    while "id=from-here" not in proxied.log():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    lines = {
        line.partition(" id=")[2].split()[0]: line for line in proxied.log().splitlines() if " id=" in line
    }
    assert " address=203.0.113.9 " in lines["from-afar"]
    assert "address=" not in lines["from-here"]


def test_nobody_else_is_believed(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", GPTOSS_TRUSTED_PROXIES="10.0.0.0/8")
    assert ask(running, "GET", "/", headers=VIA).json()["base_url"] == "http://127.0.0.1/v1"
    refused = ask(running, "GET", "/v1/models", headers={**VIA, "host": "gate.example"})
    assert refused.status == 403
    assert ask(running, "POST", CHAT, HELLO, VIA).status == 200
    assert "address=" not in running.log()


def test_behind_one_proxy_a_client_that_fills_the_queue_does_not_shut_the_other_out(
    simulator: Simulator, gateway: StartGateway
) -> None:
    simulator.script(*[Answer("word " * 20, deltas=("word ",) * 20, pace=0.05)] * 2)
    simulator.always(Answer("done"))
    running = gateway(
        simulator,
        GPTOSS_MAX_CONCURRENCY="2",
        GPTOSS_MAX_QUEUE="10",
        GPTOSS_TRUSTED_PROXIES="loopback",
    )
    statuses: list[int] = []

    def chat(address: str) -> int:
        status = ask(running, "POST", CHAT, HELLO, {"x-forwarded-for": address}).status
        statuses.append(status)
        return status

    asking = [threading.Thread(target=chat, args=("203.0.113.9",)) for _ in range(15)]
    for each in asking:
        each.start()
    simulator.wait_until(lambda: len(statuses) == 3)
    assert chat("203.0.113.10") == 200
    for each in asking:
        each.join()
    assert sorted(statuses) == [200] * 12 + [503] * 4
