"""Turns of all kinds, for what the page shows of usage: two servers, both models, three APIs, failures."""

import json
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.backends.server import Backend, backend_thread, json_reply
from tests.backends.shapes import Answer
from tests.conftest import RunningGateway, running_gateway
from tests.server.talking import ask
from tests.upstreams.chatkit.scripted import Reply
from tests.upstreams.chatkit.transcripts import sse

KEYS = ("the-key-of-the-editors-0123456789", "the-key-of-the-agents-0123456789")
ADMIN = "the-key-of-who-administers-0123456789"
TOOL = {
    "type": "function",
    "function": {
        "name": "get_forecast",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        },
    },
}
_WORDS = ["the", "model", "thinks", "before", "it", "answers", "in", "as", "many", "words", "as", "needed"]


@contextmanager
def busy_gateway(home: Path, *, before: str = "", turns: int) -> Iterator[RunningGateway]:
    """A gateway with keys before two servers, the first of which fails now and then, after many turns."""
    chosen = random.Random(16)
    servers = [Backend("vllm"), Backend("llamacpp")]
    for number, server in enumerate(servers):
        server.reply = lambda asked, server=server, first=not number: _reply(
            server, asked.body, chosen, first
        )
    with backend_thread(servers[0]), backend_thread(servers[1]):
        tables = [
            {"name": name, "kind": server.kind, "url": server.address}
            for name, server in zip(("gpu-box", "laptop"), servers, strict=True)
        ]
        with running_gateway(
            home,
            None,
            before=before,
            GPTOSS_UPSTREAM="gpu-box,laptop",
            GPTOSS_UPSTREAMS=json.dumps(tables),
            GPTOSS_API_KEYS=",".join(KEYS),
            GPTOSS_ADMIN_KEY=ADMIN,
        ) as gateway:
            with ThreadPoolExecutor(8) as pool:
                list(pool.map(lambda number: _turn(gateway, number), range(turns)))
            yield gateway


def _reply(server: Backend, body: dict[str, Any], chosen: random.Random, fails: bool) -> Reply:
    if "refuse this" in json.dumps(body["messages"]):
        return json_reply(400, {"error": {"message": "This cannot be answered."}})
    if fails and chosen.random() < 0.05:
        return json_reply(429, {"error": {"message": "Busy."}}, ("retry-after", "1"))
    text = " ".join(chosen.choices(_WORDS, k=chosen.randint(5, 120)))
    calls: tuple[tuple[str, str], ...] = ()
    if body.get("tools"):
        calls = (("get_forecast", '{"city": "Paris", "days": "3"}'),)
    answer = Answer(
        text[: len(text) // 3], "" if calls else text, calls, "tool_calls" if calls else "stop", usage=False
    )
    events = list(server.shape.events(answer))
    return Reply([chosen.uniform(0.01, 0.06), sse(*events[:2]), chosen.uniform(0.01, 0.08), sse(*events[2:])])


def _turn(gateway: RunningGateway, number: int) -> None:
    """One turn by number, so that every run has the same mix; what it is answered does not matter here."""
    text = "refuse this" if number % 41 == 7 else f"Question {number}: what do you make of it?"
    messages = [{"role": "user", "content": text}]
    body: dict[str, Any] = {"model": "gpt-oss-20b" if number % 4 == 1 else "gpt-oss-120b"}
    match number % 5:
        case 0 | 1 | 2:
            path = "/v1/chat/completions"
            body |= {"messages": messages, "stream": number % 2 == 0}
            if number % 9 == 5:
                body["tools"] = [TOOL]
        case 3:
            path = "/v1/responses"
            body |= {"input": text, "store": False}
        case _:
            path = "/v1/messages"
            body |= {"messages": messages, "max_tokens": 1000}
    key = KEYS[number % 3 == 2]
    ask(gateway, "POST", path, body, {"authorization": f"Bearer {key}", "content-type": "application/json"})
