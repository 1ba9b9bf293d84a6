"""``gptoss-api chat``: one question and its answer, as programs call it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from gptoss_api.cli import main
from gptoss_api.cli.chat.conversation import Conversation
from gptoss_api.cli.chat.lines import Lines
from gptoss_api.cli.chat.screen import Screen
from gptoss_api.cli.chat.session import Session
from gptoss_api.cli.chat.source import Heard
from tests.cli.conftest import clean_environment
from tests.conftest import RunningGateway, Site, StartGateway, free_port, running_gateway
from tests.simulator import Answer, HttpReply, Simulator, Stall

HOSTILE = "Nice.\x1b]52;c;ZXZpbA==\x07\x1b[2J\x9b31mred\rover\x08\u202egnp"
SHOWN = "Nice.␛]52;c;ZXZpbA==␇␛[2J�31mredover␈"


KEYS = ["first-key-0123456789", "second-key-0123456789"]


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    home = tmp_path_factory.mktemp("home")
    with running_gateway(home, GPTOSS_UPSTREAM="demo", GPTOSS_API_KEYS=",".join(KEYS)) as gateway:
        yield gateway


def chat(
    home: Path, gateway: RunningGateway | None, *arguments: str, stdin: str | bytes = "", **variables: str
) -> "subprocess.CompletedProcess[str]":
    port = gateway.base_url.rpartition(":")[2] if gateway is not None else str(free_port())
    given = {"PORT": port, "XDG_STATE_HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [sys.executable, "-m", "gptoss_api", "chat", *arguments],
        input=data,
        env=clean_environment(home, **{**given, **variables}),
        capture_output=True,
        timeout=60,
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_the_answer_is_on_standard_output_and_thoughts_are_not(site: Site, tmp_path: Path) -> None:
    site.simulator.script(Answer("Because of Rayleigh.", reasoning=["They ask why."]))
    done = chat(tmp_path, site.gateway, "Why is", "the sky blue?")
    assert (done.returncode, done.stdout) == (0, "Because of Rayleigh.\n")
    assert done.stderr == "They ask why.\n\n"
    assert "Why is the sky blue?" in site.simulator.last.text


def test_without_thoughts_nothing_else_is_said(site: Site, tmp_path: Path) -> None:
    site.simulator.script(Answer("Yes.", reasoning=["Hm."]))
    done = chat(
        tmp_path, site.gateway, "--no-thinking", "-m", "20b", "-e", "high", "-s", "Be brief.", "Is it?"
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "Yes.\n", "")
    asked = site.simulator.last
    assert (asked.model, asked.effort) == ("gpt-oss-20b", "high")
    assert "Be brief." in asked.text


def test_what_is_piped_in_stands_before_the_question(site: Site, tmp_path: Path) -> None:
    site.simulator.script(Answer("Three."), Answer("Hello."))
    assert chat(tmp_path, site.gateway, "How many lines?", stdin="one\ntwo\nthree\n").stdout == "Three.\n"
    told = site.simulator.last.text
    assert told.index("one\ntwo\nthree") < told.index("How many lines?")
    assert chat(tmp_path, site.gateway, stdin="\ufeffHello").stdout == "Hello.\n"
    assert "Hello" in site.simulator.last.text


def test_json_has_the_whole_answer(site: Site, tmp_path: Path) -> None:
    site.simulator.script(Answer("Four\x1b[1m.", reasoning=["2 + 2"]))
    done = chat(tmp_path, site.gateway, "--json", "2 + 2?")
    assert (done.returncode, done.stderr) == (0, "")
    answer: dict[str, Any] = json.loads(done.stdout)
    assert answer["usage"]["completion_tokens"] > 0
    del answer["usage"]
    assert answer == {
        "content": "Four\x1b[1m.",
        "reasoning": "2 + 2",
        "model": "gpt-oss-120b",
        "upstream": "gpt-oss.com",
        "finish_reason": "stop",
        "notes": [],
    }
    assert "\x1b" not in done.stdout


def test_no_answer_is_told_and_is_exit_code_1(site: Site, tmp_path: Path) -> None:
    site.simulator.script(*["s17_html_502"] * 3)
    done = chat(tmp_path, site.gateway, "Hello")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: ")
    assert "Traceback" not in done.stderr
    assert chat(tmp_path, site.gateway, "-m", "gpt-9", "Hello").stderr.startswith("Error: ")


def test_an_answer_that_breaks_off_is_shown_as_far_as_it_came(site: Site, tmp_path: Path) -> None:
    site.simulator.script("s10_error_after_text")
    done = chat(tmp_path, site.gateway, "--no-thinking", "Hello")
    assert done.returncode == 1
    assert done.stdout.endswith("\n")
    assert len(done.stdout) > 1
    assert done.stderr.startswith("Error: ")


@pytest.mark.parametrize(
    ("question", "stdin", "told"),
    [
        ([], "", "Nothing is asked"),
        ([], " \n", "Nothing is asked"),
        (["What is it?"], b"\xff\xfe\x00", "no UTF-8 text"),
        (["What is it?"], "x" * 2_000, "More than 1024 bytes"),
    ],
)
def test_what_cannot_be_asked_is_a_usage_error(
    tmp_path: Path, question: list[str], stdin: str | bytes, told: str
) -> None:
    environment = {"GPTOSS_MAX_BODY": "1024", "XDG_CONFIG_HOME": str(tmp_path)}
    done = CliRunner().invoke(main, ["chat", *question], input=stdin, env=environment)
    assert done.exit_code == 2
    assert told in done.output


def test_an_interrupt_ends_it_with_130_and_the_turn_upstream(site: Site, tmp_path: Path) -> None:
    site.simulator.script(Answer("One two three four five six.", at={"half": [Stall()]}))
    process = subprocess.Popen(
        [sys.executable, "-m", "gptoss_api", "chat", "--no-thinking", "Hello"],
        env=clean_environment(tmp_path, GPTOSS_BASE_URL=f"{site.gateway.base_url}/v1"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert os.read(process.stdout.fileno(), 3) == b"One"
    process.send_signal(signal.SIGINT)
    rest, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (130, b"")
    assert rest.endswith(b"\n")
    deadline = time.monotonic() + 10
    while site.simulator.last.outcome != "abandoned":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_reader_that_leaves_ends_it_without_a_word(site: Site, tmp_path: Path) -> None:
    site.simulator.script(Answer("word\n" * 50_000))
    process = subprocess.Popen(
        [sys.executable, "-m", "gptoss_api", "chat", "--no-thinking", "Hello"],
        env=clean_environment(tmp_path, GPTOSS_BASE_URL=site.gateway.base_url),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == b"word\n"
    process.stdout.close()
    assert (process.wait(20), process.stderr.read()) == (141, b"")
    process.stderr.close()


def test_what_a_terminal_would_obey_is_shown_instead(site: Site, tmp_path: Path) -> None:
    site.simulator.script(Answer(HOSTILE, reasoning=["\x1b[31mThink"]))
    done = chat(tmp_path, site.gateway, "Hello")
    assert done.stdout.startswith(SHOWN)
    assert done.stderr.startswith("␛[31mThink")
    assert not set(done.stdout + done.stderr) & {chr(code) for code in (*range(9), *range(11, 32), 0x9B)}


def test_without_a_gateway_this_process_answers_and_no_port_is_open(
    simulator: Simulator, tmp_path: Path
) -> None:
    simulator.script(Answer("Here.", reasoning=["Hm."]), Answer("Never.", at={"half": [Stall()]}))
    variables = {
        "GPTOSS_CHATKIT_URL": simulator.chatkit_url,
        "GPTOSS_COOKIE": simulator.cookie,
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    done = chat(tmp_path, None, "-m", "gpt-oss:20b", "-s", "Be brief.", "Where?", **variables)
    assert (done.returncode, done.stdout) == (0, "Here.\n")
    assert "this process asks gpt-oss.com" in done.stderr
    assert "Hm." in done.stderr
    assert simulator.last.model == "gpt-oss-20b"
    assert "Be brief." in simulator.last.text
    answer = json.loads(chat(tmp_path, None, "--json", "Hello", GPTOSS_UPSTREAM="demo").stdout)
    assert answer["upstream"] == "demo"
    assert answer["usage"]["total_tokens"] > 10
    refused = chat(tmp_path, None, "Hello", GPTOSS_UPSTREAM="groq", GROQ_API_KEY=" bad key")
    assert refused.returncode == 2
    assert refused.stderr.startswith("Error: ")
    assert chat(tmp_path, None, "-m", "gpt-9", "Hello", GPTOSS_UPSTREAM="demo").returncode == 1


def test_only_a_gateway_is_asked(tmp_path: Path, simulator: Simulator) -> None:
    """Whatever else listens at the port is told nothing."""
    other = simulator.chatkit_url.rpartition("/")[0]
    done = chat(tmp_path, None, "--base-url", other, "Secret question")
    assert (done.returncode, done.stdout) == (1, "")
    assert f"No gateway answers at {other}" in done.stderr
    port = other.rpartition(":")[2]
    done = chat(tmp_path, None, "Secret question", PORT=port, GPTOSS_UPSTREAM="demo")
    assert done.returncode == 0
    assert "this process asks demo" in done.stderr
    assert not any(b"Secret question" in exchange.body for exchange in simulator.requests)


def test_a_key_comes_from_the_environment_or_the_configuration(keyed: RunningGateway, tmp_path: Path) -> None:
    done = chat(tmp_path, keyed, "Hello")
    assert done.returncode == 1
    assert "GPTOSS_API_KEY" in done.stderr
    for variables in ({"GPTOSS_API_KEY": KEYS[1]}, {"GPTOSS_API_KEYS": KEYS[0]}):
        done = chat(tmp_path, keyed, "Hello", **variables)
        assert done.returncode == 0, done.stderr
        assert KEYS[0] not in done.stdout + done.stderr


def test_what_is_not_utf8_is_asked_with_question_marks(site: Site, tmp_path: Path) -> None:
    site.simulator.script(Answer("Yes."))
    done = chat(tmp_path, site.gateway, "--system", "Be\udcff.", "caf\udce9?")
    assert (done.returncode, done.stdout) == (0, "Yes.\n"), done.stderr
    assert "caf??" in site.simulator.last.text


@pytest.mark.parametrize("key", ["se-cret\nx", "se-cret x", "se-cret\u0142"])
def test_what_cannot_be_a_key_is_told_and_not_shown(keyed: RunningGateway, tmp_path: Path, key: str) -> None:
    done = chat(tmp_path, keyed, "Hello", GPTOSS_API_KEY=key)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The API key has")
    assert "se-cret" not in done.stdout + done.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a file that is full")
@pytest.mark.parametrize("arguments", [[], ["--json"]])
def test_an_answer_that_cannot_be_written_is_told(
    keyed: RunningGateway, tmp_path: Path, arguments: list[str]
) -> None:
    port = keyed.base_url.rpartition(":")[2]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gptoss_api", "chat", "--no-thinking", *arguments, "Hello"],
            stdin=subprocess.DEVNULL,
            stdout=full,
            stderr=subprocess.PIPE,
            env=clean_environment(tmp_path, PORT=port, GPTOSS_API_KEY=KEYS[0]),
            timeout=60,
            check=False,
        )
    assert (done.returncode, done.stderr) == (
        1,
        b"Error: The answer cannot be written: No space left on device.\n",
    )


def test_the_address_of_a_gateway_is_no_misspelt_setting(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", GPTOSS_BASE_URL="http://127.0.0.1:8000/v1")
    assert "is not a setting" not in running.log()


def test_an_error_of_the_upstream_is_shown_harmless(site: Site, tmp_path: Path) -> None:
    site.simulator.script(HttpReply(400, b'{"error": "\\u001b[2Jbad \\u0007"}', "application/json"))
    done = chat(tmp_path, site.gateway, "Hello")
    assert done.returncode == 1
    assert "\x1b" not in done.stderr
    assert "\x07" not in done.stderr


class Impatient(Screen):
    """Somebody presses Ctrl-C again while the first one is being told."""

    pressed = False

    def end(self) -> None:
        if not self.pressed:
            self.pressed = True
            raise KeyboardInterrupt
        super().end()


class Interrupted:
    where = "nobody"

    def ask(self, conversation: Conversation, heard: Heard) -> None:
        heard.answer("One two")
        raise KeyboardInterrupt

    def models(self) -> list[str]:
        return []

    def close(self) -> None: ...


def test_a_second_interrupt_ends_no_chat_and_loses_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    typed = iter(["Count."])

    def message(lines: Lines) -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr(Lines, "message", message)
    conversation = Conversation("gpt-oss-120b")
    Session(Interrupted(), conversation, Impatient()).run()
    assert [said.text for said in conversation.said] == ["Count.", "One two"]
    assert "Stopped." in capsys.readouterr().err
