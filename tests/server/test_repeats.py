"""A repeated request joins the turn that is there instead of starting another."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial

import pytest
from msgspec.structs import replace

from gptoss_api.core.errors import ContextLengthExceeded, UpstreamIncomplete
from gptoss_api.core.events import Event, Events, Finished, Started, TextDelta
from gptoss_api.core.turn import AssistantMessage, ToolCall, Turn, UserMessage
from gptoss_api.server import repeats
from gptoss_api.server.drain import Drain
from gptoss_api.server.repeats import (
    LARGEST,
    MEMORY,
    MOST,
    MOST_OF_CALLER,
    Memory,
    Place,
    Repeats,
)
from gptoss_api.server.request import RequestRecord
from tests.conftest import RunningGateway, Site, StartGateway
from tests.pulled import GivesBatches, pulled
from tests.server.talking import CHAT, HELLO, Reply, ask, connect, request_bytes
from tests.simulator import Abort, Answer, Pause, Simulator

RETURNING = {"x-stainless-retry-count": "1"}


class Upstream(GivesBatches):
    """Answers turns in two pieces, the second when told to ``go``; ``failures`` come after the first."""

    def __init__(self, *failures: Exception) -> None:
        self.asked: list[Turn] = []
        self.open_turns = 0
        self.go = asyncio.Event()
        self.pieces = ["Hello ", "there."]
        self._failures = list(failures)

    @asynccontextmanager
    async def open(self, turn: Turn) -> AsyncIterator[AsyncIterator[Events]]:
        self.asked.append(turn)
        self.open_turns += 1
        failure = self._failures.pop(0) if self._failures else None

        async def batches() -> AsyncIterator[Events]:
            yield [Started("test", turn.model), TextDelta(self.pieces[0])]
            if failure is not None:
                raise failure
            await self.go.wait()
            yield [TextDelta(self.pieces[1]), Finished("stop")]

        try:
            yield batches()
        finally:
            self.open_turns -= 1


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Told:
    """What one request was given."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    @property
    def text(self) -> str:
        return "".join(event.text for event in self.events if isinstance(event, TextDelta))

    @property
    def repeat(self) -> str | None:
        (started,) = (event for event in self.events if isinstance(event, Started))
        return started.repeat


TURN = Turn(
    "gpt-oss-120b", (UserMessage("Hi"),), caller="me", request_id="1", comes_back=True, streamed=False
)
STREAMED = replace(TURN, streamed=True, comes_back=False)
FAILURE = UpstreamIncomplete("It broke off.")


async def told(opened: Repeats, turn: Turn, to: Told | None = None) -> Told:
    to = to or Told()
    async with pulled(partial(opened.answer, turn)) as batches:
        async for batch in batches:
            to.events += batch
    return to


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def left(opened: Repeats, turn: Turn) -> None:
    """A request for ``turn`` whose client leaves in the middle of the answer."""
    to = Told()
    asking = asyncio.create_task(told(opened, turn, to))
    await until(lambda: bool(to.text))
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_a_client_that_comes_back_joins_the_turn_that_it_left() -> None:
    upstream = Upstream()
    opened = Repeats(upstream.answer, Drain())
    await left(opened, TURN)
    assert upstream.open_turns == 1
    again, stream = Told(), Told()
    repeats = [
        asyncio.create_task(told(opened, replace(TURN, request_id="2"), again)),
        asyncio.create_task(told(opened, STREAMED, stream)),
    ]
    await until(lambda: bool(again.text and stream.text))
    upstream.go.set()
    await asyncio.gather(*repeats)
    assert (again.text, again.repeat) == (stream.text, stream.repeat) == ("Hello there.", "joined")
    assert len(upstream.asked) == 1


@pytest.mark.parametrize(("pause", "repeat"), [(MEMORY - 1, "replayed"), (MEMORY + 1, None)])
async def test_an_answer_that_nobody_got_is_there_for_a_minute(pause: float, repeat: str | None) -> None:
    upstream, clock = Upstream(), Clock()
    opened = Repeats(upstream.answer, Drain(), clock)
    await left(opened, TURN)
    upstream.go.set()
    await until(lambda: upstream.open_turns == 0)
    clock.now += pause
    again = await told(opened, TURN)
    assert (again.text, again.repeat) == ("Hello there.", repeat)
    assert len(upstream.asked) == (1 if repeat else 2)
    # What was given out whole is not given out again.
    assert (await told(opened, TURN)).repeat is None


async def test_a_turn_that_nobody_comes_back_for_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "PATIENCE", 0.01)
    upstream = Upstream()
    opened = Repeats(upstream.answer, Drain())
    await left(opened, TURN)
    await until(lambda: upstream.open_turns == 0)
    upstream.go.set()
    assert (await told(opened, TURN)).repeat is None


async def test_who_came_back_may_leave_again() -> None:
    upstream = Upstream()
    opened = Repeats(upstream.answer, Drain())
    for _ in range(3):
        await left(opened, TURN)
    upstream.go.set()
    assert (await told(opened, TURN)).text == "Hello there."
    assert len(upstream.asked) == 1


async def test_a_gateway_that_stops_waits_for_no_client() -> None:
    upstream, drain = Upstream(), Drain()
    opened = Repeats(upstream.answer, drain)
    drain.begin()
    await left(opened, TURN)
    await until(lambda: upstream.open_turns == 0)


@pytest.mark.parametrize("turn", [STREAMED, replace(TURN, streamed=True), replace(TURN, comes_back=False)])
async def test_other_turns_end_with_their_client(turn: Turn) -> None:
    upstream = Upstream()
    opened = Repeats(upstream.answer, Drain())
    await left(opened, turn)
    assert upstream.open_turns == 0


async def test_a_repeat_after_a_failure_ends_with_the_last_of_its_clients() -> None:
    upstream = Upstream(FAILURE)
    opened = Repeats(upstream.answer, Drain())
    with pytest.raises(UpstreamIncomplete):
        await told(opened, STREAMED)
    staying = Told()
    stays = asyncio.create_task(told(opened, STREAMED, staying))
    await until(lambda: bool(staying.text))
    await left(opened, STREAMED)
    assert upstream.open_turns == 1
    stays.cancel()
    await until(lambda: upstream.open_turns == 0)


@pytest.mark.parametrize(
    ("name", "value", "comes_back"),
    [
        ("x-stainless-retry-count", "0", False),
        ("x-stainless-retry-count", "1", True),
        ("idempotency-key", "abc", True),
        ("x-other", "1", False),
    ],
)
def test_clients_say_that_they_repeat(name: str, value: str, comes_back: bool) -> None:
    record = RequestRecord([(name.encode(), value.encode())])
    assert record.own(STREAMED).comes_back is comes_back


async def test_requests_for_the_same_at_the_same_time_are_no_repeats() -> None:
    upstream = Upstream()
    opened = Repeats(upstream.answer, Drain())
    upstream.go.set()
    answers = await asyncio.gather(*(told(opened, TURN) for _ in range(3)))
    assert [answer.repeat for answer in answers] == [None] * 3
    assert len(upstream.asked) == 3


@pytest.mark.parametrize("first", [STREAMED, TURN])
async def test_repeats_of_a_turn_that_failed_share_one(first: Turn) -> None:
    upstream = Upstream(FAILURE)
    opened = Repeats(upstream.answer, Drain())
    with pytest.raises(UpstreamIncomplete):
        await told(opened, first)
    answers = [Told() for _ in range(3)]
    asking = [
        asyncio.create_task(told(opened, turn, to))
        for turn, to in zip((TURN, STREAMED, first), answers, strict=True)
    ]
    await until(lambda: all(to.text for to in answers))
    upstream.go.set()
    await asyncio.gather(*asking)
    assert [answer.text for answer in answers] == ["Hello there."] * 3
    assert [answer.repeat for answer in answers] == [None, "joined", "joined"]
    assert len(upstream.asked) == 2
    # It is over with the first answer: who asks again wants another.
    assert (await told(opened, STREAMED)).repeat is None


async def test_repeats_share_a_failure_too_and_the_next_asks_anew() -> None:
    upstream = Upstream(FAILURE, FAILURE)
    opened = Repeats(upstream.answer, Drain())
    for failed in range(1, 3):
        results = await asyncio.gather(
            *(told(opened, STREAMED) for _ in range(failed)), return_exceptions=True
        )
        assert results == [FAILURE] * failed
    upstream.go.set()
    assert (await told(opened, STREAMED)).text == "Hello there."
    assert len(upstream.asked) == 3


async def test_a_failure_is_remembered_for_a_minute() -> None:
    upstream, clock = Upstream(FAILURE), Clock()
    opened = Repeats(upstream.answer, Drain(), clock)
    with pytest.raises(UpstreamIncomplete):
        await told(opened, STREAMED)
    clock.now += MEMORY + 1
    upstream.go.set()
    answers = await asyncio.gather(*(told(opened, STREAMED) for _ in range(2)))
    assert [answer.repeat for answer in answers] == [None, None]


async def test_a_refusal_is_no_failure_to_be_mended_by_a_repeat() -> None:
    upstream = Upstream(ContextLengthExceeded(9, 8, 1))
    opened = Repeats(upstream.answer, Drain())
    with pytest.raises(ContextLengthExceeded):
        await told(opened, STREAMED)
    upstream.go.set()
    answers = await asyncio.gather(*(told(opened, STREAMED) for _ in range(2)))
    assert [answer.repeat for answer in answers] == [None, None]


@pytest.mark.parametrize(
    "other",
    [
        replace(TURN, caller="you"),
        replace(TURN, messages=(UserMessage("Ho"),)),
        replace(TURN, max_tokens=7),
        replace(TURN, options={"seed": 1}),
        replace(TURN, new_thread=True),
    ],
)
async def test_another_request_is_no_repeat(other: Turn) -> None:
    upstream = Upstream()
    opened = Repeats(upstream.answer, Drain())
    await left(opened, TURN)
    upstream.go.set()
    assert (await told(opened, other)).repeat is None
    assert len(upstream.asked) == 2


async def test_an_answer_without_end_is_not_kept() -> None:
    upstream = Upstream()
    upstream.pieces[0] = "x" * (LARGEST + 1)
    opened = Repeats(upstream.answer, Drain())
    await left(opened, TURN)
    upstream.go.set()
    await until(lambda: upstream.open_turns == 0)
    assert (await told(opened, TURN)).repeat is None


def test_what_is_remembered_is_bounded() -> None:
    memory = Memory(Clock())
    places = [Place("me", bytes([number])) for number in range(MOST_OF_CALLER + 1)]
    for place in places:
        memory.put(place, None)
    assert [memory.get(place)[0] for place in places] == [False] + [True] * MOST_OF_CALLER
    for number in range(MOST):
        memory.put(Place(str(number), b""), None)
    assert not memory.knows("me")
    assert sum(memory.knows(str(number)) for number in range(MOST)) == MOST


def test_places_of_odd_turns_can_be_told_apart() -> None:
    call = ToolCall("a", "f", "\ud800")
    odd = [
        replace(TURN, messages=(AssistantMessage(tool_calls=(call,)),)),
        replace(TURN, messages=(UserMessage("\ud800"),)),
        replace(TURN, options={"seed": 10**40}),
        TURN,
    ]
    assert len({Place.of(turn) for turn in odd}) == len(odd)
    assert Place.of(odd[2]) == Place.of(replace(odd[2], request_id="other", streamed=True, weight=9))


# Over a real socket


def parallel(*requests: Callable[[], Reply]) -> list[Reply]:
    replies: list[Reply] = []
    threads = [threading.Thread(target=lambda each=each: replies.append(each())) for each in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return replies


def text_of(reply: Reply) -> str:
    assert reply.status == 200, reply.body
    return str(reply.json()["choices"][0]["message"]["content"])


def test_a_client_that_waited_too_long_gets_the_answer_to_its_first_request(site: Site) -> None:
    site.simulator.always(Answer("Here you are.", at={"half": [Pause(0.3)]}))
    with connect(site.gateway) as connection:
        connection.sendall(request_bytes(CHAT, HELLO, "x-stainless-retry-count: 1"))
        site.simulator.wait_until(lambda: len(site.simulator.requests) == 1)
    reply = ask(site.gateway, "POST", CHAT, HELLO, RETURNING)
    assert text_of(reply) == "Here you are."
    assert reply.headers["x-gptoss-repeat"] in ("joined", "replayed")
    assert len(site.simulator.requests) == 1
    assert "x-gptoss-repeat" not in ask(site.gateway, "POST", CHAT, HELLO).headers


BROKEN = Answer("This breaks off in the middle.", at={"half": [Abort()]})


def test_all_who_repeat_after_a_broken_stream_get_one_new_answer(site: Site) -> None:
    site.simulator.script(BROKEN, Answer("Whole.", at={"half": [Pause(0.5)]}))
    broken = ask(site.gateway, "POST", CHAT, HELLO | {"stream": True})
    assert b'"error"' in broken.body
    replies = parallel(*[lambda: ask(site.gateway, "POST", CHAT, HELLO)] * 2)
    assert [text_of(reply) for reply in replies] == ["Whole.", "Whole."]
    assert sorted(reply.headers.get("x-gptoss-repeat", "") for reply in replies) == ["", "joined"]
    assert len(site.simulator.requests) == 2


def test_one_setting_turns_it_off(simulator: Simulator, gateway: StartGateway) -> None:
    simulator.script(BROKEN)
    simulator.always(Answer("Whole.", at={"half": [Pause(0.3)]}))
    running: RunningGateway = gateway(simulator, GPTOSS_REPEATS="off")
    ask(running, "POST", CHAT, HELLO | {"stream": True})
    replies = parallel(*[lambda: ask(running, "POST", CHAT, HELLO, RETURNING)] * 2)
    assert ["x-gptoss-repeat" in reply.headers for reply in replies] == [False, False]
    assert len(simulator.requests) == 3
