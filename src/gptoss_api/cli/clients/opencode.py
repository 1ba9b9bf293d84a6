"""opencode, after its documentation; 1.18.33 was run."""

import json
from collections.abc import Sequence
from pathlib import Path

from .client import KEY_VARIABLE, LONGEST_ANSWER, PROVIDER, Client, ConfigFile, Place, Start, Target
from .formats import Edit, Json, Put

_BEGIN = '{\n  "$schema": "https://opencode.ai/config.json"\n}\n'
_FOLDER = ".config/opencode"


def _find() -> Path:
    plain = Place(f"{_FOLDER}/opencode.json", xdg=True).find()
    commented = plain.with_suffix(".jsonc")
    return commented if commented.exists() and not plain.exists() else plain


def _provider(target: Target) -> dict[str, Json]:
    options = {"baseURL": target.v1}
    if target.keyed:
        options["apiKey"] = f"{{env:{KEY_VARIABLE}}}"
    limit = {"context": target.window, "output": LONGEST_ANSWER}
    return {
        "npm": "@ai-sdk/openai-compatible",
        "name": "gptoss-api",
        "options": options,
        "models": {target.model: {"name": target.title, "limit": limit}},
    }


def _edits(target: Target) -> Sequence[Edit]:
    return (
        Put(("model",), f"{PROVIDER}/{target.model}", choice=True),
        Put(("provider", PROVIDER), _provider(target)),
    )


def _start(target: Target, folder: Path) -> Start:
    ours = {"model": f"{PROVIDER}/{target.model}", "provider": {PROVIDER: _provider(target)}}
    return Start(environment={"OPENCODE_CONFIG_CONTENT": json.dumps(ours)})


CLIENT = Client(
    name="opencode",
    title="opencode",
    command="opencode",
    install="npm install -g opencode-ai",
    files=(ConfigFile(_find, "json", _edits, _BEGIN),),
    choose=f"opencode -m {PROVIDER}/{{model}}",
    first='opencode run "Say hello."',
    start=_start,
)
