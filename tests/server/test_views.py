"""What the page shows of usage and of the gateway's state: all of it to some, one's own to others."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from gptoss_api.server.views import _percentile
from tests.conftest import RunningGateway, Site, running_gateway
from tests.server.keyed import Shared, soon
from tests.server.talking import CHAT, HELLO, ask, connect, request_bytes
from tests.simulator import Answer, Stall

REPORT = "/v1/usage/report"
STATUS = "/v1/status"
ADMIN = "admin-key-of-the-tests"
AS_ADMIN = {"x-api-key": ADMIN}
WORDS = "the-words-that-nobody-keeps"


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shared]:
    home = tmp_path_factory.mktemp("home")
    state = f"sqlite://{home}/state.db"
    with running_gateway(
        home,
        before="import gptoss_api.upstreams.demo as demo; demo.PACE = 0",
        GPTOSS_UPSTREAM="demo",
        GPTOSS_STATE=state,
        GPTOSS_ADMIN_KEY=ADMIN,
    ) as gateway:
        yield Shared(state, gateway)
    assert "Traceback" not in gateway.log()


def told(gateway: RunningGateway, path: str, headers: dict[str, str] | None = None) -> Any:
    reply = ask(gateway, "GET", path, None, headers)
    assert reply.status == 200, reply.body
    assert WORDS not in reply.body.decode()
    assert reply.headers["cache-control"] == "no-store"
    return reply.json()


def test_administrators_are_told_of_all_and_others_of_themselves(keyed: Shared) -> None:
    anna, ben = keyed.key("anna", "--rpm", "60", "--models", "gpt-oss-20b"), keyed.key("ben")
    body = {"model": "gpt-oss-20b", "messages": [{"role": "user", "content": WORDS}]}
    for key in (anna, anna, ben):
        assert ask(keyed.gateway, "POST", CHAT, body, {"x-api-key": key}).status == 200
    refused = {**body, "tools": [{"type": "function", "function": {"name": n}} for n in ("a", "b")]}
    refused["tool_choice"] = "required"
    assert ask(keyed.gateway, "POST", CHAT, refused, {"x-api-key": ben}).status == 400

    everybody = told(keyed.gateway, f"{REPORT}?since=24h", AS_ADMIN)
    assert (everybody["scope"], everybody["may_see_all"], everybody["per"]) == ("all", True, "hour")
    asked = {row["name"]: row["requests"] for row in everybody["groups"]["key"]}
    assert (asked["anna"], asked["ben"]) == (2, 2)
    assert {"model", "upstream", "dialect"} <= set(everybody["groups"])
    assert sum(row["requests"] for row in everybody["series"]) >= 4
    assert {row["name"] for row in everybody["requests"]} >= {"anna", "ben"}
    assert sum(row["count"] for row in everybody["recent"]["errors"]) == 1
    times = everybody["recent"]["times"][0]
    assert times["model"] == ""
    assert 0 < times["first_ms"]["p50"] <= times["first_ms"]["p95"]
    assert 0 < times["total_ms"]["p50"] <= times["total_ms"]["p95"]

    own = told(keyed.gateway, REPORT, {"x-api-key": anna})
    assert (own["scope"], own["may_see_all"], own["key"]["name"], own["per"]) == ("own", False, "anna", "day")
    assert set(own["groups"]) == {"model"}
    assert [(row["model"], row["requests"]) for row in own["series"]] == [("gpt-oss-20b", 2)]
    assert {row["name"] for row in own["requests"]} == {"anna"}
    assert own["limits"]["requests_per_minute"]["limit"] == 60
    assert told(keyed.gateway, f"{REPORT}?scope=own", AS_ADMIN)["requests"] == []

    refusal = ask(keyed.gateway, "GET", f"{REPORT}?scope=all", None, {"x-api-key": anna})
    assert (refusal.status, refusal.error["code"]) == (403, "admin_key_required")
    wrong = ask(keyed.gateway, "GET", f"{REPORT}?scope=mine", None, {"x-api-key": anna})
    assert (wrong.status, wrong.error["param"]) == (400, "scope")
    for path in (REPORT, STATUS):
        assert ask(keyed.gateway, "GET", path).status == 401


def test_a_key_learns_of_the_gateway_whether_it_can_serve_and_no_more(keyed: Shared) -> None:
    key = keyed.key("cleo", "--models", "gpt-oss-20b", "--budget", "1M/day")
    own = told(keyed.gateway, STATUS, {"x-api-key": key})
    assert (own["ready"], own["demo"], own["keys_required"]) == (True, True, True)
    assert own["details"] is None
    assert own["models"] == ["gpt-oss-20b"]
    assert own["key"]["name"] == "cleo"
    assert own["key"]["limits"]["tokens_per_day"]["limit"] == 1_000_000
    everything = told(keyed.gateway, STATUS, AS_ADMIN)["details"]
    assert everything["store"]["available"]
    assert everything["keys"]["created"] >= 1
    assert everything["workers"] == 1


def test_without_keys_everything_is_shown_on_this_machine(site: Site) -> None:
    assert ask(site.gateway, "POST", CHAT, HELLO).status == 200
    report = told(site.gateway, REPORT)
    assert (report["scope"], report["key"]) == ("all", {"id": None, "name": None})
    (newest, *_) = report["requests"]
    assert (newest["upstream"], newest["outcome"], newest["status"]) == ("gpt-oss.com", "ok", 200)
    assert newest["total_ms"] >= newest["first_ms"] > 0
    status = told(site.gateway, STATUS)
    (upstream,) = status["details"]["upstreams"]
    assert (upstream["name"], upstream["ready"], upstream["state"]) == ("gpt-oss.com", True, "in use")
    assert (upstream["login"], upstream["running"], upstream["waiting"]) == ("kept", 0, 0)
    assert upstream["address"] == site.simulator.chatkit_url
    assert upstream["slots"] > 0
    # Nothing that opens anything is in it.
    everything = ask(site.gateway, "GET", STATUS).body.decode()
    for secret in site.simulator.cookie.replace("; ", "=").split("=")[1::2]:
        assert secret not in everything


def test_places_that_are_taken_are_told(site: Site) -> None:
    def running() -> int:
        (upstream,) = told(site.gateway, STATUS)["details"]["upstreams"]
        return int(upstream["running"])

    site.simulator.always(Answer("word word", at={"half": [Stall()]}))
    with connect(site.gateway) as connection:
        connection.sendall(request_bytes(CHAT, HELLO))
        site.simulator.wait_until(lambda: len(site.simulator.requests) == 1)
        soon(lambda: running() == 1)
    soon(lambda: running() == 0)


@pytest.mark.parametrize("path", [REPORT, STATUS])
def test_through_a_proxy_that_nobody_trusts_nothing_is_shown_without_a_key(site: Site, path: str) -> None:
    through = ask(site.gateway, "GET", path, None, {"x-forwarded-for": "203.0.113.7"})
    assert (through.status, "GPTOSS_ADMIN_KEY" in through.error["message"]) == (401, True)


def test_sums_and_their_parts_are_of_the_same_time(keyed: Shared) -> None:
    key = keyed.key("dora")
    for _ in range(3):
        assert ask(keyed.gateway, "POST", CHAT, HELLO, {"x-api-key": key}).status == 200
    soon(lambda: len(told(keyed.gateway, REPORT, {"x-api-key": key})["requests"]) == 3)
    for since in ("1h", "7d", "365d"):
        report = told(keyed.gateway, f"{REPORT}?since={since}", AS_ADMIN)
        by_time = sum(row["requests"] for row in report["series"])
        for by in ("model", "key", "upstream", "dialect"):
            assert sum(row["requests"] for row in report["groups"][by]) == by_time
        assert report["since"] <= time.time() - 3_600


@pytest.mark.parametrize(
    ("values", "part", "value"),
    [([], 0.5, None), ([7.0], 0.95, 7.0), ([1, 2, 3, 4], 0.5, 2), (list(range(1, 101)), 0.95, 95)],
)
def test_percentiles_are_values_that_were_there(
    values: list[float], part: float, value: float | None
) -> None:
    assert _percentile(values, part) == value
