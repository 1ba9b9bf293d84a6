"""How much later the first event of a large agent's request comes than from the server itself.

    python -m bench.messages

The request is of Claude Code's size: 49 kB, 12 tools, its first block another one each time. The server is
scripted and answers at once, so the difference is the gateway's work and a second connection.
"""

import asyncio
import http.client
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from tests.backends.server import Backend
from tests.conftest import running_gateway
from tests.gateway.test_serving import address

ROUNDS: Final = 60
WARM: Final = 10

SYSTEM: Final = "You are an agent. Do it well and carefully. " * 160
SKILLS: Final = "A skill of yours is listed here, with words. " * 200
SCHEMA: Final = {
    "type": "object",
    "properties": {f"p{n}": {"type": "string", "description": "A parameter of it."} for n in range(8)},
}
NAMES: Final = [f"tool_{n}" for n in range(12)]
DESCRIPTION: Final = "It does something useful for the user. " * 54


def message_body(number: int) -> dict[str, Any]:
    billing = {"type": "text", "text": f"x-anthropic-billing-header: {number}"}
    return {
        "model": "gpt-oss-120b",
        "max_tokens": 32_000,
        "stream": True,
        "thinking": {"type": "adaptive"},
        "system": [billing, {"type": "text", "text": SYSTEM}],
        "messages": [
            {"role": "user", "content": f"Question {number}"},
            {"role": "system", "content": SKILLS},
        ],
        "tools": [{"name": name, "description": DESCRIPTION, "input_schema": SCHEMA} for name in NAMES],
    }


def chat_body(number: int) -> dict[str, Any]:
    """What the server itself is asked for the same."""
    return {
        "model": "gpt-oss-120b",
        "stream": True,
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": f"Question {number}"},
            {"role": "system", "content": SKILLS},
        ],
        "tools": [
            {"type": "function", "function": {"name": name, "description": DESCRIPTION, "parameters": SCHEMA}}
            for name in NAMES
        ],
    }


def first_bytes(url: str, path: str, body: dict[str, Any]) -> float:
    """Milliseconds from the request to the first bytes of its answer."""
    connection = http.client.HTTPConnection(str(urlsplit(url).netloc), timeout=30)
    connection.connect()
    data = json.dumps(body).encode()
    begun = time.perf_counter()
    connection.request("POST", path, data, {"content-type": "application/json"})
    response = connection.getresponse()
    response.read1(1)
    took = (time.perf_counter() - begun) * 1000
    response.read()
    connection.close()
    return took


def measure(server: str) -> tuple[list[float], list[float]]:
    """The milliseconds of each request to the server itself and to the gateway before it, once warm."""
    direct, through = [], []
    with running_gateway(Path(tempfile.mkdtemp()), GPTOSS_UPSTREAM=server) as gateway:
        for number in range(ROUNDS):
            direct.append(first_bytes(server, "/v1/chat/completions", chat_body(number)))
            through.append(first_bytes(gateway.base_url, "/v1/messages?beta=true", message_body(number)))
    return direct[WARM:], through[WARM:]


async def main() -> None:
    backend = Backend("generic")
    async with backend.running():
        measured = await asyncio.to_thread(measure, address(backend))
    # What else a machine does adds to the median; the least is the gateway's alone.
    figures: dict[str, Callable[[list[float]], float]] = {"median": statistics.median, "least": min}
    for name, figure in figures.items():
        direct, through = map(figure, measured)
        print(
            f"{name}: direct {direct:.1f} ms, through the gateway {through:.1f}, added {through - direct:.1f}"
        )


if __name__ == "__main__":
    asyncio.run(main())
