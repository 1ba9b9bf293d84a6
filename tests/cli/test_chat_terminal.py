"""``gptoss-api chat`` as a person has it: at a real terminal, against a running gateway and without one."""

import json
import stat
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Site
from tests.simulator import Answer, Simulator, Stall

if sys.platform == "win32":
    pytest.skip("terminals of POSIX", allow_module_level=True)

from tests.cli.terminal import Terminal, at_a_terminal

DIM, PLAIN = "\x1b[2m", "\x1b[0m"
CTRL_C, CTRL_D, UP = "\x03", "\x04", "\x1b[A"


def address(site: Site) -> dict[str, str]:
    return {"GPTOSS_BASE_URL": site.gateway.base_url}


def begun(terminal: Terminal) -> None:
    terminal.sees("Ctrl-D ends.")
    terminal.sees("> ")


def test_a_conversation(site: Site, tmp_path: Path) -> None:
    site.simulator.script(
        Answer("Hello there.", reasoning=["They greet."]), Answer("Ada, you said."), Answer("Ada indeed.")
    )
    with at_a_terminal(tmp_path, "chat", **address(site)) as terminal:
        begun(terminal)
        terminal.types("I am Ada.\r")
        assert f"{DIM}They greet.{PLAIN}" in terminal.sees("Hello there.")
        terminal.sees("> ")
        terminal.types("Who am I?\r")
        terminal.sees("Ada, you said.")
        assert "I am Ada." in site.simulator.last.said
        terminal.sees("> ")
        terminal.types("/retry\r")
        terminal.sees("Ada indeed.")
        assert "Ada, you said." not in site.simulator.last.text
        terminal.sees("> ")
        # The history, by line editing: the question before the command.
        site.simulator.script(Answer("Again Ada."))
        terminal.types(UP + UP + "\r")
        terminal.sees("Again Ada.")
        assert site.simulator.last.text.rstrip().endswith("Who am I?")
        terminal.sees("> ")
        terminal.types(CTRL_D)
        assert terminal.ends() == 0
    history = tmp_path / "gptoss-api" / "chat-history"
    assert stat.S_IMODE(history.stat().st_mode) == 0o600
    assert "Who am I?" in history.read_text()
    with at_a_terminal(tmp_path, "chat", **address(site)) as terminal:
        site.simulator.script(Answer("Ada for ever."))
        begun(terminal)
        terminal.types(UP + "\r")
        terminal.sees("Ada for ever.")


def test_ctrl_c_stops_the_answer_and_not_the_program(site: Site, tmp_path: Path) -> None:
    site.simulator.script(
        Answer("One two three four five six.", at={"half": [Stall()]}), Answer("Seven, then.")
    )
    with at_a_terminal(tmp_path, "chat", "--no-thinking", **address(site)) as terminal:
        begun(terminal)
        terminal.types("Count.\r")
        terminal.sees("One two")
        terminal.types(CTRL_C)
        terminal.sees("Stopped.")
        terminal.sees("> ")
        terminal.types("half a line")
        terminal.sees("half a line")
        # Python's readline notices no signal between what it shows and its wait for the next key.
        time.sleep(0.2)
        terminal.types(CTRL_C)
        terminal.sees("> ")
        terminal.types("Go on.\r")
        terminal.sees("Seven, then.")
        # What was seen of the answer is part of the conversation.
        assert "One two" in site.simulator.last.said
        assert "half a line" not in site.simulator.last.said
        terminal.sees("> ")
        terminal.types("/exit\r")
        assert terminal.ends() == 0


def test_commands(site: Site, tmp_path: Path) -> None:
    kept = tmp_path / "kept.md"
    with at_a_terminal(tmp_path, "chat", **address(site)) as terminal:

        def types(text: str, seen: str) -> None:
            terminal.types(f"{text}\r")
            terminal.sees(seen)
            terminal.sees("> ")

        begun(terminal)
        types("/help", "// begins with one slash")
        types("/hlep", "Did you mean /help?")
        types("/retry", "Nothing was asked yet")
        types(f"/save {kept}", "Nothing was said yet")
        types("/model", "gpt-oss-120b, gpt-oss-20b")
        types("/model gpt-9", "There is no model gpt-9")
        types("/model 20b", "Answers come from gpt-oss-20b.")
        types("/effort extreme", "one of low, medium, high")
        types("/effort high", "The effort is high.")
        types("/system Be a pirate.", "instructed: Be a pirate.")
        site.simulator.script(Answer("Arr.\x1b[2J"))
        types("//tmp is what?", "Arr.␛[2J")
        asked = site.simulator.last
        assert (asked.model, asked.effort) == ("gpt-oss-20b", "high")
        assert "Be a pirate." in asked.text
        assert asked.text.rstrip().endswith("/tmp is what?")
        types(f"/save {kept}", "Saved in")
        types(f"/save {kept}", "Saved in")
        types(f"/save {tmp_path}/kept.json", "Saved in")
        types(f"/save {tmp_path}/gptoss-api/chat-history", "is there already")
        types(f"/save {tmp_path}/no/where", "Error: ")
        types("/system off", "no instructions")
        types("/new", "A new conversation")
        site.simulator.script(Answer("Fresh."))
        types("Hello", "Fresh.")
        assert "Arr." not in site.simulator.last.said
        # The tab key completes commands.
        types("/ef\tlow", "The effort is low.")
    assert kept.read_text() == (
        "## System\n\nBe a pirate.\n\n## You\n\n/tmp is what?\n\n## gpt-oss-20b\n\nArr.␛[2J\n"
    )
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    saved = json.loads((tmp_path / "kept.json").read_text())
    assert [message["role"] for message in saved["messages"]] == ["system", "user", "assistant"]


def test_messages_of_several_lines(site: Site, tmp_path: Path) -> None:
    site.simulator.script(*(Answer(f"Read {number}.") for number in range(3)))
    with at_a_terminal(tmp_path, "chat", "--no-thinking", **address(site)) as terminal:
        begun(terminal)
        for number, (typed, meant) in enumerate(
            [
                ("one\\\rtwo\r", "one\ntwo"),
                ('"""one\r\rtwo"""\r', "one\n\ntwo"),
                # As terminals mark what is pasted.
                ("\x1b[200~def f():\n    return 1\x1b[201~\r", "def f():\n    return 1"),
            ]
        ):
            terminal.types(typed)
            terminal.sees(f"Read {number}.")
            assert meant in site.simulator.last.text
            terminal.sees("> ")


def test_a_failure_is_told_and_the_question_can_be_asked_again(site: Site, tmp_path: Path) -> None:
    site.simulator.script(*["s17_html_502"] * 3, Answer("Here again."))
    with at_a_terminal(tmp_path, "chat", "--no-thinking", **address(site)) as terminal:
        begun(terminal)
        terminal.types("Anybody?\r")
        terminal.sees("Error: ")
        terminal.sees("> ")
        terminal.types("/retry\r")
        terminal.sees("Here again.")
        assert site.simulator.last.text.count("Anybody?") == 1


@pytest.mark.parametrize("variables", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colours_where_none_are_wanted(site: Site, tmp_path: Path, variables: dict[str, str]) -> None:
    site.simulator.script(Answer("Plain.", reasoning=["Thinking."]))
    with at_a_terminal(tmp_path, "chat", "Hello", **address(site), **variables) as terminal:
        assert terminal.ends() == 0
    assert terminal.shown.replace("\r\n", "\n") == "Thinking.\n\nPlain.\n"


def test_in_this_process_it_is_the_same(simulator: Simulator, tmp_path: Path) -> None:
    simulator.script(
        Answer("One two three four five six.", at={"half": [Stall()]}),
        Answer("Then seven."),
        Answer("Whole."),
    )
    variables = {
        "PORT": "0",
        "GPTOSS_CHATKIT_URL": simulator.chatkit_url,
        "GPTOSS_COOKIE": simulator.cookie,
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    with at_a_terminal(tmp_path, "chat", "--no-thinking", **variables) as terminal:
        begun(terminal)
        terminal.types("Count.\r")
        terminal.sees("One two")
        terminal.types(CTRL_C)
        terminal.sees("Stopped.")
        assert simulator.last.outcome in ("abandoned", "pending")
        terminal.sees("> ")
        terminal.types("Go on.\r")
        terminal.sees("Then seven.")
        assert "One two" in simulator.last.said
        terminal.sees("> ")
        terminal.types("/model\r")
        terminal.sees("gpt-oss-120b, gpt-oss-20b")
        terminal.sees("> ")
        terminal.types(CTRL_D)
        assert terminal.ends() == 0
    with at_a_terminal(tmp_path, "chat", "--no-thinking", "Once", **variables) as terminal:
        simulator.script(Answer("One two three four.", at={"half": [Stall()]}))
        terminal.sees("Whole.")
        assert terminal.ends() == 0
    with at_a_terminal(tmp_path, "chat", "--no-thinking", "Once", **variables) as terminal:
        terminal.sees("One two")
        terminal.types(CTRL_C)
        assert terminal.ends() == 130


def test_a_gateway_with_keys_asks_for_one_hidden(tmp_path: Path) -> None:
    from tests.conftest import running_gateway

    with (
        running_gateway(tmp_path, GPTOSS_UPSTREAM="demo", GPTOSS_API_KEYS="s3cret-key-0123456789") as keyed,
        at_a_terminal(tmp_path, "chat", "Hello", GPTOSS_BASE_URL=keyed.base_url) as terminal,
    ):
        terminal.sees("This gateway wants an API key: ")
        terminal.types("wr0ng-key-0123456789\r")
        terminal.sees("Error: ")
        terminal.sees("This gateway wants an API key: ")
        terminal.types("s3cret-key-0123456789\r")
        terminal.sees("no model is behind this answer")
        assert terminal.ends() == 0
        assert "s3cret" not in terminal.shown
        assert "wr0ng" not in terminal.shown
