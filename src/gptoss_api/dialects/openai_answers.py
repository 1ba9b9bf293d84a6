"""What the answers of OpenAI's older two APIs, chat and text completions, have in common."""

import secrets
import time
from typing import Any, Final

from .. import __version__
from ..core.events import Started, Usage

_FINGERPRINT: Final = f"gptoss-{__version__}"
_EMULATED_FINGERPRINT: Final = "gptoss-emulated"


def opening(prefix: str, kind: str, started: Started) -> dict[str, Any]:
    """The members every answer starts with; ``created`` in Unix seconds."""
    return {
        "id": f"{prefix}-{secrets.token_hex(16)}",
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
