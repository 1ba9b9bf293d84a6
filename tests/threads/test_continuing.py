"""Only what is new is sent: groups 63 and 65 of docs/design/cases.md."""

import json

import pytest

from gptoss_api.core.turn import (
    AssistantMessage,
    OutputFormat,
    Tool,
    ToolCall,
    ToolChoice,
    ToolResultMessage,
)
from gptoss_api.emulation import driver
from gptoss_api.emulation.prompt.tool_section import tools_digest
from tests.simulator import Answer as Reply
from tests.simulator import Pause, Simulator, Stall

from .chatting import GUIDE, SEARCH, Client, Inside, calling, count, says


async def test_a_chat_sends_only_its_newest_message(inside: Inside, site: Simulator) -> None:
    site.always(count)
    client = Client(inside, GUIDE)
    answers = [await client.say(f"message {number}") for number in range(6)]
    assert [answer.thread for answer in answers] == ["new"] + 5 * ["reused"]
    assert [answer.text for answer in answers] == [f"turn {number}" for number in range(1, 7)]
    assert [asked.text for asked in site.requests[1:]] == [f"message {number}" for number in range(1, 6)]
    assert [asked.op for asked in site.requests] == ["threads.create"] + 5 * ["threads.addMessage"]
    assert len({asked.thread_id for asked in site.requests[1:]}) == 1


async def test_a_plain_chat_is_never_dressed_up(inside: Inside, site: Simulator) -> None:
    client = Client(inside)
    await client.say("one")
    await client.say("two")
    assert [asked.text for asked in site.requests] == ["one", "two"]


async def test_usage_tells_what_was_not_sent_again(inside: Inside, site: Simulator) -> None:
    client = Client(inside, GUIDE)
    first = await client.say("Tell me about Paris. " * 50)
    second = await client.say("And Rome?")
    assert first.usage.cached_tokens == 0
    sent = second.usage.prompt_tokens - second.usage.cached_tokens
    assert second.usage.cached_tokens > first.usage.prompt_tokens
    assert sent == 3 + 4  # Its words, and what Harmony puts around a message.


async def test_a_tool_loop_sends_only_the_results(inside: Inside, site: Simulator) -> None:
    site.script(calling(query="a"), calling(query="b"), says("Found it."))
    client = Client(inside, GUIDE, tools=(SEARCH,))
    answers = [await client.say("Look it up."), await client.give("nothing"), await client.give("it")]
    assert [answer.thread for answer in answers] == ["new", "reused", "reused"]
    assert answers[-1].text == "Found it."
    for asked, result in zip(site.requests[1:], ("nothing", "it"), strict=True):
        assert f">\n{result}\n</tool_result>" in asked.text
        assert "# Tools" not in asked.text
        assert "Look it up" not in asked.text


async def test_what_a_conversation_begins_with_is_hashed_once_for_a_turn(
    inside: Inside, site: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[int] = []

    def counted(tools: tuple[Tool, ...]) -> bytes:
        hashed.append(1)
        return tools_digest(tools)

    monkeypatch.setattr("gptoss_api.emulation.prompt.key.tools_digest", counted)
    site.script(calling(query="a"), says("Found it."))
    client = Client(inside, GUIDE, tools=(SEARCH,))
    for number, answering in enumerate((client.say("Look it up."), client.give("nothing")), 1):
        await answering
        assert len(hashed) == number


async def test_parallel_calls_and_a_message_after_their_results(inside: Inside, site: Simulator) -> None:
    site.script(
        lambda asked: "Both.\n" + calling(query="a")(asked) + "\n" + calling(query="b")(asked), says("Done.")
    )
    client = Client(inside, tools=(SEARCH,))
    await client.say("Look both up.")
    last = client.messages[-1]
    assert isinstance(last, AssistantMessage)
    client.messages += [ToolResultMessage(call.arguments, call.id) for call in last.tool_calls]
    answer = await client.say("Be brief.")
    assert answer.thread == "reused"
    assert site.last.text.count("</tool_result>") == 2
    assert "Be brief." in site.last.text


async def test_a_call_that_the_model_follows_with_white_space_ends_well(
    inside: Inside, site: Simulator
) -> None:
    site.script(lambda asked: calling(query="a")(asked) + "\n\n", says("Done."))
    client = Client(inside, tools=(SEARCH,), parallel_tool_calls=False)
    await client.say("Look it up.")
    assert (await client.give("it")).thread == "reused"


async def test_a_complete_call_is_given_a_moment_to_end_by_itself(inside: Inside, site: Simulator) -> None:
    written = calling(query="a")
    site.script(lambda asked: Reply(written(asked), at={"deltas": [Pause(0.2)]}), says("Done."))
    client = Client(inside, tools=(SEARCH,), parallel_tool_calls=False)
    await client.say("Look it up.")
    assert site.last.outcome == "complete"
    assert (await client.give("it")).thread == "reused"


async def test_but_not_for_ever(inside: Inside, site: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver, "END_TIME", 0.1)
    written = calling(query="a")
    site.script(lambda asked: Reply(written(asked), at={"deltas": [Stall()]}), says("Done."))
    client = Client(inside, tools=(SEARCH,), parallel_tool_calls=False)
    assert (await client.say("Look it up.")).choice.finish_reason == "tool_calls"
    await site.wait_for(lambda: site.last.outcome == "abandoned")
    assert (await client.give("it")).thread == "replayed"


@pytest.mark.parametrize("strict", [True, False])
async def test_json_that_is_complete_is_given_the_same_moment(
    inside: Inside, site: Simulator, strict: bool
) -> None:
    form = OutputFormat("json_schema", "a", {"type": "object"}, strict=strict)
    site.script(Reply('{"a": 1}\n', at={"deltas": [Pause(0.1)]}), says('{"a": 2}'))
    client = Client(inside, output_format=form)
    await client.say("one")
    assert (await client.say("two")).thread == "reused"


async def test_what_a_thread_has_not_seen_is_sent_with_the_new_message(
    inside: Inside, site: Simulator
) -> None:
    site.script(*map(says, ("Hello.", '{"a": 1}', '{"a": 2}', '{"b": 3}')))
    client = Client(inside, GUIDE, tools=(SEARCH,))
    one, two = (
        OutputFormat("json_schema", name, {"type": "object", "properties": {name: {"type": "number"}}})
        for name in "ab"
    )
    await client.say("Hi", tool_choice=ToolChoice("none"))
    await client.say("first", output_format=one)
    await client.say("second", output_format=one)
    answer = await client.say("third", output_format=two)
    assert answer.thread == "reused"
    sections = [
        (asked.text.count("# Tools"), asked.text.count("# Response Formats")) for asked in site.requests
    ]
    assert sections == [(0, 0), (1, 1), (0, 0), (0, 1)]


async def test_what_clients_change_without_meaning_it_is_still_a_hit(inside: Inside, site: Simulator) -> None:
    site.script(
        lambda asked: "  Let me look.  \n" + calling(query="caf\u00e9", limit=2.0)(asked),
        says("  Here:\r\n  it is.  "),
        says("Bye."),
    )
    client = Client(inside, GUIDE, tools=(SEARCH,))
    await client.say("Look \r\nit up.  ")
    last = client.messages[-1]
    assert isinstance(last, AssistantMessage)
    assert len(last.tool_calls) == 1
    respelt = json.dumps({"limit": 2, "query": "caf\u00e9"}, ensure_ascii=True, indent=1)
    client.messages[-1] = AssistantMessage(
        "Let me look.", "", tool_calls=(ToolCall("other-id", "search", respelt),)
    )
    client.change(1, text="Look \nit up.")
    client.messages.append(ToolResultMessage("it", "other-id"))
    assert (await client.go_on()).thread == "reused"
    client.change(-1, text="Here:\n  it is.", reasoning="made up")
    client.change(3, name="search")
    assert (await client.say("Thanks")).thread == "reused"


async def test_a_new_thread_for_one_request_can_be_asked_for(inside: Inside, site: Simulator) -> None:
    client = Client(inside, GUIDE)
    await client.say("one")
    answer = await client.say("two", new_thread=True)
    assert answer.thread == "new"
    assert "one" in site.last.text
    assert site.last.op == "threads.create"
    assert (await client.say("three")).thread == "reused"
    assert site.last.thread_id == answer.started.thread_id
