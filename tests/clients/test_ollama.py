"""Clients that speak Ollama's API: its own Python package, LangChain's and LlamaIndex' classes.

They run over the simulated website, and over an OpenAI-compatible server, which is the first gateway here.
"""

from collections.abc import Callable, Iterator
from typing import Any

import ollama
import pytest
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_ollama import ChatOllama, OllamaLLM
from llama_index.core.llms import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.ollama import Ollama

from tests.conftest import RunningGateway, Site, StartGateway, running_gateway
from tests.simulator import Answer
from tests.simulator.agent import Agent, Call

from .travel import (
    ADVICE,
    ADVISER,
    INSTRUCTIONS,
    PACKING,
    QUESTION,
    THOUGHT,
    Packing,
    find_capital,
    get_forecast,
)

MODEL = "gpt-oss:120b"
HELLO = [{"role": "user", "content": "hello"}]
TOOLS: dict[str, Callable[..., str]] = {"find_capital": find_capital, "get_forecast": get_forecast}


@pytest.fixture(scope="module", params=["gpt-oss.com", "an OpenAI-compatible server"])
def running(
    request: pytest.FixtureRequest, shared_site: Site, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningGateway]:
    if request.param == "gpt-oss.com":
        yield shared_site.gateway
        return
    address = f"{shared_site.gateway.base_url}/v1"
    with running_gateway(tmp_path_factory.mktemp("home"), GPTOSS_UPSTREAM=address) as second:
        yield second


@pytest.fixture
def base_url(running: RunningGateway, site: Site) -> str:
    return running.base_url


@pytest.fixture
def client(base_url: str) -> ollama.Client:
    return ollama.Client(base_url)


def streamed(client: ollama.Client, **asked: Any) -> tuple[Any, ollama.ChatResponse]:
    """A message that is summed up as Ollama's guides do it, and the last part."""
    content, thinking = "", ""
    calls: list[Any] = []
    part = ollama.ChatResponse(message=ollama.Message(role="assistant"))
    for part in client.chat(stream=True, **asked):
        content += part.message.content or ""
        thinking += part.message.thinking or ""
        calls += part.message.tool_calls or []
    message: dict[str, Any] = {"role": "assistant", "content": content, "thinking": thinking}
    return message | {"tool_calls": calls}, part


def test_the_package_finds_the_models(client: ollama.Client) -> None:
    assert [model.model for model in client.list().models] == [MODEL, "gpt-oss:20b"]
    shown = client.show(MODEL)
    assert shown.capabilities == ["completion", "tools", "thinking"]
    assert shown.modelinfo is not None
    assert shown.modelinfo["gptoss.context_length"] == 131_072
    assert {model.model for model in client.ps().models} == {MODEL, "gpt-oss:20b"}
    assert client.pull(MODEL).status == "success"
    assert [step.status for step in client.pull(MODEL, stream=True)][-1] == "success"


@pytest.mark.parametrize("think", [None, False, True, "low", "medium", "high"])
def test_the_package_chats(think: Any, client: ollama.Client, site: Site) -> None:
    whole = client.chat(MODEL, HELLO, think=think)
    message, last = streamed(client, model=MODEL, messages=HELLO, think=think)
    assert whole.message.content == message["content"] == "You said: hello"
    assert (whole.message.thinking or "") == message["thinking"]
    assert bool(message["thinking"]) is (think is not False)
    assert (whole.done_reason, last.done_reason) == ("stop", "stop")
    for answer in (whole, last):
        assert answer.eval_duration
        assert answer.prompt_eval_count
        assert answer.eval_count
    effort = {None: "medium", False: "low", True: "medium"}.get(think, think)
    assert {request.effort for request in site.simulator.requests} == {effort}


def test_the_package_completes_texts_and_probes(client: ollama.Client, site: Site) -> None:
    assert client.generate(MODEL, "hello", system="Be brief.").response
    assert "".join(part.response or "" for part in client.generate(MODEL, "hello", stream=True))
    asked = len(site.simulator.requests)
    assert client.generate(MODEL).done_reason == "load"
    assert client.generate(MODEL, keep_alive=0).done_reason == "unload"
    assert client.chat(MODEL).done_reason == "load"
    assert len(site.simulator.requests) == asked


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_package_calls_tools_until_it_has_an_answer(
    stream: bool, client: ollama.Client, site: Site
) -> None:
    """It drops the ids of calls, and its guides send results with the tool's name alone."""
    site.simulator.always(ADVISER)
    messages: list[Any] = [
        {"role": "system", "content": INSTRUCTIONS},
        {"role": "user", "content": QUESTION},
    ]
    called = []
    for _ in range(5):
        if stream:
            message, _last = streamed(client, model=MODEL, messages=messages, tools=list(TOOLS.values()))
        else:
            message = client.chat(MODEL, messages, tools=list(TOOLS.values())).message.model_dump()
        messages.append(message)
        if not message["tool_calls"]:
            break
        for call in message["tool_calls"]:
            function = call["function"]
            called.append(function["name"])
            result = TOOLS[function["name"]](**function["arguments"])
            messages.append({"role": "tool", "tool_name": function["name"], "content": result})
    assert called == list(TOOLS)
    assert messages[-1]["content"] == ADVICE
    assert messages[-1]["thinking"] == THOUGHT


@pytest.mark.parametrize("form", ["json", Packing.model_json_schema()], ids=["json", "schema"])
def test_the_package_gets_the_form_it_asks_for(form: Any, client: ollama.Client, site: Site) -> None:
    site.simulator.always(Answer(f"```json\n{PACKING.model_dump_json()}\n```"))
    answer = client.chat(MODEL, [{"role": "user", "content": QUESTION}], format=form)
    assert Packing.model_validate_json(answer.message.content or "") == PACKING


def test_the_package_raises_what_is_wrong(client: ollama.Client, site: Site) -> None:
    with pytest.raises(ollama.ResponseError, match="model 'llama3' not found") as caught:
        client.chat("llama3", HELLO)
    assert caught.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="does not support images") as caught:
        client.chat(MODEL, [{"role": "user", "content": "What is it?", "images": [b"hi"]}])
    assert caught.value.status_code == 400
    site.simulator.script("s08_login_card")
    with pytest.raises(ollama.ResponseError) as caught:
        client.chat(MODEL, HELLO)
    assert caught.value.status_code == 401
    site.simulator.script("s10_error_after_text")
    with pytest.raises(ollama.ResponseError, match="could not answer") as caught:
        list(client.chat(MODEL, HELLO, stream=True))
    assert caught.value.status_code == -1


def test_the_package_sends_its_key(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", GPTOSS_API_KEYS="k-12345678")
    with pytest.raises(ollama.ResponseError) as caught:
        ollama.Client(running.base_url).list()
    assert caught.value.status_code == 401
    headers = {"authorization": "Bearer k-12345678"}
    assert ollama.Client(running.base_url, headers=headers).list().models


async def test_the_package_leaves_a_stream(base_url: str, site: Site) -> None:
    site.simulator.script("s22_slow_answer")
    stream = await ollama.AsyncClient(base_url).chat(MODEL, HELLO, stream=True)
    async for part in stream:
        if part.message.content:
            break
    await stream.aclose()


@pytest.mark.parametrize("stream", [False, True], ids=["invoke", "stream"])
def test_langchains_class_calls_tools(stream: bool, base_url: str, site: Site) -> None:
    site.simulator.always(ADVISER)
    model = ChatOllama(model=MODEL, base_url=base_url, reasoning=True, validate_model_on_init=True)
    bound = model.bind_tools(list(TOOLS.values()))
    messages: list[Any] = [SystemMessage(INSTRUCTIONS), HumanMessage(QUESTION)]
    called = []
    for _ in range(5):
        answer: Any = None
        if stream:
            for chunk in bound.stream(messages):
                answer = chunk if answer is None else answer + chunk
        else:
            answer = bound.invoke(messages)
        messages.append(answer)
        if not answer.tool_calls:
            break
        for call in answer.tool_calls:
            called.append(call["name"])
            messages.append(ToolMessage(TOOLS[call["name"]](**call["args"]), tool_call_id=call["id"]))
    assert called == list(TOOLS)
    assert answer.content == ADVICE
    assert answer.additional_kwargs["reasoning_content"] == THOUGHT
    assert answer.usage_metadata["input_tokens"] > 0
    assert answer.response_metadata["done_reason"] == "stop"


def test_langchains_class_is_told_how_hard_to_think(base_url: str, site: Site) -> None:
    for reasoning, effort in (("low", "low"), ("high", "high"), (None, "medium"), (False, "low")):
        answer = ChatOllama(model=MODEL, base_url=base_url, reasoning=reasoning).invoke("hello")
        assert isinstance(answer, AIMessage)
        assert answer.content == "You said: hello"
        assert ("reasoning_content" in answer.additional_kwargs) is (reasoning in ("low", "high"))
        assert site.simulator.requests[-1].effort == effort
    assert OllamaLLM(model=MODEL, base_url=base_url).invoke("hello") == "You said: hello"


@pytest.mark.parametrize("method", ["json_schema", "function_calling", "json_mode"])
def test_langchains_class_gives_structures(method: Any, base_url: str, site: Site) -> None:
    by_call = Agent([[Call("Packing", PACKING.model_dump())]], str)
    site.simulator.always(by_call if method == "function_calling" else Answer(PACKING.model_dump_json()))
    model = ChatOllama(model=MODEL, base_url=base_url).with_structured_output(Packing, method=method)
    assert model.invoke(f"{QUESTION} Answer in JSON.") == PACKING


def test_llamaindex_chats_and_calls_tools(base_url: str, site: Site) -> None:
    model = Ollama(model=MODEL, base_url=base_url, request_timeout=30, thinking=True)
    answer = model.chat([ChatMessage(role="user", content="hello")])
    assert answer.message.content == "You said: hello"
    *_, last = model.stream_chat([ChatMessage(role="user", content="hello")])
    assert last.message.content == "You said: hello"
    assert model.metadata.context_window == 131_072
    assert str(model.complete("hello")) == "You said: hello"
    site.simulator.always(ADVISER)
    tools = [FunctionTool.from_defaults(tool) for tool in TOOLS.values()]
    called = model.chat_with_tools(tools, user_msg=QUESTION)
    calls = model.get_tool_calls_from_response(called)
    assert [(call.tool_name, call.tool_kwargs) for call in calls] == [("find_capital", {"country": "France"})]


def test_llamaindex_gives_structures(base_url: str, site: Site) -> None:
    site.simulator.always(Answer(PACKING.model_dump_json()))
    model = Ollama(model=MODEL, base_url=base_url, request_timeout=30)
    shaped = model.as_structured_llm(Packing).chat([ChatMessage(role="user", content=QUESTION)])
    assert shaped.raw == PACKING
