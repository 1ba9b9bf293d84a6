"""Limits of keys over HTTP: the same for all processes, told in each API's own words."""

import http.client
import json
import re
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.conftest import RunningGateway, running_gateway
from tests.server.keyed import Shared, soon
from tests.server.talking import CHAT, HELLO, Reply, ask
from tests.stores import RedisServer, running_redis

# Seconds that gateways of these tests take for a minute.
MINUTE = 1.5
# Seconds between the start of a request and its admission.
_EDGE = 0.15
# Seconds between an answer and the next request of a client.
_PAUSE = 0.015
_SHORT = (
    f"import gptoss_api.access.accounts as accounts; accounts.MINUTE = {round(MINUTE * 1000)}\n"
    "import gptoss_api.upstreams.demo as demo; demo.PACE = 0"
)
_SLOW = "import gptoss_api.upstreams.demo as demo; demo.PACE = 0.02"

Message = dict[str, Any]
MESSAGE: Message = {
    "model": "gpt-oss-20b",
    "max_tokens": 20,
    "messages": [{"role": "user", "content": "Hello"}],
}


@pytest.fixture(scope="module")
def workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """Two workers on SQLite."""
    home = tmp_path_factory.mktemp("home")
    state = f"sqlite://{home}/state.db"
    with running_gateway(
        home, before=_SHORT, GPTOSS_UPSTREAM="demo", GPTOSS_STATE=state, GPTOSS_WORKERS="2"
    ) as gateway:
        yield Shared(state, gateway)
    assert "Traceback" not in gateway.log()


@pytest.fixture(scope="module")
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with running_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory, own_redis: RedisServer) -> Iterator[Shared]:
    """Two gateways on Redis."""
    with ExitStack() as stack:
        gateways = [
            stack.enter_context(
                running_gateway(
                    tmp_path_factory.mktemp("home"),
                    before=_SHORT,
                    GPTOSS_UPSTREAM="demo",
                    GPTOSS_STATE=own_redis.url,
                )
            )
            for _ in range(2)
        ]
        yield Shared(own_redis.url, *gateways)
    assert not any("Traceback" in gateway.log() for gateway in gateways)


@pytest.fixture(scope="module")
def slow(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    """A gateway whose answers take more than a second, and minutes sixty."""
    home = tmp_path_factory.mktemp("home")
    state = f"sqlite://{home}/state.db"
    with running_gateway(home, before=_SLOW, GPTOSS_UPSTREAM="demo", GPTOSS_STATE=state) as gateway:
        yield Shared(state, gateway)
    assert "Traceback" not in gateway.log()


def load(shared: Shared, key: str, seconds: float, clients: int = 4, body: Message = HELLO) -> "Load":
    return Load(shared, key, seconds, clients, body)


class Load:
    """Clients that ask again and again, shared out over the gateways; the times are those of answers."""

    def __init__(self, shared: Shared, key: str, seconds: float, clients: int, body: Message) -> None:
        self.statuses: Counter[int] = Counter()
        self.admitted: list[float] = []
        self.tokens = 0
        self._until = time.monotonic() + seconds
        self._threads = [
            threading.Thread(target=self._ask, args=(shared.gateways[n % len(shared.gateways)], key, body))
            for n in range(clients)
        ]
        for thread in self._threads:
            thread.start()

    def join(self) -> "Load":
        for thread in self._threads:
            thread.join()
        return self

    def _ask(self, gateway: RunningGateway, key: str, body: Message) -> None:
        headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
        connection: http.client.HTTPConnection | None = None
        asked = 0
        while time.monotonic() < self._until:
            if connection is None or asked % 20 == 0:
                # Each connection stays with one worker.
                if connection is not None:
                    connection.close()
                connection = http.client.HTTPConnection(str(urlsplit(gateway.base_url).netloc), timeout=30)
            asked += 1
            connection.request("POST", CHAT, json.dumps(body).encode(), headers)
            began = time.monotonic()
            response = connection.getresponse()
            answer = json.loads(response.read())
            self.statuses[response.status] += 1
            if response.status == 200:
                self.admitted.append(began)
                self.tokens += answer["usage"]["total_tokens"]
            time.sleep(_PAUSE)
        if connection is not None:
            connection.close()


@pytest.mark.parametrize("kind", ["workers", "replicas"])
def test_under_tenfold_load_a_minute_has_as_many_requests_as_its_limit_says(
    kind: str, request: pytest.FixtureRequest
) -> None:
    shared: Shared = request.getfixturevalue(kind)
    key = shared.key("rate", "--rpm", "12")
    done = load(shared, key, 2 * MINUTE + 0.3).join()
    assert set(done.statuses) == {200, 429}
    assert done.statuses.total() > 200
    first = min(done.admitted)
    for minute in range(2):
        # What comes back comes back within the first part of the next minute.
        begin = first + minute * MINUTE
        count = sum(begin - _EDGE <= moment < begin + MINUTE - _EDGE for moment in done.admitted)
        assert abs(count - 12) <= 1


@pytest.mark.parametrize("kind", ["workers", "replicas"])
def test_a_token_budget_is_not_overrun_by_more_than_one_turn(
    kind: str, request: pytest.FixtureRequest
) -> None:
    shared: Shared = request.getfixturevalue(kind)
    key = shared.key("budget", "--budget", "3000/total")
    # Nobody says how long an answer may be.
    done = load(shared, key, 1.5).join()
    headers = {"x-api-key": key}
    refused = ask(shared.gateway, "POST", CHAT, HELLO, headers)
    largest = done.tokens / done.statuses[200]
    assert 3_000 <= done.tokens <= 3_000 + 2 * largest
    assert refused.status == 429
    assert refused.error["code"] == refused.error["type"] == "insufficient_quota"
    assert refused.headers["x-should-retry"] == "false"
    assert "does not renew" in refused.error["message"]


def test_turns_at_a_time_are_counted_over_workers(slow: Shared, workers: Shared) -> None:
    key = slow.key("few", "--concurrency", "2")
    replies: list[Reply] = []

    def one() -> None:
        replies.append(ask(slow.gateway, "POST", CHAT, HELLO, {"x-api-key": key}))

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Counter(reply.status for reply in replies) == {200: 2, 429: 4}
    refused = next(reply for reply in replies if reply.status == 429)
    assert refused.error["code"] == "concurrency_limit_exceeded"
    assert refused.headers["retry-after"] == "1"
    # One after the other there is never more than one, whichever worker answers.
    alone = workers.key("alone", "--concurrency", "1")
    for _ in range(30):
        assert ask(workers.gateway, "POST", CHAT, HELLO, {"x-api-key": alone}).status == 200


def test_openais_headers_say_how_a_key_stands(slow: Shared) -> None:
    key = slow.key("told", "--rpm", "3", "--tpm", "100k")
    page = {"x-api-key": key, "origin": "http://localhost:3000"}
    first = ask(slow.gateway, "POST", CHAT, {**HELLO, "max_tokens": 50}, page)
    assert first.headers["x-ratelimit-limit-requests"] == "3"
    assert first.headers["x-ratelimit-remaining-requests"] == "2"
    assert first.headers["x-ratelimit-reset-requests"] == "1m0s"
    assert first.headers["x-ratelimit-limit-tokens"] == "100000"
    # Pages may read them too.
    assert "x-ratelimit-remaining-tokens" in first.headers["access-control-expose-headers"]
    left = int(first.headers["x-ratelimit-remaining-tokens"])
    assert 99_800 < left <= 99_850
    assert re.fullmatch(r"1m0s", first.headers["x-ratelimit-reset-tokens"])
    streamed = ask(slow.gateway, "POST", CHAT, {**HELLO, "stream": True}, {"x-api-key": key})
    assert streamed.headers["x-ratelimit-remaining-requests"] == "1"
    third = ask(
        slow.gateway, "POST", "/v1/responses", {"model": "gpt-oss-20b", "input": "x"}, {"x-api-key": key}
    )
    assert third.headers["x-ratelimit-remaining-requests"] == "0"
    refused = ask(slow.gateway, "POST", CHAT, HELLO, {"x-api-key": key})
    assert refused.status == 429
    assert refused.error["code"] == "rate_limit_exceeded"
    assert refused.error["type"] == "requests"
    assert "limit 3, used 3, requested 1" in refused.error["message"]
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert 50 <= int(refused.headers["retry-after"]) <= 60
    exact = int(refused.headers["retry-after-ms"])
    assert 0 <= int(refused.headers["retry-after"]) * 1000 - exact < 1000
    assert "x-should-retry" not in refused.headers
    # What needs no model needs no allowance.
    assert ask(slow.gateway, "GET", "/v1/models", None, {"x-api-key": key}).status == 200


def test_messages_says_it_in_anthropics_words(slow: Shared) -> None:
    key = slow.key("anthropic", "--rpm", "1", "--budget", "1000/day")
    headers = {"x-api-key": key, "anthropic-version": "2023-06-01"}
    answered = ask(slow.gateway, "POST", "/v1/messages", MESSAGE, headers)
    assert answered.status == 200
    for reply in (answered, ask(slow.gateway, "POST", "/v1/messages", MESSAGE, headers)):
        assert reply.headers["anthropic-ratelimit-requests-limit"] == "1"
        assert reply.headers["anthropic-ratelimit-requests-remaining"] == "0"
        assert re.fullmatch(
            r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", reply.headers["anthropic-ratelimit-requests-reset"]
        )
        assert reply.headers["anthropic-ratelimit-tokens-limit"] == "1000"
        assert reply.headers["x-ratelimit-limit-requests"] == "1"
    assert reply.status == 429
    assert reply.json()["error"]["type"] == "rate_limit_error"
    slow.keys("edit", "anthropic", "--budget", "5/day", "--rpm", "none")

    def used_up() -> bool:
        reply = ask(slow.gateway, "POST", "/v1/messages", MESSAGE, headers)
        return (reply.status, reply.json().get("error", {}).get("type")) == (402, "billing_error")

    soon(used_up)


def test_ollama_says_it_in_one_string(slow: Shared) -> None:
    key = slow.key("ollama", "--rpm", "1")
    body = {"model": "gpt-oss:20b", "stream": False, "messages": HELLO["messages"]}
    headers = {"authorization": f"Bearer {key}"}
    assert ask(slow.gateway, "POST", "/api/chat", body, headers).status == 200
    refused = ask(slow.gateway, "POST", "/api/chat", body, headers)
    assert refused.status == 429
    assert "Rate limit reached" in refused.json()["error"]
    assert refused.headers["x-ratelimit-limit-requests"] == "1"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"


def test_a_budget_that_is_used_up_is_told_in_full(slow: Shared) -> None:
    key = slow.key("spender", "--budget", "5/total")
    headers = {"x-api-key": key, "anthropic-version": "2023-06-01"}
    assert ask(slow.gateway, "POST", CHAT, {**HELLO, "max_tokens": 1}, headers).status == 200
    ollama = {"model": "gpt-oss:20b", "messages": HELLO["messages"]}
    for path, body, status in (
        (CHAT, HELLO, 429),
        ("/v1/messages", MESSAGE, 402),
        ("/api/chat", ollama, 429),
    ):
        refused = ask(slow.gateway, "POST", path, body, headers)
        assert refused.status == status
        assert refused.headers["x-ratelimit-limit-tokens"] == "5"
        assert refused.headers["x-ratelimit-remaining-tokens"] == "0"
    told = ask(slow.gateway, "GET", "/v1/usage", None, headers).json()["limits"]["tokens_in_total"]
    # A request that runs alone may go beyond; what it used is told as it is.
    assert told["used"] > 5
    assert told["remaining"] == 0


def left_of(shared: Shared, key: str) -> int:
    """Tokens that a key had left when it was asked for, without those of the question."""
    reply = ask(shared.gateway, "POST", CHAT, {**HELLO, "max_tokens": 1}, {"x-api-key": key})
    assert reply.status == 200
    return int(reply.headers["x-ratelimit-remaining-tokens"])


@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_pays_for_what_was_written_until_then(slow: Shared, stream: bool) -> None:
    key = slow.key(f"leaver-{stream}", "--budget", "10M/total")
    before = left_of(slow, key)
    again = left_of(slow, key)
    connection = http.client.HTTPConnection(str(urlsplit(slow.gateway.base_url).netloc), timeout=30)
    body = json.dumps({**HELLO, "stream": stream, "max_tokens": 5_000}).encode()
    connection.request("POST", CHAT, body, {"x-api-key": key})
    time.sleep(0.7)
    connection.close()
    soon(lambda: before - left_of(slow, key) > 0)
    time.sleep(0.1)
    cost = again - left_of(slow, key)
    assert 5 < cost < 1_000


def test_a_response_in_the_background_is_charged_when_it_has_ended(slow: Shared) -> None:
    key = slow.key("background", "--budget", "10M/total")
    left_of(slow, key)
    before = left_of(slow, key)
    headers = {"x-api-key": key}
    body = {"model": "gpt-oss-20b", "input": "Hello", "background": True}
    begun = ask(slow.gateway, "POST", "/v1/responses", body, headers)
    assert begun.status == 200
    # Until then the most that it may have is set aside.
    assert before - int(begun.headers["x-ratelimit-remaining-tokens"]) > 100_000
    path = f"/v1/responses/{begun.json()['id']}"

    def ended() -> bool:
        return bool(ask(slow.gateway, "GET", path, None, headers).json()["status"] == "completed")

    deadline = time.monotonic() + 20
    while not ended():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    used = ask(slow.gateway, "GET", path, None, headers).json()["usage"]["total_tokens"]
    assert 0 <= before - left_of(slow, key) - used < 120


def test_a_request_that_fails_gives_its_tokens_back(slow: Shared) -> None:
    key = slow.key("failing", "--budget", "1M/total")
    left_of(slow, key)
    before = left_of(slow, key)
    tools = [{"type": "function", "function": {"name": name}} for name in ("a", "b")]
    body = {**HELLO, "tools": tools, "tool_choice": "required"}
    assert ask(slow.gateway, "POST", CHAT, body, {"x-api-key": key}).status == 400
    assert before - left_of(slow, key) < 120


def test_when_redis_dies_no_chat_fails(replicas: Shared, own_redis: RedisServer) -> None:
    key = replicas.key("safe", "--rpm", "100000", "--tpm", "100M", "--concurrency", "50")
    under_way = load(replicas, key, 2.0)
    time.sleep(0.7)
    own_redis.kill()
    assert set(under_way.join().statuses) == {200}
    # By itself each of them goes on limiting what it saw last.
    assert ask(replicas.gateway, "POST", CHAT, HELLO, {"x-api-key": key}).status == 200


def test_to_look_for_a_model_costs_a_key_with_limits_nothing(workers: Shared) -> None:
    """Ollama's clients do so before each conversation."""
    headers = {"x-api-key": workers.key("looks", "--rpm", "1", "--budget", "1M/day")}
    for path in ("/api/chat", "/api/generate"):
        for _ in range(3):
            reply = ask(workers.gateway, "POST", path, {"model": "gpt-oss:20b"}, headers)
            assert (reply.status, reply.json()["done_reason"]) == (200, "load")
    assert ask(workers.gateway, "POST", CHAT, MESSAGE, headers).status == 200
