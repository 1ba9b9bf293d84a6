"""The conversation so far as tagged text, every call next to its own result.

That is the only order gpt-oss saw in training; pairing is then positional and ids are not needed.
Source: docs/design/emulation.md, "History".
"""

import json
import re
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from msgspec import Struct, field

from ...core.turn import (
    AssistantMessage,
    InstructionMessage,
    Message,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from .names import NameMap
from .neutralise import ClientText
from .typescript import compact

NO_RESULT: Final = "(no result was returned)"
UNKNOWN: Final = "unknown"
# The model's format has no other way to say it.
_FAILED: Final = "The tool call failed:"
_FAILED_SILENTLY: Final = "The tool call failed and returned nothing."


def result_text(result: ToolResultMessage) -> str:
    """What the model reads as the tool's output: it is told in words where the tool failed."""
    if not result.is_error:
        return result.text
    return f"{_FAILED}\n{result.text}" if result.text.strip() else _FAILED_SILENTLY


_ROLES: Final = {"": "", **{role: f' role="{role}"' for role in ("user", "assistant", "developer")}}


class TaggedBlock(Struct, frozen=True, gc=False):
    """One tagged block. ``source`` is the index of the message it comes from; texts are cleaned."""

    tag: str
    role: str
    extra: str
    body: str
    source: int

    def render(self, key: str) -> str:
        body = f"{self.body}\n" if self.body else ""
        return f'<{self.tag}{_ROLES[self.role]} key="{key}"{self.extra}>\n{body}</{self.tag}>\n'


class PairedCall(Struct):
    """A call and what answered it, with the index of each answer's message."""

    call: ToolCall
    results: list[tuple[int, ToolResultMessage]] = field(default_factory=list)


class Pairing(Struct):
    """Which results belong to which call, and which to none."""

    calls: dict[int, list[PairedCall]]
    orphans: set[int]


def pair(messages: Sequence[Message]) -> Pairing:
    """Gives each result to the call it answers.

    By id, where the latest call with an id counts and equal ids of one message are answered in order;
    without an id by the tool's name, else to the first call without a result.
    """
    calls: dict[int, list[PairedCall]] = {}
    orphans: set[int] = set()
    by_id: dict[str, deque[PairedCall]] = {}
    by_name: dict[str, deque[PairedCall]] = {}
    in_order: deque[PairedCall] = deque()
    for index, message in enumerate(messages):
        if isinstance(message, AssistantMessage) and message.tool_calls:
            made = calls[index] = [PairedCall(call) for call in message.tool_calls]
            fresh: dict[str, deque[PairedCall]] = {}
            for each in made:
                fresh.setdefault(each.call.id, deque()).append(each)
                by_name.setdefault(each.call.name, deque()).append(each)
            by_id.update(fresh)
            in_order += made
        elif isinstance(message, ToolResultMessage):
            if message.call_id is not None:
                found = _first_unanswered(by_id.get(message.call_id), last=True)
            else:
                found = _first_unanswered(in_order if message.name is None else by_name.get(message.name))
            if found is None:
                orphans.add(index)
                continue
            found.results.append((index, message))
    return Pairing(calls, orphans)


def _first_unanswered(calls: deque[PairedCall] | None, *, last: bool = False) -> PairedCall | None:
    """The first of ``calls`` without a result; where all have one none, or the ``last`` of them."""
    if not calls:
        return None
    while calls[0].results and len(calls) > 1:
        calls.popleft()
    return calls[0] if last or not calls[0].results else None


def called_names(messages: Sequence[Message]) -> list[str]:
    """Every tool name that a transcript of ``messages`` may show."""
    names: list[str] = []
    for message in messages:
        if isinstance(message, AssistantMessage):
            if message.tool_calls:
                names += [call.name for call in message.tool_calls]
        elif isinstance(message, ToolResultMessage) and message.name:
            names.append(message.name)
    return names


def _last(messages: Sequence[Message], kind: type[Message]) -> int:
    """The index of the last message of that ``kind``, -1 without one."""
    for index in range(len(messages) - 1, -1, -1):
        if isinstance(messages[index], kind):
            return index
    return -1


class Transcript:
    """Makes the entries of a conversation. ``declared`` are the client's tools, ``names`` also old ones."""

    def __init__(self, client: ClientText, declared: NameMap, names: NameMap) -> None:
        self._client = client
        self._declared = declared
        self._names = names
        self._entries: list[TaggedBlock] = []
        # Makes the text of a message itself safe.
        self._inside: Callable[[str], str] = client.inside

    def entries(
        self, messages: Sequence[Message], start: int = 0, skip: int | None = None
    ) -> list[TaggedBlock]:
        """The blocks of ``messages`` from ``start`` on, but for ``skip``; empty messages make none."""
        shown = messages[start:] if skip is None else (*messages[start:skip], *messages[skip + 1 :])
        clean = self._client.include_clean([message.text for message in shown])
        self._inside = str if clean else self._client.inside
        pairing: Pairing | None = None
        last_user, last_assistant = _last(messages, UserMessage), _last(messages, AssistantMessage)
        entries = self._entries = list[TaggedBlock]()
        for index in range(start, len(messages)):
            if index == skip:
                continue
            message = messages[index]
            if isinstance(message, UserMessage):
                self._message("user", message.text, index, message.name)
            elif isinstance(message, AssistantMessage):
                # Harmony keeps the reasoning of a turn that is still under way.
                if message.reasoning and index > last_user and message.tool_calls:
                    self._message("assistant", message.reasoning, index, apart=' channel="analysis"')
                self._assistant(message, index)
                if message.tool_calls:
                    pairing = pairing or pair(messages)
                    # That a result is missing in the end is news of the last message.
                    missing = len(messages) - 1 if index == last_assistant else index
                    for call in pairing.calls[index]:
                        self._call(call, index, missing)
            elif isinstance(message, InstructionMessage):
                self._message("developer", message.text, index)
            else:
                pairing = pairing or pair(messages)
                if index in pairing.orphans:
                    self._result(self._names.shown(message.name) if message.name else UNKNOWN, message, index)
        return entries

    def _message(
        self, role: str, text: str, source: int, name: str | None = None, *, apart: str | None = None
    ) -> None:
        """Shows a message's text, or one that stands apart from it, with ``apart`` as further attributes."""
        if not text or text.isspace():
            return
        extra = apart or ""
        if name:
            extra += f' name="{self._client.attribute(name)}"'
        body = self._inside(text) if apart is None else self._client.inside(text)
        self._entries.append(TaggedBlock("message", role, extra, body, source))

    def _assistant(self, message: AssistantMessage, source: int) -> None:
        # Raw blocks that once failed to be read must not become an example to follow.
        if "<tool_call" not in message.text:
            self._message("assistant", message.text, source, message.name)
        else:
            for piece in split_raw_calls(message.text, self._declared):
                if isinstance(piece, str):
                    self._message("assistant", piece, source, message.name)
                else:
                    self._call(PairedCall(piece), source, source)
        if message.refusal:
            self._message("assistant", message.refusal, source, message.name, apart="")

    def _call(self, paired: PairedCall, source: int, missing: int) -> None:
        call = paired.call
        shown = self._names.shown(call.name)
        if call.kind == "custom":
            arguments = compact({"input": call.arguments}) or ""
        else:
            arguments = call.arguments.strip() or "{}"
        body = self._client.inside(arguments, json=True)
        self._entries.append(TaggedBlock("tool_call", "", f' name="{shown}"', body, source))
        for index, result in paired.results:
            self._result(shown, result, index)
        if not paired.results:
            self._entries.append(TaggedBlock("tool_result", "", f' name="{shown}"', NO_RESULT, missing))

    def _result(self, shown: str, result: ToolResultMessage, source: int) -> None:
        body = self._client.inside(result_text(result)) if result.is_error else self._inside(result.text)
        self._entries.append(TaggedBlock("tool_result", "", f' name="{shown}"', body, source))


_OPENER: Final = re.compile(r"^[ \t]*<tool_call([^<>\n]{0,360})>\s*(?=[{\[])", re.MULTILINE)
_CLOSER: Final = re.compile(r"\s*(?:</tool_calls?>[ \t]*)?$", re.MULTILINE)
_ATTRIBUTE_NAME: Final = re.compile(r"""\bname\s*=\s*["']?([^\s"'>]{1,200})""")
_FENCE: Final = re.compile(r"^ {0,3}(?:```|~~~)", re.MULTILINE)
_DECODER: Final = json.JSONDecoder()

# More blocks than this in one message are no calls that failed, nor are longer ones, or those of a message
# that is longer still.
_OPENERS: Final = 100
_LONGEST_BLOCK: Final = 64 * 1024
_LONGEST_MESSAGE: Final = 512 * 1024


def split_raw_calls(text: str, declared: NameMap) -> list[str | ToolCall]:
    """``text`` with the calls of declared tools that stand in it as raw blocks, outside code fences.

    Reads the keyed form and the form with name and arguments in one JSON object; whatever else looks like
    a block stays text.
    """
    if "<tool_call" not in text or not declared.to_model or len(text) > _LONGEST_MESSAGE:
        return [text]
    pieces: list[str | ToolCall] = []
    done = scanned = fences = 0
    for opener in islice(_OPENER.finditer(text), _OPENERS):
        fences += sum(1 for _ in _FENCE.finditer(text, scanned, opener.start()))
        scanned = opener.start()
        if fences % 2 or scanned < done:
            continue
        try:
            value, length = _DECODER.raw_decode(text[opener.end() : opener.end() + _LONGEST_BLOCK])
        except (ValueError, RecursionError):
            continue
        end = opener.end() + length
        closer = _CLOSER.match(text, end)
        call = _raw_call(opener[1], value, text[opener.end() : end], declared) if closer else None
        if closer and call:
            pieces += (text[done:scanned].strip(), call)
            done = closer.end()
    return [*pieces, text[done:].strip()] if done else [text]


def _raw_call(attributes: str, value: object, body: str, declared: NameMap) -> ToolCall | None:
    if not isinstance(value, dict):
        return None
    if named := _ATTRIBUTE_NAME.search(attributes):
        name = declared.client(named[1])
        return None if name is None else ToolCall("", name, body)
    inner, arguments = value.get("name"), value.get("arguments")
    if not isinstance(inner, str) or not isinstance(arguments, dict):
        return None
    name = declared.client(inner)
    return None if name is None else ToolCall("", name, compact(arguments) or "{}")
