"""What becomes of each parameter of a request."""

import json
from typing import Any

import pytest

from gptoss_api.core.catalog import ModelAliases
from gptoss_api.core.errors import (
    InvalidRequest,
    MissingParameter,
    ModelNotFound,
    UnsupportedParameter,
    UnsupportedValue,
)
from gptoss_api.core.turn import (
    ClearThinking,
    ClearToolUses,
    Compact,
    ContextEdit,
    OutputFormat,
    Tool,
    ToolChoice,
)
from gptoss_api.dialects.messages import MessagesDialect
from gptoss_api.dialects.messages.tools import MAX_TOOLS

from .asking import DIALECT, HELLO, assistant, block, call, parse, result, text, turn, user

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {"name": "weather", "description": "Tells the weather.", "input_schema": SCHEMA}


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("gpt-oss-20b", "gpt-oss-20b"),
        ("openai/gpt-oss-20b", "gpt-oss-20b"),
        ("claude-haiku-5-5", "gpt-oss-20b"),
        ("claude-3-5-haiku-20241022", "gpt-oss-20b"),
        ("claude-sonnet-5", "gpt-oss-120b"),
        ("claude-opus-5-5[1m]", "gpt-oss-120b"),
        ("gpt-oss-20b[1m]", "gpt-oss-20b"),
        ("claude-gpt-oss-20b", "gpt-oss-20b"),
        ("claude-gpt-oss-120b[1m]", "gpt-oss-120b"),
    ],
)
def test_every_model_that_claude_code_asks_for_is_one_of_ours(asked: str, meant: str) -> None:
    request = parse({"model": asked})
    assert (request.turn.model, request.model) == (meant, asked)


def test_no_more_of_a_models_name_comes_back_than_a_name_has() -> None:
    request = parse({"model": "claude-" + "x" * 5_000 + "-haiku"})
    assert (request.turn.model, request.model) == ("gpt-oss-20b", "claude-" + "x" * 249)


def test_another_model_is_not_found() -> None:
    with pytest.raises(ModelNotFound) as missing:
        turn(model="gpt-9")
    assert missing.value.requested == "gpt-9"


def test_aliases_of_the_settings_go_before_those_of_the_dialect() -> None:
    dialect = MessagesDialect(aliases=ModelAliases({"claude-sonnet*": "gpt-oss-20b", "*": "gpt-oss-20b"}))

    def model(asked: str) -> str:
        body = json.dumps({"model": asked, "max_tokens": 9, "messages": HELLO}).encode()
        return dialect.parse(body, {}).turns[0].model

    assert model("claude-sonnet-5") == "gpt-oss-20b"
    assert model("claude-opus-5") == "gpt-oss-120b"
    assert model("gpt-oss-120b") == "gpt-oss-120b"
    assert model("gpt-9") == "gpt-oss-20b"


def test_a_whole_request_of_claude_code() -> None:
    asked = turn(
        max_tokens=32_000,
        stream=True,
        thinking={"type": "adaptive", "display": "updates"},
        output_config={"effort": "high"},
        context_management={"edits": [{"type": "clear_thinking_20251015", "keep": "all"}]},
        metadata={"user_id": "{}"},
        tools=[{**WEATHER, "eager_input_streaming": True, "cache_control": {"type": "ephemeral"}}],
        stop_sequences=["</block>", ""],
        temperature=1,
        top_k=40,
        safeguards={"mode": "auto"},
        speed="fast",
    )
    assert asked.tools == (Tool("weather", "Tells the weather.", SCHEMA),)
    assert asked.tool_choice == ToolChoice()
    assert (asked.effort, asked.show_reasoning, asked.max_tokens, asked.bounds_shown) == (
        "high",
        True,
        32_000,
        False,
    )
    assert asked.stop == ("</block>",)
    assert asked.options == {"temperature": 1, "top_k": 40}
    assert asked.ignored == ("safeguards",)
    assert asked.streamed
    assert asked.wants_prompt_tokens


@pytest.mark.parametrize(
    ("body", "effort", "shown", "bounds_shown"),
    [
        ({}, None, False, True),
        ({"thinking": {"type": "disabled"}}, "low", False, True),
        ({"thinking": {"type": "disabled"}, "output_config": {"effort": "max"}}, "high", False, True),
        ({"thinking": {"type": "enabled"}}, None, True, False),
        ({"thinking": {"type": "enabled", "budget_tokens": 2_000}}, "low", True, False),
        ({"thinking": {"type": "enabled", "budget_tokens": 10_000}}, "medium", True, False),
        ({"thinking": {"type": "enabled", "budget_tokens": 31_999}}, "high", True, False),
        ({"thinking": {"type": "adaptive", "display": "omitted"}}, None, False, False),
        ({"thinking": {"type": "between_tools"}}, None, True, False),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "output_config": {"effort": "xhigh"}},
         "high", True, False),
        ({"output_config": {"effort": "ultra"}}, "high", False, True),
    ],
)  # fmt: skip
def test_effort_and_thinking(
    body: dict[str, Any], effort: str | None, shown: bool, bounds_shown: bool
) -> None:
    asked = turn(**body)
    assert (asked.effort, asked.show_reasoning, asked.bounds_shown) == (effort, shown, bounds_shown)


@pytest.mark.parametrize(
    "body",
    [
        {"output_config": {"format": {"type": "json_schema", "schema": SCHEMA}}},
        {"output_format": {"type": "json_schema", "schema": SCHEMA}},
    ],
)
def test_an_answer_in_json(body: dict[str, Any]) -> None:
    assert turn(**body).output_format == OutputFormat("json_schema", "answer", SCHEMA, strict=True)


@pytest.mark.parametrize(
    ("choice", "meant", "parallel"),
    [
        ({"type": "auto"}, ToolChoice(), True),
        ({"type": "any", "disable_parallel_tool_use": True}, ToolChoice("required"), False),
        ({"type": "tool", "name": "weather"}, ToolChoice("named", ("weather",)), True),
        ({"type": "none"}, ToolChoice("none"), True),
    ],
)
def test_the_choice_of_tools(choice: dict[str, Any], meant: ToolChoice, parallel: bool) -> None:
    asked = turn(tools=[WEATHER], tool_choice=choice)
    assert (asked.tool_choice, asked.parallel_tool_calls) == (meant, parallel)


def test_a_deferred_tool_is_offered_once_it_was_found() -> None:
    hidden = [{**WEATHER, "defer_loading": True}, {"name": "DeferredToolPlaceholder", "defer_loading": True}]
    search = {"name": "ToolSearch", "input_schema": SCHEMA}
    assert [tool.name for tool in turn(tools=[search, *hidden]).tools] == ["ToolSearch"]
    found = turn(
        tools=[search, *hidden],
        messages=[
            *HELLO,
            assistant(call("t", "ToolSearch", query="select:weather")),
            user(result("t", [block("tool_reference", tool_name="weather")])),
        ],
    )
    assert [tool.name for tool in found.tools] == ["ToolSearch", "weather"]
    assert found.messages[-1].text == "Tool weather is now available."
    # A search that only a server could do would never find anything.
    asked = turn(tools=[block("tool_search_tool_bm25_20251119", name="tool_search_tool_bm25"), *hidden])
    assert [tool.name for tool in asked.tools] == ["weather"]
    assert asked.ignored == ("tools.tool_search_tool_bm25_20251119",)


def test_names_that_an_instruction_lists_may_be_called_while_tools_are_hidden() -> None:
    placeholder = {"name": "DeferredToolPlaceholder", "defer_loading": True}
    listed = "These are available via ToolSearch:\nWebFetch\nweather\nmcp__a__b-c\n\nAgents:\n- Plan: plans."
    messages = [*HELLO, {"role": "system", "content": listed}]
    asked = turn(tools=[WEATHER, placeholder], messages=messages)
    assert asked.hidden_tools == ("WebFetch", "mcp__a__b-c")
    assert turn(tools=[WEATHER], messages=messages).hidden_tools == ()


def test_names_that_an_instruction_lists_are_looked_for_within_bounds() -> None:
    placeholder = {"name": "DeferredToolPlaceholder", "defer_loading": True}

    def hidden(listed: str) -> tuple[str, ...]:
        messages = [*HELLO, {"role": "system", "content": [text("weather\nFirst"), text(listed)]}]
        return turn(tools=[WEATHER, placeholder], messages=messages).hidden_tools

    names = hidden("\n".join(f"Tool{number}" for number in range(5_000)))
    assert (len(names), names[:2], names[-1]) == (MAX_TOOLS, ("First", "Tool0"), "Tool1022")
    # More than any window holds is not looked through.
    assert hidden("Early\n" + "-\n" * 300_000 + "Late") == ("First", "Early")


def test_tools_that_clients_run_without_a_schema_are_given_theirs() -> None:
    tools = [
        block("bash_20250124", name="bash"),
        block("text_editor_20250728", name="str_replace_based_edit_tool"),
        block("memory_20250818", name="memory"),
    ]
    asked = turn(tools=tools)
    assert [tool.name for tool in asked.tools] == ["bash", "str_replace_based_edit_tool", "memory"]
    for tool in asked.tools:
        assert tool.parameters is not None
        assert "command" in tool.parameters["properties"]


def test_tools_that_a_server_would_run_are_named_as_ignored_and_refused_where_demanded() -> None:
    fetch = block("web_fetch_20250910", name="web_fetch")
    assert turn(tools=[WEATHER, fetch]).ignored == ("tools.web_fetch_20250910",)
    for choice in ({"type": "tool", "name": "web_fetch"}, {"type": "any"}):
        with pytest.raises(UnsupportedValue, match="web_fetch_20250910"):
            turn(tools=[fetch], tool_choice=choice)


def test_names_of_tools_may_be_longer_than_openais() -> None:
    name = "mcp__server__" + "x" * 100
    assert turn(tools=[{**WEATHER, "name": name}]).tools[0].name == name


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"max_tokens": -1}, "max_tokens"),
        ({"max_tokens": "9"}, "max_tokens"),
        ({"temperature": 1.5}, "temperature"),
        ({"top_p": -1}, "top_p"),
        ({"top_k": 0.5}, "top_k"),
        ({"stop_sequences": "x"}, "stop_sequences"),
        ({"stop_sequences": [1]}, "stop_sequences[0]"),
        ({"stop_sequences": ["x" * 1_001]}, "stop_sequences[0]"),
        ({"stream": 1}, "stream"),
        ({"system": 1}, "system"),
        ({"thinking": {}}, "thinking.type"),
        ({"tools": [{"name": ""}]}, "tools[0].name"),
        ({"tools": [{"name": "x" * 129}]}, "tools[0].name"),
        ({"tools": [WEATHER, {"name": "weather"}]}, "tools[1].name"),
        ({"tools": [{"name": "a", "input_schema": [1]}]}, "tools[0].input_schema"),
        ({"tools": [{"name": "a", "strict": True, "input_schema": {"type": "x"}}]}, "tools[0].input_schema"),
        ({"tool_choice": {"type": "any"}}, "tool_choice"),
        ({"tool_choice": {"type": "tool", "name": "a"}}, "tool_choice.name"),
        ({"tool_choice": "auto"}, "tool_choice"),
        ({"output_config": {"format": {"type": "text"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "x"}}}},
         "output_config.format.schema"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_named(body: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        turn(**body)
    assert refused.value.param == param


def test_max_tokens_is_required() -> None:
    with pytest.raises(MissingParameter) as refused:
        DIALECT.parse(json.dumps({"messages": HELLO}).encode(), {})
    assert refused.value.param == "max_tokens"


def test_servers_of_tools_are_the_clients_business() -> None:
    with pytest.raises(UnsupportedParameter, match="mcp_servers"):
        turn(mcp_servers=[{"type": "url", "url": "https://x", "name": "x"}])
    assert turn(mcp_servers=[]).messages


def test_half_of_a_conversation_is_refused_so_that_the_sdks_send_the_whole() -> None:
    with pytest.raises(UnsupportedParameter) as refused:
        turn(thread={"type": "continue", "previous_message_id": "msg_1"})
    told = json.loads(DIALECT.error(refused.value, "req_1", {}).body)["error"]
    assert told["details"]["error_code"] == "thread_unsupported_request"


def test_what_has_no_effect_is_named() -> None:
    asked = turn(
        inference_geo="eu",
        no_such_thing=1,
        context_management={"edits": [{"type": "forget_20300101"}]},
    )
    assert asked.ignored == ("inference_geo", "no_such_thing", "context_management.forget_20300101")


@pytest.mark.parametrize(
    ("edit", "meant"),
    [
        ({"type": "clear_tool_uses_20250919"}, ClearToolUses(100_000, keep=3)),
        (
            {
                "type": "clear_tool_uses_20250919",
                "trigger": {"type": "tool_uses", "value": 30},
                "keep": {"type": "tool_uses", "value": 0},
                "clear_at_least": {"type": "input_tokens", "value": 5000},
                "exclude_tools": ["web_search"],
                "clear_tool_inputs": True,
            },
            ClearToolUses(30, True, 0, 5000, ("web_search",), True),
        ),
        (
            {
                "type": "clear_tool_uses_20250919",
                "trigger": {"type": "input_tokens", "value": 30_000},
                "clear_tool_inputs": ["a"],
                "exclude_tools": None,
            },
            ClearToolUses(30_000, inputs=("a",)),
        ),
        ({"type": "compact_20260112"}, Compact(150_000)),
        (
            {
                "type": "compact_20260112",
                "trigger": {"type": "input_tokens", "value": 60_000},
                "instructions": "Keep code.",
                "pause_after_compaction": True,
            },
            Compact(60_000, "Keep code.", True),
        ),
        ({"type": "clear_thinking_20251015"}, ClearThinking(1)),
        (
            {"type": "clear_thinking_20251015", "keep": {"type": "thinking_turns", "value": 2}},
            ClearThinking(2),
        ),
        ({"type": "clear_thinking_20251015", "keep": "all"}, None),
        ({"type": "clear_thinking_20251015", "keep": {"type": "all"}}, None),
    ],
)
def test_what_of_the_context_is_cleared(edit: dict[str, Any], meant: ContextEdit | None) -> None:
    asked = turn(context_management={"edits": [edit]})
    assert asked.context_edits == (() if meant is None else (meant,))
    assert asked.ignored == ()


@pytest.mark.parametrize(
    ("edit", "param"),
    [
        ({"keep": {"type": "tool_uses"}}, "keep.value"),
        ({"trigger": {"type": "hours", "value": 1}}, "trigger.type"),
        ({"trigger": {"type": "tool_uses", "value": -1}}, "trigger.value"),
        ({"exclude_tools": [1]}, "exclude_tools[0]"),
        ({"clear_tool_inputs": "yes"}, "clear_tool_inputs"),
    ],
)
def test_an_edit_that_is_wrong_is_refused_by_name(edit: dict[str, Any], param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        turn(context_management={"edits": [{"type": "clear_tool_uses_20250919", **edit}]})
    assert refused.value.param == f"context_management.edits[0].{param}"


def test_a_search_of_the_web_is_answered_without_a_model() -> None:
    search = block("web_search_20250305", name="web_search", max_uses=8)
    body = {"model": "x", "max_tokens": 9, "messages": [user(text("Search for rain"))], "tools": [search]}
    request = DIALECT.parse(json.dumps({**body, "model": "gpt-oss-120b"}).encode(), {})
    assert request.turns == ()
    # In a conversation it is a tool that cannot be had.
    longer = turn(messages=[*HELLO, assistant(text("Hi")), user(text("Rain?"))], tools=[search])
    assert longer.tools == ()
    assert longer.ignored == ("tools.web_search_20250305",)


def test_claude_code_names_its_conversations() -> None:
    body = json.dumps({"max_tokens": 9, "messages": HELLO}).encode()
    named = DIALECT.parse(body, {"x-claude-code-session-id": "session-1"})
    assert (named.turns[0].conversation, turn().conversation) == ("session-1", "")
