"""The real Claude Code, headless, over the simulated website and over an OpenAI-compatible server."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Site, StartGateway
from tests.simulator.agent import Agent, Call

NODE = Path(sys.executable).with_name("node")
CLAUDE = Path(__file__).parent / "node/node_modules/@anthropic-ai/claude-code/cli-wrapper.cjs"
# The model knows bash as a tool of its own, so it is shown this one under another name.
BASH = "client_Bash"
SETTINGS = {
    "ANTHROPIC_AUTH_TOKEN": "none",
    "ANTHROPIC_MODEL": "gpt-oss-120b",
    "ANTHROPIC_DEFAULT_HAIKU_MODEL": "gpt-oss-20b",
    "ANTHROPIC_DEFAULT_SONNET_MODEL": "gpt-oss-120b",
    "ANTHROPIC_DEFAULT_OPUS_MODEL": "gpt-oss-120b",
    "CLAUDE_CODE_MAX_CONTEXT_TOKENS": "131072",
    "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "16000",
    "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    "DISABLE_AUTOUPDATER": "1",
    "DISABLE_TELEMETRY": "1",
    "DISABLE_ERROR_REPORTING": "1",
}


@dataclass(frozen=True, slots=True)
class Session:
    """What Claude Code printed and did in ``folder``."""

    code: int
    events: list[Any]
    errors: str
    folder: Path

    @property
    def result(self) -> Any:
        return self.events[-1]

    @property
    def results(self) -> list[Any]:
        """The results of tools, in order."""
        return [
            block
            for event in self.events
            if event["type"] == "user" and isinstance(event["message"]["content"], list)
            for block in event["message"]["content"]
            if block["type"] == "tool_result"
        ]

    @property
    def calls(self) -> list[str]:
        """The names of the tools that the model called."""
        return [
            block["name"]
            for event in self.events
            if event["type"] == "assistant"
            for block in event["message"]["content"]
            if block["type"] == "tool_use"
        ]


@pytest.fixture(params=["gpt-oss.com", "an OpenAI-compatible server"])
def base_url(request: pytest.FixtureRequest, site: Site, gateway: StartGateway) -> str:
    """A gateway in front of the site, or one in front of a compatible server, which here is the first."""
    if request.param == "gpt-oss.com":
        return site.gateway.base_url
    return gateway(GPTOSS_UPSTREAM=f"{site.gateway.base_url}/v1").base_url


def run_claude(
    base_url: str,
    place: Path,
    task: str,
    *options: str,
    environment: Mapping[str, str] | None = None,
) -> Session:
    home, folder = place / "home", place / "project"
    home.mkdir(exist_ok=True)
    folder.mkdir(exist_ok=True)
    (folder / "greet.py").write_text('print("hello")\n')
    command = ["-p", task, "--output-format", "stream-json", "--verbose", "--permission-mode", "acceptEdits"]
    done = subprocess.run(
        [NODE, CLAUDE, *command, "--allowedTools", "Bash,Read,Edit", *options],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "CLAUDE_CONFIG_DIR": str(home / "claude"),
            "ANTHROPIC_BASE_URL": base_url,
            **SETTINGS,
            **(environment or {}),
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return Session(done.returncode, events, done.stderr, folder)


def test_it_reads_a_file_runs_a_command_edits_it_and_finishes(
    site: Site, base_url: str, tmp_path: Path
) -> None:
    path = str(tmp_path / "project" / "greet.py")
    run = Call(BASH, {"command": "python3 greet.py", "description": "Runs it"})
    edit = Call("Edit", {"file_path": path, "old_string": "hello", "new_string": "goodbye"})
    site.simulator.always(
        Agent(
            [[Call("Read", {"file_path": path})], [run], [edit], [run]],
            lambda results: f"It says {results[-1].strip()}.",
        )
    )
    session = run_claude(base_url, tmp_path, "Say goodbye instead of hello.")
    assert session.code == 0, session.errors
    assert session.calls == ["Read", "Bash", "Edit", "Bash"]
    assert (session.folder / "greet.py").read_text() == 'print("goodbye")\n'
    assert session.result["result"] == "It says goodbye."
    assert session.result["usage"]["output_tokens"] > 0
