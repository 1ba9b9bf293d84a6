"""What the events of an upstream turn are for one answer: its text, its calls, and what must wait.

The text runs through the tool-call parser, the stop strings, the token limit and the check of its form.
"""

from collections.abc import Sequence
from math import inf
from typing import Any, Final

from msgspec.structs import replace

from ...core.errors import UpstreamSchemaMismatch
from ...core.events import (
    Event,
    Finished,
    FinishReason,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallFinished,
    ToolCallStarted,
    Usage,
    UsageReported,
)
from ...loop import LIGHT
from ...text.json_stream import JsonBroken
from ...text.schema import compile_schema
from ...text.tokens import Tokens
from ...text.tool_calls import CallArgs, CallEnd, CallStart, Cancel, Content, ParserEvent, Problem, Reasoning
from ..plan import Plan
from .attempt import Attempt
from .calls import CallWriter, HeldCall, parser_config, strict_weight
from .checking import CHARACTERS_AT_ONCE, LOOKS_AT_ONCE
from .delivered import Delivered
from .ending import Ending
from .json_gate import JsonGate
from .kept import KeptAnswer
from .outlet import Outlet
from .repair import RepairBudget

# What stands around the text of an answer and is not delivered itself.
_FRAME: Final = (Started, Finished, UsageReported)
_MOST_NOTES: Final = 8
_LONGEST_NOTE: Final = 300
_ANY_OBJECT: Final[dict[str, Any]] = {"type": "object"}
# What ends the writing of something that is then judged.
_ENDS: Final = frozenset("}]>`")


class AnswerReading:
    """Reads the batches of one upstream turn, and of those that repair it; it decides nothing at their end.

    ``cut`` says that the rest of the upstream turn is not wanted: what is fed then is only watched for its
    ``ending``. ``started`` is the latest turn's. ``plan`` may be exchanged for one that sends the same in
    another thread.
    """

    def __init__(self, plan: Plan, tokens: Tokens) -> None:
        self.started: Started | None = None
        self.reported_usage: Usage | None = None
        self.delivered = Delivered()
        self.cut = False
        self.ending = Ending()
        self.plan = plan
        self._budget = RepairBudget(strict_format=plan.turn.output_format.strict)
        self._notes: list[str] = []
        self._reason: FinishReason | None = None
        self._stop_sequence: str | None = None  # Of the upstream's telling.
        self._shortened = False  # Something ended in the middle.
        self._muted = False  # The text of a repair adds nothing to what was delivered.
        self._kept: KeptAnswer | None = None
        self._keeping = False  # The rest of this attempt joins what is kept.
        self._gate = _gate(plan)
        self._outlet = Outlet(plan.max_tokens, tokens, self._gate)
        self._config = self._calls = None
        if plan.tools and plan.prompt is not None:
            self._config = parser_config(plan.turn, plan.prompt)
            self._calls = CallWriter(plan.prompt, self._outlet)
        self._attempt = Attempt(plan, self._config)
        # Looks that each character of what is judged as a whole may lead to.
        self._call_weight = 0.0
        if self._config is not None:
            heavy = plan.turn.weight > LIGHT and any(tool.strict for tool in plan.turn.tools)
            self._call_weight = inf if heavy else strict_weight(plan.turn.tools)
        self._shown = (TextDelta, ReasoningDelta) if plan.turn.show_reasoning else (TextDelta,)
        self._passes = self._attempt.plain and self._gate is None and plan.max_tokens is None

    def takes_long(self, batch: Sequence[Event]) -> bool:
        """Whether to feed ``batch`` may stop everybody else, so that it is better done aside."""
        size = 0
        for event in batch:
            if type(event) is TextDelta or type(event) is ReasoningDelta:
                size += len(event.text)
        if size > CHARACTERS_AT_ONCE or not self._call_weight:
            return size > CHARACTERS_AT_ONCE
        waiting = self._attempt.undecided
        if not waiting or (waiting + size) * self._call_weight <= LOOKS_AT_ONCE:
            return False
        return any(type(event) is TextDelta and not _ENDS.isdisjoint(event.text) for event in batch)

    @property
    def ends_slowly(self) -> bool:
        """The same for the end of an upstream turn."""
        size = self._attempt.size
        weight = max(self._call_weight, 0 if self._gate is None else self._gate.weight)
        return size > CHARACTERS_AT_ONCE or (size > 0 and size * weight > LOOKS_AT_ONCE)

    def feed(self, batch: Sequence[Event]) -> Sequence[Event]:
        """What of ``batch`` may be delivered now.

        Raises:
            UpstreamSchemaMismatch: when JSON that is already on its way to the client breaks.
            UpstreamFailure: when the answer has no end.
        """
        if self._passes:
            shown = self._shown
            out = [event for event in batch if type(event) in shown]
            if len(out) == len(batch):
                self.delivered.add(out)
                return out
            frame = [event for event in batch if type(event) in _FRAME]
            if len(out) + len(frame) == len(batch):
                for event in frame:
                    self._event(event)
                self.delivered.add(out)
                return out
        try:
            for event in batch:
                if self.cut:
                    self.ending.watch(event)
                else:
                    self._event(event)
        except JsonBroken as broken:
            raise broken_json("broke on its way", broken) from None
        return self._taken()

    def _event(self, event: Event) -> None:
        match event:
            case TextDelta(text):
                self._text(text)
            case ReasoningDelta(text):
                self._reasoning(text)
            case Started():
                # A repair continues what the first turn began.
                self.started = event if self.started is None else replace(event, thread=self.started.thread)
            case Finished(reason, _, notes, stop_sequence):
                self._reason = self.ending.reason = reason
                self._stop_sequence = stop_sequence
                for note in notes:
                    self._note(note)
            case UsageReported(usage):
                self.reported_usage = usage
            case ToolCallStarted():
                self._outlet.start(event)
            case ToolCallDelta(index, arguments):
                self._outlet.arguments(index, arguments)
            case ToolCallFinished(index):
                self._outlet.finish(index)
            case RefusalDelta(text):
                self._outlet.refuse(text)
            case _:
                pass
        if self._over:
            self.cut = True

    def _reasoning(self, text: str) -> None:
        self._attempt.think(text)
        # The thoughts about a repair are not those that led to the answer.
        if not self._muted and self.plan.turn.show_reasoning:
            self._outlet.reasoning(text)

    def _text(self, text: str) -> None:
        events = self._attempt.feed(text)
        if events is None:
            self._content(text)
        else:
            self._parsed(events)

    def _parsed(self, events: Sequence[ParserEvent]) -> None:
        for event in events:
            if self._over:
                return
            match event:
                case Content(text):
                    self._content(text)
                case Reasoning(text):
                    self._reasoning(text)
                case Problem():
                    self._problem(event)
                case Cancel():
                    self.cut = True
                case CallStart() | CallArgs() | CallEnd() if self._keeping:
                    self._keep(event)
                case CallStart() | CallArgs() | CallEnd():
                    self._call(event)

    def _content(self, text: str) -> None:
        if self._keeping:
            assert self._kept is not None
            self._kept.text(text)
            return
        attempt = self._attempt
        if not attempt.said and text.strip():
            attempt.said = True
        if self._muted and (self._gate is None or self._gate.sent):
            return
        passed, _ = attempt.scan(text)
        if passed:
            self._outlet.text(passed)

    def _call(self, event: CallStart | CallArgs | CallEnd) -> None:
        calls, attempt = self._calls, self._attempt
        assert calls is not None
        match event:
            case CallStart(index, name):
                # Text that might have become a stop string or an escape stays before the call.
                self._outlet.text(attempt.last_content())
                if not self._over:
                    attempt.begun[index] = HeldCall(name)
                    calls.start(name)
            case CallArgs(index, text):
                if self._kept is not None:
                    attempt.begun[index].parts.append(text)
                calls.arguments(text)
            case CallEnd():
                calls.end()

    def _keep(self, event: CallStart | CallArgs | CallEnd) -> None:
        assert self._kept is not None
        match event:
            case CallStart(index, name):
                self._kept.start(index, name)
            case CallArgs(index, text):
                self._kept.arguments(index, text)

    def _problem(self, problem: Problem) -> None:
        begun = self._attempt.begun
        if problem.code == "E_HALLU":
            self._note("what the model invented after the call was dropped")
        elif self._keeping:
            assert self._kept is not None
            self._kept.complain(problem)
        elif not begun and self._kept is None and self._budget.allows("tools"):
            self._kept = KeptAnswer(problem)
            self._keeping = True
        else:
            self._note(f"{problem.code}: {problem.detail}")
            self._shortened |= problem.index in begun or problem.code == "E_TRUNC"

    def _taken(self) -> list[Event]:
        out = self._outlet.take()
        self.delivered.add(out)
        return out

    def _note(self, text: str) -> None:
        if len(self._notes) < _MOST_NOTES:
            self._notes.append(text[:_LONGEST_NOTE])

    @property
    def _over(self) -> bool:
        """Nothing that follows in this attempt can be delivered."""
        gate = self._gate
        return self._outlet.reached or self._attempt.stopped or (gate is not None and gate.over)

    @property
    def _begun(self) -> bool:
        return self.delivered.called or (self._calls is not None and self._calls.begun)


def _gate(plan: Plan) -> JsonGate | None:
    """What checks the form of the answer; where a call is demanded, no text is the answer."""
    if not plan.format:
        return None
    form = plan.turn.output_format
    must_call = plan.tools and plan.turn.tool_choice.mode in ("required", "named")
    schema = compile_schema(_ANY_OBJECT if form.schema is None else form.schema)
    live = form.schema is None and not must_call
    return JsonGate(schema, form.name, live=live, streamed=plan.turn.streamed)


def broken_json(how: str, broken: JsonBroken) -> UpstreamSchemaMismatch:
    return UpstreamSchemaMismatch(f"The JSON of the answer {how}: {broken.reason}. Ask again.")
