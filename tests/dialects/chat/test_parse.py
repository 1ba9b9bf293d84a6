"""Every parameter of a chat completion request is read, checked and named when it is wrong."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.core.errors import GatewayError, InvalidRequest, ModelNotFound
from gptoss_api.core.turn import OutputFormat, Turn, UserMessage
from gptoss_api.dialects.chat import ChatDialect
from gptoss_api.dialects.openai_errors import openai_error

from .asking import HELLO, NOTHING, assert_refused, body, read, refusal, turn, words

SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}


def test_the_least_request() -> None:
    request = read()
    assert not request.stream
    assert request.turn == Turn(model="gpt-oss-120b", messages=(UserMessage("hello"),), streamed=False)
    assert read(stream=True).turn.streamed


def test_null_is_the_same_as_nothing() -> None:
    names = words(
        "model stream stream_options temperature top_p n stop max_tokens max_completion_tokens tools "
        "tool_choice parallel_tool_calls response_format reasoning_effort reasoning seed user metadata store "
        "logit_bias logprobs top_logprobs service_tier prediction modalities audio functions function_call "
        "verbosity presence_penalty frequency_penalty something_unknown"
    )
    assert read(**dict.fromkeys(names)) == read()


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        (NOTHING, "gpt-oss-120b"),
        ("gpt-oss-20b", "gpt-oss-20b"),
        ("openai/gpt-oss-20b", "gpt-oss-20b"),
        ("openai/gpt-oss-120b:groq", "gpt-oss-120b"),
        ("gpt-oss:20b", "gpt-oss-20b"),
        ("GPT-OSS-120B", "gpt-oss-120b"),
        ("", "gpt-oss-120b"),
    ],
)
def test_the_model(asked: Any, served: str) -> None:
    assert turn(model=asked).model == served


def test_an_unknown_model() -> None:
    error = refusal(model="gpt-9")
    assert isinstance(error, ModelNotFound)
    assert (openai_error(error).status, error.param, openai_error(error).code) == (
        404,
        "model",
        "model_not_found",
    )
    assert "gpt-oss-20b" in error.message


# What is wrong is named


@pytest.mark.parametrize(
    "name",
    words(
        "model stream stream_options temperature top_p n stop max_tokens max_completion_tokens tools "
        "tool_choice parallel_tool_calls response_format reasoning_effort reasoning seed user metadata store "
        "logit_bias logprobs top_logprobs service_tier prediction modalities functions function_call "
        "verbosity presence_penalty frequency_penalty safety_identifier prompt_cache_key include_reasoning "
        "messages chat_template_kwargs"
    ),
)
def test_a_value_of_the_wrong_type_is_named(name: str) -> None:
    wrong = {"no": "such"} if name in ("stop", "modalities") else [1]
    error = refusal(**{name: wrong})
    assert isinstance(error, InvalidRequest)
    assert error.param is not None
    assert error.param.split(".")[0].split("[")[0] == name
    assert "Invalid type" in error.message


@pytest.mark.parametrize(
    ("name", "low", "high", "kind"),
    [
        ("temperature", 0, 2, "decimal"),
        ("top_p", 0, 1, "decimal"),
        ("presence_penalty", -2, 2, "decimal"),
        ("frequency_penalty", -2, 2, "decimal"),
        ("top_logprobs", 0, 20, "integer"),
        ("n", 1, 128, "integer"),
    ],
)
def test_a_number_out_of_range_is_refused_and_its_bounds_are_not(
    name: str, low: float, high: float, kind: str
) -> None:
    assert_refused(name, f"{kind}_below_min_value", f">= {low}", **{name: low - 1})
    assert_refused(name, f"{kind}_above_max_value", f"<= {high}", **{name: high + 1})
    if name not in ("n", "top_logprobs"):
        assert turn(**{name: low}).options[name] == low
        assert turn(**{name: high}).options[name] == high


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_limit_of_tokens(name: str) -> None:
    assert turn(**{name: 1}).max_tokens == 1
    assert turn(**{name: 100.0}).max_tokens == 100
    for wrong, code in ((0, "integer_below_min_value"), (1.5, "invalid_type"), (True, "invalid_type")):
        members: dict[str, Any] = {name: wrong}
        assert_refused(name, code, **members)


def test_the_newer_limit_wins() -> None:
    assert turn(max_tokens=5, max_completion_tokens=7).max_tokens == 7


def test_more_choices_than_we_give() -> None:
    assert turn(n=4).n == 4
    assert_refused("n", "integer_above_max_value", "at most 4", n=5)


def test_stop_strings() -> None:
    assert turn(stop="END").stop == ("END",)
    assert turn(stop=["a", "b", "", "c"]).stop == ("a", "b", "c")
    assert_refused("stop", "array_above_max_length", "maximum length 4", stop=["a", "b", "c", "d", "e"])
    assert_refused("stop[1]", "invalid_type", stop=["a", 1])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("reasoning_effort", "extreme"),
        ("verbosity", "none"),
        ("service_tier", "gold"),
        ("tool_choice", "sometimes"),
        ("function_call", "sometimes"),
    ],
)
def test_an_unknown_choice_is_told_the_known_ones(name: str, value: str) -> None:
    assert_refused(name, "invalid_value", "Supported values are: '", **{name: value})


def test_what_the_models_cannot_do_is_refused_by_name() -> None:
    assert_refused("top_logprobs", None, top_logprobs=2)
    assert_refused("top_logprobs", None, logprobs=False, top_logprobs=2)
    assert_refused("audio", "unsupported_parameter", audio={"voice": "alloy", "format": "wav"})
    assert_refused("modalities", "unsupported_value", modalities=["text", "audio"])
    assert_refused("modalities[0]", "invalid_value", modalities=["smell"])
    assert turn(logprobs=False, top_logprobs=0, modalities=["text"]).options == {}
    assert turn(logprobs=False, top_logprobs=0).top_logprobs is turn().top_logprobs is None
    assert (turn(logprobs=True).top_logprobs, turn(logprobs=True, top_logprobs=5).top_logprobs) == (0, 5)
    assert turn(logprobs=True, top_logprobs=5).options == {}


def test_usage_of_a_stream() -> None:
    assert read(stream=True, stream_options={"include_usage": True}).shape.include_usage
    assert not read(stream=True, stream_options={"include_obfuscation": False}).shape.include_usage
    assert_refused("stream_options", None, stream_options={"include_usage": True})
    assert_refused(
        "stream_options.include_usage", "invalid_type", stream=True, stream_options={"include_usage": "x"}
    )


def test_metadata() -> None:
    assert turn(metadata={"a": "b"}).options == {"metadata": {"a": "b"}}
    assert turn(metadata={}).options == {}
    too_many = {str(number): "x" for number in range(17)}
    assert_refused("metadata", "object_above_max_properties", metadata=too_many)
    assert_refused("metadata", "string_above_max_length", metadata={"k" * 65: "x"})
    assert_refused("metadata.k", "string_above_max_length", metadata={"k": "x" * 513})
    assert_refused("metadata.k", "invalid_type", metadata={"k": 1})


def test_logit_bias() -> None:
    assert turn(logit_bias={"50256": -100}).options == {"logit_bias": {"50256": -100}}
    assert_refused("logit_bias.1", "decimal_above_max_value", logit_bias={"1": 101})
    assert_refused("logit_bias.1", "invalid_type", logit_bias={"1": "x"})


# What is not part of the turn


def test_options_and_unknown_fields_are_kept_to_be_told_of() -> None:
    asked = {"temperature": 0.5, "seed": 7, "store": True, "user": "u", "top_k": 40, "provider": {"a": [1]}}
    assert turn(**asked).options == asked


def test_neutral_values_are_not_worth_telling() -> None:
    assert turn(store=False, parallel_tool_calls=True, n=1, modalities=["text"], stream=False).options == {}


# Reasoning


@pytest.mark.parametrize(
    ("asked", "effort"),
    [
        ("none", "low"),
        ("minimal", "low"),
        ("low", "low"),
        ("medium", "medium"),
        ("high", "high"),
        ("xhigh", "high"),
        ("max", "high"),
    ],
)
def test_reasoning_effort_wherever_clients_put_it(asked: str, effort: str) -> None:
    for members in (
        {"reasoning_effort": asked},
        {"reasoning": {"effort": asked}},
        {"chat_template_kwargs": {"reasoning_effort": asked}},
    ):
        assert turn(**members).effort == effort
        assert turn(**members).options == {}


def test_the_standard_place_of_reasoning_effort_wins() -> None:
    kwargs = {"reasoning_effort": "medium", "enable_thinking": True}
    asked = turn(
        reasoning_effort="low", reasoning={"effort": "high", "max_tokens": 9}, chat_template_kwargs=kwargs
    )
    assert asked.effort == "low"
    assert asked.options == {"reasoning.max_tokens": 9, "chat_template_kwargs.enable_thinking": True}


def test_reasoning_can_be_switched_off() -> None:
    assert turn(reasoning={"enabled": False}).effort == "low"
    assert not turn(include_reasoning=False).show_reasoning
    assert not turn(reasoning={"exclude": True}).show_reasoning
    assert turn(include_reasoning=True).show_reasoning


@pytest.mark.parametrize(
    ("setting", "agent", "fields"),
    [
        ("auto", "OpenAI/Python 3.57.0", ("reasoning", "reasoning_content")),
        ("auto", "", ("reasoning", "reasoning_content")),
        ("auto", "Agents/Python 0.24.0", ("reasoning",)),
        ("both", "Agents/Python 0.24.0", ("reasoning", "reasoning_content")),
        ("reasoning_content", "", ("reasoning_content",)),
        ("none", "", ()),
    ],
)
def test_the_fields_that_carry_the_reasoning(setting: Any, agent: str, fields: tuple[str, ...]) -> None:
    request = ChatDialect(reasoning_fields=setting).parse(
        json.dumps(body()).encode(), {"user-agent": agent} if agent else {}
    )
    assert request.shape.reasoning_fields == fields
    assert request.turn.show_reasoning is bool(fields)


# Response formats


def test_response_formats() -> None:
    assert turn(response_format={"type": "text"}).output_format == OutputFormat()
    assert turn(response_format={"type": "json_object"}).output_format == OutputFormat("json_object")
    form = {"name": "thing", "schema": SCHEMA, "strict": True, "description": "A thing."}
    assert turn(response_format={"type": "json_schema", "json_schema": form}).output_format == OutputFormat(
        "json_schema", name="thing", schema=SCHEMA, strict=True, description="A thing."
    )
    bare = turn(response_format={"type": "json_schema", "json_schema": {"name": "thing"}}).output_format
    assert (bare.schema, bare.strict) == (None, False)


@pytest.mark.parametrize(
    ("form", "param", "code"),
    [
        ({}, "response_format.type", "missing_required_parameter"),
        ({"type": "yaml"}, "response_format.type", "invalid_value"),
        ({"type": "json_schema"}, "response_format.json_schema", "missing_required_parameter"),
        (
            {"type": "json_schema", "json_schema": {}},
            "response_format.json_schema.name",
            "missing_required_parameter",
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "a b"}},
            "response_format.json_schema.name",
            "invalid_value",
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "a", "schema": "x"}},
            "response_format.json_schema.schema",
            "invalid_type",
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "a", "schema": {"type": "no such"}}},
            "response_format.json_schema.schema",
            "invalid_value",
        ),
        (
            {"type": "json_schema", "json_schema": {"name": "a", "schema": {"$ref": "http://127.0.0.1/x"}}},
            "response_format.json_schema.schema",
            "invalid_value",
        ),
    ],
)
def test_a_wrong_response_format(form: Any, param: str, code: str) -> None:
    assert_refused(param, code, response_format=form)


# Whatever comes

_NAMES = st.sampled_from(
    words(
        "model messages stream stream_options temperature n stop max_tokens tools tool_choice functions "
        "function_call response_format reasoning reasoning_effort metadata logit_bias modalities "
        "chat_template_kwargs parallel_tool_calls prediction user role content type text name function "
        "parameters arguments id tool_calls tool_call_id custom input format json_schema schema strict "
        "effort mode allowed_tools refusal audio"
    )
)
_WORDS = st.sampled_from(
    words(
        "user assistant tool system function developer custom text refusal image_url auto none required low "
        "json_schema json_object allowed_tools object string x"
    )
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | _WORDS | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(_NAMES | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=25,
)


@given(st.dictionaries(_NAMES, _JSON, max_size=6), st.booleans())
def test_any_object_is_a_turn_or_a_refusal(members: dict[str, Any], complete: bool) -> None:
    asked = {"messages": HELLO, **members} if complete else members
    outcome: Turn | GatewayError
    try:
        outcome = ChatDialect().parse(json.dumps(asked).encode(), {}).turn
    except GatewayError as error:
        outcome = error
    if isinstance(outcome, Turn):
        assert outcome.messages
    else:
        assert openai_error(outcome).status in (400, 404)
        assert outcome.message


@given(st.binary(max_size=60))
def test_any_bytes_are_a_turn_or_a_refusal(data: bytes) -> None:
    with pytest.raises(InvalidRequest):
        ChatDialect().parse(data, {})
