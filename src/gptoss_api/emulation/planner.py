"""What is sent for a turn: the whole conversation, or its end to a thread that knows the rest."""

from msgspec.structs import replace

from ..core.turn import Turn
from ..loop import beside
from ..text.digest import digest
from ..threads import Conversation, Conversations, Thoughts, Tip, opening_texts
from ..upstreams.base import Upstream
from .plan import Continued, Plan, make_plan
from .prompt.key import opening_hash
from .prompt.render import Prompt, render_suffix
from .prompt.tool_section import Style, tools_digest


class Planner:
    """Makes the plans for one upstream.

    Without ``conversations`` every turn is sent whole; without ``thoughts`` no reasoning is added to it.
    """

    def __init__(
        self,
        upstream: Upstream,
        style: Style,
        secret: bytes,
        conversations: Conversations | None,
        thoughts: Thoughts | None,
    ) -> None:
        self._upstream = upstream
        self._style: Style = style
        self._secret = secret
        self._conversations = conversations
        self._thoughts = thoughts

    def conversation(self, turn: Turn) -> Conversation | None:
        """The conversation that may go on upstream; several answers at once cannot share a thread."""
        if self._conversations is None or turn.n > 1:
            return None
        opening = opening_hash(
            model=turn.model,
            effort=turn.effort,
            style=self._style,
            instructions=opening_texts(turn.messages),
            tools=tools_digest(turn.tools),
            caller=turn.caller,
        )
        return self._conversations.conversation(turn, digest((opening, self._upstream.name.encode())))

    async def plan(self, turn: Turn, conversation: Conversation | None) -> Plan:
        """To go on in a thread where there is one; it belongs to this turn from then on."""
        if conversation is not None and not turn.new_thread:
            tip = await conversation.resume()
            if tip is not None:
                prompt = await beside(turn.weight, self._rest, turn, conversation, tip)
                if prompt is not None:
                    return await beside(turn.weight, self._made, turn, continued=Continued(tip, prompt))
                conversation.forget_thread()
        return await self._whole(turn)

    async def plan_anew(self, plan: Plan) -> Plan:
        """To send everything after all: the thread is gone in which ``plan`` goes on."""
        if plan.tip is None:
            return plan
        # The answer is read with the key that it was planned with.
        return await self._whole(plan.turn, key=plan.prompt.key if plan.prompt is not None else "")

    async def _whole(self, turn: Turn, key: str = "") -> Plan:
        """A thread remembers its reasoning; for what is sent whole the store has it."""
        if self._thoughts is not None:
            turn = await self._thoughts.recalled(turn)
        return await beside(turn.weight, self._made, turn, key=key)

    def _rest(self, turn: Turn, conversation: Conversation, tip: Tip) -> Prompt | None:
        """What the thread has not seen; ``None`` where its key became known."""
        prompt = render_suffix(
            replace(turn, messages=conversation.end),
            conversation.new_messages,
            key=tip.key,
            seen=tip.sections,
            style=self._style,
            secret=self._secret,
        )
        if prompt is None:
            return None
        return replace(
            prompt,
            client_has_control_tokens=prompt.client_has_control_tokens or tip.control_tokens,
            client_has_tags=prompt.client_has_tags or tip.tags,
        )

    def _made(self, turn: Turn, *, key: str = "", continued: Continued | None = None) -> Plan:
        return make_plan(
            turn,
            self._upstream.capabilities,
            style=self._style,
            secret=self._secret,
            key=key,
            continued=continued,
        )
