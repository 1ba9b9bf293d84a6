"""What holds every kind of server to the contract of an upstream: a script for each protocol.

A new protocol gets a script here, and a new kind nothing: the tests go through the table of servers.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from gptoss_api.config import Settings, UpstreamSettings
from gptoss_api.core.catalog import MODELS
from gptoss_api.core.servers import ServerKind
from gptoss_api.gateway.building import UpstreamBuilder
from gptoss_api.upstreams.base import Backend
from gptoss_api.upstreams.chatkit import Credentials
from gptoss_api.upstreams.http import HttpClient
from tests.backends.server import json_reply
from tests.backends.shapes import SHAPES, Answer
from tests.upstreams.chatkit.scripted import Asked, Reply, ScriptedServer
from tests.upstreams.chatkit.transcripts import new, sse
from tests.upstreams.responses import reference

# What a server may repeat in a refusal, and nobody else may see.
SECRET: Final = "s3cret-0123456789abcdef"


class Script(Protocol):
    """How a server of one protocol writes."""

    def begin(self, kind: ServerKind, text: str) -> bytes:
        """An answer up to the end of ``text``, which goes on."""
        ...

    def end(self, kind: ServerKind, text: str) -> bytes:
        """The end of an answer whose whole text is ``text``."""
        ...


class ChatCompletionsScript:
    def begin(self, kind: ServerKind, text: str) -> bytes:
        events = SHAPES[kind.name].events(Answer(reasoning="", content=text, finish=None, usage=False))
        return sse(*(event for event in events if event != "data: [DONE]"))

    def end(self, kind: ServerKind, text: str) -> bytes:
        return sse(*SHAPES[kind.name].events(Answer(reasoning="", content="")), "data: [DONE]")


class ResponsesScript:
    """OpenAI's reference server: it counts items from -1, and ends each under another number."""

    def begin(self, kind: ServerKind, text: str) -> bytes:
        return sse(*reference.opening(), *reference.message_begun(text))

    def end(self, kind: ServerKind, text: str) -> bytes:
        return sse(*reference.message_done(text), reference.completed(reference.message(text)))


class ChatKitScript:
    def begin(self, kind: ServerKind, text: str) -> bytes:
        return sse(*new.opening(), new.message_added(), new.part_added(), new.delta(text))

    def end(self, kind: ServerKind, text: str) -> bytes:
        return sse(new.part_done(text), new.message_done(text), new.titled())


SCRIPTS: Final[dict[str, Script]] = {
    "chat_completions": ChatCompletionsScript(),
    "chatkit": ChatKitScript(),
    "responses": ResponsesScript(),
}


def answer(kind: ServerKind, text: str) -> Reply:
    script = SCRIPTS[kind.protocol]
    return Reply([script.begin(kind, text) + script.end(kind, text)])


class Listing(ScriptedServer):
    """Lists both models to whoever asks for them, and plays its replies to turns."""

    def reply_to(self, asked: Asked) -> Reply:
        if asked.method == "GET":
            return json_reply(200, {"data": [{"id": model.id} for model in MODELS]})
        return super().reply_to(asked)


@dataclass
class Served:
    upstream: Backend
    server: Listing


@asynccontextmanager
async def upstream_at(kind: ServerKind, url: str, **limits: Any) -> AsyncIterator[Backend]:
    """The upstream that the gateway makes for a kind, ``url`` being where its server is."""
    http = HttpClient(trust_env=False)
    settings = Settings(idle_timeout=5.0, total_timeout=10.0)
    login = Credentials.parse(f"user_id=u; session={SECRET}")
    keys = dict.fromkeys(kind.key_variables, SECRET)
    entry = UpstreamSettings(kind.name, kind.name, url, **limits)
    upstream = UpstreamBuilder(settings, login, http, keys).build(entry, alone=True)
    try:
        yield upstream
    finally:
        await upstream.close()
        await http.close()


@asynccontextmanager
async def serving(kind: ServerKind, *replies: Reply, **limits: Any) -> AsyncIterator[Served]:
    """The upstream of a kind with a server behind it that plays ``replies``."""
    async with Listing(*replies).running() as server:
        url = server.url if kind.protocol == "chatkit" else server.url.removesuffix("/chatkit") + "/v1"
        async with upstream_at(kind, url, **limits) as upstream:
            assert isinstance(server, Listing)
            yield Served(upstream, server)
