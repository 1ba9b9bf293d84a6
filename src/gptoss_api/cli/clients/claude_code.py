"""Claude Code, after its documentation; 2.1.332 was run."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from .client import NO_KEY, Client, ConfigFile, Place, Start, Target
from .formats import Edit, Put

_KEY = "ANTHROPIC_AUTH_TOKEN"


def _variables(target: Target) -> Mapping[str, str]:
    return {
        "ANTHROPIC_BASE_URL": target.address,
        "ANTHROPIC_MODEL": target.model,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": "gpt-oss-20b",
        "ANTHROPIC_DEFAULT_SONNET_MODEL": target.model,
        "ANTHROPIC_DEFAULT_OPUS_MODEL": target.model,
        "CLAUDE_CODE_SUBAGENT_MODEL": target.model,
        "CLAUDE_CODE_MAX_CONTEXT_TOKENS": str(target.window),
        "CLAUDE_CODE_MAX_OUTPUT_TOKENS": "16000",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }


def _edits(target: Target) -> Sequence[Edit]:
    key = {} if target.keyed else {_KEY: NO_KEY}
    return [Put(("env", name), value) for name, value in {**_variables(target), **key}.items()]


def _start(target: Target, folder: Path) -> Start:
    """What stands in its settings wins over the environment, and a file on the command line over both."""
    settings = folder / "settings.json"
    key = {} if target.keyed else {_KEY: NO_KEY}
    settings.write_text(json.dumps({"env": {**_variables(target), **key}}), encoding="utf-8")
    # A key for Anthropic would be sent along.
    return Start(("--settings", str(settings)), {"ANTHROPIC_API_KEY": ""})


CLIENT = Client(
    name="claude-code",
    title="Claude Code",
    command="claude",
    install="npm install -g @anthropic-ai/claude-code",
    files=(ConfigFile(Place(".claude/settings.json", "CLAUDE_CONFIG_DIR").find, "json", _edits),),
    choose="claude --model {model}",
    first='claude -p "Say hello."',
    key_variable=_KEY,
    start=_start,
)
