"""Tools and typed answers of the official ``openai`` SDK, on a model that only writes text."""

import json
from collections.abc import Sequence
from typing import Any, Literal

import pytest
from openai import LengthFinishReasonError, OpenAI, pydantic_function_tool
from openai.types.chat import (
    ChatCompletionFunctionToolParam,
    ChatCompletionMessageParam,
    ChatCompletionToolUnionParam,
)
from pydantic import BaseModel, Field

from tests.conftest import Site
from tests.simulator import Answer
from tests.simulator.agent import Agent, Call

from .sdk import MODEL, hello, said

QUESTION = "What is the weather in Paris and in Rome?"
WEATHER: ChatCompletionFunctionToolParam = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Current weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "unit": {"enum": ["celsius", "fahrenheit"]}},
            "required": ["city"],
        },
    },
}
PARIS, ROME = Call("get_weather", {"city": "Paris"}), Call("get_weather", {"city": "Rome", "unit": "celsius"})


class GetWeather(BaseModel):
    """Current weather of a city."""

    city: str
    unit: Literal["celsius", "fahrenheit"] = "celsius"


class Step(BaseModel):
    explanation: str
    output: float


class Solution(BaseModel):
    steps: list[Step] = Field(min_length=1)
    answer: float


SOLUTION = Solution(steps=[Step(explanation="8x = -30, so x = -30 / 8", output=-3.75)], answer=-3.75)
SOLUTION_TEXT = SOLUTION.model_dump_json()


def report(results: Sequence[str]) -> str:
    return "Paris: {}; Rome: {}.".format(*(json.loads(result)["sky"] for result in results))


# Function tools


def test_a_loop_of_two_calls_and_their_answer(site: Site, sdk: OpenAI) -> None:
    site.simulator.always(Agent([[PARIS, ROME]], report, preface="Let me look outside."))
    messages = hello(QUESTION)
    first = sdk.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER])
    [choice] = first.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Let me look outside."
    assert choice.message.tool_calls is not None
    calls = [call for call in choice.message.tool_calls if call.type == "function"]
    assert [(call.function.name, json.loads(call.function.arguments)) for call in calls] == [
        ("get_weather", PARIS.arguments),
        ("get_weather", ROME.arguments),
    ]
    assert len({call.id for call in calls}) == 2
    # The message as the SDK gives it, reasoning included, is what applications send back.
    messages.append(choice.message.to_dict())  # type: ignore[arg-type]  # the SDK's types disagree with themselves
    for call, sky in zip(calls, ("sunny", "rain"), strict=True):
        messages.append({"role": "tool", "tool_call_id": call.id, "content": json.dumps({"sky": sky})})
    second = sdk.chat.completions.create(model=MODEL, messages=messages, tools=[WEATHER])
    assert second.choices[0].finish_reason == "stop"
    assert second.choices[0].message.content == "Paris: sunny; Rome: rain."
    assert second.choices[0].message.tool_calls is None


def test_calls_in_a_stream_have_an_index_a_name_once_and_arguments_in_pieces(site: Site, sdk: OpenAI) -> None:
    site.simulator.always(Agent([[PARIS, ROME]], report))
    chunks = list(
        sdk.chat.completions.create(model=MODEL, messages=hello(QUESTION), tools=[WEATHER], stream=True)
    )
    calls: dict[int, list[Any]] = {}
    for chunk in chunks:
        for delta in chunk.choices[0].delta.tool_calls or ():
            calls.setdefault(delta.index, []).append(delta)
    assert list(calls) == [0, 1]
    for deltas in calls.values():
        first, *rest = deltas
        assert first.id
        assert (first.type, first.function.name, first.function.arguments) == ("function", "get_weather", "")
        assert all((delta.id, delta.type, delta.function.name) == (None, None, None) for delta in rest)
    written = ["".join(delta.function.arguments for delta in deltas) for deltas in calls.values()]
    assert [json.loads(text) for text in written] == [PARIS.arguments, ROME.arguments]
    assert said(chunks) == ""
    assert chunks[-1].choices[0].finish_reason == "tool_calls"


def test_the_stream_helper_with_tool_events(site: Site, sdk: OpenAI) -> None:
    site.simulator.always(Agent([[PARIS, ROME]], report, preface="Let me look outside."))
    events: list[str] = []
    written = {0: "", 1: ""}
    done = {}
    with sdk.chat.completions.stream(
        model=MODEL, messages=hello(QUESTION), tools=[pydantic_function_tool(GetWeather, name="get_weather")]
    ) as stream:
        for event in stream:
            if event.type != "chunk" and events[-1:] != [event.type]:
                events.append(event.type)
            if event.type == "tool_calls.function.arguments.delta":
                written[event.index] += event.arguments_delta
                assert event.arguments == written[event.index]
            elif event.type == "tool_calls.function.arguments.done":
                done[event.index] = event.parsed_arguments
        [choice] = stream.get_final_completion().choices
    assert events == [
        "content.delta",
        "tool_calls.function.arguments.delta",
        "content.done",
        "tool_calls.function.arguments.delta",
        "tool_calls.function.arguments.done",
        "tool_calls.function.arguments.delta",
        "tool_calls.function.arguments.done",
    ]
    assert done == {0: GetWeather(city="Paris"), 1: GetWeather(city="Rome")}
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content == "Let me look outside."


def test_parse_with_a_pydantic_function_tool(site: Site, sdk: OpenAI) -> None:
    site.simulator.always(Agent([[PARIS]], report))
    [choice] = sdk.chat.completions.parse(
        model=MODEL, messages=hello(QUESTION), tools=[pydantic_function_tool(GetWeather)]
    ).choices
    assert choice.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    "written",
    [
        "{'city': 'Paris', 'unit': 'celsius',}",
        '```json\n{"city": "Paris", "unit": "celsius"}\n```',
        '{"city": "Paris", "unit": "celsius"',
    ],
    ids=["python", "fenced", "unclosed"],
)
def test_arguments_of_a_strict_tool_are_mended(site: Site, sdk: OpenAI, written: str) -> None:
    site.simulator.always(Agent([[Call("GetWeather", written=written)]], report))
    [choice] = sdk.chat.completions.parse(
        model=MODEL, messages=hello(QUESTION), tools=[pydantic_function_tool(GetWeather)]
    ).choices
    assert choice.message.tool_calls is not None
    assert choice.message.tool_calls[0].function.parsed_arguments == GetWeather(city="Paris")


def test_a_call_that_does_not_fit_is_asked_for_again(site: Site, sdk: OpenAI) -> None:
    wrong, right = (
        Call("GetWeather", {"town": "Paris"}),
        Call("GetWeather", {"city": "Paris", "unit": "celsius"}),
    )
    site.simulator.script(Agent([[wrong]], report), Agent([[right]], report))
    raw = sdk.chat.completions.with_raw_response.create(
        model=MODEL, messages=hello(QUESTION), tools=[pydantic_function_tool(GetWeather)]
    )
    assert raw.headers["x-gptoss-repairs"] == "1"
    message = raw.parse().choices[0].message
    assert message.tool_calls is not None
    [call] = message.tool_calls
    assert call.type == "function"
    assert json.loads(call.function.arguments) == right.arguments
    assert "town" in site.simulator.last.text


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "get_weather"}}])
def test_a_call_that_must_be_made_is_asked_for_again(site: Site, sdk: OpenAI, choice: Any) -> None:
    site.simulator.script(Answer("It is probably sunny."), Agent([[PARIS]], report))
    [made] = sdk.chat.completions.create(
        model=MODEL, messages=hello(QUESTION), tools=[WEATHER], tool_choice=choice
    ).choices
    assert made.message.tool_calls is not None
    assert len(made.message.tool_calls) == 1
    assert made.finish_reason == ("tool_calls" if choice == "required" else "stop")
    assert len(site.simulator.requests) == 2


def test_a_call_that_may_not_be_made_is_not_taught(site: Site, sdk: OpenAI) -> None:
    [made] = sdk.chat.completions.create(
        model=MODEL, messages=hello("hi"), tools=[WEATHER], tool_choice="none"
    ).choices
    assert made.message.tool_calls is None
    assert "get_weather" not in site.simulator.last.text


def test_one_call_where_parallel_ones_are_not_wanted(site: Site, sdk: OpenAI) -> None:
    site.simulator.always(Agent([[PARIS, ROME]], report))
    [choice] = sdk.chat.completions.create(
        model=MODEL, messages=hello(QUESTION), tools=[WEATHER], parallel_tool_calls=False
    ).choices
    assert choice.message.tool_calls is not None
    assert len(choice.message.tool_calls) == 1


# Other kinds of tools


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_a_custom_tool_gets_plain_text(site: Site, sdk: OpenAI, stream: bool) -> None:
    code = 'print("hello")\nfor i in range(3):\n    print(i)'
    tools: list[ChatCompletionToolUnionParam] = [
        {"type": "custom", "custom": {"name": "run_code", "description": "Runs Python code."}}
    ]
    site.simulator.always(
        Agent([[Call("run_code", {"input": code})]], lambda results: f"It said {results[0]}.")
    )
    messages: list[ChatCompletionMessageParam] = hello("Count to three.")
    if stream:
        chunks = sdk.chat.completions.create(model=MODEL, messages=messages, tools=tools, stream=True)
        deltas = [delta for chunk in chunks for delta in chunk.choices[0].delta.tool_calls or ()]
        fields: list[dict[str, Any]] = [delta.to_dict() for delta in deltas]
        assert {field["index"] for field in fields} == {0}
        assert (fields[0]["type"], fields[0]["custom"]) == ("custom", {"name": "run_code", "input": ""})
        call_id = fields[0]["id"]
        assert "".join(field["custom"]["input"] for field in fields) == code
    else:
        [choice] = sdk.chat.completions.create(model=MODEL, messages=messages, tools=tools).choices
        assert choice.finish_reason == "tool_calls"
        assert choice.message.tool_calls is not None
        [call] = choice.message.tool_calls
        assert call.type == "custom"
        assert (call.custom.name, call.custom.input) == ("run_code", code)
        call_id = call.id
    messages += [
        {
            "role": "assistant",
            "tool_calls": [{"id": call_id, "type": "custom", "custom": {"name": "run_code", "input": code}}],
        },
        {"role": "tool", "tool_call_id": call_id, "content": "0 1 2"},
    ]
    final = sdk.chat.completions.create(model=MODEL, messages=messages, tools=tools)
    assert final.choices[0].message.content == "It said 0 1 2."


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_legacy_functions(site: Site, sdk: OpenAI, stream: bool) -> None:
    functions: Any = [WEATHER["function"]]
    site.simulator.always(Agent([[PARIS]], lambda results: f"Paris: {results[0]}"))
    messages: list[ChatCompletionMessageParam] = hello(QUESTION)
    if stream:
        chunks = list(
            sdk.chat.completions.create(model=MODEL, messages=messages, functions=functions, stream=True)
        )
        calls = [call for chunk in chunks if (call := chunk.choices[0].delta.function_call)]
        name, arguments = calls[0].name, "".join(call.arguments or "" for call in calls)
        assert chunks[-1].choices[0].finish_reason == "function_call"
    else:
        [choice] = sdk.chat.completions.create(model=MODEL, messages=messages, functions=functions).choices
        assert choice.message.function_call is not None
        name, arguments = choice.message.function_call.name, choice.message.function_call.arguments
        assert choice.finish_reason == "function_call"
        assert choice.message.tool_calls is None
    assert name == "get_weather"
    assert json.loads(arguments) == PARIS.arguments
    messages += [
        {"role": "assistant", "content": None, "function_call": {"name": name, "arguments": arguments}},
        {"role": "function", "name": name, "content": "sunny"},
    ]
    final = sdk.chat.completions.create(model=MODEL, messages=messages, functions=functions)
    assert final.choices[0].message.content == "Paris: sunny"


# Typed answers


@pytest.mark.parametrize(
    "written",
    [SOLUTION_TEXT, f"```json\n{SOLUTION_TEXT}\n```", f"Here is the solution:\n\n{SOLUTION_TEXT}"],
    ids=["plain", "fenced", "with_prose"],
)
def test_parse_with_a_pydantic_model(site: Site, sdk: OpenAI, written: str) -> None:
    site.simulator.always(Answer(written, ["The user wants steps."]))
    completion = sdk.chat.completions.parse(
        model=MODEL, messages=hello("Solve 8x + 7 = -23."), response_format=Solution
    )
    [choice] = completion.choices
    assert choice.message.parsed == SOLUTION
    assert choice.message.refusal is None
    assert choice.finish_reason == "stop"
    assert len(site.simulator.requests) == 1


def test_an_answer_of_the_wrong_type_is_asked_for_again(site: Site, sdk: OpenAI) -> None:
    site.simulator.script(Answer('{"steps": [], "answer": "unknown"}'), Answer(SOLUTION_TEXT))
    raw = sdk.chat.completions.with_raw_response.parse(
        model=MODEL, messages=hello("Solve 8x + 7 = -23."), response_format=Solution
    )
    assert raw.parse().choices[0].message.parsed == SOLUTION
    assert raw.headers["x-gptoss-repairs"] == "1"


def test_a_refusal_is_one(site: Site, sdk: OpenAI) -> None:
    site.simulator.always(Answer("I'm sorry, but I can't help with that."))
    [choice] = sdk.chat.completions.parse(
        model=MODEL, messages=hello("Solve something bad."), response_format=Solution
    ).choices
    assert choice.message.parsed is None
    assert choice.message.refusal == "I'm sorry, but I can't help with that."


def test_a_typed_answer_that_is_cut(site: Site, sdk: OpenAI) -> None:
    site.simulator.always(Answer(SOLUTION_TEXT))
    with pytest.raises(LengthFinishReasonError):
        sdk.chat.completions.parse(
            model=MODEL, messages=hello("Solve it."), response_format=Solution, max_completion_tokens=5
        )


def test_the_stream_helper_with_a_pydantic_model(site: Site, sdk: OpenAI) -> None:
    site.simulator.always(Answer(SOLUTION_TEXT, ["The user wants steps."]))
    with sdk.chat.completions.stream(
        model=MODEL, messages=hello("Solve 8x + 7 = -23."), response_format=Solution
    ) as stream:
        done = [event for event in stream if event.type == "content.done"]
        [choice] = stream.get_final_completion().choices
    assert [event.parsed for event in done] == [SOLUTION]
    assert choice.message.parsed == SOLUTION


def test_an_answer_that_is_any_json_object(site: Site, sdk: OpenAI) -> None:
    site.simulator.always(Answer('Here you are:\n```json\n{"colour": "red"}\n```'))
    [choice] = sdk.chat.completions.create(
        model=MODEL, messages=hello("A colour as JSON."), response_format={"type": "json_object"}
    ).choices
    assert json.loads(choice.message.content or "") == {"colour": "red"}


def test_a_call_first_and_a_typed_answer_then(site: Site, sdk: OpenAI) -> None:
    class Skies(BaseModel):
        paris: str
        rome: str

    def answer(results: Sequence[str]) -> str:
        return Skies(paris=results[0], rome=results[1]).model_dump_json()

    calls = [Call("GetWeather", {"city": city, "unit": "celsius"}) for city in ("Paris", "Rome")]
    site.simulator.always(Agent([calls], answer))
    messages = hello(QUESTION)
    tools = [pydantic_function_tool(GetWeather)]
    [choice] = sdk.chat.completions.parse(
        model=MODEL, messages=messages, tools=tools, response_format=Skies
    ).choices
    assert choice.message.parsed is None
    assert choice.message.tool_calls is not None
    messages.append(choice.message.to_dict(exclude_unset=True))  # type: ignore[arg-type]  # as above
    for call, sky in zip(choice.message.tool_calls, ("sunny", "rain"), strict=True):
        messages.append({"role": "tool", "tool_call_id": call.id, "content": sky})
    [choice] = sdk.chat.completions.parse(
        model=MODEL, messages=messages, tools=tools, response_format=Skies
    ).choices
    assert choice.message.parsed == Skies(paris="sunny", rome="rain")
