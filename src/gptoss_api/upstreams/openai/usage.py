"""The tokens a server reports (docs/design/servers.md, "Usage")."""

from collections.abc import Mapping
from typing import Any

from ...core.events import Usage


def read_usage(value: Any) -> Usage | None:
    """OpenAI's ``usage``, also as Ollama, Groq and others write it; ``None`` where it says nothing."""
    if not isinstance(value, Mapping):
        return None
    prompt = _count(value, "prompt_tokens", "input_tokens", "prompt_eval_count")
    completion = _count(value, "completion_tokens", "output_tokens", "eval_count")
    if prompt is None or completion is None or not prompt + completion:
        return None
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        reasoning_tokens=min(
            _detail(value, ("completion_tokens_details", "output_tokens_details"), "reasoning_tokens")
            or _count(value, "reasoning_tokens")
            or 0,
            completion,
        ),
        cached_tokens=min(
            _detail(value, ("prompt_tokens_details", "input_tokens_details"), "cached_tokens") or 0, prompt
        ),
        estimated=False,
    )


def read_timings(value: Any) -> Usage | None:
    """llama.cpp's ``timings``, where it sends no usage: what was read anew, and what was cached."""
    if not isinstance(value, Mapping):
        return None
    read, written = _count(value, "prompt_n"), _count(value, "predicted_n")
    if read is None or written is None:
        return None
    cached = _count(value, "cache_n") or 0
    return Usage(
        prompt_tokens=read + cached, completion_tokens=written, cached_tokens=cached, estimated=False
    )


def _count(value: Mapping[str, Any], *names: str) -> int | None:
    for name in names:
        found = value.get(name)
        if isinstance(found, int | float) and not isinstance(found, bool) and found >= 0:
            return int(found)
    return None


def _detail(value: Mapping[str, Any], places: tuple[str, ...], name: str) -> int | None:
    for place in places:
        if isinstance(inner := value.get(place), Mapping) and (count := _count(inner, name)) is not None:
            return count
    return None
