"""Requests for responses in neutral form, and what is wrong with wrong ones."""

import json
from typing import Any, ClassVar

import pytest

from gptoss_api.core.errors import GatewayError, NotFound
from gptoss_api.core.turn import (
    AssistantMessage,
    InstructionMessage,
    OutputFormat,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from gptoss_api.dialects.openai_errors import openai_error
from gptoss_api.dialects.responses import ResponseRequest, ResponsesDialect
from gptoss_api.dialects.sealing import Sealer

SEALER = Sealer(b"k" * 32)
DIALECT = ResponsesDialect(SEALER)


def parse(**members: Any) -> ResponseRequest:
    return DIALECT.parse(json.dumps(members).encode(), {})


def messages(*items: Any) -> tuple[Any, ...]:
    return parse(input=list(items)).turn.messages


def refusal(**members: Any) -> GatewayError:
    with pytest.raises(GatewayError) as caught:
        parse(**members)
    return caught.value


def test_a_string_is_what_the_user_says() -> None:
    assert parse(input="Hi").turn.messages == (UserMessage("Hi"),)


def test_instructions_come_first() -> None:
    assert parse(input="Hi", instructions="Be brief.").turn.messages == (
        InstructionMessage("Be brief."),
        UserMessage("Hi"),
    )


def test_messages_of_every_role_and_form_are_read() -> None:
    assert messages(
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Rules"}]},
        {"role": "system", "content": "More"},
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}],
        },
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "phase": "final_answer",
            "content": [
                {"type": "output_text", "text": "Yes", "annotations": [], "logprobs": []},
                {"type": "refusal", "refusal": "But no"},
            ],
        },
    ) == (
        InstructionMessage("Rules", "developer"),
        InstructionMessage("More", "system"),
        UserMessage("a\nb"),
        AssistantMessage(text="Yes", refusal="But no"),
    )


def test_thought_text_and_calls_become_one_message_and_outputs_know_their_tool() -> None:
    assert messages(
        {"role": "user", "content": "Weather?"},
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "Ask."}]},
        {"role": "assistant", "content": "Looking."},
        {"type": "function_call", "call_id": "a", "name": "weather", "arguments": "{}"},
        {"type": "custom_tool_call", "call_id": "b", "name": "patch", "input": "raw"},
        {"type": "function_call_output", "call_id": "a", "output": "sunny"},
        {
            "type": "custom_tool_call_output",
            "call_id": "b",
            "output": [{"type": "output_text", "text": "done"}, {"type": "input_text", "text": "well"}],
        },
    ) == (
        UserMessage("Weather?"),
        AssistantMessage(
            "Looking.",
            reasoning="Ask.",
            tool_calls=(ToolCall("a", "weather", "{}"), ToolCall("b", "patch", "raw", "custom")),
        ),
        ToolResultMessage("sunny", "a", "weather"),
        ToolResultMessage("done\nwell", "b", "patch"),
    )


def test_a_second_thought_opens_a_second_message() -> None:
    thought = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "one"}]}
    again = {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "two"}]}
    assert messages(
        thought, {"role": "assistant", "content": "A"}, again, {"role": "assistant", "content": "B"}
    ) == (
        AssistantMessage("A", reasoning="one"),
        AssistantMessage("B", reasoning="two"),
    )


def test_a_summary_stands_in_where_there_is_nothing_else() -> None:
    item = {"type": "reasoning", "summary": [{"type": "summary_text", "text": "In short"}]}
    assert messages({"role": "user", "content": "x"}, item)[1] == AssistantMessage(reasoning="In short")


def test_a_sealed_thought_comes_back_to_its_own_caller() -> None:
    item = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "encrypted_content": SEALER.seal("Deep.", "ann"),
    }
    asked = DIALECT.read(json.dumps({"input": [{"role": "user", "content": "x"}, item]}).encode())
    mine = DIALECT.complete(asked, caller="ann")
    assert mine.turn.messages[1] == AssistantMessage(reasoning="Deep.")
    theirs = DIALECT.complete(asked, caller="bob")
    assert theirs.turn.messages == (UserMessage("x"),)
    assert "input.encrypted_content" in theirs.turn.ignored


def test_calls_under_types_of_their_own_are_kept() -> None:
    kept = messages(
        {"role": "user", "content": "ls"},
        {
            "type": "local_shell_call",
            "id": "l",
            "call_id": "c",
            "status": "completed",
            "action": {"type": "exec", "command": ["ls"], "env": {}},
        },
        {"type": "local_shell_call_output", "id": "c", "call_id": "c", "output": "a.txt"},
        {
            "type": "mcp_call",
            "id": "m",
            "server_label": "docs",
            "name": "find",
            "arguments": "{}",
            "output": "found",
        },
        {"type": "mcp_list_tools", "id": "t", "server_label": "docs", "tools": []},
    )
    assert kept[1].tool_calls[0].name == "local_shell"
    assert json.loads(kept[1].tool_calls[0].arguments) == {"command": ["ls"]}
    assert kept[2] == ToolResultMessage("a.txt", "c", "local_shell")
    assert kept[4] == ToolResultMessage("found", "m", "mcp")


def test_calls_of_typed_tools_in_a_history_are_those_of_the_functions_the_model_is_offered() -> None:
    shell = {"commands": ["ls", "pwd"], "timeout_ms": 5, "max_output_length": None}
    patch = {"type": "update_file", "path": "a.py", "diff": "@@\n-a\n+b"}
    output = [{"stdout": "a.txt", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]
    asked, ran, patched = messages(
        {"type": "shell_call", "call_id": "s", "action": shell, "status": "completed"},
        {
            "type": "apply_patch_call",
            "id": "apc_1",
            "call_id": "p",
            "operation": patch,
            "status": "completed",
        },
        {"type": "shell_call_output", "call_id": "s", "output": output},
        {"type": "apply_patch_call_output", "call_id": "p", "status": "completed", "output": "done"},
    )
    calls = [(call.id, call.name, json.loads(call.arguments)) for call in asked.tool_calls]
    assert calls == [
        ("s", "shell", {"commands": ["ls", "pwd"], "timeout_ms": 5}),
        ("p", "apply_patch", patch),
    ]
    assert (ran.call_id, ran.name, json.loads(ran.text)) == ("s", "shell", output)
    assert patched == ToolResultMessage("completed\ndone", "p", "apply_patch")


def test_the_output_of_a_local_shell_may_name_the_item_instead_of_the_call() -> None:
    call = {"type": "local_shell_call", "id": "lsh_1", "call_id": "c", "action": {"command": ["ls"]}}
    result = messages(call, {"type": "local_shell_call_output", "id": "lsh_1", "output": "a.txt"})[1]
    assert result == ToolResultMessage("a.txt", "c", "local_shell")


class TestConfigurationUpdates:
    """The last one holds, over the request's own parameters, which stay what the answer repeats."""

    UPDATE: ClassVar[Any] = {"type": "configuration_update", "reasoning": {"effort": "high"}}
    FORM: ClassVar[Any] = {"type": "configuration_update", "text": {"format": {"type": "json_object"}}}

    def test_they_hold_until_the_next_and_each_for_what_it_says(self) -> None:
        turn = parse(
            input=[self.FORM, {"role": "user", "content": "x"}, self.UPDATE], reasoning={"effort": "low"}
        ).turn
        assert (turn.effort, turn.output_format) == ("high", OutputFormat("json_object"))
        lower = {"type": "configuration_update", "reasoning": {"effort": "minimal"}}
        plain = {"type": "configuration_update", "text": {"format": {"type": "text"}}}
        turn = parse(
            input=[self.FORM, self.UPDATE, lower, plain, {"role": "user", "content": "x"}],
            text={"format": {"type": "json_object"}},
        ).turn
        assert (turn.effort, turn.output_format) == ("low", OutputFormat())

    def test_one_of_an_earlier_response_still_holds(self) -> None:
        asked = DIALECT.read(json.dumps({"input": "And now?", "reasoning": {"effort": "low"}}).encode())
        assert DIALECT.complete(asked, history=[self.UPDATE]).turn.effort == "high"

    def test_the_answer_repeats_what_the_request_itself_said(self) -> None:
        request = parse(
            input=[self.UPDATE, {"role": "user", "content": "x"}],
            reasoning={"effort": "low"},
            presence_penalty=1.5,
        )
        said = json.loads(b"{" + request.frame.echo + b"}")
        assert said["reasoning"] == {"effort": "low", "summary": None}
        assert (said["presence_penalty"], said["frequency_penalty"], said["service_tier"]) == (
            1.5,
            0.0,
            "default",
        )

    @pytest.mark.parametrize(
        ("update", "param"),
        [
            ({"reasoning": {"effort": "huge"}}, "input[0].reasoning.effort"),
            ({"reasoning": "high"}, "input[0].reasoning"),
            ({"text": {"format": {"type": "xml"}}}, "input[0].text.format.type"),
            ({}, "input[0].reasoning"),
            ({"effort": "high"}, "input[0].reasoning"),
            ({"configuration": {"reasoning": {"effort": "high"}}}, "input[0].reasoning"),
        ],
    )
    def test_what_is_wrong_with_one_is_named(self, update: dict[str, Any], param: str) -> None:
        item = {"type": "configuration_update", **update}
        assert refusal(input=[item, {"role": "user", "content": "x"}]).param == param

    def test_what_it_cannot_change_is_told(self) -> None:
        more = {"id": "cu_1", "model": "gpt-oss-20b", "reasoning": {"effort": "low", "summary": "auto"}}
        text = {"verbosity": "low"}
        item = {"type": "configuration_update", **more, "text": text}
        turn = parse(input=[item, {"role": "user", "content": "x"}]).turn
        assert turn.effort == "low"
        assert {name for name in turn.ignored if "update" in name} == {
            "input.configuration_update.model",
            "input.configuration_update.reasoning.summary",
            "input.configuration_update.text.verbosity",
        }

    def test_what_it_leaves_away_stays(self) -> None:
        silent = {"type": "configuration_update", "reasoning": {"effort": None}, "text": {}}
        turn = parse(input=[self.UPDATE, silent, {"role": "user", "content": "x"}]).turn
        assert (turn.effort, turn.output_format) == ("high", OutputFormat())


def test_calls_without_an_id_get_one_that_no_other_call_has() -> None:
    search = {"type": "web_search_call", "status": "completed", "action": {"type": "search", "query": "x"}}
    call = {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{}"}
    (asked,) = messages(call, search, search)
    assert len({each.id for each in asked.tool_calls}) == 3


def test_a_picture_from_a_tool_is_named_and_reported_but_ends_nothing() -> None:
    request = parse(
        input=[
            {"type": "function_call", "call_id": "a", "name": "view", "arguments": "{}"},
            {
                "type": "function_call_output",
                "call_id": "a",
                "output": [{"type": "input_image", "image_url": "data:image/png;base64,AA"}],
            },
        ]
    )
    result = request.turn.messages[1]
    assert isinstance(result, ToolResultMessage)
    assert "input_image left out" in result.text
    assert "input.input_image" in request.turn.ignored


PICTURE: Any = {"role": "user", "content": [{"type": "input_image", "image_url": "https://x"}]}


def test_a_picture_in_an_older_message_becomes_a_note() -> None:
    note = UserMessage("[input_image left out: this model reads only text]")
    request = parse(input=[PICTURE, {"role": "user", "content": "And now?"}])
    assert request.turn.messages == (note, UserMessage("And now?"))
    assert request.turn.ignored == ("input.input_image",)
    # One of a response that was answered stays answerable, whatever continues it.
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    output = {"type": "function_call_output", "call_id": "c", "output": "x"}
    asked = DIALECT.read(json.dumps({"input": [output]}).encode())
    assert DIALECT.complete(asked, history=[PICTURE, call]).turn.messages[0] == note


def test_a_picture_from_the_user_is_refused_by_name() -> None:
    error = refusal(input=[{"role": "user", "content": [{"type": "input_image", "image_url": "https://x"}]}])
    assert (openai_error(error).status, openai_error(error).code, error.param) == (
        400,
        "unsupported_value",
        "input[0].content[0].type",
    )


@pytest.mark.parametrize(
    ("members", "param", "code"),
    [
        ({"input": 3}, "input", "invalid_type"),
        ({"input": ["x"]}, "input[0]", "invalid_type"),
        ({"input": [{"role": "user"}]}, "input[0].content", "missing_required_parameter"),
        ({"input": [{"role": "tool", "content": "x"}]}, "input[0].role", "invalid_value"),
        (
            {"input": [{"type": "function_call", "name": "x"}]},
            "input[0].call_id",
            "missing_required_parameter",
        ),
        (
            {"input": [{"type": "function_call_output", "output": "x"}]},
            "input[0].call_id",
            "missing_required_parameter",
        ),
        ({"input": [{"type": "surprise"}]}, "input[0].type", "invalid_value"),
        ({"input": [{"type": "computer_call"}]}, "input[0].type", "unsupported_value"),
        (
            {"input": [{"type": "compaction", "encrypted_content": "x"}]},
            "input[0].encrypted_content",
            "invalid_value",
        ),
        ({"input": [{"type": "compaction_trigger"}]}, "input[0].type", "unsupported_value"),
        ({"input": []}, "input", "missing_required_parameter"),
        ({"input": "  "}, "input", "missing_required_parameter"),
        ({}, "input", "missing_required_parameter"),
        ({"input": "x", "temperature": 3}, "temperature", "decimal_above_max_value"),
        ({"input": "x", "top_logprobs": 2}, "top_logprobs", "unsupported_parameter"),
        ({"input": "x", "max_output_tokens": 0}, "max_output_tokens", "integer_below_min_value"),
        ({"input": "x", "truncation": "maybe"}, "truncation", "invalid_value"),
        ({"input": "x", "reasoning": {"effort": "huge"}}, "reasoning.effort", "invalid_value"),
        ({"input": "x", "text": {"verbosity": "none"}}, "text.verbosity", "invalid_value"),
        ({"input": "x", "text": {"format": {"type": "xml"}}}, "text.format.type", "invalid_value"),
        (
            {"input": "x", "text": {"format": {"type": "json_schema", "name": "n"}}},
            "text.format.schema",
            "missing_required_parameter",
        ),
        ({"input": "x", "include": ["everything"]}, "include[0]", "invalid_value"),
        ({"input": "x", "include": ["message.output_text.logprobs"]}, "include", "unsupported_parameter"),
        ({"input": "x", "conversation": "conv_1"}, "conversation", "unsupported_parameter"),
        ({"input": "x", "prompt": {"id": "p"}}, "prompt", "unsupported_parameter"),
        ({"input": "x", "background": True, "store": False}, "background", None),
        ({"input": "x", "instructions": ["no"]}, "instructions", "invalid_type"),
        ({"input": "x", "metadata": {"a": 1}}, "metadata.a", "invalid_type"),
        ({"input": "x", "model": "gpt-4"}, "model", "model_not_found"),
    ],
)
def test_what_is_wrong_is_named(members: dict[str, Any], param: str, code: str | None) -> None:
    error = refusal(**members)
    assert (error.param, openai_error(error).code) == (param, code)


def test_a_reference_to_an_unknown_item_is_not_found() -> None:
    error = refusal(input=[{"type": "item_reference", "id": "msg_1"}])
    assert isinstance(error, NotFound)
    assert "msg_1" in error.message


def test_references_may_be_written_without_a_type() -> None:
    asked = DIALECT.read(json.dumps({"input": [{"id": "msg_1"}]}).encode())
    assert asked.references == ("msg_1",)
    stored = {"id": "msg_1", "type": "message", "role": "user", "content": "Earlier"}
    request = DIALECT.complete(asked, known={"msg_1": stored})
    assert request.turn.messages == (UserMessage("Earlier"),)
    assert request.items == (stored,)


def test_history_comes_before_the_input_and_after_the_instructions() -> None:
    asked = DIALECT.read(json.dumps({"input": "And now?", "instructions": "Be brief."}).encode())
    request = DIALECT.complete(
        asked,
        history=[
            {"type": "message", "role": "user", "content": "Hi"},
            {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}]},
        ],
    )
    assert request.turn.messages == (
        InstructionMessage("Be brief."),
        UserMessage("Hi"),
        AssistantMessage("Hello"),
        UserMessage("And now?"),
    )
    assert len(request.items) == 1


def test_parameters_reach_the_turn() -> None:
    turn = parse(
        input="x",
        reasoning={"effort": "xhigh", "summary": "auto"},
        text={
            "format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True},
            "verbosity": "low",
        },
        max_output_tokens=99,
        parallel_tool_calls=False,
        temperature=0.5,
        client_metadata={"a": "b"},
        prompt_cache_key="k",
        top_k=40,
        stop="END",
    ).turn
    assert turn.effort == "high"
    assert turn.output_format == OutputFormat("json_schema", "n", {"type": "object"}, strict=True)
    assert turn.max_tokens == 99
    assert turn.parallel_tool_calls is False
    assert turn.stop == ("END",)
    assert turn.options == {"temperature": 0.5, "prompt_cache_key": "k", "verbosity": "low", "top_k": 40}
    assert set(turn.ignored) == {"client_metadata", "reasoning.summary"}


def test_a_preload_probe_is_recognised() -> None:
    assert parse(input="", max_output_tokens=1).is_probe
    assert parse(input=[{"role": "user", "content": " "}], max_output_tokens=1).is_probe
    assert not parse(input="Hi", max_output_tokens=1).is_probe


def test_stored_items_are_whole_and_have_ids_of_their_response() -> None:
    request = parse(
        input=[
            {"role": "user", "content": "Hi"},
            {"type": "function_call_output", "call_id": "a", "output": "b"},
        ]
    )
    token = request.frame.id.removeprefix("resp_")
    assert request.items == (
        {
            "role": "user",
            "content": [{"type": "input_text", "text": "Hi"}],
            "type": "message",
            "id": f"msg_{token}0000",
            "status": "completed",
        },
        {
            "type": "function_call_output",
            "call_id": "a",
            "output": "b",
            "id": f"fco_{token}0001",
            "status": "completed",
        },
    )
