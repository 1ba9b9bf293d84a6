"""Bodies that are still arriving are bounded together, and slow senders hold nothing for ever."""

import asyncio
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from gptoss_api.core.errors import Overloaded
from gptoss_api.server.intake import GRACE, LARGEST_BODIES, Arriving, Intake
from tests.watchdog import WatchedGateway, watched_gateway

from .talking import CHAT, HELLO, ask, connect, head_of, read_reply

pytestmark = pytest.mark.waits

LARGEST = 1024 * 1024
SHORT_GRACE = "import gptoss_api.server.intake as intake; intake.GRACE = 1.0"
LONG_GRACE = "import gptoss_api.server.intake as intake; intake.GRACE = 60.0"
LARGE = json.dumps({**HELLO, "more": "x" * (LARGEST - 1_000)}).encode()


def body_in(intake: Intake, caller: str, size: int, since: float = 0.0) -> Arriving:
    """A body of which ``size`` bytes came, and whose reader waits for more."""
    body = intake.body(caller)
    body.deadline = asyncio.timeout(30)
    body.deadline.reschedule = lambda when: None  # type: ignore[method-assign]  # there is no task
    body.since = asyncio.get_running_loop().time() - since
    body.take(size)
    return body


async def test_what_is_held_is_what_bodies_have_brought() -> None:
    intake = Intake(100)
    with intake.body("ann") as first, intake.body("bob") as second:
        first.take(40)
        second.take(20)
        first.take(50)
        assert intake.held == 110
    assert intake.held == 0


async def test_the_oldest_body_of_a_caller_makes_room_for_its_next_after_its_grace() -> None:
    intake = Intake(100)
    bodies = [body_in(intake, "ann", 100, since=GRACE + 5 - n) for n in range(LARGEST_BODIES)]
    body_in(intake, "ann", 100)
    assert [body.given_up for body in bodies] == [True] + [False] * (LARGEST_BODIES - 1)
    with pytest.raises(Overloaded):
        bodies[0].take(1)
    assert intake.held == LARGEST_BODIES * 100


async def test_young_bodies_keep_their_room() -> None:
    intake = Intake(100)
    bodies = [body_in(intake, "ann", 100) for _ in range(LARGEST_BODIES)]
    with pytest.raises(Overloaded, match="Retry in a few seconds") as caught:
        body_in(intake, "ann", 1)
    assert caught.value.retry_after
    assert not any(body.given_up for body in bodies)


async def test_the_caller_who_holds_the_most_makes_room_for_others_at_once() -> None:
    intake = Intake(100)
    bobs = body_in(intake, "bob", 50)
    anns = [body_in(intake, "ann", 100) for _ in range(LARGEST_BODIES - 1)]
    anns.append(body_in(intake, "ann", 50))
    body_in(intake, "bob", 50)
    assert [anns[0].given_up, anns[1].given_up, bobs.given_up] == [True, False, False]


async def test_a_body_that_is_being_worked_on_is_not_given_up() -> None:
    intake = Intake(100)
    bodies = [body_in(intake, "ann", 100, since=GRACE + 1) for _ in range(LARGEST_BODIES)]
    for body in bodies[:-1]:
        body.deadline = None
    body_in(intake, "bob", 100)
    assert [body.given_up for body in bodies] == [False] * (LARGEST_BODIES - 1) + [True]
    with pytest.raises(Overloaded):
        body_in(intake, "cat", 100)


@pytest.fixture
def small(
    tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[WatchedGateway]:
    """A gateway over the demo that reads bodies of up to a megabyte; the parameter is what runs before."""
    home = tmp_path_factory.mktemp("home")
    with watched_gateway(
        home, before=request.param, GPTOSS_UPSTREAM="demo", GPTOSS_MAX_BODY=str(LARGEST)
    ) as gateway:
        ask(gateway.gateway, "POST", CHAT, HELLO)
        yield gateway


def begin(gateway: WatchedGateway, size: int) -> socket.socket:
    """A request with a large body of which only so much comes."""
    connection = connect(gateway.gateway)
    connection.sendall(head_of(CHAT, len(LARGE)) + LARGE[:size])
    return connection


@pytest.mark.parametrize("small", [LONG_GRACE], indirect=True)
def test_many_unfinished_bodies_take_no_more_memory_than_some(small: WatchedGateway) -> None:
    before = small.memory()
    with ExitStack() as stack:
        for _ in range(150):
            stack.enter_context(begin(small, LARGEST - 2_000))
        time.sleep(0.5)
        # Each connection has some buffers of its own besides.
        assert small.memory() - before < 60 * LARGEST
        reply = ask(small.gateway, "POST", CHAT, LARGE)
        assert reply.status == 503
        assert reply.error["code"] == "overloaded"
        assert int(reply.headers["retry-after"]) >= 1
        # Small requests go on as ever.
        assert ask(small.gateway, "POST", CHAT, HELLO).status == 200
    time.sleep(0.5)
    assert ask(small.gateway, "POST", CHAT, LARGE).status == 200


@pytest.mark.parametrize("small", [SHORT_GRACE], indirect=True)
def test_slow_senders_make_room(small: WatchedGateway) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(begin(small, LARGEST - 2_000)) for _ in range(LARGEST_BODIES)]
        time.sleep(1.5)
        assert ask(small.gateway, "POST", CHAT, LARGE).status == 200
        status, answer = read_reply(slow[0])
        assert (status, json.loads(answer)["error"]["code"]) == (503, "overloaded")
        slow[1].sendall(LARGE[LARGEST - 2_000 :])
        assert read_reply(slow[1])[0] == 200
