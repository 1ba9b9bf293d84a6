"""A server that plays one kind of backend: what it takes, what it refuses, and how it answers."""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from gptoss_api.core.events import Event
from gptoss_api.core.result import Collector
from gptoss_api.core.servers import SERVER_KINDS
from gptoss_api.core.turn import Turn, UserMessage
from gptoss_api.upstreams.admission import Admission
from gptoss_api.upstreams.http import HttpClient
from gptoss_api.upstreams.openai_compatible import PROFILES, OpenAICompatibleUpstream, Server
from tests.pulled import opened
from tests.upstreams.chatkit.scripted import Asked, Reply, ScriptedServer
from tests.upstreams.chatkit.transcripts import Json, sse

from .shapes import SHAPES, Answer, Shape, kind_of

KEY = "secret-key-0123456789"


def streamed(shape: Shape, answer: Answer | None = None) -> Reply:
    """The answer as one write; a server that cuts elsewhere is the business of the HTTP tests."""
    return Reply([sse(*shape.events(answer or Answer()))])


def whole(shape: Shape, answer: Answer | None = None) -> Reply:
    return json_reply(200, shape.body(answer or Answer()))


def json_reply(status: int, value: Any, *headers: tuple[str, str]) -> Reply:
    return Reply([json.dumps(value).encode()], status, "application/json", headers)


class Backend(ScriptedServer):
    """One kind of server. ``replies`` are played first, then ``answer`` in the server's own shape.

    Where ``reply`` is set, it gives the answer to what is asked instead.
    ``models`` is what ``GET /v1/models`` lists, owned by ``owner`` if there is one, and ``says`` what is at
    other paths. Requests for completions end up in ``asked``.
    """

    def __init__(self, shape: str, *replies: Reply, answer: Answer | None = None) -> None:
        super().__init__(*replies)
        self.kind = kind_of(shape)
        self.shape = SHAPES[shape]
        self.answer = answer or Answer()
        self.reply: Callable[[Asked], Reply] | None = None
        self.models: list[str] = list(PROFILES[self.kind].models.values())
        self.owner = ""
        self.says: dict[str, Any] = {}
        self.lists = 0

    @property
    def address(self) -> str:
        """The base address of its API; empty until it runs."""
        return self.url.removesuffix("/chatkit") + "/v1"

    def reply_to(self, asked: Asked) -> Reply:
        if asked.method == "GET":
            if not asked.path.endswith("/models"):
                said = self.says.get(asked.path)
                return json_reply(404, {"error": "not found"}) if said is None else json_reply(200, said)
            self.lists += 1
            owner = {"owned_by": self.owner} if self.owner else {}
            entries = [{"id": name} | owner for name in self.models]
            return json_reply(200, {"object": "list", "data": entries})
        self.asked.append(asked)
        if self.replies:
            return self.replies.pop(0)
        if refused := self.refusal(asked.body):
            return refused
        if self.reply:
            return self.reply(asked)
        form = streamed if asked.body.get("stream") else whole
        return form(self.shape, self.answer)

    def refusal(self, body: Json) -> Reply | None:
        """What this kind of server answers to a request that it does not take."""
        check = _CHECKS.get(self.kind)
        return check(body) if check else None


def _bad(message: str, **more: Any) -> Reply:
    error = {"message": message, "type": "invalid_request_error", "param": None, "code": None}
    return json_reply(400, {"error": error | more})


def _resends(body: Json, field: str) -> int:
    """The index of the first message that has ``field``, -1 where none has."""
    return next((index for index, message in enumerate(body["messages"]) if field in message), -1)


def _groq(body: Json) -> Reply | None:
    if (index := _resends(body, "reasoning_content")) >= 0:
        return _bad(f"'messages.{index}' : property 'reasoning_content' is unsupported")
    for name in body:
        if name in ("logit_bias", "store", "metadata", "verbosity", "vendor_extra"):
            return _bad(f"property '{name}' is unsupported, did you mean something else?")
    return None


def _cerebras(body: Json) -> Reply | None:
    if (index := _resends(body, "reasoning_content")) >= 0:
        message = f"messages.{index}.assistant.reasoning_content: property is unsupported"
    elif body.get("reasoning_effort") not in (None, "low", "medium", "high"):
        message = "reasoning_effort: unsupported value"
    elif name := next(
        (n for n in ("presence_penalty", "logit_bias", "parallel_tool_calls", "service_tier") if n in body),
        "",
    ):
        message = f"{name}: property '{name}' is unsupported"
    else:
        return None
    flat = {"message": message, "type": "invalid_request_error", "param": "validation_error"}
    return json_reply(400, flat | {"code": "wrong_api_format"})


def _ollama(body: Json) -> Reply | None:
    if body.get("reasoning_effort", "high") not in ("none", "low", "medium", "high", "max"):
        return _bad("invalid reasoning value (must be one of high, medium, low, max or none)")
    return None


def _openrouter(body: Json) -> Reply | None:
    if body.get("reasoning", {}).get("effort") == "none" or body.get("reasoning", {}).get("enabled") is False:
        return json_reply(
            400,
            {
                "error": {
                    "code": 400,
                    "message": "Reasoning is mandatory for this endpoint and cannot be disabled.",
                }
            },
        )
    return None


def _sglang(body: Json) -> Reply | None:
    if body.get("reasoning_effort") == "none":
        return _bad("Harmony does not support reasoning effort none")
    return None


def _vllm(body: Json) -> Reply | None:
    if body.get("reasoning_effort") not in (None, "low", "medium", "high"):
        return _bad("reasoning_effort must be low, medium or high")
    return None


def _llamacpp(body: Json) -> Reply | None:
    for message in body["messages"]:
        if message.get("tool_calls") and message.get("content") and message.get("reasoning_content"):
            return json_reply(
                500,
                {
                    "error": {
                        "code": 500,
                        "message": "Cannot pass both content and thinking",
                        "type": "server_error",
                    }
                },
            )
    return None


_CHECKS: dict[str, Callable[[Json], Reply | None]] = {
    "groq": _groq,
    "cerebras": _cerebras,
    "ollama": _ollama,
    "openrouter": _openrouter,
    "sglang": _sglang,
    "vllm": _vllm,
    "llamacpp": _llamacpp,
}


def turn(text: str = "hello", **changes: Any) -> Turn:
    fields: dict[str, Any] = {"model": "gpt-oss-120b", "messages": (UserMessage(text),)} | changes
    return Turn(**fields)


@contextmanager
def backend_thread(backend: Backend) -> Iterator[str]:
    """The address of ``backend``, which runs on an event loop of its own, for tests that have none."""
    started, ended = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with backend.running():
            started.set()
            await ended.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="backend", daemon=True)
    thread.start()
    if not started.wait(10):
        raise RuntimeError("the backend did not start")
    try:
        yield backend.address
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join(10)
        loop.close()


@asynccontextmanager
async def connected(backend: Backend, **options: Any) -> AsyncIterator[OpenAICompatibleUpstream]:
    """An upstream for the running ``backend``."""
    async with backend.running():
        http = HttpClient(trust_env=False)
        kind = SERVER_KINDS[backend.kind]
        server = Server(
            kind,
            backend.address,
            key=KEY if kind.needs_key else "",
            **{
                name: options.pop(name)
                for name in ("models", "name", "headers", "whole_answers")
                if name in options
            },
        )
        limits: dict[str, Any] = {"idle_timeout": 5.0, "total_timeout": 10.0, "asks_again": False} | options
        upstream = OpenAICompatibleUpstream(http, Admission(4, 16), server, **limits)
        try:
            yield upstream
        finally:
            await upstream.close()
            await http.close()


async def ask(upstream: Any, asked: Turn, seen: list[Event] | None = None) -> tuple[Collector, list[Event]]:
    """The whole answer, summed up and event by event; ``seen`` also keeps what came before a failure."""
    collector = Collector()
    seen = [] if seen is None else seen
    async with opened(upstream, asked) as batches:
        async for batch in batches:
            collector.feed(batch)
            seen += batch
    return collector, seen
