"""Continue: its program for the terminal, and its extensions, which read the same file; 1.5.47 was run."""

import re
from collections.abc import Sequence
from pathlib import Path

from .client import KEY_VARIABLE, Client, ConfigFile, Place, Start, Target
from .files import CannotUse
from .formats import Block, Edit

_HEAD = "name: Main\nversion: 1.0.0\nschema: v1\n"


def _find() -> Path:
    path = Place(".continue/config.yaml", "CONTINUE_GLOBAL_DIR").find()
    old = path.with_suffix(".json")
    if old.exists() and not path.exists():
        raise CannotUse(
            f"Continue would no longer read {old} if {path.name} stood beside it; move it there first"
        )
    return path


def _model(target: Target) -> str:
    key = f"  apiKey: ${{{{ secrets.{KEY_VARIABLE} }}}}\n" if target.keyed else ""
    return (
        f"- name: {target.title} (gptoss-api)\n"
        "  provider: openai\n"
        f"  model: {target.model}\n"
        f"  apiBase: {target.v1}\n"
        f"{key}"
        "  roles: [chat, edit, apply]\n"
        "  capabilities: [tool_use]\n"
        "  defaultCompletionOptions:\n"
        f"    contextLength: {target.window}\n"
    )


def _edits(target: Target) -> Sequence[Edit]:
    name = f"{target.title} (gptoss-api)"
    return (Block(_model(target), rf"name: [\"']?{re.escape(name)}", f"the model {name}", "models"),)


def _start(target: Target, folder: Path) -> Start:
    config = folder / "config.yaml"
    models = "".join(f"  {line}\n" for line in _model(target).splitlines())
    config.write_text(f"{_HEAD}models:\n{models}", encoding="utf-8")
    return Start(("--config", str(config)))


CLIENT = Client(
    name="continue",
    title="Continue",
    command="cn",
    install="npm install -g @continuedev/cli",
    files=(ConfigFile(_find, "yaml", _edits, _HEAD),),
    choose="cn, then /model",
    first='cn -p "Say hello."',
    start=_start,
)
