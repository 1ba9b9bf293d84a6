"""An upstream that can do everything, made of one that may only answer one text with another.

:class:`EmulatedUpstream` renders the turn into what its upstream takes, runs the answer through the
machines that restore tools, formats and limits, and asks again where the rules allow a repair. It is
itself an :class:`~gptoss_api.upstreams.base.Upstream`.
"""

import asyncio
import contextlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Final, Literal

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
from .answer.checking import aside
from .answer.choice import Again, ChoiceStream, Complete
from .answer.delivered import Delivered
from .answer.native import NativeReading
from .plan import Plan
from .planner import Planner
from .prompt.neutralise import neutralise
from .prompt.tool_section import Style
from .usage import MESSAGE_OVERHEAD, PromptCount

# Seconds a complete answer may take to end (docs/design/emulation.md, "When a thread goes on").
END_TIME: Final = 1.5


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
        conversation = await beside(turn.weight, self._planner.conversation, turn)
        plan = await self._planner.plan(turn, conversation)
        window = find_model(turn.model).context_window
        with PromptCount(plan.segments, self._tokens, window, plan.known_tokens) as prompt:
            await prompt.check(turn)
            if plan.max_tokens is not None and not self._tokens.loaded:
                await in_thread(0, self._tokens.warm)
            async with aclosing(self._answer(plan, prompt, conversation)) as batches:
                yield batches

    async def _answer(
        self, plan: Plan, prompt: PromptCount, conversation: Conversation | None
    ) -> AsyncGenerator[Events, None]:
        choices: list[ChoiceStream] = []
        reported: Usage | None = None
        turns = plan.turn.n
        for index in range(plan.turn.n):
            choice = ChoiceStream(plan, self._tokens, strict=self._strict)
            choices.append(choice)
            async with aclosing(self._choice(choice, prompt, conversation)) as batches:
                opening = index > 0
                async for batch in batches:
                    if opening:
                        # One Started for the whole turn; later choices only announce themselves.
                        batch = [ChoiceStarted(index), *(e for e in batch if type(e) is not Started)]
                        opening = False
                    yield batch
            reported = choice.reported_usage
            turns += choice.repairs
            if self._thoughts is not None:
                await self._thoughts.keep(plan.turn, choice.message)
        # An upstream only reports on a turn of its own.
        if reported is None or turns > 1:
            reported = await self._usage(choice.plan, prompt, [choice.delivered for choice in choices])
        if conversation is not None:
            await _keep_thread(conversation, choice, reported)
        yield [UsageReported(reported)]

    async def _usage(self, plan: Plan, prompt: PromptCount, delivered: Sequence[Delivered]) -> Usage:
        asked = await prompt.total()
        counts = [await answer.tokens(self._tokens) for answer in delivered]
        reasoning = sum(thought for thought, _ in counts)
        return Usage(
            prompt_tokens=asked,
            completion_tokens=reasoning + sum(said for _, said in counts),
            reasoning_tokens=reasoning,
            cached_tokens=plan.known_tokens,
        )

    async def _choice(
        self, choice: ChoiceStream, prompt: PromptCount, conversation: Conversation | None
    ) -> AsyncGenerator[Events, None]:
        """One choice, over as many upstream turns as its repairs take.

        Where it belongs to a ``conversation``, a turn of which no more is wanted may end by itself, so that
        its thread can go on.
        """
        turn = choice.plan.upstream_turn
        begun = False
        while True:
            reading = choice.plan.reading()
            # What the last batch lets out leaves with what follows it: an upstream that is not wanted any
            # more must not wait for a slow client.
            last: Events = ()
            failure: GatewayError | None = None
            try:
                async with self._upstream.open(turn) as batches:
                    async for batch in batches:
                        if choice.takes_long(batch):
                            out = await aside(_read, choice, reading, batch)
                        else:
                            out = _read(choice, reading, batch)
                        if choice.cut:
                            last = out
                            if conversation is not None and choice.may_end:
                                await _watch_end(batches, choice)
                            break
                        if out:
                            yield out if begun else await _opened(choice, prompt, out)
                            begun = True
            except ThreadLost:
                if turn.thread is None:
                    raise
                turn = await self._retold(choice, turn)
                continue
            except GatewayError as error:
                failure = error
                if conversation is not None and isinstance(error, Overloaded):
                    _give_back(conversation, choice)
            if reading is not None and reading.changed:
                choice.rewritten = True
            if failure is None:
                verdict = await aside(choice.end) if choice.ends_slowly else choice.end()
            else:
                if held := [*self._held_back(reading, choice), *choice.interrupted()]:
                    yield held
                verdict = choice.failed(failure)
            last = [*last, *verdict.events]
            if last:
                yield last if begun else await _opened(choice, prompt, last)
                begun = True
            if isinstance(verdict, Complete):
                return
            turn = await self._follow_up(choice, verdict)

    def _held_back(self, reading: NativeReading | None, choice: ChoiceStream) -> Events:
        """What may still be delivered of an answer that broke off, to a client that has the rest of it."""
        if reading is None or choice.delivered.empty:
            return ()
        return choice.feed(reading.flush())

    async def _follow_up(self, choice: ChoiceStream, again: Again) -> Turn:
        """The turn that asks for a repair: in the same thread where there is one, else as history."""
        started = choice.started
        asked = choice.plan.upstream_turn
        if self._upstream.capabilities.threads and started is not None and started.thread_id:
            return replace(
                asked,
                messages=(UserMessage(again.message),),
                thread=ThreadRef(started.thread_id, started.account),
            )
        follow_up = UserMessage(again.message)
        if self._upstream.capabilities.history:
            written = neutralise(choice.raw_text)
            answer = (AssistantMessage(written),) if written else ()
            return replace(asked, messages=(*asked.messages, *answer, follow_up))
        return await self._retold(choice, replace(asked, messages=(follow_up,)))

    async def _retold(self, choice: ChoiceStream, follow_up: Turn) -> Turn:
        """A turn in a thread that is gone or never was: the whole prompt, the answer, what was to follow."""
        texts: list[str] = []
        if follow_up is not choice.plan.upstream_turn:
            if choice.raw_text:
                texts.append(f"You answered:\n\n{neutralise(choice.raw_text)}")
            texts += (message.text for message in follow_up.messages)
        choice.plan = (await self._planner.plan_anew(choice.plan)).followed(texts)
        return choice.plan.upstream_turn


def _read(choice: ChoiceStream, reading: NativeReading | None, batch: Events) -> Events:
    return choice.feed(batch if reading is None else reading.feed(batch))


async def _watch_end(batches: AsyncIterator[Events], choice: ChoiceStream) -> None:
    """Gives a complete answer a moment to end by itself: a thread that was cancelled cannot go on."""
    with contextlib.suppress(TimeoutError, GatewayError):
        async with asyncio.timeout(END_TIME):
            while choice.ending.near and (batch := await anext(batches, None)) is not None:
                choice.feed(batch)


def _give_back(conversation: Conversation, choice: ChoiceStream) -> None:
    """Keeps the thread as it is for the next attempt of a turn that had no place here."""
    if choice.plan.tip is not None and choice.started is None and not choice.repairs:
        conversation.give_back(choice.plan.tip)


async def _keep_thread(conversation: Conversation, choice: ChoiceStream, usage: Usage) -> None:
    """Lets the conversation go on in the thread, if that holds what the client knows and nothing else."""
    started, prompt, before = choice.started, choice.plan.prompt, choice.plan.tip
    if prompt is None or started is None or not started.thread_id or not choice.thread_is_clean:
        return
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


async def _opened(choice: ChoiceStream, prompt: PromptCount, events: Events) -> Events:
    """The first events of a choice, with what the client is told before them: repairs up to now included."""
    if choice.started is None:
        return events
    plan = choice.plan
    counted = await prompt.total() if plan.turn.wants_prompt_tokens else prompt.known
    return [plan.announce(choice.started, choice.repairs, counted), *events]
