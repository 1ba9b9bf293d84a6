"""The reasoning between tool calls, for conversations that are sent whole."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from msgspec.structs import replace

from gptoss_api.core.events import (
    Events,
    Finished,
    ReasoningDelta,
    Started,
    ToolCallDelta,
    ToolCallFinished,
    ToolCallStarted,
)
from gptoss_api.core.turn import AssistantMessage, ToolCall, ToolResultMessage, Turn, UserMessage
from gptoss_api.emulation import EmulatedUpstream, EmulationSettings
from gptoss_api.state import GuardedStore, Store
from gptoss_api.threads import Thoughts
from gptoss_api.upstreams.base import Capabilities, Health
from tests.simulator import Answer as Reply
from tests.simulator import Exchange, Simulator

from .chatting import SEARCH, TOKENS, Client, Inside, calling, says

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


class Native:
    """An upstream that takes conversations and calls tools itself, and notes what it is asked."""

    name = "native"
    capabilities = Capabilities(history=True, tools=True)

    def __init__(self) -> None:
        self.asked: list[Turn] = []

    @asynccontextmanager
    async def open(self, turn: Turn) -> AsyncIterator[AsyncIterator[Events]]:
        self.asked.append(turn)
        yield self._answer(turn)

    async def _answer(self, turn: Turn) -> AsyncIterator[Events]:
        yield [Started(self.name, turn.model), ReasoningDelta(THOUGHT)]
        yield [ToolCallStarted(0, "call_native", "search"), ToolCallDelta(0, "{}"), ToolCallFinished(0)]
        yield [Finished("tool_calls")]

    async def health(self) -> Health:
        return Health(True)

    async def close(self) -> None:
        pass


async def test_an_upstream_with_tools_of_its_own_gets_it_with_the_message(store: Store) -> None:
    thoughts, native = Thoughts(GuardedStore(store)), Native()
    upstream = EmulatedUpstream(native, TOKENS, EmulationSettings(), thoughts=thoughts)
    asked = Turn(model="gpt-oss-120b", messages=(UserMessage("Hi"),), tools=(SEARCH,))
    async with upstream.open(asked) as batches:
        async for _ in batches:
            pass
    called = AssistantMessage(tool_calls=(ToolCall("call_native", "search", "{}"),))
    result = ToolResultMessage("nothing", "call_native")
    async with upstream.open(replace(asked, messages=(*asked.messages, called, result))) as batches:
        async for _ in batches:
            pass
    assert native.asked[1].messages[1] == replace(called, reasoning=THOUGHT)
    await thoughts.close()


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
