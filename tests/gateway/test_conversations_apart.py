"""Servers that give the same call ids over and over: no conversation gets another's thoughts or ids."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import pytest

from tests.backends.server import Backend, json_reply, streamed
from tests.backends.shapes import Answer, Shape
from tests.conftest import RunningGateway, StartGateway
from tests.server.talking import Reply, ask
from tests.upstreams.chatkit.scripted import Asked
from tests.upstreams.chatkit.scripted import Reply as Played
from tests.upstreams.chatkit.transcripts import Json

PARAMETERS: Json = {"type": "object", "properties": {"city": {"type": "string"}}}
CHAT_TOOL: Json = {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}}
TOOL: Json = {"type": "function", "name": "get_weather", "parameters": PARAMETERS}


class Server(Backend):
    """Calls a tool until two results are there, and gives every call the id ``call_0``.

    It thinks of the city that its user named and of how many calls there were. Like OpenAI, it refuses
    results that answer no call before them, and ids that two calls have. ``whole`` ones do not stream.
    """

    def __init__(self, *, whole: bool) -> None:
        super().__init__("vllm")
        self.whole = whole
        self.shape = ConstantIds()

    def reply_to(self, asked: Asked) -> Played:
        if asked.method == "GET":
            return super().reply_to(asked)
        self.asked.append(asked)
        messages = asked.body["messages"]
        if (wrong := unsound(messages)) is not None:
            return json_reply(400, {"error": {"message": wrong, "type": "invalid_request_error"}})
        calls = sum(len(message.get("tool_calls", ())) for message in messages)
        city = next(m["content"] for m in reversed(messages) if m["role"] == "user")
        answer = Answer(f"{city} {calls + 1}", "", (("get_weather", '{"city":"x"}'),), "tool_calls")
        if calls > 1:
            answer = Answer("", "Done.")
        return json_reply(200, self.shape.body(answer)) if self.whole else streamed(self.shape, answer)

    @property
    def thoughts(self) -> list[str]:
        """What the last request gave back of the thoughts before its calls."""
        messages = self.asked[-1].body["messages"]
        return [m.get("reasoning", "") for m in messages if m.get("tool_calls")]


class ConstantIds(Shape):
    def body(self, answer: Answer) -> Json:
        body = super().body(answer)
        for call in body["choices"][0]["message"].get("tool_calls", ()):
            call["id"] = "call_0"
        return body

    def _call(self, index: int, name: str, arguments: str) -> Iterator[Json]:
        for delta in super()._call(index, name, arguments):
            yield delta | {"id": "call_0"}


def unsound(messages: list[Json]) -> str | None:
    declared: set[str] = set()
    for message in messages:
        for call in message.get("tool_calls", ()):
            if call["id"] in declared:
                return f"call id {call['id']} is not unique"
            declared.add(call["id"])
        if message["role"] == "tool" and message["tool_call_id"] not in declared:
            return f"{message['tool_call_id']} answers no call"
    return None


class Chat:
    """One conversation over chat completions, by a client that keeps no reasoning."""

    def __init__(self, gateway: RunningGateway, city: str, *, stream: bool) -> None:
        self.gateway, self.stream = gateway, stream
        self.messages: list[Json] = [{"role": "user", "content": city}]

    async def go_on(self) -> str:
        """The id of the call that the answer makes; its result is given with the next request."""
        (call,) = calls = await self._calls()
        self.messages += (
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": call["id"], "content": "rain"},
        )
        return str(call["id"])

    async def end(self) -> None:
        assert await self._calls() == []

    async def _calls(self) -> list[Json]:
        body = {
            "model": "gpt-oss-120b",
            "messages": self.messages,
            "tools": [CHAT_TOOL],
            "stream": self.stream,
        }
        reply = await post(self.gateway, "/v1/chat/completions", body)
        if self.stream:
            return self._streamed(reply)
        calls: list[Json] = reply.json()["choices"][0]["message"].get("tool_calls", [])
        return calls

    def _streamed(self, reply: Reply) -> list[Json]:
        calls: list[Json] = []
        for chunk in events(reply):
            for delta in chunk["choices"][0]["delta"].get("tool_calls", ()) if chunk["choices"] else ():
                if "id" in delta:
                    calls.append({"id": delta["id"], "type": "function", "function": delta["function"]})
                else:
                    calls[-1]["function"]["arguments"] += delta["function"]["arguments"]
        return calls


class Responses:
    """The same over Responses; ``chained`` by the id of the response before, else with all items."""

    def __init__(self, gateway: RunningGateway, city: str, *, stream: bool, chained: bool) -> None:
        self.gateway, self.stream, self.chained = gateway, stream, chained
        self.items: list[Json] = [{"role": "user", "content": city}]
        self.previous: str | None = None

    async def go_on(self) -> str:
        response = await self._response()
        (call,) = [item for item in response["output"] if item["type"] == "function_call"]
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "rain"}
        if self.chained:
            self.previous, self.items = response["id"], [result]
        else:
            self.items += (call, result)
        return str(call["call_id"])

    async def end(self) -> None:
        response = await self._response()
        assert [item["type"] for item in response["output"]] == ["message"]

    async def _response(self) -> Json:
        body = {"model": "gpt-oss-120b", "input": self.items, "tools": [TOOL], "stream": self.stream}
        if self.previous is not None:
            body["previous_response_id"] = self.previous
        reply = await post(self.gateway, "/v1/responses", body)
        response: Json = events(reply)[-1]["response"] if self.stream else reply.json()
        return response


async def post(gateway: RunningGateway, path: str, body: Json) -> Reply:
    reply = await asyncio.to_thread(ask, gateway, "POST", path, body)
    assert reply.status == 200, reply.body
    return reply


def events(reply: Reply) -> list[Any]:
    return [json.loads(line[6:]) for line in reply.body.splitlines() if line.startswith(b"data: {")]


@asynccontextmanager
async def served(server: Server, gateway: StartGateway) -> AsyncIterator[RunningGateway]:
    async with server.running():
        address = server.url.removesuffix("/chatkit") + "/v1"
        tables = f'[{{"name": "box", "kind": "vllm", "url": "{address}"}}]'
        running = await asyncio.to_thread(gateway, GPTOSS_UPSTREAM="box", GPTOSS_UPSTREAMS=tables)
        yield running


Start = Callable[[RunningGateway, str], Chat | Responses]

CLIENTS: dict[str, Start] = {}
for stream in (False, True):
    how = "streamed" if stream else "whole"
    CLIENTS[f"chat, {how}"] = partial(Chat, stream=stream)
    CLIENTS[f"responses, {how}"] = partial(Responses, stream=stream, chained=False)
    CLIENTS[f"stored chain, {how}"] = partial(Responses, stream=stream, chained=True)


@pytest.mark.parametrize("whole", [False, True])
async def test_each_conversation_gets_its_own_thoughts_and_ids(whole: bool, gateway: StartGateway) -> None:
    server = Server(whole=whole)
    async with served(server, gateway) as running:
        for name, start in CLIENTS.items():
            oslo, rome = start(running, "Oslo"), start(running, "Rome")
            ids = [await oslo.go_on(), await rome.go_on(), await oslo.go_on()]
            assert server.thoughts == ["Oslo 1"], name
            ids.append(await rome.go_on())
            assert server.thoughts == ["Rome 1"], name
            assert len(set(ids)) == 4, name
            for conversation, city in ((oslo, "Oslo"), (rome, "Rome")):
                await conversation.end()
                assert server.thoughts == [f"{city} 1", f"{city} 2"], name


@pytest.mark.parametrize("whole", [False, True])
async def test_no_id_is_given_out_that_the_conversation_has(whole: bool, gateway: StartGateway) -> None:
    server = Server(whole=whole)
    call = {"id": "call_0", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
    item = {"type": "function_call", "call_id": "call_0", "name": "get_weather", "arguments": "{}"}
    async with served(server, gateway) as running:
        for name, start in CLIENTS.items():
            conversation = start(running, "Oslo?")
            if isinstance(conversation, Chat):
                conversation.messages += (
                    {"role": "assistant", "content": None, "tool_calls": [call]},
                    {"role": "tool", "tool_call_id": "call_0", "content": "rain"},
                    {"role": "user", "content": "Rome?"},
                )
            else:
                output = {"type": "function_call_output", "call_id": "call_0", "output": "rain"}
                conversation.items += (item, output, {"role": "user", "content": "Rome?"})
            assert await conversation.go_on() != "call_0", name
            await conversation.end()
            assert server.thoughts == ["", "Rome? 2"], name


async def test_a_client_that_numbers_calls_anew_gets_no_thought_at_all(gateway: StartGateway) -> None:
    server = Server(whole=False)
    async with served(server, gateway) as running:
        oslo, rome = Chat(running, "Oslo", stream=False), Chat(running, "Rome", stream=False)
        for conversation in (oslo, rome):
            await conversation.go_on()
            conversation.messages[-2]["tool_calls"][0]["id"] = "call_0"
            conversation.messages[-1]["tool_call_id"] = "call_0"
        for conversation in (oslo, rome):
            await conversation.go_on()
            assert server.thoughts == [""]


async def test_no_server_sees_a_result_without_its_call_or_an_id_twice(gateway: StartGateway) -> None:
    server = Server(whole=False)
    async with served(server, gateway) as running:
        conversation = Chat(running, "Oslo", stream=False)
        call = {"id": "call_0", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
        made = {"role": "assistant", "content": None, "tool_calls": [call]}
        given = {"role": "tool", "tool_call_id": "call_0"}
        trimmed = {"role": "tool", "tool_call_id": "call_trimmed", "content": "snow"}
        conversation.messages[:0] = [
            trimmed,
            made,
            given | {"content": "rain"},
            made,
            given | {"content": "sun"},
        ]
        await conversation.end()
        messages = server.asked[-1].body["messages"]
    ids = [call["id"] for message in messages for call in message.get("tool_calls", ())]
    results = [(m["tool_call_id"], m["content"]) for m in messages if m["role"] == "tool"]
    assert results == list(zip(ids, ["snow", "rain", "sun"], strict=True))
