"""When the whole conversation is sent: groups 64, 66, 67, 68 and 69 of docs/design/cases.md."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from gptoss_api.core.errors import GatewayError, Overloaded
from gptoss_api.core.turn import AssistantMessage, InstructionMessage, Tool, UserMessage
from gptoss_api.state import Entry, GuardedStore, Store
from gptoss_api.threads import ThreadLimits
from tests.simulator import Abort, Simulator
from tests.simulator import Answer as Reply

from .chatting import GUIDE, SEARCH, Client, Inside, calling, count, says


async def chat(inside: Inside, **settings: Any) -> Client:
    """Two exchanges, so that there is something to change."""
    client = Client(inside, GUIDE, **settings)
    await client.say("one")
    await client.say("two")
    return client


def edit(index: int) -> Callable[[Client], None]:
    return lambda client: client.change(index, text="something else")


def drop(index: int) -> Callable[[Client], None]:
    def change(client: Client) -> None:
        del client.messages[index]

    return change


def swap(client: Client) -> None:
    client.messages[1:5] = [*client.messages[3:5], *client.messages[1:3]]


def settings(**changes: Any) -> Callable[[Client], None]:
    return lambda client: client.settings.update(changes)


CHANGES = {
    "first message edited": edit(1),
    "answer in the middle edited": edit(2),
    "last answer edited": edit(4),
    "message deleted": drop(1),
    "exchange reordered": swap,
    "other instructions": edit(0),
    "no instructions": drop(0),
    "another model": settings(model="gpt-oss-20b"),
    "another effort": settings(effort="high"),
    "tools": settings(tools=(SEARCH,)),
    "another caller": settings(caller="somebody else"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_a_changed_conversation_is_sent_whole(
    inside: Inside, site: Simulator, change: Callable[[Client], None]
) -> None:
    client = await chat(inside)
    change(client)
    answer = await client.say("three")
    assert answer.thread == "replayed"
    assert site.last.op == "threads.create"
    for message in client.messages[:-1]:
        assert message.text in site.last.text


async def test_changed_tools_are_another_conversation(inside: Inside, site: Simulator) -> None:
    client = await chat(inside, tools=(SEARCH,))
    client.settings["tools"] = (SEARCH, Tool("other"))
    assert (await client.say("three")).thread == "replayed"
    client.settings["tools"] = (replace(SEARCH, description="Searches all."), Tool("other"))
    assert (await client.say("four")).thread == "replayed"


async def test_a_regenerated_answer_comes_from_a_new_thread(inside: Inside, site: Simulator) -> None:
    client = await chat(inside)
    client.messages.pop()
    assert (await client.go_on()).thread == "replayed"
    # Both go on, each where it was said.
    assert (await client.say("three")).thread == "reused"


async def test_an_answer_to_be_continued_and_new_instructions_are_sent_whole(inside: Inside) -> None:
    client = await chat(inside)
    assert (await client.go_on()).thread == "replayed"
    client = await chat(inside)
    client.messages.append(InstructionMessage("Be brief."))
    assert (await client.say("three")).thread == "replayed"


async def test_texts_that_only_look_alike_are_different(inside: Inside, site: Simulator) -> None:
    site.script(says("caf\u00e9"))
    client = Client(inside)
    await client.say("Where?")
    client.change(-1, text="cafe\u0301")
    assert (await client.say("When?")).thread == "replayed"


async def test_several_answers_at_once_use_threads_of_their_own(inside: Inside, site: Simulator) -> None:
    client = await chat(inside)
    assert (await client.say("three", n=2)).thread == "replayed"
    assert [asked.op for asked in site.requests[-2:]] == ["threads.create"] * 2


# Isolation


async def test_two_accounts_do_not_share_a_thread(inside: Inside, site: Simulator, store: Store) -> None:
    client = await chat(inside)
    await inside.settled()
    other = f"user_id={site.ids.user()}; session={site.session}"
    async with Inside(site, GuardedStore(store), cookie=other) as elsewhere:
        client.inside = elsewhere
        answer = await client.say("three")
        assert answer.thread == "replayed"
        assert site.last.op == "threads.create"
        assert len(site.requests) == 3
        assert (await client.say("four")).thread == "reused"


async def test_of_two_continuations_one_gets_the_thread(inside: Inside, site: Simulator) -> None:
    client = await chat(inside)
    await inside.settled()
    twins = [Client(inside, *client.messages) for _ in range(6)]
    answers = await asyncio.gather(*(twin.say(f"twin {n}") for n, twin in enumerate(twins)))
    assert sorted(answer.thread for answer in answers) == ["replayed"] * 5 + ["reused"]
    # Each goes on where it went.
    later = [await twin.say("more") for twin in twins]
    assert [answer.thread for answer in later] == ["reused"] * 6
    assert len({answer.started.thread_id for answer in later}) == 6


async def test_a_store_that_gives_a_tip_away_twice_gives_one_lease(
    inside: Inside, site: Simulator, store: Store
) -> None:
    """As a replica of a Redis may, that was promoted before it heard of the first time."""
    client = await chat(inside)
    await inside.settled()
    space = ThreadLimits().space()
    fork = Client(inside, *client.messages)
    seen: list[tuple[bytes, bytes]] = []
    take = inside.conversations._store.take

    async def remembering_take(space: Any, key: bytes) -> bytes | None:
        value = await take(space, key)
        if value is not None:
            seen.append((key, value))
        return value

    inside.conversations._store.take = remembering_take  # type: ignore[method-assign]  # spies on one call
    site.script(Reply("slow", pace=0.05, deltas=("slow ",) * 10))
    running = asyncio.create_task(client.say("three"))
    await site.wait_for(lambda: len(site.requests) == 3)
    ((key, value),) = seen
    await store.put(space, Entry(key, value))
    assert (await fork.say("three, too")).thread == "replayed"
    assert (await running).thread == "reused"


# Threads that hold something else than the client knows


async def test_a_client_that_leaves_spoils_the_thread(inside: Inside, site: Simulator) -> None:
    client = await chat(inside)
    site.script(Reply("word " * 100, pace=0.05, deltas=("word ",) * 100))
    leaving = asyncio.create_task(client.say("three"))
    await site.wait_for(lambda: len(site.requests) == 3)
    await asyncio.sleep(0.02)
    leaving.cancel()
    await asyncio.gather(leaving, return_exceptions=True)
    assert site.last.text == "three"
    answer = await client.go_on()
    assert answer.thread == "replayed"


async def test_an_answer_that_fails_spoils_the_thread(inside: Inside, site: Simulator) -> None:
    client = await chat(inside)
    site.script(Reply("Half an answer", at={"half": [Abort()]}))
    with pytest.raises(GatewayError):
        await client.say("three")
    assert (await client.go_on()).thread == "replayed"


@pytest.mark.parametrize(
    ("reply", "changes"),
    [
        ("One STOP two", {"stop": ("STOP",)}),
        ("many words " * 50, {"max_tokens": 10}),
    ],
    ids=["stop", "max_tokens"],
)
async def test_an_answer_that_was_cut_spoils_the_thread(
    inside: Inside, site: Simulator, reply: str, changes: dict[str, Any]
) -> None:
    client = await chat(inside)
    site.script(says(reply))
    assert (await client.say("three", **changes)).thread == "reused"
    assert (await client.say("four")).thread == "replayed"


@pytest.mark.parametrize(
    "write",
    [
        lambda asked: calling(query="a")(asked) + "\n<tool_result>invented</tool_result>",
        lambda asked: calling(query="a")(asked) + "\nI will tell you what it says.",
        lambda asked: calling(query="a")(asked).replace("</tool_call>", ""),
        lambda asked: calling(query="a")(asked).replace('"a"', "'a'"),
        lambda asked: '<tool_call>{"name": "search", "arguments": {"query": "a"}}</tool_call>',
    ],
    ids=["invented result", "text after the call", "no closer", "mended JSON", "another form"],
)
async def test_a_call_that_was_not_delivered_as_written_spoils_the_thread(
    inside: Inside, site: Simulator, write: Callable[[Any], str]
) -> None:
    site.script(write)
    client = Client(inside, tools=(SEARCH,))
    assert (await client.say("Look it up.")).choice.finish_reason == "tool_calls"
    assert (await client.give("it")).thread == "replayed"


async def test_markup_that_was_taken_out_spoils_the_thread(inside: Inside, site: Simulator) -> None:
    client = Client(inside)
    site.script(says("<|channel|>final<|message|>Hello."), says("A < b and so on."))
    assert (await client.say("one")).text == "Hello."
    assert (await client.say("two")).thread == "replayed"
    assert (await client.say("three")).thread == "reused"


async def test_one_repair_is_forgiven_and_two_are_not(inside: Inside, site: Simulator) -> None:
    number = {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}
    strict = Tool("strict", parameters=number, strict=True)
    client = Client(inside, tools=(strict,))
    wrong, right = calling("strict", a="many"), calling("strict", a=1)
    site.script(wrong, right)
    assert (await client.say("one")).choice.repairs == 1
    assert (await client.give("it")).thread == "reused"
    site.script(Reply(" ", reasoning=("Nothing to say.",)), wrong, right)
    answer = await client.say("three")
    assert answer.choice.repairs == 2
    assert (await client.give("it")).thread == "replayed"


async def test_an_empty_answer_leaves_nothing_to_go_on_with(inside: Inside, site: Simulator) -> None:
    client = Client(inside)
    client.messages = [UserMessage("one"), AssistantMessage("")]
    assert (await client.say("two")).thread == "replayed"


async def test_a_turn_that_finds_no_place_leaves_the_thread_as_it_is(site: Simulator, store: Store) -> None:
    async with Inside(site, GuardedStore(store), places=1) as inside:
        client = await chat(inside)
        site.script(Reply("slow", pace=0.05, deltas=("slow ",) * 10))
        running = asyncio.create_task(Client(inside).say("busy"))
        await site.wait_for(lambda: len(site.requests) == 3)
        with pytest.raises(Overloaded):
            await client.say("three")
        assert (await running).text
        assert (await client.go_on()).thread == "reused"


# Threads that are gone


async def test_a_thread_that_the_site_lost_is_replayed_once(inside: Inside, site: Simulator) -> None:
    client = await chat(inside)
    site.threads.clear()
    answer = await client.say("three")
    assert answer.thread == "replayed"
    assert [asked.op for asked in site.requests[2:]] == ["threads.addMessage", "threads.create"]
    assert "one" in site.last.text
    assert (await client.say("four")).thread == "reused"


async def test_a_site_that_loses_everything_is_not_asked_for_ever(inside: Inside, site: Simulator) -> None:
    client = await chat(inside)
    site.always("s14_unknown_thread")
    with pytest.raises(GatewayError):
        await client.say("three")
    # The lost thread, then the whole conversation, which may be asked for once more.
    assert [asked.op for asked in site.requests[2:]][:2] == ["threads.addMessage", "threads.create"]
    assert len(site.requests) <= 5


async def test_a_thread_lost_during_a_repair_is_replayed(inside: Inside, site: Simulator) -> None:
    client = await chat(inside)
    site.script(Reply(" ", reasoning=("Hm.",)), "s14_unknown_thread", says("Here again."))
    answer = await client.say("three")
    assert answer.text.strip() == "Here again."
    assert site.last.op == "threads.create"
    assert "one" in site.last.text


async def test_a_key_that_became_known_starts_over(inside: Inside, site: Simulator) -> None:
    site.script(calling(query="a"))
    client = Client(inside, tools=(SEARCH,))
    await client.say("Look it up.")
    key = site.last.text.split('key="', 1)[1][:4]
    answer = await client.give(f"the file says {key}")
    assert answer.thread == "replayed"
    assert f'key="{key}"' not in site.last.text


# ThreadLimits


async def test_a_thread_takes_eight_turns(inside: Inside, site: Simulator) -> None:
    site.always(count)
    client = Client(inside)
    threads = [(await client.say(f"message {number}")).thread for number in range(18)]
    assert threads == ["new"] + 7 * ["reused"] + ["replayed"] + 7 * ["reused"] + ["replayed", "reused"]


async def test_a_long_conversation_starts_over(site: Simulator, store: Store) -> None:
    async with Inside(site, GuardedStore(store), limits=ThreadLimits(tokens=1_000)) as inside:
        client = Client(inside)
        assert (await client.say("one")).thread == "new"
        assert (await client.say("many words " * 500)).thread == "reused"
        assert (await client.say("three")).thread == "replayed"


@pytest.mark.alone
async def test_an_idle_conversation_starts_over(site: Simulator, store: Store) -> None:
    async with Inside(site, GuardedStore(store), limits=ThreadLimits(idle=0.05)) as inside:
        client = Client(inside)
        await client.say("one")
        await inside.settled()
        await asyncio.sleep(0.1)
        assert (await client.say("two")).thread == "replayed"


async def test_threads_can_be_left_alone(site: Simulator, store: Store) -> None:
    async with Inside(site, GuardedStore(store), threads=False) as inside:
        client = Client(inside)
        assert [(await client.say(text)).thread for text in "abc"] == ["new", "replayed", "replayed"]
        assert {asked.op for asked in site.requests} == {"threads.create"}


async def test_a_restart_forgets_what_was_only_in_memory(
    site: Simulator, store: Store, store_url: str
) -> None:
    async with Inside(site, GuardedStore(store)) as inside:
        client = await chat(inside)
    async with Inside(site, GuardedStore(store)) as restarted:
        if store_url == "memory://":
            await store.close()
        client.inside = restarted
        expected = "replayed" if store_url == "memory://" else "reused"
        assert (await client.say("three")).thread == expected
