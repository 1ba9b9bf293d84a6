"""Two replicas that share one Redis, behind each proxy: conversations, and an update of both under load."""

import asyncio
import json
import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.conftest import RunningGateway, running_gateway
from tests.simulator import Answer, Simulator, simulator_thread
from tests.stores import RedisServer

from .proxies import PROXIES, running_proxy
from .streams import CHAT, Arrival, stream

STREAMS = 100
# Health is looked at every two seconds; a replica that stops is left alone by then.
DRAIN_DELAY = 2.5


@dataclass(slots=True)
class Replica:
    """A place for a gateway, which may be filled anew."""

    folder: Path
    settings: dict[str, str]
    simulator: Simulator
    gateway: RunningGateway
    stack: ExitStack

    def stop(self) -> int:
        self.gateway.process.send_signal(signal.SIGTERM)
        return self.gateway.process.wait(40)

    def start(self) -> None:
        port = self.gateway.base_url.rpartition(":")[2]
        self.folder.mkdir(exist_ok=True)
        self.gateway = self.stack.enter_context(
            running_gateway(self.folder, self.simulator, **{**self.settings, "PORT": port})
        )


@dataclass(frozen=True, slots=True)
class Cluster:
    simulator: Simulator
    replicas: list[Replica]

    @property
    def gateways(self) -> list[RunningGateway]:
        return [replica.gateway for replica in self.replicas]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    redis = RedisServer(tmp_path_factory.mktemp("redis"))
    try:
        redis.start()
    except FileNotFoundError:
        pytest.skip("needs redis-server")
    with ExitStack() as stack:
        stack.callback(redis.stop)
        simulator = stack.enter_context(simulator_thread(auth="session"))
        settings = {
            "GPTOSS_STATE": redis.url,
            "GPTOSS_SERVER_KEY": "a secret of the tests, shared by both",
            "GPTOSS_DRAIN_DELAY": str(DRAIN_DELAY),
            "GPTOSS_MAX_CONCURRENCY": "200",
        }
        replicas = []
        for _ in range(2):
            folder = tmp_path_factory.mktemp("replica")
            gateway = stack.enter_context(running_gateway(folder, simulator, **settings))
            replicas.append(Replica(folder, settings, simulator, gateway, stack))
        yield Cluster(simulator, replicas)


def turn(base_url: str, messages: list[dict[str, str]], text: str) -> str:
    """One turn of a conversation over a connection of its own; the value is what became of its thread."""
    # Nobody answers sooner; the replicas do not wait for each other's threads to be stored.
    time.sleep(0.1)
    messages.append({"role": "user", "content": text})
    content = json.dumps({"model": "gpt-oss-20b", "messages": messages}).encode()
    asked = Request(f"{base_url}{CHAT}", content, {"content-type": "application/json"})
    with urlopen(asked, timeout=30) as response:
        answer = json.load(response)["choices"][0]["message"]["content"]
        thread: str = response.headers["x-gptoss-thread"]
    messages.append({"role": "assistant", "content": answer})
    return thread


@pytest.mark.parametrize("name", PROXIES)
def test_a_conversation_goes_on_at_either_replica(name: str, cluster: Cluster, tmp_path: Path) -> None:
    cluster.simulator.reset()
    messages: list[dict[str, str]] = []
    with running_proxy(name, tmp_path, cluster.gateways) as proxy:
        seen = [turn(proxy.base_url, messages, f"{name}: turn {number}") for number in range(8)]
    assert seen == ["new", *["reused"] * 7]
    assert len({each.thread_id for each in cluster.simulator.requests if each.thread_id}) == 1
    # And it is no matter of luck: once from each to the other.
    first, second = (gateway.base_url for gateway in cluster.gateways)
    assert [turn(each, messages, f"at {each}") for each in (first, second, first)] == ["reused"] * 3


@pytest.mark.parametrize("name", PROXIES)
async def test_an_update_of_both_replicas_under_a_hundred_streams_loses_none(
    name: str, cluster: Cluster, tmp_path: Path
) -> None:
    cluster.simulator.reset()
    cluster.simulator.always(Answer("", deltas=["word "] * 8, pace=0.25))
    over = False
    arrivals: list[Arrival] = []

    async def ask_again_and_again(number: int, base_url: str) -> None:
        await asyncio.sleep(number * 0.02)
        while not over:
            arrivals.append(await stream(base_url, CHAT))

    with running_proxy(name, tmp_path, cluster.gateways) as proxy:
        clients = [asyncio.create_task(ask_again_and_again(each, proxy.base_url)) for each in range(STREAMS)]
        await asyncio.sleep(2)
        for replica in cluster.replicas:
            before = len(arrivals)
            started = time.monotonic()
            assert await asyncio.to_thread(replica.stop) == 0
            assert time.monotonic() - started >= DRAIN_DELAY
            await asyncio.to_thread(replica.start)
            # Until the proxy has found it again.
            await asyncio.sleep(2.5)
            assert len(arrivals) > before
        over = True
        await asyncio.gather(*clients)
    statuses = Counter(arrival.status for arrival in arrivals)
    assert set(statuses) == {200}, (statuses, next(bytes(a.text[:500]) for a in arrivals if a.status != 200))
    broken = [arrival for arrival in arrivals if not arrival.whole or arrival.words != 8]
    assert not broken, (len(broken), bytes(broken[0].text[-300:]))
    assert len(arrivals) > 2 * STREAMS
    if os.environ.get("GPTOSS_TEST_FIGURES"):
        print(f"{name}: {len(arrivals)} streams, none lost")
