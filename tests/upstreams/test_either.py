"""A server at an address is asked in the protocol that it speaks, whichever that is."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from gptoss_api.core.errors import GatewayError, InvalidRequest, ModelNotFound, UpstreamFailure
from gptoss_api.core.servers import GENERIC, SERVER_KINDS
from gptoss_api.upstreams.base import Backend
from tests.backends.server import ask, json_reply, turn
from tests.upstreams.chatkit.scripted import Asked, Reply, ScriptedServer

from .contract import answer, upstream_at

CHAT, RESPONSES = "/v1/chat/completions", "/v1/responses"


class Speaking(ScriptedServer):
    """Answers turns at the paths it has ``replies`` for, and everything else with ``status``."""

    def __init__(self, status: int, **replies: Reply) -> None:
        super().__init__()
        self.status = status
        self.by_path = {"chat": CHAT, "responses": RESPONSES}
        self.replies_at = {self.by_path[name]: reply for name, reply in replies.items()}

    def reply_to(self, asked: Asked) -> Reply:
        self.asked.append(asked)
        return self.replies_at.get(asked.path) or json_reply(self.status, {"detail": "Nothing is here"})

    @property
    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked if asked.method == "POST"]


@asynccontextmanager
async def at(server: Speaking) -> AsyncIterator[Backend]:
    async with (
        server.running(),
        upstream_at(GENERIC, server.url.removesuffix("/chatkit") + "/v1") as upstream,
    ):
        yield upstream


CHATTING = answer(GENERIC, "Hello.")
RESPONDING = answer(SERVER_KINDS["responses"], "Hello.")


@pytest.mark.parametrize("status", [404, 405, 501])
async def test_a_server_without_chat_completions_is_asked_for_a_response_and_that_is_remembered(
    status: int,
) -> None:
    server = Speaking(status, responses=RESPONDING)
    async with at(server) as upstream:
        assert "seed" in upstream.capabilities.options
        for _ in range(3):
            collector, _ = await ask(upstream, turn())
            assert collector.choices[0].text == "Hello."
        # What it takes is now that of the other protocol.
        assert "seed" not in upstream.capabilities.options
        assert (await upstream.health()).ready
    assert server.paths == [CHAT, RESPONSES, RESPONSES, RESPONSES]


async def test_one_that_has_chat_completions_is_never_asked_otherwise() -> None:
    server = Speaking(404, chat=CHATTING, responses=RESPONDING)
    async with at(server) as upstream:
        await ask(upstream, turn())
    assert server.paths == [CHAT]


async def test_one_that_changes_is_followed() -> None:
    server = Speaking(404, responses=RESPONDING)
    async with at(server) as upstream:
        await ask(upstream, turn())
        server.replies_at = {CHAT: CHATTING}
        await ask(upstream, turn())
        await ask(upstream, turn())
    assert server.paths == [CHAT, RESPONSES, RESPONSES, CHAT, CHAT]


async def test_one_that_has_neither_fails_as_it_did_at_first() -> None:
    server = Speaking(404)
    async with at(server) as upstream:
        with pytest.raises(UpstreamFailure, match="404") as failed:
            await ask(upstream, turn())
        assert not failed.value.retryable
    assert server.paths == [CHAT, RESPONSES]


@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (json_reply(404, {"error": {"message": "model gpt-oss-120b not found"}}), ModelNotFound),
        (json_reply(400, {"error": {"message": "no"}}), InvalidRequest),
    ],
)
async def test_what_is_refused_there_is_refused(refusal: Reply, kind: type[GatewayError]) -> None:
    server = Speaking(404, chat=refusal, responses=RESPONDING)
    async with at(server) as upstream:
        with pytest.raises(kind):
            await ask(upstream, turn())
    assert server.paths == [CHAT]
    server = Speaking(404, responses=refusal)
    async with at(server) as upstream:
        with pytest.raises(kind):
            await ask(upstream, turn())
    assert server.paths == [CHAT, RESPONSES]
