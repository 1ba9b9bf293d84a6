"""What streamed and whole answers have in common."""

from msgspec import Struct

from ...core.events import FinishReason


class AnswerShape(Struct, frozen=True):
    """How one client wants its answer. ``model`` is what was asked for, in canonical form.

    ``reasoning_fields`` are the names under which the chain of thought is sent, none to keep it back.
    """

    model: str
    reasoning_fields: tuple[str, ...] = ()
    include_usage: bool = False
    legacy_functions: bool = False

    def finish_reason(self, reason: FinishReason) -> str:
        return "function_call" if self.legacy_functions and reason == "tool_calls" else reason
