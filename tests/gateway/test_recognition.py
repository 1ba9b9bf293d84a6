"""A server by its address: it says what it is, and is asked as what it is."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gptoss_api.config import resolve
from gptoss_api.core.turn import (
    AssistantMessage,
    OutputFormat,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResultMessage,
    UserMessage,
)
from gptoss_api.gateway import Gateway
from gptoss_api.upstreams.openai_compatible import addressed
from gptoss_api.upstreams.openai_compatible.recognition import kind_by_owner
from tests.backends.server import Backend, ask, json_reply, turn
from tests.backends.shapes import Answer

PROPS = {"default_generation_settings": {"n_ctx": 4096}, "total_slots": 1, "build_info": "b1"}
SIGNS: dict[str, tuple[str, dict[str, Any]]] = {
    "llamacpp by its list": ("llamacpp", {}),
    "llamacpp by /props": ("", {"/props": PROPS}),
    "vllm by its list": ("vllm", {}),
    "vllm by /version": ("", {"/version": {"version": "0.11.2"}}),
    "ollama by its list": ("library", {}),
    "ollama by /api/version": ("somebody", {"/api/version": {"version": "0.12.3"}}),
    "sglang by its list": ("sglang", {}),
    "lmstudio by its list": ("organization_owner", {}),
}
UNTOLD: dict[str, tuple[str, dict[str, Any]]] = {
    "one that says nothing": ("", {}),
    "a proxy": ("openai", {"/version": {"version": "1.81.0", "name": "a proxy"}}),
    "a program with versions of its own": ("", {"/version": {"version": "v3.4.0 (abc)"}}),
    "one with other words there": ("", {"/version": "1.0", "/props": ["x"], "/api/version": {"version": 1}}),
    "a gateway like this one": ("gpt-oss", {"/api/version": {"version": "0.12.3"}}),
}
HISTORY: Any = (
    UserMessage("Weather?"),
    AssistantMessage(reasoning="Hm.", tool_calls=(ToolCall("c1", "f", "{}"), ToolCall("c2", "f", "{}"))),
    ToolResultMessage("rain", "c1"),
    ToolResultMessage("snow", "c2"),
)
FORM = OutputFormat("json_schema", "a", {"type": "object"})


@asynccontextmanager
async def gateway_to(backend: Backend) -> AsyncIterator[Gateway]:
    async with backend.running():
        running = Gateway(resolve(environ={"GPTOSS_UPSTREAM": backend.address}).settings, {})
        try:
            yield running
        finally:
            await running.close()


def saying(owner: str, says: dict[str, Any], kind: str = "generic", **options: Any) -> Backend:
    backend = Backend(kind, **options)
    backend.models = ["openai/gpt-oss-120b"]
    backend.owner, backend.says = owner, says
    return backend


def habits(body: Any) -> tuple[str | None, bool]:
    """The field in which the request has earlier thoughts, and whether it has one call in a message."""
    calls = [message for message in body["messages"] if message.get("tool_calls")]
    field = next((name for name in ("reasoning", "reasoning_content") if name in calls[0]), None)
    return field, len(calls) == 2


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("looked", [True, False])
async def test_a_server_that_says_what_it_is_gets_the_profile_of_its_kind(sign: str, looked: bool) -> None:
    kind = sign.partition(" ")[0]
    backend = saying(*SIGNS[sign], kind)
    async with gateway_to(backend) as gateway:
        if looked:
            await gateway.look(5.0)
        await ask(gateway, turn(messages=HISTORY))
        assert gateway.upstream.name == backend.address.split("/")[2]
    expected = {
        "llamacpp": ("reasoning_content", True),
        "vllm": ("reasoning", False),
        "ollama": ("reasoning", False),
        "sglang": ("reasoning_content", True),
        "lmstudio": (None, True),
    }
    assert habits(backend.asked[0].body) == expected[kind]


@pytest.mark.parametrize("says", UNTOLD)
async def test_one_that_does_not_is_asked_as_any_server(says: str) -> None:
    backend = saying(*UNTOLD[says])
    async with gateway_to(backend) as gateway:
        for _ in range(2):
            await ask(gateway, turn(messages=HISTORY))
    assert [habits(asked.body) for asked in backend.asked] == [("reasoning_content", True)] * 2
    assert backend.lists == 2, "once for what it is, once for what it calls the model"


async def test_what_it_can_do_by_itself_it_is_asked_for() -> None:
    tools = (Tool("f", parameters={"type": "object"}),)
    answer = Answer(content="", calls=(("f", "{}"),), finish="tool_calls")
    backend = saying("llamacpp", {}, "llamacpp", answer=answer)
    asked = turn(tools=tools, tool_choice=ToolChoice("required"), output_format=FORM)
    async with gateway_to(backend) as gateway:
        await gateway.look(5.0)
        await ask(gateway, asked)
    body = backend.asked[0].body
    assert (body["tool_choice"], body["response_format"]["type"]) == ("required", "json_schema")


async def test_one_that_is_not_ready_is_asked_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    class Loading(Backend):
        loads = True

        def reply_to(self, asked: Any) -> Any:
            if self.loads and asked.method == "GET":
                return json_reply(503, {"error": {"message": "Loading model"}})
            return super().reply_to(asked)

    backend = Loading("vllm")
    backend.owner = "vllm"
    async with gateway_to(backend) as gateway:
        await ask(gateway, turn(messages=HISTORY))
        backend.loads = False
        await ask(gateway, turn(messages=HISTORY))
        monkeypatch.setattr(addressed, "PAUSE", 0.0)
        assert [habits(asked.body)[0] for asked in backend.asked] == ["reasoning_content"] * 2
    backend.loads, backend.asked = True, []
    async with gateway_to(backend) as gateway:
        await gateway.look(5.0)
        backend.loads = False
        await ask(gateway, turn(messages=HISTORY))
    assert habits(backend.asked[0].body)[0] == "reasoning"


async def test_a_look_waits_no_longer_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = saying("vllm", {}, "vllm")
    asked, going = asyncio.Event(), asyncio.Event()

    async def slow(*_: Any) -> str:
        asked.set()
        await going.wait()
        return "vllm"

    monkeypatch.setattr("gptoss_api.gateway.building.ask_kind", slow)
    async with gateway_to(backend) as gateway:
        await gateway.look(0.0)
        await asked.wait()
        turns = [asyncio.create_task(ask(gateway, turn(messages=HISTORY))) for _ in range(2)]
        await asyncio.sleep(0)
        going.set()
        await asyncio.gather(*turns)
    assert [habits(each.body)[0] for each in backend.asked] == ["reasoning"] * 2


@pytest.mark.parametrize(
    ("listed", "kind"),
    [
        ('{"data": [{"id": "gpt-oss-20b", "owned_by": "vllm"}]}', "vllm"),
        (
            '{"data": [{"id": "other", "owned_by": "sglang"}, {"id": "gpt-oss:20b", "owned_by": "library"}]}',
            "ollama",
        ),
        ('{"data": [{"id": "gpt-oss-20b", "owned_by": "gpt-oss"}, {"id": "x", "owned_by": "vllm"}]}', ""),
        ('{"data": [{"id": "gpt-oss-20b", "owned_by": ["vllm"]}]}', None),
        ('{"data": [{"id": "other", "owned_by": "vllm"}, 5, {"id": 5}]}', None),
        ('["gpt-oss-20b"]', None),
        ("<html>", None),
        ("", None),
    ],
)
def test_the_owner_of_the_model_tells(listed: str, kind: str | None) -> None:
    assert kind_by_owner(listed.encode()) == kind
