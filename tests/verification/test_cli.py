"""``gptoss-api verify`` as a process, over servers that differ by one flaw each."""

import json
import os
import pty
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.backends.server import backend_thread
from tests.cli.conftest import clean_environment
from tests.conftest import running_gateway
from tests.server.talking import ask
from tests.server.test_usage import soon
from tests.upstreams.chatkit.scripted import Asked, Reply
from tests.upstreams.chatkit.transcripts import Json

from .servers import FLAWS, configured, four_servers, knowing_backend

QUICK = ("verify", "--quick", "--n", "6")


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    with four_servers() as addresses:
        yield addresses


PROGRAM = [sys.executable, "-m", "gptoss_api"]


def environment(home: Path, upstreams: str) -> dict[str, str]:
    return clean_environment(home, GPTOSS_UPSTREAMS=upstreams, GPTOSS_STATE=f"sqlite://{home}/state.db")


def gptoss_api(home: Path, *arguments: str, upstreams: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*PROGRAM, *arguments],
        env=environment(home, upstreams),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def measured(servers: dict[str, str], home: Path) -> "subprocess.CompletedProcess[str]":
    return gptoss_api(home, *QUICK, "--json", upstreams=configured(**servers))


@pytest.fixture(scope="module")
def cards(measured: "subprocess.CompletedProcess[str]") -> dict[str, Json]:
    told = json.loads(measured.stdout)
    assert (told["object"], told["case_set"]) == ("list", "1")
    return {card["upstream"]: card for card in told["data"]}


def rates(card: Json, side: str = "raw") -> dict[str, Any]:
    return {check["name"]: check[side]["pass_at_1"] for check in card["checks"]}


GOOD = dict.fromkeys(
    (
        *("tool_arguments", "right_tool", "structured_output", "reasoning", "effort", "thoughts_back"),
        *("long_context", "usage", "complete"),
    ),
    1.0,
)


def test_a_score_card_tells_a_good_server_from_three_with_a_flaw(cards: dict[str, Json]) -> None:
    assert list(cards) == list(FLAWS)
    assert rates(cards["good"]) == GOOD
    assert rates(cards["silent"]) == GOOD | {"reasoning": 0.0}
    assert rates(cards["stubborn"]) == GOOD | {"effort": 0.0}
    sloppy = rates(cards["sloppy"])
    # A case wants no call, and is right all the same.
    assert sloppy == GOOD | {"tool_arguments": 0.0, "right_tool": pytest.approx(1 / 6, abs=1e-4)}
    scores = {name: card["score"] for name, card in cards.items()}
    assert scores["good"] == 1.0
    assert max(scores["silent"], scores["sloppy"], scores["stubborn"]) < 0.9


def test_what_the_gateway_mends_does_not_hide_the_flaw(cards: dict[str, Json]) -> None:
    assert rates(cards["sloppy"], "gateway") == GOOD
    (line,) = (check for check in cards["sloppy"]["checks"] if check["name"] == "tool_arguments")
    assert (line["form"], line["raw"]["failures"]) == ("native", {"not_json": 5})


def test_effort_is_judged_by_pairs(cards: dict[str, Json]) -> None:
    assert cards["good"]["effort"] | {"low_median": 0, "high_median": 0} == {
        "pairs": 3,
        "more": 3,
        "less": 0,
        "delta": 1.0,
        "p": 0.125,
        "obeyed": False,
        "low_median": 0,
        "high_median": 0,
    }
    assert cards["good"]["effort"]["high_median"] > 10 * cards["good"]["effort"]["low_median"]
    assert cards["stubborn"]["effort"]["delta"] == 0.0


def test_times_and_tokens_are_told(cards: dict[str, Json]) -> None:
    card = cards["good"]
    assert 0 < card["first_token_ms"]["p50"] <= card["first_token_ms"]["p95"]
    assert card["first_token_ms"]["p50"] <= card["total_ms"]["p95"]
    assert card["turns"] == {"planned": 23, "asked": 23, "failed": 0, "unmeasured": 0, "repairs": 0}
    assert card["tokens"]["prompt"] > 16_000
    assert card["complete"] is True


def test_the_cost_is_said_first_and_the_exit_code_says_that_some_are_bad(
    measured: "subprocess.CompletedProcess[str]",
) -> None:
    assert measured.returncode == 1, measured.stderr
    first, *rest = measured.stderr.splitlines()
    assert first.startswith("Measuring good, silent, sloppy, stubborn: 23 turns, about 3")
    assert "good: 23 of 23 turns" in rest


def test_one_upstream_can_be_chosen_and_is_shown_as_a_table(tmp_path: Path, servers: dict[str, str]) -> None:
    done = gptoss_api(tmp_path, *QUICK, "--upstream", "good", upstreams=configured(**servers))
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1].startswith("good (vllm), gpt-oss-120b, case set 1, ")
    (line,) = (line for line in lines if line.startswith("tool calls parse and fit"))
    assert line.split()[5:] == [*("5/5", "100", "%", "57-100", "-", "-", "100", "%", "native")]
    assert any(line.startswith("score 100 %") for line in lines)


def test_nothing_to_measure_is_no_good_result(tmp_path: Path) -> None:
    done = gptoss_api(tmp_path, *QUICK, upstreams=configured(gone="http://127.0.0.1:9/v1"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "gone: cannot be measured: " in done.stderr
    demo = gptoss_api(tmp_path, *QUICK, "--upstream", "demo", upstreams="[]")
    assert (demo.returncode, demo.stdout) == (2, "")
    assert "There is no upstream to measure: --upstream is demo. The demo has no model" in demo.stderr


def test_gateways_at_the_store_show_the_results_and_prefer_by_them(
    servers: dict[str, str], home: Path, cards: dict[str, Json], tmp_path: Path
) -> None:
    backwards = dict(reversed(servers.items()))
    variables = {
        "GPTOSS_UPSTREAM": "auto",
        "GPTOSS_UPSTREAMS": configured(**backwards),
        "GPTOSS_STATE": f"sqlite://{home}/state.db",
        "GPTOSS_ADMIN_KEY": "an-admin-key-0123456789",
        "GPTOSS_PREFER": "verified",
    }
    as_admin = {"x-api-key": variables["GPTOSS_ADMIN_KEY"]}
    body = {"messages": [{"role": "user", "content": "hello"}], "model": "gpt-oss-120b"}

    def who() -> str:
        reply = ask(gateway, "POST", "/v1/chat/completions", body, as_admin)
        assert reply.status == 200, reply.body
        return reply.headers["x-gptoss-upstream"]

    with running_gateway(tmp_path, None, **variables) as gateway:
        # At once, unless the machine is so busy that its store is taken for one that is down.
        soon(lambda: who() == "good")
        soon(lambda: ask(gateway, "GET", "/admin/verify", None, as_admin).status == 200)
        told = ask(gateway, "GET", "/admin/verify", None, as_admin).json()
        assert ask(gateway, "GET", "/admin/verify").status == 401
        status = ask(gateway, "GET", "/v1/status", None, as_admin).json()
        assert status["details"]["verified"] == told["data"]
    assert (told["object"], told["case_set"], told["prefer"]) == ("list", "1", "verified")
    assert {entry["upstream"]: entry["latest"] for entry in told["data"]} == cards
    assert all(entry["counts"] and len(entry["history"]) == 1 for entry in told["data"])
    assert told["data"][-1]["history"][0] | {"started": 0} == {
        "started": 0,
        "case_set": "1",
        "n": 6,
        "quick": True,
        "complete": True,
        "score": 1.0,
        "gateway_score": 1.0,
    }

    with running_gateway(tmp_path, None, **(variables | {"GPTOSS_PREFER": "order"})) as gateway:
        assert who() == "stubborn"


def test_ctrl_c_keeps_what_was_measured_and_says_so(tmp_path: Path) -> None:
    backend, under_way = knowing_backend(), threading.Event()
    good = backend.reply
    assert good is not None

    def stalls(asked: Asked) -> Reply:
        if len(backend.asked) <= 3:
            return good(asked)
        under_way.set()
        return Reply([60.0])

    backend.reply = stalls
    with backend_thread(backend) as url:
        process = subprocess.Popen(
            [*PROGRAM, *QUICK, "--concurrency", "1", "--json"],
            env=environment(tmp_path, configured(box=url)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            assert under_way.wait(30)
            process.send_signal(signal.SIGINT)
            out, errors = process.communicate(timeout=30)
        finally:
            process.kill()
    assert process.returncode == 2
    assert "box: stopped after 3 of 23 turns, which count: interrupted" in errors.splitlines()
    (card,) = json.loads(out)["data"]
    assert (card["complete"], card["turns"]["asked"], card["notes"]) == (False, 3, ["interrupted"])
    assert set(rates(card).values()) == {1.0}


def test_at_a_terminal_what_is_much_is_asked_first(tmp_path: Path, servers: dict[str, str]) -> None:
    master, terminal = pty.openpty()
    try:
        os.write(master, b"n\n")
        done = subprocess.run(
            [*PROGRAM, "verify", "--upstream", "good"],
            stdin=terminal,
            env=environment(tmp_path, configured(**servers)),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    finally:
        os.close(master)
        os.close(terminal)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Measuring good: 82 turns, about 4")
    assert "Go on? [y/N]" in done.stderr
