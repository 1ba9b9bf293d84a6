"""The models: ids, aliases, context window, dates."""

from typing import Final

from msgspec import Struct

from .errors import ModelNotFound


class Model(Struct, frozen=True):
    """A model the gateway offers. ``created`` is its release in Unix seconds; windows are in tokens."""

    id: str
    display_name: str
    created: int
    owned_by: str = "gpt-oss"
    context_window: int = 131_072
    max_output_tokens: int = 131_072


# Both were released on 2025-08-05 (docs/design/gpt-oss-com.md, "Models").
MODELS: Final = (
    Model("gpt-oss-120b", "gpt-oss 120B", 1_754_352_000),
    Model("gpt-oss-20b", "gpt-oss 20B", 1_754_352_000),
)
DEFAULT_MODEL: Final = "gpt-oss-120b"

_BY_ID: Final = {model.id: model for model in MODELS}


def find_model(requested: str) -> Model:
    """The model meant by ``requested``: a canonical id or any common spelling of it.

    Understands ``openai/gpt-oss-120b``, ``gpt-oss:120b``, ``@cf/openai/gpt-oss-20b``,
    ``openai/gpt-oss-20b:groq`` (Hugging Face provider suffix), ``gpt-oss-120b-cloud``, ``gpt-oss``.

    Raises:
        ModelNotFound: for everything else.
    """
    if (exact := _BY_ID.get(requested)) is not None:
        return exact
    name = requested.strip().lower().rsplit("/", 1)[-1]
    if name in ("gpt-oss", "gpt-oss:latest"):
        return _BY_ID[DEFAULT_MODEL]
    if name.startswith("gpt-oss"):
        size = name.removeprefix("gpt-oss").lstrip("-:_").split(":", 1)[0].removesuffix("-cloud")
        if (model := _BY_ID.get(f"gpt-oss-{size}")) is not None:
            return model
    known = ", ".join(_BY_ID)
    raise ModelNotFound(
        f"The model '{requested[:100]}' does not exist here. Use one of: {known}.", param="model"
    )


def provider_suffix(requested: str) -> str:
    """The provider or policy that Hugging Face's spelling of a model ends with: ``groq``, ``fastest``; or "".

    ``gpt-oss:20b`` has none: what follows its colon is the size.
    """
    name, _, suffix = requested.strip().lower().rpartition(":")
    return suffix if name.rsplit("/", 1)[-1].startswith("gpt-oss-") else ""
