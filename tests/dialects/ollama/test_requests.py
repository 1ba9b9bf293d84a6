"""What is asked of Ollama's API, in neutral form."""

import json
from typing import Any

import pytest

from gptoss_api.core.catalog import ModelAliases
from gptoss_api.core.errors import InvalidRequest, ModelNotFound
from gptoss_api.core.turn import (
    AssistantMessage,
    InstructionMessage,
    OutputFormat,
    ToolCall,
    ToolResultMessage,
    Truncate,
    UserMessage,
)
from gptoss_api.dialects.ollama import OllamaDialect
from gptoss_api.dialects.ollama.dialect import LoadProbe

from .asking import DIALECT, HELLO, MODEL, chat, text, turn

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells it.", "parameters": SCHEMA},
}


def call(name: str, arguments: Any, **more: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}} | more


def test_a_stream_is_what_is_given_unless_it_is_refused() -> None:
    assert chat().stream
    assert turn().streamed
    assert chat(stream=None).stream
    assert not chat(stream=False).stream
    assert not turn(stream=False).streamed


@pytest.mark.parametrize(
    ("name", "model", "effort"),
    [
        ("gpt-oss:20b", "gpt-oss-20b", None),
        ("gpt-oss:120b", "gpt-oss-120b", None),
        ("GPT-OSS:20B", "gpt-oss-20b", None),
        ("gpt-oss", "gpt-oss-120b", None),
        ("gpt-oss:latest", "gpt-oss-120b", None),
        ("gpt-oss:20b-cloud", "gpt-oss-20b", None),
        ("gpt-oss:120b-cloud", "gpt-oss-120b", None),
        ("gpt-oss:cloud", "gpt-oss-120b", None),
        ("gpt-oss-120b", "gpt-oss-120b", None),
        ("openai/gpt-oss-20b", "gpt-oss-20b", None),
        ("gpt-oss:120b-high", "gpt-oss-120b", "high"),
        ("gpt-oss:20b-LOW", "gpt-oss-20b", "low"),
        ("gpt-oss-20b-medium", "gpt-oss-20b", "medium"),
    ],
)
def test_every_name_of_a_model_is_understood_and_given_back(
    name: str, model: str, effort: str | None
) -> None:
    request = chat(model=name)
    assert (request.turns[0].model, request.turns[0].effort) == (model, effort)
    assert request.shape.model == name


def test_aliases_hold_here_too() -> None:
    dialect = OllamaDialect(aliases=ModelAliases({"llama3.2": "gpt-oss-20b", "*": "gpt-oss-120b"}))
    for name, model in (("llama3.2", "gpt-oss-20b"), ("qwen3:8b", "gpt-oss-120b")):
        request = dialect.chat(json.dumps({"model": name, "messages": HELLO}).encode(), {})
        assert request.turns[0].model == model


@pytest.mark.parametrize("name", ["llama3", "gpt-oss:7b", "gpt-oss:7b-high", "-high"])
def test_an_unknown_model_is_told_as_ollama_tells_it(name: str) -> None:
    with pytest.raises(ModelNotFound) as caught:
        chat(model=name)
    status, _, body = DIALECT.error(caught.value, "req_1", {})
    assert (status, json.loads(body)) == (404, {"error": f"model '{name}' not found"})


@pytest.mark.parametrize(
    ("think", "effort", "shown"),
    [
        (None, None, True),
        (True, "medium", True),
        (False, "low", False),
        ("low", "low", True),
        ("medium", "medium", True),
        ("high", "high", True),
        ("max", "high", True),
    ],
)
def test_think_says_how_hard_and_whether_it_is_shown(think: Any, effort: Any, shown: bool) -> None:
    asked = turn(think=think)
    assert (asked.effort, asked.show_reasoning) == (effort, shown)


def test_an_effort_in_the_name_is_for_clients_that_know_only_on_and_off() -> None:
    assert turn(model="gpt-oss:120b-high", think=True).effort == "high"
    assert turn(model="gpt-oss:120b-high", think="low").effort == "low"
    quiet = turn(model="gpt-oss:120b-high", think=False)
    assert (quiet.effort, quiet.show_reasoning) == ("high", False)


def test_a_conversation_with_calls_and_thoughts() -> None:
    asked = turn(
        messages=[
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Weather?"},
            {
                "role": "assistant",
                "thinking": "Ask.",
                "tool_calls": [call("weather", {"city": "Rome"}, id="call_x")],
            },
            {"role": "tool", "tool_call_id": "call_x", "tool_name": "weather", "content": "Rain"},
        ]
    )
    assert asked.messages == (
        InstructionMessage("Be brief."),
        UserMessage("Weather?"),
        AssistantMessage("", "Ask.", tool_calls=(ToolCall("call_x", "weather", '{"city":"Rome"}'),)),
        ToolResultMessage("Rain", "call_x", "weather"),
    )


def test_results_without_ids_and_names_answer_the_calls_in_their_order() -> None:
    calls = [call("weather", {"city": "Rome"}), call("clock", '{"city": "Oslo"}'), call("weather", None)]
    asked = turn(
        messages=[
            *HELLO,
            {"role": "assistant", "content": "", "tool_calls": calls},
            {"role": "tool", "content": "Rain"},
            {"role": "tool", "content": "Noon"},
            {"role": "tool", "content": "Sun"},
            {"role": "tool", "content": "One too many"},
        ]
    )
    answer = asked.messages[1]
    assert isinstance(answer, AssistantMessage)
    assert [each.arguments for each in answer.tool_calls] == ['{"city":"Rome"}', '{"city":"Oslo"}', "{}"]
    ids = [each.id for each in answer.tool_calls]
    assert len(set(ids)) == 3
    assert asked.messages[2:] == (
        ToolResultMessage("Rain", ids[0], "weather"),
        ToolResultMessage("Noon", ids[1], "clock"),
        ToolResultMessage("Sun", ids[2], "weather"),
        ToolResultMessage("One too many", None, None),
    )
    again = turn(messages=[*HELLO, {"role": "assistant", "content": "", "tool_calls": calls}])
    assert again.messages[1] == answer, "what repeats the conversation has the same ids"


def test_results_with_names_alone_answer_the_first_open_call_of_that_name() -> None:
    calls = [call("weather", {"city": "Rome"}), call("clock", {}), call("weather", {"city": "Oslo"})]
    asked = turn(
        messages=[
            *HELLO,
            {"role": "assistant", "tool_calls": calls},
            {"role": "tool", "tool_name": "clock", "content": "Noon"},
            {"role": "tool", "tool_name": "weather", "content": "Rain"},
            {"role": "tool", "tool_name": "weather", "content": "Sun"},
        ]
    )
    answer = asked.messages[1]
    assert isinstance(answer, AssistantMessage)
    first, second, third = (each.id for each in answer.tool_calls)
    assert [message.call_id for message in asked.messages[2:] if isinstance(message, ToolResultMessage)] == [
        second,
        first,
        third,
    ]


def test_pictures_are_refused_where_they_are_asked_about_and_noted_elsewhere() -> None:
    with pytest.raises(InvalidRequest, match="does not support images") as caught:
        turn(messages=[{"role": "user", "content": "What is it?", "images": ["aGk="]}])
    assert caught.value.param == "messages[0].images"
    earlier = turn(
        messages=[
            {"role": "user", "content": "What is it?", "images": ["aGk="]},
            {"role": "assistant", "content": "I cannot see.", "images": []},
            {"role": "tool", "images": ["aGk="]},
            {"role": "user", "content": "A pity.", "images": []},
        ]
    )
    assert [getattr(message, "text", "") for message in earlier.messages] == [
        "What is it?\n[image omitted: this model reads text only]",
        "I cannot see.",
        "[image omitted: this model reads text only]",
        "A pity.",
    ]


def test_tools_are_read_and_a_repeated_one_counts_once() -> None:
    (tool,) = turn(tools=[WEATHER, WEATHER]).tools
    assert (tool.name, tool.description, tool.parameters, tool.strict) == (
        "weather",
        "Tells it.",
        SCHEMA,
        False,
    )
    assert turn(tools=[]).tools == ()
    listed = {"type": ["string", "null"]}
    loose = {"function": {"name": "f", "parameters": {"type": "object", "properties": {"a": listed}}}}
    assert turn(tools=[loose]).tools[0].parameters == loose["function"]["parameters"]
    other = {"function": {"name": "weather", "description": "Another."}}
    with pytest.raises(InvalidRequest, match="already named 'weather'"):
        turn(tools=[WEATHER, other])


@pytest.mark.parametrize(
    ("form", "expected"),
    [
        (None, OutputFormat()),
        ("", OutputFormat()),
        ("json", OutputFormat("json_object")),
        (SCHEMA, OutputFormat("json_schema", name="answer", schema=SCHEMA, strict=True)),
    ],
)
def test_formats(form: Any, expected: OutputFormat) -> None:
    assert turn(format=form).output_format == expected


def test_options_with_nulls_and_what_machines_are_told() -> None:
    asked = turn(
        options={
            "temperature": 0,
            "top_p": 0.9,
            "top_k": 40.0,
            "min_p": None,
            "seed": 7,
            "num_predict": 12,
            "num_ctx": 2048,
            "num_gpu": 1,
            "use_mmap": True,
            "repeat_penalty": 1.1,
            "stop": ["END", ""],
            "novelty": 1,
        }
    )
    assert asked.options == {"temperature": 0, "top_p": 0.9, "top_k": 40, "seed": 7}
    assert (asked.max_tokens, asked.stop) == (12, ("END",))
    assert asked.ignored == ("options.repeat_penalty", "options.novelty")
    assert turn(options={"stop": "END"}).stop == ("END",)
    for limit in (-1, -2, 0, None):
        assert turn(options={"num_predict": limit}).max_tokens is None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"options": {"temperature": "hot"}}, 'option "temperature" must be of type float'),
        ({"options": {"temperature": True}}, 'option "temperature" must be of type float'),
        ({"options": {"seed": 1.5}}, 'option "seed" must be of type integer'),
        ({"options": {"num_ctx": "2k"}}, 'option "num_ctx" must be of type integer'),
        ({"options": {"use_mmap": 1}}, 'option "use_mmap" must be of type boolean'),
        ({"options": {"num_predict": []}}, None),
        ({"options": {"num_predict": [1]}}, 'option "num_predict" must be of type integer'),
        ({"options": {"stop": 1}}, 'option "stop" must be of type array'),
        ({"options": {"stop": [1]}}, 'option "stop" must be of type array of strings'),
        ({"options": {"stop": ["x"] * 65}}, 'option "stop" may have at most 64'),
        ({"options": {"stop": ["x" * 1001]}}, "options.stop"),
        ({"options": []}, "options"),
        ({"think": "hard"}, 'invalid think value: "hard"'),
        ({"think": 1}, "think"),
        ({"format": "xml"}, 'invalid format: "xml"'),
        ({"format": 1}, "format"),
        ({"format": {"type": "nothing"}}, "invalid schema in format"),
        ({"keep_alive": "soon"}, 'invalid keep_alive: "soon"'),
        ({"keep_alive": True}, "keep_alive"),
        ({"logprobs": True}, "log probabilities"),
        ({"top_logprobs": 3}, "log probabilities"),
        ({"top_logprobs": 21}, "top_logprobs"),
        ({"messages": [{"role": "robot"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
        ({"messages": [{"role": "assistant", "tool_calls": [call("f", "no")]}]}, "arguments"),
        ({"messages": [{"role": "assistant", "tool_calls": [call("f", "[]")]}]}, "arguments"),
        ({"messages": [{"role": "assistant", "tool_calls": [call("f", 1)]}]}, "arguments"),
        ({"tools": [{"type": "retrieval"}]}, "tools[0].type"),
        ({"stream": "yes"}, "stream"),
        ({"model": ""}, "model is required"),
    ],
)
def test_what_is_wrong_is_said(body: dict[str, Any], said: str | None) -> None:
    if said is None:
        assert turn(**body).max_tokens is None
        return
    with pytest.raises(InvalidRequest) as caught:
        chat(**body)
    status, _, told = DIALECT.error(caught.value, "req_1", {})
    assert status == 400
    assert said in json.loads(told)["error"]


def test_only_who_asks_for_it_loses_the_beginning_of_a_long_conversation() -> None:
    assert turn(truncate=True).context_edits == (Truncate(),)
    assert turn(truncate=False).context_edits == turn().context_edits == ()


def test_a_request_without_a_body_or_a_model() -> None:
    for body, said in ((b" ", "missing request body"), (b'{"messages": []}', "model is required")):
        with pytest.raises(InvalidRequest, match=said):
            DIALECT.chat(body, {})


@pytest.mark.parametrize("keep_alive", ["5m", "-1", "60s", -1, 300, 0.5, "1h30m", None])
def test_how_long_a_model_is_kept_has_no_effect(keep_alive: Any) -> None:
    if keep_alive == "-1":
        with pytest.raises(InvalidRequest):
            turn(keep_alive=keep_alive)
        return
    assert turn(keep_alive=keep_alive) == turn()


@pytest.mark.parametrize(
    ("keep_alive", "reason"),
    [
        (None, "load"),
        ("5m", "load"),
        (-1, "load"),
        (0, "unload"),
        ("0", "unload"),
        ("0s", "unload"),
        ("-0m", "unload"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_without_a_prompt_a_model_is_looked_for_and_nobody_is_asked(
    keep_alive: Any, reason: str, stream: bool
) -> None:
    body = {"model": MODEL, "keep_alive": keep_alive, "stream": stream}
    probe = DIALECT.chat(json.dumps(body | {"messages": []}).encode(), {})
    assert isinstance(probe, LoadProbe)
    assert (probe.turns, probe.stream) == ((), False)
    for request, said in (
        (probe, {"message": {"role": "assistant", "content": ""}}),
        (text(keep_alive=keep_alive, stream=stream, prompt=""), {"response": ""}),
    ):
        answer = json.loads(request.render(None))  # type: ignore[arg-type]
        assert answer.pop("created_at").endswith("Z")
        assert answer == said | {"model": MODEL, "done": True, "done_reason": reason}


def test_a_text_is_a_user_message_behind_its_system() -> None:
    (asked,) = text(prompt="Hello", system="Be brief.", images=None, format="json").turns
    assert asked.messages == (InstructionMessage("Be brief."), UserMessage("Hello"))
    assert asked.output_format.kind == "json_object"
    (alone,) = text(prompt="Hello", raw=True).turns
    assert alone.messages == (UserMessage("Hello"),)
    (templated,) = text(prompt="Hello", template="{{ .Prompt }}", options={"num_ctx": 2}).turns
    assert templated.ignored == ("template",)
    (empty,) = text(prompt="Hello", template="", context=[]).turns
    assert empty.ignored == ()


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"suffix": "}"}, '"gpt-oss:20b" does not support insert'),
        ({"raw": True, "system": "Be brief."}, "raw mode does not support template, system, or context"),
        ({"raw": True, "template": "x"}, "raw mode does not support template, system, or context"),
        ({"context": [1]}, "context is not supported: use /api/chat"),
        ({"images": ["aGk="]}, "this model does not support images"),
    ],
)
def test_what_a_text_cannot_have(body: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        text(prompt="Hello", **body)
