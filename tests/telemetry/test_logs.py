"""The log: one line for each record, nothing a client can forge, nothing secret."""

import asyncio
import io
import json
import logging
import re
import subprocess
import sys
import threading
from typing import Literal

import pytest

from gptoss_api.telemetry.logs import configure_logging, hide_from_logs, log_request
from tests.secret_forms import FORMS

HOSTILE = "a\nb\r\x1b[31m\u2028\u202e\x00\ud800\x9bend"
REQUEST = {
    "request_id": "req_1",
    "key": "anna",
    "client": "OpenAI/Python 2.8.0",
    "dialect": "chat",
    "method": "POST",
    "path": "/v1/chat/completions",
    "upstream": "demo",
    "model": "gpt-oss-120b",
    "thread": "reused",
    "emulated": "history,tools",
    "repairs": 0,
    "status": 200,
    "outcome": "ok",
    "prompt_tokens": 10,
    "completion_tokens": 0,
    "first_byte_ms": 3.14159,
    "total_ms": 100.0,
}

logger = logging.getLogger("gptoss_api.upstreams.test")


def written(capsys: pytest.CaptureFixture[str]) -> list[str]:
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "" or captured.err.endswith("\n")
    return captured.err.split("\n")[:-1]


def test_a_request_is_one_line_of_text(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    log_request(**REQUEST)  # type: ignore[arg-type]  # the dict's values are of many types
    (line,) = written(capsys)
    assert " INFO    server: request " in line
    assert line.endswith(
        'id=req_1 key=anna client="OpenAI/Python 2.8.0" dialect=chat method=POST path=/v1/chat/completions '
        'upstream=demo model=gpt-oss-120b thread=reused emulated="history,tools" repairs=0 '
        "status=200 outcome=ok tokens_in=10 tokens_out=0 first_byte_ms=3.1 total_ms=100.0"
    )


def test_a_request_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging(form="json")
    log_request(**REQUEST)  # type: ignore[arg-type]  # as above
    log_request(
        request_id="req_2", method="GET", path="/nope", status=404, outcome="not_found", total_ms=0.04
    )
    full, bare = map(json.loads, written(capsys))
    assert full["message"] == "request"
    assert full["level"] == "info"
    assert (full["id"], full["tokens_in"], full["tokens_out"], full["first_byte_ms"]) == ("req_1", 10, 0, 3.1)
    assert "upstream" not in bare
    assert "tokens_in" not in bare
    assert bare["status"] == 404


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.skipif(sys.platform == "win32", reason="consoles there need not understand colours")
@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "dumb"}, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
    ],
)
def test_a_terminal_gets_colours_and_nothing_else_does(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], coloured: bool
) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    told: list[str] = []
    for stream in (Terminal(), io.StringIO()):
        monkeypatch.setattr("sys.stderr", stream)
        configure_logging()
        log_request(**{**REQUEST, "client": HOSTILE})  # type: ignore[arg-type]  # as above
        log_request(**{**REQUEST, "status": 502})  # type: ignore[arg-type]  # as above
        logger.error("failed")
        told += stream.getvalue().splitlines()
    colour = re.compile("\x1b\\[[0-9]+m")
    assert [bool(colour.search(line)) for line in told] == [coloured] * 3 + [False] * 3
    plain = [colour.sub("", line)[24:] for line in told]
    assert plain[:3] == plain[3:]
    if coloured:
        assert "\x1b[32m200\x1b[0m" in told[0]
        assert "\x1b[31m502\x1b[0m" in told[1]
        assert "\x1b[31mERROR  \x1b[0m" in told[2]


class Counted(io.StringIO):
    """What is written to it, call by call."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[str] = []

    def write(self, text: str) -> int:
        self.written.append(text)
        return len(text)


def ended(path: str) -> None:
    log_request(request_id="r", method="GET", path=path, status=200, outcome="ok", total_ms=1)


async def test_requests_that_end_together_are_written_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", output := Counted())
    configure_logging()
    for number in range(3):
        ended(f"/{number}")
    assert output.written == []
    await asyncio.sleep(0)
    (group,) = output.written
    assert [line.split("path=")[1].split()[0] for line in group.splitlines()] == ["/0", "/1", "/2"]
    ended("/next")
    await asyncio.sleep(0)
    assert len(output.written) == 2


async def test_an_error_is_written_at_once_and_after_what_came_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stderr", output := Counted())
    configure_logging()
    ended("/before")
    logger.error("failed")
    assert [line.split(": ", 1)[1].split()[0] for line in "".join(output.written).splitlines()] == [
        "request",
        "failed",
    ]
    await asyncio.sleep(0)
    assert len(output.written) == 1


@pytest.mark.parametrize("end", ["raise SystemExit(3)", "raise ValueError", "loop.stop()"])
def test_the_last_requests_are_in_the_log_however_the_process_ends(end: str) -> None:
    script = f"""
import asyncio
from gptoss_api.telemetry.logs import configure_logging, hide_from_logs, log_request

def last():
    log_request(request_id="last", method="GET", path="/", status=200, outcome="ok", total_ms=1)
    {end}

configure_logging()
loop = asyncio.new_event_loop()
loop.set_exception_handler(lambda loop, context: loop.stop())
loop.call_soon(last)
loop.run_forever()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30)
    assert "id=last" in done.stderr


def test_lines_of_several_threads_are_all_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stderr", output := Counted())
    configure_logging()

    async def serve() -> None:
        for number in range(2_000):
            ended(f"/{number}")
            if number % 5 == 0:
                await asyncio.sleep(0)

    def warn() -> None:
        for number in range(500):
            logger.warning("%d", number)

    threads = [threading.Thread(target=warn) for _ in range(4)]
    for thread in threads:
        thread.start()
    asyncio.run(serve())
    for thread in threads:
        thread.join()
    logging.getLogger().handlers[0].flush()
    lines = "".join(output.written).splitlines()
    assert len(lines) == 4_000
    assert [line for line in lines if "path=" in line] == sorted(
        (line for line in lines if "path=" in line),
        key=lambda line: int(line.split("path=/")[1].split()[0]),
    )


def test_a_secret_that_becomes_known_is_hidden_from_then_on(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    for _ in range(2):
        ended("/late-secret")
    hide_from_logs(["late-secret"])
    ended("/late-secret")
    assert ["late-secret" in line for line in written(capsys)] == [True, True, False]


def test_probes_are_for_debugging_only(capsys: pytest.CaptureFixture[str]) -> None:
    for level, lines in (("info", 0), ("debug", 1)):
        configure_logging(level)  # type: ignore[arg-type]  # one of the levels
        log_request(
            request_id="r", method="GET", path="/healthz", status=200, outcome="ok", total_ms=1, probe=True
        )
        assert len(written(capsys)) == lines


def test_other_libraries_are_heard_from_warnings_on(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("debug")
    logging.getLogger("uvicorn.error").info("chatter")
    logging.getLogger("asyncio").warning("slow")
    logger.debug("ours")
    assert [line.split(": ", 1)[1] for line in written(capsys)] == ["slow", "ours"]


@pytest.mark.parametrize("form", ["text", "json"])
def test_no_client_writes_lines_or_controls_the_terminal(
    form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging("debug", form)  # type: ignore[arg-type]  # one of the forms
    logger.warning("from the site: %s", HOSTILE)
    log_request(request_id="r", method="GET", path=HOSTILE, status=404, outcome="x", total_ms=1)
    lines = written(capsys)
    assert len(lines) == 2
    for line in lines:
        assert line.isprintable()
        assert "end" in line
    if form == "json":
        assert json.loads(lines[1])["path"] == HOSTILE


def test_a_value_with_blanks_cannot_pose_as_another_field(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    log_request(
        request_id="r", method="GET", path='/x" status=200 outcome=ok', status=404, outcome="x", total_ms=1
    )
    (line,) = written(capsys)
    assert 'path="/x\' status=200 outcome=ok" status=404' in line


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_are_in_no_message_field_or_trace(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging("debug", form, secrets=["configured-secret"])  # type: ignore[arg-type]  # one of the forms
    logger.debug("headers %r", {"Cookie": "session=SECRET", "authorization": "Bearer SECRET"})
    log_request(request_id="r", method="GET", path="/configured-secret", status=404, outcome="x", total_ms=1)
    try:
        raise ValueError("session=SECRET\nand configured-secret\x1b[31m")
    except ValueError:
        logger.exception("failed")
    output = "\n".join(written(capsys))
    assert "SECRET" not in output
    assert "configured-secret" not in output.replace('ValueError("session=***', "")
    assert "ValueError" in output


def test_a_trace_cannot_forge_a_line_of_the_log(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    try:
        raise ValueError("x\n2026-01-01T00:00:00.000Z INFO    server: request forged\u2028again")
    except ValueError:
        logger.exception("failed")
    first, *rest = written(capsys)
    assert first.endswith(" ERROR   upstreams.test: failed")
    assert all(row.startswith("    | ") for row in rest)
    assert rest[-2].endswith("forged")


def test_a_line_that_cannot_be_formatted_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    configure_logging()
    logger.warning("%d %d", "SECRET")
    assert written(capsys) == []


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize("secret", FORMS)
def test_no_form_of_a_secret_is_logged(
    secret: str, form: Literal["text", "json"], capsys: pytest.CaptureFixture[str]
) -> None:
    configure_logging(form=form)
    log_request(**REQUEST | {"path": f"/v1?{secret}"})  # type: ignore[arg-type]  # as above
    try:
        raise ValueError(secret)
    except ValueError:
        logger.exception("it said %s", secret)
    shown = "\n".join(written(capsys))
    assert "it said" in shown
    assert "***" in shown
    assert "VALUE" not in shown
