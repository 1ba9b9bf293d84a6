"""``gptoss-api setup`` and ``launch`` with the clients themselves: configured, asked, left as they were."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.simulator.agent import Call

from .stage import ServerStage, agent, server_stage
from .test_claude_code import CLAUDE

BESIDE = Path(sys.executable).parent
MODULES = Path(__file__).parent / "node" / "node_modules"
KEY = "sesame-open-key-of-the-tests"


@dataclass(frozen=True, slots=True)
class Client:
    """One client: what asks it something, the tool with which it reads a file, and its key's variable."""

    name: str
    command: Sequence[str]
    call: Call | None
    variable: str
    # What it had before, which must stay.
    mine: Mapping[str, str]


CLIENTS = (
    Client(
        "codex",
        ("codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "Read it."),
        Call("exec_command", {"cmd": "cat greet.py"}),
        "GPTOSS_API_KEY",
        {".codex/config.toml": "# Mine.\n[features]\nweb_search_request = false # no\n"},
    ),
    Client(
        "claude-code",
        ("claude", "-p", "Read it.", "--allowedTools", "Bash"),
        Call("Bash", {"command": "cat greet.py", "description": "Reads it"}),
        "ANTHROPIC_AUTH_TOKEN",
        {".claude/settings.json": '{"env": {"EDITOR": "vi"}}'},
    ),
    Client(
        "continue",
        ("cn", "--auto", "-p", "Read it."),
        Call("Bash", {"command": "cat greet.py"}),
        "GPTOSS_API_KEY",
        {},
    ),
    Client("llm", ("llm", "Read it."), None, "OPENAI_API_KEY", {}),
)
every_client = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.name)


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerStage]:
    """A gateway that wants a key, in front of a server that takes tools."""
    with server_stage(tmp_path_factory.mktemp("home"), GPTOSS_API_KEYS=KEY) as stage:
        yield stage


class Person:
    """Somebody with a home of their own, and a folder with a program to be read."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.folder = home / "project"
        self.folder.mkdir()
        (self.folder / "greet.py").write_text('print("hello")\n')
        programs = home / "bin"
        programs.mkdir()
        # Its own is put in place by a script of its package, and those do not run here.
        (programs / "claude").write_text(f'#!/bin/sh\nexec "{BESIDE / "node"}" "{CLAUDE}" "$@"\n')
        (programs / "claude").chmod(0o755)
        self._path = os.pathsep.join(map(str, (programs, MODULES / ".bin", BESIDE, os.environ["PATH"])))

    def run(self, command: Sequence[str], **variables: str) -> str:
        """What a command that must end well says."""
        environment = {
            "PATH": self._path,
            "HOME": str(self.home),
            # They look for news of themselves, which no test waits for.
            "HTTPS_PROXY": "http://127.0.0.1:9",
            "NO_PROXY": "127.0.0.1",
            "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
            **variables,
        }
        done = subprocess.run(
            [shutil.which(command[0], path=self._path) or command[0], *command[1:]],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=110,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    def cli(self, *arguments: str, **variables: str) -> str:
        return self.run([sys.executable, "-m", "gptoss_api", *arguments], **variables)


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path)


def _play(stage: ServerStage, client: Client) -> None:
    rounds = [[client.call]] if client.call else []
    stage.play(agent(*rounds, answer=lambda results: f"It says hello{len(results)}."))


@every_client
def test_a_client_is_set_up_answers_with_a_tool_and_is_as_before(
    keyed: ServerStage, person: Person, client: Client
) -> None:
    for name, text in client.mine.items():
        (person.home / name).parent.mkdir(parents=True)
        (person.home / name).write_text(text)
    person.cli("setup", client.name, "--base-url", keyed.base_url)
    _play(keyed, client)
    said = person.run(client.command, **{client.variable: KEY})
    assert f"It says hello{int(client.call is not None)}." in said
    assert set(keyed.asked) == {"gpt-oss-120b"}
    assert not any(KEY in _text(path) for path in person.home.rglob("*") if path.is_file())
    person.cli("setup", client.name, "--undo")
    for name, text in client.mine.items():
        assert _text(person.home / name) == text
    # Some write other things there themselves, but ours are gone.
    configs = ("config.toml", "settings.json", "config.yaml", "extra-openai-models.yaml", "default_model.txt")
    assert not any("gpt-oss" in _text(path) for name in configs for path in person.home.rglob(name))


@every_client
def test_a_client_is_launched_with_the_gateway_whatever_it_is_set_up_for(
    server: ServerStage, person: Person, client: Client
) -> None:
    person.cli("setup", client.name, "--base-url", "http://127.0.0.1:9")
    before = {path: path.read_bytes() for path in person.home.rglob("*") if path.is_file()}
    _play(server, client)
    temp = person.home / "temp"
    temp.mkdir()
    launch = ("launch", "--base-url", server.base_url, client.name, "--")
    said = person.cli(*launch, *client.command[1:], TMPDIR=str(temp))
    assert f"It says hello{int(client.call is not None)}." in said
    assert not list(temp.glob("gptoss-api-*"))
    changed = [path for path, content in before.items() if path.read_bytes() != content]
    assert changed == []


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")
