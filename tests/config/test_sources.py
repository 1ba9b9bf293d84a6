"""Where settings come from, which place wins, and that a wrong one is named in one line."""

import os
from pathlib import Path
from typing import Any

import pytest

from gptoss_api.config import OPTIONS, ConfigError, Resolution, resolve
from gptoss_api.core.servers import SERVER_KINDS, SITE

SECRET = "k-very-secret-1"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's config folder, empty."""
    monkeypatch.setattr("gptoss_api.config.settings.config_folder", lambda: tmp_path)
    monkeypatch.setattr("gptoss_api.config.sources.config_folder", lambda: tmp_path)
    return tmp_path


def source_of(name: str, resolution: Resolution) -> str:
    return next(str(source) for option, _, source in resolution if option.name == name)


def test_defaults_make_a_gateway_for_this_machine_alone() -> None:
    settings = resolve(environ={}).settings
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.upstream == "auto"
    assert settings.api_keys == ()
    assert settings.cors_origin == ("loopback",)
    assert settings.allowed_hosts == ("loopback",)
    assert settings.chatkit_url is None
    assert settings.repair == "strict"
    resolve(environ={}).refuse_exposure()


def test_the_command_line_wins_over_the_environment_and_that_over_the_file(folder: Path) -> None:
    (folder / "config.toml").write_text('port = 1\nmax_n = 2\nlog_level = "debug"\n')
    resolution = resolve({"port": "3", "max_n": None}, {"PORT": "2", "GPTOSS_MAX_N": "3"})
    assert resolution.settings.port == 3
    assert resolution.settings.max_n == 3
    assert resolution.settings.log_level == "debug"
    assert source_of("port", resolution) == "command line --port"
    assert source_of("max_n", resolution) == "environment GPTOSS_MAX_N"
    assert source_of("log_level", resolution) == f"file {folder / 'config.toml'}:log_level"
    assert source_of("host", resolution) == "default"


def test_a_named_file_is_read_instead_of_the_default_one(folder: Path) -> None:
    (folder / "config.toml").write_text("port = 1\n")
    (folder / "other.toml").write_text('port = 2\napi_keys = ["a-key", "b-key"]\nidle_timeout = "2m"\n')
    for resolution in (
        resolve({"config_file": str(folder / "other.toml")}, {}),
        resolve(environ={"GPTOSS_CONFIG": str(folder / "other.toml")}),
    ):
        assert resolution.settings.port == 2
        assert resolution.settings.api_keys == ("a-key", "b-key")
        assert resolution.settings.idle_timeout == 120.0


def test_an_empty_variable_is_an_unset_one() -> None:
    assert resolve(environ={"PORT": "", "GPTOSS_API_KEYS": "", "GPTOSS_COOKIE": ""}).settings.port == 8000


def test_keys_open_cors_and_hosts() -> None:
    settings = resolve(environ={"GPTOSS_API_KEYS": "a-key", "HOST": "0.0.0.0"}).settings
    assert settings.cors_origin == ("*",)
    assert settings.allowed_hosts == ("*",)
    local = resolve(environ={"GPTOSS_API_KEYS": "a-key", "CORS_ORIGIN": "https://a.example"}).settings
    assert local.cors_origin == ("https://a.example",)


def test_keys_come_also_from_a_file(folder: Path) -> None:
    (folder / "keys").write_text("# for the team\n\nfile-key\na-key\n")
    resolution = resolve(environ={"GPTOSS_API_KEYS": "a-key", "GPTOSS_API_KEYS_FILE": str(folder / "keys")})
    assert resolution.settings.api_keys == ("a-key", "file-key")
    assert "GPTOSS_API_KEYS" in source_of("api_keys", resolution)
    assert str(folder / "keys") in source_of("api_keys", resolution)


@pytest.mark.parametrize("name", ["GPTOSS_API_KEYS_FILE", "GPTOSS_CONFIG"])
def test_no_file_is_read_without_end(folder: Path, name: str) -> None:
    file = folder / "endless"
    file.touch()
    os.truncate(file, 4 * 1024 * 1024 + 1)
    with pytest.raises(ConfigError, match=r"endless: cannot be read: it is larger than 4 MiB$"):
        resolve(environ={name: str(file)})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "gate.example"])
def test_an_open_gateway_is_not_shown_to_other_machines(host: str) -> None:
    with pytest.raises(ConfigError, match=r"^HOST: .*GPTOSS_API_KEYS.*--insecure"):
        resolve(environ={"HOST": host}).refuse_exposure()
    with pytest.raises(ConfigError, match=r"^--host: "):
        resolve({"host": host}, {}).refuse_exposure()
    resolve({"insecure": True}, {"HOST": host}).refuse_exposure()
    resolve(environ={"HOST": host, "GPTOSS_API_KEYS": "a-key"}).refuse_exposure()


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"PORT": "eighty"}, "PORT: 'eighty'"),
        ({"PORT": "70000"}, "65535"),
        ({"HOST": "http://x"}, "HOST: "),
        ({"CORS_ORIGIN": "app.example"}, "CORS_ORIGIN: "),
        ({"GPTOSS_UPSTREAM": "openai"}, "auto, gpt-oss.com, demo"),
        ({"GPTOSS_CHATKIT_URL": "api.example"}, "GPTOSS_CHATKIT_URL: "),
        ({"GPTOSS_IDLE_TIMEOUT": "-1"}, "GPTOSS_IDLE_TIMEOUT: '-1'"),
        ({"GPTOSS_MAX_BODY": "8 parsecs"}, "GPTOSS_MAX_BODY: "),
        ({"GPTOSS_LOG_LEVEL": "loud"}, "debug, info, warning, error"),
        ({"GPTOSS_INSECURE": "perhaps"}, "GPTOSS_INSECURE: "),
        ({"GPTOSS_API_KEYS": "with space,ok"}, "GPTOSS_API_KEYS: "),
        ({"GPTOSS_API_KEYS_FILE": "/nowhere/keys"}, "GPTOSS_API_KEYS_FILE: there is no file"),
        ({"GPTOSS_CONFIG": "/nowhere/config.toml"}, "/nowhere/config.toml: "),
        ({"GPTOSS_CONFIG": "~nosuchuser/config.toml"}, "the home of nobody"),
        ({"GPTOSS_CREDENTIALS_FILE": "~nosuchuser/x"}, "GPTOSS_CREDENTIALS_FILE: "),
        ({"GPTOSS_STATE": "redis://secret@["}, "GPTOSS_STATE: "),
        ({"GPTOSS_MAX_BODY": "9" * 400}, "GPTOSS_MAX_BODY: "),
        ({"PORT": "1\nFAKE LINE"}, "PORT: "),
        ({"PORT": "9" * 5000}, "PORT: "),
    ],
)
def test_a_wrong_value_is_named_in_one_short_line(environ: dict[str, str], named: str) -> None:
    with pytest.raises(ConfigError) as refused:
        resolve(environ=environ)
    message = str(refused.value)
    assert named in message
    assert "\n" not in message
    assert len(message) < 300
    assert "secret" not in message
    assert "with space" not in message


@pytest.mark.parametrize(
    ("contents", "named"),
    [
        ("port = ", "not valid TOML"),
        ("prot = 1", "did you mean 'port'?"),
        ("[server]\nport = 1", "'server' is not a setting"),
        ("port = true", "port: True"),
        ('api_keys = ["very secret"]', "api_keys: the value given"),
        ("cookie = 1", "cookie: the value given"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_a_wrong_file_is_named_with_its_key(folder: Path, contents: str | bytes, named: str) -> None:
    file = folder / "config.toml"
    file.write_bytes(contents if isinstance(contents, bytes) else contents.encode())
    with pytest.raises(ConfigError) as refused:
        resolve(environ={})
    assert str(file) in str(refused.value)
    assert named in str(refused.value)
    assert "very secret" not in str(refused.value)


def test_misspelt_variables_are_warned_of() -> None:
    warnings = resolve(environ={"GPTOSS_COOKIES": "x", "GPTOSS_PORT": "1", "OTHER": "x"}).warnings
    assert len(warnings) == 2
    assert "GPTOSS_COOKIES" in warnings[0]
    assert "GPTOSS_COOKIE?" in warnings[0]


def test_secrets_are_not_shown() -> None:
    resolution = resolve(
        environ={"GPTOSS_API_KEYS": f"{SECRET},another-1", "GPTOSS_COOKIE": f"session={SECRET}"}
    )
    shown = {option.name: option.show(value) for option, value, _ in resolution}
    assert shown["api_keys"] == "**** (2)"
    assert shown["cookie"] == "**** (1)"
    assert SECRET not in repr(resolution.settings)
    assert SECRET not in str(shown)


def test_every_setting_is_described_and_its_default_is_one_that_is_allowed() -> None:
    names = [option.env for option in OPTIONS]
    assert len(set(names)) == len(names)
    settings: Any = resolve(environ={}).settings
    for option in OPTIONS:
        assert option.purpose.endswith(".")
        value = getattr(settings, option.name)
        if value not in (None, ()):
            assert option.kind.parse(option.kind.show(value)) == value


def test_the_default_address_is_told_as_it_is() -> None:
    assert (
        next(option.default for option in OPTIONS if option.name == "chatkit_url") == SERVER_KINDS[SITE].url
    )


def test_the_password_of_a_store_is_not_shown() -> None:
    url = f"redis://user:{SECRET}@redis.example:6379/1?password={SECRET}"
    resolution = resolve(environ={"GPTOSS_STATE": url})
    assert resolution.settings.state == url
    shown = {option.name: option.show(value) for option, value, _ in resolution}
    assert shown["state"] == "redis://redis.example:6379/1"
    assert SECRET not in repr(resolution)
    with pytest.raises(ConfigError) as refused:
        resolve({"state": [SECRET]}, {})
    assert "--state: the value given is not allowed; expected memory://" in str(refused.value)
