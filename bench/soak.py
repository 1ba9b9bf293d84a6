"""An hour of everything at once: ``python -m bench.soak --minutes 60 --clients 300``.

Two workers over a simulated gpt-oss.com and an OpenAI-compatible server, both of which fail in every way now
and then; clients of all kinds; a worker killed twice; the store locked from outside. Each client knows what
its answer must be. What came as a success and was something else, or never ended, is *lost* and fails the
run; so does memory or a number of descriptors that keeps growing after the first ten minutes.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.simulator import Abort, Answer, Close, Exchange, HttpReply, Pause, Simulator, Stall
from tests.simulator.agent import tool_key, tool_results

from .running import free_port

Json = dict[str, Any]

RESULTS: Final = Path(__file__).with_name("soak.json")
_MARKER: Final = re.compile(r"REQ-[0-9a-f]{10}")
_WORDS: Final = "one small step after another until the answer is long enough to be cut into pieces"
_TOOL: Final = {
    "type": "function",
    "function": {
        "name": "look_up",
        "description": "Looks a code up.",
        "parameters": {
            "type": "object",
            "properties": {"code": {"type": "string"}},
            "required": ["code"],
        },
    },
}
# Of the upstreams' turns. Seconds.
_FAULTS: Final = 0.06
_PACE: Final = 0.05
_THINK: Final = (2.0, 7.0)
_CLIENT_PATIENCE: Final = 90.0
# Seconds after a kill in which connections of the dead worker may break.
_KILL_WINDOW: Final = 5.0
_SETTLED: Final = 600.0
_LOCKED: Final = 20.0
# What was stored must be found, except where the store was away or the process that held it died.
_FORGOTTEN: Final = frozenset({"not_found", "previous_response_not_found"})


def answer_to(marker: str) -> str:
    return f"Echo of {marker}: " + _WORDS


def _last_marker(text: str) -> str:
    found = _MARKER.findall(text)
    return found[-1] if found else "nothing"


# -- upstreams -------------------------------------------------------------------------------------


def site_answer(exchange: Exchange) -> Answer | HttpReply:
    """What the simulated website's model says, or how it fails."""
    said = exchange.said
    text = answer_to(_last_marker(exchange.text))
    if "look_up" in said and not tool_results(exchange.text):
        key = tool_key(said)
        arguments = json.dumps({"code": _last_marker(exchange.text)})
        text = f'<tool_call key="{key}" name="look_up">\n{arguments}\n</tool_call>'
    pieces = re.findall(r"\S+\s*", text)
    steps: dict[Any, Any] = {}
    if random.random() < _FAULTS:
        match random.randrange(7):
            case 0:
                return HttpReply(503, b"busy", "text/plain")
            case 1:
                return HttpReply(429, b"{}", headers=[("retry-after", "1")])
            case 2:
                steps = {"half": [Abort(reset=True)]}
            case 3:
                steps = {"half": [Close()]}
            case 4:
                steps = {"created": [Abort(reset=True)]}
            case 5:
                steps = {"half": [Stall()]}
            case _:
                steps = {"thinking": [Pause(6.0)]}
    return Answer(text, ("They ask.", "I echo."), deltas=pieces, pace=_PACE, at=steps)


async def _native(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection of the OpenAI-compatible server."""
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = re.search(rb"content-length: *(\d+)", head, re.I)
            body = await reader.readexactly(int(length[1])) if length else b""
            if not await _reply(head, body, writer):
                break
    writer.close()


async def _reply(head: bytes, body: bytes, writer: asyncio.StreamWriter) -> bool:
    """Answers one request; whether the connection lives on."""
    if head.startswith(b"GET"):
        listed = json.dumps({"object": "list", "data": [{"id": "gpt-oss-120b"}, {"id": "gpt-oss-20b"}]})
        _send(writer, 200, listed.encode())
        return True
    asked = json.loads(body)
    fault = random.randrange(6) if random.random() < _FAULTS else None
    if fault == 0:
        _send(writer, 503, b'{"error":{"message":"busy"}}')
        return True
    if fault == 1:
        _send(writer, 429, b'{"error":{"message":"slow down"}}', b"retry-after: 1\r\n")
        return True
    if fault == 2:
        return False
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
    for number, delta in enumerate(_deltas(asked)):
        if fault == 3 and number == 5:
            return False
        if fault == 4 and number == 5:
            _chunk(writer, b'data: {"choices":[{"delta":{"content":"cut off\n\n')
        if fault == 5 and number == 2:
            await asyncio.sleep(6.0)
        chunk = {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        _chunk(writer, b"data: " + json.dumps(chunk).encode() + b"\n\n")
        await writer.drain()
        await asyncio.sleep(_PACE)
    end = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    _chunk(writer, b"data: " + json.dumps(end).encode() + b"\n\ndata: [DONE]\n\n")
    writer.write(b"0\r\n\r\n")
    return True


def _deltas(asked: Json) -> Iterator[Json]:
    last = asked["messages"][-1]
    marker = _last_marker(json.dumps(asked["messages"]))
    yield {"reasoning_content": "They ask, I echo."}
    if asked.get("tools") and last["role"] != "tool":
        call = {"name": "look_up", "arguments": json.dumps({"code": marker})}
        yield {"tool_calls": [{"index": 0, "id": "call_0", "type": "function", "function": call}]}
        return
    for piece in re.findall(r"\S+\s*", answer_to(marker)):
        yield {"content": piece}


def _send(writer: asyncio.StreamWriter, status: int, body: bytes, more: bytes = b"") -> None:
    writer.write(
        b"HTTP/1.1 %d X\r\ncontent-type: application/json\r\ncontent-length: %d\r\n%s\r\n%s"
        % (status, len(body), more, body)
    )


def _chunk(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(b"%x\r\n%s\r\n" % (len(data), data))


def serve_upstreams(site_port: int, native_port: int, ready: Any) -> None:
    """A process with both upstreams; never returns."""

    async def serve() -> None:
        simulator = Simulator(port=site_port)
        simulator.always(site_answer)
        async with simulator:
            server = await asyncio.start_server(_native, "127.0.0.1", native_port, backlog=1024)
            ready.set()
            async with server:
                while True:
                    # What it remembers of old requests and threads would grow for ever.
                    await asyncio.sleep(1)
                    if len(simulator.requests) > 5_000:
                        del simulator.requests[:4_000]
                    while len(simulator.threads) > 5_000:
                        simulator.threads.pop(next(iter(simulator.threads)))

    asyncio.run(serve())


# -- clients ---------------------------------------------------------------------------------------


class Lost(Exception):
    """A success that was none, or no end at all."""


class Refused(Exception):
    """An honest failure; the text is its code."""


@dataclass
class Tally:
    """What became of all turns. ``kills`` are the moments of a worker's death, ``outages`` of the store's."""

    good: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    broken_by_kill: int = 0
    lost: list[str] = field(default_factory=list)
    kills: list[float] = field(default_factory=list)
    outages: list[float] = field(default_factory=list)

    def near_kill(self, since: float) -> bool:
        """Whether a worker was killed between ``since`` and now, or just before."""
        return any(kill >= since - _KILL_WINDOW for kill in self.kills)

    def near_outage(self, since: float) -> bool:
        """Whether the store was away between ``since`` and now, or just before."""
        return any(outage >= since - _LOCKED - _KILL_WINDOW for outage in self.outages)


class Client:
    """One user: asks, reads, thinks, asks again. Every request has a connection of its own."""

    def __init__(self, port: int, chance: random.Random) -> None:
        self._port = port
        self._chance = chance

    def marker(self) -> str:
        return f"REQ-{self._chance.getrandbits(40):010x}"

    @contextlib.asynccontextmanager
    async def request(
        self, method: str, path: str, body: Json | None = None
    ) -> AsyncIterator[tuple[int, asyncio.StreamReader]]:
        """The status and what follows the head; the answer ends with its connection."""
        data = b"" if body is None else json.dumps(body).encode()
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port, limit=1 << 20)
        try:
            writer.write(
                f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
                f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n".encode()
                + data
            )
            head = await reader.readuntil(b"\r\n\r\n")
            yield int(head.split(b" ", 2)[1]), reader
        finally:
            writer.transport.abort()

    async def json(self, method: str, path: str, body: Json | None = None) -> Json:
        async with self.request(method, path, body) as (status, reader):
            data = await reader.read(-1)
        try:
            value: Json = json.loads(data[data.index(b"{") : data.rindex(b"}") + 1])
        except ValueError:
            raise ConnectionError(f"an answer that is cut: {data[-80:]!r}") from None
        if status != 200:
            raise Refused(str(value["error"].get("code") or value["error"].get("type")))
        return value

    async def events(self, path: str, body: Json, *, pause: float = 0.0) -> list[Json]:
        """The events of a stream that ended as it should."""
        found: list[Json] = []
        async with self.request("POST", path, body | {"stream": True}) as (status, reader):
            if status != 200:
                value = json.loads(re.sub(rb"^[^{]*|[^}]*$", b"", await reader.read(-1)))
                raise Refused(str(value["error"].get("code")))
            async for line in reader:
                if pause:
                    await asyncio.sleep(pause)
                if not line.startswith(b"data: "):
                    continue
                if line == b"data: [DONE]\n":
                    return found
                event = json.loads(line[6:])
                if error := event.get("error") or (event.get("response") or {}).get("error"):
                    raise Refused(str(error.get("code")))
                found.append(event)
                if event.get("type") in ("response.completed", "response.incomplete"):
                    return found
        raise ConnectionError("a stream without an end")


def _check(text: str | None, marker: str) -> None:
    if text != answer_to(marker):
        raise Lost(f"{marker}: {text!r}")


def _ask(marker: str) -> list[Json]:
    return [{"role": "system", "content": "You echo."}, {"role": "user", "content": f"Echo {marker}."}]


async def chat_whole(client: Client) -> None:
    marker = client.marker()
    answer = await client.json("POST", "/v1/chat/completions", {"messages": _ask(marker)})
    _check(answer["choices"][0]["message"]["content"], marker)


async def chat_stream(client: Client, *, pause: float = 0.0) -> None:
    marker = client.marker()
    events = await client.events("/v1/chat/completions", {"messages": _ask(marker)}, pause=pause)
    deltas = [choice["delta"].get("content") or "" for each in events for choice in each["choices"]]
    _check("".join(deltas), marker)


async def slow_reader(client: Client) -> None:
    await chat_stream(client, pause=0.02)


async def conversation(client: Client) -> None:
    messages: list[Json] = [{"role": "system", "content": "You echo."}]
    for _ in range(client._chance.randint(2, 5)):
        marker = client.marker()
        messages.append({"role": "user", "content": f"Now echo {marker}."})
        answer = await client.json("POST", "/v1/chat/completions", {"messages": messages})
        message = answer["choices"][0]["message"]
        _check(message["content"], marker)
        messages.append({"role": "assistant", "content": message["content"]})


async def tool_round(client: Client) -> None:
    marker = client.marker()
    body: Json = {"messages": _ask(marker), "tools": [_TOOL]}
    answer = await client.json("POST", "/v1/chat/completions", body)
    message = answer["choices"][0]["message"]
    calls = message.get("tool_calls") or []
    if [json.loads(call["function"]["arguments"]) for call in calls] != [{"code": marker}]:
        raise Lost(f"{marker}: {message!r}")
    result = {"role": "tool", "tool_call_id": calls[0]["id"], "content": f"The code is {marker}."}
    body["messages"] += [{key: message[key] for key in ("role", "content", "tool_calls")}, result]
    answer = await client.json("POST", "/v1/chat/completions", body)
    _check(answer["choices"][0]["message"]["content"], marker)


async def completion(client: Client) -> None:
    marker = client.marker()
    answer = await client.json("POST", "/v1/completions", {"prompt": f"Echo {marker}."})
    _check(answer["choices"][0]["text"].strip(), marker)


def _said(response: Json) -> str:
    return "".join(
        part.get("text", "")
        for item in response["output"]
        if item["type"] == "message"
        for part in item["content"]
    )


async def response_chain(client: Client) -> None:
    """Stored, fetched, continued and deleted."""
    marker = client.marker()
    first = await client.json("POST", "/v1/responses", {"input": f"Echo {marker}."})
    _check(_said(first), marker)
    if not first["store"]:
        return  # The store is away, and the answer says so.
    fetched = await client.json("GET", f"/v1/responses/{first['id']}")
    _check(_said(fetched), marker)
    marker = client.marker()
    body: Json = {"input": f"And {marker}.", "previous_response_id": first["id"]}
    events = await client.events("/v1/responses", body)
    _check(_said(events[-1]["response"]), marker)
    await client.json("DELETE", f"/v1/responses/{first['id']}")


async def background(client: Client) -> None:
    marker = client.marker()
    body: Json = {"input": f"Echo {marker}.", "background": True, "store": True}
    response = await client.json("POST", "/v1/responses", body)
    while response["status"] in ("queued", "in_progress"):
        await asyncio.sleep(1.0)
        response = await client.json("GET", f"/v1/responses/{response['id']}")
    if response["status"] != "completed":
        raise Refused(str((response.get("error") or {}).get("code")))
    _check(_said(response), marker)


async def leaver(client: Client) -> None:
    """Goes away in the middle of a stream."""
    body: Json = {"messages": _ask(client.marker()), "stream": True}
    async with client.request("POST", "/v1/chat/completions", body) as (_, reader):
        for _ in range(client._chance.randint(1, 12)):
            await reader.readline()


async def never_reader(client: Client) -> None:
    """Takes nothing of its answer for a while, then goes away."""
    body: Json = {"messages": _ask(client.marker()), "stream": True}
    async with client.request("POST", "/v1/chat/completions", body):
        await asyncio.sleep(10.0)


async def mistaken(client: Client) -> None:
    try:
        await client.json("POST", "/v1/chat/completions", {"messages": []})
    except Refused:
        return
    raise Lost("an empty conversation was answered")


KINDS: Final[dict[Callable[[Client], Awaitable[None]], int]] = {
    chat_whole: 20,
    chat_stream: 25,
    conversation: 10,
    tool_round: 10,
    completion: 5,
    response_chain: 10,
    background: 5,
    leaver: 6,
    slow_reader: 4,
    never_reader: 2,
    mistaken: 3,
}


async def live(client: Client, tally: Tally, until: float) -> None:
    """One client until the end of the run."""
    chance = client._chance
    await asyncio.sleep(chance.uniform(0, 10))
    while time.monotonic() < until:
        kind = chance.choices(list(KINDS), list(KINDS.values()))[0]
        began = time.monotonic()
        try:
            async with asyncio.timeout(_CLIENT_PATIENCE):
                await kind(client)
        except Refused as refused:
            code = str(refused)
            excused = tally.near_outage(began) or tally.near_kill(began)
            if code in _FORGOTTEN and not excused:
                tally.lost.append(f"{kind.__name__}: {code}")
            tally.refused[code] += 1
        except (Lost, TimeoutError) as lost:
            tally.lost.append(f"{kind.__name__}: {type(lost).__name__}: {lost}"[:300])
        except (OSError, EOFError) as broken:
            if tally.near_kill(began):
                tally.broken_by_kill += 1
            else:
                tally.lost.append(f"{kind.__name__}: {broken!r}"[:300])
        else:
            tally.good[kind.__name__] += 1
        await asyncio.sleep(chance.uniform(*_THINK))


# -- the run ---------------------------------------------------------------------------------------


def workers_of(pid: int) -> list[int]:
    """The processes below ``pid`` that hold the most memory: its workers."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if memory_of(int(child)) > 30.0]


def memory_of(pid: int) -> float:
    """Resident memory in MB; 0 for a process that is gone."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    return 0.0


def descriptors_of(pid: int) -> int:
    with contextlib.suppress(OSError):
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    return 0


async def watch(gateway: int, began: float, until: float, samples: list[Json]) -> None:
    """A sample of all workers every ten seconds."""
    while time.monotonic() < until:
        workers = workers_of(gateway)
        samples.append(
            {
                "seconds": round(time.monotonic() - began),
                "memory": [round(memory_of(pid), 1) for pid in workers],
                "descriptors": [descriptors_of(pid) for pid in workers],
                "parent": round(memory_of(gateway), 1),
            }
        )
        await asyncio.sleep(10)


async def kill_workers(gateway: int, began: float, length: float, tally: Tally) -> None:
    for share in (0.3, 0.6):
        await asyncio.sleep(max(0.0, began + share * length - time.monotonic()))
        tally.kills.append(time.monotonic())
        os.kill(workers_of(gateway)[0], signal.SIGKILL)


async def lock_store(state: Path, began: float, length: float, tally: Tally) -> None:
    for share in (0.2, 0.45, 0.8):
        await asyncio.sleep(max(0.0, began + share * length - time.monotonic()))
        with contextlib.closing(sqlite3.connect(state, timeout=5, isolation_level=None)) as database:
            database.execute("BEGIN EXCLUSIVE")
            tally.outages.append(time.monotonic())
            await asyncio.sleep(min(_LOCKED, length / 20))
            database.execute("ROLLBACK")


def start_gateway(home: Path, port: int, site_port: int, native_port: int) -> "subprocess.Popen[bytes]":
    upstreams = [
        {"kind": "gpt-oss.com", "weight": 1},
        {"name": "native", "kind": "generic", "url": f"http://127.0.0.1:{native_port}/v1", "weight": 1},
    ]
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "PORT": str(port),
        "GPTOSS_UPSTREAMS": json.dumps(upstreams),
        "GPTOSS_CHATKIT_URL": f"http://127.0.0.1:{site_port}/chatkit",
        "GPTOSS_COOKIE": "user_id=soak; session=soak",
        "GPTOSS_STATE": f"sqlite://{home}/state.db",
        "GPTOSS_WORKERS": "2",
        "GPTOSS_MAX_CONCURRENCY": "100",
        "GPTOSS_IDLE_TIMEOUT": "20",
        "GPTOSS_TOTAL_TIMEOUT": "60",
        "GPTOSS_RESPONSES_MAX": "2000",
    }
    with (home / "gateway.log").open("wb") as log:
        command = [sys.executable, "-m", "gptoss_api", "serve"]
        return subprocess.Popen(command, env=environment, stdout=log, stderr=subprocess.STDOUT, cwd=home)


async def soak(gateway: int, port: int, state: Path, length: float, clients: int) -> tuple[Tally, list[Json]]:
    tally, samples = Tally(), list[Json]()
    began = time.monotonic()
    until = began + length
    async with asyncio.TaskGroup() as group:
        group.create_task(watch(gateway, began, until, samples))
        group.create_task(kill_workers(gateway, began, length, tally))
        group.create_task(lock_store(state, began, length, tally))
        for number in range(clients):
            group.create_task(live(Client(port, random.Random(number)), tally, until))
    return tally, samples


def verdicts(tally: Tally, samples: list[Json], settled: float) -> list[str]:
    """What went wrong, in words."""
    wrong = [f"lost: {each}" for each in tally.lost[:20]]
    later = [sample for sample in samples if sample["seconds"] >= settled]
    third = max(1, len(later) // 3)
    for figure, room in (("memory", 1.1), ("descriptors", 1.25)):
        early = max(max(sample[figure], default=0) for sample in later[:third])
        late = max(max(sample[figure], default=0) for sample in later[-third:])
        if late > early * room + 5:
            wrong.append(f"{figure} grew from {early} to {late}")
    if not all(len(sample["memory"]) == 2 for sample in samples[-3:]):
        wrong.append("a killed worker was not replaced")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.soak")
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=300)
    asked = parser.parse_args()
    length = asked.minutes * 60
    port, site_port, native_port = free_port(), free_port(), free_port()
    ready = multiprocessing.Event()
    upstreams = multiprocessing.Process(
        target=serve_upstreams, args=(site_port, native_port, ready), daemon=True
    )
    upstreams.start()
    ready.wait(30)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        gateway = start_gateway(home, port, site_port, native_port)
        try:
            time.sleep(4)
            tally, samples = asyncio.run(soak(gateway.pid, port, home / "state.db", length, asked.clients))
        finally:
            gateway.terminate()
            code = gateway.wait(60)
            upstreams.kill()
        log = (home / "gateway.log").read_text(errors="replace")
        state_size = sum(path.stat().st_size for path in home.glob("state.db*"))
    wrong = verdicts(tally, samples, min(_SETTLED, length / 6))
    if "Traceback" in log:
        wrong.append("a trace in the log: " + log[log.index("Traceback") :][:1500])
    if code:
        wrong.append(f"the gateway ended with exit code {code}")
    result = {
        "minutes": asked.minutes,
        "clients": asked.clients,
        "good": dict(tally.good),
        "refused": dict(tally.refused),
        "broken_by_kill": tally.broken_by_kill,
        "lost": len(tally.lost),
        "state_mb": round(state_size / 1e6, 1),
        "wrong": wrong,
        "samples": samples[:: max(1, len(samples) // 60)],
    }
    RESULTS.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({key: value for key, value in result.items() if key != "samples"}, indent=1))
    print(f"{sum(tally.good.values())} turns answered; first and last sample: {samples[0]} {samples[-1]}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
