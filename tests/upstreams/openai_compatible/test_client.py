"""The client of OpenAI-compatible servers over real sockets: models, requests, connections."""

import asyncio
import json
from typing import Any

import pytest

from gptoss_api.core.catalog import provider_suffix
from gptoss_api.core.errors import (
    GatewayError,
    ModelNotFound,
    Overloaded,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gptoss_api.core.servers import SERVER_KINDS
from gptoss_api.core.turn import (
    AssistantMessage,
    InstructionMessage,
    Tool,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from gptoss_api.upstreams.admission import Admission
from gptoss_api.upstreams.http import HttpClient
from gptoss_api.upstreams.openai.models import canonical_id, read_models
from gptoss_api.upstreams.openai_compatible import PROFILES, OpenAICompatibleUpstream, Server
from tests.backends.server import Backend, ask, connected, json_reply, turn
from tests.pulled import opened
from tests.upstreams.chatkit.scripted import Asked, Reply
from tests.upstreams.chatkit.transcripts import sse


async def asked_model(backend: Backend, **changes: Any) -> str:
    options = {name: changes.pop(name) for name in ("models",) if name in changes}
    async with connected(backend, **options) as upstream:
        await ask(upstream, turn(**changes))
    return str(backend.asked[-1].body["model"])


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("huggingface", "openai/gpt-oss-20b"),
        ("ollama", "gpt-oss:20b"),
        ("llamacpp", "gpt-oss-20b"),
        ("vllm", "openai/gpt-oss-20b"),
        ("groq", "openai/gpt-oss-20b"),
        ("openrouter", "openai/gpt-oss-20b"),
        ("cerebras", "gpt-oss-20b"),
        ("cloudflare", "@cf/openai/gpt-oss-20b"),
    ],
)
async def test_each_server_is_asked_for_the_model_by_its_own_name(kind: str, name: str) -> None:
    assert await asked_model(Backend(kind), model="gpt-oss-20b") == name


@pytest.mark.parametrize(
    "listed", ["/models/gpt-oss-20b-mxfp4.gguf", "unsloth/GPT-OSS-20B-GGUF", "gpt-oss:20b-cloud"]
)
async def test_a_local_server_is_asked_what_it_calls_its_model(listed: str) -> None:
    backend = Backend("llamacpp")
    backend.models = ["nomic-embed", listed]
    assert await asked_model(backend, model="gpt-oss-20b") == listed
    async with connected(backend) as upstream:
        for _ in range(3):
            await ask(upstream, turn(model="gpt-oss-20b"))
        assert [model.name for model in await upstream.models()] == [listed]
        with pytest.raises(ModelNotFound, match="it serves gpt-oss-20b"):
            await ask(upstream, turn(model="gpt-oss-120b"))
    assert backend.lists == 2


async def test_a_server_whose_list_says_nothing_is_asked_by_the_usual_name() -> None:
    backend = Backend("vllm")
    backend.models = ["my-model"]
    assert await asked_model(backend) == "openai/gpt-oss-120b"


async def test_configured_models_are_all_there_are() -> None:
    assert await asked_model(Backend("generic"), models={"gpt-oss-120b": "big"}) == "big"
    with pytest.raises(ModelNotFound):
        await asked_model(Backend("generic"), models={"gpt-oss-120b": "big"}, model="gpt-oss-20b")


async def test_a_model_without_a_name_has_the_one_it_is_listed_under_or_the_usual_one() -> None:
    listed = Backend("vllm")
    listed.models = ["/data/gpt-oss-20b.gguf"]
    only = {"gpt-oss-20b": ""}
    assert await asked_model(listed, models=only, model="gpt-oss-20b") == "/data/gpt-oss-20b.gguf"
    groq = Backend("groq")
    assert await asked_model(groq, models=only, model="gpt-oss-20b") == "openai/gpt-oss-20b"
    with pytest.raises(ModelNotFound):
        await asked_model(Backend("groq"), models=only)


async def test_the_provider_goes_to_hugging_face_and_to_nobody_else() -> None:
    assert provider_suffix("openai/gpt-oss-120b:groq") == "groq"
    assert provider_suffix("gpt-oss-20b:fastest") == "fastest"
    assert provider_suffix("gpt-oss:20b") == provider_suffix("gpt-oss-120b") == provider_suffix("x:y") == ""
    assert await asked_model(Backend("huggingface"), provider="groq") == "openai/gpt-oss-120b:groq"
    assert await asked_model(Backend("openrouter"), provider="groq") == "openai/gpt-oss-120b"
    configured = {"gpt-oss-120b": "openai/gpt-oss-120b:cerebras"}
    assert await asked_model(Backend("huggingface"), models=configured) == "openai/gpt-oss-120b:cerebras"


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (
            b'{"data": [{"id": "openai/gpt-oss-20b"}, {"id": "llama"}, {"id": 7}, null]}',
            ["openai/gpt-oss-20b"],
        ),
        (b'{"models": [{"name": "gpt-oss:20b", "model": "gpt-oss:20b"}]}', ["gpt-oss:20b"]),
        (b'[{"id": "gpt-oss-120b"}, "gpt-oss-20b"]', ["gpt-oss-120b", "gpt-oss-20b"]),
        (b'{"data": {"id": "x"}}', []),
        (b"<html>", []),
        (b"[[[", []),
        (b'{"data": [{"id": "gpt-oss-20b", "meta": {"load": NaN}}]}', ["gpt-oss-20b"]),
        (b'{"data": [{"id": "gpt-oss-20b-\\ud83d"}]}', ["gpt-oss-20b-\ufffd"]),
    ],
)
def test_lists_of_models_are_read_in_every_shape(body: bytes, names: list[str]) -> None:
    assert [model.name for model in read_models(body)] == names


def test_only_gpt_oss_counts() -> None:
    assert canonical_id("gpt-4o") is canonical_id("gpt-oss-7b") is None
    assert canonical_id("gpt_oss_120b.Q4.gguf") == "gpt-oss-120b"
    assert canonical_id("gpt-oss-safeguard-20b-MXFP4.gguf") == "gpt-oss-safeguard-20b"


@pytest.mark.parametrize("kind", PROFILES)
async def test_a_safeguard_is_asked_of_who_lists_it_by_its_name_there(kind: str) -> None:
    backend = Backend(kind)
    asked = turn(model="gpt-oss-safeguard-20b")
    async with connected(backend) as upstream:
        with pytest.raises(ModelNotFound, match="gpt-oss-safeguard-20b"):
            await ask(upstream, asked)
    backend = Backend(kind)
    backend.models.append("someone/gpt-oss-safeguard-20b")
    async with connected(backend) as upstream:
        if PROFILES[kind].lists_models:
            await ask(upstream, asked)
            assert backend.asked[0].body["model"] == "someone/gpt-oss-safeguard-20b"
        else:
            with pytest.raises(ModelNotFound):
                await ask(upstream, asked)
    async with connected(Backend(kind), models={"gpt-oss-safeguard-20b": "mine"}) as upstream:
        assert [model.name for model in await upstream.models()] == ["mine"]


@pytest.mark.parametrize("kind", PROFILES)
async def test_instructions_reach_the_model_wherever_they_stand(kind: str) -> None:
    backend = Backend(kind)
    messages = (
        InstructionMessage("one"),
        InstructionMessage("two", "developer"),
        UserMessage("hi", "Ann"),
        InstructionMessage("late"),
        ToolResultMessage("x", None),
    )
    async with connected(backend) as upstream:
        await ask(upstream, turn(messages=messages))
    sent = [(message["role"], message["content"]) for message in backend.asked[0].body["messages"]]
    if PROFILES[kind].late_instructions:
        expected = [("system", "one"), ("system", "two"), ("user", "hi"), ("system", "late"), ("tool", "x")]
    else:
        expected = [("system", "one\n\ntwo"), ("user", "hi"), ("user", "late"), ("tool", "x")]
    assert sent == expected


@pytest.mark.parametrize("kind", PROFILES)
async def test_calls_made_together_are_told_as_the_model_can_read_them(kind: str) -> None:
    backend = Backend(kind)
    calls = tuple(ToolCall(f"call_{name}", name, "{}") for name in ("get_weather", "get_time", "get_tide"))
    messages = (
        UserMessage("What is it like?"),
        AssistantMessage("Let me see.", "Three things.", tool_calls=calls),
        ToolResultMessage("NOON", "call_get_time"),
        ToolResultMessage("RAIN", "call_get_weather"),
        ToolResultMessage("of no call", "call_gone"),
    )
    async with connected(backend) as upstream:
        await ask(upstream, turn(messages=messages, tools=(Tool("get_weather"),)))
    (asked,) = backend.asked
    sent = [
        [call["id"] for call in message.get("tool_calls", ())]
        or message.get("tool_call_id")
        or message["role"]
        for message in asked.body["messages"]
    ]
    if PROFILES[kind].by_template:
        assert sent == [
            "user",
            ["call_get_weather"],
            "call_get_weather",
            ["call_get_time"],
            "call_get_time",
            ["call_get_tide"],
            "call_gone",
        ]
        assert asked.body["tools"][0]["function"]["description"] == ""
        # The template looks for words in the content of every answer, also of one that has none.
        assert None not in [message["content"] for message in asked.body["messages"]]
    else:
        ids = [call.id for call in calls]
        assert sent == ["user", ids, "call_get_time", "call_get_weather", "call_gone"]
    said = json.dumps(asked.body["messages"])
    assert said.count("Let me see.") == 1
    assert said.count("Three things.") == (PROFILES[kind].reasoning_in != "none")


async def test_connections_are_used_again() -> None:
    backend = Backend("vllm")
    async with connected(backend) as upstream:
        for _ in range(3):
            await ask(upstream, turn())
    assert len({asked.connection for asked in backend.asked}) == 1


async def test_a_server_that_never_closes_after_the_answer_keeps_nobody_waiting() -> None:
    backend = Backend("vllm")
    backend.replies = [Reply([sse(*backend.shape.events(backend.answer)), 30.0])]
    async with connected(backend) as upstream, asyncio.timeout(3):
        collector, _ = await ask(upstream, turn())
    assert collector.choices[0].text == "Hello there."


async def test_a_client_that_leaves_ends_the_request() -> None:
    events = list(Backend("vllm").shape.events(Backend("vllm").answer))[:3]
    backend = Backend("vllm", Reply([sse(*events), 30.0]))
    async with connected(backend) as upstream:
        async with opened(upstream, turn()) as batches:
            await anext(batches)
        async with asyncio.timeout(2):
            await backend.asked[0].ended.wait()


async def test_silence_and_length_are_bounded() -> None:
    backend = Backend("vllm", Reply([0.3, b": x\n\n", 30.0]), Reply([0.3, b": x\n\n", 30.0]))
    async with connected(backend, idle_timeout=0.05) as upstream:
        with pytest.raises(UpstreamTimeout):
            await ask(upstream, turn())
    async with connected(Backend("vllm", Reply([b": x\n\n", 30.0])), total_timeout=0.05) as upstream:
        with pytest.raises(UpstreamTimeout, match="vLLM did not complete"):
            await ask(upstream, turn())
        assert not (await upstream.health()).ready


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    http = HttpClient(trust_env=False)
    upstream = OpenAICompatibleUpstream(
        http, Admission(1, 0), Server(SERVER_KINDS["ollama"], "http://127.0.0.1:9/v1")
    )
    with pytest.raises(UpstreamUnavailable):
        await ask(upstream, turn())
    with pytest.raises(GatewayError):
        await upstream.models()
    await http.close()


async def test_only_so_many_turns_run_at_once() -> None:
    backend = Backend("vllm", Reply([b": x\n\n", 30.0]))
    async with backend.running():
        http = HttpClient(trust_env=False)
        server = Server(SERVER_KINDS["vllm"], backend.url.removesuffix("/chatkit") + "/v1")
        upstream = OpenAICompatibleUpstream(http, Admission(1, 0), server)
        async with opened(upstream, turn()):
            with pytest.raises(Overloaded):
                await ask(upstream, turn())
        await http.close()


async def test_own_headers_are_sent() -> None:
    backend = Backend("huggingface")
    async with connected(backend, headers={"X-HF-Bill-To": "org"}) as upstream:
        await ask(upstream, turn())
    assert backend.asked[0].headers["x-hf-bill-to"] == "org"
    assert backend.asked[0].path == "/v1/chat/completions"


async def test_health_says_which_key_is_missing() -> None:
    http = HttpClient(trust_env=False)
    upstream = OpenAICompatibleUpstream(
        http, Admission(1, 0), Server(SERVER_KINDS["groq"], SERVER_KINDS["groq"].url)
    )
    health = await upstream.health()
    assert not health.ready
    assert "GROQ_API_KEY" in health.detail
    await http.close()


async def test_an_address_of_ones_own_may_need_no_key() -> None:
    backend = Backend("groq")
    http = HttpClient(trust_env=False)
    async with backend.running():
        server = Server(SERVER_KINDS["groq"], backend.url.removesuffix("/chatkit") + "/v1")
        upstream = OpenAICompatibleUpstream(http, Admission(1, 1), server)
        await upstream.look(2.0)
        assert (await upstream.health()).ready
        await ask(upstream, turn())
    await http.close()
    assert "authorization" not in backend.asked[0].headers


async def test_text_that_is_no_unicode_is_sent_all_the_same() -> None:
    backend = Backend("vllm")
    async with connected(backend) as upstream:
        await ask(upstream, turn("a\ud800b", options={"seed": 2**70}))
    assert backend.asked[0].body["messages"][0]["content"] == "a?b"
    assert backend.asked[0].body["seed"] == 2**70


async def test_a_list_of_models_that_fails_is_asked_for_again_later() -> None:
    class Loading(Backend):
        def reply_to(self, asked: Asked) -> Reply:
            self.asked.append(asked)
            return json_reply(500, {"error": "loading"})

    backend = Loading("vllm")
    async with connected(backend) as upstream:
        for _ in range(2):
            with pytest.raises(GatewayError, match="loading"):
                await upstream.models()
