"""Hostile and broken requests: each gets its answer, and the server serves the next client."""

import gzip
import json
from typing import Any

import pytest

from tests.conftest import RunningGateway
from tests.server.talking import CHAT, HELLO, ask


@pytest.fixture(autouse=True)
def _still_serves(demo: RunningGateway) -> Any:
    yield
    assert ask(demo, "POST", CHAT, HELLO).status == 200
    assert "Traceback" not in demo.log()


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b'"x"', b"null", b"\xff\xfe", b'{"messages": [}', b"{}{}"]
)
def test_a_body_that_is_no_json_object_is_a_400(demo: RunningGateway, body: bytes) -> None:
    reply = ask(demo, "POST", CHAT, body)
    assert reply.status == 400
    assert reply.error["type"] == "invalid_request_error"
    assert reply.error["param"] is None
    assert reply.error["code"] is None


def test_a_10_mb_body_is_too_large(demo: RunningGateway) -> None:
    reply = ask(demo, "POST", CHAT, {"messages": [{"role": "user", "content": "x" * 10_000_000}]})
    assert reply.status == 413
    assert reply.error["code"] == "request_too_large"


def test_a_thousand_messages_are_read(demo: RunningGateway) -> None:
    messages = [
        {"role": "user" if i % 2 == 0 else "assistant", "content": f"message {i}"} for i in range(1_001)
    ]
    reply = ask(demo, "POST", CHAT, {"messages": messages})
    assert reply.status == 200


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (125_000, "you requested 133260 tokens (125068 in the messages, 8192 for the completion)"),
        # Counted no further than the window.
        (200_000, "you requested more than 139264 tokens (more than 131072 in the messages, 8192 for the"),
    ],
)
def test_a_prompt_above_the_window_is_refused_with_both_numbers(
    demo: RunningGateway, words: int, says: str
) -> None:
    reply = ask(demo, "POST", CHAT, {"messages": [{"role": "user", "content": "word " * words}]})
    assert reply.status == 400
    assert reply.error["code"] == "context_length_exceeded"
    assert reply.error["param"] == "messages"
    assert "maximum context length is 131072 tokens" in reply.error["message"]
    assert says in reply.error["message"]


@pytest.mark.parametrize(
    "content", [b"\\ud800", b"a\\udfffb", b"\\u0000", b"\\ufeff", b"\\u2028", b"\\u202e", b"\\r\\n"]
)
def test_odd_characters_are_answered(demo: RunningGateway, content: bytes) -> None:
    body = b'{"messages":[{"role":"user","content":"x' + content + b'y"}]}'
    for stream in (b"", b',"stream":true'):
        reply = ask(demo, "POST", CHAT, body[:-1] + stream + b"}")
        assert reply.status == 200
        reply.body.decode()


def test_deep_nesting_is_a_400(demo: RunningGateway) -> None:
    reply = ask(demo, "POST", CHAT, b'{"messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}")
    assert reply.status == 400
    assert reply.error


def test_compressed_bodies_are_refused_by_name(demo: RunningGateway) -> None:
    for encoding in ("zstd", "br", "deflate", "gzip, gzip"):
        reply = ask(demo, "POST", CHAT, b"\x1f\x8b", {"content-encoding": encoding})
        assert reply.status == 415
        assert reply.error["code"] == "unsupported_content_encoding"


@pytest.mark.parametrize("encoding", ["gzip", "x-gzip", " GZIP"])
def test_gzip_is_read(demo: RunningGateway, encoding: str) -> None:
    for padding in (0, 400_000):
        packed = gzip.compress(json.dumps({**HELLO, "user": "u" * padding}).encode())
        assert ask(demo, "POST", CHAT, packed, {"content-encoding": encoding}).status == 200


def test_gzip_is_held_to_the_size_of_a_body(demo: RunningGateway) -> None:
    packed = gzip.compress(b" " * (8 * 1024**2 + 1))
    reply = ask(demo, "POST", CHAT, packed, {"content-encoding": "gzip"})
    assert reply.status == 413
    assert reply.error["code"] == "request_too_large"


def test_what_is_no_gzip_is_a_400(demo: RunningGateway) -> None:
    packed = gzip.compress(json.dumps(HELLO).encode())
    for body in (b"", b"{}", packed[:-1], packed[:20], packed + b"x", packed + packed):
        reply = ask(demo, "POST", CHAT, body, {"content-encoding": "gzip"})
        assert reply.status == 400
        assert "gzip" in reply.error["message"]


def test_unknown_fields_are_ignored_and_listed(demo: RunningGateway) -> None:
    reply = ask(
        demo,
        "POST",
        CHAT,
        {**HELLO, "temperature": 0.5, "vendor_extra": {"a": 1}, "bad\nname": 1, "seed": None},
    )
    assert reply.status == 200
    ignored = reply.headers["x-gptoss-ignored"].split(",")
    assert set(ignored) == {"temperature", "vendor_extra"}


def test_large_numbers_do_not_crash(demo: RunningGateway) -> None:
    for number in ("1" * 5_000, "1e999", "-1e999"):
        reply = ask(demo, "POST", CHAT, json.dumps(HELLO)[:-1].encode() + b', "seed": %s}' % number.encode())
        assert reply.status in (200, 400)
