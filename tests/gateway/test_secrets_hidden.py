"""What an upstream repeats of secrets reaches neither clients nor the log, whatever form it has."""

import asyncio
import json
from typing import Any

from tests.backends.server import KEY, Backend, json_reply
from tests.conftest import StartGateway
from tests.secret_forms import FORMS
from tests.server.talking import Reply, ask
from tests.upstreams.chatkit.scripted import Reply as Played
from tests.upstreams.chatkit.transcripts import Json, sse

SECRETS = (*FORMS, f"the key {KEY} is not known")
HELLO = [{"role": "user", "content": "Hello"}]


def refusals(secret: str) -> list[Played]:
    """An answer that is none, in the forms in which servers refuse."""
    error = {"message": f"odd request {secret}", "param": f"headers {secret}", "code": f"odd {secret}"}
    page = f"<html><title>Bad gateway {secret}</title></html>".encode()
    return [
        json_reply(400, {"error": error}),
        json_reply(422, {"detail": [{"loc": ["body", secret], "msg": f"odd request {secret}"}]}),
        json_reply(200, {"error": error | {"code": 400}}),
        Played([f"odd request {secret}".encode()], 400, "text/plain"),
        Played([page], 400, "text/html"),
    ]


def broken_stream(backend: Backend, secret: str) -> Played:
    events = list(backend.shape.events(backend.answer))[:5]
    return Played([sse(*events, {"error": {"message": f"odd {secret}", "code": 400}})])


async def test_secrets_are_hidden_in_errors_streams_and_the_log(gateway: StartGateway) -> None:
    backend = Backend("vllm")
    async with backend.running():
        address = backend.url.removesuffix("/chatkit") + "/v1"
        tables = json.dumps([{"name": "box", "kind": "vllm", "url": address, "key_env": "K"}])
        running = await asyncio.to_thread(
            gateway, GPTOSS_UPSTREAM="box", GPTOSS_UPSTREAMS=tables, K=KEY, GPTOSS_LOG_LEVEL="debug"
        )

        async def post(path: str, body: Json, *replies: Played) -> Reply:
            backend.replies = list(replies)
            reply = await asyncio.to_thread(ask, running, "POST", path, {"model": "gpt-oss-20b"} | body)
            assert backend.replies == []
            return reply

        for secret in SECRETS:
            shown: list[Any] = []
            for refusal in refusals(secret):
                reply = await post("/v1/chat/completions", {"messages": HELLO}, refusal)
                assert reply.status >= 400
                assert "***" in reply.error["message"]
                shown.append(reply.body)
            broken = broken_stream(backend, secret)
            for path, body in (("chat/completions", {"messages": HELLO}), ("responses", {"input": "Hello"})):
                reply = await post(f"/v1/{path}", body | {"stream": True}, broken)
                assert reply.status == 200
                assert b"***" in reply.body
                assert b"odd" in reply.body
                shown.append(reply.body)
            shown.append(await asyncio.to_thread(lambda: ask(running, "GET", "/").body))
            for text in shown:
                assert b"VALUE" not in text, secret
                assert KEY.encode() not in text, secret
        log = running.log()
    assert log.count("odd") > len(SECRETS)
    assert "VALUE" not in log
    assert KEY not in log
