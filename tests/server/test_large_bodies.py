"""Bodies up to the limit, whatever they hold, neither stop the others nor cost much before a refusal."""

import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from tests.repetition.repeated import repeated
from tests.simulator import simulator_thread
from tests.watchdog import LONGEST_STOP, WatchedGateway, watched_gateway

from .talking import ask

pytestmark = pytest.mark.alone

SIZE = 7_000_000
# Seconds of CPU time that no body may cost. A word of seven megabytes took six.
MOST_CPU = 3.0
# One that was measured while the machine had other things to do is measured again.
ATTEMPTS = 3

# Of each kind of what may be repeated one: a megabyte takes its time also on the way here.
REPEATED = [
    "a", " ", "\n", "\x00", "中", "😀", "\ufffd", "\\", '"', "<", "<|", "`", "{", "[", '["', "data:",
    "<tool_call>", "<|channel|>",
]  # fmt: skip

CHAT = "/v1/chat/completions"
RESPONSES = "/v1/responses"

Body = Callable[[], bytes]


def body(messages: Any, **more: Any) -> bytes:
    return json.dumps({"messages": messages, **more}, ensure_ascii=False).encode()


def says(unit: str, size: int = SIZE, **more: Any) -> Body:
    return lambda: body([user(unit * (size // len(unit.encode())))], **more)


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


def called(arguments: Any, call_id: str = "c") -> dict[str, Any]:
    call = {"id": call_id, "type": "function", "function": {"name": "f", "arguments": arguments}}
    return {"role": "assistant", "content": None, "tool_calls": [call]}


def returned(call_id: str = "c") -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": call_id, "content": "r"}


TEXTS = {
    **{
        f"{unit!r} again and again": says(unit)
        for unit in ("x", "<", "!?", " ", "1", "a b ", "aB", "中", "😀")
    },
    **{f"{unit!r} again and again": says(unit, SIZE // 2) for unit in ("\n", '"', "\\", "\t")},
    **{
        f"{unit!r} again and again": says(unit)
        for unit in ("<|end|>", "<|", "```", "<tool_call>", "&lt;tool_call", "&amp;lt;", "hello world ")
    },
    "'<' and the end of a control token": lambda: body([user("<" * SIZE + "|>")]),
    "'<|' and the end of a control token": lambda: body([user("<|" * (SIZE // 2) + "|>")]),
    "blanks beside a question": lambda: body([{"role": "system", "content": " " * SIZE}, user("hi")]),
}
CROWDS = {
    "150,000 messages": lambda: body([user("a")] * 150_000),
    "200,000 empty messages": lambda: body([user("")] * 200_000),
    "50,000 messages": lambda: body(
        [user("a"), {"role": "assistant", "content": "b"}] * 25_000 + [user("c")]
    ),
    "10,000 calls and results": lambda: body(
        [m for n in range(5_000) for m in (called("{}", f"c{n}"), returned(f"c{n}"))] + [user("a")]
    ),
    "10,000 calls of tools with one alias": lambda: body(
        [
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": f"{n}",
                        "type": "function",
                        "function": {"name": chr(0x4E00 + n), "arguments": "{}"},
                    }
                    for n in range(10_000)
                ],
            },
            user("a"),
        ]
    ),
    "200,000 parts": lambda: body([{"role": "user", "content": [{"type": "text", "text": "a"}] * 200_000}]),
    "40,000 parts": lambda: body([{"role": "user", "content": [{"type": "text", "text": "a"}] * 40_000}]),
    "lists in a list": lambda: body([user("a")], more=[[]] * (SIZE // 4)),
    "objects in a list": lambda: body([user("a")], more=[{"a": 1}] * (SIZE // 10)),
    "numbers in a list": lambda: body([user("a")], more=[1] * (SIZE // 3)),
    "many members": lambda: body([user("a")], more={str(n): 1 for n in range(SIZE // 14)}),
    "100,000 members": lambda: body([user("a")], more={str(n): 1 for n in range(100_000)}),
    "a wide schema": lambda: body(
        [user("a")],
        tools=[tool("f", parameters={"type": "object", "properties": {f"p{n}": {} for n in range(100_000)}})],
    ),
    "1,000 tools": lambda: body([user("a")], tools=[tool(f"f{n}") for n in range(1_000)]),
    "128 large tools": lambda: body(
        [user("a")], tools=[tool(f"f{n}", description="d " * 25_000) for n in range(128)]
    ),
    "a wide list as arguments": lambda: body([user("a"), called(f"[{'[],' * 2_000_000}1]"), returned()]),
    "100,000 members as arguments": lambda: body(
        [user("a"), called({str(n): 1 for n in range(100_000)}), returned()]
    ),
    "a wide list in a quoted call": lambda: body(
        [
            user("a"),
            {
                "role": "assistant",
                "content": f'<tool_call>{{"name":"f","arguments":[{"[]," * 2_000_000}1]}}</tool_call>',
            },
            user("b"),
        ],
        tools=[tool("f")],
    ),
    "fences and tags line by line": lambda: body(
        [{"role": "assistant", "content": "\n```\n<tool_call>{\n" * (SIZE // 20)}, user("b")],
        tools=[tool("f")],
    ),
}
MEMBERS = {
    "a tool's description of one word": lambda: body([user("a")], tools=[tool("f", description="x" * SIZE)]),
    "a tool's description of short lines": lambda: body(
        [user("a")], tools=[tool("f", description="a\n" * (SIZE // 3))]
    ),
    "a tool's description of fences": lambda: body([user("a")], tools=[tool("f", description="`" * SIZE)]),
    "a name": lambda: body([{**user("a"), "name": "a b " * (SIZE // 4)}, user("b")]),
    "a stop string": lambda: body([user("a")], stop="x" * SIZE),
    "a user": lambda: body([user("a")], user="x" * SIZE),
}
BROKEN = {
    "a string without its end": lambda: b'{"messages":"' + b"x" * SIZE,
    "lists without their end": lambda: b'{"messages":[' + b"[]," * (SIZE // 3),
    "brackets without end": lambda: b"[" * SIZE,
    "half characters": lambda: (
        b'{"messages":[{"role":"user","content":"' + rb"\ud83d" * (SIZE // 6) + b'"}]}'
    ),
    "half a character and line breaks": lambda: (
        rb'{"messages":[{"role":"user","content":"\ud83d' + rb"\n" * (SIZE // 2) + b'"}]}'
    ),
    "a byte order mark": lambda: b"\xef\xbb\xbf" + body([user("x " * (SIZE // 2))]),
    "no UTF-8": lambda: b'{"messages":"' + b"\xe9" * SIZE + b'"}',
}
BODIES: dict[str, Body] = TEXTS | CROWDS | MEMBERS | BROKEN


class _Completions(http.server.BaseHTTPRequestHandler):
    """A server of the model that reads everything and says little."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        left = int(self.headers["content-length"])
        while left:
            left -= len(self.rfile.read(min(left, 1 << 16)))
        answer = (
            b'data: {"choices":[{"delta":{"content":"Yes."},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
        )
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def model_server() -> Iterator[str]:
    """The address of a running :class:`_Completions`."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Completions)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedGateway]:
    with (
        simulator_thread(auth="session") as simulator,
        watched_gateway(tmp_path_factory.mktemp("home"), simulator) as gateway,
    ):
        yield gateway


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WatchedGateway]:
    with (
        model_server() as address,
        watched_gateway(tmp_path_factory.mktemp("home"), GPTOSS_UPSTREAM=address) as gateway,
    ):
        yield gateway


def send(gateway: WatchedGateway, path: str, data: bytes) -> None:
    """Sends a body, several times if need be, and looks at what it cost."""
    longest, cost = [], []
    for _ in range(ATTEMPTS):
        gateway.stops()
        before = gateway.cpu()
        reply = ask(gateway.gateway, "POST", path, data)
        assert reply.status in (200, 400), reply.body[:300]
        longest.append(gateway.longest_stop())
        cost.append(gateway.cpu() - before)
        if longest[-1] <= LONGEST_STOP and cost[-1] <= MOST_CPU:
            return
    assert min(longest) <= LONGEST_STOP
    assert min(cost) <= MOST_CPU


@pytest.mark.parametrize("make", BODIES.values(), ids=BODIES)
def test_a_body_for_the_site_stops_nobody(site: WatchedGateway, make: Body) -> None:
    send(site, CHAT, make())


# Up to its plan a text takes the same way there.
SERVER_BODIES: dict[str, Body] = {
    "a word": TEXTS["'x' again and again"],
    "blanks": TEXTS["' ' again and again"],
    "beginnings of control tokens": TEXTS["'<|' again and again"],
    **CROWDS,
    **MEMBERS,
}


@pytest.mark.parametrize("make", SERVER_BODIES.values(), ids=SERVER_BODIES)
def test_a_body_for_a_server_stops_nobody(server: WatchedGateway, make: Body) -> None:
    send(server, CHAT, make())


RESPONSES_BODIES: dict[str, Callable[[], dict[str, Any]]] = {
    "a word": lambda: {"input": "x" * SIZE},
    "blanks": lambda: {"input": " " * SIZE + "x"},
    "instructions that are repeated": lambda: {"input": "hi", "instructions": " " * SIZE, "stream": True},
    "a tool that is repeated": lambda: {
        "input": "hi",
        "stream": True,
        "tools": [{"type": "function", "name": "f", "description": "a\n" * (SIZE // 3)}],
    },
    "50,000 items": lambda: {"input": [user("a"), {"role": "assistant", "content": "b"}] * 25_000},
    "a conversation that may be cut": lambda: {
        "input": [user("hello world"), {"role": "assistant", "content": "yes"}] * 20_000 + [user("a")],
        "truncation": "auto",
    },
    "10,000 calls and results": lambda: {
        "input": [
            item
            for n in range(10_000)
            for item in (
                {"type": "function_call", "call_id": f"c{n}", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": f"c{n}", "output": "r"},
            )
        ]
    },
}


@pytest.mark.parametrize("make", RESPONSES_BODIES.values(), ids=RESPONSES_BODIES)
def test_the_input_of_a_response_stops_nobody(
    server: WatchedGateway, make: Callable[[], dict[str, Any]]
) -> None:
    send(server, RESPONSES, json.dumps(make(), ensure_ascii=False).encode())


# A megabyte of what is repeated, in every place where clients put text of their own.
PLACES: dict[str, tuple[str, Callable[[str], Any]]] = {
    "a question": (CHAT, lambda text: {"messages": [user(text)]}),
    "an answer in the history": (
        CHAT,
        lambda text: {
            "messages": [user("a"), {"role": "assistant", "content": text}, user("b")],
            "tools": [tool("f")],
        },
    ),
    "arguments in the history": (
        CHAT,
        lambda text: {"messages": [user("a"), called(text), returned(), user("b")], "tools": [tool("f")]},
    ),
    "a string in arguments": (
        CHAT,
        lambda text: {"messages": [user("a"), called(json.dumps({"a": text[:500_000]})), returned()]},
    ),
    "a result": (CHAT, lambda text: {"messages": [user("a"), called("{}"), {**returned(), "content": text}]}),
    "a tool's description": (
        CHAT,
        lambda text: {"messages": [user("a")], "tools": [tool("f", description=text)]},
    ),
    "a name in a schema": (CHAT, lambda text: _asks_for({"properties": {text[:_OF_SCHEMA]: {}}})),
    "a value in a schema": (CHAT, lambda text: _asks_for({"enum": [text[:_OF_SCHEMA]]})),
    "a pattern in a schema": (CHAT, lambda text: _asks_for({"pattern": text[:_OF_SCHEMA]})),
    "a response's input": (RESPONSES, lambda text: {"input": text, "stream": True}),
    "a call in a response's input": (
        RESPONSES,
        lambda text: {
            "input": [
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": text[:500_000]},
                {"type": "function_call_output", "call_id": "c", "output": text[:500_000]},
            ]
        },
    ),
    "a prompt": ("/v1/completions", lambda text: {"prompt": text}),
}
# Characters: of a larger schema nothing is looked at.
_OF_SCHEMA = 200_000


def _asks_for(source: dict[str, Any]) -> dict[str, Any]:
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": source}}
    return {"messages": [user("a")], "response_format": form}


@pytest.mark.parametrize(("path", "make"), PLACES.values(), ids=PLACES)
def test_anything_over_and_over_in_a_body_stops_nobody(
    site: WatchedGateway, path: str, make: Callable[[str], Any]
) -> None:
    bodies = [json.dumps(make(repeated(unit, 1_000_000)), ensure_ascii=False).encode() for unit in REPEATED]
    site.stops()
    before = site.cpu()
    for data in bodies:
        assert ask(site.gateway, "POST", path, data).status in (200, 400)
    if site.longest_stop() > LONGEST_STOP or site.cpu() - before > len(bodies) * 0.5:
        # Which of them it was, unless the machine had other things to do.
        for data in bodies:
            send(site, path, data)


def test_a_prompt_that_is_far_too_long_is_refused_with_a_bound(site: WatchedGateway) -> None:
    reply = ask(site.gateway, "POST", CHAT, says("word ")())
    assert reply.status == 400
    assert reply.error["code"] == "context_length_exceeded"
    assert (
        "maximum context length is 131072 tokens. However, you requested more than 139264 tokens "
        "(more than 131072 in the messages, 8192 for the completion)" in reply.error["message"]
    )


def test_thousands_of_messages_are_answered(site: WatchedGateway) -> None:
    turns = [user("Hello"), {"role": "assistant", "content": "Hi."}] * 2_000
    assert ask(site.gateway, "POST", CHAT, body([*turns, user("Bye")])).status == 200
