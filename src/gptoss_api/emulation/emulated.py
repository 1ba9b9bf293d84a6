"""An upstream that can do everything, made of one that may only answer one text with another.

:class:`EmulatedUpstream` renders the turn into what its upstream takes, runs the answer through the
machines that restore tools, formats and limits, and asks again where the rules allow a repair. It is
itself an :class:`~gptoss_api.upstreams.base.Upstream`.
"""

import asyncio
import secrets
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import Final, Literal

from msgspec import Struct
from msgspec.structs import replace

from ..core.errors import GatewayError, ThreadLost
from ..core.events import ChoiceStarted, Events, Started, Usage, UsageReported
from ..core.turn import AssistantMessage, ThreadRef, Turn, UserMessage
from ..text.tokens import Tokens
from ..upstreams.base import Capabilities, Health, Upstream
from .choice import Again, ChoiceStream, Complete
from .delivered import Delivered
from .native import NativeReading
from .neutralise import neutralise
from .plan import Plan, make_plan
from .tool_section import Style
from .usage import PromptCount


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
    """Wraps ``upstream`` and adds what its capabilities lack."""

    capabilities: Final = Capabilities(
        history=True,
        tools=True,
        json_object=True,
        json_schema=True,
        stop=True,
        max_tokens=True,
        usage=True,
    )

    def __init__(self, upstream: Upstream, tokens: Tokens, settings: EmulationSettings) -> None:
        self._upstream = upstream
        self._tokens = tokens
        self._settings = settings if settings.secret else replace(settings, secret=secrets.token_bytes(32))

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
        plan = make_plan(
            turn, self._upstream.capabilities, style=self._settings.style, secret=self._settings.secret
        )
        with PromptCount(plan.segments, self._tokens) as prompt:
            await prompt.check(turn)
            if plan.max_tokens is not None and not self._tokens.loaded:
                await asyncio.to_thread(self._tokens.warm)
            async with aclosing(self._answer(plan, prompt)) as batches:
                yield batches

    async def _answer(self, plan: Plan, prompt: PromptCount) -> AsyncGenerator[Events, None]:
        delivered: list[Delivered] = []
        reported: Usage | None = None
        turns = plan.turn.n
        for index in range(plan.turn.n):
            choice = ChoiceStream(plan, self._tokens, strict=self._settings.repair == "strict")
            delivered.append(choice.delivered)
            async with aclosing(self._choice(plan, choice)) as batches:
                opening = index > 0
                async for batch in batches:
                    if opening:
                        # One Started for the whole turn; later choices only announce themselves.
                        batch = [ChoiceStarted(index), *(e for e in batch if type(e) is not Started)]
                        opening = False
                    yield batch
            reported = choice.reported_usage
            turns += choice.repairs
        # An upstream only reports on a turn of its own.
        if reported is None or turns > 1:
            reported = await self._usage(prompt, delivered)
        yield [UsageReported(reported)]

    async def _usage(self, prompt: PromptCount, delivered: list[Delivered]) -> Usage:
        asked = await prompt.total()
        counts = [await answer.tokens(self._tokens) for answer in delivered]
        reasoning = sum(thought for thought, _ in counts)
        return Usage(
            prompt_tokens=asked,
            completion_tokens=reasoning + sum(said for _, said in counts),
            reasoning_tokens=reasoning,
        )

    async def _choice(self, plan: Plan, choice: ChoiceStream) -> AsyncGenerator[Events, None]:
        """One choice, over as many upstream turns as its repairs take."""
        turn = plan.upstream_turn
        begun = False
        while True:
            reading = plan.reading()
            # What the last batch lets out leaves with what follows it: an upstream that is not wanted any
            # more must not wait for a slow client.
            last: Events = ()
            failure: GatewayError | None = None
            try:
                async with self._upstream.open(turn) as batches:
                    async for batch in batches:
                        out = choice.feed(reading.feed(batch) if reading is not None else batch)
                        if choice.cut:
                            last = out
                            break
                        if out:
                            yield out if begun else _opened(plan, choice, out)
                            begun = True
            except ThreadLost:
                if turn.thread is None:
                    raise
                turn = _retold(plan, choice, turn)
                continue
            except GatewayError as error:
                failure = error
            if failure is None:
                verdict = choice.end()
            else:
                if held := [*self._held_back(reading, choice), *choice.interrupted()]:
                    yield held
                verdict = choice.failed(failure)
            last = [*last, *verdict.events]
            if last:
                yield last if begun else _opened(plan, choice, last)
                begun = True
            if isinstance(verdict, Complete):
                return
            turn = self._follow_up(plan, choice, verdict)

    def _held_back(self, reading: NativeReading | None, choice: ChoiceStream) -> Events:
        """What may still be delivered of an answer that broke off, to a client that has the rest of it."""
        if reading is None or choice.delivered.empty:
            return ()
        return choice.feed(reading.flush())

    def _follow_up(self, plan: Plan, choice: ChoiceStream, again: Again) -> Turn:
        """The turn that asks for a repair: in the same thread where there is one, else as history."""
        started = choice.started
        asked = plan.upstream_turn
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
        return _retold(plan, choice, replace(asked, messages=(follow_up,)))


def _opened(plan: Plan, choice: ChoiceStream, events: Events) -> Events:
    """The first events of a choice, with what the client is told before them: repairs up to now included."""
    return events if choice.started is None else [plan.announce(choice.started, choice.repairs), *events]


def _retold(plan: Plan, choice: ChoiceStream, follow_up: Turn) -> Turn:
    """A follow-up to a conversation that is gone, in one text: the prompt, the answer, what was to follow."""
    texts = [message.text for message in plan.upstream_turn.messages]
    if choice.raw_text:
        texts.append(f"You answered:\n\n{neutralise(choice.raw_text)}")
    texts += [message.text for message in follow_up.messages]
    return replace(plan.upstream_turn, messages=(UserMessage("\n\n".join(texts)),))
