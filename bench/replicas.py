"""How well the limits of keys hold that many replicas share: each replica is played, the rest is real.

Run ``python -m bench.replicas`` (four minutes; needs ``redis-server``). Every replica has its own
connections, its own guard and its own accounts, as the gateway has them, spread over a few processes; all of
them use one key. Prints what a limit allows, what got through, and what a decision costs.
"""

import argparse
import asyncio
import logging
import multiprocessing
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final, TypeVar

import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

from gptoss_api.access import Accounts, Budget, KeyLimits, KeyRecord, accounts
from gptoss_api.access.ledger import Decision, Demand
from gptoss_api.core.account import Meter
from gptoss_api.core.errors import BudgetExhausted, RateLimited
from gptoss_api.core.events import Usage, UsageReported
from gptoss_api.state import Change, GuardedStore
from gptoss_api.state import redis as redis_store
from gptoss_api.state.redis import RedisStore

from .running import free_port

T = TypeVar("T")

# Tokens that a request sets aside, and that it has used at its end.
DEMAND: Final = Demand(200, 200)
USED: Final = Usage(60, 40)


@dataclass(frozen=True, slots=True)
class Scenario:
    """``replicas`` that all use one key with ``limits`` for ``seconds``.

    Each asks ``rate`` times a second and answers for ``answer`` seconds; ``minute`` are the seconds of the
    limits' minute. From ``away[0]`` to ``away[1]`` the store is stopped. ``skew`` is how many seconds the
    clocks of the last replicas are ahead of those of the first. A store that has not answered after
    ``patience`` seconds is taken for one that is away: more than a gateway's half second, for here a hundred
    replicas and Redis share two cores.
    """

    name: str
    limits: KeyLimits
    replicas: int = 100
    rate: float = 4.0
    seconds: float = 15.0
    answer: float = 0.1
    minute: float = 60.0
    away: tuple[float, float] | None = None
    skew: float = 0.0
    patience: float = 10.0
    processes: int = 4


@dataclass(slots=True)
class Played:
    """What happened. Costs are in seconds, times too, since 1970.

    Of each request that was ``admitted``: when that was decided, when it was known, and when it ended.
    """

    admitted: list[tuple[float, float, float]] = field(default_factory=list)
    refused: int = 0
    alone: int = 0
    waits: list[float] = field(default_factory=list)
    processor: float = 0.0

    def add(self, other: "Played") -> None:
        self.admitted += other.admitted
        self.refused += other.refused
        self.alone += other.alone
        self.waits += other.waits
        self.processor += other.processor

    @property
    def decisions(self) -> int:
        return len(self.admitted) + self.refused

    def most_in(self, seconds: float) -> int:
        """The most requests that began within any ``seconds``."""
        begins = sorted(decided for decided, _, _ in self.admitted)
        most = first = 0
        for last, begin in enumerate(begins):
            while begin - begins[first] >= seconds:
                first += 1
            most = max(most, last - first + 1)
        return most

    @property
    def most_at_once(self) -> int:
        steps = sorted(step for _, begin, end in self.admitted for step in ((begin, 1), (end, -1)))
        running = most = 0
        for _, step in steps:
            running += step
            most = max(most, running)
        return most


class _SkewedClock:
    """The module ``time`` on a machine whose clock is ahead."""

    def __init__(self, ahead: float) -> None:
        self._ahead = ahead

    def time(self) -> float:
        return time.time() + self._ahead


class Replica:
    """One replica: what the gateway has between a request and the ledgers in the store."""

    def __init__(self, url: str, scenario: Scenario, key: KeyRecord, number: int) -> None:
        self._scenario = scenario
        self._key = key
        self._number = number
        self._store = store = RedisStore(url)
        self._guard = GuardedStore(store, operation_time=scenario.patience)
        self._accounts = Accounts(self._change)
        self._played = Played()
        self._decided: int | None = None

    async def _change(self, account: str, change: Change[T]) -> T:
        self._decided = None
        found = await self._guard.attempted(self._store.change(account, change))
        match found:
            case (_, Decision() as decision):
                self._decided = decision.now
        return found

    async def connect(self) -> None:
        while not await self._guard.check():
            await asyncio.sleep(0.3)

    async def run(self, begin: float) -> Played:
        """Asks evenly, out of step with the others."""
        scenario = self._scenario
        step = 1 / scenario.rate
        due = begin + step * self._number / scenario.replicas
        async with asyncio.TaskGroup() as group:
            while due < begin + scenario.seconds:
                await asyncio.sleep(due - time.monotonic())
                group.create_task(self._ask())
                due += step
        await self._accounts.close()
        await self._store.close()
        self._played.alone = self._accounts.alone
        return self._played

    async def _ask(self) -> None:
        played = self._played
        meter = Meter(0)
        asked = time.monotonic()
        self._decided = None
        try:
            reservation = await self._accounts.reserve(self._key, DEMAND, meter)
        except (RateLimited, BudgetExhausted):
            played.refused += 1
            played.waits.append(time.monotonic() - asked)
            return
        began = time.time()
        # Nothing else has run since it was told.
        decided = began if self._decided is None else self._decided / 1000
        played.waits.append(time.monotonic() - asked)
        await asyncio.sleep(self._scenario.answer)
        meter.observe([UsageReported(USED)])
        # Before it is told, for then another may begin.
        played.admitted.append((decided, began, time.time()))
        await reservation.settle()


def _play_part(url: str, scenario: Scenario, key: KeyRecord, numbers: range, line: Any) -> None:
    """One process and its replicas."""
    # Shorter, to see several of them; and clocks that are ahead.
    vars(accounts)["MINUTE"] = round(scenario.minute * 1000)
    vars(accounts)["time"] = _SkewedClock(scenario.skew * numbers.start / scenario.replicas)
    vars(redis_store)["_TIMEOUT"] = max(scenario.patience, 2.0)
    logging.disable(logging.WARNING)

    async def all_of_them() -> Played:
        replicas = [Replica(url, scenario, key, number) for number in numbers]
        for each in replicas:
            await each.connect()
        line.send("ready")
        begin = await asyncio.to_thread(line.recv)
        found = Played()
        before = time.process_time()
        for played in await asyncio.gather(*[each.run(begin) for each in replicas]):
            found.add(played)
        found.processor = time.process_time() - before
        return found

    line.send(asyncio.run(all_of_them()))


def play(url: str, scenario: Scenario, stop: Callable[[bool], None] = lambda _: None) -> Played:
    """What ``scenario`` came to at the Redis of ``url``; ``stop`` stops that or, with false, starts it."""
    context = multiprocessing.get_context("spawn")
    key = KeyRecord(f"key_{time.monotonic_ns()}", "played", "00", "0000", 1.0, limits=scenario.limits)
    parts = []
    for part in range(scenario.processes):
        first, last = (scenario.replicas * each // scenario.processes for each in (part, part + 1))
        line, theirs = context.Pipe()
        process = context.Process(target=_play_part, args=(url, scenario, key, range(first, last), theirs))
        process.start()
        theirs.close()
        parts.append((process, line))
    for _, line in parts:
        line.recv()
    begin = time.monotonic() + 0.2
    for _, line in parts:
        line.send(begin)
    if scenario.away is not None:
        for moment, gone in zip(scenario.away, (True, False), strict=True):
            time.sleep(max(0.0, begin + moment - time.monotonic()))
            stop(gone)
    played = Played()
    for process, line in parts:
        played.add(line.recv())
        process.join()
    return played


@contextmanager
def redis_server(folder: Path, port: int) -> Iterator[Callable[[bool], None]]:
    """A server that keeps what it has on disk; stops and starts it again as :func:`play` wants it."""
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder)]
    # Everything that it said it had done is there after a kill.
    command += ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]
    running: list[subprocess.Popen[bytes]] = []

    def switch(off: bool) -> None:
        if off:
            running[0].kill()
            running.pop().wait()
            return
        running.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
        client = redis.Redis(port=port, retry=Retry(ConstantBackoff(0.02), 500))
        client.ping()
        client.close()

    switch(False)
    try:
        yield switch
    finally:
        if running:
            switch(True)


RPM: Final = KeyLimits(requests=300)
SCENARIOS: Final = (
    Scenario("requests a minute: 300", RPM),
    Scenario("the same, one after the other in 5 s minutes", RPM, minute=5.0, seconds=20.0, answer=0.05),
    Scenario("tokens a minute: 20,000", KeyLimits(tokens=20_000)),
    Scenario("concurrency: 20", KeyLimits(concurrency=20), answer=0.5),
    Scenario("budget: 20,000 tokens", KeyLimits(budgets=(Budget(20_000, "total"),))),
    Scenario("requests, clocks up to a minute apart", RPM, skew=60.0),
    Scenario("requests, Redis away from 5 s to 10 s", KeyLimits(requests=800), away=(5.0, 10.0), rate=1.0),
    Scenario(
        "the same with clocks up to a minute apart",
        KeyLimits(requests=800),
        away=(5.0, 10.0),
        rate=1.0,
        skew=60.0,
    ),
    Scenario(
        "budget, Redis away from 5 s to 10 s",
        KeyLimits(budgets=(Budget(80_000, "total"),)),
        away=(5.0, 10.0),
        rate=1.0,
    ),
)


def allowed(limits: KeyLimits) -> int:
    """The one limit that there is."""
    budgets = [budget.tokens for budget in limits.budgets]
    return next(
        each for each in (limits.requests, limits.tokens, limits.concurrency, *budgets) if each is not None
    )


def got_through(scenario: Scenario, played: Played) -> int:
    """In the worst minute, or in all, in the unit of the limit."""
    limits = scenario.limits
    tokens = USED.prompt_tokens + USED.completion_tokens
    if limits.concurrency is not None:
        return played.most_at_once
    if limits.budgets:
        return len(played.admitted) * tokens
    return played.most_in(scenario.minute) * (tokens if limits.tokens is not None else 1)


def _row(scenario: Scenario, played: Played, commands: int, processor: float) -> str:
    limit, got = allowed(scenario.limits), got_through(scenario, played)
    waits = sorted(played.waits)
    # A request that is admitted takes two steps, to begin and to end.
    steps = played.decisions + len(played.admitted)
    columns = (
        scenario.name,
        f"{played.decisions:,}",
        f"{limit:,}",
        f"{got:,}",
        f"{100 * (got - limit) / limit:+.1f} %",
        f"{played.alone:,}",
        f"{commands / steps:.2f}",
        f"{processor / steps * 1e6:.0f}",
        f"{played.processor / steps * 1e6:.0f}",
        f"{waits[len(waits) // 2] * 1e3:.1f} / {waits[len(waits) * 99 // 100] * 1e3:.0f}",
    )
    return f"| {' | '.join(columns)} |"


def _cost(client: "redis.Redis") -> tuple[int, float]:
    """Scripts that were run, and seconds of the server's processor."""
    stats, processor = client.info("commandstats"), client.info("cpu")
    scripts = sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in ("eval", "evalsha"))
    return scripts, processor["used_cpu_user"] + processor["used_cpu_sys"]


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.replicas", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--replicas", type=int, default=100)
    parser.add_argument("--only", help="scenarios whose name has this text")
    arguments = parser.parse_args()
    if shutil.which("redis-server") is None:
        print("needs redis-server", file=sys.stderr)
        return 1
    port = free_port()
    print(
        "| limit | requests | allowed | got through | error | steps alone | scripts a step | Redis, µs "
        "| replica, µs | wait, ms (median / 99 %) |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|"
    )
    with tempfile.TemporaryDirectory() as folder, redis_server(Path(folder), port) as stop:
        for scenario in SCENARIOS:
            if arguments.only and arguments.only not in scenario.name:
                continue
            scenario = replace(scenario, replicas=arguments.replicas)
            client = redis.Redis(port=port)
            before = (0, 0.0) if scenario.away else _cost(client)
            played = play(f"redis://127.0.0.1:{port}/0", scenario, stop)
            after = _cost(client)
            client.close()
            print(_row(scenario, played, after[0] - before[0], after[1] - before[1]), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
