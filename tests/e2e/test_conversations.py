"""Conversations of the official SDK: what goes upstream with the threads of the website, and without."""

import concurrent.futures
import contextlib
import json
import re
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from redis import Redis

from tests.conftest import RunningGateway, Site, StartGateway
from tests.simulator import Answer, Exchange, Simulator
from tests.simulator.agent import Agent, Call
from tests.stores import RedisServer, running_redis
from tests.stores import redis_server as redis_server

from .sdk import MODEL, client

pytestmark = pytest.mark.waits

# Messages are made here as applications make them: as plain dicts.
Json = Any

RULES: Json = {"role": "system", "content": "You are a guide to the city. " * 60}
NOTES: Json = {
    "type": "function",
    "function": {
        "name": "read_note",
        "description": "Reads one note of the user's notebook.",
        "parameters": {"type": "object", "properties": {"page": {"type": "integer"}}, "required": ["page"]},
    },
}
NOTE = "A note about the city and what was seen there. " * 20


def reply(asked: Exchange) -> Answer:
    """Depends on the newest message only, whatever else is sent."""
    return Answer(f"You asked: {asked.text.rsplit(chr(10), 1)[-1]}. " + "It is a long story. " * 10)


class Chat:
    """A conversation that is kept by its client, as the API wants it."""

    def __init__(self, sdk: OpenAI, *messages: Json, **settings: Any) -> None:
        self.sdk = sdk
        self.messages = list(messages)
        self.settings = settings
        self.threads: list[str] = []
        self.texts: list[str] = []
        self.cached: list[int] = []

    def say(self, text: str, **more: Any) -> str:
        self.messages.append({"role": "user", "content": text})
        return self.go_on(**more)

    def go_on(self, **more: Any) -> str:
        raw = self.sdk.chat.completions.with_raw_response.create(
            model=MODEL, messages=self.messages, **{**self.settings, **more}
        )
        completion = raw.parse()
        message = completion.choices[0].message
        kept = message.model_dump(include={"role", "content", "tool_calls"}, exclude_none=True)
        self.messages.append({"content": None, **kept})
        self.threads.append(raw.headers["x-gptoss-thread"])
        self.texts.append(message.content or "")
        assert completion.usage is not None
        assert completion.usage.prompt_tokens_details is not None
        self.cached.append(completion.usage.prompt_tokens_details.cached_tokens or 0)
        return self.threads[-1]

    def loop(self, question: str) -> None:
        """Until the model is done with its tools."""
        self.say(question)
        while calls := self.messages[-1].get("tool_calls"):
            for call in calls:
                page = json.loads(call["function"]["arguments"])["page"]
                self.messages.append(
                    {"role": "tool", "tool_call_id": call["id"], "content": f"Page {page}. {NOTE}"}
                )
            self.go_on()


def sent(simulator: Simulator) -> int:
    """Bytes that the website received."""
    return sum(len(asked.body) for asked in simulator.requests)


def test_a_chat_of_12_turns_sends_a_fraction_and_says_the_same(site: Site, gateway: StartGateway) -> None:
    simulator = site.simulator
    simulator.always(reply)
    questions = [f"What is in street {number}" for number in range(12)]
    chats, sizes, parts = [], [], []
    for running in (site.gateway, gateway(simulator, GPTOSS_THREADS="off")):
        simulator.requests.clear()
        with client(running) as sdk:
            chat = Chat(sdk, RULES)
            for question in questions:
                chat.say(question)
        chats.append(chat)
        sizes.append(sent(simulator))
        parts.append([len(asked.body) for asked in simulator.requests])
    with_threads, without = chats
    assert with_threads.texts == without.texts
    assert with_threads.threads == ["new"] + 7 * ["reused"] + ["replayed"] + 3 * ["reused"]
    assert without.threads == ["new"] + 11 * ["replayed"]
    assert sizes[0] < 0.25 * sizes[1]
    # A continued turn costs its question, whatever was said before.
    assert max(parts[0][1:8] + parts[0][9:]) < 400
    assert parts[1] == sorted(parts[1])
    assert all(cached > 400 for cached in with_threads.cached[1:8])
    assert set(without.cached) == {0}


def test_an_agent_of_10_steps_sends_a_fraction_and_says_the_same(site: Site, gateway: StartGateway) -> None:
    simulator = site.simulator
    simulator.always(
        Agent(
            [[Call("read_note", {"page": page})] for page in range(10)], lambda notes: f"{len(notes)} notes."
        )
    )
    chats, sizes = [], []
    for running in (site.gateway, gateway(simulator, GPTOSS_THREADS="off")):
        simulator.requests.clear()
        with client(running) as sdk:
            chat = Chat(sdk, RULES, tools=[NOTES])
            chat.loop("Read all my notes.")
        chats.append(chat)
        sizes.append(sent(simulator))
        assert len(simulator.requests) == 11
    with_threads, without = chats
    assert with_threads.texts[-1] == without.texts[-1] == "10 notes."
    calls = [
        [call["function"] for message in chat.messages for call in message.get("tool_calls", ())]
        for chat in chats
    ]
    assert calls[0] == calls[1]
    assert with_threads.threads.count("reused") == 9
    assert sizes[0] < 0.5 * sizes[1]
    # What the client did not send back: without a thread the gateway does, while the loop runs.
    assert 'channel="analysis"' in simulator.requests[5].text


def test_a_stream_says_so_in_its_headers_and_its_usage(site: Site, sdk: OpenAI) -> None:
    site.simulator.always(reply)
    chat = Chat(sdk, RULES)
    chat.say("one")
    chat.messages.append({"role": "user", "content": "two"})
    with sdk.chat.completions.with_streaming_response.create(
        model=MODEL, messages=chat.messages, stream=True, stream_options={"include_usage": True}
    ) as raw:
        assert raw.headers["x-gptoss-thread"] == "reused"
        chunks = [json.loads(line[6:]) for line in raw.iter_lines() if line.startswith("data: {")]
    assert chunks[-1]["usage"]["prompt_tokens_details"]["cached_tokens"] > 400
    assert site.simulator.last.text == "two"


def test_a_new_thread_can_be_asked_for(site: Site, sdk: OpenAI) -> None:
    chat = Chat(sdk, RULES)
    chat.say("one")
    assert chat.say("two", extra_headers={"x-gptoss-thread": "new"}) == "new"
    assert site.simulator.last.op == "threads.create"
    assert chat.say("three") == "reused"


def test_api_keys_do_not_share_threads(simulator: Simulator, gateway: StartGateway) -> None:
    running = gateway(simulator, GPTOSS_API_KEYS="key-of-ann,key-of-bob")
    with client(running, key="key-of-ann") as ann, client(running, key="key-of-bob") as bob:
        chat = Chat(ann)
        chat.say("one")
        copy = Chat(bob, *chat.messages)
        assert copy.say("two") == "replayed"
        assert chat.say("two") == "reused"


def test_a_restart_remembers_what_is_in_the_file(
    simulator: Simulator, gateway: StartGateway, tmp_path: Path
) -> None:
    state = {"GPTOSS_STATE": f"sqlite://{tmp_path}/state.db"}
    running = gateway(simulator, **state)
    with client(running) as sdk:
        chat = Chat(sdk)
        chat.say("one")
    assert running.stop() == 0
    with client(gateway(simulator, **state)) as sdk:
        chat.sdk = sdk
        assert chat.say("two") == "reused"


def test_a_restart_forgets_what_was_in_memory(simulator: Simulator, gateway: StartGateway) -> None:
    running = gateway(simulator, GPTOSS_STATE="memory://")
    with client(running) as sdk:
        chat = Chat(sdk)
        chat.say("one")
        assert chat.say("two") == "reused"
    running.stop()
    assert not list(running.home.rglob("state.db"))
    with client(gateway(simulator, GPTOSS_STATE="memory://")) as sdk:
        chat.sdk = sdk
        assert chat.say("three") == "replayed"


@pytest.fixture(params=["sqlite", "redis"])
def shared_state(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite://{tmp_path}/state.db"
    server: RedisServer = request.getfixturevalue("redis_server")
    url = f"{server.unix_url}?db=7"
    with Redis.from_url(url) as connection:
        connection.flushdb()
    return url


def stored(state: str) -> None:
    """Until the tip is in the store: no client waits for that."""
    deadline = time.monotonic() + 5
    while _tips(state) != 1 and time.monotonic() < deadline:
        time.sleep(0.005)


def _tips(state: str) -> int:
    if state.startswith("sqlite"):
        with contextlib.closing(sqlite3.connect(state.removeprefix("sqlite://"))) as connection:
            row = connection.execute("SELECT count(*) FROM entries WHERE space = 'tips'").fetchone()
            return int(row[0])
    with Redis.from_url(state) as connection:
        return len(list(connection.scan_iter(r"{gptoss-api}:2:tips:*")))


def test_two_gateways_with_one_store_continue_each_others_conversations(
    simulator: Simulator, gateway: StartGateway, shared_state: str
) -> None:
    simulator.always(lambda asked: f"turn {len(asked.history) + 1}")
    gateways = [gateway(simulator, GPTOSS_STATE=shared_state) for _ in range(2)]
    clients = [client(running) for running in gateways]
    chat = Chat(clients[0], RULES, tools=[NOTES])
    for number in range(4):
        chat.sdk = clients[number % 2]
        chat.say(f"turn {number} of {shared_state}")
        stored(shared_state)
    assert chat.threads == ["new"] + 3 * ["reused"]


def test_of_two_gateways_one_continues_a_conversation(
    simulator: Simulator, gateway: StartGateway, shared_state: str
) -> None:
    gateways = [gateway(simulator, GPTOSS_STATE=shared_state) for _ in range(2)]
    clients = [client(running) for running in gateways]
    chat = Chat(clients[0])
    chat.say(f"fork of {shared_state}")
    chat.say("two")
    stored(shared_state)
    forks = [Chat(clients[number % 2], *chat.messages) for number in range(8)]
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        threads = list(pool.map(lambda numbered: numbered[1].say(f"fork {numbered[0]}"), enumerate(forks)))
    assert sorted(threads) == 7 * ["replayed"] + ["reused"]


# A store that is gone


def test_a_store_that_cannot_be_used_fails_no_chat(simulator: Simulator, gateway: StartGateway) -> None:
    running = gateway(simulator, GPTOSS_STATE="sqlite:///proc/no/such/place/state.db")
    with client(running) as sdk:
        chat = Chat(sdk)
        assert chat.say("one") == "new"
        # It was in memory for half a second, on its way to the store.
        time.sleep(0.7)
        assert chat.say("two") == "replayed"
    assert running.log().count("the sqlite state store is down") == 1
    assert "Traceback" not in running.log()
    state = status(running)["state"]
    assert state["store"] == "sqlite"
    assert not state["available"]
    assert state["failures"] > 0


def test_redis_may_be_killed_and_restarted_under_load(
    simulator: Simulator, gateway: StartGateway, tmp_path: Path
) -> None:
    simulator.always(reply)
    with running_redis(tmp_path) as server:
        running = gateway(simulator, GPTOSS_STATE=server.url)
        stop = threading.Event()
        failures: list[BaseException] = []
        threads: list[tuple[float, str]] = []

        def chat_on(number: int) -> None:
            with client(running) as sdk:
                while not stop.is_set():
                    chat = Chat(sdk, {"role": "system", "content": f"Client {number}"})
                    for turn in range(4):
                        try:
                            threads.append((time.monotonic(), chat.say(f"turn {turn}")))
                        except BaseException as failure:
                            failures.append(failure)
                            return

        def reused_since(moment: float) -> Callable[[], bool]:
            return lambda: any(at > moment and thread == "reused" for at, thread in list(threads))

        def turns_since(moment: float) -> Callable[[], bool]:
            return lambda: sum(at > moment for at, _ in list(threads)) > 20

        workers = [threading.Thread(target=chat_on, args=(number,)) for number in range(4)]
        for worker in workers:
            worker.start()
        try:
            simulator.wait_until(reused_since(0), 10)
            for _ in range(2):
                server.kill()
                simulator.wait_until(turns_since(time.monotonic()), 20)
                server.start()
                simulator.wait_until(reused_since(time.monotonic()), 30)
        finally:
            stop.set()
            for worker in workers:
                worker.join()
        # Before the server goes for good, which the gateway notices as well.
        log = running.log()
    assert not failures
    assert log.count("the redis state store is down") == 2
    assert log.count("the redis state store works again") == 2
    assert not re.findall(r".*Traceback.*|.* ERROR .*", log)


def status(running: RunningGateway) -> Json:
    import httpx2

    answer: Json = httpx2.get(f"{running.base_url}/").json()
    return answer
