"""The stream of one response, as servers of the Responses API write it, read into the gateway's events.

Sans-I/O: the payloads of :class:`~gptoss_api.text.sse.SseDecoder` go in, or the one body of a server that
does not stream. What is heard of an item belongs to it by its id: OpenAI's reference server counts items
from -1 and differently in the events of one item (docs/design/servers.md, "Responses").
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

import msgspec
from msgspec import Struct

from ...core.errors import GatewayError, UpstreamEmpty, UpstreamIncomplete
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
from ...core.servers import ServerKind
from ...text.loose_json import HalfJoiner, Unreadable, joined, read_values
from ...text.sse import SseDecoder, Stray
from ...text.stops import StopScanner
from ..openai.calls import CallAssembler, CallDelta, FunctionDelta
from ..openai.failures import failure_of_event
from ..openai.usage import read_usage
from ..refusals import LOOKS

Voice = Literal["text", "reasoning", "refusal"]

_NOT_JSON: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)
_DELTAS: Final[dict[str, Voice]] = {
    "response.output_text.delta": "text",
    "response.reasoning_text.delta": "reasoning",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.refusal.delta": "refusal",
}
_ENDS: Final = frozenset(
    {"response.completed", "response.incomplete", "response.failed", "response.cancelled"}
)
_REASONS: Final[dict[str, FinishReason]] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
}
_LONGEST_REASON: Final = 40


class _Said(Struct, gc=False):
    """What is read of an event; ``response`` and ``item`` are objects, ``error`` whatever a server has."""

    type: str = ""
    delta: str = ""
    item_id: str | None = None
    item: dict[str, Any] | None = None
    response: dict[str, Any] | None = None
    error: Any = None
    # Of a body that is the response itself.
    object: str = ""


_decode: Final = msgspec.json.Decoder(_Said).decode


class _Item:
    """An item of text that is being written; ``pieces`` are what its deltas said, by voice.

    ``summarised`` says that what was thought is only known from a summary.
    """

    __slots__ = ("pieces", "summarised")

    def __init__(self) -> None:
        self.pieces: dict[Voice, list[str]] = {}
        self.summarised = False


class ResponsesWire:
    """Reads one answer; see :class:`gptoss_api.upstreams.reading.WholeWire`.

    ``stop`` are strings before which the text ends: this API has no such parameter. ``max_tokens`` is the
    limit that was asked for: a server that says ``completed`` of an answer that reached it has cut it.
    ``redact`` knows the secrets that the server may repeat in an error.
    """

    # After the last event nothing is worth waiting for.
    patience = None
    carried = 0

    def __init__(
        self,
        server: ServerKind,
        *,
        show_reasoning: bool = True,
        redact: Redactor = LOOKS,
        stop: Sequence[str] = (),
        max_tokens: int | None = None,
    ) -> None:
        self.failure: GatewayError | None = None
        self.done = False
        self._server = server
        self._show_reasoning = show_reasoning
        self._redact = redact
        self._max_tokens = max_tokens
        self._stops = bool(stop)
        self._scanner = StopScanner(stop)
        self._calls = CallAssembler()
        # Items of text that have not ended, by id; calls by the ids of their items and by their own.
        self._open: dict[str, _Item] = {}
        self._call_keys: dict[str, str] = {}
        # What was said of the arguments of calls that have not ended, and which calls have a name already.
        self._argued: dict[str, list[str]] = {}
        self._named: set[str] = set()
        self._ended: set[str] = set()
        self._voices: set[Voice] = set()
        self._halves: dict[Voice, HalfJoiner] = {}
        self._loose = False
        self._reason: FinishReason | None = None
        self._broken = ""
        self._usage: Usage | None = None
        self._at_rest = False

    @property
    def answered(self) -> bool:
        return self._reason is not None

    def feed(self, payloads: Sequence[bytes]) -> list[Event]:
        """The reasoning, text and calls in these payloads, in order."""
        out: list[Event] = []
        for payload in payloads:
            if self.failure is not None or self.done:
                break
            if type(payload) is Stray:
                self._read_loosely(payload, out)
            elif payload and payload != b"[DONE]":
                try:
                    said = _decode(payload)
                except _NOT_JSON:
                    self._read_loosely(payload, out)
                else:
                    self._event(said, payload, out)
        return out

    def feed_rest(self, payloads: Sequence[bytes]) -> list[Event]:
        """What the end of the stream left of its last event: nothing is missing if only that is cut off."""
        self._at_rest = True
        return self.feed(payloads)

    def feed_body(self, body: bytes) -> list[Event]:
        """The whole of an answer that came as one JSON object; also a stream that was called JSON."""
        if not body.lstrip().startswith((b"data:", b":", b"event:")):
            return self.feed([body])
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
        title = self._server.title
        if self._broken:
            raise UpstreamIncomplete(f"{title} broke the answer off ({self._broken}).")
        reason = self._reason
        if reason is None:
            if not (self._voices or self._calls.count):
                raise UpstreamEmpty(f"{title} ended the answer before it began.")
            raise UpstreamIncomplete(f"{title} ended the answer before it was complete.")
        out: list[Event] = []
        for voice in tuple(self._halves):
            self._say(voice, self._halves.pop(voice).finish(), out)
        rest, _ = self._scanner.finish()
        if rest:
            out.append(TextDelta(rest))
        matched = self._scanner.matched
        if matched is None:
            out += self._calls.finish(truncated=reason in ("length", "content_filter"))
            if self._calls.count and reason == "stop":
                reason = "tool_calls"
        out.append(Finished(reason, notes=tuple(self._calls.notes), stop_sequence=matched))
        if self._usage is not None:
            out.append(UsageReported(self._usage))
        return out

    # -- events ------------------------------------------------------------------------------------

    def _event(self, said: _Said, raw: bytes | Mapping[str, Any], out: list[Event]) -> None:
        voice = _DELTAS.get(said.type)
        if voice is not None:
            self._delta(voice, said, out)
        elif said.type == "response.function_call_arguments.delta":
            self._arguments(said.item_id or "", said.delta, out)
        elif said.type == "response.output_item.added":
            self._call_begun(said.item or {}, out)
        elif said.type == "response.output_item.done":
            self._item_done(said.item or {}, out)
        elif said.type in _ENDS and said.response is not None:
            self._over(said.response, out)
        elif said.object == "response" and not said.type:
            self._over(_members(raw), out)
        elif said.type == "error" or (said.error and not said.type):
            self.failure = failure_of_event(self._server, _members(raw), self._redact)

    def _read_loosely(self, payload: bytes, out: list[Event]) -> None:
        """What a strict reader refuses: nearly JSON, several events in one, members of odd types."""
        self._loose = self._calls.loose = True
        try:
            for value in read_values(payload):
                for each in value if isinstance(value, list) else [value]:
                    if isinstance(each, dict) and self.failure is None and not self.done:
                        self._event(_usable(each), each, out)
        except Unreadable:
            if not self._at_rest and self.failure is None:
                self.failure = UpstreamIncomplete(
                    f"{self._server.title} sent an event that cannot be read: the answer has a gap. "
                    "Ask again."
                )

    def _over(self, response: Mapping[str, Any], out: list[Event]) -> None:
        """The last event: how the answer ended, and whatever of it was not told before."""
        status, error = response.get("status"), response.get("error")
        if error or status == "failed":
            told = {"error": error or {"message": "the response failed"}}
            self.failure = failure_of_event(self._server, told, self._redact)
            return
        self._fill(response.get("output"), out)
        if self.done:
            return
        self.done = True
        self._usage = read_usage(response.get("usage"))
        if status == "incomplete":
            details = response.get("incomplete_details")
            why = details.get("reason") if isinstance(details, Mapping) else None
            self._reason = _REASONS.get(why) if isinstance(why, str) else None
            self._broken = "" if self._reason else _quoted(why or status)
        elif status not in ("completed", None):
            self._broken = _quoted(status)
        else:
            self._reason = "length" if self._reached_limit() else "stop"

    def _reached_limit(self) -> bool:
        limit, usage = self._max_tokens, self._usage
        return limit is not None and usage is not None and usage.completion_tokens >= limit

    def _fill(self, output: Any, out: list[Event]) -> None:
        """Items in the last event whose own events did not come, or not all of them."""
        heard = set(self._voices)
        calls = self._calls.count
        for item in output if isinstance(output, list) else ():
            if not isinstance(item, dict):
                continue
            if item.get("type") == "function_call":
                unheard = not calls or self._key(item) in self._argued
            else:
                unheard = _text(item, "id") in self._open or heard.isdisjoint(_voices(item))
            if unheard:
                self._item_done(item, out)

    # -- text --------------------------------------------------------------------------------------

    def _delta(self, voice: Voice, said: _Said, out: list[Event]) -> None:
        item = self._open.get(said.item_id or "")
        if item is None:
            item = self._open[said.item_id or ""] = _Item()
        pieces = item.pieces.setdefault(voice, [])
        if voice == "reasoning":
            summary = said.type != "response.reasoning_text.delta"
            if pieces and summary != item.summarised:
                # The same thought once more, in the other form.
                return
            item.summarised = summary
        pieces.append(said.delta)
        self._say(voice, said.delta, out)

    def _item_done(self, item: dict[str, Any], out: list[Event]) -> None:
        if item.get("type") == "function_call":
            self._call_done(item, out)
        if not _voices(item):
            return
        told = self._told(item)
        for voice, text in _texts(item):
            said = "".join(told.pieces.get(voice, ()))
            if text.startswith(said):
                self._say(voice, text[len(said) :], out)

    def _told(self, item: dict[str, Any]) -> _Item:
        """What was heard of a text item, which has ended; some servers end it under another id."""
        if (known := self._open.pop(_text(item, "id"), None)) is not None:
            return known
        voices = _voices(item)
        for key, each in self._open.items():
            if not each.pieces.keys().isdisjoint(voices):
                return self._open.pop(key)
        return _Item()

    def _say(self, voice: Voice, text: str, out: list[Event]) -> None:
        if self._loose:
            text = self._halves.setdefault(voice, HalfJoiner()).feed(text)
        if not text:
            return
        is_new = voice not in self._voices
        self._voices.add(voice)
        if voice == "text":
            if self._stops:
                text, self.done = self._scanner.feed(text)
                if self.done:
                    self._reason = "stop"
            if text:
                out.append(TextDelta(text))
        elif voice == "refusal":
            out.append(RefusalDelta(text))
        elif self._show_reasoning:
            out.append(ReasoningDelta(text))
        elif is_new:
            # What follows is to know that there are thoughts.
            out.append(ReasoningDelta(""))

    # -- calls -------------------------------------------------------------------------------------

    def _key(self, item: Mapping[str, Any]) -> str:
        """What a call is known by here, by the id of its item or its own."""
        ids = [text for text in (_text(item, "id"), _text(item, "call_id")) if text]
        known = next((self._call_keys[each] for each in ids if each in self._call_keys), None)
        key = known or (ids[0] if ids else "")
        self._call_keys.update(dict.fromkeys(ids, key))
        return key

    def _call_begun(self, item: dict[str, Any], out: list[Event]) -> None:
        if item.get("type") != "function_call":
            return
        key, name, arguments = self._key(item), _text(item, "name"), item.get("arguments")
        if not name:
            return
        self._named.add(key)
        said = self._argued.setdefault(key, [])
        if isinstance(arguments, str):
            said.append(arguments)
        self._call(key, name, "".join(said), out)

    def _arguments(self, item_id: str, delta: str, out: list[Event]) -> None:
        key = self._call_keys.setdefault(item_id, item_id)
        self._argued.setdefault(key, []).append(delta)
        if key in self._named:
            self._call(key, None, delta, out)

    def _call_done(self, item: dict[str, Any], out: list[Event]) -> None:
        key, name, arguments = self._key(item), _text(item, "name"), item.get("arguments")
        if key in self._ended:
            return
        if key:
            self._ended.add(key)
        said = "".join(self._argued.pop(key, ())) if key else ""
        if key in self._named:
            if isinstance(arguments, str) and arguments.startswith(said):
                self._call(key, None, arguments[len(said) :], out)
            return
        self._call(key or None, name, arguments or said, out)

    def _call(self, key: str | None, name: str | None, arguments: Any, out: list[Event]) -> None:
        if not isinstance(arguments, str | dict | list):
            arguments = None
        out += self._calls.add([CallDelta(id=key, function=FunctionDelta(name=name, arguments=arguments))])


_VOICES: Final[dict[str, tuple[Voice, ...]]] = {"message": ("text", "refusal"), "reasoning": ("reasoning",)}


def _text(item: Mapping[str, Any], member: str) -> str:
    """A member that should be a text, "" where it is something else."""
    value = item.get(member)
    return value if isinstance(value, str) else ""


def _voices(item: Mapping[str, Any]) -> tuple[Voice, ...]:
    """In which voices an item speaks, if it is one of text."""
    return _VOICES.get(_text(item, "type"), ())


def _texts(item: Mapping[str, Any]) -> list[tuple[Voice, str]]:
    """What a whole item says, by voice; of a thought that has none but a summary, that."""
    content = item.get("content")
    if item.get("type") == "reasoning":
        return [("reasoning", _joined_parts(content, "text") or _joined_parts(item.get("summary"), "text"))]
    if isinstance(content, str):
        return [("text", content)]
    return [("text", _joined_parts(content, "text")), ("refusal", _joined_parts(content, "refusal"))]


def _joined_parts(parts: Any, member: str) -> str:
    texts = [part.get(member) for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return "".join(text for text in texts if isinstance(text, str))


def _members(raw: bytes | Mapping[str, Any]) -> Mapping[str, Any]:
    if isinstance(raw, Mapping):
        return raw
    try:
        return msgspec.json.decode(raw, type=dict[str, Any])
    except UnicodeDecodeError:
        # In members that nobody asked for they were passed over until now.
        return msgspec.json.decode(raw.decode("utf-8", "replace"), type=dict[str, Any])


def _usable(value: Mapping[str, Any]) -> _Said:
    """The members of an event that have the types they should have."""
    kept = {
        name: value[name]
        for name, kind in (
            ("type", str),
            ("delta", str),
            ("item_id", str),
            ("item", dict),
            ("response", dict),
            ("object", str),
        )
        if isinstance(value.get(name), kind)
    }
    return _Said(**kept, error=value.get("error"))


def _quoted(word: Any) -> str:
    return joined(str(word)[:_LONGEST_REASON])
