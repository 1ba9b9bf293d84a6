"""An upstream that can do everything, made of one that may only answer one text with another.

:class:`EmulatedUpstream` renders the turn into what its upstream takes, runs the answer through the
machines that restore tools, formats and limits, and asks again where the rules allow a repair. It is
itself an :class:`~gptoss_api.upstreams.base.Upstream`.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, asynccontextmanager
from typing import Final, Literal, ParamSpec, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from ..core.catalog import find_model
from ..core.errors import GatewayError, Overloaded, ThreadLost
from ..core.events import ChoiceStarted, Events, Started, Usage, UsageReported
from ..core.turn import AssistantMessage, ThreadRef, Turn, UserMessage
from ..loop import beside, in_thread
from ..text.tokens import Tokens
from ..threads import Conversation, Conversations, Thoughts, Tip
from ..upstreams.base import Capabilities, Health, Upstream
from .answer.choice import ChoiceMachine, Complete, Failed, Repair
from .answer.output import Delivered
from .plan import Plan, Planner
from .prompt.key import Opening
from .prompt.neutralise import neutralise
from .prompt.tool_section import Style
from .usage import MESSAGE_OVERHEAD, PromptCount, count_delivered

# Seconds a complete answer may take to end (docs/design/emulation.md, "When a thread goes on").
END_TIME: Final = 1.5

P = ParamSpec("P")
R = TypeVar("R")

_checkers: Final = ThreadPoolExecutor(4, thread_name_prefix="check")


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

    ``conversations`` finds the threads in which conversations go on, ``thoughts`` the reasoning that clients
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
        thoughts: Thoughts | None = None,
    ) -> None:
        self._upstream = upstream
        self._tokens = tokens
        self._strict = settings.repair == "strict"
        self._planner = Planner(
            upstream,
            settings.style,
            settings.secret or secrets.token_bytes(32),
            conversations if upstream.capabilities.threads else None,
            thoughts,
        )
        self._thoughts = thoughts

    @property
    def name(self) -> str:
        return self._upstream.name

    async def health(self) -> Health:
        return await self._upstream.health()

    async def close(self) -> None:
        await self._upstream.close()

    @asynccontextmanager
    async def open(self, turn: Turn) -> AsyncIterator[AsyncIterator[Events]]:
        """See :meth:`gptoss_api.upstreams.base.Upstream.open`.

        Raises:
            ContextLengthExceeded: before anything is sent.
        """
        opening = self._planner.opening(turn)
        conversation = await beside(turn.weight, self._planner.conversation, turn, opening)
        plan = await self._planner.plan(turn, opening, conversation)
        window = find_model(turn.model).context_window
        with PromptCount(plan.segments, self._tokens, window, plan.known_tokens) as prompt:
            await prompt.check(turn)
            if plan.spec.max_tokens is not None and not self._tokens.loaded:
                await in_thread(0, self._tokens.warm)
            driver = _TurnDriver(self._upstream, self._planner, plan, opening, prompt, conversation)
            async with aclosing(self._answer(driver)) as batches:
                yield batches

    async def _answer(self, driver: "_TurnDriver") -> AsyncGenerator[Events, None]:
        plan = driver.plan
        delivered: list[Delivered] = []
        turns = 0
        for index in range(plan.turn.n):
            choice = ChoiceMachine(plan.spec, self._tokens, strict=self._strict)
            async with aclosing(driver.choice(choice)) as batches:
                opening = index > 0
                async for batch in batches:
                    if opening:
                        # One Started for the whole turn; later choices only announce themselves.
                        batch = [ChoiceStarted(index), *(e for e in batch if type(e) is not Started)]
                        opening = False
                    yield batch
            delivered.append(choice.delivered)
            turns += 1 + choice.repairs
            if self._thoughts is not None:
                await self._thoughts.keep(plan.turn, choice.message)
        usage = choice.reported_usage
        # An upstream only reports on a turn of its own.
        if usage is None or turns > 1:
            usage = await count_delivered(driver.prompt, driver.plan.known_tokens, delivered, self._tokens)
        await driver.keep_thread(choice, usage)
        yield [UsageReported(usage)]


class _TurnDriver:
    """Asks ``upstream`` for the choices of one turn, over as many upstream turns as their repairs take.

    ``plan`` is that of the latest upstream turn. Where the turn belongs to a ``conversation``, an upstream
    turn of which no more is wanted may end by itself, so that its thread can go on.
    """

    def __init__(
        self,
        upstream: Upstream,
        planner: Planner,
        plan: Plan,
        opening: Opening,
        prompt: PromptCount,
        conversation: Conversation | None,
    ) -> None:
        self.plan = plan
        self.prompt = prompt
        self._upstream = upstream
        self._planner = planner
        self._opening = opening
        self._conversation = conversation
        self._first_plan = plan

    async def choice(self, choice: ChoiceMachine) -> AsyncGenerator[Events, None]:
        """What a client gets of one choice, of which the machine has the last word."""
        self.plan = self._first_plan
        turn = self.plan.upstream_turn
        begun = False
        while True:
            # What the last batch lets out leaves with what follows it: an upstream that is not wanted any
            # more must not wait for a slow client.
            last: Events = ()
            failure: GatewayError | None = None
            try:
                async with self._upstream.open(turn) as batches:
                    async for batch in batches:
                        if choice.takes_long(batch):
                            out = await aside(choice.feed, batch)
                        else:
                            out = choice.feed(batch)
                        if choice.cut:
                            last = out
                            if self._conversation is not None and choice.may_end:
                                await _watch_end(batches, choice)
                            break
                        if out:
                            yield out if begun else await self._opened(choice, out)
                            begun = True
            except ThreadLost:
                if turn.thread is None:
                    raise
                turn = await self._retold(choice, turn)
                continue
            except GatewayError as error:
                failure = error
                self._give_back(choice, error)
            if failure is not None:
                verdict = choice.failed(failure)
            else:
                verdict = await aside(choice.end) if choice.ends_slowly else choice.end()
            last = [*last, *verdict.events]
            if last:
                yield last if begun else await self._opened(choice, last)
                begun = True
            if isinstance(verdict, Complete):
                return
            if isinstance(verdict, Failed):
                raise verdict.error
            turn = await self._follow_up(choice, verdict)

    async def _opened(self, choice: ChoiceMachine, events: Events) -> Events:
        """The first events, with what the client is told before them: repairs up to now included."""
        if choice.started is None:
            return events
        wanted = self.plan.turn.wants_prompt_tokens
        counted = await self.prompt.total() if wanted else self.prompt.known
        return [self.plan.announce(choice.started, choice.repairs, counted), *events]

    async def _follow_up(self, choice: ChoiceMachine, repair: Repair) -> Turn:
        """The turn that asks for a repair: in the same thread where there is one, else as history."""
        started = choice.started
        asked = self.plan.upstream_turn
        follow_up = UserMessage(repair.message)
        if self._upstream.capabilities.threads and started is not None and started.thread_id:
            thread = ThreadRef(started.thread_id, started.account)
            return replace(asked, messages=(follow_up,), thread=thread)
        if self._upstream.capabilities.history:
            written = neutralise(choice.raw_text)
            answer = (AssistantMessage(written),) if written else ()
            return replace(asked, messages=(*asked.messages, *answer, follow_up))
        return await self._retold(choice, replace(asked, messages=(follow_up,)))

    async def _retold(self, choice: ChoiceMachine, follow_up: Turn) -> Turn:
        """A turn in a thread that is gone or never was: the whole prompt, the answer, what was to follow."""
        texts: list[str] = []
        if follow_up is not self.plan.upstream_turn:
            if choice.raw_text:
                texts.append(f"You answered:\n\n{neutralise(choice.raw_text)}")
            texts += (message.text for message in follow_up.messages)
        self.plan = (await self._planner.plan_anew(self.plan, self._opening)).followed(texts)
        return self.plan.upstream_turn

    def _give_back(self, choice: ChoiceMachine, failure: GatewayError) -> None:
        """Keeps the thread as it is for the next attempt of a turn that had no place here."""
        conversation, tip = self._conversation, self.plan.tip
        if conversation is None or tip is None or not isinstance(failure, Overloaded):
            return
        if choice.started is None and not choice.repairs:
            conversation.give_back(tip)

    async def keep_thread(self, choice: ChoiceMachine, usage: Usage) -> None:
        """Lets the conversation go on in the thread, if that holds what the client knows and nothing else."""
        conversation, started, prompt = self._conversation, choice.started, self.plan.spec.prompt
        if conversation is None or prompt is None or started is None or not started.thread_id:
            return
        if not choice.thread_is_clean:
            return
        before = self.plan.tip
        if before is None:
            conversation.forget_thread()
        seen = before.sections if before is not None else ()
        tip = Tip(
            started.thread_id,
            started.account,
            key=prompt.key,
            sections=tuple(dict.fromkeys((*seen, *prompt.sections))),
            control_tokens=prompt.client_has_control_tokens,
            tags=prompt.client_has_tags,
            turns=(before.turns if before is not None else 0) + 1 + choice.repairs,
            # The model does not get the reasoning of finished turns back.
            tokens=usage.prompt_tokens + usage.completion_tokens - usage.reasoning_tokens + MESSAGE_OVERHEAD,
        )
        await conversation.keep(choice.delivered.message, tip)


async def _watch_end(batches: AsyncIterator[Events], choice: ChoiceMachine) -> None:
    """Gives a complete answer a moment to end by itself: a thread that was cancelled cannot go on."""
    with contextlib.suppress(TimeoutError, GatewayError):
        async with asyncio.timeout(END_TIME):
            while choice.ending.near and (batch := await anext(batches, None)) is not None:
                choice.feed(batch)


async def aside(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """``function`` in a thread for what may take long and wait for other processes."""
    return await asyncio.get_running_loop().run_in_executor(_checkers, lambda: function(*args, **kwargs))
