"""``gptoss-api usage``: what the gateways at a store have written down."""

import asyncio
import csv
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gptoss_api.cli import main
from gptoss_api.state import open_usage
from tests.state.test_usage import turn

Run = Callable[..., Result]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    url = f"sqlite://{tmp_path}/state.db"
    monkeypatch.setenv("GPTOSS_STATE", url)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    return url


@pytest.fixture
def run(state: str) -> Run:
    return lambda *arguments: CliRunner().invoke(main, ["usage", *arguments])


def keep(state: str, *turns: Any) -> None:
    async def write() -> None:
        usage = open_usage(state, 400)
        await usage.add(turns)
        await usage.close()

    asyncio.run(write())


def test_it_shows_who_used_how_much_by_the_names_of_keys(state: str, run: Run) -> None:
    made = json.loads(CliRunner().invoke(main, ["keys", "create", "anna", "--json"]).stdout)
    keep(state, turn(time.time(), key=made["id"], prompt=12_345), turn(time.time(), key=""))
    done = run("--by", "key")
    assert done.exit_code == 0, done.output
    heading, anna, nobody = done.output.splitlines()
    assert heading.split() == [
        *("key", "requests", "errors", "input", "cached", "output", "reasoning", "first", "ms"),
        *("total", "ms"),
    ]
    assert nobody.split()[:4] == ["(none)", "1", "0", "10"]
    assert anna.split()[:4] == ["anna", "1", "0", "12,345"]
    rows = json.loads(run("--by", "key", "--json").stdout)
    assert [(row["key"], row["name"], row["input_tokens"]) for row in rows] == [
        (made["id"], "anna", 12_345),
        ("", "", 10),
    ]


def test_it_sums_up_by_day_within_a_span_and_writes_csv(state: str, run: Run) -> None:
    now = time.time()
    keep(state, turn(now), turn(now - 40 * 86_400), turn(now - 3 * 86_400))
    assert len(json.loads(run("--json").stdout)) == 2
    assert len(json.loads(run("--since", "60d", "--json").stdout)) == 3
    assert len(json.loads(run("--since", "1h", "--json").stdout)) == 1
    assert len(json.loads(run("--until", "2d", "--json").stdout)) == 1
    rows = list(csv.DictReader(run("--csv", "--by", "model").stdout.splitlines()))
    assert rows[0]["model"] == "gpt-oss-120b"
    assert rows[0]["requests"] == "2"


def test_nothing_and_nonsense_are_said(run: Run, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run().stdout == "Nothing was used in that time.\n"
    done = run("--since", "soon")
    assert done.exit_code == 2
    assert "'soon' is not allowed" in done.output
    assert run("--by", "colour").exit_code == 2
    done = run("--since", "1d", "--until", "2d")
    assert (done.exit_code, "--since is later" in done.output) == (2, True)
    assert run("--state", "nowhere://").exit_code == 2
    monkeypatch.setenv("GPTOSS_STATE", "memory://")
    done = run()
    assert done.exit_code == 2
    assert "GET /v1/usage" in done.output


def test_who_looks_where_no_store_is_is_told_and_makes_none(run: Run, tmp_path: Path) -> None:
    done = run("--by", "key")
    assert (done.exit_code, done.stdout) == (0, "Nothing was used in that time.\n")
    assert "There is no state store" in done.stderr
    assert not any(tmp_path.iterdir())


def test_keys_are_in_the_order_of_what_they_used(state: str, run: Run) -> None:
    ids = {
        name: json.loads(CliRunner().invoke(main, ["keys", "create", name, "--json"]).stdout)["id"]
        for name in ("anna", "ben", "cleo")
    }
    now = time.time()
    keep(
        state,
        *(
            turn(now, key=ids[name], prompt=prompt)
            for name, prompt in (("anna", 5), ("ben", 50), ("cleo", 5))
        ),
    )
    assert [row["name"] for row in json.loads(run("--by", "key", "--json").stdout)] == ["ben", "anna", "cleo"]


def test_turns_that_asked_no_upstream_are_one_row(state: str, run: Run) -> None:
    now = time.time()
    keep(state, turn(now, upstream=""), turn(now, upstream="none"), turn(now, upstream="site"))
    assert [
        (row["upstream"], row["requests"]) for row in json.loads(run("--by", "upstream", "--json").stdout)
    ] == [("", 2), ("site", 1)]
