"""The gateway as a service of a person's session; the managers are stand-ins that keep what they are told."""

import plistlib
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from click.testing import CliRunner

from gptoss_api.cli.service import command
from gptoss_api.cli.session_managers import LaunchAgent, SystemdUser

Ask = Callable[..., tuple[int, str]]

MANAGER = """\
#!/bin/sh
echo "$(basename "$0") $*" >>"{calls}"
case "$*" in
    *is-active*) test -e "{running}" && echo active || echo inactive ;;
    *restart*) touch "{running}" ;;
    *disable*) rm -f "{running}" ;;
    bootstrap*) touch "{running}" ;;
    bootout*) test -e "{running}" && rm "{running}" ;;
    print*) test -e "{running}" && printf 'gui/1/gptoss-api = {{\\n\\tstate = running\\n}}\\n' ;;
esac
"""


@pytest.fixture
def calls(tmp_path: Path) -> Callable[[], list[str]]:
    """What the managers were told, word for word."""
    return lambda: (tmp_path / "calls").read_text().splitlines() if (tmp_path / "calls").exists() else []


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ask:
    """Runs the command in an empty home: its exit code and what it printed."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("systemctl", "launchctl"):
        program = programs / name
        program.write_text(MANAGER.format(calls=tmp_path / "calls", running=tmp_path / "running"))
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)

    def run(*arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(command, arguments)
        return done.exit_code, done.output

    return run


UNIT = Path(".config/systemd/user/gptoss-api.service")
AGENT = Path("Library/LaunchAgents/gptoss-api.plist")


@pytest.mark.parametrize(("platform", "place"), [("linux", UNIT), ("darwin", AGENT)])
def test_a_service_comes_runs_and_goes(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, place: Path
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert ask("status")[0] == 3
    code, said = ask("install", "--port", "9001")
    assert code == 0, said
    assert str(tmp_path / place) in said
    assert b"9001" in (tmp_path / place).read_bytes()
    assert ask("status")[0] == 0
    # A second time takes the place of the first.
    assert ask("install", "--port", "9002")[0] == 0
    assert b"9001" not in (tmp_path / place).read_bytes()
    code, said = ask("remove")
    assert code == 0, said
    assert not (tmp_path / place).exists()
    assert not (tmp_path / "running").exists()
    assert ask("status")[0] == 3
    assert ask("remove") == (0, "The service is not installed.\n")


def test_systemd_reads_the_file_before_it_starts_the_service(
    ask: Ask, calls: Callable[[], list[str]]
) -> None:
    ask("install")
    assert calls()[:3] == [
        f"systemctl --user {told}" for told in ("daemon-reload", "enable gptoss-api", "restart gptoss-api")
    ]
    ask("remove")
    assert calls()[-2:] == ["systemctl --user disable --now gptoss-api", "systemctl --user daemon-reload"]


@pytest.mark.parametrize(("platform", "place"), [("linux", UNIT), ("darwin", AGENT)])
def test_a_file_of_somebody_else_stays(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, platform: str, place: Path
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    (tmp_path / place).parent.mkdir(parents=True)
    (tmp_path / place).write_text("[Service]\nExecStart=my-own\n")
    for arguments in (["install"], ["remove"]):
        code, said = ask(*arguments)
        assert code == 1
        assert "was not written by this command" in said
    assert (tmp_path / place).read_text() == "[Service]\nExecStart=my-own\n"
    assert not (tmp_path / "calls").exists()


def test_print_changes_nothing(ask: Ask, tmp_path: Path) -> None:
    code, said = ask("install", "--print")
    assert code == 0
    assert "ExecStart=" in said
    assert "Type=notify" in said
    assert not (tmp_path / UNIT).exists()
    assert not (tmp_path / "calls").exists()


def test_paths_hold_in_another_folder_and_variables_are_named(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own settings.toml").write_text("port = 9009\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GPTOSS_API_KEYS", "sk-of-this-shell")
    code, said = ask("install", "--config", "own settings.toml")
    assert code == 0, said
    assert "does not see GPTOSS_API_KEYS" in said
    unit = (tmp_path / UNIT).read_text()
    assert f'--config "{tmp_path}/own settings.toml"' in unit
    assert "sk-of-this-shell" not in unit + said


def test_what_would_not_start_is_not_installed(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for arguments, told in (
        (["--port", "many"], "--port"),
        # The keys of this shell would not protect the service.
        (["--host", "0.0.0.0"], "no API keys"),
    ):
        monkeypatch.setenv("GPTOSS_API_KEYS", "sk-of-this-shell")
        code, said = ask("install", *arguments)
        assert code == 2
        assert told in said
    assert not (tmp_path / UNIT).exists()


def test_what_the_manager_refuses_is_told_in_its_words(ask: Ask, tmp_path: Path) -> None:
    manager = tmp_path / "programs" / "systemctl"
    manager.write_text("#!/bin/sh\necho 'Failed to connect to bus' >&2\nexit 1\n")
    code, said = ask("install")
    assert code == 1
    assert "Failed to connect to bus" in said


def test_where_there_is_no_manager_the_way_is_told(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "programs" / "systemctl").unlink()
    monkeypatch.setenv("PATH", str(tmp_path / "programs"))
    code, said = ask("install")
    assert code == 1
    assert "no systemd" in said
    assert "serve" in said
    monkeypatch.setattr(sys, "platform", "win32")
    code, said = ask("install", "--port", "9001")
    assert code == 1
    assert "schtasks /create /sc onlogon" in said
    assert "9001" in said


WORDS = ["/opt/my python/bin/python", "100%", 'say "hi"', "$HOME", "back\\slash", "plain", ""]


def test_systemd_gets_every_word_as_it_was() -> None:
    text = SystemdUser(Path("unit")).text(WORDS).decode()
    (line,) = (line for line in text.splitlines() if line.startswith("ExecStart="))
    assert line == (
        'ExecStart="/opt/my python/bin/python" 100%% "say \\"hi\\"" $$HOME "back\\\\slash" plain ""'
    )


def test_launchd_gets_every_word_as_it_was(tmp_path: Path) -> None:
    text = LaunchAgent(tmp_path / "agent", tmp_path / "log").text(WORDS)
    assert plistlib.loads(text)["ProgramArguments"] == WORDS


def installed(words: Sequence[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gptoss_api", *words], capture_output=True, text=True, timeout=60
    )


def test_the_command_is_one_of_the_program() -> None:
    done = installed(["service", "--help"])
    assert all(word in done.stdout for word in ("install", "remove", "status"))


def test_what_cannot_be_started_is_not_left_behind(ask: Ask, tmp_path: Path) -> None:
    systemctl = tmp_path / "programs" / "systemctl"
    works = systemctl.read_text()
    fails = '#!/bin/sh\necho "Failed to connect to bus" >&2\nexit 1\n'
    systemctl.write_text(fails)
    code, said = ask("install")
    assert code == 1
    assert "Failed to connect to bus; nothing is installed" in said
    assert ask("remove") == (0, "The service is not installed.\n")
    systemctl.write_text(works)
    assert ask("install", "--port", "9001")[0] == 0
    before = (tmp_path / UNIT).read_bytes()
    systemctl.write_text(fails)
    code, said = ask("install", "--port", "9002")
    assert (code, (tmp_path / UNIT).read_bytes()) == (1, before)
    assert "the service of before is back" in said
