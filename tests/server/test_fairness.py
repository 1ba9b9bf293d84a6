"""Two API keys, or two addresses, at one gateway: what one of them does takes nothing from the other."""

import http.client
import json
import sys
import threading
from urllib.parse import urlsplit

import pytest

from tests.conftest import StartGateway
from tests.server.talking import CHAT, HELLO, Reply, ask
from tests.simulator import Answer, Simulator

KEYS = "key-of-ann,key-of-bob"


def test_a_key_that_fills_the_queue_does_not_shut_the_other_out(
    simulator: Simulator, gateway: StartGateway
) -> None:
    simulator.script(*[Answer("word " * 40, deltas=("word ",) * 40, pace=0.05)] * 4)
    simulator.always(Answer("done"))
    running = gateway(simulator, GPTOSS_API_KEYS=KEYS, GPTOSS_MAX_CONCURRENCY="4", GPTOSS_MAX_QUEUE="50")
    replies: list[Reply] = []

    def chat() -> None:
        replies.append(ask(running, "POST", CHAT, HELLO, {"authorization": "Bearer key-of-ann"}))

    asking = [threading.Thread(target=chat) for _ in range(60)]
    for each in asking:
        each.start()
    # Six of sixty find neither a slot nor a place to wait.
    simulator.wait_until(lambda: len(replies) == 6)
    reply = ask(running, "POST", CHAT, HELLO, {"authorization": "Bearer key-of-bob"})
    assert reply.status == 200
    for each in asking:
        each.join()
    refused = [reply for reply in replies if reply.status != 200]
    assert {reply.error["code"] for reply in refused} == {"overloaded"}
    assert all(1 <= int(reply.headers["retry-after"]) <= 60 for reply in refused)
    # The seventh is the one whose place the other key got.
    assert len(refused) == 7


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one loopback address")
def test_without_keys_an_address_that_fills_the_queue_does_not_shut_the_other_out(
    simulator: Simulator, gateway: StartGateway
) -> None:
    simulator.script(*[Answer("word " * 40, deltas=("word ",) * 40, pace=0.05)] * 2)
    simulator.always(Answer("done"))
    running = gateway(simulator, GPTOSS_MAX_CONCURRENCY="2", GPTOSS_MAX_QUEUE="20")
    statuses: list[int] = []

    def chat(address: str) -> int:
        connection = http.client.HTTPConnection(
            str(urlsplit(running.base_url).netloc), timeout=30, source_address=(address, 0)
        )
        connection.request("POST", CHAT, json.dumps(HELLO).encode())
        status = connection.getresponse().status
        connection.close()
        statuses.append(status)
        return status

    asking = [threading.Thread(target=chat, args=("127.0.0.1",)) for _ in range(25)]
    for each in asking:
        each.start()
    simulator.wait_until(lambda: len(statuses) == 3)
    assert chat("127.0.0.2") == 200
    for each in asking:
        each.join()
    # The fourth is the one whose place the other address got.
    assert sorted(statuses) == [200] * 22 + [503] * 4
