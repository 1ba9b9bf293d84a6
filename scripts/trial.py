"""Asks an installed gptoss-api in each of its dialects; ``release.py`` runs it with that one's Python.

Arguments name modules that must import as well.
"""

import importlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from websockets.sync.client import connect

MODEL: Final = "gpt-oss-20b"
MESSAGES: Final = [{"role": "user", "content": "Hello"}]
# Seconds that a start, an answer and a stop may take.
PATIENCE: Final = 60


@contextmanager
def gateway() -> Iterator[str]:
    """The address of a gateway that serves its demo, and ends as it should."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = (
        Path(sys.executable).with_name("gptoss-api"),
        "serve",
        "--upstream",
        "demo",
        "--port",
        str(port),
    )
    process = subprocess.Popen(
        command, env={**os.environ, "GPTOSS_STATE": "memory://"}, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    told = ""
    try:
        while f"127.0.0.1:{port}" not in told:
            line = process.stderr.readline()
            assert line, told
            told += line
        yield f"127.0.0.1:{port}"
    finally:
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, told + rest


def reply(address: str, path: str, body: object = None) -> str:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://{address}{path}", data, {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as response:
        text: str = response.read().decode()
    return text


def whole(address: str, path: str, body: dict[str, Any]) -> dict[str, Any]:
    answer: dict[str, Any] = json.loads(reply(address, path, body))
    return answer


def main() -> None:
    for module in sys.argv[1:]:
        importlib.import_module(module)
    chat = {"model": MODEL, "messages": MESSAGES}
    with gateway() as address:
        assert MODEL in reply(address, "/v1/models")
        answer = whole(address, "/v1/chat/completions", chat)
        assert answer["choices"][0]["message"]["content"]
        assert answer["usage"]["prompt_tokens"] > 0
        assert reply(address, "/v1/chat/completions", chat | {"stream": True}).endswith("data: [DONE]\n\n")
        schema = {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}
        form = {"type": "json_schema", "json_schema": {"name": "said", "schema": schema}}
        formed = whole(address, "/v1/chat/completions", chat | {"response_format": form})
        assert "text" in json.loads(formed["choices"][0]["message"]["content"])
        asked = {"model": MODEL, "input": "Hello"}
        assert whole(address, "/v1/responses", asked)["status"] == "completed"
        with connect(f"ws://{address}/v1/responses") as socket_:
            socket_.send(json.dumps({"type": "response.create", **asked}))
            assert any(re.search('"type": ?"response.completed"', str(event)) for event in socket_)
        assert whole(address, "/v1/messages", chat | {"max_tokens": 1000})["content"]
        assert whole(address, "/api/chat", chat | {"stream": False})["done"]


if __name__ == "__main__":
    main()
