"""The models: ids, aliases, context window, dates."""

from collections.abc import Mapping
from fnmatch import fnmatchcase
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
# Fine-tuned to judge texts by a policy, released on 2025-10-29. Only who lists one is asked for it.
SAFEGUARDS: Final = (
    Model("gpt-oss-safeguard-120b", "gpt-oss-safeguard 120B", 1_761_696_000),
    Model("gpt-oss-safeguard-20b", "gpt-oss-safeguard 20B", 1_761_696_000),
)
DEFAULT_MODEL: Final = "gpt-oss-120b"

_BY_ID: Final = {model.id: model for model in (*MODELS, *SAFEGUARDS)}
_SAFEGUARD: Final = "safeguard"


def find_model(requested: str) -> Model:
    """The model meant by ``requested``: a canonical id or any common spelling of it.

    Understands ``openai/gpt-oss-120b``, ``gpt-oss:120b``, ``@cf/openai/gpt-oss-20b``,
    ``openai/gpt-oss-20b:groq`` (Hugging Face provider suffix), ``gpt-oss-120b-cloud``, ``gpt-oss``,
    ``gpt-oss-safeguard:20b``.

    Raises:
        ModelNotFound: for everything else.
    """
    if (exact := _BY_ID.get(requested)) is not None:
        return exact
    name = requested.strip().lower().rsplit("/", 1)[-1]
    if name in ("gpt-oss", "gpt-oss:latest"):
        return _BY_ID[DEFAULT_MODEL]
    if name.startswith("gpt-oss"):
        rest = name.removeprefix("gpt-oss").lstrip("-:_")
        plain = rest.removeprefix(_SAFEGUARD).lstrip("-:_")
        line = "gpt-oss-" if plain == rest else f"gpt-oss-{_SAFEGUARD}-"
        size = plain.split(":", 1)[0].removesuffix("-cloud")
        if (model := _BY_ID.get(f"{line}{size}")) is not None:
            return model
    known = ", ".join(_BY_ID)
    raise ModelNotFound(
        f"The model '{requested[:100]}' does not exist here. Use one of: {known}.",
        param="model",
        requested=requested[:100],
    )


def provider_suffix(requested: str) -> str:
    """The provider or policy that Hugging Face's spelling of a model ends with: ``groq``, ``fastest``; or "".

    ``gpt-oss:20b`` has none: what follows its colon is the size.
    """
    name, _, suffix = requested.strip().lower().rpartition(":")
    name = name.rsplit("/", 1)[-1]
    return suffix if name.startswith("gpt-oss-") and not name.endswith(_SAFEGUARD) else ""


_EVERYTHING: Final = "*"


class ModelAliases:
    """Names under which clients may ask for a model, beside its own.

    ``given`` maps names and patterns with ``*`` to names that :func:`find_model` knows. A name goes before
    the models' own spellings, a pattern comes after them, in its order; then the ``usual`` ones of a client
    API, and ``*`` last.
    """

    def __init__(
        self, given: Mapping[str, str] | None = None, usual: Mapping[str, str] | None = None
    ) -> None:
        self._given = {name.lower(): meant for name, meant in (given or {}).items()}
        usual = usual or {}
        self._patterns = [
            *(
                (_only_stars(name), meant)
                for name, meant in self._given.items()
                if "*" in name and name != _EVERYTHING
            ),
            *usual.items(),
            *((name, meant) for name, meant in self._given.items() if name == _EVERYTHING),
        ]

    def with_usual(self, usual: Mapping[str, str]) -> "ModelAliases":
        """These and the patterns that a client API has by itself."""
        return ModelAliases(self._given, usual)

    def resolve(self, requested: str) -> str:
        """The name of the model that ``requested`` means; itself where it is no alias."""
        name = requested.strip().lower()
        if (meant := self._given.get(name)) is not None:
            return meant
        if not self._patterns or _is_known(name):
            return requested
        return next((meant for pattern, meant in self._patterns if fnmatchcase(name, pattern)), requested)


def _only_stars(pattern: str) -> str:
    """``pattern`` with everything but ``*`` standing for itself."""
    return pattern.replace("[", "[[]").replace("?", "[?]")


NO_ALIASES: Final = ModelAliases()


def _is_known(name: str) -> bool:
    try:
        find_model(name)
    except ModelNotFound:
        return False
    return True
