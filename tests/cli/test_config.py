"""``gptoss-api config``: everything in force, nothing secret."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from gptoss_api.cli import main
from gptoss_api.config import OPTIONS
from tests.cli.conftest import Run, clean_environment
from tests.secret_forms import FORMS

SECRETS = {
    "GPTOSS_API_KEYS": "key-s3cret-1,key-s3cret-2",
    "GPTOSS_COOKIE": "user_id=s3cret-u; session=s3cret-s",
}


def row(output: str, name: str) -> str:
    return next(line for line in output.splitlines() if line.startswith(f"{name} "))


def test_every_setting_its_value_and_where_it_came_from(run: Run, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text("max_n = 2\n")
    done = run("config", "--config", str(tmp_path / "own.toml"), "--log-level", "debug", PORT="8123")
    assert done.returncode == 0
    assert done.stderr == ""
    for option in OPTIONS:
        assert row(done.stdout, option.env)
    assert row(done.stdout, "HOST").split() == ["HOST", "127.0.0.1", "default"]
    assert row(done.stdout, "PORT").split() == ["PORT", "8123", "environment", "PORT"]
    assert "command line --log-level" in row(done.stdout, "GPTOSS_LOG_LEVEL")
    assert f"file {tmp_path / 'own.toml'}:max_n" in row(done.stdout, "GPTOSS_MAX_N")
    assert "Answers come from demo" in done.stdout


def test_secrets_are_counted_but_not_shown(run: Run) -> None:
    for arguments in ([], ["--json"]):
        done = run("config", *arguments, **SECRETS)
        assert done.returncode == 0
        assert "s3cret" not in done.stdout + done.stderr
        assert "**** (2)" in done.stdout
        assert "environment GPTOSS_COOKIE" in done.stdout
    assert "Answers come from gpt-oss.com: a login" in run("config", **SECRETS).stdout


def test_json_has_values_of_their_own_types(run: Run) -> None:
    settings = json.loads(run("config", "--json", PORT="8123", CORS_ORIGIN="https://a.example").stdout)
    assert settings.keys() == {option.name for option in OPTIONS}
    assert settings["port"] == {"variable": "PORT", "value": 8123, "source": "environment PORT"}
    assert settings["cors_origin"]["value"] == ["https://a.example"]
    assert settings["insecure"]["value"] is False
    assert settings["api_keys"]["value"] is None
    assert settings["idle_timeout"]["value"] == 120.0


def test_a_wrong_value_is_named(run: Run) -> None:
    done = run("config", PORT="eighty")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: PORT: 'eighty'")


def test_what_would_stop_the_start_is_told_after_the_settings(run: Run) -> None:
    done = run("config", HOST="0.0.0.0")
    assert done.returncode == 2
    assert row(done.stdout, "HOST").split()[1] == "0.0.0.0"
    assert done.stderr.count("\n") == 1
    assert "HOST: '0.0.0.0'" in done.stderr
    assert "GPTOSS_COOKIE: " in run("config", GPTOSS_COOKIE="nonsense").stderr


def test_misspelt_variables_are_warned_of(run: Run) -> None:
    assert "did you mean GPTOSS_COOKIE?" in run("config", GPTOSS_COOKIES="x").stderr


def test_auto_takes_the_server_that_was_named(run: Run) -> None:
    done = run("config", GPTOSS_CHATKIT_URL="http://127.0.0.1:9/chatkit")
    assert "Answers come from gpt-oss.com: GPTOSS_CHATKIT_URL is configured." in done.stdout


@pytest.mark.parametrize("form", FORMS)
def test_a_secret_in_a_setting_that_is_none_is_hidden_too(form: str, tmp_path: Path) -> None:
    environment = clean_environment(tmp_path, GPTOSS_UPSTREAM="demo", GPTOSS_CREDENTIALS_FILE=f"/tmp/ {form}")
    wrong = environment | {"GPTOSS_CHATKIT_URL": f"http://host/?{form}"}
    for arguments, variables in (
        (["config"], environment),
        (["config", "--json"], environment),
        (["config"], wrong),
    ):
        done = CliRunner(env=variables).invoke(main, arguments)
        assert done.exit_code == (2 if variables is wrong else 0)
        assert "***" in done.output
        assert "VALUE" not in done.output


def test_no_setting_that_is_a_secret_is_left_out(run: Run) -> None:
    secrets = {option.env: f"s3cret-of-{option.name}-0123456789abcdef" for option in OPTIONS if option.secret}
    secrets["GPTOSS_COOKIE"] = "user_id=s3cret-u-01; session=s3cret-s-01"
    everywhere = ",".join(["http://host/v1"] + [f"http://host/{value}" for value in secrets.values()])
    done = run("config", **secrets, GPTOSS_CREDENTIALS_FILE=everywhere)
    assert done.returncode == 0
    assert "s3cret" not in done.stdout + done.stderr


def test_a_token_that_auto_found_is_warned_of(run: Run) -> None:
    done = run("config", HF_TOKEN="hf_s3cret12345")
    assert "Answers come from huggingface: " in done.stdout
    assert done.stderr.startswith(
        "Warning: answers come from the Hugging Face router, which bills the account"
    )
    assert done.stderr.count("\n") == 1
    assert run("config", GPTOSS_UPSTREAM="huggingface", HF_TOKEN="hf_s3cret12345").stderr == ""
