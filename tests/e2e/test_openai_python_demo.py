"""The demo, with the official SDK: a person can build against it offline, and is told what it is."""

import json
from collections.abc import Iterator
from typing import Any, Literal

import pytest
from openai import BadRequestError, OpenAI, pydantic_function_tool
from pydantic import BaseModel, Field

from tests.conftest import running_gateway

from .sdk import MODEL, client, hello, said

LABEL = "no model is behind this answer"
SHELL_PARAMETERS = {
    "type": "object",
    "properties": {"command": {"type": "array", "items": {"type": "string"}}},
    "required": ["command"],
    "additionalProperties": False,
}


class Trip(BaseModel):
    """Books a trip."""

    to: str = Field(min_length=3)
    days: int = Field(ge=2)
    kind: Literal["train", "plane"]
    stops: list[str] = Field(min_length=1)


@pytest.fixture(scope="module")
def sdk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenAI]:
    with (
        running_gateway(tmp_path_factory.mktemp("home"), GPTOSS_UPSTREAM="demo") as gateway,
        client(gateway) as made,
    ):
        yield made


def test_an_answer_says_that_no_model_is_behind_it_and_what_connects_one(sdk: OpenAI) -> None:
    raw = sdk.chat.completions.with_raw_response.create(model=MODEL, messages=hello())
    assert raw.headers["x-gptoss-upstream"] == "demo"
    completion = raw.parse()
    content = completion.choices[0].message.content or ""
    assert LABEL in content
    assert "gptoss-api login" in content
    assert "> hello" in content
    assert completion.usage is not None
    assert completion.usage.completion_tokens > 10


def test_a_stream_says_the_same_in_pieces(sdk: OpenAI) -> None:
    whole = sdk.chat.completions.create(model=MODEL, messages=hello()).choices[0].message.content
    chunks = list(sdk.chat.completions.create(model=MODEL, messages=hello(), stream=True))
    assert said(chunks) == whole
    assert len(chunks) > 20
    thought = "".join((chunk.choices[0].delta.model_extra or {}).get("reasoning", "") for chunk in chunks)
    assert LABEL in thought


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_the_tool_asked_for_is_called_with_arguments_that_fit_and_its_result_is_used(
    sdk: OpenAI, stream: bool
) -> None:
    tools = [pydantic_function_tool(Trip, name="book")]
    messages = hello("demo: call book")
    if stream:
        with sdk.chat.completions.stream(model=MODEL, messages=messages, tools=tools) as helper:
            completion = helper.get_final_completion()
    else:
        completion = sdk.chat.completions.parse(model=MODEL, messages=messages, tools=tools)
    [choice] = completion.choices
    assert choice.finish_reason == "tool_calls"
    assert choice.message.tool_calls is not None
    [call] = choice.message.tool_calls
    assert isinstance(call.function.parsed_arguments, Trip)
    messages.append(choice.message.to_dict())  # type: ignore[arg-type]  # the SDK's types disagree with themselves
    messages.append({"role": "tool", "tool_call_id": call.id, "content": "booked under 4711"})
    final = sdk.chat.completions.create(model=MODEL, messages=messages, tools=tools)
    assert final.choices[0].finish_reason == "stop"
    assert "booked under 4711" in (final.choices[0].message.content or "")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
def test_an_agent_is_not_told_to_run_anything_unasked(sdk: OpenAI, stream: bool) -> None:
    """The form of Codex: a shell and a patch tool on offer, what surrounds it told in messages before."""
    # The SDK's types do not allow what Codex sends.
    request: Any = {
        "model": MODEL,
        "instructions": "You are a coding agent. Use exec_command to run commands.",
        "tools": [
            {
                "type": "function",
                "name": "exec_command",
                "description": "Runs a command.",
                "strict": False,
                "parameters": {
                    "type": "object",
                    "properties": {"cmd": {"type": "string"}},
                    "required": ["cmd"],
                    "additionalProperties": False,
                },
            },
            {"type": "function", "name": "shell", "strict": False, "parameters": SHELL_PARAMETERS},
            {
                "type": "custom",
                "name": "apply_patch",
                "description": "Edits files.",
                "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"},
            },
            {"type": "web_search"},
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "store": False,
        "include": ["reasoning.encrypted_content"],
    }

    def types(text: str) -> list[str]:
        told = (
            ["developer", "<permissions>full</permissions>"],
            ["user", "<cwd>/project</cwd>"],
            ["user", text],
        )
        turn = [
            {"type": "message", "role": role, "content": [{"type": "input_text", "text": part}]}
            for role, part in told
        ]
        if stream:
            with sdk.responses.stream(**{**request, "input": turn}) as events:
                response: Any = events.until_done().get_final_response()
        else:
            response = sdk.responses.create(**{**request, "input": turn})
        assert response.status == "completed"
        return [item.type for item in response.output if item.type != "reasoning"]

    assert types("Say hello") == ["message"]
    assert types("Run the tests with the shell tool.") == ["message"]
    assert types("demo: call exec_command") == ["message", "function_call"]
    assert types("demo: call shell") == ["message", "function_call"]
    assert types("demo: call apply_patch") == ["message", "custom_tool_call"]


def test_a_required_call_that_only_a_model_could_choose_is_refused(sdk: OpenAI) -> None:
    tools = [pydantic_function_tool(Trip, name="book"), pydantic_function_tool(Trip, name="cancel")]
    with pytest.raises(BadRequestError, match="demo: call NAME") as refused:
        sdk.chat.completions.create(model=MODEL, messages=hello(), tools=tools, tool_choice="required")
    assert refused.value.code == "unsupported_value"
    assert refused.value.param == "tool_choice"


def test_a_typed_answer_fits_its_type(sdk: OpenAI) -> None:
    messages = hello("Plan a trip.")
    parsed = sdk.chat.completions.parse(model=MODEL, messages=messages, response_format=Trip)
    assert isinstance(parsed.choices[0].message.parsed, Trip)
    with sdk.chat.completions.stream(model=MODEL, messages=messages, response_format=Trip) as stream:
        assert isinstance(stream.get_final_completion().choices[0].message.parsed, Trip)
    loose = sdk.chat.completions.create(
        model=MODEL, messages=messages, response_format={"type": "json_object"}
    )
    assert isinstance(json.loads(loose.choices[0].message.content or ""), dict)
