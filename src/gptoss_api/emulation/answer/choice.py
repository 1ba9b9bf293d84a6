"""One choice of an answer: what upstream turns say goes in, what the client gets comes out.

Theory of operation. :meth:`ChoiceMachine.feed` takes the batches of an upstream turn and gives back what may
be delivered of each; when the turn is over, or its rest is not wanted (``cut``), :meth:`~ChoiceMachine.end`
says what follows: the answer is :class:`Complete`, or the model has to be asked again (:class:`Repair`) and
the batches of a further turn are fed in the same way, or the choice has :class:`Failed`. The machine does no
I/O and waits for nothing; who drives it sends the repairs and delivers the events.

A batch in which a glance shows nothing but text takes :meth:`~ChoiceMachine.passed` instead, and an answer of
such batches :meth:`~ChoiceMachine.end_of_plain`; both come to what the others would.

Within a turn everything goes one way, and each station may hold something back until more has come::

    batch -> Attempt: Harmony that leaked, calls in text, escapes, stop strings
          -> Output:  token limit, then the check of JSON
          -> client

Nothing that was delivered is ever taken back, so that what may need a repair is held until that is known:

==========  ==========================================  ===================================================
state       begins                                      what is held back
==========  ==========================================  ===================================================
READING     with the first turn, and with one that      what may become a call, a control token, an escape
            repairs a form or an empty answer           or a stop string; near the limit, the last words;
                                                        JSON until it is known to be JSON (``JsonGate``)
HOLDING     with the first flaw of a call, unless a     the same, and everything from the flaw on, text and
            call has begun or the budget is spent       calls (``HeldAnswer``)
MENDING     with a turn that repairs calls              what HOLDING held, until the calls have come that
                                                        stand for the flawed ones; text of this turn adds
                                                        nothing and is dropped, unless JSON is still wanted
==========  ==========================================  ===================================================

HOLDING ends with its turn. Where the upstream cut the answer off, or a repair failed or did not bring
everything, what was held is delivered as it is, with a note.

(docs/design/emulation.md, "Repairs" and "What was delivered stays".)
"""

from collections.abc import Sequence
from enum import Enum, auto
from functools import cached_property
from itertools import groupby
from math import inf
from operator import attrgetter
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from ...core.errors import GatewayError, UndeclaredToolCalled, UpstreamEmpty, UpstreamSchemaMismatch
from ...core.events import (
    Event,
    Events,
    Finished,
    FinishReason,
    LogprobsDelta,
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
from ...core.turn import AssistantMessage
from ...text.harmony import Run
from ...text.json_stream import JsonBroken
from ...text.schema import Unchecked, compile_schema
from ...text.tokens import Tokens
from ...text.tool_calls import (
    CallArgs,
    CallEnd,
    CallStart,
    Cancel,
    Content,
    ParserEvent,
    Problem,
    Reasoning,
)
from .attempt import Attempt
from .calls import CallReading, FittedCalls, strict_weight
from .checking import TOO_LONG
from .collected import CollectedCalls
from .ending import Ending
from .held import HeldAnswer, HeldCall
from .json_gate import JsonGate
from .output import Delivered, Output
from .reasoned_call import call_in_reasoning
from .repair import (
    Kind,
    RepairBudget,
    empty_nudge,
    format_request,
    is_native_call,
    may_pass,
    no_call_request,
    problem_request,
    rejected_request,
    undeclared_request,
)
from .spec import AnswerSpec
from .structured import JsonMismatch

# Characters of text, times the looks that each may lead to, up to which reading is cheaper than a thread.
CHARACTERS_AT_ONCE: Final = 16_384
LOOKS_AT_ONCE: Final = 2_000
# What stands around the text of an answer and is not delivered itself.
_FRAME: Final = (Started, Finished, UsageReported)
_text_of: Final = attrgetter("text")
# What ends the writing of something that is then judged.
_ENDS: Final = frozenset("}]>`")
_MOST_NOTES: Final = 8
_LONGEST_NOTE: Final = 300
_LONGEST_MESSAGE: Final = 1_000
_ANY_OBJECT: Final[dict[str, Any]] = {"type": "object"}


class Repair(Struct, frozen=True):
    """The model has to be asked again, with these words; ``events`` can be delivered before that.

    ``anew`` asks the whole turn again, followed by the words if there are any, as if it had never been asked.
    """

    message: str
    events: Sequence[Event]
    anew: bool = False


class Complete(Struct, frozen=True):
    """Nothing further is needed; ``events`` are the choice's last."""

    events: Sequence[Event]


class Failed(Struct, frozen=True):
    """There is no answer; ``events`` can be delivered before the ``error``."""

    error: GatewayError
    events: Sequence[Event] = ()


Verdict = Repair | Complete | Failed


class State(Enum):
    """See the table above."""

    READING = auto()
    HOLDING = auto()
    MENDING = auto()


class ChoiceMachine:
    """Feed every batch of an upstream turn, then :meth:`end` (or :meth:`failed`); the same for each repair.

    ``started`` is the latest turn's, ``reported_usage`` what it said it cost, ``raw_text`` what the latest
    complete one wrote, ``repaired`` what each after the first was to mend, ``repairs`` how many those are.
    ``delivered`` is what the client got.
    ``cut`` says that the rest of the turn is not wanted: what is fed then is only watched for its ``ending``.
    ``strict`` reports what cannot be mended instead of delivering it.
    """

    def __init__(self, spec: AnswerSpec, tokens: Tokens, *, strict: bool) -> None:
        self.started: Started | None = None
        self.reported_usage: Usage | None = None
        self.raw_text = ""
        self.repaired: list[Kind] = []
        self.cut = False
        self.ending = Ending()
        self.delivered = Delivered()
        self._spec = spec
        self._tokens = tokens
        self._strict = strict
        self._state = State.READING
        self._held: HeldAnswer | None = None
        self._notes: list[str] = []
        self._finished: Finished | None = None  # The upstream's, of this turn.
        self._shortened = False  # Something ended in the middle.
        self._rewritten = False  # Something was read that the model did not write so.
        self._form_refused = False  # A repair of the form was asked for.
        self._thought_before = False  # The client has thoughts of an earlier turn.
        self._rejected_calls: list[str] = []  # What is wrong with native calls of this turn.
        self._rejected = ""  # The last answer that had not the form asked for.
        self._gate = _gate(spec) if spec.checks_format else None
        self._reading: CallReading | None = None
        if spec.reads_calls and spec.prompt is not None:
            self._reading = CallReading(spec.turn, spec.prompt, self._fitted)
        self._collected: CollectedCalls | None = None
        if spec.must_call and (bound := spec.bound_calls):
            self._collected = CollectedCalls(bound, self._fitted)
        self._attempt = Attempt(spec, self._reading)
        # Looks that each character of what is judged as a whole may lead to.
        self._call_weight = 0.0
        if self._reading is not None or self._collected is not None:
            strict_tools = [tool for tool in spec.turn.tools if tool.strict]
            if strict_tools:
                self._call_weight = inf if spec.heavy else strict_weight(strict_tools)
        self._shown: tuple[type[Event], ...] = (TextDelta, LogprobsDelta)
        if spec.turn.show_reasoning:
            self._shown = (TextDelta, ReasoningDelta, LogprobsDelta)
        # Whether anything had to be read, judged, or asked for again.
        self._read = False
        unchecked = self._gate is None and spec.max_tokens is None
        self._passes = self._attempt.plain and unchecked
        # Whether content leaves as it is.
        self._straight = unchecked and not self._attempt.scans and not spec.must_call

    # What most answers never need

    @cached_property
    def _output(self) -> Output:
        return Output(self._spec.max_tokens, self._tokens, self._gate, self.delivered)

    @cached_property
    def _fitted(self) -> FittedCalls:
        return FittedCalls(self._spec.turn.tools, self._output)

    @cached_property
    def _native(self) -> CollectedCalls | FittedCalls:
        return self._collected or self._fitted

    @cached_property
    def _budget(self) -> RepairBudget:
        return RepairBudget(strict_format=self._spec.turn.output_format.strict)

    # What a turn says

    def passed(self, batch: Events) -> Events | None:
        """What may be delivered of ``batch`` where a glance tells; else ``None``: it has to be fed.

        Raises:
            UpstreamFailure: when the answer has no end.
        """
        if not self._straight or self._state is not State.READING or self._thought_before or self.cut:
            return None
        size = 0
        runs: list[Run] = []
        out: list[Event] = []
        frame: list[Event] = []
        shows = self._spec.turn.show_reasoning
        # As most are where a model is slower than its network.
        alone = len(batch) == 1
        for kind, events in ((type(batch[0]), batch),) if alone else groupby(batch, type):
            if kind is TextDelta or kind is ReasoningDelta:
                said = list(events)
                texts = [said[0].text] if alone else list(map(_text_of, said))  # type: ignore[union-attr]  # it has
                text = "".join(texts)
                size += len(text)
                if size > CHARACTERS_AT_ONCE or not all(texts):
                    return None
                runs.append((kind, text))
                if shows or kind is TextDelta:
                    out += said
            elif kind in _FRAME:
                frame += events
                if kind is Finished:
                    runs.append((kind, frame[-1].reason))  # type: ignore[union-attr]  # it is one
            else:
                return None
        plain = self._attempt.plain_text
        if not (self._attempt.passes_all(runs) if plain is None else plain.passes(runs)):
            return None
        for event in frame:
            self._framed(event)
        if runs:
            self.delivered.passed(runs, hides=not shows)
        return out

    def takes_long(self, batch: Sequence[Event]) -> bool:
        """Whether to feed ``batch`` may stop everybody else, so that it is better done aside."""
        size = 0
        for event in batch:
            if type(event) is TextDelta or type(event) is ReasoningDelta:
                size += len(event.text)
            elif type(event) is ToolCallDelta:
                size += len(event.arguments)
        if size > CHARACTERS_AT_ONCE or not self._call_weight:
            return size > CHARACTERS_AT_ONCE
        waiting = self._attempt.undecided
        if not waiting or (waiting + size) * self._call_weight <= LOOKS_AT_ONCE:
            return False
        return any(type(event) is TextDelta and not _ENDS.isdisjoint(event.text) for event in batch)

    def feed(self, batch: Sequence[Event]) -> Sequence[Event]:
        """What of ``batch`` may be delivered now.

        Raises:
            UpstreamSchemaMismatch: when JSON that is already on its way to the client breaks.
            UpstreamFailure: when the answer has no end, or is nothing but a call nobody offered.
        """
        self._read = True
        return self._fed(self._attempt.cleaned(batch))

    def _fed(self, batch: Sequence[Event]) -> Sequence[Event]:
        if self._passes:
            shown = self._shown
            out = [event for event in batch if type(event) in shown]
            frame = []
            if len(out) < len(batch):
                frame = [event for event in batch if type(event) in _FRAME]
            if len(out) + len(frame) == len(batch):
                for event in frame:
                    self._event(event)
                if out:
                    self.delivered.add(out)
                return out
        try:
            for event in batch:
                if self.cut:
                    self.ending.watch(event)
                elif (
                    type(event) is TextDelta
                    and self._straight
                    and self._state is State.READING
                    and self._attempt.passes(event.text)
                ):
                    self._output.passed(event)
                else:
                    self._event(event)
        except JsonBroken as broken:
            raise _broken_json("broke on its way", broken) from None
        return self._output.take()

    def _event(self, event: Event) -> None:
        match event:
            case TextDelta(text):
                self._text(text)
            case ReasoningDelta(text):
                self._reasoning(text)
            case Started() | Finished() | UsageReported():
                self._framed(event)
            case ToolCallStarted():
                if self._attempt.scans:
                    # Text that might have become a stop string stays before the call.
                    self._output.text(self._attempt.last_content())
                self._native.start(event)
            case LogprobsDelta():
                self._output.logprobs(event)
            case ToolCallDelta(index, arguments):
                self._native.arguments(index, arguments)
            case ToolCallFinished(index, complete):
                self._native.finish(index, complete=complete)
            case _:
                assert isinstance(event, RefusalDelta)
                self._output.refuse(event.text)
        if self._over:
            self.cut = True

    def _framed(self, event: Event) -> None:
        if isinstance(event, Started):
            # A repair continues what the first turn began.
            self.started = event if self.started is None else replace(event, thread=self.started.thread)
        elif isinstance(event, Finished):
            self._finished = event
            self.ending.reason = event.reason
            for note in event.notes:
                self._note(note)
        else:
            assert isinstance(event, UsageReported)
            self.reported_usage = event.usage

    def _reasoning(self, text: str) -> None:
        self._attempt.think(text)
        # The thoughts about a repair are not those that led to the answer.
        if self._state is State.MENDING:
            return
        if not self._spec.turn.show_reasoning:
            self.delivered.hide(text)
            return
        if self._thought_before:
            # What another turn thought is a paragraph of its own.
            self._thought_before = False
            text = f"\n\n{text}"
        self._output.reasoning(text)

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
                case _:
                    self._call(event)

    def _content(self, text: str) -> None:
        if self._state is State.HOLDING:
            assert self._held is not None
            self._held.text(text)
            return
        attempt = self._attempt
        if not attempt.said and text.strip():
            attempt.said = True
        if self._state is State.MENDING and (self._gate is None or self._gate.sent):
            return
        if attempt.scans:
            text = attempt.scan(text)
        self._output.text(text)

    def _call(self, event: CallStart | CallArgs | CallEnd) -> None:
        if self._state is State.HOLDING:
            assert self._held is not None
            self._held.call(event)
            return
        assert self._reading is not None
        calls, attempt = self._reading.writer, self._attempt
        match event:
            case CallStart(index, name):
                # Text that might have become a stop string or an escape stays before the call.
                self._output.text(attempt.last_content())
                if not self._over:
                    attempt.begun[index] = HeldCall(name)
                    calls.start(name)
            case CallArgs(index, text):
                if self._held is not None:
                    attempt.begun[index].parts.append(text)
                calls.arguments(text)
            case _:
                calls.end(complete=event.complete or not self._cut_off)

    def _problem(self, problem: Problem) -> None:
        begun = self._attempt.begun
        if problem.code == "E_HALLU":
            self._note("what the model invented after the call was dropped")
        elif self._state is State.HOLDING:
            assert self._held is not None
            self._held.complain(problem)
        elif not begun and self._held is None and self._budget.allows("tools"):
            self._held = HeldAnswer(problem)
            self._state = State.HOLDING
        else:
            self._note(f"{problem.code}: {problem.detail}")
            self._shortened |= problem.code == "E_TRUNC"

    @property
    def _over(self) -> bool:
        """Nothing that follows in this attempt can be delivered."""
        gate = self._gate
        ended_here = self._output.reached or self._attempt.stop_sequence is not None
        return ended_here or (gate is not None and gate.over)

    @property
    def _cut_off(self) -> bool:
        """Whether the answer ends before its end, so that what is not complete was cut."""
        return self._shortened or self._reason in ("length", "content_filter")

    @property
    def _ended_here(self) -> bool:
        """Whether a limit or a stop string ended the answer before the model did."""
        return self._output.reached or self._attempt.stop_sequence is not None

    @property
    def _begun(self) -> bool:
        """Whether a call is on its way to the client."""
        return self.delivered.called or self._called

    @property
    def _called(self) -> bool:
        """Whether a call was let go that was read here, or kept."""
        reading, collected = self._reading, self._collected
        return (reading is not None and reading.begun) or (collected is not None and collected.begun)

    def _note(self, text: str) -> None:
        if len(self._notes) < _MOST_NOTES:
            self._notes.append(text[:_LONGEST_NOTE])

    # What follows a turn

    @property
    def ends_slowly(self) -> bool:
        """Whether :meth:`end` may stop everybody else, so that it is better done aside."""
        size = self._attempt.size + (0 if self._collected is None else self._collected.size)
        weight = max(self._call_weight, 0 if self._gate is None else self._gate.weight)
        return size > CHARACTERS_AT_ONCE or (size > 0 and size * weight > LOOKS_AT_ONCE)

    @property
    def may_end(self) -> bool:
        """Whether a turn that was cut is worth waiting for: it may end without saying more than is wanted."""
        if not self.cut or not self.ending.near or self._state is State.HOLDING:
            return False
        if self._gate is not None and not self._begun:
            return self._gate.over
        return not self._ended_here and self._as_written

    def end_of_plain(self) -> Complete | None:
        """The same as :meth:`end` where everything was text that passed at a glance; else ``None``."""
        finished = self._finished
        if self._read or finished is None or self.delivered.empty:
            return None
        stopped = finished.stop_sequence if finished.reason == "stop" else None
        return Complete([Finished(finished.reason, notes=tuple(self._notes), stop_sequence=stopped)])

    def end(self) -> Verdict:
        """What follows the end of an upstream turn, or the moment its rest is not wanted.

        :class:`Failed` with UpstreamEmpty or UpstreamSchemaMismatch means that the repair budget is spent and
        nothing that was asked for could be had.
        """
        self._read = True
        try:
            self._end_attempt()
            return self._verdict()
        except JsonBroken as broken:
            return Failed(_broken_json("ended before it was complete", broken))
        except GatewayError as error:
            return Failed(error)

    def failed(self, failure: GatewayError) -> Verdict:
        """What follows a failure of the upstream turn: another one, or what there is; else it is the end."""
        self._rewritten |= self._attempt.rewritten
        held = () if self.delivered.empty else self._interrupted()
        verdict = self._without_turn(failure)
        return replace(verdict, events=[*held, *verdict.events])

    def _interrupted(self) -> Sequence[Event]:
        """What was held back when the upstream broke off, for a client that has the rest of it.

        The beginning of a block with the key was never meant as text.
        """
        out = self._fed(held) if (held := self._attempt.broken_off()) else ()
        if self._held is not None or self._state is State.MENDING or self._gate is not None or self._begun:
            return out
        for event in self._attempt.finish(truncated=True):
            if not isinstance(event, Content) or self._spec.key in event.text:
                break
            self._content(event.text)
        self._output.text(self._attempt.last_content())
        self._output.end()
        return [*out, *self._output.take()]

    def _without_turn(self, failure: GatewayError) -> Verdict:
        """What follows a turn that has no end."""
        touched = self._attempt.begun or self._state is State.HOLDING
        if isinstance(failure, UpstreamSchemaMismatch) or touched:
            return Failed(failure)
        if not isinstance(failure, UndeclaredToolCalled) and may_pass(failure) and self._only_thought:
            return self._after_thoughts(failure)
        swallowed = isinstance(failure, UpstreamEmpty) or is_native_call(failure)
        if swallowed and self._reading is not None and self.delivered.empty and self._budget.allows("empty"):
            return self._repair("empty", empty_nudge(self._spec.key))
        undeclared = isinstance(failure, UndeclaredToolCalled) and self._spec.passes_calls
        if undeclared and self.delivered.empty and self._budget.allows("tools"):
            return self._repair("tools", undeclared_request(self._spec.tool_names))
        if self.repairs and self.started is not None and self._without_repair(failure):
            return self._complete()
        return Failed(failure)

    @property
    def _only_thought(self) -> bool:
        """Whether this choice is nothing but thoughts so far, and none of it is held for a repair."""
        if self.started is None or self._state is not State.READING or self._held is not None:
            return False
        said = self._attempt.text.strip() or self._rejected or self._output.call_waits
        return not said and self.delivered.empty

    def _after_thoughts(self, failure: GatewayError) -> Verdict:
        """What follows thoughts that were to be an answer: the call they end with, or the turn once more."""
        if self._take_reasoned_call():
            return self._complete()
        if self.repairs or failure.repeated:
            return Failed(
                UpstreamEmpty(
                    "The model thought and then gave no answer, also when asked again. Try once more. "
                    f"The last failure was: {failure.message}"
                )
            )
        taught = self._reading is not None or self._gate is not None
        nudge = empty_nudge(self._spec.key if self._reading is not None else "") if taught else ""
        # What failed may stand in the thread: the same must not be added to it twice.
        return self._repair("empty", nudge, anew=True)

    def _without_repair(self, failure: GatewayError) -> bool:
        """Only the repair failed: whether what it should have mended may still be delivered."""
        self._note(f"the repair failed: {failure.message}")
        self._release()
        if self._collected is not None:
            self._collected.restart()
            self._end_collected(self._collected)
        if self._begun:
            return True
        self._output.checked(self._rejected)
        said = self._attempt.said or bool(self._rejected) or not self.delivered.empty
        return said and (not self._strict or not (self._gate or self._spec.must_call))

    def _end_attempt(self) -> None:
        self._rewritten |= self._attempt.rewritten
        if not self._over:
            if events := self._attempt.finish(truncated=self._reason == "length"):
                self._parsed(events)
            self._output.text(self._attempt.last_content())
        if self._collected is not None:
            self._end_collected(self._collected)
        self._output.end()

    def _end_collected(self, collected: CollectedCalls) -> None:
        """Lets the native calls that were kept go, unless they have to be asked for once more."""
        complaints = [] if self._over or self._cut_off else collected.judge()
        if complaints and self._budget.allows("tools"):
            collected.reject(complaints)
            self._rejected_calls = complaints
            return
        for complaint in (*complaints, *collected.deliver()):
            self._note(f"E_SCHEMA: {complaint}")

    def _verdict(self) -> Verdict:
        cut_off = self._reason in ("length", "content_filter")
        if self._ended_here:
            return self._complete(partial=True)
        if self._rejected_calls:
            request = rejected_request(self._rejected_calls)
            self._rejected_calls = []
            return self._repair("tools", request, State.MENDING)
        if self._state is State.HOLDING and not cut_off:
            assert self._held is not None
            request = problem_request(self._held.problems, self._spec.key, self._spec.tool_names)
            return self._repair("tools", request, State.MENDING)
        self._release()
        if self._begun or self._output.refused or cut_off:
            return self._complete(partial=True)
        return self._without_call()

    def _release(self) -> None:
        """Delivers of what was held for a repair that which the repair did not mend."""
        held, self._held = self._held, None
        if held is None:
            return
        assert self._reading is not None
        calls, attempt = self._reading.writer, self._attempt
        self._state = State.READING
        items: Sequence[HeldCall | str] = held.items
        if attempt.begun:
            items = held.left_by(list(attempt.begun.values())) if self._spec.turn.parallel_tool_calls else ()
        if not attempt.begun or any(isinstance(item, HeldCall) and item.flawed for item in items):
            self._note(held.complaint)
            self._shortened |= held.truncated
        for item in items:
            if isinstance(item, HeldCall):
                calls.whole(item, complete=item.complete or not self._cut_off)
            elif not calls.begun and self._gate is None:
                attempt.said |= not item.isspace()
                self._output.text(attempt.scan(item))
        self._output.text(attempt.last_content())
        self._output.end()

    def _without_call(self) -> Verdict:
        if not self._attempt.said and self.delivered.empty:
            return self._empty()
        if self._spec.must_call:
            return self._no_call()
        if self._gate is not None:
            return self._formed(self._gate)
        return self._complete()

    def _empty(self) -> Verdict:
        if self._take_reasoned_call():
            return self._complete()
        if self._budget.allows("empty"):
            if self._spec.sends_stop:
                # Servers look for stop strings in the thoughts too (vllm#52393, sglang#40529).
                return self._repair("empty", "", anew=True)
            return self._repair("empty", empty_nudge(self._spec.key if self._reading is not None else ""))
        if self._strict:
            raise UpstreamEmpty("The model gave an empty answer, also when asked again. Try once more.")
        self._note("the answer is empty, also after a second try")
        return self._complete()

    def _take_reasoned_call(self) -> bool:
        """Makes the call that the thoughts end with, if they do."""
        reading = self._reading
        call = None if reading is None else call_in_reasoning(reading.config(), self._attempt.thoughts)
        if reading is None or call is None:
            return False
        self._note("the tool call was taken from the reasoning")
        reading.writer.whole(call)
        self._output.end()
        return True

    def _no_call(self) -> Verdict:
        if self._budget.allows("tools"):
            request = no_call_request(self._spec.key, self._spec.tool_names)
            return self._repair("tools", request, State.MENDING)
        if self._strict:
            raise UpstreamSchemaMismatch(
                "The model did not call a tool although tool_choice demands it, also when asked again."
            )
        self._note("no tool was called although tool_choice demands it")
        return self._complete(partial=True)

    def _formed(self, gate: JsonGate) -> Verdict:
        try:
            self._output.checked(gate.result())
        except JsonMismatch as mismatch:
            return self._mismatched(gate, mismatch)
        except Unchecked:
            if self._strict:
                raise UpstreamSchemaMismatch(
                    f"The answer may or may not fit the response format: {TOO_LONG}."
                ) from None
            self._note(f"the answer may not fit the response format: {TOO_LONG}")
            self._output.checked(gate.raw)
        return self._complete()

    def _mismatched(self, gate: JsonGate, mismatch: JsonMismatch) -> Verdict:
        wanted = self._spec.turn.output_format
        if mismatch.prose and self._form_refused and wanted.kind == "json_schema":
            # Twice words instead of JSON: the model does not want to.
            self._output.refuse(gate.raw.strip())
            return self._complete()
        if self._budget.allows("format"):
            self._form_refused = True
            return self._repair("format", format_request(mismatch.complaints))
        if self._strict:
            raise UpstreamSchemaMismatch(
                f"The answer does not fit the response format, also when asked again: {mismatch}."[
                    :_LONGEST_MESSAGE
                ]
            )
        self._note(f"the answer does not fit the response format: {mismatch}")
        self._output.checked(gate.raw)
        return self._complete()

    def _repair(
        self, kind: Kind, message: str, state: State = State.READING, *, anew: bool = False
    ) -> Repair:
        self._read = True
        self._budget.spend(kind)
        self.repaired.append(kind)
        events = self._output.take()
        # What passes unread is not kept a second time.
        self.raw_text = self.delivered.text if self._passes else self._attempt.text
        self._state = state
        self._finished = None
        self.reported_usage = None
        self.ending.next_turn()
        self.cut = False
        if self._collected is not None:
            self._collected.restart()
        if self._gate is not None:
            self._rejected = self._gate.raw or self._rejected
            self._gate.restart()
            self._output.restart()
        self._attempt = Attempt(self._spec, self._reading)
        self._thought_before = bool(self.delivered.message.reasoning)
        self._passes &= not self._thought_before
        return Repair(message, events, anew)

    def _complete(self, *, partial: bool = False) -> Complete:
        """The last events; ``partial`` where JSON that was held back leaves as far as it came."""
        if partial and self._gate is not None and not self._begun:
            self._output.checked(self._gate.remains())
        events = self._output.take()
        return Complete([*events, self._last_event()])

    def _last_event(self) -> Finished:
        called = self._called
        reason = self._finish_reason(called=called)
        stop_sequence = None
        if reason == "stop" and not called:
            told = None if self._finished is None else self._finished.stop_sequence
            stop_sequence = self._attempt.stop_sequence or told
        fitted = self._fitted
        reader = self._reading or self._collected
        if reader is not None:
            for name, repairs in reader.mended:
                fitted.count(name, repairs)
        for note in fitted.notes:
            self._note(note)
        return Finished(
            reason,
            self.repairs + fitted.repairs,
            tuple(self._notes),
            stop_sequence,
            tuple(self.repaired),
        )

    def _finish_reason(self, *, called: bool) -> FinishReason:
        reason = self._reason
        if self._shortened or self._output.reached:
            return "length"
        if reason in ("length", "content_filter"):
            return reason
        if called:
            # OpenAI ends a turn that had to call one named function with "stop".
            return "stop" if self._spec.turn.tool_choice.mode == "named" else "tool_calls"
        return reason or "stop"

    @property
    def _reason(self) -> FinishReason | None:
        return None if self._finished is None else self._finished.reason

    # What is left of it

    @property
    def repairs(self) -> int:
        return len(self.repaired)

    @property
    def thread_is_clean(self) -> bool:
        """Whether the upstream's thread says what the client knows, and no more; asked after the end."""
        if not self._read:
            return self.ending.reason == "stop"
        whole = not (self._rewritten or self._shortened or self._output.refused) and len(self.repaired) <= 1
        ended = self.ending.reason == "stop" and not self.ending.abandoned
        return whole and ended and not self.delivered.empty and self._as_written

    @property
    def message(self) -> AssistantMessage:
        """The answer, with the reasoning also where the client did not want to see it."""
        message = self.delivered.message
        if message.reasoning:
            return message
        return replace(message, reasoning=self._attempt.thoughts or self.delivered.thoughts)

    @property
    def _as_written(self) -> bool:
        """Whether the client got what the model wrote: white space aside, and calls in the taught form.

        A thread in which more stands, or a call in another form, is better not continued: the model would
        go on from what the client does not know, or follow its own bad example.
        """
        prompt = self._spec.prompt
        if self._passes or prompt is None:
            return self._passes
        answer = self.delivered.message
        expected = "".join((answer.text, *map(prompt.block, answer.tool_calls)))
        return _solid(expected) == _solid(self._attempt.text)


def _gate(spec: AnswerSpec) -> JsonGate:
    """What checks the form of the answer; where a call is demanded, no text is the answer."""
    form = spec.turn.output_format
    schema = compile_schema(_ANY_OBJECT if form.schema is None else form.schema)
    live = form.schema is None and not spec.must_call
    return JsonGate(schema, form.name, live=live, streamed=spec.turn.streamed)


def _broken_json(how: str, broken: JsonBroken) -> UpstreamSchemaMismatch:
    return UpstreamSchemaMismatch(f"The JSON of the answer {how}: {broken.reason}. Ask again.")


def _solid(text: str) -> str:
    return "".join(text.split())
