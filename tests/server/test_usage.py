"""Who used what, and the numbers for Prometheus, over several workers."""

import json
import os
import re
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import which
from typing import Any

import pytest
from click.testing import CliRunner

from gptoss_api.cli import main
from tests.conftest import RunningGateway, StartGateway, free_port, running_gateway
from tests.server.talking import CHAT, HELLO, ask

ADMIN = "admin-key-of-the-tests"
AS_ADMIN = {"x-api-key": ADMIN}
SECRET_WORDS = "the-words-that-nobody-keeps"


class Served:
    """Two workers with keys, and what a command line at their store says."""

    def __init__(self, gateway: RunningGateway, state: str, metrics: int) -> None:
        self.gateway = gateway
        self.state = state
        self.metrics = f"http://127.0.0.1:{metrics}/metrics"

    def command(self, *arguments: str) -> Any:
        done = CliRunner().invoke(main, [*arguments, "--state", self.state, "--json"])
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def chat(self, key: str, **more: Any) -> int:
        body = {"messages": [{"role": "user", "content": SECRET_WORDS}]} | more
        return ask(self.gateway, "POST", CHAT, body, {"x-api-key": key}).status

    def admin(self, path: str) -> Any:
        reply = ask(self.gateway, "GET", path, None, AS_ADMIN)
        assert reply.status == 200, reply.body
        assert SECRET_WORDS not in reply.body.decode()
        return reply.json()

    def samples(self) -> dict[str, float]:
        with urllib.request.urlopen(self.metrics, timeout=5) as response:
            text = response.read().decode()
        assert SECRET_WORDS not in text
        lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
        return {name: float(value) for name, _, value in lines}

    def requests(self) -> float:
        return sum(
            value for name, value in self.samples().items() if name.startswith("gptoss_requests_total")
        )

    def workers(self) -> list[int]:
        return [int(pid) for pid in re.findall(r"worker \d+ is process (\d+)", self.gateway.log())]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home, metrics = tmp_path_factory.mktemp("home"), free_port()
    state = f"sqlite://{home}/state.db"
    with running_gateway(
        home,
        before="import gptoss_api.upstreams.demo as demo; demo.PACE = 0",
        GPTOSS_UPSTREAM="demo",
        GPTOSS_STATE=state,
        GPTOSS_WORKERS="2",
        GPTOSS_ADMIN_KEY=ADMIN,
        GPTOSS_METRICS_ADDR=f"127.0.0.1:{metrics}",
    ) as gateway:
        yield Served(gateway, state, metrics)


@pytest.fixture(scope="module")
def anna(served: Served) -> Any:
    made = served.command("keys", "create", "anna")
    # Both workers know of it once nobody gets in without one.
    soon(lambda: all(ask(served.gateway, "GET", "/v1/models").status == 401 for _ in range(12)))
    assert served.chat(made["key"]) == 200
    return made


def soon(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_key_is_told_what_it_used_itself_and_administrators_of_all(served: Served, anna: Any) -> None:
    headers = {"x-api-key": anna["key"]}

    def own() -> Any:
        return ask(served.gateway, "GET", "/v1/usage", None, headers).json()

    # Each worker writes by itself, within half a second.
    time.sleep(0.6)
    before = own()
    assert served.chat(anna["key"], model="gpt-oss-20b") == 200
    soon(lambda: own()["used"]["requests"] == before["used"]["requests"] + 1)
    told = own()
    assert told["key"] == {"id": anna["id"], "name": "anna"}
    assert told["used"]["input_tokens"] > before["used"]["input_tokens"]
    assert told["used"]["output_tokens"] > before["used"]["output_tokens"]
    assert {row["model"] for row in told["models"]} >= {"gpt-oss-20b"}
    (of_anna,) = [row for row in served.admin("/admin/usage?by=key")["data"] if row["key"] == anna["id"]]
    assert (of_anna["name"], of_anna["requests"]) == ("anna", told["used"]["requests"])
    by_day = served.admin("/admin/usage")
    assert (by_day["by"], by_day["data"][-1]["requests"] >= told["used"]["requests"]) == ("day", True)
    (row,) = [row for row in served.command("usage", "--by", "key") if row["key"] == anna["id"]]
    assert row == of_anna


def test_a_response_in_the_background_is_a_turn_of_who_wanted_it(served: Served, anna: Any) -> None:
    headers = {"x-api-key": anna["key"]}

    def own() -> Any:
        used = ask(served.gateway, "GET", "/v1/usage", None, headers).json()["used"]
        return used["requests"], used["output_tokens"]

    time.sleep(0.6)
    requests, tokens = own()
    body = {"model": "gpt-oss-120b", "input": SECRET_WORDS, "background": True}
    begun = ask(served.gateway, "POST", "/v1/responses", body, headers)
    path = f"/v1/responses/{begun.json()['id']}"
    soon(lambda: ask(served.gateway, "GET", path, None, headers).json()["status"] == "completed")
    usage = ask(served.gateway, "GET", path, None, headers).json()["usage"]
    soon(lambda: own() == (requests + 1, tokens + usage["output_tokens"]))
    (last,) = served.admin("/admin/requests?limit=1")["data"]
    assert (last["name"], last["dialect"], last["outcome"]) == ("anna", "responses", "ok")
    assert last["request_id"] == begun.headers["x-request-id"]
    assert last["prompt"] == usage["input_tokens"]


def test_the_last_requests_are_shown_without_what_was_said(served: Served, anna: Any) -> None:
    assert served.chat(anna["key"], model="gpt-oss-20b") == 200
    soon(
        lambda: [turn["model"] for turn in served.admin("/admin/requests?limit=1")["data"]] == ["gpt-oss-20b"]
    )
    (last,) = served.admin("/admin/requests?limit=1")["data"]
    assert (last["name"], last["key"], last["dialect"]) == ("anna", anna["id"], "chat")
    assert (last["outcome"], last["status"], last["upstream"]) == ("ok", 200, "demo")
    assert last["request_id"].startswith("req_")
    assert last["total_ms"] >= last["first_ms"] > 0


def test_a_key_is_told_what_its_limits_leave_and_when_they_renew(served: Served, anna: Any) -> None:
    limits = ("--rpm", "60", "--concurrency", "4", "--budget", "1M/month", "--budget", "9M/total")
    made = served.command("keys", "create", "ben", *limits)
    headers = {"x-api-key": made["key"]}
    soon(lambda: all(ask(served.gateway, "GET", "/v1/usage", None, headers).status == 200 for _ in range(8)))
    assert served.chat(made["key"]) == 200
    told = ask(served.gateway, "GET", "/v1/usage", None, headers).json()["limits"]
    assert (told["requests_per_minute"]["used"], told["requests_per_minute"]["remaining"]) == (1, 59)
    assert 0 < told["requests_per_minute"]["reset_seconds"] <= 60
    assert told["concurrency"]["remaining"] == 4
    month = told["tokens_per_month"]
    assert month["used"] > 0
    assert month["used"] + month["remaining"] == 1_000_000
    assert 0 < month["reset_seconds"] <= 31 * 86_400
    assert told["tokens_in_total"]["reset_seconds"] is None


@pytest.mark.parametrize(
    ("path", "param"),
    [
        ("/admin/usage?by=colour", "by"),
        ("/admin/usage?since=soon", "since"),
        ("/admin/usage?until=-3d", "until"),
        ("/admin/requests?limit=0", "limit"),
        ("/admin/requests?limit=many", "limit"),
        ("/admin/requests?limit=", "limit"),
        ("/admin/requests?last=5", "last"),
        ("/admin/requests?limit=5&Limit=5", "Limit"),
        ("/admin/usage?form=7d", "form"),
        ("/admin/usage?since=1d&until=2d", "since"),
        ("/admin/keys?limit=1", "limit"),
        ("/admin/verify?upstream=demo", "upstream"),
        ("/v1/usage?since=99999999999d", "since"),
        ("/v1/usage?by=day", "by"),
        ("/v1/usage/report?form=7d", "form"),
        ("/v1/status?all", "all"),
    ],
)
def test_what_is_asked_wrongly_is_refused_by_name(path: str, param: str, served: Served) -> None:
    reply = ask(served.gateway, "GET", path, None, AS_ADMIN)
    assert (reply.status, reply.error["param"]) == (400, param)


def test_what_cannot_be_asked_changes_nothing(served: Served) -> None:
    reply = ask(served.gateway, "POST", "/admin/reload?now=1", None, AS_ADMIN)
    assert (reply.status, reply.error["param"]) == (400, "now")
    assert "takes none" in reply.error["message"]


@pytest.mark.parametrize("path", ["/admin/usage", "/admin/requests"])
def test_only_administrators_see_others(path: str, served: Served, anna: Any) -> None:
    assert ask(served.gateway, "GET", path, None, {"x-api-key": anna["key"]}).status == 403
    assert ask(served.gateway, "GET", path).status == 401


def test_metrics_are_for_loopback_and_administrators(served: Served, anna: Any) -> None:
    direct = ask(served.gateway, "GET", "/metrics")
    assert direct.status == 200
    assert direct.headers["content-type"].startswith("text/plain; version=0.0.4")
    through = {"x-forwarded-for": "203.0.113.7"}
    assert ask(served.gateway, "GET", "/metrics", None, through).status == 401
    assert ask(served.gateway, "GET", "/metrics", None, through | {"x-api-key": anna["key"]}).status == 403
    assert ask(served.gateway, "GET", "/metrics", None, through | AS_ADMIN).status == 200


def test_metrics_add_up_over_workers_at_once(served: Served, anna: Any) -> None:
    name = (
        'gptoss_requests_total{dialect="chat",model="gpt-oss-20b",upstream="demo",status="200",outcome="ok"}'
    )
    before = served.samples().get(name, 0)
    for _ in range(12):
        assert served.chat(anna["key"], model="gpt-oss-20b") == 200
    samples = served.samples()
    assert samples[name] == before + 12
    of = 'dialect="chat",model="gpt-oss-20b",upstream="demo"'
    assert samples[f"gptoss_first_token_seconds_count{{{of}}}"] == samples[name]
    assert samples[f'gptoss_tokens_total{{{of},type="output"}}'] > 0
    assert samples['gptoss_upstream_state{upstream="demo"}'] == 2
    assert ask(served.gateway, "POST", CHAT, HELLO).status == 401
    refused = (
        'gptoss_requests_total{dialect="chat",model="",upstream="",status="401",outcome="invalid_api_key"}'
    )
    soon(lambda: served.samples().get(refused, 0) > 0)


def test_what_is_left_of_budgets_is_told_by_key(served: Served, anna: Any) -> None:
    made = served.command("keys", "create", "carl", "--budget", "1M/day", "--budget", "9M/total")
    day = f'gptoss_key_budget_remaining{{key_id="{made["id"]}",period="day"}}'
    soon(lambda: served.samples().get(day) == 1_000_000)
    soon(lambda: served.chat(made["key"]) == 200)
    soon(lambda: served.samples()[day] < 1_000_000)
    used = 1_000_000 - served.samples()[day]
    assert served.samples()[day.replace('"day"', '"total"')] == 9_000_000 - used


def test_totals_never_fall_when_a_worker_dies(served: Served, anna: Any) -> None:
    for _ in range(6):
        served.chat(anna["key"])
    before = served.requests()
    victim = served.workers()[-1]
    os.kill(victim, signal.SIGKILL)
    lowest = before
    started = len(served.workers())
    deadline = time.monotonic() + 10
    while len(served.workers()) == started and time.monotonic() < deadline:
        lowest = min(lowest, served.requests())
    soon(lambda: served.chat(anna["key"]) == 200)
    assert min(lowest, served.requests()) >= before


@pytest.mark.skipif(which("prometheus") is None, reason="prometheus is not installed (Debian: prometheus)")
def test_a_real_prometheus_scrapes_it(served: Served, anna: Any, tmp_path: Path) -> None:
    served.chat(anna["key"])
    target = served.metrics.removeprefix("http://").removesuffix("/metrics")
    config = tmp_path / "prometheus.yml"
    config.write_text(
        "global: {scrape_interval: 200ms, scrape_timeout: 200ms}\n"
        f"scrape_configs: [{{job_name: gptoss, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    port = free_port()
    command = ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path}/data"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, f"--web.listen-address=127.0.0.1:{port}"], stdout=log, stderr=log
        )
        try:
            soon(lambda: query(port, "sum(gptoss_requests_total)") > 0)
            assert query(port, "up") == 1
            assert query(port, "sum(gptoss_first_token_seconds_count)") > 0
        finally:
            process.kill()
            process.wait()


def query(port: int, text: str) -> float:
    """The only value of a query, 0 as long as there is none."""
    url = f"http://127.0.0.1:{port}/api/v1/query?query={urllib.request.quote(text)}"  # type: ignore[attr-defined]
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            found = json.load(response)["data"]["result"]
    except OSError:
        return 0
    return float(found[0]["value"][1]) if found else 0


def test_what_ended_more_than_a_moment_ago_survives_a_kill(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo")
    state = f"sqlite://{running.home}/state/gptoss-api/state.db"
    for _ in range(3):
        assert ask(running, "POST", CHAT, HELLO).status == 200
    time.sleep(1)
    running.process.kill()
    running.process.wait()
    done = CliRunner().invoke(main, ["usage", "--state", state, "--json"])
    assert [row["requests"] for row in json.loads(done.stdout)] == [3]


def test_an_address_for_metrics_that_is_taken_is_said_at_the_start(gateway: StartGateway) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(RuntimeError, match="GPTOSS_METRICS_ADDR: cannot listen on"):
            gateway(GPTOSS_UPSTREAM="demo", GPTOSS_METRICS_ADDR=f"127.0.0.1:{taken.getsockname()[1]}")
