"""What is sent for a turn, and what the gateway then does itself.

The whole conversation is sent, or only its end to a thread that knows the rest.
"""

from collections.abc import Sequence
from functools import lru_cache, partial
from typing import Any, Final

from msgspec import Struct
from msgspec.structs import replace

from ..core.errors import UnsupportedParameter
from ..core.events import ContextEdited, Started, ThreadUse
from ..core.turn import (
    AssistantMessage,
    OutputFormat,
    ToolChoice,
    ToolResultMessage,
    Turn,
    UserMessage,
)
from ..loop import LIGHT, beside, in_thread
from ..text.digest import digest
from ..text.schema import compile_schema
from ..text.tokens import Tokens
from ..threads import Conversation, Conversations, ReasoningCache, ThreadHead, missing_thoughts
from ..upstreams.base import Capabilities, Upstream
from .answer.spec import AnswerSpec
from .context import cleared, clears
from .prompt.demands import told
from .prompt.harmony import MESSAGE_TOKENS, SYSTEM_TOKENS, HarmonyText, harmony_text
from .prompt.key import Preamble
from .prompt.native import native_turn
from .prompt.render import Prompt, render_prompt, render_suffix
from .prompt.tool_section import Style

# Tokens that a model may think where a client bounds only what it is shown.
HIDDEN_REASONING: Final = 16_384

_NO_CHOICE: Final = ToolChoice()
_ANY_FORMAT: Final = OutputFormat()


class Continued(Struct, frozen=True):
    """The rest of a conversation as ``prompt``; its beginning stands in the thread that ends at ``head``."""

    head: ThreadHead
    prompt: Prompt


class Plan(Struct, frozen=True):
    """A turn split in two: ``upstream_turn`` is sent, everything in ``emulated`` is ours.

    ``upstream_turn`` is streamed where somebody sees the answer while it comes, the gateway included.

    ``spec`` is what the answer has to be. Its prompt is the rendered conversation, or with ``head`` the rest
    of one that a thread knows up to there. ``counted`` is what the prompt's tokens are counted of, together
    with those in the thread. ``thread`` is what becomes of the conversation upstream, ``None`` where the
    upstream keeps none. ``preamble`` is the turn's, and ``conversation`` the one that may go on after it.
    """

    spec: AnswerSpec
    upstream_turn: Turn
    counted: HarmonyText
    emulated: tuple[str, ...]
    ignored: tuple[str, ...]
    preamble: Preamble
    conversation: Conversation | None = None
    thread: ThreadUse | None = None
    head: ThreadHead | None = None
    asked: Turn | None = None
    context_edits: tuple[ContextEdited, ...] = ()

    def followed(self, texts: Sequence[str]) -> "Plan":
        """The same with ``texts`` after what was to be sent, in a new thread."""
        text = "\n\n".join(("".join(self.counted.texts), *texts))
        return replace(self, upstream_turn=replace(self.upstream_turn, messages=(UserMessage(text),)))

    def without_stop(self) -> "Plan":
        """The same where the upstream does not stop by itself; what it says is cut all the same."""
        turn = self.upstream_turn
        streamed = turn.streamed or bool(self.spec.stop)
        return replace(self, upstream_turn=replace(turn, stop=(), streamed=streamed))

    def limited(self, most: int | None) -> "Plan":
        """The same where the upstream's model may write ``most`` tokens."""
        if most == self.upstream_turn.max_tokens:
            return self
        return replace(self, upstream_turn=replace(self.upstream_turn, max_tokens=most))

    def announce(
        self, started: Started, repaired: Sequence[str], prompt_tokens: int | None = None
    ) -> Started:
        """The upstream's ``Started`` with what the client should know."""
        return replace(
            started,
            emulated=tuple(dict.fromkeys((*self.emulated, *started.emulated)))
            if started.emulated
            else self.emulated,
            ignored=self.ignored,
            repairs=len(repaired),
            repaired=tuple(repaired),
            prompt_tokens=prompt_tokens,
            thread=self.thread or started.thread,
            context_edits=self.context_edits,
        )


def make_plan(
    turn: Turn,
    capabilities: Capabilities,
    *,
    preamble: Preamble,
    secret: bytes,
    key: str = "",
    conversation: Conversation | None = None,
    continued: Continued | None = None,
) -> Plan:
    """Decides, feature by feature, what the upstream does and what is emulated.

    ``preamble`` is the turn's. ``key`` is that of the tool calls, where it is not for this plan to choose.
    """
    prompt: Prompt | None = None
    emulated: tuple[str, ...] = ()
    offers_tools = bool(turn.tools) and turn.tool_choice.mode != "none"
    # What differs in the turn that is sent.
    changed: dict[str, Any] = {"n": 1, "max_tokens": turn.max_tokens if capabilities.max_tokens else None}
    sent = turn
    # The upstream gets one text where it takes no conversations, or no tools although some are on offer.
    # Whatever else it lacks it is told in the conversation.
    if not capabilities.history or (offers_tools and not capabilities.tools):
        if continued is None:
            prompt = render_prompt(turn, preamble=preamble, secret=secret, key=key)
            known = SYSTEM_TOKENS
        else:
            prompt, known = continued.prompt, continued.head.tokens
        changed.update(
            messages=(UserMessage(prompt.text),),
            thread=None if continued is None else continued.head.ref,
            tools=(),
            tool_choice=_NO_CHOICE,
            output_format=_ANY_FORMAT,
            # A call may stand in the reasoning although the client does not want to see any.
            show_reasoning=turn.show_reasoning or offers_tools,
        )
        counted, emulated = HarmonyText(prompt.segments, known + MESSAGE_TOKENS), prompt.emulated
    else:
        if not capabilities.verbatim:
            sent = native_turn(turn)
        if offers_tools or turn.output_format.kind != "text":
            emulated = _lacking_fields(turn, capabilities, offers_tools=offers_tools)
            if not capabilities.verbatim:
                sent = told(sent, emulated)
        counted = harmony_text(sent, preamble.tools, thoughts=capabilities.thoughts)
    if turn.top_logprobs is not None:
        # Those of words that are taught, read or mended here are not those of the answer.
        mended = prompt is not None or emulated
        _check_logprobs(available=capabilities.logprobs and not mended)
    spec = _spec(turn, capabilities, prompt, sent, offers_tools=offers_tools)
    if turn.bounds_shown and changed["max_tokens"] is not None:
        # The upstream counts the whole of what its model writes.
        changed["max_tokens"] += HIDDEN_REASONING
    if turn.stop and not spec.sends_stop:
        changed["stop"] = ()
    changed["streamed"] = turn.streamed or turn.followed or spec.watched
    ignored = turn.ignored
    if turn.options:
        changed["options"] = honoured = {
            name: value for name, value in turn.options.items() if name in capabilities.options
        }
        ignored = (*ignored, *[name for name in turn.options if name not in honoured])
    if turn.tools or spec.checks_format:
        ignored = (*ignored, *_left_out(spec))
    if spec.max_tokens is not None or turn.stop or turn.n > 1:
        emulated = (*emulated, *_counted_here(spec))
    return Plan(
        spec=spec,
        upstream_turn=replace(sent, **changed),
        counted=counted,
        emulated=emulated,
        ignored=ignored,
        preamble=preamble,
        conversation=conversation,
        thread=_thread_use(turn, continued) if capabilities.threads else None,
        head=None if continued is None else continued.head,
    )


def _counted_here(spec: AnswerSpec) -> list[str]:
    """Which limits of the answer are the gateway's to keep."""
    ours = []
    if spec.max_tokens is not None:
        ours.append("max_tokens")
    if spec.stop and not spec.sends_stop:
        ours.append("stop")
    if spec.turn.n > 1:
        ours.append("n")
    return ours


def _check_logprobs(*, available: bool) -> None:
    if not available:
        raise UnsupportedParameter(
            "Unsupported parameter: 'logprobs'. Log probabilities are not available from the server that "
            "answers, or not for an answer in this form.",
            param="logprobs",
        )


def _lacking_fields(turn: Turn, capabilities: Capabilities, *, offers_tools: bool) -> tuple[str, ...]:
    """Which demands of ``turn`` an upstream that takes conversations can be told in words only."""
    form, choice = turn.output_format.kind, turn.tool_choice.mode
    has_form = {"json_object": capabilities.json_object, "json_schema": capabilities.json_schema}
    lacking = {
        "tool_choice": offers_tools and choice not in capabilities.tool_choice,
        form: not has_form.get(form, True),
    }
    return tuple(name for name, is_lacking in lacking.items() if is_lacking)


def _spec(
    turn: Turn, capabilities: Capabilities, prompt: Prompt | None, sent: Turn, *, offers_tools: bool
) -> AnswerSpec:
    tools: tuple[str, ...] = ()
    if turn.tools:
        tools = prompt.shown_tools if prompt is not None else tuple([tool.name for tool in sent.tools])
    return AnswerSpec(
        turn,
        prompt,
        tools,
        must_call=bool(tools) and turn.tool_choice.mode in ("required", "named"),
        reads_calls=prompt is not None and offers_tools,
        checks_format=not capabilities.verbatim and turn.output_format.kind != "text",
        max_tokens=None if capabilities.max_tokens and not turn.bounds_shown else turn.max_tokens,
        # Servers ignore it, and an answer that ended there does not always tell where.
        stop=turn.stop,
        sends_stop=bool(turn.stop) and capabilities.stop and not turn.wants_stop_sequence,
        verbatim=capabilities.verbatim,
        heavy=turn.weight > LIGHT,
    )


def _left_out(spec: AnswerSpec) -> tuple[str, ...]:
    """``pattern``, where a schema that is checked here has one that cannot be."""
    turn = spec.turn
    strict = turn.tools if spec.reads_calls else spec.bound_calls.values()
    bound = [tool.parameters for tool in strict if tool.strict]
    if spec.checks_format:
        bound.append(turn.output_format.schema)
    return ("pattern",) if any(compile_schema(schema).left_out for schema in bound if schema) else ()


@lru_cache(64)
def _place(preamble: bytes, upstream: str) -> bytes:
    return digest((preamble, upstream.encode()))


def _thread_use(turn: Turn, continued: Continued | None) -> ThreadUse:
    if continued is not None:
        return "reused"
    if turn.new_thread:
        return "new"
    for message in turn.messages:
        if isinstance(message, AssistantMessage | ToolResultMessage):
            return "replayed"
    return "new"


# What a plan is made of, where it cannot be made before the store was asked.
Begun = tuple[Preamble, Conversation | None]


class Planner:
    """Makes the plans for one upstream.

    Without ``conversations`` every turn is sent whole; without ``reasoning`` no reasoning is added to it.
    """

    def __init__(
        self,
        upstream: Upstream,
        style: Style,
        secret: bytes,
        conversations: Conversations | None,
        reasoning: ReasoningCache | None,
        tokens: Tokens,
    ) -> None:
        self._upstream = upstream
        self._tokens = tokens
        self._style: Style = style
        self._secret = secret
        self._made: Final = partial(make_plan, secret=secret)
        self._conversations = conversations
        self._reasoning = reasoning

    async def plan(self, turn: Turn, begun: Begun | None = None) -> Plan:
        """To go on in a thread where there is one; it belongs to this turn from then on.

        ``begun`` is what :meth:`begin` gave for it, where that was asked.
        """
        if begun is None:
            first = await beside(turn.weight, self.begin, turn)
            if isinstance(first, Plan):
                return first
            begun = first
        preamble, conversation = begun
        if conversation is not None and not turn.new_thread:
            head = await conversation.resume()
            if head is not None:
                plan = await beside(turn.weight, self._continued, turn, preamble, conversation, head)
                if plan is not None:
                    return plan
                conversation.forget_thread()
        return await self._whole(turn, preamble, conversation)

    def begin(self, turn: Turn) -> Plan | Begun:
        """The plan where the store need not be asked for anything, else its beginning."""
        preamble = Preamble(turn, self._style)
        conversation: Conversation | None = None
        # Several answers at once cannot share a thread.
        if self._conversations is not None and turn.n == 1:
            place = _place(preamble.digest, self._upstream.name)
            conversation = Conversation(self._conversations, turn, place, preamble.front)
        if (
            turn.context_edits
            or (conversation is not None and conversation.new_messages and not turn.new_thread)
            or (self._reasoning is not None and missing_thoughts(turn.messages))
        ):
            return preamble, conversation
        capabilities = self._upstream.capabilities
        return self._made(turn, capabilities, preamble=preamble, conversation=conversation)

    async def plan_anew(self, plan: Plan) -> Plan:
        """To send everything after all: the thread is gone in which ``plan`` goes on."""
        if plan.head is None:
            return plan
        if plan.conversation is not None:
            plan.conversation.forget_thread()
        # The answer is read with the key that it was planned with.
        anew = await self._whole(
            plan.asked or plan.spec.turn, plan.preamble, plan.conversation, key=plan.spec.key
        )
        return replace(anew, context_edits=plan.context_edits or anew.context_edits)

    async def _whole(
        self, turn: Turn, preamble: Preamble, conversation: Conversation | None, key: str = ""
    ) -> Plan:
        """A thread remembers its reasoning; for what is sent whole the store has it."""
        if self._reasoning is not None:
            turn = await self._reasoning.recalled(turn)
        whole = partial(
            self._made,
            capabilities=self._upstream.capabilities,
            preamble=preamble,
            conversation=conversation,
            key=key,
        )
        if not turn.context_edits or not clears(turn):
            return await beside(turn.weight, whole, turn)
        shorter, told = await in_thread(turn.weight, cleared, turn, partial(self._size, preamble))
        plan = await beside(turn.weight, whole, shorter)
        return replace(plan, asked=turn, context_edits=told)

    def _size(self, preamble: Preamble, turn: Turn) -> int:
        """About how many tokens the prompt of ``turn`` has, whatever form it is sent in."""
        text = harmony_text(turn, preamble.tools, thoughts=self._upstream.capabilities.thoughts)
        return text.tokens + self._tokens.count_parts(text.texts)

    def _continued(
        self, turn: Turn, preamble: Preamble, conversation: Conversation, head: ThreadHead
    ) -> Plan | None:
        """To send what the thread has not seen; ``None`` where its key became known."""
        prompt = render_suffix(
            replace(turn, messages=conversation.end),
            conversation.new_messages,
            preamble=preamble,
            key=head.key,
            seen=head.sections,
            secret=self._secret,
        )
        if prompt is None:
            return None
        prompt = replace(
            prompt,
            client_has_control_tokens=prompt.client_has_control_tokens or head.control_tokens,
            client_has_tags=prompt.client_has_tags or head.tags,
        )
        return self._made(
            turn,
            self._upstream.capabilities,
            preamble=preamble,
            conversation=conversation,
            continued=Continued(head, prompt),
        )
