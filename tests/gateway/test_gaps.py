"""What a strict reader refuses in an upstream's answer: read leniently, or the answer is an error.

Whatever arrives, an answer with a gap in it never ends as if it were complete: on every endpoint, streamed
and whole, in text, reasoning and the arguments of calls.
"""

import asyncio
import json
import re
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest

from tests.backends.server import Backend
from tests.conftest import RunningGateway, StartGateway
from tests.upstreams.chatkit.scripted import Reply

FIRST = '{"choices":[{"index":0,"delta":{"content":"Start. "},"finish_reason":null}]}'
LAST = '{"choices":[{"index":0,"delta":{"content":"End."},"finish_reason":null}]}'
STOP = '{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'


def content(text: str, rest: str = "") -> str:
    """A chunk with ``text`` as it stands in JSON."""
    return '{"choices":[{"index":0,"delta":{"content":"' + text + '"},"finish_reason":null}]' + rest + "}"


class Case(NamedTuple):
    """``blocks`` stand between the first and the last chunk; ``text`` is ``None`` for an error."""

    name: str
    blocks: Sequence[str | bytes]
    text: str | None


def data(*chunks: str) -> list[str]:
    return [f"data: {chunk}" for chunk in chunks]


CASES = [
    Case(
        "halves in two events", data(content(r"ok \ud83d"), content(r"\ude00 done. ")), "ok \U0001f600 done. "
    ),
    Case("a lone half", data(content(r"MIDDLE \ud83d")), "MIDDLE \ufffd"),
    Case("a lone second half", data(content(r"\ude00 MIDDLE ")), "\ufffd MIDDLE "),
    Case("an event cut off inside", data('{"id":"c","choices":[{"index":0,"delta":{"content":"MIDDL'), None),
    Case("the rest of a cut event", data('MIDDLE "},"finish_reason":null}]}'), None),
    Case("NaN beside the text", data(content("MIDDLE ", ',"timings":{"tps":NaN}')), "MIDDLE "),
    Case("Infinity beside the text", data(content("MIDDLE ", ',"timings":{"tps":-Infinity}')), "MIDDLE "),
    Case("a raw tab", data(content("MID\tDLE ")), "MID\tDLE "),
    Case("a raw line break", ['data: {"choices":[{"delta":{"content":"MID\ndata: DLE "}}]}'], "MID\nDLE "),
    Case(
        "no UTF-8",
        [content("MID@DLE ").encode().replace(b"@", b"\xff").join((b"data: ", b""))],
        "MID\ufffdDLE ",
    ),
    Case("two lines", ["\n".join(data(content("MID"), content("DLE ")))], "MIDDLE "),
    Case("two lines, one of them cut", ["\n".join(data(content("MIDDLE "), '{"choices":[{"del'))], None),
    Case("two chunks on one line", data(content("MID") + content("DLE ")), "MIDDLE "),
    Case("JSON on the next line", ["data:\n" + content("MIDDLE ")], None),
    Case("JSON without a field", [content("MIDDLE ")], None),
    Case("a number for text", data('{"choices":[{"index":0,"delta":{"content":5}}]}'), "5"),
    Case(
        "parts in an unknown form", data('{"choices":[{"index":0,"delta":{"content":{"x":"MIDDLE"}}}]}'), None
    ),
    Case("choices in an unknown form", data('{"choices":["MIDDLE"]}'), None),
    Case(
        "what says nothing", [": comment", "data:", "data: ping", "data: [PING]", "event: ping\ndata: {}"], ""
    ),
]


def stream_of(case: Case) -> Reply:
    blocks = [*data(FIRST), *case.blocks, *data(LAST, STOP, "[DONE]")]
    return Reply([b"".join(b + b"\n\n" for b in (b if isinstance(b, bytes) else b.encode() for b in blocks))])


def body_of(message: str, rest: str = "") -> Reply:
    body = '{"choices":[{"index":0,"message":{"content":"' + message + '"},"finish_reason":"stop"}]' + rest
    return Reply([body.encode()], content_type="application/json")


BODIES = [
    ("a lone half", body_of(r"A \ud83d", "}"), "A \ufffd"),
    ("a pair", body_of(r"A \ud83d\ude00", "}"), "A \U0001f600"),
    ("NaN", body_of("A", ',"timings":{"tps":NaN}}'), "A"),
    ("a raw tab", body_of("A\tB", "}"), "A\tB"),
    ("cut off at its end", body_of("A"), None),
    ("two lines, the second one cut", body_of("A", "}\n{"), None),
]

ENDPOINTS: dict[str, dict[str, Any]] = {
    "chat/completions": {"messages": [{"role": "user", "content": "q"}]},
    "responses": {"input": "q", "store": False},
    "completions": {"prompt": "q"},
}


class Answered(NamedTuple):
    """``code`` is that of the error; ``complete`` says that anything calls the answer finished."""

    status: int
    text: str
    code: str
    complete: bool


async def ask(running: RunningGateway, path: str, stream: bool, **more: Any) -> Answered:
    request = {"model": "gpt-oss-120b", "stream": stream, **ENDPOINTS[path], **more}
    status, words = await asyncio.to_thread(_post, f"{running.base_url}/v1/{path}", json.dumps(request))
    if not stream or status != 200:
        return _whole(status, json.loads(words))
    lines = [line.removeprefix("data: ") for line in words.splitlines() if line.startswith("data: ")]
    events = [json.loads(line) for line in lines if line != "[DONE]"]
    complete = "[DONE]" in lines or any(
        event.get("type") == "response.completed"
        or any(choice["finish_reason"] for choice in event.get("choices", ()))
        for event in events
    )
    text = "".join(map(_text_in, events))
    failed = events[-1].get("response", events[-1]).get("error")
    return Answered(status, text, failed["code"] if failed else "", complete)


def _post(url: str, body: str) -> tuple[int, str]:
    request = urllib.request.Request(url, body.encode(), {"content-type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def _text_in(event: Any) -> str:
    if event.get("type") == "response.output_text.delta":
        return str(event["delta"])
    for choice in event.get("choices", ()):
        return str(choice["text"] if "text" in choice else choice["delta"].get("content") or "")
    return ""


def _whole(status: int, answer: Any) -> Answered:
    if error := answer.get("error"):
        return Answered(status, "", error["code"], complete=False)
    if "choices" in answer:
        choice = answer["choices"][0]
        text = choice["text"] if "text" in choice else choice["message"]["content"]
        return Answered(status, text, "", choice["finish_reason"] == "stop")
    (message,) = (item for item in answer["output"] if item["type"] == "message")
    return Answered(status, message["content"][0]["text"], "", answer["status"] == "completed")


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("path", ENDPOINTS)
async def test_an_answer_is_whole_or_an_error(path: str, stream: bool, gateway: StartGateway) -> None:
    backend = Backend("generic")
    async with backend.running():
        address = backend.url.removesuffix("/chatkit") + "/v1"
        running = await asyncio.to_thread(gateway, GPTOSS_UPSTREAM=address)
        for case in CASES:
            backend.replies = [stream_of(case)]
            answered = await ask(running, path, stream)
            if case.text is not None:
                assert answered == (200, f"Start. {case.text}End.", "", True), case.name
            elif stream:
                code = "server_error" if path == "responses" else "upstream_incomplete"
                assert answered._replace(text="") == (200, "", code, False), case.name
                assert answered.text.startswith("Start. "), case.name
                assert "End." not in answered.text, case.name
            else:
                assert answered == (502, "", "upstream_incomplete", False), case.name
        assert len(backend.asked) == len(CASES)
        for name, reply, text in BODIES:
            backend.replies = [reply, reply]
            answered = await ask(running, path, stream)
            expected = (200, text, "", True) if text else (502, "", "upstream_incomplete", False)
            assert answered == expected, name
    running.stop()
    texts = [case.text for case in CASES] + [text for _, _, text in BODIES]
    outcomes = re.findall(r" outcome=(\S+)", running.log())
    assert outcomes == ["upstream_incomplete" if text is None else "ok" for text in texts]
