"""The real Claude Code, headless, over the simulated website and over an OpenAI-compatible server."""

import base64
import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Site, StartGateway
from tests.server.talking import CHAT, HELLO, connect, request_bytes
from tests.simulator import Answer, Simulator, Stall
from tests.simulator.agent import Call
from tests.simulator.server import Exchange

from .stage import Asked, Broken, Endless, Refusal, Said, ServerStage, SiteStage, Stage, agent

NODE = Path(sys.executable).with_name("node")
CLAUDE = Path(__file__).parent / "node/node_modules/@anthropic-ai/claude-code/cli-wrapper.cjs"
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
    def retries(self) -> list[tuple[int, int]]:
        """The statuses after which it asked again, and the milliseconds for which it waited before."""
        return [
            (event["error_status"], event["retry_delay_ms"])
            for event in self.events
            if event.get("subtype") == "api_retry"
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


def test_it_reads_a_file_runs_a_command_edits_it_and_finishes(stage: Stage, tmp_path: Path) -> None:
    path = str(tmp_path / "project" / "greet.py")
    run = Call("Bash", {"command": "python3 greet.py", "description": "Runs it"})
    edit = Call("Edit", {"file_path": path, "old_string": "hello", "new_string": "goodbye"})
    read = Call("Read", {"file_path": path})
    stage.play(agent([read], [run], [edit], [run], answer=lambda results: f"It says {results[-1].strip()}."))
    session = run_claude(stage.base_url, tmp_path, "Say goodbye instead of hello.")
    assert session.code == 0, session.errors
    assert session.calls == ["Read", "Bash", "Edit", "Bash"]
    assert (session.folder / "greet.py").read_text() == 'print("goodbye")\n'
    assert session.result["result"] == "It says goodbye."
    assert session.result["usage"]["output_tokens"] > 0


PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


PDF = (
    b"%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj 2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj \
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 9 9]>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
)


def test_it_reads_several_files_at_once_and_pictures_as_notes(stage: Stage, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "dot.png").write_bytes(PNG)
    (folder / "page.pdf").write_bytes(PDF)
    reads = [Call("Read", {"file_path": str(folder / name)}) for name in ("greet.py", "dot.png", "page.pdf")]
    stage.play(agent(reads, answer=" / ".join))
    session = run_claude(stage.base_url, tmp_path, "What is in them?")
    assert session.calls == ["Read"] * 3
    assert 'print("hello")' in session.result["result"]
    assert "[image/png omitted: this model reads text only]" in session.result["result"]
    assert "[application/pdf omitted: this model reads text only]" in session.result["result"]


def test_it_finds_a_deferred_tool_and_calls_it(stage: Stage, tmp_path: Path) -> None:
    search = Call("ToolSearch", {"query": "select:CronList"})
    stage.play(agent([search], [Call("CronList")], answer=" / ".join))
    session = run_claude(stage.base_url, tmp_path, "Which jobs are there?", "--allowedTools", "CronList")
    assert session.calls == ["ToolSearch", "CronList"]
    assert "Tool CronList is now available." in session.result["result"]
    assert not any(result.get("is_error") for result in session.results)


def test_it_sends_a_subagent(stage: Stage, tmp_path: Path) -> None:
    task = {"description": "Look", "prompt": "Look around.", "subagent_type": "Explore", "model": "haiku"}
    sender = agent([Call("Agent", task)], answer=lambda results: "Sent.")
    stage.play(lambda asked: sender(asked) if "Send an agent." in asked.said else "All is quiet.")
    session = run_claude(stage.base_url, tmp_path, "Send an agent.")
    assert session.calls == ["Agent"]
    assert session.result["subtype"] == "success"
    assert {*stage.asked} == {"gpt-oss-120b", "gpt-oss-20b"}


def test_it_answers_in_json(stage: Stage, tmp_path: Path) -> None:
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    stage.play(agent([Call("StructuredOutput", {"city": "Paris"})], answer=lambda results: "Done."))
    session = run_claude(stage.base_url, tmp_path, "Which city?", "--json-schema", json.dumps(schema))
    assert session.result["structured_output"] == {"city": "Paris"}


def test_it_waits_out_a_limit_and_failures(stage: Stage, tmp_path: Path) -> None:
    # The gateway itself waits out what is over in two seconds, and asks once more after an error.
    stage.play(Refusal(429, retry_after=3), *[Refusal(529)] * 2, *[Refusal(500)] * 2, "At last.")
    session = run_claude(stage.base_url, tmp_path, "Go on.")
    assert session.result["result"] == "At last."
    assert 3_000 <= session.retries[0][1] < 4_000
    assert [status for status, _ in session.retries] == [429, 503, 502]


def test_it_comes_back_when_the_gateway_has_room(
    simulator: Simulator, gateway: StartGateway, tmp_path: Path
) -> None:
    running = gateway(simulator, GPTOSS_MAX_CONCURRENCY="1", GPTOSS_MAX_QUEUE="0")
    simulator.script(Answer("Another's answer.", at={"opened": [Stall()]}))
    simulator.always(Answer("At last."))
    with connect(running) as another:
        another.sendall(request_bytes(CHAT, {**HELLO, "stream": True}))
        simulator.wait_until(lambda: bool(simulator.requests))
        with ThreadPoolExecutor(1) as beside:
            asking = beside.submit(run_claude, running.base_url, tmp_path, "Go on.")
            while "status=529" not in running.log():
                assert not asking.done()
                time.sleep(0.05)
            another.close()
            session = asking.result()
    assert session.result["result"] == "At last."
    assert {status for status, _ in session.retries} == {529}


@pytest.mark.parametrize(
    ("status", "told"),
    [
        (401, "vLLM did not accept the key it was given"),
        (402, "The account at vLLM has no credits left"),
        (403, "vLLM refused the request"),
    ],
)
def test_it_says_at_once_what_no_further_request_mends(
    server: ServerStage, tmp_path: Path, status: int, told: str
) -> None:
    server.play(Refusal(status))
    session = run_claude(server.base_url, tmp_path, "Go on.")
    assert told in session.result["result"]
    assert (session.code, session.retries, len(server.asked)) == (1, [], 1)


def test_it_says_that_there_is_no_such_model(server: ServerStage, tmp_path: Path) -> None:
    session = run_claude(server.base_url, tmp_path, "Go.", environment={"ANTHROPIC_MODEL": "gpt-9"})
    assert "issue with the selected model (gpt-9)" in session.result["result"]


@pytest.mark.parametrize(
    ("options", "environment", "model", "effort"),
    [
        (("--effort", "max"), {}, "gpt-oss-120b", "high"),
        (("--effort", "low"), {}, "gpt-oss-120b", "low"),
        (("--model", "haiku"), {"ANTHROPIC_DEFAULT_HAIKU_MODEL": ""}, "gpt-oss-20b", None),
        (("--model", "opus[1m]", "--effort", "medium"), {"ANTHROPIC_DEFAULT_OPUS_MODEL": ""},
         "gpt-oss-120b", "medium"),
        (("--model", "claude-gpt-oss-20b"), {"MAX_THINKING_TOKENS": "0"}, "gpt-oss-20b", None),
    ],
)  # fmt: skip
def test_models_and_effort_are_those_that_it_was_started_with(
    server: ServerStage,
    tmp_path: Path,
    options: tuple[str, ...],
    environment: dict[str, str],
    model: str,
    effort: str | None,
) -> None:
    server.play("Hi.")
    session = run_claude(server.base_url, tmp_path, "Go.", *options, environment=environment)
    assert session.result["result"] == "Hi."
    assert server.asked[-1] == model
    assert effort is None or server.efforts[-1] == effort


def test_it_asks_again_for_an_answer_that_broke(stage: Stage, tmp_path: Path) -> None:
    stage.play(Broken("Half an answer"), "A whole one.")
    session = run_claude(stage.base_url, tmp_path, "Go on.")
    assert session.result["result"] == "A whole one."


def test_it_goes_on_where_an_answer_was_cut(stage: Stage, tmp_path: Path) -> None:
    stage.play(Endless("word", 50), "The end.")
    short = {"CLAUDE_CODE_MAX_OUTPUT_TOKENS": "50"}
    session = run_claude(stage.base_url, tmp_path, "Go on.", environment=short)
    assert session.result["result"].endswith("The end.")


def test_it_compacts_a_conversation_that_is_too_long(stage: Stage, tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    names = [str(folder / f"long{number}.txt") for number in range(8)]
    for name in names:
        Path(name).write_text("one more line of words\n" * 1_800)
    reader = agent(*([Call("Read", {"file_path": name})] for name in names), answer=lambda results: "All.")

    def model(asked: Asked) -> Said:
        if "session is being continued" in asked.said:
            return "It went on."
        if "detailed summary" in asked.text:
            return "<summary>Eight long files were read.</summary>"
        return reader(asked)

    stage.play(model)
    # The size that it knows of our window would have it compact before.
    window = {"CLAUDE_CODE_MAX_CONTEXT_TOKENS": ""}
    session = run_claude(stage.base_url, tmp_path, "Read all.", environment=window)
    assert session.result["result"] == "It went on."
    assert any(event.get("subtype") == "compact_boundary" for event in session.events)


def test_it_compacts_where_the_server_has_a_smaller_window(server: ServerStage, tmp_path: Path) -> None:
    too_long = (
        "This model's maximum context length is 8192 tokens. However, your request has 10921 input tokens."
    )

    def model(asked: Asked) -> Said:
        if "session is being continued" in asked.said:
            return "It went on."
        if "detailed summary" in asked.text:
            return "<summary>Not much.</summary>"
        return Refusal(400, too_long) if asked.results else (Call("Read", {"file_path": str(path)}),)

    path = tmp_path / "project" / "greet.py"
    server.play(model)
    session = run_claude(server.base_url, tmp_path, "Read it.")
    assert session.result["result"] == "It went on."
    assert session.calls == ["Read"]


def test_it_compacts_on_demand_and_tells_what_fills_the_window(stage: Stage, tmp_path: Path) -> None:
    stage.play(lambda asked: "<summary>It was tea.</summary>" if "detailed summary" in asked.text else "Tea.")
    assert run_claude(stage.base_url, tmp_path, "What is it about?").result["result"] == "Tea."
    compacted = run_claude(stage.base_url, tmp_path, "/compact", "-c")
    assert any(event.get("compact_result") == "success" for event in compacted.events)
    asked = len(stage.asked)
    told = run_claude(stage.base_url, tmp_path, "/context", "-c").result["result"]
    # It counts each part of a prompt of some ten thousand tokens, and no model is asked for that.
    assert re.search(r"\*\*Tokens:\*\* \d+\.?\d*k / 131\.1k", told)
    assert re.search(r"\| System tools \| [2-9]\.?\d*k \|", told)
    assert len(stage.asked) == asked


def test_it_is_told_that_nobody_searches_the_web(stage: Stage, tmp_path: Path) -> None:
    stage.play(agent([Call("WebSearch", {"query": "The price of tea"})], answer=lambda results: results[0]))
    session = run_claude(stage.base_url, tmp_path, "What is it?", "--allowedTools", "WebSearch")
    assert "Web search is not available" in session.result["result"]


def test_most_of_a_conversation_at_the_site_is_sent_once(
    site: Site, gateway: StartGateway, tmp_path: Path
) -> None:
    path = str(tmp_path / "project" / "greet.py")
    read, echo = Call("Read", {"file_path": path}), Call("Bash", {"command": "echo", "description": "Echoes"})
    model = agent(*([call] for call in ([read, echo] * 6)[:11]), answer=lambda results: "Done.")

    def turns(stage: SiteStage) -> list[Exchange]:
        site.simulator.reset()
        stage.play(model)
        assert len(run_claude(stage.base_url, tmp_path, "Count.").calls) == 11
        asked = [request for request in site.simulator.requests if request.text]
        assert len(asked) == 12
        return asked

    reusing = turns(SiteStage(site))
    assert sum(request.thread_id is not None for request in reusing) >= 10
    forgetful = Site(site.simulator, gateway(site.simulator, GPTOSS_THREADS="off"))
    whole = turns(SiteStage(forgetful))
    # As measured: 96 kB and 563 kB.
    assert sum(len(request.text) for request in reusing) < sum(len(request.text) for request in whole) / 4


def test_a_session_in_a_terminal_runs_a_command_in_its_usual_mode(stage: Stage, tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "project"
    home.mkdir()
    folder.mkdir()
    project = {"hasTrustDialogAccepted": True, "hasCompletedProjectOnboarding": True}
    known = {"hasCompletedOnboarding": True, "theme": "dark", "projects": {str(folder): project}}
    (home / ".claude.json").write_text(json.dumps(known))
    touch = Call("Bash", {"command": "touch made.txt", "description": "Makes it"})
    made = agent([touch], answer=lambda results: "Finished.")
    # Whatever it asks beside the conversation has no tools.
    stage.play(lambda asked: made(asked) if asked.has_tools else "<block>no")
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "CLAUDE_CONFIG_DIR": str(home),
        "ANTHROPIC_BASE_URL": stage.base_url,
        "TERM": "xterm-256color",
        **SETTINGS,
    }
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(folder)
        os.execve(NODE, [str(NODE), str(CLAUDE), "Make a file."], environment)
    try:
        seen, deadline = b"", time.monotonic() + 60
        while b"Finished." not in seen and time.monotonic() < deadline:
            if select.select([terminal], [], [], 0.5)[0]:
                seen += os.read(terminal, 65_536)
        assert b"Finished." in seen
        assert (folder / "made.txt").exists()
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(terminal)


SERVER = """\
import json, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" not in asked:
        continue
    tool = {"name": "tell", "description": "Tells it.", "inputSchema": {"type": "object"}}
    result = {
        "initialize": {
            "protocolVersion": asked.get("params", {}).get("protocolVersion"),
            "capabilities": {"tools": {}},
            "serverInfo": {"name": "teller", "version": "1"},
        },
        "tools/list": {"tools": [tool]},
        "tools/call": {"content": [{"type": "text", "text": "It is told."}]},
    }.get(asked["method"], {})
    print(json.dumps({"jsonrpc": "2.0", "id": asked["id"], "result": result}), flush=True)
"""


def test_it_calls_the_tool_of_a_server_without_having_looked_for_it(stage: Stage, tmp_path: Path) -> None:
    (tmp_path / "teller.py").write_text(SERVER)
    server = {"command": sys.executable, "args": [str(tmp_path / "teller.py")]}
    config = tmp_path / "servers.json"
    config.write_text(json.dumps({"mcpServers": {"teller": server}}))
    stage.play(agent([Call("mcp__teller__tell")], answer=lambda results: results[0]))
    options = ("--mcp-config", str(config), "--allowedTools", "mcp__teller__tell")
    session = run_claude(stage.base_url, tmp_path, "Tell it.", *options)
    assert session.calls == ["mcp__teller__tell"]
    assert session.result["result"] == "It is told."
