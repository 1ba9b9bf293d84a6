"""The stream of one chat completion, as any server of gpt-oss writes it, read into the gateway's events.

Sans-I/O: the payloads of :class:`~gptoss_api.text.sse.SseDecoder` go in, or the one body of a server that
does not stream. The rules are docs/design/servers.md, "Rules for any server"; leaked Harmony and the names of
tools are left to :mod:`gptoss_api.text.harmony`.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct, field

from ...core.errors import GatewayError, UpstreamEmpty, UpstreamFailure, UpstreamIncomplete
from ...core.events import (
    Event,
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    Usage,
    UsageReported,
)
from ...core.redaction import Redactor
from ...text.sse import SseDecoder
from ..refusals import LOOKS
from .calls import CallAssembler, CallDelta, FunctionDelta
from .failures import failure_of_event
from .profiles import Profile
from .usage import read_timings, read_usage

_REASONS: Final[dict[str, FinishReason]] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "max_tokens": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "content_filter": "content_filter",
}
_NOT_JSON: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
# LM Studio lets this out together with a response format (docs/design/servers.md, "LM Studio").
_SEPARATOR: Final = "__LM_STUDIO_INTERNAL_LSEP_SYNTHETIC_REASONING_END_"
_SEPARATOR_FORM: Final = re.compile(_SEPARATOR + r"[0-9a-fA-F]*_{2}")

_log = logging.getLogger(__name__)


class _Delta(Struct, gc=False):
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


class _Choice(Struct, gc=False):
    delta: _Delta | None = None
    message: _Delta | None = None
    finish_reason: str | None = None
    index: int | None = None


class _Chunk(Struct, gc=False):
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None
    timings: Any = None
    groq: Any = field(default=None, name="x_groq")


_decode: Final = msgspec.json.Decoder(_Chunk).decode
_decode_any: Final = msgspec.json.Decoder().decode


class ChatWire:
    """Reads one answer: ``feed`` the payloads as they come, then ``finish`` once at the end of the stream.

    ``failure`` is set when the server reported one; what ``feed`` returned up to then came before it, and
    nothing comes after. ``done`` says that nothing further will matter. ``redact`` knows the secrets that the
    server may repeat in an error.
    """

    def __init__(self, profile: Profile, *, show_reasoning: bool = True, redact: Redactor = LOOKS) -> None:
        self.failure: GatewayError | None = None
        self.done = False
        self._profile = profile
        self._show_reasoning = show_reasoning
        self._redact = redact
        self._calls = CallAssembler()
        self._reason: FinishReason | None = None
        self._broken_reason = ""
        self._usage: Usage | None = None
        self._timings: Any = None
        self._spoke = False
        self._thought = False
        self._malformed = 0
        self._held = ""  # The beginning of LM Studio's separator.
        self._last = self._before = b""

    @property
    def ended(self) -> bool:
        """Whether the model has ended its answer: only usage may follow."""
        return self._reason is not None

    def feed(self, payloads: Sequence[bytes]) -> list[Event]:
        """The reasoning, text and calls in these payloads, in order."""
        out: list[Event] = []
        for payload in payloads:
            if self.failure is not None or self.done:
                break
            if payload == b"[DONE]":
                self.done = True
            elif payload:
                self._payload(payload, out)
        return out

    def notice(self, chunk: bytes) -> None:
        """Remembers the end of the raw stream, where some servers leave an error outside of any event."""
        self._last, self._before = chunk, self._last

    def feed_body(self, body: bytes) -> list[Event]:
        """The whole of an answer that came as one JSON object; also a stream that was called JSON."""
        if _is_json(body):
            payloads = [body]
        elif body.lstrip().startswith((b"data:", b":", b"event:")):
            decoder = SseDecoder()
            payloads = [*decoder.feed(body), *decoder.finish()]
        else:
            payloads = [line for line in body.splitlines() if line.strip()]
        return self.feed(payloads)

    def finish(self) -> list[Event]:
        """The end of the answer.

        Raises what the server reported, :class:`UpstreamEmpty` if there was nothing at all, or
        :class:`UpstreamIncomplete` where the answer has no end.
        """
        if self.failure is None and self._reason is None:
            self._read_tail()
        if self.failure is not None:
            raise self.failure
        if self._malformed:
            _log.debug("%s sent %d chunks that could not be read", self._profile.title, self._malformed)
        title = self._profile.title
        if self._broken_reason:
            raise UpstreamIncomplete(f"{title} broke the answer off ({self._broken_reason}).")
        if self._reason is None:
            if not (self._spoke or self._thought or self._calls.count):
                if self._malformed:
                    raise UpstreamFailure(f"{title} sent nothing that could be read.")
                raise UpstreamEmpty(f"{title} ended the answer before it began.")
            raise UpstreamIncomplete(f"{title} ended the answer before it was complete.")
        reason = self._reason
        out: list[Event] = []
        self._let_go(out)
        out += self._calls.finish(truncated=reason == "length")
        if self._calls.count and reason == "stop":
            reason = "tool_calls"
        out.append(Finished(reason, notes=self._closing_notes(reason)))
        if usage := self._usage or read_timings(self._timings):
            out.append(UsageReported(usage))
        return out

    def _closing_notes(self, reason: FinishReason) -> tuple[str, ...]:
        notes = tuple(self._calls.notes)
        if reason == "length" and not self._spoke and not self._calls.count:
            notes += ("the completion limit was reached while the model was still thinking",)
        return notes

    # -- chunks ------------------------------------------------------------------------------------

    def _payload(self, payload: bytes, out: list[Event]) -> None:
        try:
            chunk = _decode(payload)
        except _NOT_JSON:
            self._unusual(payload, out)
            return
        if chunk.choices:
            for choice in chunk.choices:
                # Only one is ever asked for; servers that number it otherwise mean the same.
                delta = choice.delta or choice.message
                if delta is not None:
                    self._delta(delta, out)
                if choice.finish_reason and self._reason is None:
                    self._end(choice.finish_reason)
        elif chunk.error is None and chunk.usage is None:
            self._without_choices(payload)
        if chunk.error is not None and chunk.error != "":
            self.failure = failure_of_event(self._profile, {"error": chunk.error}, self._redact)
            return
        if chunk.usage is not None or chunk.groq is not None:
            reported = chunk.usage
            if reported is None and isinstance(chunk.groq, Mapping):
                reported = chunk.groq.get("usage")
            self._usage = read_usage(reported) or self._usage
        if chunk.timings is not None:
            self._timings = chunk.timings

    def _unusual(self, payload: bytes, out: list[Event]) -> None:
        """A chunk whose members have other types than expected: an error, or a part of it is left out."""
        try:
            value = _decode_any(payload)
        except _NOT_JSON:
            self._malformed += 1
            return
        if not isinstance(value, dict):
            self._malformed += 1
            return
        if value.get("error"):
            self.failure = failure_of_event(self._profile, value, self._redact)
            return
        choices = value.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        delta = (choice.get("delta") or choice.get("message")) if isinstance(choice, dict) else None
        if not isinstance(choice, dict):
            self._malformed += 1
            return
        if isinstance(delta, dict):
            self._delta(_tolerant(delta), out)
        if isinstance(reason := choice.get("finish_reason"), str) and self._reason is None:
            self._end(reason)

    def _without_choices(self, payload: bytes) -> None:
        """Neither choices nor usage: an error with a flat body, or something to pass over."""
        try:
            value = _decode_any(payload)
        except _NOT_JSON:
            return
        if not isinstance(value, dict):
            return
        flat = isinstance(value.get("message"), str) and (
            value.get("object") == "error" or "code" in value or "type" in value
        )
        if flat or isinstance(value.get("detail"), str | list):
            self.failure = failure_of_event(self._profile, value, self._redact)

    def _delta(self, delta: _Delta, out: list[Event]) -> None:
        if thought := _reasoning(delta):
            self._thought = True
            if self._show_reasoning:
                out.append(ReasoningDelta(thought))
        if delta.content:
            text = delta.content if isinstance(delta.content, str) else _text_of_parts(delta.content)
            self._text(text, out)
        if delta.refusal:
            self._spoke = True
            out.append(RefusalDelta(delta.refusal))
        if delta.tool_calls:
            self._let_go(out)
            out += self._calls.add(delta.tool_calls)
        elif delta.function_call is not None:
            self._let_go(out)
            out += self._calls.add([CallDelta(index=0, function=delta.function_call)])

    def _text(self, text: str, out: list[Event]) -> None:
        if self._held or "_" in text:
            text = self._without_separator(self._held + text)
        if text:
            self._spoke |= not text.isspace()
            out.append(TextDelta(text))

    def _without_separator(self, text: str) -> str:
        """``text`` without LM Studio's separator; what may become one is held back."""
        text = _SEPARATOR_FORM.sub("", text)
        begin = text.rfind(_SEPARATOR)
        if begin < 0:
            begin = next(
                (at for at in range(max(len(text) - len(_SEPARATOR), 0), len(text)) if _begins(text, at)),
                len(text),
            )
        elif len(text) - begin > 2 * len(_SEPARATOR):
            begin = len(text)
        self._held = text[begin:]
        return text[:begin]

    def _let_go(self, out: list[Event]) -> None:
        if self._held:
            self._spoke = True
            out.append(TextDelta(self._held))
            self._held = ""

    def _end(self, reason: str) -> None:
        known = _REASONS.get(reason)
        if known is None:
            # "abort", "error" and the like: whatever it means, the answer is not whole.
            self._broken_reason = reason[:40]
            known = "stop"
        self._reason = known

    def _read_tail(self) -> None:
        """An error that the server wrote as a plain line, outside of any event."""
        for line in reversed((self._before + self._last).splitlines()):
            if not line.startswith(b"{"):
                continue
            try:
                value = _decode_any(line)
            except _NOT_JSON:
                continue
            if isinstance(value, dict) and value.get("error"):
                self.failure = failure_of_event(self._profile, value, self._redact)
                return


def _begins(text: str, at: int) -> bool:
    return text[at] == "_" and _SEPARATOR.startswith(text[at:])


def _reasoning(delta: _Delta) -> str:
    """The chain of thought under whichever name; where two names carry it, once."""
    if isinstance(delta.reasoning, str) and delta.reasoning:
        return delta.reasoning
    if text := delta.reasoning_content or delta.reasoning_text or delta.thinking:
        return text
    if isinstance(delta.reasoning, dict):
        text = delta.reasoning.get("content") or delta.reasoning.get("text")
        return text if isinstance(text, str) else ""
    if delta.reasoning_details:
        return "".join(
            item["text"]
            for item in delta.reasoning_details
            if isinstance(item, dict) and isinstance(item.get("text"), str)
        )
    return ""


def _text_of_parts(parts: list[Any]) -> str:
    return "".join(
        part["text"] for part in parts if isinstance(part, dict) and isinstance(part.get("text"), str)
    )


def _tolerant(delta: dict[str, Any]) -> _Delta:
    """The members of ``delta`` that have a usable type."""
    usable: dict[str, Any] = {}
    for name in _Delta.__struct_fields__:
        if delta.get(name) is None:
            continue
        try:
            msgspec.convert({name: delta[name]}, _Delta)
        except msgspec.ValidationError:
            continue
        usable[name] = delta[name]
    return msgspec.convert(usable, _Delta)


def _is_json(body: bytes) -> bool:
    try:
        _decode_any(body)
    except _NOT_JSON:
        return False
    return True
