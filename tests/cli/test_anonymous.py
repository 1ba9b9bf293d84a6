"""What is recorded says nothing about anybody, and keeps its shape."""

import json
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.cli.diagnosis.anonymous import Anonymizer
from gptoss_api.upstreams.http.recording import RecordedExchange

# Words of a person, as they may be anywhere.
PERSONAL = st.sampled_from(
    [
        "Grace Hopper",
        "grace.hopper@navy.example",
        "hf_GraceSecretToken123",
        "eyJGracejQ.Hopper",
        "Grace-Hopper-1906",
        "/home/grace/notes",
        "org_Grace1234",
        "my wife Grace said hello",
        "Grüße, Grace",
    ]
)
FIELDS = st.sampled_from(
    [
        "type",
        "op",
        "role",
        "status",
        "code",
        "message",
        "error",
        "text",
        "content",
        "delta",
        "id",
        "threadId",
        "title",
        "value",
        "metadata",
        "user",
        "name",
        "arguments",
        "model",
        "created",
        "label",
        "entry",
        "summary",
        "email",
        "Grace_Hopper1",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | PERSONAL,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(FIELDS | PERSONAL, inner, max_size=4),
    max_leaves=12,
)


def says_nothing(text: str) -> bool:
    return not any(word in text.lower() for word in ("grace", "hopper", "wife", "navy", "gracesecret", "üß"))


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return [shape(member) for member in value.values()]
    if isinstance(value, list):
        return [shape(member) for member in value]
    return type(value)


@given(JSON)
def test_json_keeps_its_shape_and_nothing_else(value: Any) -> None:
    shown = Anonymizer().json(value)
    assert says_nothing(json.dumps(shown, ensure_ascii=False))
    assert shape(shown) == shape(value)


@given(
    st.lists(
        st.builds(
            "{}{}".format,
            st.sampled_from(["data: ", "data:", "event: ", "id: ", "retry: ", ": ", "", "{", "data: {"]),
            PERSONAL | JSON.map(lambda value: json.dumps(value, ensure_ascii=False)),
        ),
        max_size=6,
    )
)
def test_lines_of_any_kind_say_nothing(lines: list[str]) -> None:
    shown = Anonymizer().lines("\n".join(lines).encode())
    assert says_nothing("\n".join(shown))


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://api.gpt-oss.com/chatkit?user=grace", "https://api.gpt-oss.com/chatkit?x"),
        (
            "https://router.huggingface.co/v1/chat/completions",
            "https://router.huggingface.co/v1/chat/completions",
        ),
        (
            "https://grace.openai.azure.com/openai/deployments/hopper/chat/completions",
            "https://x.openai.azure.com/openai/deployments/x/chat/completions",
        ),
        (
            "https://api.cloudflare.com/client/v4/accounts/grace/ai/v1/responses",
            "https://api.cloudflare.com/client/v4/accounts/x/ai/v1/responses",
        ),
        ("http://grace:hopper@gpu.navy.example:8000/v1/models", "http://host/v1/models"),
        ("http://127.0.0.1:11434/v1/chat/completions", "http://127.0.0.1/v1/chat/completions"),
    ],
)
def test_addresses_name_nobody(url: str, shown: str) -> None:
    assert Anonymizer().url(url) == shown


def test_what_a_report_is_about_stays() -> None:
    anonymizer = Anonymizer()
    event = {
        "type": "thread.item_replaced",
        "threadId": "thr_98a86270",
        "item": {"id": "msg_1", "thread_id": "thr_98a86270", "model": "openai/gpt-oss-120b:grace", "n": 5},
        "error": {"message": "Rate limit reached for org_Grace1234 on tokens", "code": "rate_limit_exceeded"},
        "created": 1_763_995_203,
        "text": "Hello, Grace!\n\n- 12 ",
    }
    assert anonymizer.json(event) == {
        "type": "thread.item_replaced",
        "threadId": "thr_1",
        "item": {"id": "msg_2", "thread_id": "thr_1", "model": "gpt-oss-120b", "n": 5},
        "error": {"message": "Rate limit reached for xxx_Xxxxx0000 on tokens", "code": "rate_limit_exceeded"},
        "created": 0,
        "text": "Xxxxx, Xxxxx!\n\n- 00 ",
    }
    assert anonymizer.lines(b": keep-alive\nevent: error\ndata: [DONE]\nid: thr_98a86270") == [
        ": keep-alive",
        "event: error",
        "data: [DONE]",
        "id: thr_1",
    ]
    page = anonymizer.lines(b"<html><head><title>Just a moment...</title>Grace")
    assert page == ["<html><head><title>Just a moment...</title>Xxxxx"]


def test_headers_keep_their_names() -> None:
    recorded = RecordedExchange(
        "POST",
        "https://api.gpt-oss.com/chatkit",
        {"Authorization": "Bearer grace", "accept": "text/event-stream", "x-selected-model": "gpt-oss-20b"},
        b"grace",
        time.monotonic(),
        503,
        [("set-cookie", "session=grace"), ("content-type", "text/html"), ("retry-after", "grace\u00fc")],
        [(0.25, b"grace"), (0.5, b" hopper")],
    )
    shown = Anonymizer().exchange(recorded)
    assert shown["request"]["headers"] == [
        "Authorization: (removed)",
        "accept: text/event-stream",
        "x-selected-model: gpt-oss-20b",
    ]
    assert shown["response"] == {
        "status": 503,
        "headers": ["set-cookie: (removed)", "content-type: text/html", "retry-after: (removed)"],
        "lines": ["xxxxx xxxxxx"],
        "reads": ["0.250 s: 5 bytes", "0.500 s: 7 bytes"],
    }
    assert says_nothing(repr(recorded))


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b'{"error": {"message": "no Grace"}}', ['{"error":{"message":"no Xxxxx"}}']),
        (b'data: {"id": ""}\r\n\r\n', ['data: {"id":""}', ""]),
        (b"data: Grace {\nGrace: 12\nretry: 3", ["data: Xxxxx {", "Xxxxx: 00", "retry: 0"]),
        (b"event: Grace!", ["event: Xxxxx!"]),
        (b'{"done": true}\n{"Grace', ['{"done":true}', '{"Xxxxx']),
        ("data: \u201cGrace\u201d \u00fc \U0001f600 \u0664".encode(), ["data: \u201cXxxxx\u201d x x 0"]),
        (b"\xff\xfe", ["\ufffd\ufffd"]),
    ],
)
def test_bodies_of_every_kind(body: bytes, lines: list[str]) -> None:
    assert Anonymizer().lines(body) == lines


def test_words_of_the_protocol_stay_in_headers() -> None:
    headers = {"cache-control": "no-cache, grace=9", "x-show-reasoning": "true", "date": "Grace"}
    recorded = RecordedExchange("GET", "http://host/", headers, b"", time.monotonic())
    shown = Anonymizer().exchange(recorded)["request"]
    assert shown["headers"] == [
        "cache-control: no-cache, xxxxx=0",
        "x-show-reasoning: true",
        "date: (removed)",
    ]
    assert shown["body"] == ""
