"""Two replicas that share one Redis, behind each proxy: conversations, and an update of both under load."""

import asyncio
import json
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

from .proxies import PROXIES, Proxy, running_proxy
from .streams import CHAT, Arrival, stream

# Through all proxies together.
STREAMS = 100
# A proxy that looks at health every two seconds leaves a replica that stops alone by then.
DRAIN_DELAY = 4


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
        seen = [turn(proxy.base_url, messages, f"{name}: turn {number}") for number in range(4)]
    assert seen == ["new", *["reused"] * 3]
    assert len({each.thread_id for each in cluster.simulator.requests if each.thread_id}) == 1
    # And it is no matter of luck: once from each to the other.
    first, second = (gateway.base_url for gateway in cluster.gateways)
    assert [turn(each, messages, f"at {each}") for each in (first, second, first)] == ["reused"] * 3


async def test_an_update_of_both_replicas_under_a_hundred_streams_loses_none(
    cluster: Cluster, tmp_path: Path
) -> None:
    cluster.simulator.reset()
    cluster.simulator.always(Answer("", deltas=["word "] * 8, pace=0.25))
    over = False
    arrivals: dict[str, list[Arrival]] = {name: [] for name in PROXIES}

    async def ask_again_and_again(number: int, proxy: Proxy) -> None:
        await asyncio.sleep(number * 0.02)
        while not over:
            arrivals[proxy.name].append(await stream(proxy.base_url, CHAT))

    with ExitStack() as stack:
        proxies = []
        for name in PROXIES:
            (tmp_path / name).mkdir()
            proxies.append(stack.enter_context(running_proxy(name, tmp_path / name, cluster.gateways)))
        clients = [
            asyncio.create_task(ask_again_and_again(number, proxies[number % len(proxies)]))
            for number in range(STREAMS)
        ]
        await asyncio.sleep(2)
        for replica in cluster.replicas:
            started = time.monotonic()
            assert await asyncio.to_thread(replica.stop) == 0
            assert time.monotonic() - started >= DRAIN_DELAY
            await asyncio.to_thread(replica.start)
            # Until the proxies have found it again.
            await asyncio.sleep(2.5)
        over = True
        await asyncio.gather(*clients)
    for name, found in arrivals.items():
        statuses = Counter(arrival.status for arrival in found)
        other = [bytes(arrival.text[:500]) for arrival in found if arrival.status != 200]
        assert not other, (name, statuses, other[0])
        broken = [bytes(each.text[-300:]) for each in found if not each.whole or each.words != 8]
        assert not broken, (name, len(broken), broken[0])
        assert len(found) > 2 * STREAMS / len(PROXIES)
