"""aider, after its documentation; 0.86.2 was run."""

import json
from collections.abc import Sequence
from pathlib import Path

from .client import LONGEST_ANSWER, NO_KEY, Client, ConfigFile, Place, Start, Target
from .formats import Block, Edit, Json, Put

_KEY = "OPENAI_API_KEY"


def _name(target: Target) -> str:
    return f"openai/{target.model}"


def _about(target: Target) -> dict[str, Json]:
    return {
        "max_input_tokens": target.window,
        "max_output_tokens": LONGEST_ANSWER,
        "litellm_provider": "openai",
        "mode": "chat",
    }


def _config(target: Target) -> Sequence[Edit]:
    edits = [
        Block(f"model: {_name(target)}", r"^model[ ]*:", "model", choice=True),
        Block(f"openai-api-base: {target.v1}", r"^openai-api-base[ ]*:", "openai-api-base"),
    ]
    if not target.keyed:
        edits.append(Block(f"openai-api-key: {NO_KEY}", r"^openai-api-key[ ]*:", "openai-api-key"))
    return edits


def _metadata(target: Target) -> Sequence[Edit]:
    return (Put((_name(target),), _about(target)),)


def _start(target: Target, folder: Path) -> Start:
    metadata = folder / "metadata.json"
    metadata.write_text(json.dumps({_name(target): _about(target)}), encoding="utf-8")
    key = {} if target.keyed else {_KEY: NO_KEY}
    return Start(
        ("--model", _name(target), "--model-metadata-file", str(metadata), "--openai-api-base", target.v1),
        {"OPENAI_API_BASE": target.v1, **key},
    )


CLIENT = Client(
    name="aider",
    title="aider",
    command="aider",
    install="python -m pip install aider-chat",
    files=(
        ConfigFile(Place(".aider.conf.yml").find, "yaml", _config),
        ConfigFile(Place(".aider.model.metadata.json").find, "json", _metadata),
    ),
    choose="aider --model openai/{model}",
    first='aider --message "Say hello."',
    key_variable=_KEY,
    start=_start,
)
