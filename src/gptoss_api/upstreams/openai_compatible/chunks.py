"""One chunk of a chat completion: what is read of it, and what is made of members with odd types."""

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from ...text.loose_json import Unreadable, decode_loosely
from ..openai.calls import CallDelta, FunctionDelta


class Delta(Struct, gc=False):
    """What is read of ``delta`` or ``message``; everything else in it is vendors' own."""

    content: str | list[Any] | None = None
    reasoning: str | dict[str, Any] | None = None
    reasoning_content: str | None = None
    reasoning_text: str | None = None
    thinking: str | None = None
    reasoning_details: list[Any] | None = None
    refusal: str | None = None
    tool_calls: list[CallDelta] | None = None
    function_call: FunctionDelta | None = None

    @property
    def text(self) -> str:
        content = self.content
        return content if isinstance(content, str) else text_of(content)

    @property
    def thought(self) -> str:
        """The chain of thought under whichever name; where two names carry it, once."""
        reasoning = self.reasoning
        if type(reasoning) is str and reasoning:
            return reasoning
        if text := self.reasoning_content or self.reasoning_text or self.thinking:
            return text
        if reasoning or self.reasoning_details:
            return text_of(reasoning) or text_of(self.reasoning_details)
        return ""

    @property
    def says_something(self) -> bool:
        return bool(self.text or self.thought or self.refusal or self.tool_calls or self.function_call)


class ChunkChoice(Struct, gc=False):
    delta: Delta | None = None
    message: Delta | None = None
    finish_reason: str | None = None
    index: int | None = None
    logprobs: Any = None
    stop_reason: Any = None  # vLLM
    matched_stop: Any = None  # SGLang


class Chunk(Struct, gc=False):
    choices: list[ChunkChoice] | None = None
    usage: Any = None
    error: Any = None
    timings: Any = None
    groq: Any = field(default=None, name="x_groq")


# The members that servers write texts of an answer to, one of them at a time.
_SPOKEN: Final = ("content", "reasoning", "reasoning_content")
_encode: Final = msgspec.json.Encoder().encode
_TEXTS: Final = ("content", "reasoning", "reasoning_content", "reasoning_text", "thinking", "refusal")
_INDEX: Final = re.compile(r"([0-9]{1,9})(?:\.0)?")

decode_chunk: Final = msgspec.json.Decoder(Chunk).decode


class AroundText(Struct, frozen=True, gc=False):
    """What stands before and after the text of a chunk that says nothing else, which may be a thought.

    A chunk that begins and ends so says the same but for its text, which stands from ``begin`` to ``end``,
    counted from the end of the chunk.
    """

    before: bytes
    after: bytes
    is_thought: bool
    begin: int
    end: int


def around_text(chunk: Chunk, payload: bytes) -> AroundText | None:
    """What is around the text of ``chunk``, read from ``payload``; ``None`` where it says something else."""
    if chunk.choices is None or len(chunk.choices) != 1 or chunk.usage is not None:
        return None
    choice = chunk.choices[0]
    delta = choice.delta
    if delta is None or choice.finish_reason is not None or choice.message is not None:
        return None
    if delta.refusal or delta.tool_calls or delta.function_call or delta.reasoning_details:
        return None
    if chunk.error is not None or chunk.timings is not None or chunk.groq is not None:
        return None
    said = [(name, text) for name in _SPOKEN if (text := getattr(delta, name))]
    if len(said) != 1 or delta.reasoning_text or delta.thinking:
        return None
    name, text = said[0]
    member = b'"%b":' % name.encode()
    written = _encode(text)
    # Inside of a string its quotes would be escaped, so that only a member can look like this.
    begin = payload.find(member) + len(member)
    begin += payload.startswith(b" ", begin)
    if payload.count(member) != 1 or type(text) is not str or not payload.startswith(written, begin):
        return None
    after = payload[begin + len(written) :]
    return AroundText(payload[:begin], after, name != "content", begin, -len(after))


def usable_chunk(value: Mapping[str, Any]) -> Chunk:
    """The chunk that ``value`` means, whatever the types of its members.

    Raises:
        Unreadable: where something that may be a part of the answer cannot be made out.
    """
    return Chunk(
        choices=[_choice(each) for each in _listed(value.get("choices"))],
        usage=value.get("usage"),
        error=value.get("error"),
        timings=value.get("timings"),
        groq=value.get("x_groq"),
    )


def text_of(value: Any) -> str:
    """The text in a content, which may be a list of parts; numbers are tokens that lost their quotes."""
    return "".join(map(_text_of_part, value)) if isinstance(value, list) else _text_of_part(value)


def _text_of_part(part: Any) -> str:
    if isinstance(part, dict):
        part = next((part[key] for key in ("text", "content", "value") if part.get(key)), None)
        if isinstance(part, dict):
            part = part.get("value")
    if isinstance(part, str):
        return part
    return msgspec.json.encode(part).decode() if type(part) in (int, float) else ""


def _choice(value: Mapping[str, Any]) -> ChunkChoice:
    said = value.get("delta") or value.get("message") or {}
    if isinstance(said, str):
        said = {"content": said}
    if not isinstance(said, dict):
        raise Unreadable("a choice without a delta")
    reason = value.get("finish_reason")
    return ChunkChoice(
        delta=_delta(said),
        finish_reason=reason if isinstance(reason, str) else None,
        logprobs=value.get("logprobs"),
        stop_reason=value.get("stop_reason"),
        matched_stop=value.get("matched_stop"),
    )


def _delta(said: Mapping[str, Any]) -> Delta:
    details, functions = said.get("reasoning_details"), _listed(said.get("function_call"))
    return Delta(
        reasoning_details=details if isinstance(details, list) else None,
        tool_calls=[_call(each) for each in _listed(said.get("tool_calls"))],
        function_call=_function(functions[0]) if functions else None,
        **{name: _text(said.get(name)) for name in _TEXTS},
    )


def _text(value: Any) -> str:
    text = text_of(value)
    if not text and isinstance(value, dict) and value:
        raise Unreadable("a text in an unknown form")
    return text


def _call(value: Mapping[str, Any]) -> CallDelta:
    index, call_id = value.get("index"), value.get("id")
    number = _INDEX.fullmatch(str(index)) if isinstance(index, str | int | float) else None
    return CallDelta(
        index=int(number[1]) if number else None,
        id=str(call_id) if isinstance(call_id, str | int | float) else None,
        function=_function(value.get("function") or {}),
    )


def _function(value: Any) -> FunctionDelta:
    if not isinstance(value, dict):
        raise Unreadable("a call without a function")
    name, arguments = value.get("name"), value.get("arguments")
    if arguments is not None and not isinstance(arguments, str | dict | list):
        arguments = msgspec.json.encode(arguments).decode()
    return FunctionDelta(name=name if isinstance(name, str) else None, arguments=arguments)


def _listed(value: Any) -> list[Any]:
    """The objects in ``value``, which may also be one of them, or a list written as a string."""
    if isinstance(value, str) and "{" in value:
        value = decode_loosely(value.encode("utf-8", "replace"))
    if isinstance(value, dict) and value:
        value = [value]
    found = [each for each in value if each is not None] if isinstance(value, list) else []
    if not all(isinstance(each, dict) for each in found):
        raise Unreadable("a list of something else than objects")
    return found
