"""What a stream looks like on the wire: headers, signs of life, the event that ends a broken one."""

import json
import time

import pytest

from tests.conftest import Site, StartGateway
from tests.server.talking import CHAT, HELLO, ask, connect, read_until, request_bytes
from tests.simulator import Abort, Answer, Pause, Simulator

pytestmark = pytest.mark.waits

STREAM = {**HELLO, "stream": True}


def test_the_headers_of_a_stream(site: Site) -> None:
    reply = ask(site.gateway, "POST", CHAT, {**STREAM, "temperature": 0.5, "stop": ["never"]})
    assert reply.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reply.headers["cache-control"] == "no-cache"
    assert reply.headers["x-accel-buffering"] == "no"
    assert reply.headers["x-request-id"].startswith("req_")
    assert reply.headers["x-gptoss-upstream"] == "gpt-oss.com"
    assert reply.headers["x-gptoss-ignored"] == "temperature"
    assert "stop" in reply.headers["x-gptoss-emulated"].split(",")
    assert reply.body.endswith(b"\n\ndata: [DONE]\n\n")


def test_a_silent_upstream_does_not_make_a_silent_stream(simulator: Simulator, gateway: StartGateway) -> None:
    running = gateway(simulator, GPTOSS_KEEPALIVE="0.2")
    simulator.always(Answer("word word", at={"headers": [Pause(0.7)], "half": [Pause(0.7)]}))
    reply = ask(running, "POST", CHAT, STREAM)
    assert reply.headers["x-gptoss-upstream"] == "gpt-oss.com"
    before, _, after = reply.body.partition(b"data: ")
    # Three fit into each pause; a busy machine may miss one.
    assert before.count(b": keep-alive\n\n") in (2, 3)
    assert after.count(b": keep-alive\n\n") in (2, 3)
    assert reply.body.endswith(b"data: [DONE]\n\n")
    for line in reply.body.split(b"\n\n"):
        assert line == b"" or line.startswith((b": ", b"data: "))


def test_a_flowing_stream_has_no_comments(simulator: Simulator, gateway: StartGateway) -> None:
    running = gateway(simulator, GPTOSS_KEEPALIVE="0.2")
    simulator.always(Answer("", deltas=["word "] * 10, pace=0.06))
    assert b": keep-alive" not in ask(running, "POST", CHAT, STREAM).body


def test_the_first_word_does_not_wait_for_the_second(site: Site) -> None:
    site.simulator.always(Answer("", deltas=["first ", "second "], at={"half": [Pause(1.0)]}))
    with connect(site.gateway) as connection:
        connection.sendall(request_bytes(CHAT, STREAM))
        started = time.monotonic()
        read_until(connection, b"first ")
        assert time.monotonic() - started < 0.5
        read_until(connection, b"second ")
        assert time.monotonic() - started >= 0.9


def test_a_stream_that_breaks_ends_with_an_error_event(site: Site) -> None:
    site.simulator.always(Answer("word word", at={"half": [Abort()]}))
    reply = ask(site.gateway, "POST", CHAT, STREAM)
    assert reply.status == 200
    last = reply.body.rstrip(b"\n").rsplit(b"\n\n", 1)[1]
    error = json.loads(last.removeprefix(b"data: "))["error"]
    assert error["code"] == "upstream_incomplete"
    assert set(error) == {"message", "type", "param", "code"}
    assert b'"finish_reason":"stop"' not in reply.body
    assert b"[DONE]" not in reply.body


def test_before_the_first_word_a_failure_is_an_ordinary_response(site: Site) -> None:
    site.simulator.always("s08_login_card")
    reply = ask(site.gateway, "POST", CHAT, STREAM)
    assert reply.status == 401
    assert reply.error["code"] == "upstream_login_required"


def test_a_bug_in_the_middle_of_a_stream_ends_it_with_an_error_event(
    simulator: Simulator, gateway: StartGateway
) -> None:
    break_the_end = """
import gptoss_api.dialects.chat.chunks as chunks
def broken(*_): raise ZeroDivisionError("session=s3cret")
chunks.ChunkRenderer._finish = broken
"""
    running = gateway(simulator, before=break_the_end)
    simulator.always(Answer("word word", at={"half": [Pause(0.1)]}))
    reply = ask(running, "POST", CHAT, STREAM)
    assert reply.status == 200
    assert b'"code":"internal_error"' in reply.body
    assert b"ZeroDivisionError" not in reply.body
    assert "ZeroDivisionError" in running.log()
    assert "s3cret" not in running.log()


@pytest.mark.parametrize("n", [1, 3])
def test_every_event_of_a_stream_is_json(site: Site, n: int) -> None:
    reply = ask(site.gateway, "POST", CHAT, {**STREAM, "n": n, "stream_options": {"include_usage": True}})
    *events, done, rest = reply.body.split(b"\n\n")
    assert (done, rest) == (b"data: [DONE]", b"")
    chunks = [json.loads(event.removeprefix(b"data: ")) for event in events]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert chunks[-1]["choices"] == []
    assert chunks[-1]["usage"]["total_tokens"] > 0
