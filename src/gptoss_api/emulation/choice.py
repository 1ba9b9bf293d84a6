"""One choice of an answer: what upstream turns say goes in, what the client gets comes out.

The text of the answer runs through the tool-call parser, the stop strings, the token limit and the
check of its form. What cannot be delivered as it came may be asked for again; nothing that was
delivered is ever taken back (emulation dossier, sections 4 to 6).
"""

from collections.abc import Sequence

from msgspec import Struct

from ..core.errors import GatewayError, UpstreamEmpty, UpstreamSchemaMismatch
from ..core.events import (
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
from ..text.harmony import UNDECLARED_TOOL
from ..text.json_stream import JsonBroken
from ..text.schema import compile_schema
from ..text.tokens import Tokens
from ..text.tool_calls import CallArgs, CallEnd, CallStart, Cancel, Content, ParserEvent, Problem, Reasoning
from .attempt import Attempt
from .calls import CallWriter, HeldCall, parser_config
from .delivered import Delivered
from .json_gate import JsonGate
from .outlet import Outlet
from .plan import Plan
from .reasoned_call import call_in_reasoning
from .repair import (
    Kind,
    RepairBudget,
    empty_nudge,
    format_request,
    is_native_call,
    no_call_request,
    problem_request,
    undeclared_request,
)
from .structured import JsonMismatch


class Again(Struct, frozen=True):
    """The model has to be asked again, with these words."""

    message: str


class Complete(Struct, frozen=True):
    """Nothing further is needed; ``events`` are the choice's last."""

    events: list[Event]


class ChoiceStream:
    """Feed every batch of an upstream turn, then :meth:`end` (or :meth:`failed`); the same for each repair.

    ``cut`` says that the rest of the upstream turn is not wanted. ``started`` is the latest turn's,
    ``repairs`` counts the turns after the first, ``raw_text`` is what the latest one wrote.
    ``strict`` reports what cannot be mended instead of delivering it.
    """

    def __init__(self, plan: Plan, tokens: Tokens, *, strict: bool) -> None:
        self.started: Started | None = None
        self.reported_usage: Usage | None = None
        self.delivered = Delivered()
        self.repairs = 0
        self.cut = False
        self._plan = plan
        self._strict = strict
        self._budget = RepairBudget(strict_format=plan.turn.output_format.strict)
        self._notes: list[str] = []
        self._reason: FinishReason | None = None
        self._shortened = False  # Something ended in the middle.
        self._muted = False  # The text of a repair adds nothing to what was delivered.
        # What waits for a repair, in the order of the answer: calls and the text between them.
        self._held: list[HeldCall | str] | None = None
        self._complaint: Problem | None = None
        self._last_complaint = ""
        self._flawed: set[int] = set()

        schema = plan.turn.output_format.schema if plan.format else None
        self._gate = (
            JsonGate(plan.turn.output_format, None if schema is None else compile_schema(schema))
            if plan.format
            else None
        )
        self._outlet = Outlet(plan.max_tokens, tokens, self._gate)
        self._config = self._calls = None
        if plan.tools and plan.prompt is not None:
            self._config = parser_config(plan.turn, plan.prompt)
            self._calls = CallWriter(plan.prompt, self._outlet)
        self._attempt = self._new_attempt()
        self._passes = self._attempt.plain and self._gate is None and plan.max_tokens is None

    @property
    def raw_text(self) -> str:
        return self._attempt.text

    def feed(self, batch: Sequence[Event]) -> Sequence[Event]:
        """What of ``batch`` may be delivered now.

        Raises:
            UpstreamSchemaMismatch: when JSON that is already on its way to the client breaks.
        """
        if self._passes:
            out = [event for event in batch if type(event) is TextDelta or type(event) is ReasoningDelta]
            if len(out) == len(batch):
                self.delivered.add(out)
                return out
        try:
            for event in batch:
                self._event(event)
                if self.cut:
                    break
        except JsonBroken as broken:
            raise UpstreamSchemaMismatch(
                f"The JSON of the answer broke on its way: {broken.reason}. Ask again."
            ) from None
        return self._taken()

    def end(self) -> Again | Complete:
        """What follows the end of an upstream turn, or the moment its rest is not wanted.

        Raises:
            UpstreamEmpty, UpstreamSchemaMismatch: when the repair budget is spent and nothing that was
                asked for could be had.
        """
        try:
            self._end_attempt()
            verdict = self._verdict()
        except JsonBroken as broken:
            raise UpstreamSchemaMismatch(
                f"The JSON of the answer ended before it was complete: {broken.reason}. Ask again."
            ) from None
        self.delivered.add(verdict.events if isinstance(verdict, Complete) else ())
        return verdict

    def failed(self, failure: GatewayError) -> Again | Complete:
        """The upstream turn failed: asks again where the model's own call was the reason, else raises."""
        if self._held is not None and self._complaint is None:
            # Only the repair failed; what it should have mended can still be delivered.
            self._release()
            return self._complete()
        if (
            self._calls is not None
            and self.delivered.empty
            and is_native_call(failure)
            and self._budget.allows("empty")
        ):
            return self._again("empty", empty_nudge(self._key))
        if (
            failure.code == UNDECLARED_TOOL
            and self._plan.prompt is None
            and self.delivered.empty
            and self._budget.allows("tools")
        ):
            return self._again("tools", undeclared_request(self._names))
        raise failure

    # -- events ------------------------------------------------------------------------------------

    def _event(self, event: Event) -> None:
        match event:
            case TextDelta(text):
                self._text(text)
            case ReasoningDelta(text):
                self._reasoning(text)
            case Started():
                self.started = event
            case Finished(reason):
                self._reason = reason
                for note in event.notes:
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
        if self._outlet.reached:
            self.cut = True

    def _reasoning(self, text: str) -> None:
        self._attempt.think(text)
        # The thoughts about a repair are not those that led to the answer.
        if not self._muted:
            self._outlet.reasoning(text)

    def _text(self, text: str) -> None:
        events = self._attempt.feed(text)
        if events is None:
            self._content(text)
        else:
            self._parsed(events)

    def _parsed(self, events: Sequence[ParserEvent]) -> None:
        calls = self._calls
        assert calls is not None
        for event in events:
            match event:
                case Content(text):
                    self._content(text)
                case Reasoning(text):
                    self._reasoning(text)
                case Problem():
                    self._problem(event)
                case Cancel():
                    self.cut = True
                case _ if self._held is not None and self._complaint is not None:
                    self._hold(event)
                case CallStart(index, name):
                    self._attempt.begun.add(index)
                    calls.start(name)
                case CallArgs(_, text):
                    calls.arguments(text)
                case CallEnd():
                    calls.end()
            if self._outlet.reached:
                return

    def _content(self, text: str) -> None:
        if self._muted:
            return
        if self._complaint is not None and self._held is not None:
            self._held.append(text)
            return
        passed, hit = self._attempt.scan(text)
        if passed:
            self._outlet.text(passed)
        if hit or (self._gate is not None and self._gate.complete):
            self.cut = True

    def _problem(self, problem: Problem) -> None:
        live = problem.index in self._attempt.begun
        if problem.code == "E_HALLU":
            self._note("text after the tool call was dropped: the model had invented it")
        elif self._complaint is not None:
            pass
        elif not live and not self._attempt.begun and self._held is None and self._budget.allows("tools"):
            self._complaint = problem
            self._last_complaint = f"{problem.code}: {problem.detail}"
            self._held = []
        else:
            self._note(f"{problem.code}: {problem.detail}")
            self._shortened |= live or problem.code == "E_TRUNC"
        if problem.index is not None:
            self._flawed.add(problem.index)

    def _hold(self, event: ParserEvent) -> None:
        assert self._held is not None
        match event:
            case CallStart(index, name):
                self._held.append(HeldCall(name, index in self._flawed))
            case CallArgs(_, text):
                self._last_held.parts.append(text)

    @property
    def _last_held(self) -> HeldCall:
        assert self._held is not None
        last = self._held[-1]
        assert isinstance(last, HeldCall)
        return last

    # -- the end of a turn -------------------------------------------------------------------------

    def _end_attempt(self) -> None:
        if not self._outlet.reached and not self._attempt.stopped:
            if events := self._attempt.finish(truncated=self._reason == "length"):
                self._parsed(events)
            if rest := self._attempt.last_content():
                self._outlet.text(rest)
        self._outlet.end()

    def _verdict(self) -> Again | Complete:
        if self._outlet.reached:
            self._shortened = True
            return self._complete(partial=True)
        if self._attempt.stopped:
            return self._complete(partial=True)
        ended_early = self._reason in ("length", "content_filter")
        if (problem := self._complaint) is not None and not ended_early:
            return self._again("tools", problem_request(problem, self._key, self._names), muted=True)
        if self._held is not None:
            self._resolve_repair()
            return self._complete()
        if self._begun or self._outlet.refused or ended_early:
            return self._complete(partial=True)
        return self._without_call()

    def _without_call(self) -> Again | Complete:
        if not self._attempt.said and not self.delivered.text.strip():
            return self._empty()
        if self._must_call:
            return self._no_call()
        if self._gate is not None:
            return self._formed(self._gate)
        return self._complete()

    def _resolve_repair(self) -> None:
        """The repair brought calls, to which those join that were right at once; or it brought none."""
        assert self._held is not None
        assert self._calls is not None
        if not self._attempt.begun:
            self._release()
            return
        if self._plan.turn.parallel_tool_calls:
            for item in self._held:
                if isinstance(item, HeldCall) and not item.flawed:
                    self._calls.whole(item)
        self._held = None

    def _release(self) -> None:
        """Delivers what was kept for a repair as it came."""
        assert self._held is not None
        assert self._calls is not None
        self._note(self._last_complaint)
        for item in self._held:
            if isinstance(item, HeldCall):
                self._calls.whole(item)
            elif not self._calls.begun:
                self._outlet.text(self._attempt.scan(item)[0])
        self._outlet.text(self._attempt.last_content())
        self._outlet.end()
        self._held = None

    def _empty(self) -> Again | Complete:
        if self._config is not None and self._calls is not None:
            call = call_in_reasoning(self._config, self._attempt.thoughts)
            if call is not None:
                self._note("the tool call was taken from the reasoning")
                self._calls.whole(call)
                self._outlet.end()
                return self._complete()
        if self._budget.allows("empty"):
            return self._again("empty", empty_nudge(self._key if self._config is not None else ""))
        if self._strict:
            raise UpstreamEmpty("The model gave an empty answer, also when asked again. Try once more.")
        self._note("the answer is empty, also after a second try")
        return self._complete()

    def _no_call(self) -> Again | Complete:
        if self._budget.allows("tools"):
            return self._again("tools", no_call_request(self._key, self._names), muted=True)
        if self._strict:
            raise UpstreamSchemaMismatch(
                "The model did not call a tool although tool_choice demands it, also when asked again."
            )
        self._note("no tool was called although tool_choice demands it")
        if self._gate is not None:
            self._outlet.checked(self._gate.raw())
        return self._complete()

    def _formed(self, gate: JsonGate) -> Again | Complete:
        try:
            self._outlet.checked(gate.result())
        except JsonMismatch as mismatch:
            return self._mismatched(gate, mismatch)
        return self._complete()

    def _mismatched(self, gate: JsonGate, mismatch: JsonMismatch) -> Again | Complete:
        wanted = self._plan.turn.output_format
        if mismatch.prose and self.repairs and wanted.kind == "json_schema":
            # Twice words instead of JSON: the model does not want to.
            self._outlet.refuse(gate.raw().strip())
            return self._complete()
        if self._budget.allows("format"):
            return self._again("format", format_request(mismatch.complaints))
        if self._strict:
            raise UpstreamSchemaMismatch(
                f"The answer does not fit the response format, also when asked again: {mismatch}."[:1_000]
            )
        self._note(f"the answer does not fit the response format: {mismatch}"[:1_000])
        self._outlet.checked(gate.raw())
        return self._complete()

    def _again(self, kind: Kind, message: str, *, muted: bool = False) -> Again:
        self._budget.spend(kind)
        self.repairs += 1
        self._muted = muted
        self._complaint = None
        self._flawed.clear()
        self._reason = None
        self.cut = False
        if self._gate is not None:
            self._gate.restart()
        self._attempt = self._new_attempt()
        return Again(message)

    def _complete(self, *, partial: bool = False) -> Complete:
        """The last events; ``partial`` where JSON that was held back leaves unchecked, cut as it is."""
        if partial and self._gate is not None and not self._begun:
            self._outlet.checked(self._gate.raw())
        finished = Finished(self._finish_reason(), self.repairs, tuple(self._notes))
        return Complete([*self._outlet.take(), finished])

    def _finish_reason(self) -> FinishReason:
        if self._shortened:
            return "length"
        if self._calls is not None and self._calls.begun:
            # OpenAI ends a turn that had to call one named function with "stop".
            return "stop" if self._plan.turn.tool_choice.mode == "named" else "tool_calls"
        return self._reason or "stop"

    def _new_attempt(self) -> Attempt:
        return Attempt(self._plan, self._config)

    def _taken(self) -> list[Event]:
        out = self._outlet.take()
        self.delivered.add(out)
        return out

    def _note(self, text: str) -> None:
        if len(self._notes) < 8:
            self._notes.append(text[:300])

    @property
    def _begun(self) -> bool:
        return self.delivered.called or (self._calls is not None and self._calls.begun)

    @property
    def _must_call(self) -> bool:
        return bool(self._names) and self._plan.turn.tool_choice.mode in ("required", "named")

    @property
    def _key(self) -> str:
        return self._plan.prompt.key if self._plan.prompt is not None else ""

    @property
    def _names(self) -> list[str]:
        """The tools as the model knows them."""
        prompt = self._plan.prompt
        if prompt is None:
            return [tool.name for tool in self._plan.upstream_turn.tools]
        return [prompt.names.shown(tool.name) for tool in prompt.tools]
