"""A model that plays the scenes of a client: behind gpt-oss.com's protocol, or behind a compatible server.

A scene is written once, as a :data:`Model`; each stage writes what it says as its upstream does.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.backends import shapes
from tests.backends.server import Backend, backend_thread, json_reply
from tests.conftest import Site, running_gateway
from tests.simulator import Abort, HttpReply, Stall
from tests.simulator import Answer as SiteAnswer
from tests.simulator.agent import Agent, Call, tool_key, tool_results
from tests.simulator.server import Exchange
from tests.upstreams.chatkit.scripted import Asked as ServerAsked
from tests.upstreams.chatkit.scripted import Reply
from tests.upstreams.chatkit.transcripts import Json, sse

# The model knows these as tools of its own. Where its prompt is made by others, the client's are shown to it
# under other names.
_RENAMED = {"Bash": "client_Bash", "apply_patch": "client_apply_patch"}
_THOUGHT = "The user needs something I have a tool for."


@dataclass(frozen=True, slots=True)
class Asked:
    """What the model is asked: ``said`` is all of the conversation, ``text`` what came last in it."""

    model: str
    said: str
    text: str
    results: Sequence[str]
    has_tools: bool


@dataclass(frozen=True, slots=True)
class Refusal:
    """Instead of an answer, an HTTP status and a ``reason``; ``retry_after`` is in seconds."""

    status: int
    reason: str = "Not now."
    retry_after: int | None = None

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [] if self.retry_after is None else [("retry-after", str(self.retry_after))]


@dataclass(frozen=True, slots=True)
class Broken:
    """An answer that ends in the middle, with its connection."""

    text: str


@dataclass(frozen=True, slots=True)
class Held:
    """An answer that stops in the middle and keeps its connection until the client leaves."""

    text: str


@dataclass(frozen=True, slots=True)
class Endless:
    """An answer that is longer than any limit that the scene sets."""

    word: str
    limit: int


Said = str | Sequence[Call] | Refusal | Broken | Held | Endless
Model = Callable[[Asked], Said]


def agent(*rounds: Sequence[Call], answer: Callable[[Sequence[str]], str]) -> Model:
    """Makes the calls of one round after the other, then answers from their results."""
    played = Agent(rounds, answer)
    return lambda asked: played.turn(asked.results)


class Stage(Protocol):
    """A gateway and the model behind it.

    ``asked`` are the names of the models and ``efforts`` how hard they were to think, one for each request.
    """

    @property
    def base_url(self) -> str: ...

    @property
    def asked(self) -> Sequence[str]: ...

    @property
    def efforts(self) -> Sequence[str | None]: ...

    def play(self, *answers: Said | Model) -> None:
        """What is answered, one after the other, and the last one from then on."""
        ...


def _next(answers: list[Said | Model], asked: Asked) -> Said:
    answer = answers.pop(0) if len(answers) > 1 else answers[0]
    return answer(asked) if callable(answer) else answer


class SiteStage:
    """Behind the protocol of the website, where tools are told of in words."""

    def __init__(self, site: Site) -> None:
        self._simulator = site.simulator
        self.base_url = site.gateway.base_url

    @property
    def asked(self) -> Sequence[str]:
        return [request.model or "" for request in self._simulator.requests]

    @property
    def efforts(self) -> Sequence[str | None]:
        return [request.effort for request in self._simulator.requests]

    def play(self, *answers: Said | Model) -> None:
        left = list(answers)
        self._simulator.always(lambda exchange: self._written(_next(left, self._read(exchange)), exchange))

    def _read(self, exchange: Exchange) -> Asked:
        said = exchange.said
        has_tools = any(name in said for name in _RENAMED.values())
        return Asked(exchange.model or "", said, exchange.text, tool_results(said), has_tools)

    def _written(self, said: Said, exchange: Exchange) -> SiteAnswer | HttpReply:
        match said:
            case str():
                return SiteAnswer(said)
            case Refusal(status):
                return HttpReply(status, "{}", headers=said.headers)
            case Broken(text):
                return SiteAnswer(text, at={"half": [Abort()]})
            case Held(text):
                return SiteAnswer(text, at={"half": [Stall()]})
            case Endless(word, limit):
                return SiteAnswer(f"{word} " * limit * 2)
            case _:
                key = tool_key(exchange.said)
                calls = [Call(_RENAMED.get(call.name, call.name), call.arguments) for call in said]
                return SiteAnswer("\n".join(call.block(key) for call in calls), [_THOUGHT])


class ServerStage:
    """Behind a server that takes conversations and tools itself."""

    def __init__(self, backend: Backend, base_url: str) -> None:
        self._backend = backend
        self._left: list[Said | Model] = [""]
        self.base_url = base_url
        backend.reply = self._reply

    @property
    def asked(self) -> Sequence[str]:
        return [asked.body["model"].removeprefix("openai/") for asked in self._backend.asked]

    @property
    def efforts(self) -> Sequence[str | None]:
        return [asked.body.get("reasoning_effort") for asked in self._backend.asked]

    def play(self, *answers: Said | Model) -> None:
        self._backend.asked.clear()
        self._left = list(answers)

    def _reply(self, asked: ServerAsked) -> Reply:
        said = _next(self._left, _read(asked.body))
        match said:
            case Refusal(status, reason):
                return json_reply(status, {"error": {"message": reason}}, *said.headers)
            case Broken(text):
                return Reply([self._begun(text), "abort"])
            case Held(text):
                return Reply([self._begun(text), 60.0])
            case _:
                return Reply([sse(*self._backend.shape.events(_answer(said)))])

    def _begun(self, text: str) -> bytes:
        events = list(self._backend.shape.events(shapes.Answer(content=text)))
        return sse(*events[:-3])


def _read(body: Json) -> Asked:
    texts = [message["content"] or "" for message in body["messages"]]
    results = [message["content"] for message in body["messages"] if message["role"] == "tool"]
    return Asked(body["model"], "\n\n".join(texts), texts[-1], results, bool(body.get("tools")))


def _answer(said: Any) -> shapes.Answer:
    """The gateway counts what this server does not: by a scripted count clients would have room for ever."""
    match said:
        case str():
            return shapes.Answer("", said, usage=False)
        case Endless(word, limit):
            return shapes.Answer("", f"{word} " * limit, finish="length", usage=False)
        case _:
            calls = tuple((call.name, json.dumps(call.arguments)) for call in said)
            return shapes.Answer(_THOUGHT, "", calls, "tool_calls", usage=False)


@contextmanager
def server_stage(home: Path, **settings: str) -> Iterator[ServerStage]:
    """A vLLM and a gateway before it, with further ``settings``."""
    backend = Backend("vllm")
    with backend_thread(backend) as address:
        servers = json.dumps([{"name": "box", "kind": backend.kind, "url": address}])
        with running_gateway(
            home, None, GPTOSS_UPSTREAM="box", GPTOSS_UPSTREAMS=servers, **settings
        ) as gateway:
            yield ServerStage(backend, gateway.base_url)
