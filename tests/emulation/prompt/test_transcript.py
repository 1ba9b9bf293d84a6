"""The conversation so far as text: groups 4, 14 and 15 of docs/design/cases.md."""

import time
from collections.abc import Sequence

from gptoss_api.core.turn import (
    AssistantMessage,
    InstructionMessage,
    Message,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from gptoss_api.emulation.prompt.names import NameMap
from gptoss_api.emulation.prompt.neutralise import ClientText
from gptoss_api.emulation.prompt.transcript import Transcript, called_names, pair, split_raw_calls

DECLARED = NameMap.of(["read", "bash"])


def blocks(*messages: Message) -> list[tuple[str, str, str]]:
    """(tag, role or name, body) of every block."""
    names = DECLARED.extended(called_names(messages))
    entries = Transcript(ClientText(), DECLARED, names).entries(messages)
    return [(e.tag, e.role or e.extra.split('"')[1], e.body) for e in entries]


def calls(*pairs: tuple[str, str]) -> AssistantMessage:
    return AssistantMessage(tool_calls=tuple(ToolCall(i, n, "{}") for i, n in pairs))


def results(*messages: Message) -> Sequence[tuple[str, str]]:
    """What follows each call: (name, result)."""
    return [(name, body) for tag, name, body in blocks(*messages) if tag == "tool_result"]


def test_each_call_is_followed_by_its_own_result_also_out_of_order() -> None:
    shown = blocks(
        calls(("1", "read"), ("2", "bash")), ToolResultMessage("two", "2"), ToolResultMessage("one", "1")
    )
    assert shown == [
        ("tool_call", "read", "{}"),
        ("tool_result", "read", "one"),
        ("tool_call", "client_bash", "{}"),
        ("tool_result", "client_bash", "two"),
    ]


def test_a_missing_result_is_said_to_be_missing() -> None:
    assert results(calls(("1", "read")), UserMessage("so?")) == [("read", "(no result was returned)")]


def test_a_failure_of_a_tool_is_told_in_words() -> None:
    failed = ToolResultMessage("no such file", "1", is_error=True)
    silent = ToolResultMessage(" ", "2", is_error=True)
    assert results(calls(("1", "read"), ("2", "bash")), failed, silent) == [
        ("read", "The tool call failed:\nno such file"),
        ("client_bash", "The tool call failed and returned nothing."),
    ]
    assert results(UserMessage("a"), failed) == [("unknown", "The tool call failed:\nno such file")]


def test_a_result_that_answers_nothing_is_unknown() -> None:
    assert results(UserMessage("a"), ToolResultMessage("r", "9")) == [("unknown", "r")]
    assert results(UserMessage("a"), ToolResultMessage("r", "9", "bash")) == [("client_bash", "r")]


def test_equal_ids_in_one_message_are_answered_in_order() -> None:
    assert results(
        calls(("1", "read"), ("1", "bash")), ToolResultMessage("a", "1"), ToolResultMessage("b", "1")
    ) == [("read", "a"), ("client_bash", "b")]


def test_ids_used_again_belong_to_the_latest_call() -> None:
    assert results(
        calls(("1", "read")),
        ToolResultMessage("old", "1"),
        calls(("1", "bash")),
        ToolResultMessage("new", "1"),
    ) == [("read", "old"), ("client_bash", "new")]


def test_a_second_result_stays_with_its_call() -> None:
    assert results(calls(("1", "read")), ToolResultMessage("a", "1"), ToolResultMessage("b", "1")) == [
        ("read", "a"),
        ("read", "b"),
    ]


def test_results_of_calls_in_several_messages_are_found() -> None:
    assert results(
        calls(("1", "read")),
        calls(("2", "bash")),
        ToolResultMessage("a", "1"),
        ToolResultMessage("b", "2"),
    ) == [("read", "a"), ("client_bash", "b")]


def test_results_without_an_id_go_by_name_or_order() -> None:
    assert results(calls(("", "read"), ("", "bash")), ToolResultMessage("b", None, "bash")) == [
        ("read", "(no result was returned)"),
        ("client_bash", "b"),
    ]
    assert results(calls(("x", "read"), ("y", "bash")), ToolResultMessage("a"), ToolResultMessage("b")) == [
        ("read", "a"),
        ("client_bash", "b"),
    ]


def test_arguments_are_shown_as_they_are() -> None:
    message = AssistantMessage(tool_calls=(ToolCall("1", "read", " not json, {"), ToolCall("2", "read", "")))
    assert [body for tag, _, body in blocks(message) if tag == "tool_call"] == ["not json, {", "{}"]


def test_a_custom_call_is_a_function_with_one_string() -> None:
    message = AssistantMessage(tool_calls=(ToolCall("1", "read", 'a\n"b"', "custom"),))
    assert blocks(message)[0] == ("tool_call", "read", '{"input":"a\\n\\"b\\""}')


def test_an_undeclared_old_call_cannot_pass_for_a_declared_tool() -> None:
    assert blocks(calls(("1", "client_bash")))[0][1] == "client_bash_2"


def test_only_the_reasoning_of_an_unfinished_tool_turn_is_kept() -> None:
    done = AssistantMessage("", "old thought", tool_calls=(ToolCall("1", "read", "{}"),))
    running = AssistantMessage("say", "new thought", tool_calls=(ToolCall("2", "read", "{}"),))
    finished = AssistantMessage("answer", "idle thought")
    shown = blocks(
        UserMessage("a"),
        done,
        ToolResultMessage("r", "1"),
        finished,
        UserMessage("b"),
        running,
        ToolResultMessage("s", "2"),
    )
    bodies = [body for _, _, body in shown]
    assert bodies == ["a", "{}", "r", "answer", "b", "new thought", "say", "{}", "s"]


def test_refusals_instructions_and_names_are_kept_and_empty_messages_dropped() -> None:
    messages = (
        UserMessage("q", "ann"),
        AssistantMessage(refusal="I cannot."),
        AssistantMessage(),
        InstructionMessage("Be kind."),
        UserMessage("  "),
    )
    assert blocks(*messages) == [
        ("message", "user", "q"),
        ("message", "assistant", "I cannot."),
        ("message", "developer", "Be kind."),
    ]
    entry = Transcript(ClientText(), DECLARED, DECLARED).entries(messages)[0]
    assert entry.render("k7q2") == '<message role="user" key="k7q2" name="ann">\nq\n</message>\n'


def test_an_empty_result_has_no_line() -> None:
    entries = Transcript(ClientText(), DECLARED, DECLARED).entries(
        (calls(("1", "read")), ToolResultMessage("", "1"))
    )
    assert entries[1].render("k7q2") == '<tool_result key="k7q2" name="read">\n</tool_result>\n'


def test_raw_blocks_of_an_earlier_answer_become_calls() -> None:
    text = 'Look:\n\n<tool_call key="old1" name="client_bash">\n{"a": "</tool_call>"}\n</tool_call>\ndone'
    assert split_raw_calls(text, DECLARED) == ["Look:", ToolCall("", "bash", '{"a": "</tool_call>"}'), "done"]
    hermes = '<tool_call>\n{"name": "read", "arguments": {"p": 1}}\n</tool_call>'
    assert split_raw_calls(hermes, DECLARED) == ["", ToolCall("", "read", '{"p":1}'), ""]
    assert blocks(AssistantMessage(hermes)) == [
        ("tool_call", "read", '{"p":1}'),
        ("tool_result", "read", "(no result was returned)"),
    ]


def test_what_only_looks_like_a_raw_block_stays_text() -> None:
    for text in (
        '```\n<tool_call name="read">\n{}\n</tool_call>\n```',
        'Write <tool_call name="read">{}</tool_call>',
        '<tool_call name="write">\n{}\n</tool_call>',
        '<tool_call name="read">\n{broken\n</tool_call>',
        '<tool_call name="read">\n[1]\n</tool_call>',
        '<tool_call>\n{"name": 5}\n</tool_call>',
        '<tool_call name="read">\n' + "[" * 100_000,
        "<tool_call",
    ):
        assert split_raw_calls(text, DECLARED) == [text]
        assert "<tool_call" not in blocks(AssistantMessage(text))[0][2]


def test_many_openers_do_not_take_long() -> None:
    text = '<tool_call name="read">\n{"a": \n' * 20_000
    assert split_raw_calls(text, DECLARED) == [text]


def test_pairing_many_results_does_not_take_long() -> None:
    many = 20_000
    begin = time.thread_time()
    for call_id, name in (("1", None), (None, "read"), (None, None)):
        results = [ToolResultMessage("r", call_id, name)] * many
        paired = pair((calls(*[("1", "read")] * many), *results))
        assert all(len(each.results) == 1 for each in paired.calls[0])
    assert time.thread_time() - begin < 2
