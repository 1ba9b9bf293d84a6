"""Qwen Code, after its documentation; 0.24.4 was run."""

import json
from collections.abc import Sequence
from pathlib import Path

from .client import KEY_VARIABLE, NO_KEY, Client, ConfigFile, Place, Start, Target
from .formats import Add, Edit, Json, Put


def _model(target: Target) -> dict[str, Json]:
    return {
        "id": target.model,
        "name": f"{target.title} (gptoss-api)",
        "baseUrl": target.v1,
        "envKey": KEY_VARIABLE,
        "generationConfig": {"contextWindowSize": target.window},
    }


def _edits(target: Target) -> Sequence[Edit]:
    edits: list[Edit] = [
        Put(("security", "auth", "selectedType"), "openai", choice=True),
        Put(("model", "name"), target.model, choice=True),
        # Of several with one id it takes the first.
        Add(("modelProviders", "openai"), _model(target), ("id",)),
    ]
    if not target.keyed:
        edits.append(Put(("env", KEY_VARIABLE), NO_KEY))
    return edits


def _start(target: Target, folder: Path) -> Start:
    """The person's own models win over variables and options, and the system's settings over both."""
    settings = folder / "settings.json"
    ours = {
        "security": {"auth": {"selectedType": "openai"}},
        "model": {"name": target.model},
        "modelProviders": {"openai": [_model(target)]},
    }
    settings.write_text(json.dumps(ours), encoding="utf-8")
    key = {} if target.keyed else {KEY_VARIABLE: NO_KEY}
    return Start(environment={"QWEN_CODE_SYSTEM_SETTINGS_PATH": str(settings), **key})


CLIENT = Client(
    name="qwen-code",
    title="Qwen Code",
    command="qwen",
    install="npm install -g @qwen-code/qwen-code",
    files=(ConfigFile(Place(".qwen/settings.json", "QWEN_HOME").find, "json", _edits),),
    choose="qwen --auth-type openai -m {model}",
    first='qwen "Say hello."',
    start=_start,
)
