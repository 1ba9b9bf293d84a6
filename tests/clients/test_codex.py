"""The real Codex CLI, headless, over the simulated website and over an OpenAI-compatible server."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import RunningGateway
from tests.simulator.agent import Call

from .stage import Stage, agent

NODE = Path(sys.executable).with_name("node")
CODEX = Path(__file__).parent / "node" / "node_modules" / "@openai" / "codex" / "bin" / "codex.js"
CONFIG = """\
model = "gpt-oss-120b"
model_provider = "gptoss"

[features]
api_key_model_discovery = true

[model_providers.gptoss]
name = "gptoss-api"
base_url = "{base}/v1"
wire_api = "responses"
env_key = "GPTOSS_API_KEY"
model_catalog_url = "{base}/v1/models"
"""
PATCH = """\
*** Begin Patch
*** Update File: greet.py
@@
-print("hello")
+print("goodbye")
*** End Patch"""
READ, EDIT, RUN = (
    Call("exec_command", {"cmd": "cat greet.py"}),
    Call("apply_patch", {"input": PATCH}),
    Call("exec_command", {"cmd": "python3 greet.py"}),
)


@dataclass(frozen=True, slots=True)
class Session:
    """What Codex printed and did in ``folder``."""

    code: int
    events: list[Any]
    errors: str
    folder: Path

    def items(self, kind: str) -> list[Any]:
        return [
            event["item"]
            for event in self.events
            if event["type"] == "item.completed" and event["item"]["type"] == kind
        ]


@pytest.fixture
def session(stage: Stage, tmp_path: Path) -> Session:
    """One task from its beginning to its end: read a file, change it, run it."""
    stage.play(agent([READ], [EDIT], [RUN], answer=lambda results: f"It says {results[-1][-8:].strip()}."))
    return run_codex(stage.base_url, tmp_path, "Say goodbye instead of hello.")


def run_codex(
    base_url: str, place: Path, task: str, *options: str, config: str = CONFIG, **environment: str
) -> Session:
    home, folder = place / "codex", place / "project"
    home.mkdir()
    folder.mkdir()
    (home / "config.toml").write_text(config.format(base=base_url))
    (folder / "greet.py").write_text('print("hello")\n')
    command = ["exec", "--json", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox"]
    done = subprocess.run(
        [NODE, CODEX, *command, *options, task],
        cwd=folder,
        env={**os.environ, "CODEX_HOME": str(home), "GPTOSS_API_KEY": "none", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
    )
    events = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    return Session(done.returncode, events, done.stderr, folder)


def test_codex_reads_a_file_applies_a_patch_runs_a_command_and_finishes(
    stage: Stage, session: Session
) -> None:
    assert session.code == 0, session.errors
    commands = session.items("command_execution")
    assert ["cat greet.py" in command["command"] for command in commands] == [True, False]
    assert commands[1]["aggregated_output"] == "goodbye\n"
    assert session.items("file_change")[0]["status"] == "completed"
    assert (session.folder / "greet.py").read_text() == 'print("goodbye")\n'
    assert session.items("agent_message")[-1]["text"] == "It says goodbye."
    assert session.events[-1]["type"] == "turn.completed"
    assert session.events[-1]["usage"]["input_tokens"] > 1000
    # It knows the model: its window, its effort and that it takes patches as text.
    assert "metadata" not in session.errors
    assert not session.items("error")
    assert {*stage.efforts} == {"medium"}


def test_codex_takes_the_gateway_for_ollama(stage: Stage, tmp_path: Path) -> None:
    """It asks for the version and the models in Ollama's way, then for answers in OpenAI's."""
    change = Call("exec_command", {"cmd": "sed -i s/hello/goodbye/ greet.py"})
    stage.play(agent([READ], [change], [RUN], answer=lambda results: f"It says {results[-1][-8:].strip()}."))
    session = run_codex(
        stage.base_url,
        tmp_path,
        "Say goodbye instead of hello.",
        *("--oss", "--local-provider", "ollama", "--model", "gpt-oss:120b"),
        config="",
        CODEX_OSS_BASE_URL=f"{stage.base_url}/v1",
    )
    assert session.code == 0, session.errors
    assert [item["aggregated_output"] for item in session.items("command_execution")] == [
        'print("hello")\n',
        "",
        "goodbye\n",
    ]
    assert session.items("agent_message")[-1]["text"] == "It says goodbye."
    assert (session.folder / "greet.py").read_text() == 'print("goodbye")\n'


def test_the_demo_runs_nothing_unasked(demo: RunningGateway, tmp_path: Path) -> None:
    session = run_codex(demo.base_url, tmp_path, "Say hello")
    assert session.code == 0, session.errors
    assert {event["item"]["type"] for event in session.events if "item" in event} <= {
        "reasoning",
        "agent_message",
    }
    assert "no model is behind this answer" in session.items("agent_message")[-1]["text"]
