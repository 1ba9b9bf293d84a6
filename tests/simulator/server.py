"""The simulated website: accounts, threads, what it was asked and what it will answer."""

import asyncio
import base64
import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, Self

import msgspec

from .answers import Answer, Delivery, Dialect, Event, HttpReply, Reply
from .connection import ClientGone, Connection, HttpRequest
from .scenarios import LOGIN_CARD, SCENARIOS
from .transcript import Ids, NewTranscript, OldTranscript, Transcript

Auth = Literal["off", "session"]
Outcome = Literal["pending", "complete", "broken", "abandoned"]


@dataclass(slots=True)
class Thread:
    """A conversation the site keeps. ``turns`` are (what the user said, what was answered)."""

    id: str
    user_id: str
    created_at: datetime
    turns: list[tuple[str, str]] = field(default_factory=list)


@dataclass(slots=True)
class Exchange:
    """One request to the simulator and what became of it.

    Times are monotonic seconds (``time.monotonic``). ``outcome`` is ``abandoned`` where the client
    left first, at ``aborted_at``, and ``broken`` where the simulator broke the connection by script.
    """

    number: int
    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    received_at: float
    payload: dict[str, Any] = field(default_factory=dict)
    dialect: Dialect = "old"
    op: str = ""
    text: str = ""
    thread_id: str | None = None
    user_id: str = ""
    session: str | None = None
    thread: Thread | None = None
    outcome: Outcome = "pending"
    finished_at: float | None = None
    aborted_at: float | None = None

    @property
    def model(self) -> str | None:
        return self.headers.get("x-selected-model")

    @property
    def effort(self) -> str | None:
        return self.headers.get("x-reasoning-effort")

    @property
    def show_reasoning(self) -> bool:
        return self.headers.get("x-show-reasoning", "true") != "false"

    @property
    def said(self) -> str:
        """Everything the model was told in this conversation: its thread's prompts and this one."""
        return "\n\n".join([*(text for text, _ in self.history), self.text])

    @property
    def history(self) -> list[tuple[str, str]]:
        """The earlier turns of the thread this request continues."""
        return list(self.thread.turns) if self.thread is not None else []


Responder = Callable[[Exchange], Reply | str]


@dataclass(frozen=True, slots=True)
class Limit:
    """Refuse every message of a user after so many, in one of three (invented) shapes."""

    messages: int
    shape: Literal["widget", "error", "429"] = "widget"


def echo(exchange: Exchange) -> Answer:
    """The default answer: repeats the prompt, or the last line of a long one."""
    said = exchange.text.strip()
    if len(said) > 200:
        said = said.rsplit("\n", 1)[-1][-200:]
    return Answer(text=f"You said: {said}", reasoning=("The user said something.", "I repeat it."))


def session_cookie(token: str = "hf_oauth_simulated") -> str:
    """A value of the form the site's ``session`` cookie has (docs/design/gpt-oss-com.md, "Cookies")."""
    body = base64.b64encode(msgspec.json.encode({"hf_access_token": token})).decode()
    return f"{body}.aSRuQw.c2lnbmF0dXJlLW9mLXRoZS1zaW11bGF0b3I"


class Simulator:
    """A gpt-oss.com on a real socket; see the package's docstring for how to use it."""

    def __init__(
        self,
        *,
        dialect: Literal["old", "new", "any"] = "old",
        auth: Auth = "off",
        seed: int = 0,
        speed: float = 0.0,
        delivery: Delivery | None = None,
        clock: Callable[[], datetime] | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
    ) -> None:
        self.dialect = dialect
        self.auth: Auth = auth
        self.seed = seed
        self.speed = speed
        self.delivery = delivery
        self.clock = clock or (lambda: datetime.now(UTC).replace(tzinfo=None))
        self.host = host
        self.port = port
        self.limit: Limit | None = None
        self.ids = Ids(random.Random(seed))
        self.user_id = self.ids.user()
        self.session = session_cookie()
        self.sessions = {self.session}
        self.threads: dict[str, Thread] = {}
        self.requests: list[Exchange] = []
        self._messages: dict[str, int] = {}
        self._standing: Reply | Responder = echo
        self._queue: deque[Reply | Responder] = deque()
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None

    # Life

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def chatkit_url(self) -> str:
        return f"{self.url}/chatkit"

    @property
    def cookie(self) -> str:
        """A ``Cookie`` header the simulator accepts."""
        return f"user_id={self.user_id}; session={self.session}"

    async def start(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: Connection(self._handle, self._connections), self.host, self.port, backlog=1024
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await asyncio.gather(*(connection.end() for connection in list(self._connections)))
            await self._server.wait_closed()
            self._server = None

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    # What it answers

    def script(self, *answers: "Reply | str | Responder") -> None:
        """Queue answers for the next requests, one each: a scenario's name, an answer, or a callable."""
        self._queue.extend(_known(answer) for answer in answers)

    def always(self, answer: "Reply | str | Responder") -> None:
        """Answer so whenever nothing is queued."""
        self._standing = _known(answer)

    def reset(self) -> None:
        """Forget scripts, limits, records and threads; sessions stay."""
        self._queue.clear()
        self._standing = echo
        self.limit = None
        self.requests.clear()
        self.threads.clear()
        self._messages.clear()

    # What it was asked

    @property
    def last(self) -> Exchange:
        return self.requests[-1]

    async def wait_for(self, condition: Callable[[], object], timeout: float = 5.0) -> None:
        """Until ``condition`` holds; raises TimeoutError after ``timeout`` seconds."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError("the simulator did not get there")
            await asyncio.sleep(0.005)

    def wait_until(self, condition: Callable[[], object], timeout: float = 5.0) -> None:
        """The same for tests without an event loop."""
        deadline = time.monotonic() + timeout
        while not condition():
            if time.monotonic() > deadline:
                raise TimeoutError("the simulator did not get there")
            time.sleep(0.005)

    # Serving

    async def _handle(self, connection: Connection, request: HttpRequest) -> None:
        path = request.target.split("?", 1)[0]
        exchange = Exchange(
            number=len(self.requests),
            method=request.method,
            path=path,
            headers=dict(request.headers),
            body=request.body,
            received_at=request.received_at,
        )
        self.requests.append(exchange)
        try:
            exchange.outcome = await self._respond(connection, exchange)
            exchange.finished_at = time.monotonic()
        except ClientGone:
            exchange.outcome = "abandoned"
            exchange.aborted_at = connection.gone_at
            raise

    async def _respond(self, connection: Connection, exchange: Exchange) -> Outcome:
        if (refusal := self._parse(exchange)) is not None:
            await connection.send_reply(refusal)
            return "complete"
        cookies = dict(
            part.strip().partition("=")[::2] for part in exchange.headers.get("cookie", "").split(";")
        )
        set_cookies: list[str] = []
        exchange.session = cookies.get("session")
        exchange.user_id = cookies.get("user_id", "")
        if not exchange.user_id:
            exchange.user_id = self.ids.user()
            set_cookies.append(f"user_id={exchange.user_id}; Path=/; HttpOnly")
        reply = self._choose(exchange)
        if isinstance(reply, HttpReply):
            await connection.send_reply(reply)
            return "complete"
        if reply.grant_session is not None:
            self.session = reply.grant_session
            self.sessions = {reply.grant_session}
            set_cookies.append(f"session={reply.grant_session}; Path=/; HttpOnly; SameSite=lax")
        set_cookies.extend(reply.set_cookies)
        delivery = reply.delivery
        if self.delivery is not None and delivery == Delivery():
            delivery = self.delivery
        complete = await connection.send_events(
            self._steps(exchange, reply),
            delivery,
            [("set-cookie", cookie) for cookie in set_cookies],
            f"{self.seed}:{exchange.number}",
        )
        return "complete" if complete else "broken"

    def _parse(self, exchange: Exchange) -> HttpReply | None:
        """Read the request into ``exchange``; the refusals' shape is invented."""
        if exchange.path != "/chatkit":
            return _invalid(404, "Not Found")
        if exchange.method != "POST":
            return _invalid(405, "Method Not Allowed")
        try:
            payload = msgspec.json.decode(exchange.body, type=dict[str, Any])
        except msgspec.MsgspecError:
            return _invalid(422, "the body is not a JSON object")
        exchange.payload = payload
        old = "op" in payload if self.dialect == "any" else self.dialect == "old"
        exchange.dialect = "old" if old else "new"
        exchange.op = payload.get("op" if old else "type") or ""
        follow_up = "threads.addMessage" if old else "threads.add_user_message"
        if exchange.op not in ("threads.create", follow_up):
            return _invalid(422, f"unmodelled operation {exchange.op!r}")
        params = payload.get("params")
        source = params.get("input") if isinstance(params, dict) else None
        if not isinstance(params, dict) or not isinstance(source, dict):
            return _invalid(422, "params.input is missing")
        content = source.get("content")
        parts = [part for part in content if isinstance(part, dict)] if isinstance(content, list) else []
        text = parts[0].get("text") if parts else None
        if old:
            text = text or source.get("text")
        elif not isinstance(source.get("inference_options"), dict):
            return _invalid(422, "params.input.inference_options is missing")
        if not isinstance(text, str) or not text:
            return _invalid(422, "the input has no text")
        exchange.text = text
        thread_id = params.get("threadId" if old else "thread_id")
        if exchange.op == follow_up and not isinstance(thread_id, str):
            return _invalid(422, "the thread id is missing")
        if exchange.op == "threads.create" and thread_id is not None:
            return _invalid(422, "a thread id on create")
        exchange.thread_id = thread_id
        return None

    def _choose(self, exchange: Exchange) -> Reply:
        if self.auth == "session" and exchange.session not in self.sessions:
            return LOGIN_CARD
        if exchange.thread_id is not None:
            thread = self.threads.get(exchange.thread_id)
            if thread is None or thread.user_id != exchange.user_id:
                # The store's exception escapes after the headers
                # (docs/design/gpt-oss-com.md, "Unknown threads").
                return self._resolve(SCENARIOS["s14_unknown_thread"].answer, exchange)
            exchange.thread = thread
        if self.limit is not None:
            used = self._messages.get(exchange.user_id, 0)
            if used >= self.limit.messages:
                return self._resolve(SCENARIOS[f"s16_limit_{self.limit.shape}"].answer, exchange)
            self._messages[exchange.user_id] = used + 1
        return self._resolve(self._queue.popleft() if self._queue else self._standing, exchange)

    @staticmethod
    def _resolve(scripted: "Reply | Responder", exchange: Exchange) -> Reply:
        try:
            reply = scripted(exchange) if callable(scripted) else scripted
        except Exception as error:
            # A mistake of the test's: the client that waits for an answer is told.
            return _invalid(500, f"the scripted answer raised {error!r}")
        return Answer(text=reply) if isinstance(reply, str) else reply

    def _steps(self, exchange: Exchange, answer: Answer) -> Iterator[Any]:
        new_thread = exchange.thread is None
        if exchange.thread is None:
            exchange.thread = Thread(self.ids.thread(), exchange.user_id, self.clock())
        thread = exchange.thread
        kind: type[Transcript] = (
            OldTranscript if (answer.dialect or exchange.dialect) == "old" else NewTranscript
        )
        transcript = kind(
            prompt=exchange.text,
            thread_id=thread.id,
            thread_created_at=thread.created_at,
            new_thread=new_thread,
            show_reasoning=exchange.show_reasoning,
            ids=self.ids,
            clock=self.clock,
            speed=self.speed,
            seed=self.seed,
        )
        for step in transcript.steps(answer):
            if isinstance(step, Event) and step.payload.get("type") == "thread.created":
                self.threads[thread.id] = thread
            yield step
        thread.turns.append((exchange.text, answer.text))


def _invalid(status: int, detail: str) -> HttpReply:
    return HttpReply(status, msgspec.json.encode({"detail": detail}))


def _known(answer: "Reply | str | Responder") -> "Reply | Responder":
    if isinstance(answer, str):
        return SCENARIOS[answer].answer
    return answer


@contextmanager
def simulator_thread(**options: Any) -> Iterator[Simulator]:
    """A simulator on an event loop of its own, for tests that have none."""
    started = threading.Event()
    simulator = Simulator(**options)
    loop = asyncio.new_event_loop()

    def run() -> None:
        asyncio.set_event_loop(loop)
        loop.run_until_complete(simulator.start())
        started.set()
        loop.run_forever()
        loop.run_until_complete(simulator.stop())
        loop.close()

    thread = threading.Thread(target=run, name="simulator", daemon=True)
    thread.start()
    if not started.wait(10):
        raise RuntimeError("the simulator did not start")
    try:
        yield simulator
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
