"""Anything over and over from an upstream is read in time that grows with its length, however it is cut."""

import contextlib
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import pytest

from gptoss_api.core.errors import GatewayError
from gptoss_api.core.servers import SERVER_KINDS
from gptoss_api.text.sse import SseDecoder
from gptoss_api.upstreams.chatkit.wire import ChatKitWire
from gptoss_api.upstreams.openai_compatible.wire import ChatWire
from tests.upstreams.chatkit.transcripts import new, old, sse
from tests.watchdog import LONGEST_STOP

from .repeated import ALL, HELD, is_quadratic, pieces_of, repeated

pytestmark = pytest.mark.alone

Wire = ChatWire | ChatKitWire
# What is sent of a text that comes in pieces.
Send = Callable[[Sequence[str]], list[bytes]]

SIZE = 131_072
# Characters.
PIECE = 16_384
# Seconds of CPU time; what is quadratic takes many times as long.
SLOWEST = 0.6
# One that was measured while the machine had other things to do is measured again.
ATTEMPTS = 5


def _chunk(**delta: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": delta}]}


def _call(arguments: str, **more: Any) -> dict[str, Any]:
    return _chunk(tool_calls=[{"index": 0, "function": {"arguments": arguments, **more}}])


END = sse({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, "data: [DONE]")


def _calls(begin: str) -> Send:
    first = sse(_call(begin, name="f"))
    return lambda pieces: [first, *(sse(_call(piece)) for piece in pieces), END]


def _around(begin: bytes, end: bytes) -> Send:
    return lambda pieces: [begin, *(piece.encode() for piece in pieces), end]


CHAT: dict[str, Send] = {
    "text": lambda pieces: [*(sse(_chunk(content=piece)) for piece in pieces), END],
    "thoughts": lambda pieces: [*(sse(_chunk(reasoning=piece)) for piece in pieces), END],
    "a string in arguments": _calls('{"a": "'),
    "arguments": _calls(""),
    "arguments that are mended": _calls("{'a': 1, "),
    "arguments in a list": _calls("[{'a': \""),
    "lines": _around(b"", b"\n\n"),
    "an event": _around(b"data: ", b"\n\n"),
    "a member of an event": _around(b'data: {"choices":[{"delta":{"content":', b"}}]}\n\n"),
    "a string in an event": _around(b'data: {"choices":[{"delta":{"content":"', b'"}}]}\n\n'),
    "an error": lambda pieces: [sse({"error": {"message": "".join(pieces)}})],
}


def _site(dialect: Any) -> dict[str, Send]:
    begin = sse(*dialect.opening(), dialect.message_added())

    def message(end: Callable[[str], str]) -> Send:
        return lambda pieces: [
            begin,
            *(sse(dialect.delta(piece)) for piece in pieces),
            sse(dialect.message_done(end("".join(pieces)))),
        ]

    return {
        "text": message(lambda text: text),
        "text that ends otherwise": message(lambda text: text[:-1] + "zz"),
        "text after a gap": lambda pieces: [b"data: {\n\n", *message(lambda text: text)(pieces)],
        "text that comes whole": lambda pieces: [begin, sse(dialect.message_done("".join(pieces)))],
        "an error": lambda pieces: [begin, sse({"type": "error", "message": "".join(pieces)})],
    }


WIRES: dict[str, tuple[Callable[[], Wire], Send]] = {
    **{
        f"a server's {name}": (lambda: ChatWire(SERVER_KINDS["generic"]), send) for name, send in CHAT.items()
    },
    **{f"the site's {name}": (ChatKitWire, send) for name, send in _site(old).items()},
    "the SDK's text": (ChatKitWire, _site(new)["text"]),
}


def seconds(wire: Wire, chunks: Sequence[bytes]) -> float:
    decoder, begin = SseDecoder(), time.thread_time()
    with contextlib.suppress(GatewayError):
        for chunk in chunks:
            wire.feed(decoder.feed(chunk))
        wire.feed_rest(decoder.finish())
        wire.finish()
    return time.thread_time() - begin


@pytest.mark.parametrize(("new_wire", "send"), WIRES.values(), ids=WIRES)
def test_time_is_linear_in_what_an_upstream_repeats(new_wire: Callable[[], Wire], send: Send) -> None:
    slow = {}
    for unit in ALL:
        chunks = send(pieces_of(repeated(unit, SIZE), PIECE))
        took = SLOWEST
        for _ in range(ATTEMPTS):
            took = seconds(new_wire(), chunks)
            if took < SLOWEST:
                break
        else:
            slow[unit] = took
    assert not slow


@pytest.mark.parametrize(("new_wire", "send"), WIRES.values(), ids=WIRES)
def test_what_an_upstream_sends_in_small_pieces_is_read_once(
    new_wire: Callable[[], Wire], send: Send
) -> None:
    def took(unit: str, size: int) -> float:
        return seconds(new_wire(), send(pieces_of(repeated(unit, size), 16)))

    assert not [unit for unit in HELD if is_quadratic(partial(took, unit))]


@pytest.mark.parametrize("line", ["a", "data: x", "data", ": x", "{", "id"])
def test_the_end_of_a_long_event_does_not_wait_for_all_its_lines(line: str) -> None:
    event = (f"{line}\n" * (2_000_000 // len(line)) + "\n").encode()

    def longest() -> float:
        decoder, steps = SseDecoder(), []
        for at in range(0, len(event), 65_536):
            begin = time.thread_time()
            decoder.feed(event[at : at + 65_536])
            steps.append(time.thread_time() - begin)
        return max(steps)

    assert min(longest() for _ in range(ATTEMPTS)) < LONGEST_STOP
