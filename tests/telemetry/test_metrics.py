"""The numbers for Prometheus: what is counted, and that processes add up."""

import subprocess
from shutil import which

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from gptoss_api.core.accounting import TurnAccount
from gptoss_api.telemetry import metrics
from gptoss_api.telemetry.metrics import (
    BUILD_INFO,
    IN_FLIGHT,
    METRICS,
    STORE_FAILURES,
    UPSTREAM_STATE,
    Snapshot,
    TurnCounter,
    exposition,
)

WORDS = st.sampled_from(["chat", "messages", "a", 'a "quoted"\nname\\'])
TURNS = st.builds(
    TurnAccount,
    at=st.just(0.0),
    request_id=st.just("req_1"),
    key=st.just(""),
    dialect=WORDS,
    model=WORDS,
    upstream=WORDS,
    outcome=st.sampled_from(["ok", "upstream_empty", "rate_limit_exceeded"]),
    status=st.sampled_from([200, 429, 502]),
    prompt=st.integers(0, 100),
    cached=st.integers(0, 100),
    completion=st.integers(0, 100),
    reasoning=st.integers(0, 100),
    repairs=st.integers(0, 3),
    repaired=st.lists(st.sampled_from(["empty", "tools"]), max_size=3).map(tuple),
    overhead_ms=st.one_of(st.none(), st.sampled_from([0.5, 5.0])),
    thread=st.sampled_from(["", "new", "reused"]),
    first_ms=st.one_of(st.none(), st.sampled_from([0.5, 5.0, 5.5, 1e6])),
    total_ms=st.sampled_from([0.25, 10.0, 1e7]),
)


def counted(turns: list[TurnAccount]) -> Snapshot:
    counter = TurnCounter()
    for turn in turns:
        counter.count(turn)
    return counter.snapshot()


def samples(text: bytes) -> dict[str, float]:
    lines = [line for line in text.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}


@settings(deadline=None)
@given(st.lists(TURNS), st.lists(TURNS))
def test_two_processes_say_together_what_one_would(one: list[TurnAccount], other: list[TurnAccount]) -> None:
    together = counted(one)
    together.merge(counted(other))
    assert samples(exposition(together)) == pytest.approx(samples(exposition(counted(one + other))))


def test_buckets_count_what_is_at_most_their_bound() -> None:
    turn = TurnAccount(0.0, "r", "", "chat", "m", "u", "ok", 200, first_ms=5.0, total_ms=5.1)
    found = samples(exposition(counted([turn])))
    of = 'dialect="chat",model="m",upstream="u"'
    assert found[f'gptoss_first_token_seconds_bucket{{{of},le="0.005"}}'] == 1
    assert found[f'gptoss_request_duration_seconds_bucket{{{of},le="0.005"}}'] == 0
    assert found[f'gptoss_request_duration_seconds_bucket{{{of},le="0.01"}}'] == 1
    assert found[f'gptoss_request_duration_seconds_bucket{{{of},le="+Inf"}}'] == 1
    assert found[f"gptoss_request_duration_seconds_sum{{{of}}}"] == pytest.approx(0.0051)


def test_labels_are_bounded() -> None:
    counter = TurnCounter()
    for number in range(metrics.MOST + 10):
        counter.count(TurnAccount(0.0, "r", "", "chat", f"m{number}", "u", "ok", 200))
    found = counter.snapshot().numbers["gptoss_requests_total"]
    assert len(found) <= metrics.MOST + 1
    assert sum(number for labels, number in found.items() if labels[0] == "other") == 10


def test_gauges_of_who_is_gone_do_not_count_but_counters_do() -> None:
    here, gone = Snapshot(), counted([TurnAccount(0.0, "r", "", "chat", "m", "u", "ok", 200)])
    for each, waiting in ((here, 1), (gone, 5)):
        each.set(IN_FLIGHT, waiting)
        each.set(STORE_FAILURES, waiting)
        each.set(BUILD_INFO, 1, "1.0")
        each.set(UPSTREAM_STATE, 2 if each is here else 0, "box")
    both = Snapshot()
    both.merge(here)
    both.merge(gone)
    assert both.numbers[IN_FLIGHT.name][()] == 6
    assert both.numbers[BUILD_INFO.name]["1.0",] == 1
    assert both.numbers[UPSTREAM_STATE.name]["box",] == 0, "the worst is told"
    here.merge(gone, gauges=False)
    assert here.numbers[IN_FLIGHT.name][()] == 1
    assert here.numbers[STORE_FAILURES.name][()] == 6
    assert here.numbers["gptoss_requests_total"]


@pytest.mark.skipif(which("promtool") is None, reason="promtool is not installed (Debian: prometheus)")
def test_prometheus_own_checker_finds_nothing_wrong() -> None:
    turn = TurnAccount(
        0.0, "r", "", 'a "b"', "m\\", "u\n", "upstream_empty", 429, 5, 1, 2, 1, 3, "new", 1.0, 2.0
    )
    found = counted([turn])
    found.set(IN_FLIGHT, 1)
    done = subprocess.run(["promtool", "check", "metrics"], input=exposition(found), capture_output=True)
    assert done.returncode == 0, done.stderr
    assert {metric.name for metric in METRICS} == {
        line.split()[2] for line in exposition(found).decode().splitlines() if line.startswith("# TYPE")
    }


def test_repairs_are_told_by_their_kinds() -> None:
    turn = TurnAccount(0, "req_1", "", "chat", "m", "u", "ok", 200)
    counter = TurnCounter()
    counter.count(replace(turn, repairs=3, repaired=("tools", "empty")))
    counter.count(replace(turn, repairs=1, repaired=("tools",)))
    counter.count(replace(turn, repairs=2))
    found = samples(exposition(counter.snapshot()))
    told = {name: value for name, value in found.items() if name.startswith("gptoss_repairs_total")}
    assert told == {
        'gptoss_repairs_total{kind="arguments"}': 3,
        'gptoss_repairs_total{kind="empty"}': 1,
        'gptoss_repairs_total{kind="tools"}': 2,
    }
