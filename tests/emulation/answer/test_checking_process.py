"""The process in which long checks are made: says what it knows, keeps to its time, takes no secrets."""

import json
import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from gptoss_api.emulation.answer import checking_process
from gptoss_api.emulation.answer.checking_process import MAX_MEMORY, MAX_SECONDS, check_value

UNREADABLE = "$: the value is nested too deeply, or a string in it is no valid text"
ITEMS = {"type": "array", "items": {"type": "integer"}}


def told(source: Any, value: Any) -> list[dict[str, Any]]:
    lines: list[dict[str, Any]] = []
    check_value(source, value, lines.append)
    return lines


def run(source: Any, value: Any) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-P", checking_process.__file__],
        input=json.dumps((source, value)),
        capture_output=True,
        text=True,
        check=False,
        timeout=20 * MAX_SECONDS,
    )


@pytest.mark.parametrize(
    ("value", "lines"),
    [
        ([1, 2], [{"fits": True}]),
        (["1", 2], [{"fits": False}, {"value": [1, 2]}]),
        (["x"], [{"fits": False}, {"complaints": ['$[0]: "x" is not of type "integer"']}]),
        (["\ud800"], [{"fits": False}, {"complaints": [UNREADABLE]}]),
    ],
)
def test_each_step_is_told_as_soon_as_it_is_known(value: Any, lines: list[dict[str, Any]]) -> None:
    assert told(ITEMS, value) == lines
    assert [json.loads(line) for line in run(ITEMS, value).stdout.splitlines()] == lines


def test_more_is_described_there_than_at_once() -> None:
    alternatives = {"anyOf": [{"required": [f"p{number}"]} for number in range(2_000)]}
    (fits, why) = told(alternatives, {"a": 1})
    assert not fits["fits"]
    assert "anyOf" in why["complaints"][0]


LIMITED = pytest.mark.skipif(sys.platform != "linux", reason="the system has to set the limits")


def limited(then: str) -> "subprocess.CompletedProcess[str]":
    module = "gptoss_api.emulation.answer.checking_process"
    program = f"from {module} import _limit_itself\n_limit_itself()\n{then}"
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60
    )


@LIMITED
def test_it_ends_when_its_time_is_over() -> None:
    started = os.times()
    assert limited("while True: pass").returncode == -signal.SIGXCPU
    spent = os.times()
    assert spent.children_user - started.children_user < MAX_SECONDS + 1


@LIMITED
def test_it_ends_when_its_memory_is_used_up() -> None:
    done = limited(f"print('begun', flush=True)\nbytearray({MAX_MEMORY})")
    assert (done.returncode, done.stdout) == (1, "begun\n")
    assert "MemoryError" in done.stderr
