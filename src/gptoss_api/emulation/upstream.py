"""An upstream that can do everything, made of one that may only answer one text with another.

:class:`EmulatedUpstream` renders the turn into what its upstream takes, runs the answer through the
machines that restore tools, formats and limits, and asks again where the rules allow a repair. It is
itself an :class:`~gptoss_api.upstreams.base.Upstream`.
"""

import secrets
from collections.abc import Coroutine
from typing import Any, Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from ..core.catalog import find_model
from ..core.errors import ContextLengthExceeded
from ..core.events import ContextEdited, Events, Finished, Started, Usage, UsageReported
from ..core.result import Collector
from ..core.turn import Compact, Turn
from ..loop import Flow, beside
from ..text.tokens import Tokens
from ..threads import Conversations, ReasoningCache
from ..upstreams.base import Capabilities, Health, Sink, Upstream
from .context import (
    MOST_CUTS,
    compaction,
    summed_up,
    summing_up,
    truncates,
    without_compaction,
    without_oldest,
)
from .driver import TurnDriver
from .plan import Plan, Planner
from .prompt.tool_section import Style
from .usage import LEAST_ANSWER, PromptCount


class EmulationSettings(Struct, frozen=True):
    """How tools are described, how conversations are keyed, and what a failed repair budget means.

    ``secret`` keys the per-conversation nonce of tool calls; it must be the same in every process that
    continues a conversation. ``repair`` ``strict`` reports an answer that could not be mended as an
    error, ``best_effort`` delivers it and says so.
    """

    style: Style = "ts"
    secret: bytes = b""
    repair: Literal["strict", "best_effort"] = "strict"


class EmulatedUpstream:
    """Wraps ``upstream`` and adds what its capabilities lack.

    ``conversations`` finds the threads in which conversations go on, ``reasoning`` the reasoning that clients
    do not send back; without them every turn is sent whole and as it came.
    """

    capabilities: Final = Capabilities(
        history=True,
        tools=True,
        json_object=True,
        json_schema=True,
        stop=True,
        max_tokens=True,
    )

    def __init__(
        self,
        upstream: Upstream,
        tokens: Tokens,
        settings: EmulationSettings,
        *,
        conversations: Conversations | None = None,
        reasoning: ReasoningCache | None = None,
    ) -> None:
        self._upstream = upstream
        self._tokens = tokens
        self._strict = settings.repair == "strict"
        self._planner = Planner(
            upstream,
            settings.style,
            settings.secret or secrets.token_bytes(32),
            conversations if upstream.capabilities.threads else None,
            reasoning,
            tokens,
        )
        self._reasoning = reasoning

    @property
    def name(self) -> str:
        return self._upstream.name

    async def health(self) -> Health:
        return await self._upstream.health()

    async def close(self) -> None:
        await self._upstream.close()

    def answer(self, turn: Turn, sink: Sink) -> Coroutine[Any, Any, None]:
        """See :class:`gptoss_api.upstreams.base.Upstream`.

        Raises:
            ContextLengthExceeded: before anything is sent.
        """
        driver = TurnDriver(
            self._upstream, self._planner, self._tokens, strict=self._strict, reasoning=self._reasoning
        )
        if turn.max_tokens == 0 or turn.context_edits:
            return self._answer_prepared(driver, turn, sink)
        # Handed on as it is: what stood between would be woken with every read.
        return driver.answer(turn, sink)

    async def _answer_prepared(self, driver: TurnDriver, turn: Turn, sink: Sink) -> None:
        """Answers where something is done before the turn, or instead of it."""
        if turn.max_tokens == 0:
            sink.feed(await self._counted(turn))
        elif (edited := await self._edited(turn, sink)) is not None:
            turn, plan, sink = edited
            await driver.answer(turn, sink, plan)

    async def _edited(self, turn: Turn, sink: Sink) -> tuple[Turn, Plan, Sink] | None:
        """``turn`` as its edits leave it, the plan for it, and where its answer goes.

        ``None`` where a summary is all that is answered, which is done then.
        """
        edit = compaction(turn)
        compacted: tuple[ContextEdited, ...] = ()
        spent: Usage | None = None
        if edit is not None:
            turn, compacted, spent = await self._compacted(turn, edit)
        if spent is not None and edit is not None and edit.pauses:
            started = Started(
                self.name,
                turn.model,
                ignored=turn.ignored,
                prompt_tokens=spent.prompt_tokens,
                context_edits=compacted,
            )
            sink.feed([started, Finished("stop"), UsageReported(spent)])
            return None
        if spent is not None:
            sink = _AlsoSpent(sink, spent)
        plan = await self._fitting_plan(turn)
        if compacted:
            plan = replace(plan, context_edits=(*compacted, *plan.context_edits))
        return turn, plan, sink

    async def _compacted(
        self, turn: Turn, edit: Compact
    ) -> tuple[Turn, tuple[ContextEdited, ...], Usage | None]:
        """``turn`` with a summary where it is too long, what was summed up, and what the summary cost."""
        reserve = min(turn.max_tokens or LEAST_ANSWER, LEAST_ANSWER)
        size = await self.count(turn)
        if size <= min(edit.over, find_model(turn.model).context_window - reserve):
            return without_compaction(turn), (), None
        heard = _Heard()
        await self.answer(summing_up(turn, edit.instructions), heard)
        said = heard.said
        summary = said.choices[0].text.strip()
        if not summary:
            return without_compaction(turn), (), None
        shorter = summed_up(turn, summary)
        saved = max(size - await self.count(shorter), 0)
        told = ContextEdited("compaction", len(turn.messages) + 1 - len(shorter.messages), saved, summary)
        return shorter, (told,), said.usage

    async def _fitting_plan(self, turn: Turn) -> Plan:
        """The plan for ``turn``, which may have to lose its beginning."""
        plan = await self._planner.plan(turn)
        if not truncates(turn):
            return plan
        window = find_model(turn.model).context_window
        dropped = tokens = 0
        for _ in range(MOST_CUTS):
            with PromptCount(plan.counted, self._tokens, window) as prompt:
                try:
                    await prompt.check(turn)
                    break
                except ContextLengthExceeded as error:
                    size, room = error.prompt_tokens, error.limit - error.reserved
            shorter = await beside(turn.weight, without_oldest, turn, size, room)
            if shorter is None:
                break
            dropped += len(turn.messages) - len(shorter.messages)
            tokens = tokens or size
            turn = shorter
            plan = await self._planner.plan(turn)
        if not dropped:
            return plan
        with PromptCount(plan.counted, self._tokens, window) as prompt:
            told = ContextEdited("truncation", dropped, max(tokens - await prompt.size(), 0))
        return replace(plan, context_edits=(*plan.context_edits, told))

    async def _counted(self, turn: Turn) -> Events:
        """What is said where no answer is wanted."""
        size = await self.count(turn)
        return [
            Started(self.name, turn.model, ignored=turn.ignored, prompt_tokens=size),
            Finished("length"),
            UsageReported(Usage(size, 0)),
        ]

    async def count(self, turn: Turn) -> int:
        """The prompt's tokens, as they are charged for ``turn`` where nothing of it is in a thread yet.

        About as many where they do not fit the model's window. An upstream that reports usage has its own
        way of counting, and the last word.
        """
        plan = await self._fitting_plan(replace(turn, new_thread=True))
        with PromptCount(plan.counted, self._tokens, find_model(turn.model).context_window) as prompt:
            return await prompt.size()


class _Heard:
    """A whole answer that the gateway itself asked for."""

    def __init__(self) -> None:
        self.said = Collector()
        self.flow = Flow()

    def feed(self, events: Events) -> bool:
        """See :class:`gptoss_api.upstreams.base.Sink`."""
        self.said.feed(events)
        return True


class _AlsoSpent:
    """Hands an answer on whose usage is that of another turn, too."""

    def __init__(self, sink: Sink, spent: Usage) -> None:
        self._sink = sink
        self._spent = spent
        self.flow = sink.flow

    def feed(self, events: Events) -> bool:
        """See :class:`gptoss_api.upstreams.base.Sink`."""
        if type(events[-1]) is UsageReported:
            events = [*events[:-1], UsageReported(_sum(events[-1].usage, self._spent))]
        return self._sink.feed(events)


def _sum(one: Usage, other: Usage) -> Usage:
    return Usage(
        one.prompt_tokens + other.prompt_tokens,
        one.completion_tokens + other.completion_tokens,
        one.reasoning_tokens + other.reasoning_tokens,
        one.cached_tokens + other.cached_tokens,
        one.estimated or other.estimated,
    )
