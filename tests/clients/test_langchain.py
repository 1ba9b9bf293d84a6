"""LangChain's ``ChatOpenAI`` and ``ChatAnthropic``."""

import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from tests.conftest import RunningGateway, Site
from tests.simulator import Answer
from tests.simulator.agent import Agent, Call

from .travel import (
    ADVICE,
    ADVISER,
    INSTRUCTIONS,
    MODEL,
    PACKING,
    QUESTION,
    Packing,
    find_capital,
    get_forecast,
)


def chat(gateway: RunningGateway, **settings: Any) -> ChatOpenAI:
    return ChatOpenAI(
        model=MODEL, base_url=f"{gateway.base_url}/v1", api_key=SecretStr("none"), max_retries=0, **settings
    )


def loop(
    gateway: RunningGateway, *tools: Callable[..., str], stream: bool, question: str = QUESTION
) -> tuple[list[Any], list[str]]:
    """The agent loop as LangChain's guides write it; the messages and the tools that were called."""
    model = chat(gateway).bind_tools(tools)
    by_name = {tool.__name__: tool for tool in tools}
    messages: list[Any] = [SystemMessage(INSTRUCTIONS), HumanMessage(question)]
    called: list[str] = []
    while True:
        answer = streamed(model, messages) if stream else model.invoke(messages)
        messages.append(answer)
        if not answer.tool_calls:
            return messages, called
        for call in answer.tool_calls:
            called.append(call["name"])
            result = by_name[call["name"]](**call["args"])
            messages.append(ToolMessage(result, tool_call_id=call["id"]))


def streamed(model: Any, messages: list[Any]) -> AIMessageChunk:
    first, *rest = model.stream(messages)
    for chunk in rest:
        first += chunk
    assert isinstance(first, AIMessageChunk)
    return first


def test_invoke(site: Site) -> None:
    answer = chat(site.gateway).invoke("hello")
    assert isinstance(answer, AIMessage)
    assert answer.content == "You said: hello"
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_token_details"]["reasoning"] > 0


def test_stream(site: Site) -> None:
    answer = streamed(chat(site.gateway, stream_usage=True), [HumanMessage("hello")])
    assert answer.content == "You said: hello"
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["total_tokens"] > answer.usage_metadata["output_tokens"] > 0


async def test_astream(site: Site) -> None:
    pieces = [chunk.content async for chunk in chat(site.gateway).astream("hello")]
    assert "".join(str(piece) for piece in pieces) == "You said: hello"
    assert len(pieces) > 2


@pytest.mark.parametrize("stream", [False, True], ids=["invoke", "stream"])
def test_bind_tools_loop(site: Site, stream: bool) -> None:
    site.simulator.always(ADVISER)
    messages, called = loop(site.gateway, find_capital, get_forecast, stream=stream)
    assert called == ["find_capital", "get_forecast"]
    assert messages[2].content == "Let me look that up."
    assert messages[-1].content == ADVICE
    assert len(site.simulator.requests) == 3


def test_parallel_calls_in_a_stream(site: Site) -> None:
    cities = [Call("get_forecast", {"city": city}) for city in ("Paris", "Rome", "Oslo")]
    site.simulator.always(Agent([cities], str))
    answer = streamed(chat(site.gateway).bind_tools([get_forecast]), [HumanMessage("Where is it dry?")])
    assert [call["args"] for call in answer.tool_calls] == [
        {"city": "Paris"},
        {"city": "Rome"},
        {"city": "Oslo"},
    ]
    assert answer.invalid_tool_calls == []


@pytest.mark.parametrize("choice", ["any", "get_forecast"])
def test_a_tool_that_must_be_called(site: Site, choice: str) -> None:
    site.simulator.script(
        Answer("I would say rain."), Agent([[Call("get_forecast", {"city": "Paris"})]], str)
    )
    model = chat(site.gateway).bind_tools([find_capital, get_forecast], tool_choice=choice)
    answer = model.invoke("Will it rain in Paris?")
    assert [call["name"] for call in answer.tool_calls] == ["get_forecast"]


# LangChain puts a value of our type where the SDK's own types have none.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
@pytest.mark.parametrize("stream", [False, True], ids=["invoke", "stream"])
@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("json_schema", Answer(f"```json\n{PACKING.model_dump_json()}\n```")),
        ("function_calling", Agent([[Call("Packing", PACKING.model_dump())]], str)),
        ("json_mode", Answer(PACKING.model_dump_json(indent=2))),
    ],
)
def test_with_structured_output(site: Site, method: Any, answer: Any, stream: bool) -> None:
    site.simulator.always(answer)
    model = chat(site.gateway).with_structured_output(Packing, method=method)
    question = f"{QUESTION} Answer in JSON."
    assert (list(model.stream(question))[-1] if stream else model.invoke(question)) == PACKING


def test_structured_output_that_does_not_fit_at_first(site: Site) -> None:
    wrong = json.dumps({"city": "Paris", "items": "an umbrella"})
    site.simulator.script(Answer(wrong), Answer(PACKING.model_dump_json()))
    model = chat(site.gateway).with_structured_output(Packing, include_raw=True)
    answer = model.invoke(QUESTION)
    assert isinstance(answer, dict)
    assert (answer["parsed"], answer["parsing_error"]) == (PACKING, None)


def test_errors_are_those_of_the_openai_sdk(site: Site) -> None:
    site.simulator.script("s08_login_card", "s10_error_after_text")
    with pytest.raises(openai.AuthenticationError):
        chat(site.gateway).invoke("hello")
    with pytest.raises(openai.APIError, match="could not answer"):
        list(chat(site.gateway).stream("hello"))


def test_the_demo_plays_along(demo: RunningGateway) -> None:
    """It calls the tool that it is asked for once, with arguments that fit, and answers from the result."""

    def say(text: str) -> str:
        """Says something."""
        return f"I said {text!r}."

    messages, called = loop(demo, say, stream=True, question="Say something.")
    assert called == []
    messages, called = loop(demo, say, stream=True, question="demo: call say")
    assert called == ["say"]
    assert "I said" in messages[-1].content
    assert isinstance(chat(demo).with_structured_output(Packing).invoke(QUESTION), Packing)


def anthropic_chat(gateway: RunningGateway, **settings: Any) -> ChatAnthropic:
    return ChatAnthropic(
        model_name=MODEL, base_url=gateway.base_url, api_key=SecretStr("none"), max_retries=0, **settings
    )


def test_anthropics_class_thinks_and_answers(site: Site) -> None:
    answer = anthropic_chat(site.gateway, thinking={"type": "adaptive"}).invoke("hello")
    kinds = [block["type"] for block in answer.content if isinstance(block, dict)]
    assert kinds == ["thinking", "text"]
    assert answer.text == "You said: hello"
    assert answer.response_metadata["stop_reason"] == "end_turn"


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("json_schema", Answer(PACKING.model_dump_json())),
        ("function_calling", Agent([[Call("Packing", PACKING.model_dump())]], str)),
    ],
)
def test_anthropics_class_answers_in_a_form(site: Site, method: Any, answer: Any) -> None:
    site.simulator.always(answer)
    model = anthropic_chat(site.gateway).with_structured_output(Packing, method=method)
    assert model.invoke(QUESTION) == PACKING


def test_anthropics_class_calls_tools_and_streams(site: Site) -> None:
    site.simulator.always(ADVISER)
    bound = anthropic_chat(site.gateway).bind_tools([find_capital, get_forecast])
    tools: dict[str, Callable[..., str]] = {"find_capital": find_capital, "get_forecast": get_forecast}
    messages: list[Any] = [SystemMessage(INSTRUCTIONS), HumanMessage(QUESTION)]
    while True:
        whole: Any = None
        for chunk in bound.stream(messages):
            whole = chunk if whole is None else whole + chunk
        messages.append(whole)
        if not whole.tool_calls:
            break
        for call in whole.tool_calls:
            messages.append(ToolMessage(tools[call["name"]](**call["args"]), tool_call_id=call["id"]))
    assert ADVICE in str(whole.content)
    assert whole.usage_metadata["input_tokens"] > 0
