"""What streamed and whole answers have in common."""

import secrets
import time
from typing import Any, Final

from msgspec import Struct

from ... import __version__
from ...core.events import FinishReason, Started, Usage

_FINGERPRINT: Final = f"gptoss-{__version__}"
_EMULATED_FINGERPRINT: Final = "gptoss-emulated"


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


def opening(kind: str, started: Started) -> dict[str, Any]:
    """The members every answer starts with; ``created`` in Unix seconds."""
    return {
        "id": f"chatcmpl-{secrets.token_hex(16)}",
        "object": kind,
        "created": int(time.time()),
        "model": started.model,
        "system_fingerprint": _EMULATED_FINGERPRINT if started.emulated else _FINGERPRINT,
    }


def usage_object(usage: Usage) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
    }


def extension(started: Started, repairs: int, notes: tuple[str, ...]) -> dict[str, Any]:
    """The ``x_gptoss`` object: what was emulated, ignored and repaired; empty if nothing was."""
    said: dict[str, Any] = {
        "emulated": started.emulated,
        "ignored": started.ignored,
        "repairs": max(started.repairs, repairs),
        "notes": notes,
    }
    return {name: value for name, value in said.items() if value}
