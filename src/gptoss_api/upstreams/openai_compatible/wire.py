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

from ...core.errors import GatewayError, UpstreamEmpty, UpstreamFailure, UpstreamIncomplete
from ...core.events import (
    Event,
    Finished,
    FinishReason,
    LogprobsDelta,
    ReasoningDelta,
    RefusalDelta,
    TextDelta,
    Usage,
    UsageReported,
)
from ...core.redaction import Redactor
from ...core.servers import ServerKind
from ...text.loose_json import DONE, HalfJoiner, Unreadable, joined, read_values
from ...text.sse import SseDecoder, Stray
from ..base import log_fields
from ..openai.calls import CallAssembler, CallDelta
from ..openai.failures import failure_of_event
from ..openai.usage import read_timings, read_usage
from ..refusals import LOOKS
from .chunks import AroundText, Chunk, ChunkChoice, Delta, around_text, decode_chunk, usable_chunk

# Seconds. After the last chunk that says something or ends the answer, usage may follow, or more of the
# answer where a proxy ends every chunk; comments and empty chunks buy no time.
AFTER_ANSWER: Final = 5.0

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

_LONGEST_REASON: Final = 40

# Of the chunks of some servers no two are alike.
_MOST_LOOKS: Final = 16

_decode_text: Final = msgspec.json.Decoder(str).decode
_decode_object: Final = msgspec.json.Decoder(dict[str, Any]).decode

_log = logging.getLogger(__name__)


class ChatWire:
    """Reads one answer: ``feed`` the payloads as they come, then ``finish`` once at the end of the stream.

    ``failure`` is set when the server reported one; what ``feed`` returned up to then came before it, and
    nothing comes after. ``done`` says that nothing further will matter. ``carried`` counts the chunks with
    a finish reason and those after one that say something. ``redact`` knows the secrets that the server may
    repeat in an error. ``stop`` are the strings that the server was asked to stop at,
    ``logprobs`` says that it was asked for those of the text. ``request_id``
    is for the log.

    What a strict reader refuses is read leniently. What cannot be read even so and may be a part of the
    answer is a failure: an answer with a gap never looks complete.
    """

    def __init__(
        self,
        server: ServerKind,
        *,
        show_reasoning: bool = True,
        redact: Redactor = LOOKS,
        stop: Sequence[str] = (),
        logprobs: bool = False,
        request_id: str = "",
    ) -> None:
        self.failure: GatewayError | None = None
        self.done = False
        self.carried = 0
        self._server = server
        self._show_reasoning = show_reasoning
        self._redact = redact
        self._request_id = request_id
        self._calls = CallAssembler()
        self._reason: FinishReason | None = None
        self._blank_reason = (
            False  # "" in place of a reason, which no stream that broke off has the mark for.
        )
        self._stop = stop
        self._tells_logprobs = logprobs
        self._stopped_at: str | None = None
        self._broken_reason = ""
        self._usage: Usage | None = None
        self._timings: Any = None
        self._spoke = False
        self._thought = False
        self._malformed = 0
        self._held = ""  # The beginning of LM Studio's separator.
        # Whether anything came that only a lenient reader takes, so that halves of characters may follow.
        self._loose = False
        self._content_halves: HalfJoiner
        self._thought_halves: HalfJoiner
        self._refusal_halves: HalfJoiner
        self._at_rest = False
        # The last chunk, if it was one of text, and how often it is still worth to look for that.
        self._same: AroundText | None = None
        self._looks = 0 if logprobs else _MOST_LOOKS

    @property
    def answered(self) -> bool:
        """Whether the model has ended its answer: usage may follow, and little else."""
        return self._reason is not None

    @property
    def patience(self) -> float | None:
        """How many seconds the rest is worth waiting for since the last chunk that was ``carried``."""
        return None if self._reason is None else AFTER_ANSWER

    def feed(self, payloads: Sequence[bytes]) -> list[Event]:
        """The reasoning, text and calls in these payloads, in order."""
        out: list[Event] = []
        same = self._same
        for payload in payloads:
            # Slices cost less than to ask what a payload starts and ends with.
            if (
                same is not None
                and payload[: same.begin] == same.before
                and payload[same.end :] == same.after
                and type(payload) is bytes
            ):
                try:
                    text = _decode_text(payload[same.begin : same.end])
                except _NOT_JSON:
                    pass
                else:
                    if same.is_thought and text:
                        out.append(ReasoningDelta(text))
                    elif text and (self._held or not self._spoke or "_" in text):
                        self._text(text, out)
                    elif text:
                        out.append(TextDelta(text))
                    continue
            if self.failure is not None or self.done:
                break
            self._same = same = None
            if payload == b"[DONE]":
                self.done = True
            elif type(payload) is Stray:
                self._stray(payload)
            elif payload:
                try:
                    chunk = decode_chunk(payload)
                except _NOT_JSON:
                    self._read_loosely(payload, out)
                else:
                    self._chunk(chunk, payload, out)
                    if self._looks and self._reason is None and not self._loose:
                        self._looks -= 1
                        # How a text is written, so that the next ones are read at a glance.
                        same = around_text(chunk, payload)
                        if same is not None and (self._show_reasoning or not same.is_thought):
                            self._same = same
                        else:
                            same = None
        return out

    def feed_rest(self, payloads: Sequence[bytes]) -> list[Event]:
        """What the end of the stream left of its last event: nothing is missing if only that is cut off."""
        self._at_rest = True
        return self.feed(payloads)

    def feed_body(self, body: bytes) -> list[Event]:
        """The whole of an answer that came as one JSON object; also a stream that was called JSON."""
        if not body.lstrip().startswith((b"data:", b":", b"event:")):
            events = self.feed([body])
            # The end of the object is that of the answer, which no [DONE] follows.
            self.done = True
            return events
        decoder = SseDecoder()
        events = self.feed(decoder.feed(body))
        return events + self.feed_rest(decoder.finish())

    def finish(self) -> list[Event]:
        """The end of the answer.

        Raises what the server reported, :class:`UpstreamEmpty` if there was nothing at all, or
        :class:`UpstreamIncomplete` where the answer has no end.
        """
        if self.failure is not None:
            raise self.failure
        if self._malformed:
            _log.debug(
                "%s sent %d events that say nothing",
                self._server.title,
                self._malformed,
                extra=log_fields(self._request_id),
            )
        out: list[Event] = []
        if self._loose:
            self._say_halves(out)
        title = self._server.title
        if self._broken_reason:
            raise UpstreamIncomplete(f"{title} broke the answer off ({self._broken_reason}).")
        if self._reason is None and not (self._blank_reason and self.done):
            if not (self._spoke or self._thought or self._calls.count):
                if self._malformed:
                    raise UpstreamFailure(f"{title} sent nothing that could be read.")
                raise UpstreamEmpty(f"{title} ended the answer before it began.")
            raise UpstreamIncomplete(f"{title} ended the answer before it was complete.")
        reason = self._reason or "stop"
        self._let_go(out)
        out += self._calls.finish(truncated=reason in ("length", "content_filter"))
        if self._calls.count and reason == "stop":
            reason = "tool_calls"
        stopped_at = self._stopped_at if reason == "stop" else None
        out.append(Finished(reason, notes=self._closing_notes(reason), stop_sequence=stopped_at))
        if usage := self._usage or read_timings(self._timings):
            out.append(UsageReported(usage))
        return out

    def _closing_notes(self, reason: FinishReason) -> tuple[str, ...]:
        notes = tuple(self._calls.notes)
        if reason == "length" and not self._spoke and not self._calls.count:
            notes += ("the completion limit was reached while the model was still thinking",)
        return notes

    # -- chunks ------------------------------------------------------------------------------------

    def _chunk(self, chunk: Chunk, raw: bytes | Mapping[str, Any], out: list[Event]) -> None:
        if chunk.choices:
            for choice in chunk.choices:
                # Only one is ever asked for; servers that number it otherwise mean the same.
                delta = choice.delta or choice.message
                if delta is not None:
                    self._delta(delta, out)
                    if self._tells_logprobs and delta.content:
                        # Of thoughts they are nothing that OpenAI's form has a place for.
                        out += _logprobs(choice.logprobs)
                if choice.finish_reason:
                    self._end(choice)
                    self.carried += 1
                elif self._reason is not None and delta is not None and delta.says_something:
                    self.carried += 1
                elif choice.finish_reason is not None:
                    self._blank_reason = True
        elif chunk.error is None and chunk.usage is None:
            self._without_choices(raw)
        if chunk.error is not None and chunk.error != "":
            self.failure = failure_of_event(self._server, {"error": chunk.error}, self._redact)
            return
        if chunk.usage is not None or chunk.groq is not None:
            reported = chunk.usage
            if reported is None and isinstance(chunk.groq, Mapping):
                reported = chunk.groq.get("usage")
            self._usage = read_usage(reported) or self._usage
        if chunk.timings is not None:
            self._timings = chunk.timings

    def _read_loosely(self, payload: bytes, out: list[Event]) -> None:
        """What a strict reader refuses: nearly JSON, several chunks in one event, members of odd types."""
        if not self._loose:
            self._loose = self._calls.loose = True
            self._content_halves = HalfJoiner()
            self._thought_halves = HalfJoiner()
            self._refusal_halves = HalfJoiner()
        says = False
        try:
            for value in read_values(payload):
                says |= value is DONE
                self.done |= value is DONE
                for each in value if isinstance(value, list) else [value]:
                    if isinstance(each, dict):
                        says = True
                        self._chunk(usable_chunk(each), each, out)
                    if self.failure is not None:
                        return
                if self.done:
                    return
        except Unreadable:
            self._miss("an event that cannot be read")
        self._malformed += not says

    def _miss(self, what: str) -> None:
        """Something that may be a part of the answer is lost; what the end cut off is judged by the end."""
        if not self._at_rest:
            self.failure = UpstreamIncomplete(
                f"{self._server.title} sent {what}: the answer has a gap. Ask again."
            )

    def _stray(self, lines: bytes) -> None:
        """An object outside of any event: an error that a server wrote plainly, or a part of the answer."""
        try:
            for value in read_values(lines):
                if isinstance(value, dict) and value.get("error"):
                    self.failure = failure_of_event(self._server, value, self._redact)
                elif isinstance(value, dict):
                    self._without_choices(value)
                if self.failure is not None:
                    return
        except Unreadable:
            pass
        self._miss("lines that belong to no event")

    def _without_choices(self, value: bytes | Mapping[str, Any]) -> None:
        """Neither choices nor usage: an error with a flat body, or something to pass over."""
        if isinstance(value, bytes):
            try:
                value = _decode_object(value)
            except _NOT_JSON:
                return
        flat = isinstance(value.get("message"), str) and (
            value.get("object") == "error" or "code" in value or "type" in value
        )
        if flat or isinstance(value.get("detail"), str | list):
            self.failure = failure_of_event(self._server, value, self._redact)

    def _delta(self, delta: Delta, out: list[Event]) -> None:
        if self._loose:
            delta = self._joined(delta)
        if thought := delta.thought:
            if self._show_reasoning:
                out.append(ReasoningDelta(thought))
            elif not self._thought:
                # What follows is to know that there are thoughts.
                out.append(ReasoningDelta(""))
            self._thought = True
        if content := delta.content:
            self._text(content if type(content) is str else delta.text, out)
        if delta.refusal:
            self._spoke = True
            out.append(RefusalDelta(delta.refusal))
        if delta.tool_calls:
            self._let_go(out)
            out += self._calls.add(delta.tool_calls)
        elif delta.function_call is not None:
            self._let_go(out)
            out += self._calls.add([CallDelta(index=0, function=delta.function_call)])

    def _joined(self, delta: Delta) -> Delta:
        """``delta`` with the characters whole that were cut in half between it and its neighbours."""
        return Delta(
            content=self._content_halves.feed(delta.text),
            reasoning=self._thought_halves.feed(delta.thought),
            refusal=self._refusal_halves.feed(delta.refusal or ""),
            tool_calls=delta.tool_calls,
            function_call=delta.function_call,
        )

    def _say_halves(self, out: list[Event]) -> None:
        """Gives out what stands for the halves that nothing followed."""
        self._loose = False
        rest = Delta(
            content=self._content_halves.finish(),
            reasoning=self._thought_halves.finish(),
            refusal=self._refusal_halves.finish(),
        )
        self._delta(rest, out)

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

    def _end(self, choice: ChunkChoice) -> None:
        """The last reason counts: some proxies give one with every chunk."""
        reason = choice.finish_reason or ""
        known = _REASONS.get(reason)
        # "abort", "error" and the like: whatever it means, the answer is not whole.
        self._broken_reason = joined(reason[:_LONGEST_REASON]) if known is None else ""
        self._reason = known or "stop"
        # Both also name other ends, such as the id of a token.
        told = (each for each in (choice.stop_reason, choice.matched_stop) if each in self._stop)
        self._stopped_at = next(told, None)


def _logprobs(told: Any) -> list[Event]:
    entries = told.get("content") if isinstance(told, Mapping) else None
    return [LogprobsDelta(entries)] if isinstance(entries, list) and entries else []


def _begins(text: str, at: int) -> bool:
    return text[at] == "_" and _SEPARATOR.startswith(text[at:])
