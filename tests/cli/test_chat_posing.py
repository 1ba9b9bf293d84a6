"""``gptoss-api chat`` and whatever says of itself that it is a gateway: each of its answers is one line."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gptoss_api.cli.address import NoAddress, gateway_address
from tests.cli.conftest import Run, clean_environment
from tests.conftest import free_port

MODELS = b'{"object": "list", "data": [{"id": "gpt-oss-120b"}]}'


class Poser(ThreadingHTTPServer):
    """Answers as a gateway does at its index, and as the test says with models and with a turn."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.models = (200, MODELS)
        self.turn = (200, b"")
        self.index: bytes = b""
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Poser

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.path.endswith("/v1/models"):
            self._answer(*self.server.models)
        else:
            self._answer(200, self.server.index)

    def do_POST(self) -> None:
        self.server.asked.append(self.path)
        self.rfile.read(int(self.headers["content-length"]))
        self._answer(*self.server.turn)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@pytest.fixture(scope="module")
def serving() -> Iterator[Poser]:
    with Poser() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


@pytest.fixture
def poser(serving: Poser) -> Poser:
    serving.models, serving.turn = (200, MODELS), (200, b"")
    serving.index = json.dumps({"name": "gptoss-api", "endpoints": []}).encode()
    serving.asked.clear()
    return serving


@pytest.mark.parametrize(
    "event",
    [
        "5",
        "[]",
        "null",
        '"text"',
        "[" * 2_000 + "]" * 2_000,
        "{",
        '{"error": 5}',
        '{"error": {"message": {"a": 1}}}',
        '{"error": "two\\nlines \\u001b[2J"}',
        '{"choices": 5}',
        '{"choices": [5]}',
        '{"choices": [{"delta": 5}]}',
        '{"choices": [{"delta": {"content": 5}}]}',
        '{"choices": [{"delta": {"content": ["a"]}}]}',
        '{"choices": [{"delta": {"reasoning": {"a": 1}}}]}',
        '{"choices": [{"finish_reason": {"a": 1}}]}',
        '{"model": 5, "choices": []}',
        '{"x_gptoss": {"notes": 5}}',
        '{"usage": 5}',
    ],
)
def test_a_stream_of_anything_else_ends_in_one_line(poser: Poser, run_here: Run, event: str) -> None:
    poser.turn = (200, f"data: {event}\n\n".encode())
    done = run_here("chat", "--base-url", poser.url, "Hello")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1
    assert len(done.stderr) < 700
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b"5"), (500, b"[]"), (404, b"<html>"), (400, b'{"error": 5}'), (302, b""), (200, b"no events")],
)
def test_an_answer_of_another_kind_ends_in_one_line(
    poser: Poser, run_here: Run, status: int, body: bytes
) -> None:
    poser.turn = (status, body)
    done = run_here("chat", "--base-url", poser.url, "Hello")
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "models", [b"5", b"[]", b'{"data": 5}', b'{"data": [5]}', b'{"data": [{"id": 5}]}', b"["]
)
def test_a_list_of_anything_else_keeps_nobody_from_asking(poser: Poser, run_here: Run, models: bytes) -> None:
    poser.models = (200, models)
    poser.turn = (200, b'data: {"choices": [{"delta": {"content": "Yes."}, "finish_reason": "stop"}]}\n\n')
    done = run_here("chat", "--base-url", poser.url, "Hello")
    assert (done.returncode, done.stdout) == (0, "Yes.\n"), done.stderr


@pytest.mark.parametrize("index", [b"5", b"[" * 2_000 + b"]" * 2_000, b'{"name": ["gptoss-api"]}', b"\xff"])
def test_an_index_of_anything_else_is_no_gateway(poser: Poser, run_here: Run, index: bytes) -> None:
    poser.index = index
    done = run_here("chat", "--base-url", poser.url, "Hello")
    assert done.returncode == 1
    assert done.stderr == (
        f"Error: No gateway answers at {poser.url}. Start one with 'serve', or leave out --base-url.\n"
    )


@pytest.mark.parametrize("key", ["wr0ng-key-0123456789", "s3cret key", "s3cret\u0142"])
def test_a_key_that_opens_nothing_is_told_before_anything_is_asked(
    poser: Poser, run_here: Run, key: str
) -> None:
    poser.models = (401, b'{"error": {"message": "No such key.", "code": "invalid_api_key"}}')
    done = run_here("chat", "--base-url", poser.url, "Hello", GPTOSS_API_KEY=key)
    assert done.returncode == 1
    assert done.stderr.endswith("Set GPTOSS_API_KEY, or type it after --key.\n")
    assert key not in done.stderr
    assert not any(path.endswith("/chat/completions") for path in poser.asked)


@pytest.mark.parametrize(
    "path",
    ["", "/", "/v1", "/v1/", "/v1/chat/completions", "/v1/responses", "/chat/completions", "/ui", "/ui/#chat",
     "/ui?x=1", "/docs", "/healthz", "/api", "/api/chat", "/v1/v1/", "/v1/models"],
)  # fmt: skip
@pytest.mark.parametrize("where", ["http://127.0.0.1:8000", "https://gateway.example/behind/a/proxy"])
def test_what_stands_behind_an_address_is_left_out(where: str, path: str) -> None:
    assert gateway_address(f" {where}{path}\n", "--base-url") == where


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("", "--base-url is an address such as http://127.0.0.1:8000/v1."),
        ("localhost:8000", "did you mean http://localhost:8000?"),
        ("gateway.example/v1", "did you mean http://gateway.example/v1?"),
        ("http://127.0.0.1:99999", "is an address such as"),
        ("http://[::1", "is an address such as"),
        ("http://a b/", "is an address such as"),
        ("ftp://127.0.0.1", "is an address such as"),
        ("http://u:p4ss@127.0.0.1:1", "holds no password"),
        ("http://127.0.0.1:1/v1?key=x", "give http://127.0.0.1:1/v1."),
        ("http://127.0.0.1:1/a?key=x", "has a question mark; give http://127.0.0.1:1/a/v1."),
        ("http://127.0.0.1:1/a/v1/frobnicate", "give http://127.0.0.1:1/a/v1."),
    ],
)
def test_what_is_no_address_is_told_with_what_to_give(address: str, told: str) -> None:
    with pytest.raises(NoAddress) as refused:
        gateway_address(address, "--base-url")
    assert told in str(refused.value)
    assert "p4ss" not in str(refused.value)


def test_an_address_is_named_by_who_gave_it(run_here: Run, tmp_path: Path) -> None:
    for given in ((), ("--base-url", "nowhere")):
        done = run_here("chat", *given, "Hello", GPTOSS_BASE_URL="nowhere:1")
        assert done.returncode == 2
        assert ("--base-url is an" if given else "GPTOSS_BASE_URL is an") in done.stderr
    nobody = f"http://127.0.0.1:{free_port()}"
    done = run_here("chat", "Hello", GPTOSS_BASE_URL=nobody)
    assert done.stderr.endswith("or leave out GPTOSS_BASE_URL.\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a session without a terminal")
def test_a_key_is_asked_for_at_a_terminal_only(poser: Poser, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gptoss_api", "chat", "--key", "--base-url", poser.url, "Hello"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=clean_environment(tmp_path),
        start_new_session=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == b"Error: There is no terminal to ask for the API key; set GPTOSS_API_KEY.\n"
    assert poser.asked == []
