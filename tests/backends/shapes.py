"""How each server of gpt-oss writes an answer (docs/design/servers.md, "Comparison")."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from gptoss_api.upstreams.openai_compatible import PROFILES
from tests.upstreams.chatkit.transcripts import Json

USAGE = {
    "prompt_tokens": 40,
    "completion_tokens": 12,
    "total_tokens": 52,
    "completion_tokens_details": {"reasoning_tokens": 5},
    "prompt_tokens_details": {"cached_tokens": 8},
}
TIMINGS = {"cache_n": 8, "prompt_n": 32, "predicted_n": 12, "predicted_per_second": 90.5}


@dataclass(frozen=True)
class Answer:
    """What the model says: ``calls`` are (name, arguments' JSON text)."""

    reasoning: str = "They greet me. "
    content: str = "Hello there."
    calls: tuple[tuple[str, str], ...] = ()
    finish: str | None = "stop"
    usage: bool = True


@dataclass(frozen=True)
class Shape:
    """The habits of one server.

    ``usage`` is where the token counts stand, ``calls`` how arguments come; ``nulls`` writes members without
    a value, ``indexed`` numbers calls properly, ``extra`` is added to every choice.
    """

    reasoning: tuple[str, ...] = ("reasoning",)
    usage: Literal["own chunk", "finish chunk", "x_groq", "timings"] = "own chunk"
    calls: Literal["whole", "pieces", "object"] = "pieces"
    role_always: bool = False
    nulls: bool = False
    indexed: bool = True
    with_ids: bool = True
    comments: tuple[str, ...] = ()
    done: bool = True
    extra: Json = field(default_factory=dict)

    def events(self, answer: Answer) -> Iterator[Json | str]:
        yield from self.comments
        yield self._chunk({"role": "assistant", "content": ""})
        for piece in _halves(answer.reasoning):
            yield self._chunk(self._reasoning(piece))
            yield from self.comments
        for piece in _halves(answer.content):
            yield self._chunk({"content": piece})
        for index, (name, arguments) in enumerate(answer.calls):
            for delta in self._call(index, name, arguments):
                yield self._chunk({"tool_calls": [delta]})
        if answer.finish is not None:
            yield self._finish(answer)
        if self.usage == "own chunk" and answer.usage:
            yield {"id": "c", "object": "chat.completion.chunk", "choices": [], "usage": USAGE}
        if self.done:
            yield "data: [DONE]"

    def body(self, answer: Answer) -> Json:
        """The same answer, not streamed."""
        message: Json = {"role": "assistant", "content": answer.content or None}
        if answer.reasoning:
            message |= self._reasoning(answer.reasoning)
        if answer.calls:
            message["tool_calls"] = [
                {"id": f"id{index}", "type": "function", "function": {"name": name, "arguments": arguments}}
                for index, (name, arguments) in enumerate(answer.calls)
            ]
        choice = {"index": 0, "message": message, "finish_reason": answer.finish}
        usage: Json = {"timings": TIMINGS} if self.usage == "timings" else {"usage": USAGE}
        return {"id": "c", "object": "chat.completion", "choices": [choice]} | (usage if answer.usage else {})

    def _reasoning(self, text: str) -> Json:
        written: Json = {}
        for name in self.reasoning:
            written[name] = (
                [{"type": "reasoning.text", "text": text}] if name == "reasoning_details" else text
            )
        return written

    def _call(self, index: int, name: str, arguments: str) -> Iterator[Json]:
        first: Json = {"type": "function", "function": {"name": name}}
        if self.indexed:
            first["index"] = index
        if self.with_ids:
            first["id"] = f"id{index}"
        if self.calls == "object":
            yield first | {"function": {"name": name, "arguments": json.loads(arguments)}}
        elif self.calls == "whole":
            yield first | {"function": {"name": name, "arguments": arguments}}
        else:
            yield first | {"function": {"name": name, "arguments": ""}}
            for piece in _halves(arguments):
                following: Json = {"function": {"arguments": piece}}
                yield following | ({"index": index} if self.indexed else {})

    def _finish(self, answer: Answer) -> Json:
        chunk = self._chunk({}, answer.finish)
        match self.usage if answer.usage else "":
            case "finish chunk":
                chunk["usage"] = USAGE
            case "x_groq":
                chunk["x_groq"] = {"id": "req_1", "usage": USAGE}
            case "timings":
                chunk["timings"] = TIMINGS
        return chunk

    def _chunk(self, delta: Json, finish: str | None = None) -> Json:
        whole: Json = dict(delta)
        if self.role_always:
            whole = {"role": "assistant", "content": ""} | whole
        if self.nulls:
            whole = {"role": None, "content": None, "reasoning_content": None, "tool_calls": None} | whole
        choice: Json = {"index": 0, "delta": whole, "finish_reason": finish, "logprobs": None} | self.extra
        return {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [choice]}


def _halves(text: str) -> list[str]:
    middle = len(text) // 2
    return [piece for piece in (text[:middle], text[middle:]) if piece]


_PARTICULAR: dict[str, Shape] = {
    "huggingface": Shape(reasoning=("reasoning_content",)),
    "huggingface by groq": Shape(usage="x_groq", extra={"channel": "analysis"}),
    "ollama": Shape(calls="whole"),
    "ollama before 2026-08": Shape(calls="whole", role_always=True, usage="finish chunk"),
    "llamacpp": Shape(reasoning=("reasoning_content",), comments=(": ping",)),
    "llamacpp with timings only": Shape(reasoning=("reasoning_content",), usage="timings"),
    "vllm": Shape(),
    "vllm 0.12": Shape(reasoning=("reasoning", "reasoning_content")),
    "vllm 0.10": Shape(reasoning=("reasoning_content",)),
    "lmstudio": Shape(calls="pieces"),
    "sglang": Shape(
        reasoning=("reasoning_content",), nulls=True, extra={"matched_stop": None}, usage="own chunk"
    ),
    "groq": Shape(usage="x_groq", extra={"channel": "analysis"}),
    "openrouter": Shape(
        reasoning=("reasoning", "reasoning_details"),
        comments=(": OPENROUTER PROCESSING",),
        usage="finish chunk",
    ),
    "openrouter details only": Shape(reasoning=("reasoning_details",)),
    "cerebras": Shape(usage="finish chunk"),
    "together": Shape(usage="finish chunk"),
    "cloudflare": Shape(reasoning=("reasoning_content",), calls="object"),
    "generic": Shape(reasoning=("reasoning_text",), indexed=False, with_ids=False, done=False),
    "generic, thinking": Shape(reasoning=("thinking",), calls="whole", indexed=False),
}

# Kinds of which nothing particular is known write as most do.
SHAPES = {kind: Shape() for kind in PROFILES if kind not in _PARTICULAR} | _PARTICULAR


def kind_of(shape: str) -> Any:
    """The profile whose server has this shape: ``vllm 0.12`` is a vLLM."""
    return shape.replace(",", " ").split()[0]
