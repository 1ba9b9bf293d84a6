"""An upstream that plays prepared answers, and everything a client would see of them.

Every conversation is played in pieces of several sizes, and what comes out must be the same. In the
answers ``KEY`` stands for the key that the prompt demands.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from msgspec.structs import replace

from gptoss_api.core.errors import GatewayError
from gptoss_api.core.events import (
    ChoiceStarted,
    Event,
    Events,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ThreadUse,
    ToolCallDelta,
    ToolCallFinished,
    ToolCallStarted,
    Usage,
    UsageReported,
)
from gptoss_api.core.result import Choice, Collector
from gptoss_api.core.turn import Message, OutputFormat, Tool, Turn, UserMessage
from gptoss_api.emulation import EmulatedUpstream, EmulationSettings
from gptoss_api.text.tokens import Tokens
from gptoss_api.upstreams.base import Capabilities, Health
from tests.pulled import GivesBatches, opened
from tests.text.parsing import cut, pieces_of

TOKENS = Tokens()
TEXT_ONLY = Capabilities(threads=True)
_KEY = re.compile(r'key="(\w+)"')


@dataclass(frozen=True, slots=True)
class Thought:
    text: str


@dataclass(frozen=True, slots=True)
class Forever:
    """``text`` over and over, until the upstream turn is left."""

    text: str


Step = str | Thought | Forever | Event | GatewayError
Answer = Step | Sequence[Step]


class ScriptedUpstream(GivesBatches):
    """Answers turn after turn from ``answers``, in pieces that ``cutter`` makes, ``batch`` in each read.

    ``asked`` are the turns, ``aborted`` says of each whether it was left before its end, ``open_turns`` how
    many are under way. A ``patient`` upstream lets others run between its reads.
    """

    name = "scripted"

    def __init__(
        self,
        answers: Sequence[Answer],
        cutter: Callable[[str], list[str]],
        *,
        capabilities: Capabilities = TEXT_ONLY,
        batch: int = 1,
        patient: bool = False,
    ) -> None:
        self.capabilities = capabilities
        self.open_turns = 0
        self._patient = patient
        self.asked: list[Turn] = []
        self.aborted: list[bool] = []
        self._answers = list(answers)
        self._cutter = cutter
        self._batch = batch

    @asynccontextmanager
    async def open(self, turn: Turn) -> AsyncIterator[AsyncIterator[Events]]:
        number = len(self.asked)
        self.asked.append(turn)
        self.aborted.append(True)
        assert self._answers, f"a further turn was asked for: {turn.messages}"
        answer = self._answers.pop(0)
        self.open_turns += 1
        try:
            yield self._play([answer] if isinstance(answer, Step) else answer, turn, number)
        finally:
            self.open_turns -= 1

    async def health(self) -> Health:
        return Health(True)

    async def close(self) -> None:
        pass

    async def _play(self, steps: Sequence[Step], turn: Turn, number: int) -> AsyncIterator[Events]:
        batch: list[Event] = []
        failure: GatewayError | None = None
        for event in self._events(steps, turn, number):
            if isinstance(event, GatewayError):
                failure = event
                break
            if self._patient:
                await asyncio.sleep(0)
            batch.append(event)
            if len(batch) >= self._batch:
                yield batch
                batch = []
        if batch:
            yield batch
        self.aborted[number] = False
        if failure is not None:
            raise failure

    def _events(self, steps: Sequence[Step], turn: Turn, number: int) -> Iterator[Event | GatewayError]:
        thread = turn.thread.id if turn.thread is not None else f"thread-{number}"
        if not isinstance(steps[0], GatewayError):
            use: ThreadUse = "new" if turn.thread is None else "reused"
            yield Started(self.name, turn.model, use, thread, "account")
        for step in steps:
            match step:
                case str(text):
                    yield from map(TextDelta, self._cutter(text.replace("KEY", self.key)))
                case Thought(text):
                    yield from map(ReasoningDelta, self._cutter(text.replace("KEY", self.key)))
                case Forever(text):
                    while True:
                        yield TextDelta(text)
                case _:
                    yield step
        if not any(isinstance(step, Finished) for step in steps):
            yield Finished("stop")

    @property
    def key(self) -> str:
        """The key that the first prompt demands."""
        found = _KEY.search(self.asked[0].messages[0].text)
        return found[1] if found else "none"


@dataclass
class Outcome:
    """What a client was given, and what the upstream was asked for it."""

    upstream: ScriptedUpstream
    batches: list[Events] = field(default_factory=list)
    error: GatewayError | None = None

    @property
    def events(self) -> list[Event]:
        return [event for batch in self.batches for event in batch]

    @property
    def asked(self) -> list[Turn]:
        return self.upstream.asked

    @property
    def prompts(self) -> list[str]:
        """The last message of every upstream turn."""
        return [turn.messages[-1].text for turn in self.asked]

    @property
    def collected(self) -> Collector:
        collector = Collector()
        for batch in self.batches:
            collector.feed(batch)
        return collector

    @property
    def started(self) -> Started:
        started = self.collected.started
        assert started is not None
        return started

    @property
    def usage(self) -> Usage:
        usage = self.collected.usage
        assert usage is not None
        return usage

    @property
    def choice(self) -> Choice:
        """The only choice of an answer without an error."""
        assert self.error is None, self.error
        [choice] = self.collected.choices
        return choice

    @property
    def text(self) -> str:
        return self.choice.text

    @property
    def calls(self) -> list[tuple[str, str]]:
        return [(call.name, call.arguments) for call in self.choice.tool_calls]

    @property
    def reason(self) -> str | None:
        return self.choice.finish_reason

    @property
    def summary(self) -> dict[str, Any]:
        """What must not depend on the pieces in which the upstream wrote."""
        choices = [
            (
                choice.text,
                choice.reasoning,
                choice.refusal,
                [(call.name, call.arguments, call.kind) for call in choice.tool_calls],
                choice.finish_reason,
                choice.repairs,
                choice.notes,
            )
            for choice in self.collected.choices
        ]
        return {
            "choices": choices if self.error is None else None,
            "error": self.error and (type(self.error), self.error.message),
            "usage": self.collected.usage,
            "prompts": self.prompts[1:],
        }


async def play(
    turn: Turn, upstream: ScriptedUpstream, settings: EmulationSettings, tokens: Tokens = TOKENS
) -> Outcome:
    outcome = Outcome(upstream)
    try:
        async with opened(EmulatedUpstream(upstream, tokens, settings), turn) as batches:
            async for batch in batches:
                outcome.batches.append(batch)
    except GatewayError as error:
        outcome.error = error
    check_order(outcome)
    return outcome


def check_order(outcome: Outcome) -> None:
    """The grammar of a turn's events (:mod:`gptoss_api.core.events`)."""
    events = outcome.events
    assert all(outcome.batches), "an empty batch"
    assert not events or isinstance(events[0], Started)
    finished = True
    calls: dict[int, bool] = {}
    for position, event in enumerate(events):
        match event:
            case Started():
                assert position == 0, "a second beginning"
                finished = False
            case ChoiceStarted():
                assert finished, "a choice before the last one's end"
                finished, calls = False, {}
            case TextDelta(text) | ReasoningDelta(text) | RefusalDelta(text):
                assert text, "an empty delta"
                assert not finished
                assert not calls or isinstance(event, ReasoningDelta), "text after a call"
            case ToolCallStarted(index):
                assert index == len(calls)
                calls[index] = False
            case ToolCallDelta(index, arguments):
                assert arguments, "an empty delta"
                assert calls[index] is False
            case ToolCallFinished(index):
                assert calls[index] is False
                calls[index] = True
            case Finished(reason):
                assert not finished
                finished = True
                assert reason == "length" or all(calls.values()), "an unfinished call"
            case UsageReported():
                assert event is events[-1]
    assert outcome.error is not None or isinstance(events[-1], UsageReported)


def answered(
    turn: Turn,
    *answers: Answer,
    repair: Literal["strict", "best_effort"] = "strict",
    capabilities: Capabilities = TEXT_ONLY,
) -> Outcome:
    """What comes of ``turn``, the same in pieces of every size; the outcome is that of pieces of four."""
    settings = EmulationSettings(secret=b"secret", repair=repair)

    def played(cutter: Callable[[str], list[str]], batch: int = 1) -> Outcome:
        upstream = ScriptedUpstream(answers, cutter, capabilities=capabilities, batch=batch)
        return asyncio.run(play(turn, upstream, settings))

    fours = played(lambda text: pieces_of(text, 4))
    others = [
        played(_whole),
        played(_whole, batch=1000),
        played(lambda text: pieces_of(text, 1)),
        played(lambda text: cut(text, 1), batch=3),
        played(lambda text: cut(text, 2)),
    ]
    for other in others:
        assert other.summary == fours.summary
    return fours


def _whole(text: str) -> list[str]:
    return [text] if text else []


def asks(
    *messages: str | Message, tools: Sequence[Tool] = (), form: OutputFormat | None = None, **settings: Any
) -> Turn:
    """A turn that asks for something; strings are user messages."""
    said = [UserMessage(each) if isinstance(each, str) else each for each in messages or ("Hello!",)]
    turn = Turn("gpt-oss-120b", tuple(said), tools=tuple(tools), **settings)
    return turn if form is None else replace(turn, output_format=form)


def block(arguments: str, name: str = "get_weather") -> str:
    return f'<tool_call key="KEY" name="{name}">\n{arguments}\n</tool_call>'


_CITY = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = Tool("get_weather", "Weather of a city.", _CITY)
STRICT = Tool("get_time", "Time in a city.", {**_CITY, "additionalProperties": False}, strict=True)
NOTE = Tool("note", "Write something down.", kind="custom")
PARIS = '{"city": "Paris"}'
CALL = block(PARIS)
STRICT_CALL = block(PARIS, "get_time")
PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}


def schema(source: dict[str, Any] = PERSON, *, strict: bool = True, name: str = "person") -> OutputFormat:
    return OutputFormat("json_schema", name, source, strict)


OBJECT = OutputFormat("json_object")
