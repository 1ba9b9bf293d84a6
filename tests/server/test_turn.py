"""A turn between a client and an upstream, without sockets, in whatever order things happen to it."""

import asyncio
import json
import re
from typing import Any

import pytest
from hypothesis import settings as how
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from gptoss_api.config import resolve
from gptoss_api.core.servers import SERVER_KINDS
from gptoss_api.emulation import EmulatedUpstream, EmulationSettings
from gptoss_api.gateway import Gateway
from gptoss_api.loop.wheel import wheel_of
from gptoss_api.server.app import create_app
from gptoss_api.server.drain import Drain
from gptoss_api.server.protocol import HttpProtocol, Shared
from gptoss_api.text.tokens import Tokens
from gptoss_api.upstreams.admission import Admission
from gptoss_api.upstreams.http import HttpClient, client
from gptoss_api.upstreams.http.connection import Connection
from gptoss_api.upstreams.openai_compatible import OpenAICompatibleUpstream, Server
from tests.server.talking import CHAT
from tests.server.unwired import TakesAll
from tests.timed_loop import Loop

TOKENS = Tokens()
SILENCE, TOTAL, KEEP_ALIVE = 20.0, 70.0, 15.0
HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class Socket:
    def setsockopt(self, *option: object) -> None: ...


class Wire(TakesAll):
    """A socket whose protocol hears that it is closed."""

    def __init__(self, loop: Loop, protocol: asyncio.Protocol) -> None:
        super().__init__()
        self._loop_ = loop
        self.protocol = protocol

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._loop_.call_soon(self.protocol.connection_lost, None)

    abort = close

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return Socket() if name == "socket" else default

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Turns(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = Loop()
        self.wheel = wheel_of(self.loop)
        self.patch = pytest.MonkeyPatch()
        self.wires: list[Wire] = []
        self.patch.setattr(client, "dial", self.dial)
        TOKENS.warm()
        self.loop.run_until_complete(self.build())

    async def build(self) -> None:
        environ = {"GPTOSS_UPSTREAM": "demo", "GPTOSS_STATE": "memory://"}
        self.settings = resolve(environ={**environ, "GPTOSS_KEEPALIVE": str(KEEP_ALIVE)}).settings
        self.gateway = Gateway(self.settings, environ)
        self.http = HttpClient(trust_env=False)
        self.admission = Admission(1, 0)
        server = Server(SERVER_KINDS["generic"], "http://upstream/v1", models={"gpt-oss-120b": "big"})
        self.upstream = OpenAICompatibleUpstream(
            self.http, self.admission, server, idle_timeout=SILENCE, total_timeout=TOTAL
        )
        self.emulated = EmulatedUpstream(self.upstream, TOKENS, EmulationSettings())
        self.patch.setattr(self.gateway, "answer", self.emulated.answer)
        self.drain = Drain()
        self.app = create_app(self.settings, self.gateway, self.drain)
        self.shared = Shared(self.app.serve, self.app.surface, read_timeout=TOTAL)

    async def dial(self, *_: object) -> Connection:
        connection = Connection(self.loop, "upstream:80")
        self.wires.append(Wire(self.loop, connection))
        connection.connection_made(self.wires[-1])
        return connection

    @initialize(streams=st.booleans())
    def ask(self, streams: bool) -> None:
        self.streams = streams
        self.client = HttpProtocol(self.shared, self.loop)
        self.wire = Wire(self.loop, self.client)
        self.client.connection_made(self.wire)
        self.said = ""
        self.left = self.slow = self.ended = self.broke = False
        # Of the present upstream connection: what it has written, and what of it has not left.
        self.begun = False
        self.unsent = b""
        self.words = 0
        body = json.dumps({"messages": [{"role": "user", "content": "Hi"}], "stream": streams}).encode()
        head = f"POST {CHAT} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        self.loop.settle(self.client.data_received, head + body)
        assert len(self.wires) == 1

    @property
    def asked(self) -> bool:
        """Whether an upstream is at work on the turn."""
        return bool(self.admission.active) and not self.wires[-1].closed

    def send(self, data: bytes, size: int) -> None:
        """As much of the upstream's bytes as ``size``; the rest comes with the next."""
        data = self.unsent + data
        self.unsent = data[size:]
        self.loop.settle(self.wires[-1].protocol.data_received, data[:size])

    def chunk(self, *events: str) -> bytes:
        data = b"".join(f"data: {event}\n\n".encode() for event in events)
        return b"%x\r\n%b\r\n" % (len(data), data)

    # What happens

    @precondition(lambda self: self.asked and not self.ended)
    @rule(words=st.integers(1, 3), keeps=st.sampled_from([0, 0, 1, 17]))
    def upstream_says(self, words: int, keeps: int) -> None:
        if not self.begun:
            self.begun, self.unsent = True, b""
            self.send(HEAD, len(HEAD))
        texts = [f"w{self.words + number} " for number in range(words)]
        self.words += words
        self.said += "".join(texts)
        deltas = [json.dumps({"choices": [{"index": 0, "delta": {"content": text}}]}) for text in texts]
        data = self.chunk(*deltas)
        self.send(data, len(self.unsent) + len(data) - keeps)

    @precondition(lambda self: self.asked and self.begun and not self.ended)
    @rule(together=st.booleans())
    def upstream_ends(self, together: bool) -> None:
        last = json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
        data = self.unsent + self.chunk(last, "[DONE]")
        self.unsent = b""
        self.ended = True
        if together:
            data += b"0\r\n\r\n"
        self.send(data, len(data))

    @precondition(lambda self: self.asked and not self.ended)
    @rule(chance=st.integers(0, 2))
    def upstream_breaks_off(self, chance: int) -> None:
        if chance:
            return
        if self.begun:
            # What follows a part of an event is lost with it.
            self.broke = True
        self.unsent, self.begun = b"", False
        wire = self.wires[-1]
        wire.closed = True
        self.loop.settle(wire.protocol.connection_lost, None)

    @precondition(lambda self: not self.left and not self.slow and not self.wire.closed)
    @rule()
    def client_reads_no_more(self) -> None:
        self.slow = True
        self.loop.settle(self.client.pause_writing)

    @precondition(lambda self: self.slow and not self.left)
    @rule()
    def client_reads_on(self) -> None:
        self.slow = False
        self.loop.settle(self.client.resume_writing)

    @precondition(lambda self: not self.left)
    @rule(chance=st.integers(0, 4))
    def client_leaves(self, chance: int) -> None:
        if chance:
            return
        self.left = True
        self.wire.closed = True
        self.loop.settle(self.client.connection_lost, None)

    @rule(seconds=st.sampled_from([0.3, 0.3, 1.0, 1.0, 5.0, 16.0, 25.0, 75.0]))
    def time_passes(self, seconds: float) -> None:
        known = len(self.wires)
        self.loop.pass_time(seconds)
        if len(self.wires) > known:
            # It was asked again, of which nothing had been delivered.
            self.begun = self.ended = False
            self.said, self.unsent, self.words = "", b"", 0

    # What is true all the time

    @property
    def answer(self) -> tuple[bytes, str, bool]:
        """The head, the text and whether the end of what the client was sent is there."""
        head, _, body = self.wire.written.partition(b"\r\n\r\n")
        if b"chunked" not in head:
            whole = json.loads(body) if body else {}
            choices = whole.get("choices", [{}])
            return head, choices[0].get("message", {}).get("content") or "", bool(body)
        assert body.count(b"0\r\n\r\n") <= 1
        text = re.sub(rb"(?:^|\r\n)[0-9a-f]+\r\n", b"", body).decode()
        events = [event.removeprefix("data: ") for event in text.split("\n\n")]
        pieces = [json.loads(event) for event in events if event.startswith("{")]
        assert events.count("[DONE]") <= 1
        said = [piece["choices"][0]["delta"].get("content") or "" for piece in pieces if piece.get("choices")]
        return head, "".join(said), body.endswith(b"0\r\n\r\n")

    @invariant()
    def nothing_is_lost_doubled_or_late(self) -> None:
        if not hasattr(self, "client"):
            return
        head, text, complete = self.answer
        assert head.count(b"HTTP/1.1") <= 1
        assert self.said.startswith(text)
        whole = self.said if not self.unsent else self.said.rpartition(" w")[0]
        if self.streams and self.asked and not (self.slow or self.left or self.unsent or self.broke):
            assert text == whole
        if complete and b" 200 " in head and b'"error"' not in self.wire.written and not self.broke:
            assert text == self.said

    @invariant()
    def nobody_works_for_a_client_that_left(self) -> None:
        if getattr(self, "left", False):
            assert not self.admission.active
            assert not self.drain.in_flight
            assert not self.shared.tasks

    @invariant()
    def nothing_is_left_of_what_is_over(self) -> None:
        if not self.drain.in_flight:
            assert not self.admission.active
            # The pool of connections is swept, and the gateway's own tasks sleep.
            timed = [repr(timer) for timer in self.loop.timers]
            others = ("_sweep", "_set_result", "Wheel._turn")
            assert not [timer for timer in timed if not any(name in timer for name in others)]
            # A client that does not read has its time too.
            set_ = [repr(deadline.due) for bucket in self.wheel.buckets.values() for deadline in bucket]
            assert not [due for due in set_ if "_read_timed_out" not in due]

    def teardown(self) -> None:
        if hasattr(self, "client"):
            if not self.left and self.slow:
                self.client_reads_on()
                self.nothing_is_lost_doubled_or_late()
            # Every turn has its end.
            self.loop.pass_time(TOTAL + SILENCE + 5)
            if not self.left:
                assert self.answer[2] or self.wire.closed
            assert not self.admission.active
            assert not self.drain.in_flight
            assert not self.shared.tasks
            assert not self.http._active
        self.loop.run_until_complete(self.upstream.close())
        self.loop.run_until_complete(self.http.close())
        self.loop.run_until_complete(self.gateway.close())
        self.loop.settle()
        assert all(wire.closed for wire in self.wires)
        assert not self.wheel.buckets
        assert not self.loop.timers
        assert not asyncio.all_tasks(self.loop)
        self.patch.undo()
        self.loop.close()


TestTurn = Turns.TestCase
TestTurn.settings = how(max_examples=60, stateful_step_count=20, deadline=None)
