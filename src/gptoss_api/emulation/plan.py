"""What is asked of the upstream for a turn, and what the gateway then does itself."""

from collections.abc import Sequence

from msgspec import Struct
from msgspec.structs import replace

from ..core.events import Started, ThreadUse
from ..core.turn import (
    AssistantMessage,
    OutputFormat,
    ToolChoice,
    ToolResultMessage,
    Turn,
    UserMessage,
)
from ..threads import Tip
from ..upstreams.base import Capabilities
from .answer.native import NativeReading
from .prompt.native import native_turn
from .prompt.render import Prompt, render_prompt
from .prompt.tool_section import Style


class Continued(Struct, frozen=True):
    """The rest of a conversation as ``prompt``; its beginning stands in the thread that ends at ``tip``."""

    tip: Tip
    prompt: Prompt


class Plan(Struct, frozen=True):
    """A turn split in two: ``upstream_turn`` is sent, everything in ``emulated`` is ours.

    ``prompt`` is what is sent where the upstream gets only text: the rendered conversation, or with ``tip``
    the rest of one that a thread knows up to there. ``segments`` is the text whose tokens, with those of the
    thread, are the prompt's. ``tools`` and ``format`` say whether answers have to be read for calls and
    checked for their form; ``max_tokens`` and ``stop`` are what the gateway itself holds them to. ``thread``
    is what becomes of the conversation upstream, ``None`` where the upstream keeps none. ``verbatim`` is the
    upstream's capability of that name.
    """

    turn: Turn
    upstream_turn: Turn
    prompt: Prompt | None
    segments: tuple[str, ...]
    tools: bool
    format: bool
    max_tokens: int | None
    stop: tuple[str, ...]
    emulated: tuple[str, ...]
    ignored: tuple[str, ...]
    thread: ThreadUse | None = None
    tip: Tip | None = None
    verbatim: bool = False

    @property
    def known_tokens(self) -> int:
        return 0 if self.tip is None else self.tip.tokens

    def followed(self, texts: Sequence[str]) -> "Plan":
        """The same with ``texts`` after what was to be sent, in a new thread."""
        text = "\n\n".join(("".join(self.segments), *texts))
        return replace(self, upstream_turn=replace(self.upstream_turn, messages=(UserMessage(text),)))

    def reading(self) -> NativeReading | None:
        """What reads an upstream turn whose text is not read for calls by our own rules."""
        if self.tools or (self.verbatim and self.prompt is None):
            return None
        return NativeReading(self.turn, offers_tools=self.prompt is None)

    def announce(self, started: Started, repairs: int, prompt_tokens: int | None = None) -> Started:
        """The upstream's ``Started`` with what the client should know."""
        return replace(
            started,
            emulated=self.emulated,
            ignored=self.ignored,
            repairs=repairs,
            prompt_tokens=prompt_tokens,
            thread=self.thread or started.thread,
        )


def make_plan(
    turn: Turn,
    capabilities: Capabilities,
    *,
    style: Style,
    secret: bytes,
    key: str = "",
    continued: Continued | None = None,
) -> Plan:
    """Decides, feature by feature, what the upstream does and what is emulated.

    Tools and formats are taught in the prompt, so a turn that needs one of them emulated becomes text
    as a whole, also for an upstream that takes conversations. ``key`` is that of the tool calls, where it
    is not for this plan to choose.
    """
    offered = bool(turn.tools) and turn.tool_choice.mode != "none"
    honoured_choice = turn.tool_choice.mode in capabilities.tool_choice
    wanted = turn.output_format.kind
    as_text = (
        not capabilities.history
        or (offered and not (capabilities.tools and honoured_choice))
        or (wanted == "json_object" and not capabilities.json_object)
        or (wanted == "json_schema" and not capabilities.json_schema)
    )
    tools = as_text and offered
    formatted = as_text and wanted != "text"
    emulated: list[str] = []
    prompt: Prompt | None = None
    upstream_turn = turn
    if as_text:
        if continued is None:
            prompt = render_prompt(turn, style=style, secret=secret, key=key)
        else:
            prompt = continued.prompt
        segments = prompt.segments
        emulated += prompt.emulated
        upstream_turn = replace(
            turn,
            messages=(UserMessage(prompt.text),),
            thread=None if continued is None else continued.tip.ref,
            tools=(),
            tool_choice=ToolChoice(),
            output_format=OutputFormat(),
            # A call may stand in the reasoning although the client does not want to see any.
            show_reasoning=turn.show_reasoning or tools,
        )
    else:
        upstream_turn = turn if capabilities.verbatim else native_turn(turn)
        segments = tuple(message.text for message in upstream_turn.messages)
    max_tokens = None if capabilities.max_tokens else turn.max_tokens
    stop = () if capabilities.stop else turn.stop
    if max_tokens is not None:
        emulated.append("max_tokens")
        upstream_turn = replace(upstream_turn, max_tokens=None)
    if stop:
        emulated.append("stop")
        upstream_turn = replace(upstream_turn, stop=())
    if turn.n > 1:
        emulated.append("n")
        upstream_turn = replace(upstream_turn, n=1)
    honoured = {name: value for name, value in turn.options.items() if name in capabilities.options}
    if len(honoured) < len(turn.options):
        upstream_turn = replace(upstream_turn, options=honoured)
    return Plan(
        turn=turn,
        upstream_turn=upstream_turn,
        prompt=prompt,
        segments=segments,
        tools=tools,
        format=formatted,
        max_tokens=max_tokens,
        stop=stop,
        emulated=tuple(emulated),
        ignored=(*turn.ignored, *(name for name in turn.options if name not in honoured)),
        thread=_thread_use(turn, continued) if capabilities.threads else None,
        tip=None if continued is None else continued.tip,
        verbatim=capabilities.verbatim,
    )


def _thread_use(turn: Turn, continued: Continued | None) -> ThreadUse:
    if continued is not None:
        return "reused"
    answered = any(isinstance(message, AssistantMessage | ToolResultMessage) for message in turn.messages)
    return "replayed" if answered and not turn.new_thread else "new"
