"""Open WebUI, after its source; 0.12.4 was run."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from ...config.settings import config_folder
from .client import NO_KEY, Client, ConfigFile, Start, Target
from .formats import Edit, Whole

_KEY = "OPENAI_API_KEY"


def _variables(target: Target) -> Mapping[str, str]:
    return {
        "OPENAI_API_BASE_URL": target.v1,
        "DEFAULT_MODELS": target.model,
        "ENABLE_OLLAMA_API": "False",
        # Each would be a turn beside every message.
        "ENABLE_TITLE_GENERATION": "False",
        "ENABLE_TAGS_GENERATION": "False",
        "ENABLE_FOLLOW_UP_GENERATION": "False",
        # Else what was once saved in its database would win.
        "ENABLE_PERSISTENT_CONFIG": "False",
        **({} if target.keyed else {_KEY: NO_KEY}),
    }


def _edits(target: Target) -> Sequence[Edit]:
    return (Whole("".join(f"{name}={value}\n" for name, value in _variables(target).items())),)


def _start(target: Target, folder: Path) -> Start:
    return Start(environment=_variables(target))


CLIENT = Client(
    name="open-webui",
    title="Open WebUI",
    command="open-webui",
    install="python -m pip install open-webui",
    files=(ConfigFile(lambda: config_folder() / "open-webui.env", "plain", _edits),),
    choose="",
    first="set -a; . {file}; open-webui serve (or docker run --env-file {file} …)",
    key_variable=_KEY,
    start=_start,
    alone=("serve",),
)
