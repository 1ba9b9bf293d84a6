"""The reasoning between tool calls, for conversations that are sent whole."""

import json
from collections.abc import AsyncIterator, Iterator
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
from gptoss_api.core.turn import (
    AssistantMessage,
    InstructionMessage,
    Message,
    ToolCall,
    ToolResultMessage,
    Turn,
    UserMessage,
)
from gptoss_api.emulation import EmulatedUpstream, EmulationSettings
from gptoss_api.state import GuardedStore, Store
from gptoss_api.threads import ReasoningCache
from gptoss_api.upstreams.base import Capabilities, Health
from tests.pulled import GivesBatches, opened
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
    assert (await replaying.reasoning.recalled(loop)).messages[1] != loop.messages[1]
    await client.give("it")
    await replaying.settled()
    assert await replaying.reasoning.recalled(loop) == loop
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


class Native(GivesBatches):
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
    cache, native = ReasoningCache(GuardedStore(store)), Native()
    upstream = EmulatedUpstream(native, TOKENS, EmulationSettings(), reasoning=cache)
    first = replace(asked(), tools=(SEARCH,))
    async with opened(upstream, first) as batches:
        async for _ in batches:
            pass
    made = called("call_native")
    result = ToolResultMessage("nothing", "call_native")
    async with opened(upstream, replace(first, messages=(*first.messages, made, result))) as batches:
        async for _ in batches:
            pass
    assert native.asked[1].messages[1] == replace(made, reasoning=THOUGHT)
    await cache.close()


def asked(*messages: Message, caller: str = "") -> Turn:
    return Turn(model="gpt-oss-120b", messages=messages or (UserMessage("Hi"),), caller=caller)


def called(call_id: str = "call_1", arguments: str = "{}") -> AssistantMessage:
    return AssistantMessage(tool_calls=(ToolCall(call_id, "search", arguments),))


def turn(caller: str = "", call_id: str = "call_1") -> Turn:
    return asked(UserMessage("Hi"), called(call_id), caller=caller)


def answer(reasoning: str, call_id: str = "call_1") -> AssistantMessage:
    return AssistantMessage(reasoning=reasoning, tool_calls=(ToolCall(call_id, "search", "{}"),))


async def recalled(cache: ReasoningCache, again: Turn) -> str:
    """What is known of the thought before the last call."""
    await cache.close()
    messages = (await cache.recalled(again)).messages
    return [message.reasoning for message in messages if isinstance(message, AssistantMessage)][-1]


async def test_callers_do_not_read_each_others_thoughts(store: Store) -> None:
    cache = ReasoningCache(GuardedStore(store))
    await cache.keep(asked(caller="one"), answer(THOUGHT))
    assert await recalled(cache, turn("two")) == ""
    assert await recalled(cache, turn("")) == ""
    assert await recalled(cache, turn("one")) == THOUGHT


async def test_of_a_very_long_thought_the_end_is_kept(store: Store) -> None:
    cache = ReasoningCache(GuardedStore(store))
    await cache.keep(asked(), answer("\U0001f600" * 50_000 + "so I call it"))
    kept = await recalled(cache, turn())
    assert kept.endswith("\U0001f600so I call it")
    assert len(kept) == 16_384


async def test_odd_ids_and_texts_are_kept_as_they_are(store: Store) -> None:
    cache = ReasoningCache(GuardedStore(store))
    await cache.keep(asked(), answer("half \ud83d of it", "id \udcff"))
    assert await recalled(cache, turn(call_id="id \udcff")) == "half \ud83d of it"


CALLED_BEFORE = (UserMessage("Oslo?"), called("call_0"), ToolResultMessage("rain", "call_0"))


@pytest.mark.parametrize(
    ("messages", "again"),
    [
        (CALLED_BEFORE[:1], (UserMessage("Rome?"),)),
        ((*CALLED_BEFORE[:1], UserMessage("Go on.")), (UserMessage("Rome?"), UserMessage("Go on."))),
        (CALLED_BEFORE, (CALLED_BEFORE[0], called("call_0", '{"query": "Oslo"}'), CALLED_BEFORE[2])),
        (CALLED_BEFORE, CALLED_BEFORE[:1]),
        (CALLED_BEFORE[:1], CALLED_BEFORE),
    ],
)
async def test_an_id_that_several_conversations_have_finds_no_thought_of_another(
    messages: tuple[Message, ...], again: tuple[Message, ...], store: Store
) -> None:
    cache = ReasoningCache(GuardedStore(store))
    await cache.keep(asked(*messages), answer(THOUGHT))
    assert await recalled(cache, asked(*again, called())) == ""
    assert await recalled(cache, asked(*messages, called())) == THOUGHT


async def test_the_same_words_without_the_id_find_no_thought(store: Store) -> None:
    cache = ReasoningCache(GuardedStore(store))
    await cache.keep(asked(), answer(THOUGHT))
    assert await recalled(cache, turn(call_id="call_0")) == ""


def rewritten(messages: tuple[Message, ...]) -> Iterator[Message]:
    """The conversation as clients send it that write its instructions anew and tidy up."""
    yield InstructionMessage("You help. It is 10:02.")
    for message in messages:
        match message:
            case UserMessage(text):
                yield UserMessage(f"{text} \r\n")
            case AssistantMessage():
                spaced = tuple(replace(call, arguments='{ "query":"a" }') for call in message.tool_calls)
                yield replace(message, text="I look.", tool_calls=spaced)
            case ToolResultMessage():
                yield replace(message, text="[shortened]")
            case _:
                pass


async def test_what_clients_rewrite_does_not_lose_the_thought(store: Store) -> None:
    said: tuple[Message, ...] = (
        InstructionMessage("You help. It is 10:01."),
        UserMessage("Look it up."),
        called("call_a", '{"query":"a"}'),
        ToolResultMessage("long " * 1000, "call_a"),
    )
    cache = ReasoningCache(GuardedStore(store))
    await cache.keep(asked(*said), answer(THOUGHT, "call_b"))
    assert await recalled(cache, asked(*rewritten(said), called("call_b"))) == THOUGHT


async def test_a_long_conversation_keeps_its_thoughts_too(store: Store) -> None:
    said: list[Message] = [UserMessage("Go.")]
    for number in range(400):
        said += (called(f"call_{number}", '{"query": "x"}'), ToolResultMessage("", f"call_{number}"))
    said += (called("call_long", json.dumps({"query": "x" * 70_000})), ToolResultMessage("", "call_long"))
    cache = ReasoningCache(GuardedStore(store))
    await cache.keep(asked(*said), answer(THOUGHT, "call_new"))
    assert await recalled(cache, asked(*said, called("call_new"))) == THOUGHT
