"""Twenty replicas, each with connections and accounts of its own, that share one key and one real Redis."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis

from gptoss_api.access import Accounts, Budget, KeyLimits, KeyRecord
from gptoss_api.access.accounts import Reservation
from gptoss_api.access.ledger import Demand
from gptoss_api.core.account import Meter
from gptoss_api.core.errors import BudgetExhausted, RateLimited
from gptoss_api.core.events import Usage, UsageReported
from gptoss_api.state import GuardedStore
from gptoss_api.state.redis import RedisStore
from tests.stores import RedisServer, running_redis

REPLICAS = 20
ASKED = Demand(200, 200)
USED = Usage(60, 40)


class Replica:
    def __init__(self, url: str) -> None:
        self.store = store = RedisStore(url)
        # A busy machine is not a store that is away.
        self.guard = guard = GuardedStore(store, operation_time=20)
        self.accounts = Accounts(lambda account, change: guard.attempted(store.change(account, change)))

    async def ask(self, key: KeyRecord) -> Reservation | None:
        meter = Meter(0)
        meter.observe([UsageReported(USED)])
        try:
            return await self.accounts.reserve(key, ASKED, meter)
        except (RateLimited, BudgetExhausted):
            return None


@asynccontextmanager
async def running(url: str) -> AsyncIterator[list[Replica]]:
    replicas = [Replica(url) for _ in range(REPLICAS)]
    await asyncio.gather(*[each.guard.check() for each in replicas])
    yield replicas
    for each in replicas:
        await each.accounts.close()
        await each.store.close()


def key(name: str, **limits: object) -> KeyRecord:
    return KeyRecord(f"key_{name}", name, "00", "0000", 1.0, limits=KeyLimits(**limits))  # type: ignore[arg-type]


async def at_once(replicas: Sequence[Replica], key: KeyRecord, times: int) -> list[Reservation]:
    """What was admitted where every replica asks so often, all of them in the same moment."""
    found = await asyncio.gather(*[each.ask(key) for each in replicas for _ in range(times)])
    return [each for each in found if each is not None]


def scripts(server: RedisServer) -> int:
    with redis.Redis(port=server.port) as client:
        return int(client.info("commandstats").get("cmdstat_evalsha", {"calls": 0})["calls"])


@pytest.mark.parametrize(
    ("limits", "most"),
    [
        ({"requests": 50}, 50),
        # What is set aside is all that counts while requests run.
        ({"tokens": 5_000}, 25),
        ({"concurrency": 30}, 30),
        ({"budgets": (Budget(5_000, "total"),)}, 25),
    ],
    ids=["requests", "tokens", "concurrency", "budget"],
)
async def test_what_replicas_let_through_in_the_same_moment_is_the_limit_and_no_more(
    limits: dict[str, object], most: int, redis_server: RedisServer
) -> None:
    async with running(f"redis://127.0.0.1:{redis_server.port}/911") as replicas:
        limited = key(next(iter(limits)), **limits)
        before = scripts(redis_server)
        admitted = await at_once(replicas, limited, 10)
        assert len(admitted) == most
        assert sum(each.accounts.alone for each in replicas) == 0
        # One round trip each: nobody has to begin anew because another was quicker.
        assert scripts(redis_server) - before <= 10 * REPLICAS + 2 * REPLICAS


async def test_what_was_set_aside_and_not_used_is_there_for_every_replica(redis_server: RedisServer) -> None:
    async with running(f"redis://127.0.0.1:{redis_server.port}/912") as replicas:
        limited = key("settled", budgets=(Budget(5_000, "total"),))
        rounds = 0
        while admitted := await at_once(replicas, limited, 1):
            await asyncio.gather(*[each.settle() for each in admitted])
            rounds += len(admitted)
        # Up to one request more than the budget, of 100 tokens each.
        assert 50 <= rounds <= 51


async def test_without_redis_each_replica_goes_on_alone_and_afterwards_all_of_them_together(
    tmp_path: Path,
) -> None:
    # Everything that it said it had done is there after a kill.
    with running_redis(tmp_path, "--appendonly", "yes", "--appendfsync", "always") as server:
        async with running(server.url) as replicas:
            limited = key("alone", requests=50)
            assert len(await at_once(replicas, limited, 1)) == REPLICAS
            server.kill()
            # Each has seen between 1 and 20 of them.
            alone = await at_once(replicas, limited, 60)
            assert len(alone) == sum(range(50 - REPLICAS, 50))
            server.start()
            for each in replicas:
                while not await each.guard.check():
                    await asyncio.sleep(0.1)
            assert len(await at_once(replicas, limited, 10)) == 50 - REPLICAS
