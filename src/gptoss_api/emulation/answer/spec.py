"""What the gateway itself reads an answer for, and what it holds it to."""

from collections.abc import Mapping

from msgspec import Struct

from ...core.turn import Tool, Turn
from ..prompt.render import Prompt
from ..prompt.tool_section import offered_tools


class AnswerSpec(Struct, frozen=True):
    """What an answer to ``turn`` has to be.

    ``prompt`` is what was sent where the upstream got only text, and ``tool_names`` are the tools on offer as
    the model knows them, of which it ``must_call`` one. ``reads_calls`` and ``checks_format`` say whether the
    text is read for calls and checked for its form; ``max_tokens`` and ``stop`` end it, and ``sends_stop``
    says that the upstream was asked to stop there too. A ``verbatim`` answer is nobody's to repair, and
    one to a ``heavy`` turn takes long to judge.
    """

    turn: Turn
    prompt: Prompt | None = None
    tool_names: tuple[str, ...] = ()
    must_call: bool = False
    reads_calls: bool = False
    checks_format: bool = False
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    sends_stop: bool = False
    verbatim: bool = False
    heavy: bool = False

    @property
    def key(self) -> str:
        """The nonce of the calls in the answer, "" where they are not text."""
        return "" if self.prompt is None else self.prompt.key

    @property
    def bound_calls(self) -> Mapping[str, Tool]:
        """The strict tools, by name, where the upstream was to call one and its calls come as events."""
        if not self.must_call or not self.passes_calls or self.verbatim:
            return {}
        return {
            tool.name: tool for tool in offered_tools(self.turn) if tool.strict and tool.kind == "function"
        }

    @property
    def passes_calls(self) -> bool:
        """Whether calls come as the upstream's own events."""
        return self.prompt is None

    @property
    def watched(self) -> bool:
        """Whether the answer may be over here before it is over upstream: then its rest is not waited for."""
        ended_here = self.max_tokens is not None or (bool(self.stop) and not self.sends_stop)
        return ended_here or self.reads_calls or self.checks_format
