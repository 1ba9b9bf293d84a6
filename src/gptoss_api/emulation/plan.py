"""What is asked of the upstream for a turn, and what the gateway then does itself."""

from msgspec import Struct
from msgspec.structs import replace

from ..core.events import Started
from ..core.turn import OutputFormat, ToolChoice, Turn, UserMessage
from ..upstreams.base import Capabilities
from .native import NativeReading, native_turn
from .prompt import Prompt, render_prompt
from .tool_section import Style


class Plan(Struct, frozen=True):
    """A turn split in two: ``upstream_turn`` is sent, everything in ``emulated`` is ours.

    ``prompt`` is the rendered conversation where the upstream gets only text, ``segments`` the text whose
    tokens are the prompt's. ``tools`` and ``format`` say whether answers have to be read for calls and
    checked for their form; ``max_tokens`` and ``stop`` are what the gateway itself holds them to.
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

    def reading(self) -> NativeReading | None:
        """What reads an upstream turn whose text is not read for calls by our own rules."""
        if self.tools:
            return None
        return NativeReading(self.turn, offers_tools=self.prompt is None)

    def announce(self, started: Started, repairs: int) -> Started:
        """The upstream's ``Started`` with what the client should know."""
        return replace(started, emulated=self.emulated, ignored=self.ignored, repairs=repairs)


def make_plan(turn: Turn, capabilities: Capabilities, *, style: Style, secret: bytes) -> Plan:
    """Decides, feature by feature, what the upstream does and what is emulated.

    Tools and formats are taught in the prompt, so a turn that needs one of them emulated becomes text
    as a whole, also for an upstream that takes conversations.
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
        prompt = render_prompt(turn, style=style, secret=secret)
        emulated += prompt.emulated
        segments = prompt.segments
        upstream_turn = replace(
            turn,
            messages=(UserMessage(prompt.text),),
            tools=(),
            tool_choice=ToolChoice(),
            output_format=OutputFormat(),
            # A call may stand in the reasoning although the client does not want to see any.
            show_reasoning=turn.show_reasoning or tools,
        )
    else:
        segments = tuple(message.text for message in turn.messages)
        upstream_turn = native_turn(turn)
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
        ignored=tuple(name for name in turn.options if name not in honoured),
    )
