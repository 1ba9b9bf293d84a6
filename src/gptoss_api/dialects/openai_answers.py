"""What the answers of OpenAI's older two APIs, chat and text completions, have in common."""

import time
from collections.abc import Callable
from typing import Any, Final

import msgspec

from .. import __version__
from ..core.errors import UpstreamIncomplete
from ..core.events import FinishReason, Started, Usage
from ..core.identifiers import new_identifier
from ..core.result import Choice, Collector

_encode: Final = msgspec.json.Encoder().encode

_FINGERPRINT: Final = f"gptoss-{__version__}"
_EMULATED_FINGERPRINT: Final = "gptoss-emulated"


def opening(prefix: str, kind: str, started: Started) -> dict[str, Any]:
    """The members every answer starts with; ``created`` in Unix seconds."""
    return {
        "id": f"{prefix}-{new_identifier()}",
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
    said: dict[str, Any] = {}
    if started.emulated:
        said["emulated"] = started.emulated
    if started.ignored:
        said["ignored"] = started.ignored
    if repairs or started.repairs:
        said["repairs"] = max(started.repairs, repairs)
    if notes:
        said["notes"] = notes
    return said


def render_whole(
    result: Collector,
    prefix: str,
    kind: str,
    choice_object: Callable[[int, Choice, FinishReason], dict[str, Any]],
) -> bytes:
    """The body of a non-streaming answer; ``choice_object`` makes a choice of its number and what was said.

    Raises:
        UpstreamIncomplete: when the answer was never finished.
    """
    if result.started is None:
        raise _unfinished()
    answer = opening(prefix, kind, result.started)
    choices: list[dict[str, Any]] = []
    answer["choices"] = choices
    repairs = 0
    notes: tuple[str, ...] = ()
    for index, choice in enumerate(result.choices):
        if choice.finish_reason is None:
            raise _unfinished()
        choices.append(choice_object(index, choice, choice.finish_reason))
        repairs += choice.repairs
        notes += choice.notes
    answer["usage"] = None if result.usage is None else usage_object(result.usage)
    if said := extension(result.started, repairs, notes):
        answer["x_gptoss"] = said
    return _encode(answer)


def _unfinished() -> UpstreamIncomplete:
    return UpstreamIncomplete("The answer ended before it was complete.")
