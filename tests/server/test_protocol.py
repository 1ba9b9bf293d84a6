"""What happens below requests: slow, endless and broken heads, early answers, offers of an upgrade."""

import json
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import RunningGateway, Site, StartGateway, running_gateway
from tests.server.talking import CHAT, HELLO, ask, connect, head_of, read_reply, read_until, request_bytes
from tests.simulator import Answer, Pause, Simulator
from tests.simulator.answers import Mark

pytestmark = pytest.mark.waits

IMPATIENT = """
import gptoss_api.server.body as body, gptoss_api.server.protocol as protocol
body.BODY_PAUSE = protocol.HEADER_TIMEOUT = protocol.LINGER_TIMEOUT = 0.5
"""


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    """A gateway that gives peers half a second where others get ten or more."""
    home = tmp_path_factory.mktemp("home")
    with running_gateway(home, before=IMPATIENT, GPTOSS_UPSTREAM="demo", GPTOSS_MAX_BODY="1MiB") as gateway:
        yield gateway


@pytest.fixture(autouse=True)
def _no_trace(demo: RunningGateway, impatient: RunningGateway) -> Iterator[None]:
    yield
    for gateway in (demo, impatient):
        assert ask(gateway, "GET", "/healthz").status == 200
        assert "Traceback" not in gateway.log()


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01",
        b"GET\r\n\r\n",
        b"POST / HTTP/9.9\r\n\r\n",
        b"\x00" * 100,
        b"GET / HTTP/1.1\r\nhost: localhost\r\nbad header\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        head_of("/", 1, "transfer-encoding: chunked") + b"0\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: x\r\n\r\n",
        b"POST %s HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{} \r\nzz\r\n"
        % CHAT.encode(),
    ],
)
def test_what_is_not_http_gets_a_json_400(demo: RunningGateway, garbage: bytes) -> None:
    with connect(demo) as connection:
        connection.sendall(garbage)
        answer = read_until(connection, b"}}")
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"x-request-id: req_" in answer
    assert b"connection: close" in answer
    assert b'"type":"invalid_request_error"' in answer


def test_garbage_after_a_request_does_not_get_into_its_answer(site: Site) -> None:
    site.simulator.always(Answer("", deltas=["word "] * 4, pace=0.05))
    with connect(site.gateway) as connection:
        connection.sendall(request_bytes(CHAT, {**HELLO, "stream": True}))
        read_until(connection, b"word ")
        connection.sendall(b"\x00garbage\r\n\r\n")
        rest = read_until(connection, b"never")
    assert b"HTTP/1.1" not in rest
    assert rest.endswith(b"data: [DONE]\n\n\r\n0\r\n\r\n")


@pytest.mark.parametrize("stray", [b"x", b"\x00", b"\r\n\r\nGET\r\n\r\n", b"y: " + b"z" * 100_000])
@pytest.mark.parametrize("stream", [True, False])
def test_what_is_no_request_behind_one_does_not_cost_it_its_answer(
    site: Site, stray: bytes, stream: bool
) -> None:
    site.simulator.always(Answer("", deltas=["word "] * 4, pace=0.05))
    with connect(site.gateway) as connection:
        connection.sendall(request_bytes(CHAT, {**HELLO, "stream": stream}) + stray)
        answer = read_until(connection, b"never")
    assert answer.startswith(b"HTTP/1.1 200")
    assert answer.count(b"word ") == 4
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("silence", ["headers", "half"])
def test_who_ends_its_side_behind_a_request_gets_the_answer(site: Site, stream: bool, silence: Mark) -> None:
    site.simulator.always(Answer("", ["Hm."], deltas=["word "] * 4, at={silence: [Pause(0.2)]}))
    with connect(site.gateway) as connection:
        connection.sendall(request_bytes(CHAT, {**HELLO, "stream": stream}))
        connection.shutdown(socket.SHUT_WR)
        answer = read_until(connection, b"never")
    head, _, rest = answer.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert rest.count(b"word ") == 4
    assert (b"[DONE]" in rest) is stream


def test_endless_headers_are_cut_off(demo: RunningGateway) -> None:
    with connect(demo) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n")
        try:
            for i in range(2_000):
                connection.sendall(b"x-%d: %s\r\n" % (i, b"y" * 100))
        except OSError:
            pass
        try:
            answer = read_until(connection, b"}}")
        except ConnectionResetError:
            return  # It was cut off while we still sent.
    assert answer.startswith(b"HTTP/1.1 431")
    assert b"x-request-id: req_" in answer


def test_slow_headers_hold_nobody_up_and_are_ended(impatient: RunningGateway) -> None:
    slow = [connect(impatient) for _ in range(50)]
    try:
        for connection in slow:
            connection.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nhost: loc")
        started = time.monotonic()
        assert ask(impatient, "GET", "/v1/models").status == 200
        assert time.monotonic() - started < 0.5
        for connection in slow:
            answer = read_until(connection, b"}}")
            assert answer.startswith(b"HTTP/1.1 408")
            assert b"x-request-id: req_" in answer
        assert 0.4 < time.monotonic() - started < 5
    finally:
        for connection in slow:
            connection.close()


def test_headers_that_drip_are_ended_all_the_same(impatient: RunningGateway) -> None:
    for kept_alive in (False, True):
        with connect(impatient) as connection:
            if kept_alive:
                connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
                read_until(connection, b'{"status":"ok"}')
            started = time.monotonic()
            answer = b""
            connection.settimeout(0.1)
            for byte in b"GET / HTTP/1.1\r\nhost: " + b"x" * 1000:
                try:
                    connection.sendall(bytes([byte]))
                    answer += connection.recv(4096)
                except TimeoutError:
                    continue
                except OSError:
                    break
                if b"}}" in answer:
                    break
            assert answer.startswith(b"HTTP/1.1 408")
            assert time.monotonic() - started < 5


def test_a_stray_line_end_behind_a_body_does_not_end_its_answer(
    simulator: Simulator, gateway: StartGateway
) -> None:
    running = gateway(simulator, before=IMPATIENT)
    simulator.always(Answer("", deltas=["word "] * 10, pace=0.1))
    with connect(running) as connection:
        connection.sendall(request_bytes(CHAT, {**HELLO, "stream": True}) + b"\r\n")
        assert read_until(connection, b"[DONE]").count(b"word ") == 10


def test_a_connection_without_a_request_is_closed(impatient: RunningGateway) -> None:
    with connect(impatient) as connection:
        assert connection.recv(100) == b""


def test_a_body_that_stalls_is_a_408(impatient: RunningGateway) -> None:
    for sent in (b"", b'{"messages": '):
        with connect(impatient) as connection:
            connection.sendall(head_of(CHAT, 100) + sent)
            answer = read_until(connection, b"}}")
        assert answer.startswith(b"HTTP/1.1 408")
        assert b'"code":"request_timeout"' in answer


def test_a_client_that_leaves_inside_its_body_is_no_error(demo: RunningGateway) -> None:
    with connect(demo) as connection:
        connection.sendall(head_of(CHAT, 100, "x-request-id: left-early") + b"{")
    deadline = time.monotonic() + 5
    while "left-early" not in demo.log():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert "status=499 outcome=client_gone" in demo.log()


# Answers that come before the request is complete


def test_a_body_that_is_announced_too_large_is_refused_before_it_is_sent(impatient: RunningGateway) -> None:
    with connect(impatient) as connection:
        connection.sendall(head_of(CHAT, 10_000_000))
        assert read_until(connection, b"}}").startswith(b"HTTP/1.1 413")


def test_a_body_that_is_announced_with_expect_is_not_asked_for_in_vain(impatient: RunningGateway) -> None:
    with connect(impatient) as connection:
        connection.sendall(head_of(CHAT, 10_000_000, "expect: 100-continue"))
        answer = read_until(connection, b"never")
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer


@pytest.mark.parametrize(
    ("version", "line"),
    [("1.1", "connection: close"), ("1.0", "connection: close"), ("1.1", "expect: 100-continue")],
)
def test_who_sends_a_refused_body_to_its_end_can_read_why(
    impatient: RunningGateway, version: str, line: str
) -> None:
    head = head_of(CHAT, 3_000_000, line).replace(b"HTTP/1.1", f"HTTP/{version}".encode(), 1)
    with connect(impatient) as connection:
        connection.sendall(head)
        # The refusal is under way while most of it is still to be sent.
        for _ in range(30):
            connection.sendall(b"x" * 100_000)
        answer = read_until(connection, b"never")
    assert answer.startswith(b"HTTP/1.1 413")
    assert b'"error"' in answer


def test_who_sends_headers_without_end_can_read_why_not(impatient: RunningGateway) -> None:
    with connect(impatient) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n")
        for _ in range(30):
            connection.sendall(b"x: " + b"y" * 100_000)
        assert read_until(connection, b"never").startswith(b"HTTP/1.1 431")


def test_after_a_refusal_the_rest_of_the_body_is_dropped_and_the_connection_serves_on(
    impatient: RunningGateway,
) -> None:
    with connect(impatient) as connection:
        connection.sendall(head_of(CHAT, 3_000_000))
        assert read_reply(connection)[0] == 413
        connection.sendall(b"x" * 3_000_000 + request_bytes(CHAT, HELLO))
        assert read_reply(connection)[0] == 200


def test_who_does_not_end_a_refused_body_is_hung_up_on(impatient: RunningGateway) -> None:
    with connect(impatient) as connection:
        connection.sendall(head_of(CHAT, 3_000_000))
        assert read_reply(connection)[0] == 413
        started = time.monotonic()
        try:
            while time.monotonic() - started < 5:
                connection.sendall(b"x" * 10)
                time.sleep(0.05)
        except OSError:
            pass
        assert time.monotonic() - started < 3


def test_a_body_that_grows_past_the_limit_in_chunks_is_too_large(demo: RunningGateway) -> None:
    with connect(demo) as connection:
        connection.sendall(head_of(CHAT, None, "transfer-encoding: chunked"))
        for _ in range(200):
            connection.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
        connection.sendall(b"0\r\n\r\n")
        assert read_reply(connection)[0] == 413


# Ordinary manners


def test_keep_alive_serves_many_requests_on_one_connection(demo: RunningGateway) -> None:
    with connect(demo) as connection:
        for _ in range(3):
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert read_reply(connection) == (200, b'{"status":"ok"}')


def test_pipelined_requests_are_answered_in_order(demo: RunningGateway) -> None:
    with connect(demo) as connection:
        connection.sendall(request_bytes(CHAT, HELLO) + b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert b"chat.completion" in read_reply(connection)[1]
        assert read_reply(connection) == (200, b'{"status":"ok"}')


def test_expect_100_continue_is_answered(demo: RunningGateway) -> None:
    body = json.dumps(HELLO).encode()
    with connect(demo) as connection:
        connection.sendall(head_of(CHAT, len(body), "expect: 100-continue"))
        assert read_until(connection, b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert read_reply(connection)[0] == 200


def test_chunked_request_bodies_are_read(demo: RunningGateway) -> None:
    with connect(demo) as connection:
        connection.sendall(head_of(CHAT, None, "transfer-encoding: chunked"))
        for byte in json.dumps(HELLO).encode():
            connection.sendall(b"1\r\n%c\r\n" % byte)
        connection.sendall(b"0\r\n\r\n")
        assert read_reply(connection)[0] == 200


def offer(upgrade: str, *lines: str) -> bytes:
    """A chat that offers to speak ``upgrade`` instead."""
    return request_bytes(
        CHAT,
        HELLO,
        "Connection: Upgrade, HTTP2-Settings",
        f"Upgrade: {upgrade}",
        "HTTP2-Settings: AA",
        *lines,
    )


@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
def test_an_offer_to_upgrade_is_ignored_and_costs_no_body(demo: RunningGateway, upgrade: str) -> None:
    with connect(demo) as connection:
        for request in (offer(upgrade), request_bytes(CHAT, HELLO)):
            connection.sendall(request)
            assert read_reply(connection)[0] == 200


def test_an_offer_to_upgrade_costs_no_body_wherever_it_is_cut(demo: RunningGateway) -> None:
    request = offer("h2c")
    with connect(demo) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for cut in range(1, len(request)):
            connection.sendall(request[:cut])
            time.sleep(0.002)
            connection.sendall(request[cut:])
            status, body = read_reply(connection)
            assert status == 200, (request[:cut], body)
        for byte in request:
            connection.sendall(bytes([byte]))
        assert read_reply(connection)[0] == 200


def test_offers_to_upgrade_in_a_row_of_requests_cost_no_body(demo: RunningGateway) -> None:
    get = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    chunked = head_of(CHAT, None, "transfer-encoding: chunked", "upgrade: x", "connection: upgrade")
    body = json.dumps(HELLO).encode()
    chunked += b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    with connect(demo) as connection:
        connection.sendall(get + offer("h2c") + get + chunked + request_bytes(CHAT, HELLO) + get)
        answers = [read_reply(connection) for _ in range(6)]
    assert [status for status, _ in answers] == [200] * 6
    assert [b"chat.completion" in body for _, body in answers] == [False, True, False, True, True, False]


@pytest.mark.parametrize(
    ("path", "asked", "first"),
    [
        (CHAT, HELLO, b"data: {"),
        ("/v1/completions", {"prompt": "Hi"}, b"data: {"),
        ("/v1/responses", {"input": "Hi"}, b"event: "),
        ("/v1/messages", {**HELLO, "max_tokens": 50}, b"event: "),
        ("/api/chat", HELLO, b"{"),
    ],
)
def test_a_stream_to_a_client_without_chunks_ends_with_its_connection(
    demo: RunningGateway, path: str, asked: dict[str, Any], first: bytes
) -> None:
    body = {"model": "gpt-oss-120b", **asked, "stream": True}
    with connect(demo) as connection:
        connection.sendall(request_bytes(path, body).replace(b"HTTP/1.1", b"HTTP/1.0", 1))
        head, _, sent = read_until(connection, b"never").partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200")
    assert b"transfer-encoding" not in head.lower()
    assert b"connection: close" in head.lower()
    assert sent.startswith(first)


def test_nobody_is_connected_to_another_server(demo: RunningGateway) -> None:
    with connect(demo) as connection:
        connection.sendall(b"CONNECT 127.0.0.1:1 HTTP/1.1\r\nhost: 127.0.0.1:1\r\n\r\n\x16\x03\x01")
        assert read_until(connection, b"}}").startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "hosts",
    [
        [],
        ["localhost", "localhost"],
        ["evil.example", "localhost"],
        ["localhost", "evil.example", "localhost"],
        ["local host"],
        ["localhost, evil.example"],
        ["http://localhost"],
        ["localhost:port"],
        [f"{'a' * 247}.localhost"],
    ],
)
def test_a_request_without_one_plain_host_is_refused(demo: RunningGateway, hosts: list[str]) -> None:
    lines = "".join(f"Host: {host}\r\n" for host in hosts)
    with connect(demo) as connection:
        for method, path, body in (("GET", "/healthz", b""), ("POST", CHAT, json.dumps(HELLO).encode())):
            head = f"{method} {path} HTTP/1.1\r\n{lines}content-length: {len(body)}\r\n\r\n"
            connection.sendall(head.encode() + body)
            status, answer = read_reply(connection)
            assert status == 400
            assert json.loads(answer)["error"]["type"] == "invalid_request_error"
            assert "Host" in json.loads(answer)["error"]["message"]


@pytest.mark.parametrize(
    ("target", "host", "status"),
    [
        ("http://localhost/healthz", "evil.example", 200),
        ("HTTP://127.0.0.1:8080/healthz?x=1", "evil.example", 200),
        ("http://localhost", "localhost", 200),
        ("http://evil.example/healthz", "localhost", 403),
        ("http://user@localhost/healthz", "localhost", 400),
        ("ftp://localhost/healthz", "localhost", 400),
    ],
)
def test_a_request_that_names_its_host_in_its_first_line_is_for_that_host(
    demo: RunningGateway, target: str, host: str, status: int
) -> None:
    with connect(demo) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n".encode())
        assert read_until(connection, b"never").startswith(b"HTTP/1.1 %d" % status)


def test_a_missing_host_is_told_in_its_turn(demo: RunningGateway) -> None:
    with connect(demo) as connection:
        connection.sendall(request_bytes(CHAT, HELLO) + b"GET /healthz HTTP/1.1\r\n\r\n")
        assert [read_reply(connection)[0] for _ in range(2)] == [200, 400]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:8000", "LOCALHOST.", "[::1]:80", "localhost:"])
def test_the_hosts_of_this_machine_are_answered(demo: RunningGateway, host: str) -> None:
    with connect(demo) as connection:
        connection.sendall(f"GET /healthz HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert read_reply(connection)[0] == 200


def test_two_hosts_are_refused_in_http_1_0_too(demo: RunningGateway) -> None:
    with connect(demo) as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\nhost: localhost\r\nhost: localhost\r\n\r\n")
        assert read_until(connection, b"never").startswith(b"HTTP/1.1 400")


def test_http_1_0_without_a_host_is_answered_and_closed(demo: RunningGateway) -> None:
    with connect(demo) as connection:
        connection.sendall(b"GET /healthz HTTP/1.0\r\n\r\n")
        assert read_until(connection, b"never").endswith(b'{"status":"ok"}')


@pytest.mark.parametrize(
    "path", ["/", "/healthz", "/readyz", "/v1/models", "/v1/models/gpt-oss-20b", "/docs"]
)
def test_head_is_get_without_the_body(demo: RunningGateway, path: str) -> None:
    get, head = ask(demo, "GET", path), ask(demo, "HEAD", path)
    assert head.status == get.status == 200
    assert head.body == b""
    for name in ("content-type", "content-length"):
        assert head.headers[name] == get.headers[name]
