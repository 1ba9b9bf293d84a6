"""Every failure has its status, type, code, headers and shape (docs/design/conformance.md, "Errors")."""

import threading
from typing import Any

import pytest

from tests.conftest import RunningGateway, Site, StartGateway
from tests.server.talking import CHAT, HELLO, Reply, ask
from tests.simulator import Abort, Answer, Close, HttpReply, Pause, Simulator, Stall

INVALID = "invalid_request_error"


def ask_with(gateway: RunningGateway, **parameters: Any) -> Reply:
    return ask(gateway, "POST", CHAT, {**HELLO, **parameters})


def assert_error(reply: Reply, status: int, kind: str, code: str | None, param: str | None = None) -> None:
    error = reply.error
    assert (reply.status, error["type"], error["code"], error["param"]) == (status, kind, code, param)
    assert len(error["message"]) > 20


@pytest.mark.parametrize(
    ("parameters", "code", "param"),
    [
        ({"messages": None}, "invalid_type", "messages"),
        ({"messages": "x"}, "invalid_type", "messages"),
        ({"messages": [{"role": "user", "content": 5}]}, "invalid_type", "messages[0].content"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "invalid_value", "messages[0].role"),
        ({"temperature": 3}, None, "temperature"),
        ({"n": 0}, None, "n"),
        ({"max_tokens": 0}, None, "max_tokens"),
        ({"reasoning_effort": "extreme"}, "invalid_value", "reasoning_effort"),
        ({"stream": "yes"}, "invalid_type", "stream"),
        ({"logprobs": True}, "unsupported_parameter", "logprobs"),
    ],
)
def test_wrong_parameters_are_named(
    demo: RunningGateway, parameters: dict[str, Any], code: str | None, param: str
) -> None:
    error = ask_with(demo, **parameters).error
    assert error["type"] == INVALID
    assert error["param"] == param
    if code is not None:
        assert error["code"] == code


def test_messages_are_required(demo: RunningGateway) -> None:
    assert_error(ask(demo, "POST", CHAT, {}), 400, INVALID, "missing_required_parameter", "messages")


def test_an_image_is_refused_by_name(demo: RunningGateway) -> None:
    part = {"type": "image_url", "image_url": {"url": "http://127.0.0.1/x.png"}}
    reply = ask_with(demo, messages=[{"role": "user", "content": [part]}])
    assert reply.status == 400
    assert reply.error["code"] == "unsupported_value"
    assert reply.error["param"].startswith("messages[0].content[0]")


def test_an_unknown_model_is_a_404(demo: RunningGateway) -> None:
    assert_error(ask_with(demo, model="gpt-9"), 404, INVALID, "model_not_found", "model")


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize(
    ("answer", "status", "kind", "code"),
    [
        ("s08_login_card", 401, "authentication_error", "upstream_login_required"),
        (
            HttpReply(429, "{}", headers=[("retry-after", "7")]),
            429,
            "rate_limit_error",
            "upstream_rate_limited",
        ),
        (HttpReply(402, "{}"), 429, "insufficient_quota", "insufficient_quota"),
        (HttpReply(500, "<html>", "text/html"), 502, "api_error", "upstream_error"),
        (HttpReply(503, "<html>", "text/html"), 503, "api_error", "upstream_unavailable"),
        (Answer("x", at={"opened": [Abort()]}), 502, "api_error", "upstream_incomplete"),
        (Answer("x", at={"headers": [Close()]}), 502, "api_error", "upstream_empty"),
        (Answer("x", at={"opened": [Stall()]}), 504, "api_error", "upstream_timeout"),
    ],
)
def test_failures_of_the_upstream(
    impatient_site: Site, answer: Any, status: int, kind: str, code: str, stream: bool
) -> None:
    impatient_site.simulator.always(answer)
    reply = ask_with(impatient_site.gateway, stream=stream)
    assert_error(reply, status, kind, code)
    match code:
        case "upstream_login_required":
            assert reply.headers["x-should-retry"] == "false"
            assert "gptoss-api login" in reply.error["message"]
            assert "www-authenticate" not in reply.headers
        case "upstream_rate_limited":
            assert reply.headers["retry-after"] == "7"
        case "insufficient_quota":
            assert reply.headers["x-should-retry"] == "false"
        case _:
            pass


def test_a_full_queue_is_a_503_that_says_when_to_come_back(
    simulator: Simulator, gateway: StartGateway
) -> None:
    running = gateway(simulator, GPTOSS_MAX_CONCURRENCY="1", GPTOSS_MAX_QUEUE="0")
    simulator.script(Answer("word word", at={"half": [Pause(0.5)]}))
    first = threading.Thread(target=ask_with, args=(running,))
    first.start()
    simulator.wait_until(lambda: bool(simulator.requests))
    reply = ask_with(running)
    first.join()
    assert_error(reply, 503, "api_error", "overloaded")
    assert int(reply.headers["retry-after"]) >= 1


def test_an_upstream_that_cannot_be_reached_is_a_503(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_CHATKIT_URL="http://127.0.0.1:9/chatkit", GPTOSS_COOKIE="session=s3cret-s")
    reply = ask_with(running)
    assert_error(reply, 503, "api_error", "upstream_unavailable")
    assert "s3cret" not in reply.body.decode() + running.log()


def test_a_bug_of_ours_is_a_500_with_the_request_id_and_no_trace(gateway: StartGateway) -> None:
    break_parsing = """
import gptoss_api.dialects.chat.dialect as dialect
def broken(*_, **__): raise ZeroDivisionError("session=s3cret")
dialect.read_request = broken
"""
    running = gateway(before=break_parsing, GPTOSS_UPSTREAM="demo")
    reply = ask_with(running)
    assert_error(reply, 500, "server_error", "internal_error")
    assert reply.headers["x-request-id"] in reply.error["message"]
    assert "ZeroDivisionError" not in reply.body.decode()
    log = running.log()
    assert "ZeroDivisionError" in log
    assert reply.headers["x-request-id"] in log
    assert "s3cret" not in log
    assert ask(running, "GET", "/v1/models").status == 200
