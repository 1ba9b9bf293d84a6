"""Tool calls in a stream of deltas, put in order: one call after the other, each with strict JSON.

Servers leave out indices and ids, give every call index 0, repeat names, send arguments whole or in pieces,
as an object, as a list of one, or as JSON inside a string
(docs/design/servers.md, "Rules for any server", 6 and 7).
"""

import json
import re
from typing import Any, Final

import msgspec
from msgspec import Struct

from ...core.events import Event, ToolCallDelta, ToolCallFinished, ToolCallStarted, new_call_id
from ...text.json_stream import JsonBroken, JsonTransducer
from ...text.loose_json import HalfJoiner, joined

_CLOSERS: Final = "}] \t\r\n"
# The end of a Harmony header that a server took for the beginning of the arguments.
_LONGEST_HEADER: Final = 1_000
# Characters of arguments in another form than an object up to which they are mended; it takes a while.
_LONGEST_MENDED: Final = 10_000
_LEAKED: Final = re.compile(r"\A(?:<\|(?:channel|constrain|message)\|>(?:\s|commentary|json)*)+")

# The first line of a fence, such as "json".
_INFO: Final = re.compile(r"\A[\w-]*(?=[\s{])")


class FunctionDelta(Struct, gc=False):
    name: str | None = None
    arguments: str | dict[str, Any] | list[Any] | None = None


class CallDelta(Struct, gc=False):
    """One entry of ``delta.tool_calls``."""

    index: int | None = None
    id: str | int | None = None
    function: FunctionDelta | None = None


class _Call:
    """A call as its server tells it: number ``place`` of the answer. ``ready`` was not yet given out.

    ``told_id`` is the server's own id, which only says which deltas belong together.
    """

    __slots__ = (
        "arguments",
        "complete",
        "given",
        "halves",
        "index",
        "name",
        "place",
        "ready",
        "started",
        "told_id",
    )

    def __init__(self, place: int, index: int | None, told_id: str, name: str) -> None:
        self.place = place
        self.index = index
        self.told_id = told_id
        self.name = name
        self.arguments = _Arguments()
        self.halves = HalfJoiner()
        self.ready: list[str] = []
        self.given = False  # Whether any arguments came.
        self.started = False
        self.complete = False

    @property
    def whole(self) -> bool:
        return self.complete or self.arguments.done

    def take(self, arguments: str) -> None:
        self.given = True
        if not self.complete:
            self.ready.append(self.arguments.feed(arguments))

    def end(self, *, truncated: bool) -> None:
        if rest := self.halves.finish():
            self.take(rest)
        self.ready.append(self.arguments.finish(truncated=truncated))
        self.complete = True


class CallAssembler:
    """Gathers deltas: :meth:`add` gives the events they decide, :meth:`finish` the rest.

    ``count`` is how many calls there are; ``notes`` says which of them are incomplete. Arguments stream while
    they are a JSON object; anything else is judged at its end. Calls that run side by side come out one after
    the other. ``loose`` says that deltas may hold halves of characters.
    """

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.loose = False
        self._calls: list[_Call] = []
        self._by_index: dict[int, _Call] = {}
        self._by_id: dict[str, _Call] = {}
        self._current = 0

    @property
    def count(self) -> int:
        return len(self._calls)

    def add(self, deltas: list[CallDelta]) -> list[Event]:
        out: list[Event] = []
        for position, delta in enumerate(deltas):
            function = delta.function or FunctionDelta()
            # Entries side by side without an index are different calls.
            call = self._find(delta, function, beside=position > 0 and delta.index is None)
            if call is None:
                continue
            arguments = function.arguments
            if arguments is None:
                continue
            if not isinstance(arguments, str):
                arguments = joined(json.dumps(arguments, ensure_ascii=False))
            elif self.loose:
                arguments = call.halves.feed(arguments)
            if arguments:
                call.take(arguments)
        self._advance(out)
        return out

    def finish(self, *, truncated: bool) -> list[Event]:
        """Ends every call; ``truncated`` where the length limit cut the answer, so that nothing is closed."""
        out: list[Event] = []
        while self._current < len(self._calls):
            self._end(out, truncated=truncated)
        return out

    def _find(self, delta: CallDelta, function: FunctionDelta, *, beside: bool) -> _Call | None:
        """The call that a delta belongs to, a new one where it begins one."""
        told_id = "" if delta.id is None else str(delta.id)
        name = function.name or ""
        if self.loose:
            name = joined(name)
        known = None if beside and name else self._known(delta.index, told_id)
        if known is not None and not self._begins_another(known, told_id, name, function):
            if told_id and not known.told_id:
                self._name(known, told_id)
            if name and not known.given and name != known.name and not known.started:
                known.name += name
            return known
        if known is None and not name and not told_id:
            return self._calls[-1] if self._calls else None
        call = _Call(len(self._calls), delta.index, "", name)
        self._calls.append(call)
        if delta.index is not None:
            self._by_index[delta.index] = call
        self._name(call, told_id)
        return call

    def _name(self, call: _Call, told_id: str) -> None:
        call.told_id = told_id
        # Of several with the same id, as some servers give, the latest.
        if told_id and call.place >= self._by_id.setdefault(told_id, call).place:
            self._by_id[told_id] = call

    def _known(self, index: int | None, told_id: str) -> _Call | None:
        if index is not None:
            return self._by_index.get(index)
        if told_id:
            return self._by_id.get(told_id)
        return self._calls[-1] if self._calls else None

    def _begins_another(self, known: _Call, told_id: str, name: str, function: FunctionDelta) -> bool:
        """Whether a delta for a known index is a new call all the same."""
        if told_id and known.told_id and told_id != known.told_id:
            return bool(name)
        if not name or not known.given:
            return False
        if told_id and told_id == known.told_id:
            # The same id once more: a repetition, unless something follows what is whole.
            return bool(function.arguments or name != known.name) and known.whole
        return name != known.name or known.whole

    def _advance(self, out: list[Event]) -> None:
        """Gives out what the call at the head has, and goes on to the next once it is complete."""
        while self._current < len(self._calls):
            call = self._calls[self._current]
            if call.given:
                self._give(call, out)
            if self._current + 1 == len(self._calls) or not call.arguments.done:
                return
            self._end(out, truncated=False)

    def _give(self, call: _Call, out: list[Event]) -> None:
        if not call.started:
            call.started = True
            out.append(ToolCallStarted(self._current, new_call_id(), call.name))
        out += [ToolCallDelta(self._current, text) for text in call.ready if text]
        call.ready.clear()

    def _end(self, out: list[Event], *, truncated: bool) -> None:
        call = self._calls[self._current]
        call.end(truncated=truncated)
        self._give(call, out)
        if problem := call.arguments.problem:
            self.notes.append(f"the arguments of the call to {call.name[:80]!r} {problem}")
        out.append(ToolCallFinished(self._current, complete=not truncated or call.arguments.readable))
        self._current += 1


class _Arguments:
    """One call's arguments: an object streams as strict JSON, all else waits for its end."""

    __slots__ = ("_head", "_json", "_live", "_raw", "_unread", "problem")

    def __init__(self) -> None:
        self.problem = ""
        self._json = JsonTransducer()
        self._live = False
        self._raw: list[str] = []
        # The beginning, as long as it may be that of an object.
        self._head: str | None = ""
        # What is not given out of an object yet; none once anything had to be mended.
        self._unread: str | None = ""

    @property
    def done(self) -> bool:
        """Whether this is a whole object, also while its last quote might still belong to a string."""
        return self._live and self._json.ends_here

    @property
    def readable(self) -> bool:
        """At the end: whether this was a whole object when the answer was cut after it."""
        return self.done or (not self._live and bool(self._raw) and not self.problem)

    def feed(self, text: str) -> str:
        if not self._live:
            self._raw.append(text)
            text = self._object_in(text)
            if not text:
                return ""
            self._live = True
            self._raw.clear()
        elif self._json.broken:
            return text
        out = self._json.feed(text)
        if self._unread is not None:
            written = self._unread + text
            self._unread = written[len(out) :] if written.startswith(out) else None
        if self._json.broken:
            # What cannot be read goes on as it is, as OpenAI's own servers do.
            self.problem = "are not valid JSON"
            out += self._json.rest
        return out

    def _object_in(self, text: str) -> str:
        """The beginning of an object, if one begins in what came so far."""
        if self._head is None:
            return ""
        head = (self._head + text).lstrip()
        begin = _LEAKED.sub("", head)
        if begin.startswith("{"):
            return begin
        may_be_header = head.startswith("<") and len(head) < _LONGEST_HEADER
        self._head = head if may_be_header or not head else None
        return ""

    def finish(self, *, truncated: bool) -> str:
        if not self._live:
            return self._judge("".join(self._raw).strip())
        if self._json.done or self._json.broken:
            return ""
        try:
            rest = self._json.finish()
        except JsonBroken as broken:
            self.problem = "end in the middle" if broken.truncated else "are not valid JSON"
            return self._unread or broken.output
        if self._json.missing and truncated:
            self.problem = "end in the middle"
            return rest.removesuffix(self._json.missing)
        return rest

    def _judge(self, text: str) -> str:
        """Arguments that are no plain object: nothing, an object in a list or string, or something else."""
        inner = _unfenced(text)
        if inner in ("", "null", "None", '""'):
            return "{}"
        try:
            value = _decoded(inner)
            for _ in range(2):
                if isinstance(value, list) and len(value) == 1:
                    value = value[0]
                if isinstance(value, str):
                    value = _decoded(value)
            if isinstance(value, dict):
                return json.dumps(value, ensure_ascii=False)
        except RecursionError:
            pass
        self.problem = "are not a JSON object"
        return text


def _unfenced(text: str) -> str:
    """What a Markdown fence around the whole of ``text`` holds."""
    fence = text[:3]
    if fence not in ("```", "~~~") or len(text) < 2 * len(fence) or not text.endswith(fence):
        return text
    return _INFO.sub("", text.strip(fence[0])).strip()


def _decoded(text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except ValueError:
        pass
    if len(text) > _LONGEST_MENDED:
        return None
    machine = JsonTransducer()
    try:
        strict = machine.feed(text) + machine.finish()
        if machine.rest.strip(_CLOSERS):
            return None
        return json.loads(strict)
    except ValueError:
        return None
