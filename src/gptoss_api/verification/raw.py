"""What a server itself said, read as a plain client of OpenAI's API reads it: nothing is mended.

Sans-I/O: the body of one exchange goes in. Whatever such a client could not use is counted as ``unreadable``.
"""

import json
from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, field

from ..core.errors import UpstreamFailure
from ..core.result import Collector
from ..text.sse import SseDecoder, Stray

_LEAKS: Final = ("<|channel|>", "<|message|>", "<|start|>", "<|end|>", "<|call|>", "<|constrain|>")
# Under these names servers of Chat Completions give the chain of thought.
_THOUGHTS: Final = ("reasoning_content", "reasoning")
_ENDED: Final = ("response.completed", "response.incomplete")


class RawCall(Struct, frozen=True):
    """A call with its arguments as text, whatever that is."""

    name: str
    arguments: str


class Counts(Struct, frozen=True):
    """The tokens that a server reports; a number is ``None`` where it does not, or says no number."""

    prompt: int | None = None
    completion: int | None = None
    reasoning: int | None = None


class RawAnswer(Struct):
    """One answer. ``usage`` is ``None`` where none was reported, ``finish_reason`` "" where it has no end."""

    text: str = ""
    reasoning: str = ""
    calls: list[RawCall] = field(default_factory=list)
    finish_reason: str = ""
    usage: Counts | None = None
    unreadable: int = 0

    @property
    def leaks(self) -> bool:
        """Whether control tokens of the model's own format stand where clients read."""
        shown = (self.text, *(call.name for call in self.calls))
        return any(leak in text for leak in _LEAKS for text in shown)


def read_raw(url: str, body: bytes) -> RawAnswer | None:
    """The answer in ``body``, which came from ``url``; ``None`` where its protocol has no such answers."""
    path = url.partition("?")[0].rstrip("/")
    if path.endswith("/chat/completions"):
        return _read(body, _ChatReader())
    if path.endswith("/responses"):
        return _read(body, _ResponsesReader())
    return None


def delivered(collector: Collector) -> RawAnswer:
    """The answer that events make, as a client of the gateway gets it."""
    choice, usage = collector.choices[0], collector.usage
    return RawAnswer(
        text=choice.text or choice.refusal,
        reasoning=choice.reasoning,
        calls=[RawCall(call.name, call.arguments) for call in choice.tool_calls],
        finish_reason=choice.finish_reason or "",
        usage=None
        if usage is None
        else Counts(usage.prompt_tokens, usage.completion_tokens, usage.reasoning_tokens),
    )


def _read(body: bytes, reader: "_ChatReader | _ResponsesReader") -> RawAnswer:
    for payload in _payloads(body):
        if payload.strip() == b"[DONE]":
            break
        try:
            if type(payload) is Stray:
                raise ValueError
            value = json.loads(payload)
            if not isinstance(value, dict):
                raise ValueError
        except (ValueError, RecursionError):
            reader.answer.unreadable += 1
            continue
        reader.event(value)
    return reader.finished()


def _payloads(body: bytes) -> list[bytes]:
    if body.lstrip().startswith(b"{"):
        return [body]
    decoder = SseDecoder()
    try:
        return decoder.feed(body) + decoder.finish()
    except UpstreamFailure:
        return [b"too long for an event"]


class _Pieces(Struct):
    name: str = ""
    arguments: str = ""


class _ChatReader:
    """Adds up the chunks of one chat completion as OpenAI's own clients do: calls by their index."""

    def __init__(self) -> None:
        self.answer = RawAnswer()
        self._calls: list[_Pieces] = []
        self._by_index: dict[int, _Pieces] = {}

    def event(self, value: Mapping[str, Any]) -> None:
        if isinstance(usage := value.get("usage"), Mapping):
            self.answer.usage = _counts(
                usage, "prompt_tokens", "completion_tokens", "completion_tokens_details"
            )
        choices = value.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if isinstance(choice, Mapping):
                self._choice(choice)

    def finished(self) -> RawAnswer:
        self.answer.calls = [RawCall(call.name, call.arguments) for call in self._calls]
        return self.answer

    def _choice(self, choice: Mapping[str, Any]) -> None:
        answer = self.answer
        delta = choice.get("delta") or choice.get("message")
        if isinstance(delta, Mapping):
            answer.text += _text(delta.get("content"))
            answer.reasoning += next(filter(None, (_text(delta.get(name)) for name in _THOUGHTS)), "")
            calls = delta.get("tool_calls")
            for place, call in enumerate(calls if isinstance(calls, list) else ()):
                if isinstance(call, Mapping):
                    self._call(call, place)
        answer.finish_reason = _text(choice.get("finish_reason")) or answer.finish_reason

    def _call(self, call: Mapping[str, Any], place: int) -> None:
        index = call.get("index")
        function = call.get("function")
        function = function if isinstance(function, Mapping) else {}
        key = index if isinstance(index, int) else place
        known = self._by_index.get(key)
        if known is None or (not isinstance(index, int) and function.get("name")):
            known = self._by_index[key] = _Pieces()
            self._calls.append(known)
        known.name += _text(function.get("name"))
        arguments = function.get("arguments")
        if arguments is not None and not isinstance(arguments, str):
            # Clients take it for text, and fail.
            self.answer.unreadable += 1
        known.arguments += _text(arguments)


class _ResponsesReader:
    """Reads the items of one response, as they are when each is done."""

    def __init__(self) -> None:
        self.answer = RawAnswer()
        self._items: list[Any] = []

    def event(self, value: Mapping[str, Any]) -> None:
        kind = value.get("type")
        if kind == "response.output_item.done":
            self._items.append(value.get("item"))
        elif kind in _ENDED or value.get("object") == "response":
            response = value.get("response", value)
            if isinstance(response, Mapping):
                self._end(response)

    def finished(self) -> RawAnswer:
        answer = self.answer
        for item in self._items:
            if not isinstance(item, Mapping):
                continue
            match item.get("type"):
                case "message":
                    answer.text += _parts(item.get("content"))
                case "reasoning":
                    answer.reasoning += _parts(item.get("content")) or _parts(item.get("summary"))
                case "function_call":
                    answer.calls.append(RawCall(_text(item.get("name")), _text(item.get("arguments"))))
        if answer.finish_reason == "stop" and answer.calls:
            answer.finish_reason = "tool_calls"
        return answer

    def _end(self, response: Mapping[str, Any]) -> None:
        if isinstance(usage := response.get("usage"), Mapping):
            self.answer.usage = _counts(usage, "input_tokens", "output_tokens", "output_tokens_details")
        match response.get("status"):
            case "completed":
                self.answer.finish_reason = "stop"
            case "incomplete":
                self.answer.finish_reason = "length"
        output = response.get("output")
        if not self._items and isinstance(output, list):
            self._items = output


def _parts(content: Any) -> str:
    parts = content if isinstance(content, list) else ()
    return "".join(_text(part.get("text")) for part in parts if isinstance(part, Mapping))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _counts(usage: Mapping[str, Any], prompt: str, completion: str, details: str) -> Counts:
    more = usage.get(details)
    return Counts(
        _number(usage.get(prompt)),
        _number(usage.get(completion)),
        _number(more.get("reasoning_tokens")) if isinstance(more, Mapping) else None,
    )


def _number(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
