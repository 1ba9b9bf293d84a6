"""Schemas that are too large are refused where they come in, with the parameter they came in by."""

import json
from typing import Any

import pytest

from gptoss_api.core.errors import InvalidValue
from gptoss_api.dialects.chat import ChatDialect
from gptoss_api.dialects.openai_errors import openai_error
from gptoss_api.dialects.responses import ResponsesDialect
from gptoss_api.text.schema_unfolding import MAX_UNFOLDED
from tests.text.test_schema_unfolding import TWICE, doubled

# An unfolding of 2^14 parts: harmless, and just more than is taken.
UNFOLDS = doubled(13, TWICE["anyOf"])
CHAT = {"model": "gpt-oss-120b", "messages": [{"role": "user", "content": "x"}]}
RESPONSES = {"model": "gpt-oss-120b", "input": "x"}
FUNCTION = {"name": "f", "strict": True, "parameters": UNFOLDS}


def refused(dialect: Any, body: dict[str, Any]) -> InvalidValue:
    with pytest.raises(InvalidValue) as caught:
        dialect.parse(json.dumps(body).encode(), {})
    return caught.value


FORM = {"name": "n", "schema": UNFOLDS}
CASES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "response_format": (
        ChatDialect(),
        CHAT | {"response_format": {"type": "json_schema", "json_schema": FORM}},
        "response_format.json_schema.schema",
    ),
    "text.format": (
        ResponsesDialect(),
        RESPONSES | {"text": {"format": {"type": "json_schema", **FORM}}},
        "text.format.schema",
    ),
    "strict tool of chat": (
        ChatDialect(),
        CHAT | {"tools": [{"type": "function", "function": FUNCTION}]},
        "tools[0].function.parameters",
    ),
    "strict tool of responses": (
        ResponsesDialect(),
        RESPONSES | {"tools": [{"type": "function", **FUNCTION}]},
        "tools[0].parameters",
    ),
}


@pytest.mark.parametrize(("dialect", "body", "param"), CASES.values(), ids=CASES)
def test_what_unfolds_too_far_is_refused(dialect: Any, body: dict[str, Any], param: str) -> None:
    error = refused(dialect, body)
    assert (openai_error(error).status, openai_error(error).code, error.param) == (
        400,
        "invalid_value",
        param,
    )
    assert f"at most {MAX_UNFOLDED} are accepted" in error.message


def test_a_tool_that_is_not_strict_may_have_any_schema() -> None:
    function = FUNCTION | {"strict": False}
    body = CHAT | {"tools": [{"type": "function", "function": function}]}
    [tool] = ChatDialect().parse(json.dumps(body).encode(), {}).turn.tools
    assert tool.parameters == UNFOLDS


def test_what_is_no_schema_at_all_has_the_code_that_openai_gives() -> None:
    function = FUNCTION | {"parameters": {"type": "no such type"}}
    error = refused(ChatDialect(), CHAT | {"tools": [{"type": "function", "function": function}]})
    assert openai_error(error).code == "invalid_function_parameters"
