"""What it costs to give a piece of an answer in each client API's stream, side by side.

Run ``python -m bench.renderers``. First the renderers alone: they get one piece in each batch, as a model
writes, and eight, as a network read brings them. Then the whole gateway over sockets, in front of a scripted
server that sends a thousand pieces. Prints processor time for a piece, the medians of paired rounds, and the
ratio to chat completions.
"""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.backends.server import Backend
from tests.conftest import RunningGateway, running_gateway
from tests.gateway.test_serving import address
from tests.server.talking import ask
from tests.upstreams.chatkit.scripted import Reply
from tests.upstreams.chatkit.transcripts import sse

from gptoss_api.core.events import Event, Started, TextDelta
from gptoss_api.dialects.base import Answer, DialectRequest, StreamRenderer
from gptoss_api.dialects.registry import registered

PIECES = 40_000
ROUNDS = 15
STREAMED = 1_000
ANSWERS = 20
SOCKET_ROUNDS = 7
HELLO = [{"role": "user", "content": "Hello"}]
BODIES: dict[str, dict[str, Any]] = {
    "/v1/chat/completions": {"messages": HELLO},
    "/v1/responses": {"input": "Hello"},
    "/v1/messages": {"messages": HELLO, "max_tokens": 10_000},
    "/v1/completions": {"prompt": "Hello"},
    "/api/chat": {"messages": HELLO},
    "/api/generate": {"prompt": "Hello"},
}


def requests() -> dict[str, DialectRequest]:
    """The smallest streamed request of each endpoint that answers."""
    return {
        endpoint.path: endpoint.operation.parse(
            json.dumps({"model": "gpt-oss-20b", "stream": True, **BODIES[endpoint.path]}).encode(), {}
        )
        for dialect in registered()
        for endpoint in dialect.endpoints
        if isinstance(endpoint.operation, Answer)
    }


def spent(renderer: StreamRenderer, batches: list[list[Event]]) -> float:
    """Nanoseconds of processor time for a piece."""
    renderer.feed([Started("bench", "gpt-oss-20b")])
    feed: Callable[[list[Event]], bytes] = renderer.feed
    began = time.process_time_ns()
    for batch in batches:
        feed(batch)
    return (time.process_time_ns() - began) / PIECES


def answer() -> list[Any]:
    """What the scripted server sends: a thousand pieces."""

    def chunk(delta: dict[str, str], finish: str | None = None) -> Any:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        return {"id": "c", "object": "chat.completion.chunk", "choices": [choice]}

    usage = {"prompt_tokens": 5, "completion_tokens": 1000, "total_tokens": 1005}
    last = {"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": usage}
    pieces = [chunk({"content": " word"})] * STREAMED
    return [chunk({"role": "assistant"}), *pieces, chunk({}, "stop"), last, "data: [DONE]"]


def processor_seconds(gateway: RunningGateway) -> float:
    fields = Path(f"/proc/{gateway.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


def through(gateway: RunningGateway, path: str) -> float:
    """Microseconds of the gateway's processor time for a piece."""
    before = processor_seconds(gateway)
    for _ in range(ANSWERS):
        reply = ask(gateway, "POST", path, {"model": "gpt-oss-20b", "stream": True, **BODIES[path]})
        assert reply.body.count(b" word") >= STREAMED, path
    return (processor_seconds(gateway) - before) / ANSWERS / STREAMED * 1e6


async def over_sockets(paths: list[str]) -> list[dict[str, float]]:
    # In several writes: a server that writes all at once is one read for the gateway.
    told = answer()
    steps = [sse(*told[at : at + 4]) for at in range(0, len(told), 4)]
    backend = Backend("generic", *[Reply(steps)] * (ANSWERS * len(paths) * (SOCKET_ROUNDS + 1)))
    async with backend.running():
        with (
            tempfile.TemporaryDirectory() as home,
            running_gateway(Path(home), GPTOSS_UPSTREAM=address(backend)) as gateway,
        ):
            rounds = [
                {path: await asyncio.to_thread(through, gateway, path) for path in paths}
                for _ in range(SOCKET_ROUNDS + 1)
            ]
    return rounds[1:]


def print_rounds(rounds: list[dict[str, float]], unit: str) -> None:
    for path in rounds[0]:
        cost = statistics.median(one[path] for one in rounds)
        ratio = statistics.median(one[path] / one["/v1/chat/completions"] for one in rounds)
        print(f"  {path:22} {cost:7.1f} {unit}   {ratio:.2f}")


def main() -> None:
    asked = requests()
    for size in (1, 8):
        batches: list[list[Event]] = [
            [TextDelta(" word") for _ in range(size)] for _ in range(PIECES // size)
        ]
        rounds = [
            {path: spent(request.renderer(), batches) for path, request in asked.items()}
            for _ in range(ROUNDS)
        ]
        print(f"{size} in a batch:")
        print_rounds(rounds, "ns")
    print("over sockets:")
    print_rounds(asyncio.run(over_sockets(list(asked))), "µs")


if __name__ == "__main__":
    main()
