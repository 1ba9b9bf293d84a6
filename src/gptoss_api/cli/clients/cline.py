"""Cline's program for the terminal, after what its ``auth`` command writes; 3.0.65 was run."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from .client import NO_KEY, Client, ConfigFile, Place, Start, Target
from .formats import Edit, Json, Put

_BEGIN = '{\n  "version": 1\n}\n'
_KIND = "openai-compatible"
# The same each time, so that nothing changes by itself.
_MADE = datetime(2026, 1, 1, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _provider(target: Target) -> dict[str, Json]:
    settings = {"provider": _KIND, "model": target.model, "baseUrl": target.v1}
    if not target.keyed:
        settings["apiKey"] = NO_KEY
    return {"settings": settings, "updatedAt": _MADE, "tokenSource": "manual"}


def _edits(target: Target) -> Sequence[Edit]:
    return (
        Put(("lastUsedProvider",), _KIND, choice=True),
        # It notes there when it was last used.
        Put(("providers", _KIND), _provider(target), loose=("updatedAt",)),
    )


def _start(target: Target, folder: Path) -> Start:
    settings = folder / "settings"
    settings.mkdir()
    ours = {"version": 1, "lastUsedProvider": _KIND, "providers": {_KIND: _provider(target)}}
    (settings / "providers.json").write_text(json.dumps(ours), encoding="utf-8")
    return Start(("--data-dir", str(folder)))


CLIENT = Client(
    name="cline",
    title="Cline",
    command="cline",
    install="npm install -g cline",
    files=(ConfigFile(Place(".cline/data/settings/providers.json").find, "json", _edits, _BEGIN),),
    choose=f"cline -P {_KIND} -m {{model}}",
    first='cline "Say hello."',
    key_variable="OPENAI_API_KEY",
    start=_start,
)
