"""The command line as a process of its own."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner

from gptoss_api.cli import main

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def clean_environment(home: Path, **variables: str) -> dict[str, str]:
    """Nothing of the developer's own settings, and an empty home."""
    return {
        **{name: os.environ[name] for name in ("PATH", "SYSTEMROOT", "TMPDIR") if name in os.environ},
        "HOME": str(home),
        "APPDATA": str(home),
        "LOCALAPPDATA": str(home),
        "XDG_CONFIG_HOME": str(home),
        **variables,
    }


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs ``gptoss-api`` with arguments, standard input and environment to its end."""

    def start(*arguments: str, stdin: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "gptoss_api", *arguments],
            input=stdin,
            env=clean_environment(tmp_path, **variables),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    return start


@pytest.fixture
def run_here(tmp_path: Path) -> Run:
    """What ``run`` does, in this process and in a tenth of the time."""

    def start(*arguments: str, stdin: str = "", **variables: str) -> "subprocess.CompletedProcess[str]":
        clean = clean_environment(tmp_path, **variables)
        env = {name: clean.get(name) for name in {*os.environ, *clean}}
        result = CliRunner().invoke(main, arguments, input=stdin, env=env)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)

    return start


@contextmanager
def answering(status: int, body: bytes, date: str | None = None) -> Iterator[str]:
    """A server that answers everything so, and the address of something at it; its ``date`` may be wrong."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return date or super().date_time_string(timestamp)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/oauth/userinfo"
        finally:
            server.shutdown()
            thread.join()
