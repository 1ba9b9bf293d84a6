"""Speed of the stores, and the cost of a long conversation with and without the upstream's threads.

Run ``python bench/state.py`` (a few seconds). Redis is measured where ``redis-server`` is installed.
Fails if a turn of a continued conversation grows with the length of the conversation.
"""

import argparse
import asyncio
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gptoss_api.core.events import Events, Finished, Started, TextDelta
from gptoss_api.core.turn import AssistantMessage, InstructionMessage, Message, Turn, UserMessage
from gptoss_api.emulation import EmulatedUpstream, EmulationSettings
from gptoss_api.loop import Flow
from gptoss_api.state import Entry, GuardedStore, MemoryStore, Space, Store, open_store
from gptoss_api.text.tokens import Tokens
from gptoss_api.threads import Conversations, ReasoningCache, ThreadLimits
from gptoss_api.upstreams.base import Capabilities, Health, Sink

SPACE = Space("bench", ttl=600, entries=100_000, value_size=10_000)
VALUE = b"x" * 150  # A tip has about so many bytes.
BATCH = 64
TURNS = 200
QUESTION = "What is there to see in the next street, and who lived there? " * 4
ANSWER = "It is a long story. " * 20
# What the last tenth of the turns may send more than the first.
TOLERANCE = 1.1


async def measured(work: Callable[[int], Awaitable[object]], times: int) -> list[float]:
    """Microseconds of each of ``times`` calls, in order of size."""
    found = []
    for number in range(times):
        begin = time.perf_counter()
        await work(number)
        found.append((time.perf_counter() - begin) * 1e6)
    return sorted(found)


async def operations(store: Store, times: int) -> None:
    keys = [b"%d" % number for number in range(times)]
    batches = [[Entry(b"batch %d" % number, VALUE) for number in range(BATCH)] for _ in range(times // 10)]

    def put(number: int) -> Awaitable[object]:
        return store.put(SPACE, Entry(keys[number], VALUE))

    rows = {
        "put": await measured(put, times),
        "get": await measured(lambda number: store.get(SPACE, keys[number]), times),
        "get, nothing there": await measured(lambda number: store.get(SPACE, b"none"), times),
        "take": await measured(lambda number: store.take(SPACE, keys[number]), times),
        "lease": await measured(lambda number: store.lease(keys[number], 600), times),
        f"put {BATCH} at once": await measured(lambda n: store.put(SPACE, *batches[n]), len(batches)),
    }
    for name, found in rows.items():
        quantiles = (found[len(found) // 2], found[len(found) * 99 // 100])
        print(f"| {store.name} | {name} | {quantiles[0]:,.0f} | {quantiles[1]:,.0f} |")


class Listener:
    """An upstream that keeps threads, answers at once, and counts what it is sent."""

    name = "listener"
    capabilities = Capabilities(threads=True)

    def __init__(self) -> None:
        self.received: list[int] = []

    async def answer(self, turn: Turn, sink: Sink) -> None:
        self.received.append(sum(len(message.text.encode()) for message in turn.messages))
        thread = turn.thread.id if turn.thread is not None else f"thr_{len(self.received)}"
        sink.feed([Started(self.name, turn.model, thread_id=thread)])
        sink.feed([TextDelta(ANSWER), Finished("stop")])

    async def health(self) -> Health:
        return Health(True)

    async def close(self) -> None:
        pass


class Ignored:
    """An answer that nobody reads."""

    def __init__(self) -> None:
        self.flow = Flow()

    def feed(self, events: Events) -> bool:
        return True


async def conversation(tokens: Tokens, caps: ThreadLimits | None) -> tuple[list[int], list[float]]:
    """Bytes sent and microseconds taken in each turn; without ``caps`` no thread is continued."""
    store = GuardedStore(MemoryStore())
    upstream = Listener()
    gateway = EmulatedUpstream(
        upstream,
        tokens,
        EmulationSettings(secret=bytes(32)),
        conversations=None if caps is None else Conversations(store, caps),
        reasoning=ReasoningCache(store),
    )
    messages: list[Message] = [InstructionMessage("You are a guide to the city. " * 20)]
    times = []
    for number in range(TURNS):
        messages.append(UserMessage(f"{number}: {QUESTION}"))
        begin = time.perf_counter()
        await gateway.answer(Turn(model="gpt-oss-120b", messages=tuple(messages)), Ignored())
        times.append((time.perf_counter() - begin) * 1e6)
        messages.append(AssistantMessage(ANSWER))
    return upstream.received, times


def tenths(values: Sequence[float]) -> tuple[float, float, float]:
    """The medians of the first, the middle and the last tenth, without the very first."""
    tenth = len(values) // 10
    middle = len(values) // 2
    parts = (values[1 : tenth + 1], values[middle : middle + tenth], values[-tenth:])
    first, second, last = (statistics.median(part) for part in parts)
    return first, second, last


async def long_conversation() -> bool:
    tokens = Tokens()
    tokens.warm()
    unlimited = ThreadLimits(turns=10**9, tokens=10**9)
    print(f"\nA conversation of {TURNS} turns of about {len(QUESTION)} and {len(ANSWER)} characters:\n")
    print("| | bytes sent, all | a turn at first | in the middle | at the end | µs at first | at the end |")
    print("|---|---|---|---|---|---|---|")
    flat = True
    ways = (("without threads", None), ("with threads", ThreadLimits()), ("one thread for all", unlimited))
    for name, caps in ways:
        received, times = await conversation(tokens, caps)
        first, middle, last = tenths(received)
        begin, _, end = tenths(times)
        columns = (sum(received), first, middle, last, begin, end)
        print(f"| {name} | " + " | ".join(f"{value:,.0f}" for value in columns) + " |")
        if caps is unlimited:
            flat = last <= first * TOLERANCE
    return flat


@contextmanager
def urls() -> Iterator[list[str]]:
    with tempfile.TemporaryDirectory() as folder:
        found = ["memory://", f"sqlite://{Path(folder).as_posix()}/state.db"]
        if shutil.which("redis-server") is None:
            print("redis-server is not installed: Redis is left out", file=sys.stderr)
            yield found
            return
        path = f"{folder}/redis.sock"
        command = ["redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--dir", folder]
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        try:
            _wait_for(path)
            yield [*found, f"unix://{path}"]
        finally:
            server.terminate()
            server.wait()


def _wait_for(path: str) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(path) == 0:
                return
        time.sleep(0.02)
    raise SystemExit("redis-server did not start")


async def run(times: int) -> bool:
    print("Operations, in microseconds:\n\n| store | operation | median | 99% |\n|---|---|---|---|")
    with urls() as found:
        for url in found:
            store = open_store(url)
            await store.get(SPACE, b"connects")
            await operations(store, times)
            await store.close()
    return await long_conversation()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--times", type=int, default=1_000, help="how often each operation is measured")
    arguments: Any = parser.parse_args()
    if asyncio.run(run(arguments.times)):
        return 0
    print("\nA turn of a continued conversation grows with its length.", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
