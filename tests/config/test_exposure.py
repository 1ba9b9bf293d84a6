"""What would let others in is warned of, with what to do about it."""

import os
import shlex
from pathlib import Path

import pytest

from gptoss_api.config import resolve

STRONG = "zG6vQm2XbK9tR4wL"
posix = pytest.mark.skipif(os.name == "nt", reason="modes say who may read a file only on POSIX systems")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's config folder, empty."""
    monkeypatch.setattr("gptoss_api.config.settings.config_folder", lambda: tmp_path)
    monkeypatch.setattr("gptoss_api.config.sources.config_folder", lambda: tmp_path)
    return tmp_path


def warnings(**environ: str) -> tuple[str, ...]:
    return resolve(environ=environ).warnings


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "gate.example"])
@pytest.mark.parametrize("key", ["a", "s3cret-key", STRONG[:15], "a" * 40, "1212121212121212"])
def test_a_key_that_can_be_guessed_is_warned_of_on_a_public_address(host: str, key: str) -> None:
    (warning,) = warnings(HOST=host, GPTOSS_API_KEYS=f"{STRONG},{key}")
    assert warning.startswith("environment GPTOSS_API_KEYS has a key that can be guessed")
    assert host in warning
    assert "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'" in warning
    if len(key) > 1:
        assert key not in warning
    assert "2 keys" in warnings(HOST=host, GPTOSS_API_KEYS="a,b")[0]


@pytest.mark.parametrize(
    ("host", "keys"), [("127.0.0.1", "a"), ("::1", "a"), ("localhost", "a"), ("0.0.0.0", STRONG)]
)
def test_others_are_not(host: str, keys: str) -> None:
    assert warnings(HOST=host, GPTOSS_API_KEYS=keys) == ()


def test_a_weak_key_in_a_file_is_warned_of_with_the_file(folder: Path) -> None:
    keys = written(folder / "keys", "a\n", 0o600)
    (warning,) = warnings(HOST="0.0.0.0", GPTOSS_API_KEYS_FILE=str(keys))
    assert f"{keys} has a key" in warning


def written(file: Path, text: str, mode: int) -> Path:
    file.write_text(text)
    file.chmod(mode)
    return file


SECRETS = (
    f'api_keys = ["{STRONG}"]',
    'cookie = "user_id=u; session=s"',
    'upstream_key = "k-123456"',
    f'server_key = "{"k" * 32}"',
    'state = "redis://user:password@host:6379/0"',
    '[[upstreams]]\nkind = "vllm"\nheaders = { x-api-key = "k" }',
)


@posix
@pytest.mark.parametrize("mode", [0o644, 0o604, 0o640, 0o602, 0o660])
@pytest.mark.parametrize("contents", SECRETS)
def test_a_file_with_secrets_that_others_can_read_is_warned_of(
    contents: str, mode: int, folder: Path
) -> None:
    file = written(folder / "config.toml", contents, mode)
    assert warnings() == (f"others can read the secrets in {file}; run: chmod 600 {file}",)
    file.chmod(0o600)
    assert warnings() == ()


@posix
@pytest.mark.parametrize(
    "contents",
    ["port = 9000", 'state = "redis://host/0"', '[[upstreams]]\nkind = "vllm"\nheaders = { x-title = "k" }'],
)
def test_a_file_without_secrets_is_not(contents: str, folder: Path) -> None:
    written(folder / "config.toml", contents, 0o644)
    assert warnings() == ()


@posix
def test_every_file_that_holds_a_secret_is_looked_at(folder: Path) -> None:
    place = folder / "a folder"
    place.mkdir()
    keys = written(place / "keys", f"{STRONG}\n", 0o644)
    login = written(place / "login", "user_id=u; session=s", 0o644)
    server = written(place / "server", "k-123456", 0o644)
    tables = f'[{{"kind": "vllm", "key_file": "{server}"}}]'
    told = warnings(
        GPTOSS_API_KEYS_FILE=str(keys), GPTOSS_CREDENTIALS_FILE=str(login), GPTOSS_UPSTREAMS=tables
    )
    assert [warning.rpartition("chmod 600 ")[2] for warning in told] == [
        shlex.quote(str(file)) for file in (keys, login, server)
    ]


@posix
def test_the_group_of_another_users_file_may_be_meant(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(folder / "config.toml", SECRETS[0], 0o640)
    monkeypatch.setattr(os, "geteuid", lambda: file.stat().st_uid + 1)
    assert warnings() == ()
    file.chmod(0o644)
    assert "chmod 600" in warnings()[0]
