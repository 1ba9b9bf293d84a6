"""A model behind the website's protocol, and the same model behind a server that takes tools itself."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.backends import shapes
from tests.backends.server import Backend, backend_thread
from tests.conftest import running_gateway
from tests.simulator import Answer, Simulator, simulator_thread
from tests.simulator.agent import Call, tool_key, tool_results
from tests.simulator.server import Exchange
from tests.upstreams.chatkit.scripted import Asked as Request
from tests.upstreams.chatkit.scripted import Reply
from tests.upstreams.chatkit.transcripts import Json, sse

SITE, SERVER = "gpt-oss.com", "OpenAI-compatible server"
THOUGHT = "I look at what is asked."


@dataclass(frozen=True, slots=True)
class Asked:
    """What the model sees: ``said`` is all of it, tools included, and ``results`` what tools gave back."""

    said: str
    results: Sequence[str]
    has_tools: bool


Model = Callable[[Asked], str | Sequence[Call]]


@dataclass(frozen=True, slots=True)
class Stage:
    """A gateway at ``base_url``; ``play`` says what the model behind it does from now on."""

    base_url: str
    play: Callable[[Model], None]


@contextmanager
def site_stage(home: Path) -> Iterator[Stage]:
    with simulator_thread(auth="session") as simulator, running_gateway(home, simulator) as gateway:
        yield Stage(gateway.base_url, lambda model: _play_at(simulator, model))


@contextmanager
def server_stage(home: Path) -> Iterator[Stage]:
    backend = Backend("vllm")
    with backend_thread(backend) as address:
        servers = json.dumps([{"name": "box", "kind": backend.kind, "url": address}])
        with running_gateway(home, GPTOSS_UPSTREAM="box", GPTOSS_UPSTREAMS=servers) as gateway:
            yield Stage(gateway.base_url, lambda model: _play_behind(backend, model))


def _play_at(simulator: Simulator, model: Model) -> None:
    def answer(exchange: Exchange) -> Answer:
        said = exchange.said
        try:
            key = tool_key(said)
        except LookupError:
            key = ""
        turn = model(Asked(said, tool_results(said), bool(key)))
        text = turn if isinstance(turn, str) else "\n".join(call.block(key) for call in turn)
        return Answer(text, [THOUGHT])

    simulator.reset()
    simulator.always(answer)


def _play_behind(backend: Backend, model: Model) -> None:
    def reply(request: Request) -> Reply:
        messages = request.body["messages"]
        said = "\n\n".join(message["content"] or "" for message in messages)
        results = [message["content"] for message in messages if message["role"] == "tool"]
        tools = request.body.get("tools")
        if tools:
            said = f"{json.dumps(tools)}\n\n{said}"
        turn = model(Asked(said, results, bool(tools)))
        if isinstance(turn, str):
            answer = _within(turn, request.body)
        else:
            calls = tuple((call.name, json.dumps(call.arguments)) for call in turn)
            answer = shapes.Answer(THOUGHT, "", calls, "tool_calls")
        return Reply([sse(*backend.shape.events(answer))])

    backend.asked.clear()
    backend.reply = reply


def _within(text: str, body: Json) -> shapes.Answer:
    """``text`` up to the limit that is asked for, as words."""
    words, limit = text.split(" "), body.get("max_completion_tokens") or body.get("max_tokens")
    if limit is None or len(words) <= limit:
        return shapes.Answer(THOUGHT, text)
    return shapes.Answer(THOUGHT, " ".join(words[:limit]), finish="length")
