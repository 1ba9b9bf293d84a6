"""The orderly end: running answers finish within their time, new requests are told to go elsewhere."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping

import pytest

from tests.conftest import RunningGateway, StartGateway
from tests.server.talking import CHAT, HELLO, ask, connect, head_of, read_until, request_bytes
from tests.simulator import Answer, Simulator, Stall

pytestmark = [pytest.mark.waits, pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")]

STREAM = {**HELLO, "stream": True}


def slow(seconds: float) -> Answer:
    """An answer whose words take so long in all."""
    return Answer("", deltas=["word "] * 20, pace=seconds / 20)


def begin(gateway: RunningGateway, body: Mapping[str, object]) -> socket.socket:
    """A request under way; a streamed one has its first word."""
    connection = connect(gateway)
    connection.sendall(request_bytes(CHAT, dict(body)))
    if body.get("stream"):
        read_until(connection, b"word ")
    return connection


def wait_until_draining(gateway: RunningGateway) -> None:
    deadline = time.monotonic() + 5
    while ask(gateway, "GET", "/readyz").status != 503:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_idle_gateway_ends_at_once(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo")
    started = time.monotonic()
    assert running.stop() == 0
    assert time.monotonic() - started < 1.5
    assert "stopped" in running.log()


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_a_running_stream_ends_and_new_requests_are_refused(
    simulator: Simulator, gateway: StartGateway, sent: signal.Signals
) -> None:
    running = gateway(simulator)
    simulator.always(slow(2.0))
    with begin(running, STREAM) as connection:
        running.process.send_signal(sent)
        wait_until_draining(running)
        for method, path, body in (("POST", CHAT, HELLO), ("GET", "/v1/models", None)):
            refused = ask(running, method, path, body)
            assert refused.status == 503
            assert refused.error["code"] == "overloaded"
            assert refused.headers["retry-after"] == "5"
            assert refused.headers["connection"] == "close"
        assert ask(running, "GET", "/healthz").status == 200
        assert ask(running, "GET", "/").json()["status"] == "draining"
        rest = read_until(connection, b"never")
    assert rest.count(b"word ") >= 15
    assert rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert b"error" not in rest
    assert running.process.wait(5) == 0
    assert "1 request(s) may finish" in running.log()
    assert "Traceback" not in running.log()


def test_a_second_signal_of_another_kind_ends_it_at_once(simulator: Simulator, gateway: StartGateway) -> None:
    running = gateway(simulator)
    simulator.always(Answer("", deltas=["word "] * 4, at={"half": [Stall()]}))
    with begin(running, STREAM) as connection:
        running.process.send_signal(signal.SIGINT)
        wait_until_draining(running)
        running.process.send_signal(signal.SIGQUIT)
        read_until(connection, b"never")
        assert running.process.wait(5) == 0


def test_a_gateway_that_was_told_to_ignore_hangups_does(gateway: StartGateway) -> None:
    nohup = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    running = gateway(GPTOSS_UPSTREAM="demo", before=nohup)
    running.process.send_signal(signal.SIGHUP)
    time.sleep(0.5)
    assert ask(running, "POST", CHAT, HELLO).status == 200


def test_a_whole_answer_is_waited_for_too(simulator: Simulator, gateway: StartGateway) -> None:
    running = gateway(simulator)
    simulator.always(slow(1.0))
    with begin(running, HELLO) as connection:
        simulator.wait_until(lambda: bool(simulator.requests))
        running.process.terminate()
        answer = read_until(connection, b"never")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"word ") == 20
    assert running.process.wait(5) == 0


def test_the_grace_is_bounded_and_what_is_cut_off_is_told(
    simulator: Simulator, gateway: StartGateway
) -> None:
    running = gateway(simulator, GPTOSS_SHUTDOWN_TIMEOUT="0.5")
    simulator.always(Answer("", deltas=["word "] * 4, at={"half": [Stall()]}))
    with begin(running, STREAM) as streamed, begin(running, HELLO) as whole, connect(running) as unsent:
        unsent.sendall(head_of(CHAT, 100))
        simulator.wait_until(lambda: len(simulator.requests) == 2)
        started = time.monotonic()
        running.process.terminate()
        rest = read_until(streamed, b"never")
        answers = [read_until(whole, b"never"), read_until(unsent, b"never")]
    assert 0.4 < time.monotonic() - started < 3
    assert b'data: {"error":{"message":"The gateway is shutting down' in rest
    assert b'finish_reason":"stop' not in rest
    assert b"[DONE]" not in rest
    for answer in answers:
        assert answer.startswith(b"HTTP/1.1 503")
        assert b'"code":"overloaded"' in answer
    assert running.process.wait(5) == 0
    assert "Traceback" not in running.log()
    simulator.wait_until(lambda: all(request.aborted_at is not None for request in simulator.requests))


def test_a_second_signal_ends_it_at_once(simulator: Simulator, gateway: StartGateway) -> None:
    running = gateway(simulator)
    simulator.always(Answer("", deltas=["word "] * 4, at={"half": [Stall()]}))
    with begin(running, STREAM) as connection:
        running.process.terminate()
        wait_until_draining(running)
        running.process.terminate()
        started = time.monotonic()
        read_until(connection, b"never")
        running.process.wait(5)
    assert time.monotonic() - started < 3


def test_a_client_that_does_not_read_cannot_hold_the_end_up(
    simulator: Simulator, gateway: StartGateway
) -> None:
    running = gateway(simulator, GPTOSS_SHUTDOWN_TIMEOUT="0.3")
    simulator.always(Answer("", deltas=["word " * 10_000] * 400))
    with begin(running, STREAM):
        started = time.monotonic()
        running.process.terminate()
        try:
            running.process.wait(8)
        except subprocess.TimeoutExpired:
            pytest.fail("still running")
    assert time.monotonic() - started < 6


def test_while_balancers_look_elsewhere_requests_are_still_taken(
    simulator: Simulator, gateway: StartGateway
) -> None:
    running = gateway(simulator, GPTOSS_DRAIN_DELAY="1.5")
    simulator.always(slow(1.0))
    started = time.monotonic()
    running.process.terminate()
    wait_until_draining(running)
    late = ask(running, "POST", CHAT, HELLO)
    assert late.status == 200
    # Connections that are kept for later would break then.
    assert late.headers["connection"] == "close"
    with begin(running, STREAM) as connection:
        while ask(running, "GET", "/v1/models").status == 200:
            assert time.monotonic() - started < 5
            time.sleep(0.05)
        assert time.monotonic() - started >= 1.4
        assert read_until(connection, b"never").endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")
    assert running.process.wait(5) == 0
    assert "new requests are taken for 1.5 s more" in running.log()


def test_a_gateway_without_requests_waits_for_balancers_too_and_a_second_signal_ends_that(
    gateway: StartGateway,
) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", GPTOSS_DRAIN_DELAY="60")
    running.process.terminate()
    wait_until_draining(running)
    with pytest.raises(subprocess.TimeoutExpired):
        running.process.wait(0.3)
    running.process.terminate()
    assert running.process.wait(5) == 0
