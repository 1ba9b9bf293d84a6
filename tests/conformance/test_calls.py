"""Thirty calls in the shape of the compatibility test of openai/gpt-oss: each is made, whole and streamed,
over every API that has an official SDK, held to that SDK's types, and answered from its result.
"""

import json
from collections.abc import Iterator
from importlib.metadata import version
from typing import Any, NamedTuple

import pytest
from anthropic import Anthropic
from openai import OpenAI

from tests.simulator.agent import Call

from .cases import CASES, TOOLS, Case
from .stages import Asked, Stage

SUITE = (
    "calls, as openai/gpt-oss' compatibility test has them, by three APIs",
    f"30 own cases; types of openai {version('openai')}, anthropic {version('anthropic')}",
)
MODEL = "gpt-oss-120b"
RESULT, ANSWER = "42", "The tool says 42."
_BY_QUESTION = {case.question: case for case in CASES}


class Made(NamedTuple):
    """A call as a client gets it, and the items that say so in the next request."""

    name: str
    arguments: str
    id: str
    history: list[Any]


def model_of_cases(asked: Asked) -> str | list[Call]:
    if asked.results:
        return f"The tool says {asked.results[-1]}."
    case = next(case for question, case in _BY_QUESTION.items() if question in asked.said)
    return [Call(case.tool, case.arguments)]


@pytest.fixture
def sdk(stage: Stage) -> Iterator[OpenAI]:
    stage.play(model_of_cases)
    # What does not fit the SDK's types raises.
    with OpenAI(
        base_url=f"{stage.base_url}/v1", api_key="none", max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


@pytest.fixture
def anthropic(stage: Stage) -> Iterator[Anthropic]:
    stage.play(model_of_cases)
    with Anthropic(
        base_url=stage.base_url, api_key="none", max_retries=0, _strict_response_validation=True
    ) as client:
        yield client


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.question)
def test_chat_completions(sdk: OpenAI, case: Case, stream: bool) -> None:
    messages: list[Any] = [{"role": "user", "content": case.question}]
    made = _chat(sdk, messages, stream)
    _check(made, case)
    messages += [*made.history, {"role": "tool", "tool_call_id": made.id, "content": RESULT}]
    assert _chat(sdk, messages, stream).arguments == ANSWER


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.question)
def test_responses(sdk: OpenAI, case: Case, stream: bool) -> None:
    items: list[Any] = [{"role": "user", "content": case.question}]
    made = _respond(sdk, items, stream)
    _check(made, case)
    items += [*made.history, {"type": "function_call_output", "call_id": made.id, "output": RESULT}]
    assert _respond(sdk, items, stream).arguments == ANSWER


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.question)
def test_messages(anthropic: Anthropic, case: Case, stream: bool) -> None:
    messages: list[Any] = [{"role": "user", "content": case.question}]
    made = _message(anthropic, messages, stream)
    _check(made, case)
    result = {"type": "tool_result", "tool_use_id": made.id, "content": RESULT}
    messages += [*made.history, {"role": "user", "content": [result]}]
    assert _message(anthropic, messages, stream).arguments == ANSWER


def _check(made: Made, case: Case) -> None:
    assert made.name == case.tool
    assert json.loads(made.arguments) == case.arguments
    assert made.id


def _chat(sdk: OpenAI, messages: list[Any], stream: bool) -> Made:
    tools: Any = [
        {"type": "function", "function": {"name": name, "description": name, "parameters": schema}}
        for name, schema in TOOLS.items()
    ]
    if not stream:
        choice = sdk.chat.completions.create(model=MODEL, messages=messages, tools=tools).choices[0]
        text, calls = choice.message.content, choice.message.tool_calls or []
        finish = choice.finish_reason
        found = [(call.id, call.function.name, call.function.arguments) for call in calls]  # type: ignore[union-attr]
    else:
        text, found, finish = "", [], None
        for chunk in sdk.chat.completions.create(model=MODEL, messages=messages, tools=tools, stream=True):
            for each in chunk.choices:
                text = (text or "") + (each.delta.content or "")
                finish = each.finish_reason or finish
                for call in each.delta.tool_calls or []:
                    assert call.function is not None
                    if call.index == len(found):
                        found.append((call.id or "", call.function.name or "", ""))
                    found[-1] = (*found[-1][:2], found[-1][2] + (call.function.arguments or ""))
    if not found:
        assert finish == "stop"
        return Made("", text or "", "", [])
    assert finish == "tool_calls"
    (id_, name, arguments) = found[0]
    assert len(found) == 1
    said = {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
    return Made(name, arguments, id_, [{"role": "assistant", "content": None, "tool_calls": [said]}])


def _respond(sdk: OpenAI, items: list[Any], stream: bool) -> Made:
    tools: Any = [
        {"type": "function", "name": name, "description": name, "parameters": schema, "strict": False}
        for name, schema in TOOLS.items()
    ]
    if not stream:
        response = sdk.responses.create(model=MODEL, input=items, tools=tools)
    else:
        *events, last = sdk.responses.create(model=MODEL, input=items, tools=tools, stream=True)
        assert last.type == "response.completed"
        response = last.response
        said = "".join(
            event.delta
            for event in events
            if event.type in ("response.function_call_arguments.delta", "response.output_text.delta")
        )
        final = response.output[-1]
        assert said == (final.arguments if final.type == "function_call" else response.output_text)
    assert response.status == "completed"
    calls = [item for item in response.output if item.type == "function_call"]
    if not calls:
        return Made("", response.output_text, "", [])
    (call,) = calls
    return Made(
        call.name, call.arguments, call.call_id, [item.model_dump(mode="json") for item in response.output]
    )


def _message(anthropic: Anthropic, messages: list[Any], stream: bool) -> Made:
    tools: Any = [
        {"name": name, "description": name, "input_schema": schema} for name, schema in TOOLS.items()
    ]
    asked: dict[str, Any] = {"model": MODEL, "max_tokens": 10_000, "messages": messages, "tools": tools}
    if stream:
        with anthropic.messages.stream(**asked) as events:
            said = events.get_final_message()
    else:
        said = anthropic.messages.create(**asked)
    uses = [block for block in said.content if block.type == "tool_use"]
    if not uses:
        assert said.stop_reason == "end_turn"
        return Made("", "".join(block.text for block in said.content if block.type == "text"), "", [])
    assert said.stop_reason == "tool_use"
    (use,) = uses
    content = [block.model_dump(mode="json", exclude_none=True) for block in said.content]
    return Made(use.name, json.dumps(use.input), use.id, [{"role": "assistant", "content": content}])
