"""Drives the choices of one turn through upstream turns: opens them, delivers, and asks again."""

import asyncio
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Final, ParamSpec, TypeVar

from msgspec.structs import replace

from ..core.catalog import find_model
from ..core.errors import GatewayError, Overloaded, ThreadLost
from ..core.events import ChoiceStarted, Events, Finished, Usage, UsageReported
from ..core.turn import AssistantMessage, ThreadRef, Turn, UserMessage
from ..loop import LIGHT, Limit, in_thread
from ..text.tokens import Tokens
from ..threads import ReasoningCache, ThreadHead, touches_thoughts
from ..upstreams.base import Brake, Sink, Upstream
from .answer.choice import ChoiceMachine, Complete, Failed, Repair, Verdict
from .answer.output import Delivered
from .plan import Plan, Planner
from .prompt.harmony import ANSWER_TOKENS
from .prompt.neutralise import neutralise
from .usage import LEAST_ANSWER, Costs, PromptCount

# Seconds a complete answer may take to end (docs/design/emulation.md, "When a thread goes on").
END_TIME: Final = 1.5

# What the last batches of an upstream end with.
_LAST: Final = frozenset({Finished, UsageReported})

P = ParamSpec("P")
R = TypeVar("R")

_checkers: Final = ThreadPoolExecutor(4, thread_name_prefix="check")


class TurnDriver:
    """Asks ``upstream`` for the answer to one turn as ``planner`` plans it.

    What its answers are is for a :class:`ChoiceMachine` to say; here is what has to be waited for. Where a
    conversation may go on, an upstream turn of which no more is wanted may end by itself, so that
    its thread can go on. ``strict`` is the machine's.
    """

    def __init__(
        self,
        upstream: Upstream,
        planner: Planner,
        tokens: Tokens,
        *,
        strict: bool,
        reasoning: ReasoningCache | None = None,
    ) -> None:
        self._upstream = upstream
        self._planner = planner
        self._tokens = tokens
        self._strict = strict
        self._reasoning = reasoning
        self._delivered: list[Delivered] = []
        self._costs = Costs()
        self._plan: Plan
        self._prompt: PromptCount
        # Where the answer goes; ``begun`` says that something of the present choice went there.
        self._sink: Sink
        self.flow: Brake
        self._begun = False
        self._index = 0
        # Whether the client is to be told before the answer how many tokens the prompt has.
        self._tells_prompt = False
        self._choice: ChoiceMachine
        # Of the present upstream turn: whether no more of it is wanted, here or by the sink; whether only its
        # end is awaited; the failure that its events were; what is worked on aside.
        self._over = False
        self._unwanted = False
        self._ending = False
        self._failure: GatewayError | None = None
        self._aside: asyncio.Task[None] | None = None
        self._limit: Limit
        # What the last batch let out. It leaves with what follows it: one write for text and end, and an
        # upstream that is not wanted any more must not wait for a slow client.
        self._last: Events = ()

    async def answer(self, turn: Turn, sink: Sink, plan: Plan | None = None) -> None:
        """The whole ``turn``; see :class:`gptoss_api.upstreams.base.Upstream`.

        ``plan`` is for it, where it is made already.
        """
        self._sink, self.flow = sink, sink.flow
        if plan is None:
            begun = self._planner.begin(turn) if turn.weight <= LIGHT else None
            plan = begun if isinstance(begun, Plan) else await self._planner.plan(turn, begun)
        spec = plan.spec
        self._tells_prompt = spec.turn.wants_prompt_tokens
        with PromptCount(plan.counted, self._tokens, find_model(turn.model).context_window) as prompt:
            self._prompt = prompt
            asked = plan.upstream_turn.max_tokens
            if not prompt.leaves(LEAST_ANSWER if asked is None else max(asked, LEAST_ANSWER)):
                await prompt.check(turn)
                plan = plan.limited(await prompt.room(asked))
            if spec.max_tokens is not None and not self._tokens.loaded:
                await in_thread(0, self._tokens.warm)
            last: Events = ()
            for index in range(spec.turn.n):
                if index and not await self._told(last):
                    return
                self._plan, self._begun, self._index = plan, False, index
                self._choice = choice = ChoiceMachine(spec, self._tokens, strict=self._strict)
                ended = await self._answered(choice)
                if ended is None:
                    return
                last = ended
                self._delivered.append(choice.delivered)
                asked_for = self._plan.asked or self._plan.spec.turn
                if self._reasoning is not None and touches_thoughts(
                    asked_for.messages, calls=choice.delivered.called
                ):
                    await self._reasoning.keep(asked_for, choice.message)
            known = 0 if self._plan.head is None else self._plan.head.tokens
            usage = await self._costs.usage(
                prompt, self._delivered, self._tokens, known=known, bounded=spec.max_tokens is not None
            )
            # The end of an answer leaves together with what it cost.
            last = [*last, UsageReported(usage)]
            waits = self._tells_prompt or self.flow.held
            if await self._told(last) if waits else self._pass_on(last):
                self._keep_thread(choice, usage)

    async def _told(self, events: Events) -> bool:
        """Passes ``events`` on once they can be taken; says whether more is wanted."""
        if self._tells_prompt:
            await self._prompt_known()
        if self.flow.held:
            await self.flow.free()
        return self._pass_on(events)

    async def _answered(self, choice: ChoiceMachine) -> Events | None:
        """Asks until ``choice`` is complete; gives its last events, or ``None`` where no more is wanted."""
        turn = self._plan.upstream_turn
        while True:
            self._over = self._ending = False
            self._failure = self._aside = None
            self._last = ()
            try:
                with Limit() as self._limit:
                    await self._upstream.answer(turn, self)
                if self._aside is not None:
                    await self._aside
            except TimeoutError:
                # Only set where no more is wanted.
                pass
            except GatewayError as failure:
                if self._aside is not None:
                    await self._aside
                if not choice.cut:
                    if isinstance(failure, ThreadLost):
                        if turn.thread is None:
                            raise
                        turn = await self._retold(choice, turn)
                        continue
                    self._failure = self._failure or failure
            finally:
                if self._aside is not None:
                    self._aside.cancel()
            if self._unwanted:
                return None
            self._costs.add(choice.reported_usage, as_asked=not choice.repaired)
            plain = choice.end_of_plain() if self._failure is None else None
            verdict = plain or await self._verdict(choice, self._failure)
            last = [*self._last, *verdict.events]
            if isinstance(verdict, Complete):
                return last
            if last and not await self._told(last):
                return None
            if isinstance(verdict, Failed):
                raise verdict.error
            turn = await self._follow_up(choice, verdict)

    def feed(self, events: Events) -> bool:
        """Takes what one read of the upstream brought; says whether more is wanted."""
        if self._over:
            return False
        choice = self._choice
        try:
            if self._ending:
                choice.feed(events)
                return choice.ending.near
            out = choice.passed(events)
            if out is None:
                if choice.takes_long(events):
                    self._do_aside(self._feed_aside(events))
                    return True
                out = choice.feed(events)
            elif type(events[-1]) in _LAST:
                # What it cost may come apart from the end.
                self._last = [*self._last, *out]
                return True
            return self._fed(out)
        except GatewayError as failure:
            return self._broken(failure)

    def _fed(self, out: Events) -> bool:
        if self._choice.cut:
            self._last = out
            return self._watches_end()
        if not out:
            return True
        if not self._begun:
            if self._tells_prompt and self._needs_prompt:
                self._do_aside(self._pass_on_counted(out))
                return True
            out = self._opened(out)
        wanted = self._sink.feed(out)
        self._unwanted = self._over = not wanted
        return wanted

    def _broken(self, failure: GatewayError) -> bool:
        self._over = True
        if not self._ending:
            self._failure = failure
        return False

    def _watches_end(self) -> bool:
        """Gives a complete answer a moment to end by itself: a thread that was cancelled cannot go on."""
        self._ending = self._plan.conversation is not None and self._choice.may_end
        if self._ending:
            self._limit.set(asyncio.get_running_loop().time() + END_TIME)
        return self._ending

    def _pass_on(self, out: Events) -> bool:
        wanted = self._sink.feed(out if self._begun else self._opened(out))
        self._unwanted = self._over = not wanted
        return wanted

    def _opened(self, events: Events) -> Events:
        """The first events of a choice, with what the client is told before them."""
        self._begun = True
        if self._index:
            # One Started for the whole turn; later choices only announce themselves.
            return [ChoiceStarted(self._index), *events]
        choice = self._choice
        if choice.started is None:
            return events
        return [self._plan.announce(choice.started, choice.repaired, self._prompt.known), *events]

    # What has to be waited for in the middle of an answer

    def _do_aside(self, work: Coroutine[None, None, bool]) -> None:
        """Has ``work`` done while the answer stands still; its value says whether more is wanted."""
        self.flow.hold()
        self._aside = asyncio.create_task(self._done_aside(work))

    async def _done_aside(self, work: Coroutine[None, None, bool]) -> None:
        wanted = False
        try:
            wanted = await work
        except GatewayError as failure:
            self._broken(failure)
        finally:
            self._over |= not wanted
            self.flow.release()
        if self._over:
            # The upstream may say nothing for a long time.
            asyncio.get_running_loop().call_soon(self._limit.end)

    async def _feed_aside(self, events: Events) -> bool:
        out = await in_checker_thread(self._choice.feed, events)
        await self._prompt_known()
        return self._fed(out)

    async def _pass_on_counted(self, out: Events) -> bool:
        await self._prompt_known()
        return self._pass_on(out)

    @property
    def _needs_prompt(self) -> bool:
        """Whether the client is to be told first how many tokens the prompt has, which is not known yet."""
        return not self._begun and not self._index and self._tells_prompt and self._prompt.known is None

    async def _prompt_known(self) -> None:
        if self._needs_prompt:
            await self._prompt.total()

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

    def _keep_thread(self, choice: ChoiceMachine, usage: Usage) -> None:
        """Lets the conversation go on in the thread, if that holds what the client knows and nothing else."""
        conversation, started, prompt = self._plan.conversation, choice.started, self._plan.spec.prompt
        if conversation is None or prompt is None or started is None or not started.thread_id:
            return
        if not choice.thread_is_clean:
            return
        before = self._plan.head
        seen = before.sections if before is not None else ()
        head = ThreadHead(
            started.thread_id,
            started.account,
            key=prompt.key,
            sections=tuple(dict.fromkeys((*seen, *prompt.sections))),
            control_tokens=prompt.client_has_control_tokens,
            tags=prompt.client_has_tags,
            turns=(before.turns if before is not None else 0) + 1 + len(choice.repaired),
            # The model does not get the reasoning of finished turns back.
            tokens=usage.prompt_tokens + usage.completion_tokens - usage.reasoning_tokens + ANSWER_TOKENS,
        )
        conversation.keep(choice.delivered.message, head)


async def in_checker_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """``function`` in a thread for what may take long and wait for other processes."""
    return await asyncio.get_running_loop().run_in_executor(_checkers, lambda: function(*args, **kwargs))
