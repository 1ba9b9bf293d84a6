"""Drives the choices of one turn through upstream turns: opens them, delivers, and asks again."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from msgspec.structs import replace

from ..core.errors import GatewayError, Overloaded, ThreadLost
from ..core.events import ChoiceStarted, Events, Usage, UsageReported
from ..core.turn import AssistantMessage, ThreadRef, Turn, UserMessage
from ..text.tokens import Tokens
from ..threads import ReasoningCache, ThreadHead
from ..upstreams.base import Upstream
from .answer.choice import ChoiceMachine, Failed, Repair, Verdict
from .answer.output import Delivered
from .plan import Plan, Planner
from .prompt.harmony import ANSWER_TOKENS
from .prompt.neutralise import neutralise
from .usage import Costs, PromptCount

# Seconds a complete answer may take to end (docs/design/emulation.md, "When a thread goes on").
END_TIME: Final = 1.5

P = ParamSpec("P")
R = TypeVar("R")

_checkers: Final = ThreadPoolExecutor(4, thread_name_prefix="check")


class TurnDriver:
    """Asks ``upstream`` for what ``plan`` says.

    What its answers are is for a :class:`ChoiceMachine` to say; here is what has to be waited for. Where a
    conversation may go on, an upstream turn of which no more is wanted may end by itself, so that
    its thread can go on. ``strict`` is the machine's.
    """

    def __init__(
        self,
        upstream: Upstream,
        planner: Planner,
        plan: Plan,
        prompt: PromptCount,
        tokens: Tokens,
        *,
        strict: bool,
        reasoning: ReasoningCache | None = None,
    ) -> None:
        self._upstream = upstream
        self._planner = planner
        self._first_plan = self._plan = plan
        self._prompt = prompt
        self._tokens = tokens
        self._strict = strict
        self._reasoning = reasoning
        self._delivered: list[Delivered] = []
        self._costs = Costs()
        self._begun = False

    async def answer(self) -> AsyncGenerator[Events, None]:
        """The events of the whole turn, as :meth:`gptoss_api.upstreams.base.Upstream.open` gives them."""
        for index in range(self._plan.turn.n):
            self._plan, self._begun = self._first_plan, False
            choice = ChoiceMachine(self._plan.spec, self._tokens, strict=self._strict)
            turn: Turn | None = self._plan.upstream_turn
            while turn is not None:
                # What the last batch lets out leaves with what follows it: an upstream that is not wanted any
                # more must not wait for a slow client.
                last: Events = ()
                failure: GatewayError | None = None
                try:
                    async with self._upstream.open(turn) as batches:
                        async for batch in batches:
                            if choice.takes_long(batch):
                                out = await in_checker_thread(choice.feed, batch)
                            else:
                                out = choice.feed(batch)
                            if choice.cut:
                                last = out
                                await self._watch_end(batches, choice)
                                break
                            if out:
                                yield out if self._begun else await self._opened(choice, index, out)
                except ThreadLost:
                    if turn.thread is None:
                        raise
                    turn = await self._retold(choice, turn)
                    continue
                except GatewayError as error:
                    failure = error
                self._costs.add(choice.reported_usage, as_asked=not choice.repairs)
                verdict = await self._verdict(choice, failure)
                if last := [*last, *verdict.events]:
                    yield last if self._begun else await self._opened(choice, index, last)
                if isinstance(verdict, Failed):
                    raise verdict.error
                turn = await self._follow_up(choice, verdict) if isinstance(verdict, Repair) else None
            await self._completed(choice)
        yield [UsageReported(await self._usage(choice))]

    async def _opened(self, choice: ChoiceMachine, index: int, events: Events) -> Events:
        """The first events of a choice, with what the client is told before them."""
        self._begun = True
        if index:
            # One Started for the whole turn; later choices only announce themselves.
            return [ChoiceStarted(index), *events]
        if choice.started is None:
            return events
        wanted = self._plan.turn.wants_prompt_tokens
        counted = await self._prompt.total() if wanted else self._prompt.known
        return [self._plan.announce(choice.started, choice.repairs, counted), *events]

    async def _watch_end(self, batches: AsyncIterator[Events], choice: ChoiceMachine) -> None:
        """Gives a complete answer a moment to end by itself: a thread that was cancelled cannot go on."""
        if self._plan.conversation is None or not choice.may_end:
            return
        with contextlib.suppress(TimeoutError, GatewayError):
            async with asyncio.timeout(END_TIME):
                while choice.ending.near and (batch := await anext(batches, None)) is not None:
                    choice.feed(batch)

    async def _verdict(self, choice: ChoiceMachine, failure: GatewayError | None) -> Verdict:
        if failure is not None:
            self._give_back(choice, failure)
            slow = choice.ends_slowly
            return await in_checker_thread(choice.failed, failure) if slow else choice.failed(failure)
        return await in_checker_thread(choice.end) if choice.ends_slowly else choice.end()

    async def _follow_up(self, choice: ChoiceMachine, repair: Repair) -> Turn:
        """The turn that asks for a repair: in the same thread where there is one, else as history."""
        # Servers that look for stop strings in the thoughts too would end this one there again.
        self._plan = self._plan.without_stop()
        if repair.anew:
            return await self._anew(repair.message)
        started = choice.started
        asked = self._plan.upstream_turn
        follow_up = UserMessage(repair.message)
        if self._upstream.capabilities.threads and started is not None and started.thread_id:
            thread = ThreadRef(started.thread_id, started.account)
            return replace(asked, messages=(follow_up,), thread=thread)
        if self._upstream.capabilities.history:
            written = neutralise(choice.raw_text)
            answer = (AssistantMessage(written),) if written else ()
            return replace(asked, messages=(*asked.messages, *answer, follow_up))
        return await self._retold(choice, replace(asked, messages=(follow_up,)))

    async def _anew(self, nudge: str) -> Turn:
        """The turn as it was first asked, with ``nudge`` at its end if there is one, in no thread."""
        texts = (nudge,) if nudge else ()
        if self._upstream.capabilities.history:
            asked = self._plan.upstream_turn
            return replace(asked, messages=(*asked.messages, *map(UserMessage, texts)))
        self._plan = (await self._planner.plan_anew(self._plan)).followed(texts)
        return self._plan.upstream_turn

    async def _retold(self, choice: ChoiceMachine, follow_up: Turn) -> Turn:
        """A turn in a thread that is gone or never was: the whole prompt, the answer, what was to follow."""
        texts: list[str] = []
        if follow_up is not self._plan.upstream_turn:
            if choice.raw_text:
                texts.append(f"You answered:\n\n{neutralise(choice.raw_text)}")
            texts += (message.text for message in follow_up.messages)
        self._plan = (await self._planner.plan_anew(self._plan)).followed(texts)
        return self._plan.upstream_turn

    def _give_back(self, choice: ChoiceMachine, failure: GatewayError) -> None:
        """Keeps the thread as it is for the next attempt of a turn that had no place here."""
        conversation, head = self._plan.conversation, self._plan.head
        if conversation is None or head is None or not isinstance(failure, Overloaded):
            return
        if choice.started is None and not choice.repairs:
            conversation.give_back(head)

    async def _completed(self, choice: ChoiceMachine) -> None:
        self._delivered.append(choice.delivered)
        if self._reasoning is not None:
            await self._reasoning.keep(self._plan.asked or self._plan.turn, choice.message)

    async def _usage(self, last: ChoiceMachine) -> Usage:
        """What the turn cost; the conversation can go on once that is known."""
        usage = await self._costs.usage(
            self._prompt,
            self._delivered,
            self._tokens,
            known=self._plan.known_tokens,
            bounded=self._plan.spec.max_tokens is not None,
        )
        self._keep_thread(last, usage)
        return usage

    def _keep_thread(self, choice: ChoiceMachine, usage: Usage) -> None:
        """Lets the conversation go on in the thread, if that holds what the client knows and nothing else."""
        conversation, started, prompt = self._plan.conversation, choice.started, self._plan.spec.prompt
        if conversation is None or prompt is None or started is None or not started.thread_id:
            return
        if not choice.thread_is_clean:
            return
        before = self._plan.head
        if before is None:
            conversation.forget_thread()
        seen = before.sections if before is not None else ()
        head = ThreadHead(
            started.thread_id,
            started.account,
            key=prompt.key,
            sections=tuple(dict.fromkeys((*seen, *prompt.sections))),
            control_tokens=prompt.client_has_control_tokens,
            tags=prompt.client_has_tags,
            turns=(before.turns if before is not None else 0) + 1 + choice.repairs,
            # The model does not get the reasoning of finished turns back.
            tokens=usage.prompt_tokens + usage.completion_tokens - usage.reasoning_tokens + ANSWER_TOKENS,
        )
        conversation.keep(choice.delivered.message, head)


async def in_checker_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """``function`` in a thread for what may take long and wait for other processes."""
    return await asyncio.get_running_loop().run_in_executor(_checkers, lambda: function(*args, **kwargs))
