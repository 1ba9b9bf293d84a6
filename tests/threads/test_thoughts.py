"""The reasoning between tool calls, for conversations that are sent whole."""

from collections.abc import AsyncIterator

import pytest

from gptoss_api.core.turn import AssistantMessage, ToolCall, Turn, UserMessage
from gptoss_api.state import GuardedStore, Store
from gptoss_api.threads import Thoughts
from tests.simulator import Answer as Reply
from tests.simulator import Exchange, Simulator

from .chatting import SEARCH, Client, Inside, calling, says

THOUGHT = "The notes must say it, so I search them."


def thinking(asked: Exchange) -> Reply:
    return Reply(calling(query="a")(asked), reasoning=(THOUGHT,))


@pytest.fixture
async def replaying(site: Simulator, store: Store) -> AsyncIterator[Inside]:
    """A gateway that continues no thread."""
    async with Inside(site, GuardedStore(store), threads=False) as running:
        yield running


async def test_a_client_that_drops_the_reasoning_loses_nothing(replaying: Inside, site: Simulator) -> None:
    site.script(thinking, calling(query="b"), says("Found."))
    client = Client(replaying, tools=(SEARCH,))
    await client.say("Look it up.")
    await client.give("nothing")
    await client.give("it")
    for asked in site.requests[1:]:
        assert asked.text.count(THOUGHT) == 1
        before, after = asked.text.split(THOUGHT)
        assert before.rstrip().endswith('channel="analysis">')
        assert "<tool_call" in after


async def test_it_is_dropped_after_the_final_answer(replaying: Inside, site: Simulator, store: Store) -> None:
    site.script(thinking, says("Found."))
    client = Client(replaying, tools=(SEARCH,))
    await client.say("Look it up.")
    loop = client.turn()
    await replaying.settled()
    assert (await replaying.thoughts.recalled(loop)).messages[1] != loop.messages[1]
    await client.give("it")
    await replaying.settled()
    assert await replaying.thoughts.recalled(loop) == loop
    await client.say("Thanks.")
    assert THOUGHT not in site.last.text


async def test_what_the_client_sends_back_counts(replaying: Inside, site: Simulator) -> None:
    site.script(thinking, says("Found."))
    client = Client(replaying, tools=(SEARCH,))
    await client.say("Look it up.")
    client.change(-1, reasoning="I have thought again.")
    await client.give("it")
    assert "I have thought again." in site.last.text
    assert THOUGHT not in site.last.text


async def test_a_thread_that_goes_on_is_not_told_its_own_thoughts(inside: Inside, site: Simulator) -> None:
    site.script(thinking, says("Found."))
    client = Client(inside, tools=(SEARCH,))
    await client.say("Look it up.")
    assert (await client.give("it")).thread == "reused"
    assert THOUGHT not in site.last.text


async def test_a_thread_that_is_lost_is(inside: Inside, site: Simulator) -> None:
    site.script(thinking, says("Found."))
    client = Client(inside, tools=(SEARCH,))
    await client.say("Look it up.")
    site.threads.clear()
    assert (await client.give("it")).thread == "replayed"
    assert THOUGHT in site.last.text


def turn(caller: str = "", call_id: str = "call_1") -> Turn:
    called = AssistantMessage(tool_calls=(ToolCall(call_id, "search", "{}"),))
    return Turn(model="gpt-oss-120b", messages=(UserMessage("Hi"), called), caller=caller)


def answer(reasoning: str, call_id: str = "call_1") -> AssistantMessage:
    return AssistantMessage(reasoning=reasoning, tool_calls=(ToolCall(call_id, "search", "{}"),))


async def recalled(thoughts: Thoughts, asked: Turn) -> str:
    await thoughts.close()
    message = (await thoughts.recalled(asked)).messages[1]
    assert isinstance(message, AssistantMessage)
    return message.reasoning


async def test_callers_do_not_read_each_others_thoughts(store: Store) -> None:
    thoughts = Thoughts(GuardedStore(store))
    thoughts.keep(turn("one"), answer(THOUGHT))
    assert await recalled(thoughts, turn("two")) == ""
    assert await recalled(thoughts, turn("")) == ""
    assert await recalled(thoughts, turn("one")) == THOUGHT


async def test_of_a_very_long_thought_the_end_is_kept(store: Store) -> None:
    thoughts = Thoughts(GuardedStore(store))
    thoughts.keep(turn(), answer("\U0001f600" * 50_000 + "so I call it"))
    kept = await recalled(thoughts, turn())
    assert kept.endswith("\U0001f600so I call it")
    assert len(kept) == 16_384


async def test_odd_ids_and_texts_are_kept_as_they_are(store: Store) -> None:
    thoughts = Thoughts(GuardedStore(store))
    thoughts.keep(turn(), answer("half \ud83d of it", "id \udcff"))
    assert await recalled(thoughts, turn(call_id="id \udcff")) == "half \ud83d of it"
