"""Visual Studio Code's chat, after its own description of custom endpoints; it was not run."""

from collections.abc import Sequence

from .client import LONGEST_ANSWER, NO_KEY, Client, ConfigFile, Place, Target
from .formats import Add, Edit, Json

_FILE = "Code/User/chatLanguageModels.json"


def _edits(target: Target) -> Sequence[Edit]:
    model = {
        "id": target.model,
        "name": target.title,
        "url": f"{target.v1}/chat/completions",
        "toolCalling": True,
        "vision": False,
        "thinking": True,
        "maxInputTokens": target.window - LONGEST_ANSWER,
        "maxOutputTokens": LONGEST_ANSWER,
    }
    entry: dict[str, Json] = {"name": "gptoss-api", "vendor": "customendpoint"}
    if not target.keyed:
        entry["apiKey"] = NO_KEY
    return (Add((), {**entry, "apiType": "chat-completions", "models": [model]}, ("name", "vendor")),)


CLIENT = Client(
    name="vscode",
    title="Visual Studio Code",
    command="code",
    install="https://code.visualstudio.com",
    files=(
        ConfigFile(
            Place(
                f".config/{_FILE}",
                xdg=True,
                others={"darwin": f"Library/Application Support/{_FILE}", "win32": f"%APPDATA%/{_FILE}"},
            ).find,
            "json-list",
            _edits,
        ),
    ),
    choose="the chat's list of models",
    first="code, and its chat's list of models (version 1.122 or newer)",
    key_variable="",
    with_key="Give it the key with 'Chat: Manage Language Models', gptoss-api, 'Update API Key'.",
    why_not="Visual Studio Code takes its models from the profile that it also keeps everything else in",
)
