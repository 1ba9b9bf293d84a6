"""The gpt-oss.com upstream over real sockets."""

import asyncio
import logging
import time
import zlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from gptoss_api import __version__
from gptoss_api.core.errors import (
    GatewayError,
    InsufficientQuota,
    InternalError,
    InvalidValue,
    Overloaded,
    RequestTooLarge,
    ThreadLost,
    UpstreamChallenge,
    UpstreamEmpty,
    UpstreamFailure,
    UpstreamForbidden,
    UpstreamIncomplete,
    UpstreamLoginRequired,
    UpstreamRateLimited,
    UpstreamTimeout,
    UpstreamUnavailable,
)
from gptoss_api.core.events import Event, Finished, ReasoningDelta, Started, TextDelta
from gptoss_api.core.turn import InstructionMessage, ThreadRef, Turn, UserMessage
from gptoss_api.dialects.openai_errors import openai_error
from gptoss_api.upstreams.admission import Admission
from gptoss_api.upstreams.chatkit import ChatKitUpstream, Credentials
from gptoss_api.upstreams.http import HttpClient
from gptoss_api.upstreams.refusals import LONGEST_WAIT
from tests.pulled import opened

from .scripted import Reply, ScriptedServer, stream
from .transcripts import THREAD, new, old, reasoning_of, sse, text_of

SESSION = "eyJzZWNyZXQi.session-value"
COOKIE = f"user_id=user-1; session={SESSION}"
ANSWER = stream(*old.opening(), *old.thinking("hm"), *old.message(["Hel", "lo"]), old.titled())
LOGIN_CARD = stream(*old.opening(), old.widget({"value": "Sign in to continue"}))
EMPTY = Reply()
REFRESHED = [("set-cookie", "session=fresh; Path=/; HttpOnly")]
ABORTED = Reply(["abort"])


def turn(text: str = "hello", **changes: Any) -> Turn:
    return Turn(model="gpt-oss-120b", messages=(UserMessage(text),), **changes)


@asynccontextmanager
async def serving(
    *replies: Reply, credentials: Credentials | None = None, **options: Any
) -> AsyncIterator[tuple[ChatKitUpstream, ScriptedServer]]:
    async with ScriptedServer(*replies).running() as server:
        http = HttpClient(trust_env=False)
        settings: dict[str, Any] = {"url": server.url, "idle_timeout": 5.0, "total_timeout": 10.0} | options
        upstream = ChatKitUpstream(
            http,
            Admission(2, 0),
            credentials or Credentials.parse(COOKIE),
            **settings,
        )
        try:
            yield upstream, server
        finally:
            await upstream.close()
            await http.close()


async def batches_of(upstream: ChatKitUpstream, asked: Turn) -> list[list[Event]]:
    async with opened(upstream, asked) as batches:
        return [[*batch] async for batch in batches]


async def collect(upstream: ChatKitUpstream, asked: Turn, seen: list[Event]) -> None:
    """As far as it goes: ``seen`` also holds what came before a failure."""
    async with opened(upstream, asked) as batches:
        async for batch in batches:
            seen += batch


async def events_of(upstream: ChatKitUpstream, asked: Turn) -> list[Event]:
    return [event for batch in await batches_of(upstream, asked) for event in batch]


# Answers


@pytest.mark.parametrize("dialect", [old, new], ids=["old", "new"])
async def test_an_answer_comes_with_its_start_and_its_end(dialect: Any) -> None:
    reply = stream(
        *dialect.opening(), *dialect.thinking("hm"), *dialect.message(["Hel", "lo"]), dialect.titled()
    )
    async with serving(reply) as (upstream, _):
        batches = await batches_of(upstream, turn())
    events = [event for batch in batches for event in batch]
    account = Credentials.parse(COOKIE).account
    assert events[0] == Started("gpt-oss.com", "gpt-oss-120b", thread_id=THREAD, account=account)
    assert len(batches[0]) > 1
    assert reasoning_of(events) == "hm"
    assert text_of(events) == "Hello"
    assert events[-1] == Finished("stop")
    assert events.count(Finished("stop")) == 1


async def test_what_arrives_apart_leaves_apart() -> None:
    reply = Reply(
        [
            sse(*old.opening(), ": keep-alive"),
            0.03,
            sse(old.thought(0, "hm")),
            0.03,
            sse(old.delta("a")),
            0.03,
            sse(old.delta("b"), old.message_done("ab"), old.titled()),
        ]
    )
    async with serving(reply) as (upstream, _):
        batches = await batches_of(upstream, turn())
    assert [batch[1:] if index == 0 else batch for index, batch in enumerate(batches)] == [
        [ReasoningDelta("hm")],
        [TextDelta("a")],
        [TextDelta("b"), Finished("stop")],
    ]


def compressed(data: bytes) -> tuple[bytes, bytes]:
    """``data`` as gzip in two pieces; what is in the first can be read without the second."""
    deflate = zlib.compressobj(wbits=31)
    half = data.index(b"data: ", len(data) // 2)
    return (
        deflate.compress(data[:half]) + deflate.flush(zlib.Z_SYNC_FLUSH),
        deflate.compress(data[half:]) + deflate.flush(),
    )


@pytest.mark.parametrize("pause", [0, 0.03], ids=["at once", "in two reads"])
@pytest.mark.parametrize("words", [3, 3000])
async def test_a_compressed_answer_is_read_as_it_comes(words: int, pause: float) -> None:
    said = ["word "] * words
    first, second = compressed(sse(*old.opening(), *old.message(said), old.titled()))
    reply = Reply([first, pause, second], headers=[("content-encoding", "gzip")])
    async with serving(reply) as (upstream, _):
        batches = await batches_of(upstream, turn())
    events = [event for batch in batches for event in batch]
    assert text_of(events) == "word " * words
    assert events[-1] == Finished("stop")
    # The end is known as soon as it has come; of much that is only so once all was inflated.
    assert len(batches[-1]) > 1 or words > 3


async def test_a_compressed_answer_without_its_end_is_not_whole() -> None:
    first, _ = compressed(sse(*old.opening(), *(old.delta(word) for word in ["one", "two", "three"])))
    reply = Reply([first], headers=[("content-encoding", "gzip")])
    async with serving(reply) as (upstream, _):
        with pytest.raises(UpstreamIncomplete):
            await events_of(upstream, turn())


async def test_reasoning_that_nobody_wants_is_neither_asked_for_nor_passed_on() -> None:
    async with serving(ANSWER) as (upstream, server):
        events = await events_of(upstream, turn(show_reasoning=False))
    assert server.asked[0].headers["x-show-reasoning"] == "false"
    assert reasoning_of(events) == ""
    assert text_of(events) == "Hello"


# Requests


async def test_the_request_is_the_sites_own() -> None:
    async with serving(ANSWER) as (upstream, server):
        await events_of(upstream, turn("Say “hi”.\nTwice.", effort="high"))
        await events_of(upstream, Turn(model="gpt-oss-20b", messages=(UserMessage("x"),)))
    first, second = server.asked
    assert first.body == {
        "op": "threads.create",
        "params": {
            "input": {
                "text": "Say “hi”.\nTwice.",
                "content": [{"type": "input_text", "text": "Say “hi”.\nTwice."}],
                "quoted_text": "",
                "attachments": [],
            }
        },
    }
    expected = {
        "accept": "text/event-stream",
        "content-type": "application/json",
        "origin": "https://gpt-oss.com",
        "referer": "https://gpt-oss.com/",
        "user-agent": f"gptoss-api/{__version__}",
        "x-selected-model": "gpt-oss-120b",
        "x-reasoning-effort": "high",
        "x-show-reasoning": "true",
        "cookie": COOKIE,
    }
    assert expected.items() <= first.headers.items()
    assert (second.headers["x-selected-model"], second.headers["x-reasoning-effort"]) == (
        "gpt-oss-20b",
        "medium",
    )


async def test_a_thread_is_continued() -> None:
    reply = stream(old.user(), *old.message(["more"]))
    async with serving(reply) as (upstream, server):
        events = await events_of(upstream, turn(thread=ThreadRef(THREAD, Credentials.parse(COOKIE).account)))
    assert server.asked[0].body["op"] == "threads.addMessage"
    assert server.asked[0].body["params"]["threadId"] == THREAD
    assert isinstance(events[0], Started)
    assert (events[0].thread, events[0].thread_id) == ("reused", THREAD)


async def test_a_turn_is_one_user_message() -> None:
    asked = Turn(model="gpt-oss-120b", messages=(InstructionMessage("be brief"), UserMessage("x")))
    async with serving(ANSWER) as (upstream, server):
        with pytest.raises(InternalError):
            await events_of(upstream, asked)
    assert server.asked == []


async def test_an_empty_conversation_is_refused_before_the_site_refuses_it() -> None:
    async with serving(ANSWER) as (upstream, server):
        with pytest.raises(InvalidValue) as caught:
            await events_of(upstream, turn(""))
        assert caught.value.param == "messages"
        assert not server.asked


async def test_anonymous_requests_carry_no_cookie_until_one_was_given() -> None:
    reply = Reply(ANSWER.steps, headers=[("set-cookie", "user_id=given-1; Path=/; HttpOnly")])
    async with serving(reply, credentials=Credentials()) as (upstream, server):
        events = await events_of(upstream, turn())
        await events_of(upstream, turn())
    assert [asked.headers.get("cookie") for asked in server.asked] == [None, "user_id=given-1"]
    assert isinstance(events[0], Started)
    assert events[0].account


async def test_a_refreshed_session_is_used_and_kept(tmp_path: Path) -> None:
    path = tmp_path / "credentials.json"
    cookies = [("set-cookie", "session=fresh; Path=/; HttpOnly"), ("set-cookie", "theme=dark")]
    async with serving(
        Reply(ANSWER.steps, headers=cookies), ANSWER, credentials=Credentials.load(COOKIE, path)
    ) as (upstream, server):
        await events_of(upstream, turn())
        await events_of(upstream, turn())
    assert server.asked[1].headers["cookie"] == "user_id=user-1; session=fresh"
    assert Credentials.load(COOKIE, path).login.cookie_header == "user_id=user-1; session=fresh"


async def test_a_login_that_was_just_refreshed_is_hidden_in_what_the_site_says_of_the_old_one() -> None:
    held = Credentials.parse("user_id=user-1; session=the-old-one-1")
    odd = Reply([b"odd request the-old-one-1"], 409, "text/plain", headers=REFRESHED)
    async with serving(odd, credentials=held) as (upstream, _):
        with pytest.raises(GatewayError) as refused:
            await events_of(upstream, turn())
    assert "odd request ***" in refused.value.message


async def test_a_refusal_that_was_read_gives_its_connection_back() -> None:
    async with serving(Reply([b"odd request"], 409, "text/plain")) as (upstream, server):
        for _ in range(2):
            with pytest.raises(GatewayError):
                await events_of(upstream, turn())
    assert len(server.asked) > 1
    assert {asked.connection for asked in server.asked} == {1}


async def test_a_connection_is_let_go_whatever_fails_once_it_has_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = Credentials.parse(COOKIE)

    def fails(_: str) -> None:
        raise RuntimeError

    monkeypatch.setattr(held, "save_refreshed", fails)
    silent = Reply([*ANSWER.steps, 60.0], headers=REFRESHED)
    async with serving(silent, credentials=held) as (upstream, server):
        with pytest.raises(RuntimeError):
            await events_of(upstream, turn())
        async with asyncio.timeout(5):
            await server.asked[0].ended.wait()


# Dialects of the request

REJECTED = Reply([b'{"detail":"the body is not valid"}'], 422, "application/json")


@pytest.mark.parametrize("status", [400, 422, 500])
async def test_a_server_of_the_public_dialect_is_recognised_and_remembered(status: int) -> None:
    rejected = Reply([b"Internal Server Error"], status, "text/plain")
    reply = stream(*new.opening(), *new.message(["x"]))
    async with serving(rejected, reply) as (upstream, server):
        assert text_of(await events_of(upstream, turn("hi"))) == "x"
        assert text_of(await events_of(upstream, turn("on", thread=ThreadRef(THREAD)))) == "x"
    create, follow_up = server.asked[1].body, server.asked[2].body
    assert "op" in server.asked[0].body
    assert create["type"] == "threads.create"
    assert create["params"]["input"]["content"] == [{"type": "input_text", "text": "hi"}]
    assert isinstance(create["params"]["input"]["inference_options"], dict)
    assert follow_up["type"] == "threads.add_user_message"
    assert follow_up["params"]["thread_id"] == THREAD


async def test_if_both_dialects_are_rejected_the_first_refusal_counts() -> None:
    second = Reply([b'{"detail":"unknown operation"}'], 422, "application/json")
    async with serving(REJECTED, second, ANSWER) as (upstream, server):
        with pytest.raises(UpstreamFailure, match="the body is not valid"):
            await events_of(upstream, turn())
        assert len(server.asked) == 2
        assert text_of(await events_of(upstream, turn())) == "Hello"
    assert "op" in server.asked[2].body


@pytest.mark.parametrize(("dialect", "key"), [("old", "op"), ("new", "type")])
async def test_a_fixed_dialect_stays(dialect: str, key: str) -> None:
    async with serving(REJECTED, dialect=dialect) as (upstream, server):
        with pytest.raises(UpstreamFailure):
            await events_of(upstream, turn())
    assert [key in asked.body for asked in server.asked] == [True]


async def test_a_failing_server_that_is_known_is_not_asked_in_another_dialect() -> None:
    broken = Reply([b"oops"], 500, "text/plain")
    async with serving(ANSWER, broken) as (upstream, server):
        await events_of(upstream, turn())
        with pytest.raises(UpstreamFailure):
            await events_of(upstream, turn())
    assert server.ops == ["threads.create"] * 3
    assert all("op" in asked.body for asked in server.asked)


# Refusals


async def test_the_login_card_is_an_error_that_says_what_to_do() -> None:
    async with serving(LOGIN_CARD) as (upstream, server):
        with pytest.raises(
            UpstreamLoginRequired, match=r"gptoss-api login.*GPTOSS_COOKIE.*user_id and session"
        ):
            await events_of(upstream, turn())
    assert len(server.asked) == 1


async def test_a_login_card_on_a_stream_that_stays_open_is_recognised_soon() -> None:
    reply = Reply([*LOGIN_CARD.steps, 8.0])
    async with serving(reply) as (upstream, _):
        started = time.monotonic()
        with pytest.raises(UpstreamLoginRequired):
            await events_of(upstream, turn())
        assert time.monotonic() - started < 4


PAGE = "text/html; charset=utf-8"
JSON = "application/json"


@pytest.mark.parametrize(
    ("status", "content_type", "body", "kind", "code"),
    [
        (401, JSON, '{"detail":"Not authenticated"}', UpstreamLoginRequired, "upstream_login_required"),
        (401, PAGE, "<html>", UpstreamLoginRequired, "upstream_login_required"),
        (402, JSON, '{"error":"You have depleted your credits"}', InsufficientQuota, "insufficient_quota"),
        (403, JSON, '{"error":"Please log in first"}', UpstreamLoginRequired, "upstream_login_required"),
        (403, JSON, '{"error":{"message":"no"}}', UpstreamForbidden, "upstream_forbidden"),
        (403, PAGE, "<title>Just a moment...</title>", UpstreamChallenge, "upstream_challenge"),
        (429, JSON, '{"error":"Too many requests"}', UpstreamRateLimited, "upstream_rate_limited"),
        (404, JSON, '{"detail":"Not Found"}', UpstreamFailure, "upstream_error"),
        (408, JSON, "{}", UpstreamTimeout, "upstream_timeout"),
        (413, JSON, '{"error":"Payload too large"}', RequestTooLarge, "request_too_large"),
        (413, PAGE, "<title>413 Request Entity Too Large</title>", RequestTooLarge, "request_too_large"),
        (429, PAGE, "<title>429 Too Many Requests</title>", UpstreamRateLimited, "upstream_rate_limited"),
        (504, JSON, "{}", UpstreamTimeout, "upstream_timeout"),
        (504, PAGE, "<title>504 Gateway Time-out</title>", UpstreamTimeout, "upstream_timeout"),
        (521, PAGE, "<title>521: Web server is down</title>", UpstreamUnavailable, "upstream_unavailable"),
        (524, PAGE, "<title>524: A timeout occurred</title>", UpstreamTimeout, "upstream_timeout"),
        (529, JSON, '{"error":"overloaded"}', UpstreamUnavailable, "upstream_unavailable"),
        (502, PAGE, "<title>502 Bad Gateway</title>", UpstreamFailure, "upstream_error"),
        (503, PAGE, "<title>503</title>", UpstreamUnavailable, "upstream_unavailable"),
        (200, PAGE, "<title>gpt-oss playground</title>", UpstreamFailure, "upstream_error"),
        (200, JSON, '{"message":"hello"}', UpstreamFailure, "upstream_error"),
        (200, JSON, '{"error":"session expired"}', UpstreamLoginRequired, "upstream_login_required"),
    ],
)
async def test_answers_that_are_no_stream_are_named(
    status: int, content_type: str, body: str, kind: type[GatewayError], code: str
) -> None:
    async with serving(Reply([body.encode()], status, content_type)) as (upstream, _):
        with pytest.raises(kind) as caught:
            await events_of(upstream, turn())
    assert type(caught.value) is kind
    assert openai_error(caught.value).code == code


async def test_a_redirect_to_the_login_means_a_login() -> None:
    reply = Reply([], 307, "text/plain", [("location", "https://huggingface.co/oauth/authorize?x=y")])
    async with serving(reply) as (upstream, _):
        with pytest.raises(UpstreamLoginRequired):
            await events_of(upstream, turn())


async def test_a_refusal_shows_little_to_the_client_and_no_secret_to_anyone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    body = f'{{"detail":"cookie: {COOKIE} {"x" * 5000} hf_abcdefghijklmnop"}}'
    async with serving(Reply([body.encode()], 404, JSON)) as (upstream, _):
        with pytest.raises(UpstreamFailure) as caught, caplog.at_level(logging.DEBUG, "gptoss_api"):
            await events_of(upstream, turn())
        seen = caplog.text + caught.value.message + (await upstream.health()).detail
    assert "HTTP 404" in caplog.text
    assert len(caught.value.message) < 400
    assert len(caplog.text) < 1500
    for secret in (SESSION, "user-1", "hf_abc"):
        assert secret not in seen


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("7", 7.0),
        ("soon", None),
        (None, None),
        ("Wed, 21 Oct 99999999999999999999 07:28:00 GMT", None),
        ("Wed, 21 Oct 2026 07:28:00 +9999999999999", None),
    ],
)
async def test_retry_after_is_passed_on_but_never_invented(header: str | None, seconds: float | None) -> None:
    headers = [("retry-after", header)] if header else []
    async with serving(Reply([b"{}"], 429, JSON, headers)) as (upstream, server):
        with pytest.raises(UpstreamRateLimited) as caught:
            await events_of(upstream, turn())
    assert caught.value.retry_after == seconds
    assert len(server.asked) == 1


async def test_a_date_in_retry_after_is_understood() -> None:
    headers = [("retry-after", "Wed, 21 Oct 2099 07:28:00 GMT")]
    async with serving(Reply([b"{}"], 429, JSON, headers)) as (upstream, _):
        with pytest.raises(UpstreamRateLimited) as caught:
            await events_of(upstream, turn())
    assert caught.value.retry_after == LONGEST_WAIT


# Asking again

PREFIX = [*old.opening(), old.thinking_added()]


@pytest.mark.parametrize(
    "broken",
    [
        EMPTY,
        ABORTED,
        stream(*PREFIX),
        Reply([sse(*PREFIX), "abort"]),
        stream(*PREFIX, {"type": "error", "code": "stream.error", "allow_retry": True}),
        Reply([b"bad gateway"], 502, "text/plain"),
        Reply([b"{}"], 503, JSON, [("retry-after", "0")]),
        Reply([b"{}"], 429, JSON, [("retry-after", "0")]),
    ],
    ids=["empty", "abort", "end", "abort later", "error event", "502", "503", "429 with a short wait"],
)
async def test_a_start_that_breaks_is_tried_once_more(broken: Reply) -> None:
    async with serving(broken, ANSWER) as (upstream, server):
        events = await events_of(upstream, turn())
    assert text_of(events) == "Hello"
    assert sum(isinstance(event, Started) for event in events) == 1
    assert len(server.asked) == 2


@pytest.mark.parametrize(("broken", "kind"), [(EMPTY, UpstreamEmpty), (ABORTED, UpstreamIncomplete)])
async def test_it_is_tried_only_once_more(broken: Reply, kind: type[GatewayError]) -> None:
    async with serving(broken) as (upstream, server):
        with pytest.raises(kind):
            await events_of(upstream, turn())
    assert len(server.asked) == 2


@pytest.mark.parametrize(
    "final",
    [
        stream(*PREFIX, {"type": "error", "code": "custom", "allow_retry": False}),
        stream(*PREFIX, old.widget({"value": "closed"})),
        Reply([b"{}"], 503, JSON, [("retry-after", "60")]),
        Reply([b"{}"], 403, JSON),
    ],
    ids=["error without retry", "card", "long wait", "403"],
)
async def test_what_repeating_cannot_mend_is_not_repeated(final: Reply) -> None:
    async with serving(final, ANSWER) as (upstream, server):
        with pytest.raises(GatewayError):
            await events_of(upstream, turn())
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("steps", "kind"),
    [
        (["end"], UpstreamIncomplete),
        ([0.02, "abort"], UpstreamIncomplete),
        ([sse({"type": "error", "code": "stream.error", "allow_retry": True})], UpstreamFailure),
    ],
    ids=["end", "abort", "error event"],
)
@pytest.mark.parametrize("first", [old.thought(0, "hm"), old.delta("par")], ids=["thought", "text"])
async def test_after_the_first_words_nothing_is_repeated(
    first: Any, steps: list[Any], kind: type[GatewayError]
) -> None:
    reply = Reply([sse(*PREFIX, first), 0.02, *steps])
    seen: list[Event] = []
    async with serving(reply, ANSWER) as (upstream, server):
        with pytest.raises(kind):
            await collect(upstream, turn(), seen)
    assert len(server.asked) == 1
    assert isinstance(seen[0], Started)
    assert text_of(seen) + reasoning_of(seen) in ("hm", "par")
    assert not any(isinstance(event, Finished) for event in seen)


async def test_text_that_came_together_with_the_error_is_given_out_before_it() -> None:
    error = {"type": "error", "code": "stream.error", "allow_retry": True}
    reply = Reply([sse(*PREFIX, old.delta("a")), 0.02, sse(old.delta("b"), error)])
    seen: list[Event] = []
    async with serving(reply) as (upstream, _):
        with pytest.raises(UpstreamFailure):
            await collect(upstream, turn(), seen)
    assert text_of(seen) == "ab"


async def test_text_that_came_in_one_piece_with_the_error_is_given_out_and_not_asked_for_again() -> None:
    error = {"type": "error", "code": "stream.error", "allow_retry": True}
    seen: list[Event] = []
    async with serving(stream(*PREFIX, old.delta("a"), error), ANSWER) as (upstream, server):
        with pytest.raises(UpstreamFailure):
            await collect(upstream, turn(), seen)
    assert text_of(seen) == "a"
    assert len(server.asked) == 1


async def test_an_answer_with_a_gap_that_nothing_heals_is_no_answer() -> None:
    begin: list[Any] = [
        *old.opening(),
        old.message_added(),
        old.delta("Hel"),
        "data: {broken",
        old.delta("you"),
    ]
    seen: list[Event] = []
    async with serving(stream(*begin, old.part_done("you"), old.message_done("you"))) as (upstream, server):
        with pytest.raises(UpstreamIncomplete, match="has a gap"):
            await collect(upstream, turn(), seen)
    assert text_of(seen) == "Hel"
    assert len(server.asked) == 1
    async with serving(stream(*begin, old.message_done("Hello you"))) as (upstream, _):
        assert text_of(await events_of(upstream, turn())) == "Hello you"


async def test_an_unreachable_server_is_unavailable() -> None:
    async with ScriptedServer().running() as server:
        url = server.url
    http = HttpClient(trust_env=False)
    upstream = ChatKitUpstream(http, Admission(1, 0), Credentials.parse(COOKIE), url=url)
    with pytest.raises(UpstreamUnavailable):
        await events_of(upstream, turn())
    assert not (await upstream.health()).ready
    await http.close()


# Lost conversations


@pytest.mark.parametrize(
    "reply",
    [
        EMPTY,
        ABORTED,
        stream(old.user()),
        stream(old.user(), {"type": "error", "message": "Thread not found"}),
        stream(old.created() | {"thread": {"id": "thr_another"}}, *old.message(["x"])),
        Reply([b'{"detail":"Not Found"}'], 404, JSON),
        REJECTED,
    ],
    ids=["empty", "abort", "only the echo", "error event", "another thread", "404", "rejected"],
)
async def test_a_conversation_that_is_gone_is_named_and_not_repeated(reply: Reply) -> None:
    async with serving(reply, reply, ANSWER) as (upstream, server):
        with pytest.raises(ThreadLost):
            await events_of(upstream, turn(thread=ThreadRef(THREAD)))
    assert len(server.asked) == (2 if reply is REJECTED else 1)


async def test_a_conversation_of_another_account_is_not_even_asked_for() -> None:
    async with serving(ANSWER) as (upstream, server):
        with pytest.raises(ThreadLost):
            await events_of(upstream, turn(thread=ThreadRef(THREAD, "someone-else")))
    assert server.asked == []


# Ends and connections


async def test_the_end_does_not_wait_for_a_server_that_keeps_the_stream_open() -> None:
    whole = sse(*old.opening(), *old.message(["x"]))
    for step, longest in ((sse(old.titled()), 0.25), (sse({"type": "x"}), 0.8)):
        async with serving(Reply([whole, step, 9.0])) as (upstream, _):
            started = time.monotonic()
            assert (await events_of(upstream, turn()))[-1] == Finished("stop")
            assert time.monotonic() - started < longest


async def test_a_second_message_soon_after_the_first_belongs_to_the_answer() -> None:
    reply = Reply(
        [
            sse(*old.opening(), *old.message(["one"], "m1")),
            0.1,
            sse(old.message_added("m2")),
            0.5,
            sse(*old.message(["two"], "m2")[1:]),
        ]
    )
    async with serving(reply) as (upstream, _):
        assert text_of(await events_of(upstream, turn())) == "one\n\ntwo"


async def test_a_connection_that_breaks_after_the_answer_spoils_nothing() -> None:
    async with serving(Reply([sse(*old.opening(), *old.message(["x"])), 0.02, "abort"])) as (upstream, _):
        assert (await events_of(upstream, turn()))[-1] == Finished("stop")


async def test_connections_are_used_again_also_after_a_late_end() -> None:
    late = Reply([sse(*old.opening(), *old.message(["x"]), old.titled()), 0.2])
    async with serving(ANSWER, late, ANSWER) as (upstream, server):
        await events_of(upstream, turn())
        await events_of(upstream, turn())
        await server.asked[1].ended.wait()
        await asyncio.sleep(0.05)
        await events_of(upstream, turn())
    assert [asked.connection for asked in server.asked] == [1, 1, 1]


async def test_leaving_early_aborts_the_request_at_once() -> None:
    async with serving(Reply([sse(*PREFIX, old.delta("a")), 9.0])) as (upstream, server):
        async with opened(upstream, turn()) as batches:
            await anext(batches)
        await asyncio.wait_for(server.asked[0].ended.wait(), 1)


async def test_cancelling_aborts_the_request_at_once_and_frees_the_slot() -> None:
    async with serving(Reply([sse(*PREFIX), 9.0]), Reply([9.0]), ANSWER) as (upstream, server):
        for number in (0, 1):
            task = asyncio.create_task(events_of(upstream, turn()))
            while len(server.asked) <= number:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await asyncio.wait_for(server.asked[number].ended.wait(), 1)
        assert text_of(await events_of(upstream, turn())) == "Hello"


async def test_more_turns_than_slots_are_refused() -> None:
    reply = Reply([sse(*PREFIX, old.delta("a")), 9.0])
    async with (
        serving(reply) as (upstream, _),
        opened(upstream, turn()) as one,
        opened(upstream, turn()) as two,
    ):
        await anext(one)
        await anext(two)
        with pytest.raises(Overloaded):
            await events_of(upstream, turn())


async def test_a_turn_keeps_its_slot_until_its_stream_has_ended() -> None:
    late = Reply([sse(*old.opening(), *old.message(["x"]), old.titled()), 0.2])
    async with serving(late) as (upstream, server):
        await events_of(upstream, turn())
        await events_of(upstream, turn())
        assert not any(asked.ended.is_set() for asked in server.asked)
        with pytest.raises(Overloaded):
            await events_of(upstream, turn())
        await server.asked[0].ended.wait()
        await asyncio.sleep(0.05)
        assert text_of(await events_of(upstream, turn())) == "x"


# Time


async def test_silence_ends_by_the_idle_timeout() -> None:
    async with serving(Reply([sse(*PREFIX), 9.0]), idle_timeout=0.2) as (upstream, server):
        with pytest.raises(UpstreamTimeout):
            await events_of(upstream, turn())
    assert len(server.asked) == 1


async def test_silence_is_no_end_where_more_of_the_answer_may_come() -> None:
    begun = old.message(["Hello"])[:-1]
    async with serving(Reply([sse(*old.opening(), *begun), 9.0]), idle_timeout=0.2) as (upstream, _):
        with pytest.raises(UpstreamTimeout):
            await events_of(upstream, turn())


async def test_silence_after_the_answer_ends_it() -> None:
    reply = Reply([sse(*old.opening(), *old.message(["Hello"])), 9.0])
    async with serving(reply, idle_timeout=0.1) as (upstream, _):
        assert text_of(await events_of(upstream, turn())) == "Hello"


async def test_comments_are_signs_of_life() -> None:
    comments: Sequence[Any] = [sse(": keep-alive"), 0.1] * 6
    async with serving(Reply([*comments, *ANSWER.steps]), idle_timeout=0.3) as (upstream, _):
        assert text_of(await events_of(upstream, turn())) == "Hello"


@pytest.mark.parametrize("idle_timeout", [0.3, 60.0, None])
@pytest.mark.parametrize("first", [[0.0], [sse(*PREFIX, old.delta("a"))]], ids=["comments", "text"])
async def test_the_whole_turn_is_bounded_too(first: list[Any], idle_timeout: float | None) -> None:
    comments: Sequence[Any] = [sse(": keep-alive"), 0.1] * 40
    reply = Reply([*first, *comments])
    async with serving(reply, idle_timeout=idle_timeout, total_timeout=0.5) as (upstream, server):
        started = time.monotonic()
        with pytest.raises(UpstreamTimeout, match=r"within 0\.5 seconds"):
            await events_of(upstream, turn())
        assert 0.4 < time.monotonic() - started < 1.2
    assert len(server.asked) == 1


async def test_a_server_that_never_answers_is_bounded_too() -> None:
    async def mute(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(3)
        writer.close()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/chatkit"
    http = HttpClient(trust_env=False)
    upstream = ChatKitUpstream(
        http, Admission(1, 0), Credentials(), url=url, idle_timeout=60.0, total_timeout=0.2
    )
    with pytest.raises(UpstreamTimeout):
        await events_of(upstream, turn())
    await http.close()
    server.close()


# Health


async def test_health_tells_what_the_last_turn_told_and_asks_nobody() -> None:
    card = stream(*PREFIX, old.widget({"value": "closed"}))
    async with serving(ANSWER, LOGIN_CARD, card, ANSWER) as (upstream, server):
        await upstream.look(2.0)
        assert (await upstream.health()).ready
        assert server.asked == []
        await events_of(upstream, turn())
        assert (await upstream.health()).ready
        for kind, ready in ((UpstreamLoginRequired, False), (UpstreamFailure, True)):
            with pytest.raises(kind) as caught:
                await events_of(upstream, turn())
            health = await upstream.health()
            assert health.ready is ready
            assert caught.value.message in health.detail
        await events_of(upstream, turn())
        assert "failed" not in (await upstream.health()).detail
    assert len(server.asked) == 4


async def test_trouble_counts_for_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(LOGIN_CARD) as (upstream, _):
        with pytest.raises(UpstreamLoginRequired):
            await events_of(upstream, turn())
        assert not (await upstream.health()).ready
        now = time.monotonic()
        for later, ready in ((59, False), (61, True)):
            clock = SimpleNamespace(monotonic=lambda later=later: now + later)
            monkeypatch.setattr("gptoss_api.upstreams.health.time", clock)
            await upstream.look(2.0)
            assert (await upstream.health()).ready is ready


@pytest.mark.parametrize(
    ("url", "cookie", "lacking"),
    [
        ("https://api.gpt-oss.com/chatkit", None, True),
        ("https://api.gpt-oss.com/chatkit", COOKIE, False),
        ("http://127.0.0.1:9/chatkit", None, False),
        ("https://not-gpt-oss.com/chatkit", None, False),
    ],
)
async def test_the_site_lacks_a_login_where_there_is_none(
    url: str, cookie: str | None, lacking: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Nobody outside this machine is looked for.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    upstream = ChatKitUpstream(HttpClient(), Admission(1, 0), Credentials.load(cookie), url=url)
    await upstream.look(2.0)
    health = await upstream.health()
    assert not health.ready
    assert ("GPTOSS_COOKIE" in health.detail) is lacking
    assert ("Nothing answers at" in health.detail) is not lacking
    assert not upstream.reached
    await upstream.close()
