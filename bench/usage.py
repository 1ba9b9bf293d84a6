"""What it costs to know who used how much: a question about a million turns, and a row for each answer.

    python -m bench.usage [--turns N]

Writes turns of a busy year into a store in a temporary folder, in groups as a gateway does, and asks
``usage --by day`` and the other questions. Prints the size of the file, milliseconds for a question (the
median of several), and microseconds of processor time for a turn, from the record of a request to the file.
"""

import argparse
import asyncio
import contextlib
import random
import sqlite3
import statistics
import tempfile
import time
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from gptoss_api.core.accounting import DAY, GROUPS, TurnAccount
from gptoss_api.state import open_usage
from gptoss_api.telemetry.metrics import TurnCounter

KEYS: Final = [f"key_{number:012x}" for number in range(40)]
GROUP: Final = 500
ASKED: Final = 7


def turns_of_a_year(count: int) -> list[TurnAccount]:
    chance = random.Random(1)
    now = time.time()
    moments = sorted(now - chance.random() * 365 * DAY for _ in range(count))
    return [
        TurnAccount(
            moment,
            "req_0123456789abcdef01234567",
            chance.choice(KEYS),
            chance.choice(["chat", "responses", "messages"]),
            chance.choice(["gpt-oss-120b", "gpt-oss-20b"]),
            chance.choice(["gpt-oss.com", "box"]),
            "ok",
            200,
            chance.randrange(20_000),
            chance.randrange(5_000),
            chance.randrange(2_000),
            chance.randrange(500),
            0,
            "new",
            chance.random() * 500,
            chance.random() * 20_000,
        )
        for moment in moments
    ]


async def of_a_moment(folder: str) -> float:
    """Microseconds for each of many turns that ended together, as under load."""
    turns = [replace(turn, at=time.time()) for turn in turns_of_a_year(GROUP)]
    usage, counter = open_usage(f"sqlite://{folder}/moment.db", 400), TurnCounter()
    began = time.process_time()
    for _ in range(ASKED):
        for turn in turns:
            counter.count(turn)
        await usage.add(turns)
    spent = time.process_time() - began
    await usage.close()
    return spent / ASKED / GROUP * 1e6


async def measure(count: int) -> None:
    turns = turns_of_a_year(count)
    with tempfile.TemporaryDirectory() as folder:
        usage = open_usage(f"sqlite://{folder}/state.db", 400)
        counter = TurnCounter()
        began = time.process_time()
        for at in range(0, count, GROUP):
            for turn in turns[at : at + GROUP]:
                counter.count(turn)
            await usage.add(turns[at : at + GROUP])
        spent = (time.process_time() - began) / count * 1e6
        # What is too old goes.
        await usage.close()
        usage = open_usage(f"sqlite://{folder}/state.db", 400)
        await usage.add(turns[-1:])
        file = Path(folder, "state-usage.db")
        with contextlib.closing(sqlite3.connect(file)) as connection:
            # As if hours had gone day by day.
            connection.execute("VACUUM")
        size = file.stat().st_size
        print(f"{count:,} turns of a year: {size / 1e6:.1f} MB; {spent:.1f} µs of processor time each")
        print(f"turns of a moment: {await of_a_moment(folder):.1f} µs of processor time each")
        for by in GROUPS:
            took = []
            for _ in range(ASKED):
                began = time.perf_counter()
                groups = await usage.sums(time.time() - 366 * DAY, time.time(), by)
                took.append((time.perf_counter() - began) * 1000)
            print(f"  --by {by:10} {statistics.median(took):7.1f} ms   {len(groups):,} rows")
        await usage.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=1_000_000)
    asyncio.run(measure(parser.parse_args().turns))
