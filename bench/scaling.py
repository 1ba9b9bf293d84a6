"""What a turn and an open stream take: the numbers that docs/scaling.md multiplies.

Run ``python -m bench.scaling`` (four minutes). Needs Linux, two cores, gcc and redis-server. Prints commands
and processor time of Redis for a turn, bytes that are kept for it, processor time of the gateway, and memory.
"""

import argparse
import json
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import redis

from . import contenders
from .load import Answer, BenchError, Native, chat_body
from .running import Running, free_port, start_stub

_ANSWER: Final = Answer(deltas=32)
_TURNS: Final = 40
_STREAMS: Final = (1_000, 5_000)
# What this program asks of Redis itself.
_OURS: Final = {"info", "config|resetstat", "memory|usage", "scan", "client|setinfo", "flushall", "hello"}


@dataclass(frozen=True, slots=True)
class Gateway:
    """A gateway that runs, and a key for it or none."""

    running: Running
    port: int
    secret: str | None

    def ask(self, path: str, body: Mapping[str, object]) -> Any:
        """Raises:
        urllib.error.URLError: for an answer that is none.
        """
        headers = {"content-type": "application/json"}
        if self.secret is not None:
            headers["authorization"] = f"Bearer {self.secret}"
        content = json.dumps({"model": "gpt-oss-120b", **body}).encode()
        asked = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", content, headers)
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)

    def chat(self, messages: list[dict[str, str]]) -> None:
        """One turn, noted in ``messages``."""
        messages.append({"role": "user", "content": f"{_ANSWER.prompt} {time.monotonic_ns()}"})
        answer = self.ask("/v1/chat/completions", {"messages": messages})
        messages.append({"role": "assistant", "content": answer["choices"][0]["message"]["content"]})


@contextmanager
def running_gateway(
    stub_port: int, state: str, home: str, *, limits: bool = False, **settings: str
) -> Iterator[Gateway]:
    contender = contenders.gateway(stub_port, installed=False)
    environment = {**contender.environment, "GPTOSS_STATE": state, "XDG_STATE_HOME": home, **settings}
    secret = None
    if limits:
        command = [
            sys.executable,
            "-m",
            "gptoss_api",
            "keys",
            "create",
            f"bench-{time.monotonic_ns()}",
            "--json",
        ]
        command += ["--rpm", "1M", "--tpm", "900M", "--concurrency", "1000", "--budget", "900M/month"]
        made = subprocess.run(
            command, env={**os.environ, **environment}, capture_output=True, text=True, check=True
        )
        secret = json.loads(made.stdout)["key"]
    running = replace(contender, environment=environment).start()
    try:
        yield Gateway(running, contender.target.port, secret)
    finally:
        running.stop()


@contextmanager
def running_redis(folder: str) -> Iterator[redis.Redis]:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        with redis.Redis(port=port, socket_timeout=10) as client:
            deadline = time.monotonic() + 10
            while time.monotonic() < deadline:
                try:
                    client.ping()
                    break
                except redis.ConnectionError:
                    time.sleep(0.02)
            yield client
    finally:
        server.terminate()
        server.wait()


def _counted(client: redis.Redis, work: Callable[[], None]) -> tuple[dict[str, int], float, float]:
    """How often each command ran, what the server's processor did, in seconds, and seconds of all."""
    client.config_resetstat()
    began, before = time.monotonic(), client.info("cpu")
    work()
    # What is written behind the answers.
    time.sleep(2.5)
    after = client.info("cpu")
    stats: dict[str, Any] = client.info("commandstats")
    calls = {name.removeprefix("cmdstat_"): int(its["calls"]) for name, its in stats.items()}
    spent = sum(after[name] - before[name] for name in ("used_cpu_user", "used_cpu_sys"))
    return (
        {name: count for name, count in calls.items() if name not in _OURS},
        spent,
        time.monotonic() - began,
    )


def turns_in_redis(stub_port: int, client: redis.Redis, url: str, home: str) -> None:
    print("\n| a turn | commands | of them scripts | round trips | Redis, µs |\n|---|---:|---:|---:|---:|")
    for limits in (False, True):
        with running_gateway(stub_port, url, home, limits=limits) as gateway:
            gateway.chat([])
            time.sleep(2)
            idle, spent, took = _counted(client, lambda: time.sleep(5))
            of_key = "with limits" if limits else "without a key"
            talks: list[list[dict[str, str]]] = [[] for _ in range(_TURNS)]

            def each(talks: list[list[dict[str, str]]] = talks, gateway: Gateway = gateway) -> None:
                for talk in talks:
                    gateway.chat(talk)

            def alone(gateway: Gateway = gateway) -> None:
                for _ in range(5):
                    gateway.chat([])
                    time.sleep(1.5)

            def stored(gateway: Gateway = gateway) -> None:
                for _ in range(_TURNS):
                    gateway.ask("/v1/responses", {"input": f"{_ANSWER.prompt} {time.monotonic_ns()}"})

            cases = (("new", each, _TURNS), ("continued", each, _TURNS), ("new, by itself", alone, 5))
            for name, work, turns in (*cases, ("stored response", stored, _TURNS)):
                calls, processor, seconds = _counted(client, work)
                rest = {key: count - idle.get(key, 0) * seconds / took for key, count in calls.items()}
                scripts = sum(count for key, count in rest.items() if key in ("evalsha", "eval"))
                # A pipeline is one more: what usage writes is one transaction.
                trips = scripts + sum(rest.get(key, 0) for key in ("mget", "exec"))
                columns = (sum(rest.values()), scripts, trips)
                shown = " | ".join(f"{max(0.0, each) / turns:.1f}" for each in columns)
                cost = (processor - spent * seconds / took) / turns * 1e6
                print(f"| {name}, {of_key} | {shown} | {max(0.0, cost):.0f} |", flush=True)
            second = f"{sum(idle.values()) / took:.1f} | | | {spent / took * 1e6:.0f}"
            print(f"| idle, {of_key}: a second | {second} |", flush=True)


def kept_in_redis(client: Any) -> None:
    kinds: dict[str, list[int]] = defaultdict(list)
    for name in client.scan_iter(count=1000):
        kinds[b":".join(name.split(b":")[2:-1]).decode(errors="replace")[:40]].append(
            client.memory_usage(name)
        )
    print("\n| in Redis | keys | bytes each |\n|---|---:|---:|")
    for kind, sizes in sorted(kinds.items()):
        print(f"| {kind} | {len(sizes)} | {sum(sizes) / len(sizes):,.0f} |")


def kept_in_sqlite(stub_port: int, home: str) -> None:
    file = Path(home) / "state.db"

    def size() -> int:
        time.sleep(2.5)
        with closing(sqlite3.connect(file)) as connection:
            return sum(
                int(connection.execute(f"PRAGMA {name}").fetchone()[0]) * sign * 4096
                for name, sign in (("page_count", 1), ("freelist_count", -1))
            )

    print("\n| in SQLite | bytes a turn |\n|---|---:|")
    with running_gateway(stub_port, f"sqlite://{file}", home) as gateway:
        gateway.chat([])
        first = size()
        for _ in range(400):
            gateway.chat([])
        second = size()
        for _ in range(400):
            gateway.ask("/v1/responses", {"input": f"{_ANSWER.prompt} {time.monotonic_ns()}"})
        third = size()
    print(f"| thread and usage | {(second - first) / 400:,.0f} |")
    print(f"| stored response, thread and usage | {(third - second) / 400:,.0f} |", flush=True)


def processor(native: Native, stub_port: int, url: str, home: str) -> None:
    print("\n| CPU time of an answer, µs | whole | stream |\n|---|---:|---:|")
    states = {"memory": "memory://", "SQLite": f"sqlite://{home}/cpu.db", "Redis": url}
    for name, state in states.items():
        with running_gateway(stub_port, state, home) as gateway:
            target = replace(contenders.gateway(stub_port, installed=False).target, port=gateway.port)
            found = []
            for stream in (False, True):
                body = chat_body(_ANSWER, stream=stream)
                native.run(target, body, _ANSWER, 32, rounds=5)
                rounds = []
                for _ in range(5):
                    before = gateway.running.cpu_seconds()
                    report = native.run(target, body, _ANSWER, 32, rounds=20)
                    rounds.append((gateway.running.cpu_seconds() - before) / report.completed * 1e6)
                found.append(sorted(rounds)[2])
            print(f"| {name} | {found[0]:.0f} | {found[1]:.0f} |", flush=True)


def streams(native: Native, stub_port: int, home: str) -> None:
    print("\n| open streams | memory, MB | kB a stream | complete |\n|---:|---:|---:|---:|")
    for count in _STREAMS:
        with running_gateway(stub_port, f"sqlite://{home}/open.db", home) as gateway:
            time.sleep(2)
            before = gateway.running.memory().pss
            print(f"| 0 | {before / 1e6:.1f} (resident {gateway.running.memory().rss / 1e6:.1f}) | | |")
            seen: list[int] = []

            def note(running: Running = gateway.running, seen: list[int] = seen) -> None:
                time.sleep(1)
                seen.append(running.memory().pss)

            beginning = count / 500
            answer = Answer(deltas=int(2 * (beginning + 6)), pace=500_000)
            target = replace(contenders.gateway(stub_port, installed=False).target, port=gateway.port)
            body = chat_body(answer, stream=True)
            spread = int(beginning * 1e6)
            report = native.run(
                target, body, answer, count, rounds=1, spread=spread, timeout=90, when_open=note
            )
            each = (seen[0] - before) / count / 1e3
            print(f"| {count:,} | {seen[0] / 1e6:.1f} | {each:.0f} | {report.completed:,} |", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.scaling", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--only", choices=("turns", "sqlite", "processor", "streams"))
    only = parser.parse_args().only
    contenders.WORK.mkdir(exist_ok=True)
    if shutil.which("redis-server") is None:
        print("needs redis-server", file=sys.stderr)
        return 1
    native = Native(contenders.WORK)
    stub_port = free_port()
    stub = start_stub(native, stub_port)
    try:
        with tempfile.TemporaryDirectory() as home, running_redis(home) as client:
            url = f"redis://127.0.0.1:{client.connection_pool.connection_kwargs['port']}/0"
            if only in (None, "turns"):
                turns_in_redis(stub_port, client, url, home)
                kept_in_redis(client)
            if only in (None, "sqlite"):
                kept_in_sqlite(stub_port, home)
            if only in (None, "processor"):
                processor(native, stub_port, url, home)
            if only in (None, "streams"):
                streams(native, stub_port, home)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        stub.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
