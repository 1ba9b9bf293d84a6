"""Codex, after its package's documentation; 0.169 and 0.171 were run."""

import json
from collections.abc import Sequence
from pathlib import Path

from .client import KEY_VARIABLE, NO_KEY, PROVIDER, Client, ConfigFile, Place, Start, Target
from .formats import Edit, Json, Put


def _provider(target: Target) -> dict[str, Json]:
    # It reads the catalogue of models only where it has a key to show.
    key = {"env_key": KEY_VARIABLE} if target.keyed else {"experimental_bearer_token": NO_KEY}
    return {
        "name": "gptoss-api",
        "base_url": target.v1,
        "wire_api": "responses",
        **key,
        "model_catalog_url": f"{target.v1}/models",
    }


def _edits(target: Target) -> Sequence[Edit]:
    return (
        Put(("model_provider",), PROVIDER, choice=True),
        Put(("model",), target.model, choice=True),
        Put(("features", "api_key_model_discovery"), True),
        Put(("model_providers", PROVIDER), _provider(target)),
    )


def _start(target: Target, folder: Path) -> Start:
    # JSON's strings are TOML's.
    provider = ",".join(f"{name}={json.dumps(value)}" for name, value in _provider(target).items())
    return Start(
        (
            *("-c", f"model={json.dumps(target.model)}"),
            *("-c", f"model_provider={json.dumps(PROVIDER)}"),
            *("-c", "features.api_key_model_discovery=true"),
            *("-c", f"model_providers.{PROVIDER}={{{provider}}}"),
        )
    )


CLIENT = Client(
    name="codex",
    title="Codex",
    command="codex",
    install="npm install -g @openai/codex",
    files=(ConfigFile(Place(".codex/config.toml", "CODEX_HOME").find, "toml", _edits),),
    choose=f"codex -c model_provider={PROVIDER} -m {{model}}",
    # Outside a git folder it refuses without.
    first='codex exec --skip-git-repo-check "Say hello."',
    start=_start,
)
