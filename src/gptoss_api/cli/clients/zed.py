"""Zed, after its documentation of settings; it comes from no registry and was not run."""

from collections.abc import Sequence

from .client import LONGEST_ANSWER, PROVIDER, Client, ConfigFile, Place, Target
from .formats import Edit, Put


def _edits(target: Target) -> Sequence[Edit]:
    model = {
        "name": target.model,
        "display_name": f"{target.title} (gptoss-api)",
        "max_tokens": target.window,
        "max_output_tokens": LONGEST_ANSWER,
        "reasoning_effort": "medium",
        "capabilities": {
            "tools": True,
            "images": False,
            "parallel_tool_calls": False,
            "prompt_cache_key": False,
            "chat_completions": True,
            # The model is to see its thoughts again between calls.
            "interleaved_reasoning": True,
        },
    }
    provider = {"api_url": target.v1, "available_models": [model]}
    return (
        Put(("agent", "default_model"), {"provider": PROVIDER, "model": target.model}, choice=True),
        Put(("language_models", "openai_compatible", PROVIDER), provider),
    )


CLIENT = Client(
    name="zed",
    title="Zed",
    command="zed",
    install="https://zed.dev/download",
    files=(
        ConfigFile(
            Place(
                ".config/zed/settings.json", xdg=True, others={"win32": "%APPDATA%/Zed/settings.json"}
            ).find,
            "json",
            _edits,
        ),
    ),
    choose="the agent panel's list of models",
    first="zed, and its agent panel",
    # It makes the name from that of the provider, and wants a key where none is needed, too.
    without_key="Zed wants a key even so, and any will do: GPTOSS_API_KEY=none zed",
    why_not="Zed reads its settings from one folder only, with everything else that it keeps there",
)
