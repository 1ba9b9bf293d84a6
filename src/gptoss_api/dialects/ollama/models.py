"""The models as Ollama's library has them: names, sizes, and what clients decide by.

Source: docs/design/conformance.md, "Ollama".
"""

import hashlib
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from ...core.catalog import Model, ModelAliases, find_model, provider_suffix
from ...core.errors import MissingParameter, ModelNotFound, PermissionDenied, UnsupportedValue
from ...core.turn import Effort
from ..base import Headers, Told
from ..fields import Fields
from ..json_body import decode_object

LINES: Final = b"application/x-ndjson"
CAPABILITIES: Final = ("completion", "tools", "thinking")
# Clients that parse it want an offset. Nothing here is ever unloaded.
_FAR_AHEAD: Final = "2318-01-01T00:00:00+00:00"

_NAMED: Final = re.compile(r"(gpt-oss(?:-[a-z]+)?)-(\d+b)")
_EFFORT: Final = re.compile(r"(.+)-(low|medium|high)")
_EFFORTS: Final[dict[str, Effort]] = {"low": "low", "medium": "medium", "high": "high"}


class _Weights(Struct, frozen=True):
    """What is known of a model of this size. ``size`` is that of Ollama's file, in bytes."""

    size: int
    parameters: int
    shown_parameters: str
    blocks: int
    experts: int


_WEIGHTS: Final = {
    "120b": _Weights(65_369_818_941, 116_829_156_672, "116.8B", blocks=36, experts=128),
    "20b": _Weights(13_793_441_244, 20_914_757_184, "20.9B", blocks=24, experts=32),
}


class Asked(Struct, frozen=True):
    """The model that a name means; ``effort`` where the name ends with one (``gpt-oss:120b-high``)."""

    model: Model
    provider: str
    effort: Effort | None


def meant_by(name: str, aliases: ModelAliases) -> Asked:
    """What ``name`` means: a name of Ollama's library, a model's own id, or an alias.

    Raises:
        ModelNotFound: for every other.
    """
    resolved = aliases.resolve(name)
    plain = resolved.strip().lower().removesuffix(":cloud")
    try:
        return Asked(find_model(plain), provider_suffix(plain), None)
    except ModelNotFound:
        if (ends := _EFFORT.fullmatch(plain)) is not None:
            try:
                return Asked(find_model(ends[1]), "", _EFFORTS[ends[2]])
            except ModelNotFound:
                pass
        raise ModelNotFound(f"model '{name[:100]}' not found", param="model", requested=name[:100]) from None


def library_name(model: Model) -> str | None:
    """The name in Ollama's library: ``gpt-oss:20b``; ``None`` for what is not known there."""
    named = _NAMED.fullmatch(model.id)
    return f"{named[1]}:{named[2]}" if named is not None and named[2] in _WEIGHTS else None


def read_name(body: Fields) -> str:
    """The ``model`` of a request, or its older ``name``.

    Raises:
        MissingParameter: where there is neither.
    """
    name = body.string("model") or body.string("name")
    if not name:
        raise MissingParameter("model is required", param="model")
    return name


def render_tags(body: bytes, headers: Headers, models: Sequence[Model]) -> Told:
    """``GET /api/tags``."""
    return Told(msgspec.json.encode({"models": [_listed(model, name) for model, name in _known(models)]}))


def render_running(body: bytes, headers: Headers, models: Sequence[Model]) -> Told:
    """``GET /api/ps``: all are ready at any time."""
    running = []
    for model, name in _known(models):
        listed = _listed(model, name)
        running.append(
            {member: listed[member] for member in ("name", "model", "size", "digest", "details")}
            | {"expires_at": _FAR_AHEAD, "size_vram": listed["size"], "context_length": model.context_window}
        )
    return Told(msgspec.json.encode({"models": running}))


class ModelFacts:
    """What is told of the one model that a body names. ``aliases`` are further names."""

    def __init__(self, aliases: ModelAliases) -> None:
        self._aliases = aliases

    def show(self, body: bytes, headers: Headers, models: Sequence[Model]) -> Told:
        """``POST /api/show``. Clients read capabilities, the window and ``general.basename``."""
        fields = Fields(decode_object(body))
        name = read_name(fields)
        fields.boolean("verbose")
        model = self._served(name, models)
        return Told(msgspec.json.encode(_shown(model, library_name(model) or name)))

    def pull(self, body: bytes, headers: Headers, models: Sequence[Model]) -> Told:
        """``POST /api/pull``: whoever is served has it already."""
        fields = Fields(decode_object(body))
        self._served(read_name(fields), models)
        if fields.boolean("stream") is False:
            return Told(b'{"status":"success"}')
        steps = ("pulling manifest", "verifying sha256 digest", "writing manifest", "success")
        return Told(b"".join(b'{"status":"%b"}\n' % step.encode() for step in steps), LINES)

    def refuse_embedding(self, body: bytes, headers: Headers, models: Sequence[Model]) -> Told:
        """``POST /api/embed`` and its older form."""
        name = read_name(Fields(decode_object(body)))
        raise UnsupportedValue(f'"{name[:100]}" does not support embeddings', param="model")

    def _served(self, name: str, models: Sequence[Model]) -> Model:
        meant = meant_by(name, self._aliases).model
        if all(model.id != meant.id for model in models):
            raise ModelNotFound(f"model '{name[:100]}' not found", param="model", requested=name[:100])
        return meant


def refuse_management(body: bytes, headers: Headers, models: Sequence[Model]) -> Told:
    """What changes the models of a server; a gateway has none of its own."""
    raise PermissionDenied("this gateway does not manage models")


def _known(models: Sequence[Model]) -> list[tuple[Model, str]]:
    return [(model, name) for model in models if (name := library_name(model)) is not None]


def _weights(model: Model) -> _Weights:
    return _WEIGHTS["120b" if model.id.endswith("120b") else "20b"]


def _details(model: Model) -> dict[str, Any]:
    return {
        "parent_model": "",
        "format": "gguf",
        "family": "gptoss",
        "families": ["gptoss"],
        "parameter_size": _weights(model).shown_parameters,
        "quantization_level": "MXFP4",
        "context_length": model.context_window,
    }


def _listed(model: Model, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "model": name,
        "modified_at": _released(model),
        "size": _weights(model).size,
        # Of the name: the weights are elsewhere.
        "digest": hashlib.sha256(model.id.encode()).hexdigest(),
        "details": _details(model),
        "capabilities": CAPABILITIES,
    }


def _shown(model: Model, name: str) -> dict[str, Any]:
    weights = _weights(model)
    return {
        "license": "Apache License 2.0, https://www.apache.org/licenses/LICENSE-2.0",
        "modelfile": f"# {name} is served by a gateway: there is no file of it.\nFROM {name}\n",
        # Every line is a name and a value: clients split it so.
        "parameters": "temperature                    1",
        # A template with a suffix would make editors complete code with it.
        "template": "{{ .Prompt }}",
        "details": _details(model),
        "model_info": {
            "general.architecture": "gptoss",
            "general.basename": model.id,
            "general.parameter_count": weights.parameters,
            "general.file_type": 4,
            "gptoss.context_length": model.context_window,
            "gptoss.embedding_length": 2880,
            "gptoss.feed_forward_length": 2880,
            "gptoss.block_count": weights.blocks,
            "gptoss.expert_count": weights.experts,
            "gptoss.expert_used_count": 4,
            "gptoss.attention.head_count": 64,
            "gptoss.attention.head_count_kv": 8,
            "gptoss.attention.sliding_window": 128,
        },
        "capabilities": CAPABILITIES,
        "modified_at": _released(model),
    }


def _released(model: Model) -> str:
    return datetime.fromtimestamp(model.created, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
