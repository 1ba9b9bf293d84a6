"""What becomes of each block and role of a conversation."""

from typing import Any

import pytest

from gptoss_api.core.errors import InvalidRequest, UnsupportedValue
from gptoss_api.core.turn import (
    AssistantMessage,
    InstructionMessage,
    ToolCall,
    ToolResultMessage,
    UserMessage,
    summary_message,
)
from gptoss_api.dialects.messages.signatures import Signer

from .asking import assistant, block, call, result, text, turn, user

PNG = block("image", source={"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="})
PDF = block("document", source={"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="})


def messages(*sent: dict[str, Any], **body: Any) -> tuple[Any, ...]:
    return turn(messages=list(sent), **body).messages


def test_a_text_and_a_block_of_it_are_the_same_message() -> None:
    plain = messages({"role": "user", "content": "Hello"})
    marked = {**text("Hello"), "cache_control": {"type": "ephemeral"}}
    assert messages(user(marked, text(""))) == plain == (UserMessage("Hello"),)


def test_the_system_prompt_comes_first_without_the_billing_block() -> None:
    billing = text("x-anthropic-billing-header: cc_version=2.1.332.abc; cc_entrypoint=cli;")
    system = [billing, text("You are a CLI."), text(" "), {**text("Be brief."), "cache_control": {}}]
    assert messages(user(text("Hi")), system=system) == (
        InstructionMessage("You are a CLI.\n\nBe brief."),
        UserMessage("Hi"),
    )
    assert messages(user(text("Hi")), system="You are a CLI.")[0] == InstructionMessage("You are a CLI.")
    assert messages(user(text("Hi")), system=[billing]) == (UserMessage("Hi"),)


def test_a_system_message_stays_at_its_place() -> None:
    said = messages(
        user(text("Hi")),
        {"role": "system", "content": "Tools: A"},
        assistant(text("Hello")),
        {"role": "developer", "content": [text("New tool: B")]},
        user(text("Go")),
    )
    assert said == (
        UserMessage("Hi"),
        InstructionMessage("Tools: A", "developer"),
        AssistantMessage("Hello"),
        InstructionMessage("New tool: B", "developer"),
        UserMessage("Go"),
    )


def test_results_come_right_after_their_calls_and_what_is_said_beside_them_later() -> None:
    said = messages(
        user(text("Read")),
        assistant(call("toolu_1", "Read", file="a"), call("toolu_2", "Read", file="b")),
        {"role": "system", "content": "Reminder"},
        user(text("Mind the tests."), result("toolu_1", "A"), result("toolu_2", [text("B"), text("C")])),
    )
    assert said == (
        UserMessage("Read"),
        AssistantMessage(
            tool_calls=(
                ToolCall("toolu_1", "Read", '{"file":"a"}'),
                ToolCall("toolu_2", "Read", '{"file":"b"}'),
            )
        ),
        ToolResultMessage("A", "toolu_1", "Read"),
        ToolResultMessage("B\nC", "toolu_2", "Read"),
        InstructionMessage("Reminder", "developer"),
        UserMessage("Mind the tests."),
    )


def test_a_failed_tool_and_one_without_output_are_told_apart() -> None:
    said = messages(
        user(text("Go")),
        assistant(call("toolu_1", "Bash"), call("toolu_2", "Bash")),
        user(result("toolu_1", "exit 1", is_error=True), {"type": "tool_result", "tool_use_id": "toolu_2"}),
    )
    assert said[2:] == (
        ToolResultMessage("exit 1", "toolu_1", "Bash", is_error=True),
        ToolResultMessage("", "toolu_2", "Bash"),
    )


def test_ids_of_our_own_are_given_back_as_we_know_them_and_others_as_they_are() -> None:
    ours = "0123456789abcdef01234567"
    said = messages(
        user(text("Go")),
        assistant(call(f"toolu_{ours}", "A"), call("call_abc.1|x", "B"), call("call_abc.1|x", "B")),
        user(result(f"toolu_{ours}", "1"), result("call_abc.1|x", "2")),
    )
    assert [each.id for each in said[1].tool_calls] == [f"call_{ours}", "call_abc.1|x", "call_abc.1|x"]
    assert [each.call_id for each in said[2:]] == [f"call_{ours}", "call_abc.1|x"]


@pytest.mark.parametrize("attached", [PNG, PDF, block("image", source={"type": "url", "url": "https://x/y"})])
def test_a_picture_of_a_user_is_refused_by_its_place(attached: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedValue, match=r"messages\[0\].content\[1\]") as refused:
        messages(user(text("Look"), attached))
    assert refused.value.param == "messages[0].content[1]"


@pytest.mark.parametrize(
    "later",
    [[user(text("And now?"))], [assistant(text("I cannot.")), user(text("Then this."))]],
)
def test_a_picture_in_an_older_message_of_the_user_becomes_a_note(later: list[Any]) -> None:
    said = messages(user(text("Look"), PNG), *later)
    assert said[0].text.startswith("Look\n\n[image/png omitted: this model reads text only]")


def test_results_of_tools_make_no_message_of_the_user_older() -> None:
    said = [user(text("Look"), PNG), assistant(call("toolu_1", "Read")), user(result("toolu_1", "x"))]
    with pytest.raises(UnsupportedValue) as refused:
        messages(*said)
    assert refused.value.param == "messages[0].content[1]"


def test_a_picture_that_a_tool_gave_becomes_a_note() -> None:
    said = messages(
        user(text("Go")),
        assistant(call("toolu_1", "Read")),
        user(result("toolu_1", [PNG, PDF, block("image", source={"type": "file", "file_id": "f"})])),
    )
    assert said[2].text.splitlines() == [
        "[image/png omitted: this model reads text only]",
        "[application/pdf omitted: this model reads text only]",
        "[image omitted: this model reads text only]",
    ]


@pytest.mark.parametrize(
    "source",
    [
        {"type": "text", "media_type": "text/plain", "data": "In words."},
        {"type": "content", "content": [text("In words.")]},
        {"type": "content", "content": "In words."},
    ],
)
def test_a_document_of_text_is_its_text(source: dict[str, Any]) -> None:
    document = block("document", source=source)
    assert messages(user(document)) == (UserMessage("In words."),)
    said = messages(user(text("Go")), assistant(call("t", "Read")), user(result("t", [document])))
    assert said[2].text == "In words."


def test_thoughts_come_back_whole_or_not_at_all() -> None:
    signer = Signer(b"a secret of the tests")
    signature = signer.sign("We read.")

    def thought(said: str, signature: str) -> str:
        block_ = block("thinking", thinking=said, signature=signature)
        message = messages(user(text("Go")), assistant(block_, call("t", "Read")), user(result("t", "1")))[1]
        assert isinstance(message, AssistantMessage)
        return message.reasoning

    assert thought("We read.", signature) == "We read."
    assert thought("We read.", "") == "We read."
    assert thought("Claude's own.", "EqQBCgIYAhIM") == "Claude's own."
    # The gateway keeps the original and puts it in where nothing stands.
    assert thought("We", signature) == ""
    assert messages(user(text("Go")), assistant(block("redacted_thinking", data="x")), user(text("On"))) == (
        UserMessage("Go\n\nOn"),
    )


def test_an_answer_in_several_blocks_is_joined_as_it_was_written() -> None:
    said = messages(user(text("Go")), assistant(text("One "), text("two")), user(text("On")))
    assert said[1] == AssistantMessage("One two")


def test_what_only_anthropics_models_write_is_told_in_words() -> None:
    said = messages(
        user(text("Go")),
        assistant(
            text("Let me look."),
            block("server_tool_use", id="s", name="web_search", input={"query": "rain"}),
            block(
                "web_search_tool_result",
                tool_use_id="s",
                content=[{"type": "web_search_result", "title": "Rain", "url": "https://rain.example"}],
            ),
            block("no_such_block", a=1),
        ),
        user(block("search_result", title="T", source="S", content=[text("Found")]), text("On")),
    )
    assert said[1].text.split("\n\n")[0] == "Let me look."
    for part in ('[web_search: {"query":"rain"}]', "Rain: https://rain.example", '"type":"no_such_block"'):
        assert part in said[1].text
    assert said[2] == UserMessage("T\nS\nFound\n\nOn")


def test_nothing_said_is_no_error() -> None:
    assert messages(user(), {"role": "assistant", "content": ""}, user(text("A")), user(text("B"))) == (
        UserMessage("A\n\nB"),
    )
    assert messages(user()) == (UserMessage(""),)
    # A beginning of the answer is ordinary history.
    assert messages(user(text("Go")), assistant(text("It is")))[-1] == AssistantMessage("It is")


@pytest.mark.parametrize(
    ("sent", "param"),
    [
        ([], "messages"),
        (["Hello"], "messages[0]"),
        ([{"role": "tool", "content": "x"}], "messages[0].role"),
        ([{"role": "user"}], "messages[0].content"),
        ([{"role": "user", "content": 7}], "messages[0].content"),
        ([user({"text": "x"})], "messages[0].content[0].type"),
        ([user(block("text"))], "messages[0].content[0].text"),
        ([user({"type": "tool_result"})], "messages[0].content[0].tool_use_id"),
        (
            [assistant({"type": "tool_use", "id": "t", "name": "A", "input": "x"})],
            "messages[0].content[0].input",
        ),
        ([{"role": "system", "content": [PNG]}], "messages[0].content[0].type"),
    ],
)
def test_what_cannot_be_read_is_named(sent: Any, param: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        turn(messages=sent)
    assert refused.value.param == param


def test_a_summary_stands_for_everything_before_it() -> None:
    compaction = block("compaction", content="They want rain.")
    failed = block("compaction", content=None)
    asked = messages(
        user(text("Weather?")),
        {"role": "system", "content": "Be brief."},
        assistant(text("Dropped."), compaction, text("It rains.")),
        user(text("Where?")),
        assistant(failed, text("Here.")),
        user(text("When?")),
    )
    assert asked == (
        InstructionMessage("Be brief.", "developer"),
        summary_message("They want rain."),
        AssistantMessage("It rains."),
        UserMessage("Where?"),
        AssistantMessage("Here."),
        UserMessage("When?"),
    )
