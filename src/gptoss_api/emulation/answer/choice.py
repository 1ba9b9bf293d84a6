"""One choice of an answer: what upstream turns say goes in, what the client gets comes out.

What cannot be delivered as it came may be asked for again; nothing that was delivered is ever taken back
(docs/design/emulation.md, "Repairs" and "What was delivered stays").
"""

from collections.abc import Sequence
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from ...core.errors import GatewayError, UndeclaredToolCalled, UpstreamEmpty, UpstreamSchemaMismatch
from ...core.events import Event, Finished, FinishReason
from ...core.turn import AssistantMessage
from ...text.json_stream import JsonBroken
from ...text.schema import Unchecked
from ...text.tokens import Tokens
from ...text.tool_calls import Content
from ..plan import Plan
from .answer import AnswerReading, broken_json
from .attempt import Attempt
from .calls import HeldCall
from .checking import TOO_LONG
from .json_gate import JsonGate
from .reasoned_call import call_in_reasoning
from .repair import (
    Kind,
    empty_nudge,
    format_request,
    is_native_call,
    no_call_request,
    problem_request,
    undeclared_request,
)
from .structured import JsonMismatch
from .written import is_as_written

_LONGEST_MESSAGE: Final = 1_000


class Again(Struct, frozen=True):
    """The model has to be asked again, with these words; ``events`` can be delivered before that."""

    message: str
    events: list[Event]


class Complete(Struct, frozen=True):
    """Nothing further is needed; ``events`` are the choice's last."""

    events: list[Event]


class ChoiceStream(AnswerReading):
    """Feed every batch of an upstream turn, then :meth:`end` (or :meth:`failed`); the same for each repair.

    ``rewritten`` is set where what is fed is not what the model wrote.
    ``repairs`` counts the turns after the first, ``raw_text`` is what the latest complete one wrote.
    ``strict`` reports what cannot be mended instead of delivering it.
    """

    def __init__(self, plan: Plan, tokens: Tokens, *, strict: bool) -> None:
        super().__init__(plan, tokens)
        self.repairs = 0
        self.rewritten = False
        self.raw_text = ""
        self._tokens = tokens
        self._strict = strict
        self._form_refused = False  # A repair of the form was asked for.
        self._rejected = ""  # The last answer that had not the form asked for.

    def end(self) -> Again | Complete:
        """What follows the end of an upstream turn, or the moment its rest is not wanted.

        Raises:
            UpstreamEmpty, UpstreamSchemaMismatch: when the repair budget is spent and nothing that was
                asked for could be had.
        """
        try:
            self._end_attempt()
            return self._verdict()
        except JsonBroken as broken:
            raise broken_json("ended before it was complete", broken) from None

    def failed(self, failure: GatewayError) -> Again | Complete:
        """What follows a failure of the upstream turn: another one, or what there is; else it is raised."""
        untouched = not self._attempt.begun and not self._keeping
        if isinstance(failure, UpstreamSchemaMismatch) or not untouched:
            raise failure
        swallowed = isinstance(failure, UpstreamEmpty) or is_native_call(failure)
        if swallowed and self._calls is not None and self.delivered.empty and self._budget.allows("empty"):
            return self._again("empty", empty_nudge(self._key))
        undeclared = isinstance(failure, UndeclaredToolCalled) and self.plan.prompt is None
        if undeclared and self.delivered.empty and self._budget.allows("tools"):
            return self._again("tools", undeclared_request(self._names))
        if self.repairs and self.started is not None and self._without_repair(failure):
            return self._complete()
        raise failure

    @property
    def may_end(self) -> bool:
        """Whether a turn that was cut is worth waiting for: it may end without saying more than is wanted."""
        if not self.cut or not self.ending.near or self._keeping:
            return False
        if self._gate is not None and not self._begun:
            return self._gate.over
        return not self._outlet.reached and not self._attempt.stopped and self._as_written

    @property
    def thread_is_clean(self) -> bool:
        """Whether the upstream's thread says what the client knows, and no more; asked after the end."""
        whole = not self.rewritten and not self._shortened and not self._outlet.refused and self.repairs <= 1
        ended = self.ending.reason == "stop" and not self.ending.abandoned
        return whole and ended and not self.delivered.empty and self._as_written

    @property
    def message(self) -> AssistantMessage:
        """The answer, with the reasoning also where the client did not want to see it."""
        message = self.delivered.message
        return message if message.reasoning else replace(message, reasoning=self._attempt.thoughts)

    @property
    def _as_written(self) -> bool:
        prompt = self.plan.prompt
        return self._passes or (
            prompt is not None and is_as_written(self._attempt.text, self.delivered.message, prompt)
        )

    def interrupted(self) -> list[Event]:
        """The text that was held back when the upstream broke off, for a client that has the rest of it.

        The beginning of a block with the key was never meant as text.
        """
        if self.delivered.empty or self._kept is not None or self._muted or self._gate or self._begun:
            return []
        for event in self._attempt.finish(truncated=True):
            if not isinstance(event, Content) or self._key in event.text:
                break
            self._content(event.text)
        self._outlet.text(self._attempt.last_content())
        self._outlet.end()
        return self._taken()

    def _end_attempt(self) -> None:
        if not self._over:
            if events := self._attempt.finish(truncated=self._reason == "length"):
                self._parsed(events)
            self._outlet.text(self._attempt.last_content())
        self._outlet.end()

    def _verdict(self) -> Again | Complete:
        ended_early = self._reason in ("length", "content_filter")
        if self._outlet.reached or self._attempt.stopped:
            return self._complete(partial=True)
        if self._keeping and not ended_early:
            assert self._kept is not None
            request = problem_request(self._kept.problems, self._key, self._names)
            return self._again("tools", request, muted=True)
        self._release()
        if self._begun or self._outlet.refused or ended_early:
            return self._complete(partial=True)
        return self._without_call()

    def _release(self) -> None:
        """Delivers of what was kept for a repair that which the repair did not mend."""
        kept, self._kept, self._keeping = self._kept, None, False
        calls, attempt = self._calls, self._attempt
        if kept is None or calls is None:
            return
        items: Sequence[HeldCall | str] = kept.items
        if attempt.begun:
            items = kept.left_by(list(attempt.begun.values())) if self.plan.turn.parallel_tool_calls else ()
        if not attempt.begun or any(isinstance(item, HeldCall) and item.flawed for item in items):
            self._note(kept.complaint)
            self._shortened |= kept.truncated
        for item in items:
            if isinstance(item, HeldCall):
                calls.whole(item)
            elif not calls.begun and self._gate is None:
                attempt.said |= not item.isspace()
                self._outlet.text(attempt.scan(item)[0])
        self._outlet.text(attempt.last_content())
        self._outlet.end()

    def _without_repair(self, failure: GatewayError) -> bool:
        """Only the repair failed: whether what it should have mended may still be delivered."""
        self._note(f"the repair failed: {failure.message}")
        self._release()
        if self._begun:
            return True
        self._outlet.checked(self._rejected)
        said = self._attempt.said or bool(self._rejected) or not self.delivered.empty
        return said and (not self._strict or not (self._gate or self._must_call))

    def _without_call(self) -> Again | Complete:
        if not self._attempt.said and self.delivered.empty:
            return self._empty()
        if self._must_call:
            return self._no_call()
        if self._gate is not None:
            return self._formed(self._gate)
        return self._complete()

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
        return self._complete(partial=True)

    def _formed(self, gate: JsonGate) -> Again | Complete:
        try:
            self._outlet.checked(gate.result())
        except JsonMismatch as mismatch:
            return self._mismatched(gate, mismatch)
        except Unchecked:
            if self._strict:
                raise UpstreamSchemaMismatch(
                    f"The answer may or may not fit the response format: {TOO_LONG}."
                ) from None
            self._note(f"the answer may not fit the response format: {TOO_LONG}")
            self._outlet.checked(gate.raw)
        return self._complete()

    def _mismatched(self, gate: JsonGate, mismatch: JsonMismatch) -> Again | Complete:
        wanted = self.plan.turn.output_format
        if mismatch.prose and self._form_refused and wanted.kind == "json_schema":
            # Twice words instead of JSON: the model does not want to.
            self._outlet.refuse(gate.raw.strip())
            return self._complete()
        if self._budget.allows("format"):
            self._form_refused = True
            return self._again("format", format_request(mismatch.complaints))
        if self._strict:
            raise UpstreamSchemaMismatch(
                f"The answer does not fit the response format, also when asked again: {mismatch}."[
                    :_LONGEST_MESSAGE
                ]
            )
        self._note(f"the answer does not fit the response format: {mismatch}")
        self._outlet.checked(gate.raw)
        return self._complete()

    def _again(self, kind: Kind, message: str, *, muted: bool = False) -> Again:
        self._budget.spend(kind)
        self.repairs += 1
        events = self._taken()
        self.raw_text = self._attempt.text
        self._muted = muted
        self._keeping = False
        self._reason = self._stop_sequence = None
        self.ending.next_turn()
        self.cut = False
        if self._gate is not None:
            self._rejected = self._gate.raw or self._rejected
            self._gate.restart()
            if self.plan.max_tokens is not None:
                # What was held back and will not be delivered does not count.
                self._outlet.restart(sum(self.delivered.count(self._tokens)))
        self._attempt = Attempt(self.plan, self._config)
        return Again(message, events)

    def _complete(self, *, partial: bool = False) -> Complete:
        """The last events; ``partial`` where JSON that was held back leaves as far as it came."""
        if partial and self._gate is not None and not self._begun:
            self._outlet.checked(self._gate.remains())
        events = self._taken()
        reason = self._finish_reason()
        stopped_at = None
        if reason == "stop" and not (self._calls is not None and self._calls.begun):
            stopped_at = self._attempt.stop_sequence or self._stop_sequence
        return Complete([*events, Finished(reason, self.repairs, tuple(self._notes), stopped_at)])

    def _finish_reason(self) -> FinishReason:
        if self._shortened or self._outlet.reached:
            return "length"
        if self._reason in ("length", "content_filter"):
            return self._reason
        if self._calls is not None and self._calls.begun:
            # OpenAI ends a turn that had to call one named function with "stop".
            return "stop" if self.plan.turn.tool_choice.mode == "named" else "tool_calls"
        return self._reason or "stop"

    @property
    def _must_call(self) -> bool:
        return bool(self._names) and self.plan.turn.tool_choice.mode in ("required", "named")

    @property
    def _key(self) -> str:
        return self.plan.prompt.key if self.plan.prompt is not None else ""

    @property
    def _names(self) -> list[str]:
        """The tools as the model knows them."""
        prompt = self.plan.prompt
        if prompt is None:
            return [tool.name for tool in self.plan.upstream_turn.tools]
        return [prompt.names.shown(tool.name) for tool in prompt.tools]
