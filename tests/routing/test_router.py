"""Which upstream answers, when the next one is asked, and when nobody is."""

import asyncio
import logging
from collections import Counter
from typing import Any

import pytest

from gptoss_api.core.errors import (
    ContextLengthExceeded,
    GatewayError,
    InsufficientQuota,
    InternalError,
    InvalidRequest,
    ModelNotFound,
    Overloaded,
    PermissionDenied,
    PromptTooLong,
    UndeclaredToolCalled,
    UpstreamEmpty,
    UpstreamFailure,
    UpstreamIncomplete,
    UpstreamLoginRequired,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gptoss_api.core.turn import AssistantMessage, InstructionMessage, Turn, UserMessage
from gptoss_api.routing import Breaker, Route, Router
from gptoss_api.routing.router import conversation_key
from tests.backends.server import ask, turn
from tests.pulled import opened

from .test_breaker import Clock
from .upstreams import ANSWER, Played


def in_turn(*upstreams: Played, **options: Any) -> Router:
    """A router that asks the upstreams one after the other."""
    return Router([Route(upstream, order=number, **options) for number, upstream in enumerate(upstreams)])


async def who_answers(router: Router, asked: Turn | None = None) -> str:
    collector, _ = await ask(router, asked or turn())
    assert collector.started is not None
    assert collector.choices[0].text == "hello"
    return collector.started.upstream


ELSEWHERE: list[GatewayError] = [
    UpstreamFailure("broken"),
    UpstreamEmpty("nothing"),
    UpstreamIncomplete("half"),
    UpstreamUnavailable("away"),
    UpstreamTimeout("slow"),
    UpstreamRateLimited("later", retry_after=7.0),
    UpstreamLoginRequired("who?"),
    InsufficientQuota("poor"),
    PermissionDenied("no"),
    ModelNotFound("other models"),
    Overloaded("full"),
    ContextLengthExceeded(9000, 8192),
    PromptTooLong("too long"),
]


@pytest.mark.parametrize("failure", ELSEWHERE, ids=lambda failure: type(failure).__name__)
async def test_a_failure_before_the_first_byte_goes_to_the_next(failure: GatewayError) -> None:
    first, second = Played("first", (failure,)), Played("second")
    assert await who_answers(in_turn(first, second)) == "second"
    assert (len(first.turns), len(second.turns)) == (1, 1)
    assert first.running == second.running == 0


@pytest.mark.parametrize("failure", [InvalidRequest("wrong"), InternalError("bug")])
async def test_what_is_wrong_everywhere_is_told_at_once(failure: GatewayError) -> None:
    first, second = Played("first", (failure,)), Played("second")
    with pytest.raises(type(failure)):
        await ask(in_turn(first, second), turn())
    assert second.turns == []


async def test_nothing_is_tried_again_after_the_first_byte() -> None:
    first, second = Played("first", ("hel", UpstreamIncomplete("broke"))), Played("second")
    seen: list[Any] = []
    with pytest.raises(UpstreamIncomplete):
        await ask(in_turn(first, second), turn(), seen)
    assert second.turns == []
    assert len(seen) == 2


async def test_the_first_failure_that_says_something_is_told() -> None:
    failures = (ModelNotFound("other"), Overloaded("full"), InsufficientQuota("poor"), UpstreamFailure("x"))
    router = in_turn(*(Played(str(n), (failure,)) for n, failure in enumerate(failures)))
    with pytest.raises(InsufficientQuota):
        await ask(router, turn())
    with pytest.raises(ModelNotFound):
        await ask(in_turn(Played("a", (ModelNotFound("x"),)), Played("b", (Overloaded("y"),))), turn())


async def test_every_line_about_a_turn_names_its_request(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gptoss_api.routing")
    clock = Clock()
    first = Played("first", (UpstreamLoginRequired("who?"),), ANSWER)
    routes = [Route(first, order=0, breaker=Breaker(clock=clock)), Route(Played("second"), order=1)]
    router = Router(routes)
    await ask(router, turn(request_id="req_1"))
    clock.now += 600
    await ask(router, turn(request_id="req_2"))
    lines: list[Any] = caplog.records
    assert [(line.fields["id"], line.getMessage().split(":")[0]) for line in lines] == [
        ("req_1", "first rests for 60.0 s"),
        ("req_1", "first could not answer"),
        ("req_2", "first is tried again"),
        ("req_2", "first answers again"),
    ]


async def test_an_upstream_that_fails_rests_and_comes_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "gptoss_api")
    clock = Clock()
    first = Played("first", *[(UpstreamFailure("down"),)] * 4, ("hello",))
    second = Played("second")
    router = Router(
        [
            Route(first, 0, breaker=Breaker(threshold=3, rest=5.0, clock=clock)),
            Route(second, 1, breaker=Breaker(clock=clock)),
        ]
    )
    answered = [await who_answers(router) for _ in range(6)]
    assert answered == ["second"] * 6
    assert len(first.turns) == 3
    assert "first rests for 5.0 s: down" in caplog.text
    assert "first: rests for 5 s: down" in (await router.health()).detail
    clock.now += 5.0
    assert await who_answers(router) == "second"
    clock.now += 5.0
    assert await who_answers(router) == "second"
    clock.now += 5.0
    assert await who_answers(router) == "first"
    assert len(first.turns) == 5
    assert "first is tried again" in caplog.text
    assert "first answers again" in caplog.text


async def test_a_limited_upstream_is_left_alone_as_long_as_it_asks() -> None:
    clock = Clock()
    first = Played("first", (UpstreamRateLimited("later", retry_after=60.0),), ("hello",))
    router = Router([Route(first, 0, breaker=Breaker(clock=clock)), Route(Played("second"), 1)])
    assert await who_answers(router) == "second"
    clock.now += 59.0
    assert await who_answers(router) == "second"
    assert len(first.turns) == 1
    clock.now += 1.0
    assert await who_answers(router) == "first"


async def test_where_all_rest_the_client_learns_when_to_come_back() -> None:
    clock = Clock()
    routes = [
        Route(
            Played(name, (UpstreamRateLimited(f"{name} is tired", retry_after=wait),)),
            breaker=Breaker(clock=clock),
        )
        for name, wait in (("a", 30.0), ("b", 12.5))
    ]
    router = Router(routes)
    with pytest.raises(UpstreamRateLimited):
        await ask(router, turn())
    with pytest.raises(UpstreamUnavailable, match="a is tired") as raised:
        await ask(router, turn())
    assert raised.value.retry_after == 13.0
    assert not (await router.health()).ready


async def test_only_one_turn_at_a_time_tries_an_upstream_that_rested() -> None:
    clock = Clock()
    first = Played("first", *[(UpstreamFailure("down"),)] * 3, (0.05, "hello"))
    router = Router(
        [
            Route(first, 0, breaker=Breaker(clock=clock)),
            Route(Played("second"), 1, breaker=Breaker(clock=clock)),
        ]
    )
    for _ in range(3):
        await who_answers(router)
    clock.now += 60.0
    answered = Counter(await asyncio.gather(*(who_answers(router) for _ in range(20))))
    assert answered == {"first": 1, "second": 19}


async def test_a_client_that_leaves_says_nothing_about_the_upstream() -> None:
    clock = Clock()
    first = Played("first", *[(UpstreamFailure("down"),)] * 3, ("hello", 60.0), ("hello",))
    breaker = Breaker(clock=clock)
    router = Router([Route(first, 0, breaker=breaker), Route(Played("second"), 1)])
    for _ in range(3):
        await who_answers(router)
    clock.now += 60.0
    async with opened(router, turn()) as batches:
        await anext(batches)
    assert first.running == 0
    assert breaker.admits()
    assert await who_answers(router) == "first"


async def test_an_upstream_that_does_not_begin_in_time_is_passed_over() -> None:
    first, second = Played("first", (60.0, "hello")), Played("second")
    async with asyncio.timeout(5):
        assert await who_answers(in_turn(first, second, patience=0.05)) == "second"
    assert first.running == 0
    slow_after = Played("slow", ("hel", 0.1, "lo"))
    collector, _ = await ask(in_turn(slow_after, patience=0.05), turn())
    assert collector.choices[0].text == "hello"


async def test_failures_of_the_model_do_not_make_its_server_rest() -> None:
    failure = UndeclaredToolCalled("odd call")
    first = Played("first", (failure,))
    router = in_turn(first, Played("second"))
    for _ in range(10):
        await who_answers(router)
    assert len(first.turns) == 10


async def test_equals_share_the_load_by_weight_and_conversations_stay() -> None:
    upstreams = [Played("heavy"), Played("light")]
    router = Router([Route(upstreams[0], weight=3.0), Route(upstreams[1], weight=1.0)])
    answered: Counter[str] = Counter()
    for number in range(400):
        opening = turn(f"question {number}")
        name = await who_answers(router, opening)
        answered[name] += 1
        if number % 40 == 0:
            later = turn(messages=(*opening.messages, AssistantMessage("x"), UserMessage(f"more {number}")))
            assert await who_answers(router, later) == name
    assert 250 <= answered["heavy"] <= 350


async def test_a_rank_comes_before_the_order_and_failures_go_on_as_ever() -> None:
    first, best = Played("first"), Played("best", ANSWER, [UpstreamFailure("broken")])
    routes = [Route(first, order=0), Route(best, order=1)]
    ranks = {("first", "gpt-oss-120b"): 0, ("best", "gpt-oss-120b"): -1}
    router = Router(routes, rank=lambda upstream, model: ranks.get((upstream, model), 1))
    assert router.first(turn()) == 1
    assert await who_answers(router) == "best"
    assert await who_answers(router) == "first"
    # Of a model of which nothing is known, the order decides.
    assert await who_answers(router, turn(model="gpt-oss-20b")) == "first"


def test_a_conversation_is_known_by_how_it_began_and_by_who_speaks() -> None:
    opening = turn(messages=(InstructionMessage("be kind"), UserMessage("hi")))
    later = turn(messages=(*opening.messages, AssistantMessage("hello"), UserMessage("more")))
    assert conversation_key(opening) == conversation_key(later)
    assert conversation_key(opening) != conversation_key(turn("hi"))
    assert conversation_key(turn("hi", caller="a")) != conversation_key(turn("hi", caller="b"))
    named = [turn(text, options={"prompt_cache_key": "k"}) for text in ("a", "b")]
    assert conversation_key(named[0]) == conversation_key(named[1])
    told = [turn(text, conversation="k") for text in ("a", "b")]
    assert conversation_key(told[0]) == conversation_key(told[1]) == conversation_key(named[0])
    assert conversation_key(turn("\ud800"))


async def test_closing_closes_every_upstream() -> None:
    upstreams = [Played("a"), Played("b", ready=False)]
    router = in_turn(*upstreams)
    health = await router.health()
    assert (health.ready, health.detail) == (True, "a: fine b: broken")
    assert [each.ready for each in await router.healths()] == [True, False]
    assert router.name == "a, b"
    await router.close()
    assert all(upstream.closed for upstream in upstreams)
