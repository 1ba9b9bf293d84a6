"""Stores by their URLs."""

import re
import sys
from pathlib import Path

import pytest

from gptoss_api.state import default_url, is_shared, keys_of, open_store, state_folder, without_password
from gptoss_api.state.sqlite import SqliteStore


@pytest.mark.parametrize(
    ("url", "name", "shared"),
    [
        ("memory://", "memory", False),
        ("sqlite:///var/lib/state.db", "sqlite", True),
        ("redis://localhost", "redis", True),
        ("redis://user:secret@localhost:6380/2?health_check_interval=30", "redis", True),
        ("rediss://:secret@redis.example:6380/0?ssl_ca_certs=/etc/ca.pem", "redis", True),
        ("valkey://localhost:6379/1", "redis", True),
        ("valkeys://localhost", "redis", True),
        ("unix:///run/redis.sock?db=1", "redis", True),
    ],
)
def test_the_scheme_chooses_the_store(url: str, name: str, shared: bool) -> None:
    assert open_store(url).name == name
    assert (keys_of(open_store(url)) is not None) == shared
    assert is_shared(url) is shared


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("sqlite:///var/lib/state.db", "/var/lib/state.db"),
        ("sqlite:////var/lib/state.db", "/var/lib/state.db"),
        ("sqlite:///var/my%20state.db", "/var/my state.db"),
        ("sqlite:///C:/state.db", "C:/state.db"),
    ],
)
def test_a_path_is_where_the_file_is(url: str, path: str) -> None:
    store = open_store(url)
    assert isinstance(store, SqliteStore)
    assert str(store.path).replace("//", "/") == path


def test_by_default_it_is_a_file_in_the_state_folder() -> None:
    store = open_store(default_url())
    assert isinstance(store, SqliteStore)
    assert store.path == state_folder() / "state.db"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "memory",
        "memory://x",
        "memory:///x",
        "sqlite://",
        "sqlite:///",
        "sqlite://host/path",
        "sqlite:///state.db?mode=ro",
        "postgres://secret@localhost/db",
        "redis://localhost:secret",
        "redis://user:secret#@localhost:99999999",
        "redis://localhost/0?no_such_option=secret",
        "redis://[secret",
    ],
)
def test_other_urls_are_refused_without_repeating_them(url: str) -> None:
    with pytest.raises(ValueError) as refused:
        open_store(url)
    assert "secret" not in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("memory://", "memory://"),
        ("sqlite:///var/lib/state.db", "sqlite:///var/lib/state.db"),
        ("redis://user:secret@host:6379/0?password=secret", "redis://host:6379/0"),
        ("unix://:secret@/run/redis.sock?password=secret", "unix:///run/redis.sock"),
    ],
)
def test_what_is_shown_has_no_password(url: str, shown: str) -> None:
    assert without_password(url) == shown


def test_without_the_redis_package_the_message_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "gptoss_api.state.redis", None)
    with pytest.raises(ValueError, match=re.escape(f"{sys.executable} -m pip install redis")):
        open_store("redis://localhost")


def test_the_file_may_be_anywhere_a_path_can_name(tmp_path: Path) -> None:
    store = open_store(f"sqlite://{tmp_path}/a%2Fb.db")
    assert isinstance(store, SqliteStore)
    assert store.path == tmp_path / "a" / "b.db"
