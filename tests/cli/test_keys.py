"""``gptoss-api keys``: what it says, what it keeps, and what it never shows again."""

import itertools
import json
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from gptoss_api.cli import main
from gptoss_api.core import program

Keys = Callable[..., Result]


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Keys:
    monkeypatch.setenv("GPTOSS_STATE", f"sqlite://{tmp_path}/state.db")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))

    def run(*arguments: str) -> Result:
        return CliRunner().invoke(main, ["keys", *arguments])

    return run


def shown(done: Result) -> Any:
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_created_key_is_printed_once_and_only_its_digest_kept(keys: Keys, tmp_path: Path) -> None:
    done = keys("create", "anna")
    assert done.exit_code == 0
    assert re.fullmatch("sk-gptoss-[0-9A-Za-z]{43}\n", done.stdout)
    secret = done.stdout.strip()
    for command in (["list"], ["list", "--json"], ["show", "anna"], ["show", "anna", "--json"]):
        output = keys(*command).output
        assert "anna" in output
        assert secret[-4:] in output
        assert secret[:-4] not in output
    assert not any(secret.encode() in file.read_bytes() for file in tmp_path.iterdir() if file.is_file())


def test_everything_a_key_may_do_is_in_its_json(keys: Keys) -> None:
    made = shown(
        keys(
            *("create", "anna", "--json", "--models", "gpt-oss:20b", "--rpm", "60", "--tpm", "20k"),
            *(
                "--concurrency",
                "4",
                "--budget",
                "2M/month",
                "--budget",
                "100k/day",
                "--expires",
                "90d",
                "--admin",
            ),
        )
    )
    assert made.pop("key").startswith("sk-gptoss-")
    assert made["id"].startswith("key_")
    assert made["models"] == ["gpt-oss-20b"]
    assert made["admin"] is True
    assert made["limits"] == {
        "requests_per_minute": 60,
        "tokens_per_minute": 20_000,
        "concurrency": 4,
        "budgets": [{"tokens": 2_000_000, "period": "month"}, {"tokens": 100_000, "period": "day"}],
    }
    assert shown(keys("show", "anna", "--json")) == made
    assert shown(keys("show", made["id"], "--json")) == made
    assert shown(keys("list", "--json")) == [made]


def test_a_span_begins_when_the_key_is_created(keys: Keys, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(1_767_225_600.3, 0.4)
    monkeypatch.setattr("gptoss_api.cli.keys.time", SimpleNamespace(time=lambda: next(clock)))
    for name in ("anna", "bea", "carl"):
        made = shown(keys("create", name, "--expires", "90d", "--json"))
        created, expires = (datetime.fromisoformat(made[member]) for member in ("created", "expires"))
        assert expires - created == timedelta(days=90)


def test_a_created_key_is_told_with_what_it_may_do(keys: Keys) -> None:
    limited = ("--models", "gpt-oss-20b", "--rpm", "6000", "--budget", "2M/month", "--expires", "2099-01-01")
    first = keys("create", "anna", *limited).stderr
    assert "Models: gpt-oss-20b. Expires: 2099-01-01T00:00:00Z. " in first
    assert "Limits: 6,000 requests/minute, 2,000,000 tokens/month." in first
    assert "from now on requests without a key are refused" in first
    second = keys("create", "bea", "--admin").stderr
    assert "Models: all. Expires: never. Limits: none. It opens /admin too." in second
    assert "from now on" not in second
    assert "6,000 requests/minute, 2,000,000 tokens/month" in keys("list").stdout


def test_a_command_that_is_named_can_be_typed(keys: Keys) -> None:
    assert f"; {program.command()} keys create NAME" in keys("list").stdout
    assert f"; {program.command()} keys list shows all" in keys("show", "anna").stderr
    keys("create", "anna")
    deleted = keys("delete", "anna").stderr
    assert f"'{program.command()} usage'" in deleted
    assert "want one until they are restarted" in deleted


def test_editing_changes_what_is_given_and_nothing_else(keys: Keys) -> None:
    made = shown(keys("create", "anna", "--rpm", "60", "--tpm", "500", "--budget", "5M/total", "--json"))
    edited = shown(
        keys(
            *("edit", "anna", "--name", "bea", "--rpm", "none", "--models", "gpt-oss-120b"),
            *("--expires", "2099-01-01", "--json"),
        )
    )
    assert edited["id"] == made["id"]
    assert (edited["name"], edited["models"]) == ("bea", ["gpt-oss-120b"])
    assert edited["expires"] == "2099-01-01T00:00:00Z"
    assert edited["limits"] == {**made["limits"], "requests_per_minute": None}
    again = shown(
        keys(
            *("edit", "bea", "--models", "all", "--budget", "none", "--expires", "never", "--tpm", "none"),
            "--json",
        )
    )
    assert (again["models"], again["expires"]) == (None, None)
    assert again["limits"]["budgets"] == []
    assert again["limits"]["tokens_per_minute"] is None


def test_a_revoked_key_stays_in_the_list_and_a_deleted_one_does_not(keys: Keys) -> None:
    for name in ("anna", "bea"):
        keys("create", name)
    assert shown(keys("revoke", "anna", "--json"))["state"] == "revoked"
    again = keys("revoke", "anna")
    assert (again.exit_code, "revoked already" in again.stderr) == (0, True)
    done = keys("revoke", "bea")
    assert re.search(r"bea \(key_\w+\) is revoked", done.stderr)
    assert re.search("anna .* revoked", keys("list").stdout)
    assert keys("create", "anna").exit_code == 1
    deleted = keys("delete", "anna")
    assert (deleted.exit_code, "anna (key_" in deleted.stderr, "is deleted" in deleted.stderr) == (
        0,
        True,
        True,
    )
    assert [key["name"] for key in shown(keys("list", "--json"))] == ["bea"]
    last = keys("delete", "bea")
    assert "the last one" in last.stderr
    assert "There are no keys" in keys("list").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("create", "a b"), "letters, digits"),
        (("create", "key_1"), "do not begin with key_"),
        (("create", "x", "--rpm", "0"), "a number such as 60"),
        (("create", "x", "--tpm", "-5"), "a number such as 60"),
        (("create", "x", "--budget", "5/week"), "500k/day"),
        (("create", "x", "--budget", "many/day"), "500k/day"),
        (("create", "x", "--models", "gpt-9"), "Use one of: gpt-oss-120b"),
        (("create", "x", "--expires", "2001-01-01"), "a date to come"),
        (("create", "x", "--expires", "soon"), "a date to come"),
        (("create", "x", "--expires", "0d"), "a date to come"),
        (("create", "x", "--expires", "999999w"), "a date to come"),
        (("show", "sk-gptoss-mistaken"), "no key with this name"),
        (("edit", "nobody", "--rpm", "5"), "no key with this name"),
        (("revoke", "nobody"), "no key with this name"),
    ],
)
def test_what_cannot_be_done_is_said(keys: Keys, arguments: tuple[str, ...], words: str) -> None:
    done = keys(*arguments)
    assert done.exit_code != 0
    assert words in " ".join(done.stderr.split())
    assert "mistaken" not in done.output
    assert shown(keys("list", "--json")) == []


def test_two_keys_of_one_name_cannot_be(keys: Keys) -> None:
    keys("create", "anna")
    keys("create", "bea")
    assert "already" in keys("create", "anna").stderr
    assert "already" in keys("edit", "bea", "--name", "anna").stderr
    assert keys("edit", "bea", "--name", "bea").exit_code == 0


def test_a_store_in_memory_is_no_place_for_keys(keys: Keys) -> None:
    done = keys("create", "anna", "--state", "memory://")
    assert done.exit_code == 1
    assert "lives in the gateway's own memory" in done.stderr
    assert "GPTOSS_API_KEYS" in done.stderr


def test_a_store_that_does_not_answer_is_said_and_its_password_is_not(keys: Keys) -> None:
    done = keys("list", "--state", "redis://:s3cret@127.0.0.1:9/0")
    assert done.exit_code == 1
    assert "redis://127.0.0.1:9/0 cannot be used now" in done.stderr
    assert "s3cret" not in done.output
    assert keys("list", "--state", "nonsense").exit_code == 2


@pytest.mark.parametrize("arguments", [("list",), ("show", "anna"), ("revoke", "anna"), ("delete", "anna")])
def test_who_looks_where_no_store_is_is_told_and_makes_none(
    keys: Keys, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    done = keys(*arguments)
    assert f"There is no state store sqlite://{tmp_path}/state.db yet" in done.stderr
    assert done.exit_code == (0 if arguments == ("list",) else 1)
    assert not any(tmp_path.iterdir())
