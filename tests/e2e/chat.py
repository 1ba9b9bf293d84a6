"""One chat completion, streamed or not, read into the same shape without any SDK's forgiveness."""

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx2 as httpx

Json = dict[str, Any]

# One for all: making a client reads the machine's certificates, which takes longer than most answers.
CLIENT = httpx.Client(verify=False)


@dataclass(slots=True)
class Outcome:
    """What the client got.

    ``error`` is the ``error`` object of a body or of a stream's last event, ``finish_reason`` that of
    the only choice, ``done`` whether ``[DONE]`` closed the stream, ``arrivals`` the monotonic times of
    text in a stream.
    """

    status: int
    headers: httpx.Headers
    text: str = ""
    reasoning: str = ""
    finish_reason: str | None = None
    error: Json | None = None
    done: bool = False
    chunks: list[Json] = field(default_factory=list)
    arrivals: list[float] = field(default_factory=list)


def ask(
    base_url: str,
    prompt: str | Sequence[Json] = "hello",
    *,
    stream: bool,
    model: str = "gpt-oss-120b",
    timeout: float = 30.0,
    **parameters: Any,
) -> Outcome:
    """Send a prompt or whole messages to ``/v1/chat/completions`` and read the answer to its end."""
    messages = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    body = {"model": model, "messages": messages, "stream": stream, **parameters}
    url = f"{base_url}/v1/chat/completions"
    with CLIENT.stream("POST", url, json=body, timeout=timeout) as response:
        outcome = Outcome(response.status_code, response.headers)
        if response.headers["content-type"].startswith("text/event-stream"):
            _read_stream(response, outcome)
        else:
            _read_body(json.loads(response.read()), outcome)
    return outcome


def _read_body(body: Json, outcome: Outcome) -> None:
    outcome.error = body.get("error")
    for choice in body.get("choices", ()):
        _add(choice["message"], outcome)
        outcome.finish_reason = choice["finish_reason"]


def _read_stream(response: httpx.Response, outcome: Outcome) -> None:
    for line in response.iter_lines():
        if not line.startswith("data: "):
            assert line == "" or line.startswith(":"), line
            continue
        assert not outcome.done, "something follows [DONE]"
        if line == "data: [DONE]":
            outcome.done = True
            continue
        chunk = json.loads(line[6:])
        assert outcome.error is None, "something follows an error"
        outcome.error = chunk.get("error")
        outcome.chunks.append(chunk)
        for choice in chunk.get("choices", ()):
            assert outcome.finish_reason is None, "something follows the finish reason"
            if choice["delta"].get("content"):
                outcome.arrivals.append(time.monotonic())
            _add(choice["delta"], outcome)
            outcome.finish_reason = choice["finish_reason"]


def _add(piece: Json, outcome: Outcome) -> None:
    outcome.text += piece.get("content") or ""
    outcome.reasoning += piece.get("reasoning") or piece.get("reasoning_content") or ""
