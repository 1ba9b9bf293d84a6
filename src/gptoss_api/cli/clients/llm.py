"""Simon Willison's llm, after its documentation; 0.36 was run."""

from collections.abc import Sequence
from pathlib import Path

import click

from .client import PROVIDER, Client, ConfigFile, Place, Start, Target
from .formats import Block, Edit, Whole


def _find(name: str) -> Path:
    # As llm finds it itself.
    return Place(f"{click.get_app_dir('io.datasette.llm')}/{name}", "LLM_USER_PATH").find()


def _model(target: Target) -> str:
    key = f"  api_key_name: {PROVIDER}\n" if target.keyed else ""
    return (
        f"- model_id: {target.model}\n"
        f"  model_name: {target.model}\n"
        f"  api_base: {target.v1}\n"
        f"{key}"
        "  supports_tools: true\n"
        "  supports_schema: true\n"
    )


def _models(target: Target) -> Sequence[Edit]:
    return (
        Block(_model(target), rf"model_id: [\"']?{target.model}[\"']?[ ]*$", f"the model {target.model}"),
    )


def _default(target: Target) -> Sequence[Edit]:
    return (Whole(target.model, choice=True),)


def _start(target: Target, folder: Path) -> Start:
    (folder / "extra-openai-models.yaml").write_text(_model(target), encoding="utf-8")
    return Start(environment={"LLM_USER_PATH": str(folder), "LLM_MODEL": target.model})


CLIENT = Client(
    name="llm",
    title="llm",
    command="llm",
    install="python -m pip install llm",
    files=(
        ConfigFile(lambda: _find("extra-openai-models.yaml"), "yaml", _models),
        ConfigFile(lambda: _find("default_model.txt"), "plain", _default),
    ),
    choose="llm -m {model}",
    first='llm "Say hello."',
    key_variable="OPENAI_API_KEY",
    with_key=f"Or keep the key in llm: llm keys set {PROVIDER}",
    start=_start,
)
