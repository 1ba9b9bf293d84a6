"""The names of the models."""

import pytest

from gptoss_api.core.catalog import NO_ALIASES, ModelAliases, find_model, provider_suffix
from gptoss_api.core.errors import ModelNotFound

GIVEN = ModelAliases(
    {
        "gpt-4o-mini": "gpt-oss-20b",
        "GPT-4*": "gpt-oss-120b:groq",
        "gpt-oss-20b": "gpt-oss-120b",
        "gpt-*": "gpt-oss-20b",
        "*": "openai/gpt-oss-20b",
    }
)


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("gpt-4o-mini", "gpt-oss-20b"),
        (" GPT-4o-Mini ", "gpt-oss-20b"),
        ("gpt-4o", "gpt-oss-120b:groq"),
        ("gpt-5", "gpt-oss-20b"),
        # A name wins over the model's own, a pattern does not.
        ("gpt-oss-20b", "gpt-oss-120b"),
        ("gpt-oss-120b", "gpt-oss-120b"),
        ("openai/gpt-oss-120b:fastest", "openai/gpt-oss-120b:fastest"),
        ("llama", "openai/gpt-oss-20b"),
    ],
)
def test_aliases(asked: str, meant: str) -> None:
    assert GIVEN.resolve(asked) == meant


def test_what_a_client_api_has_by_itself_comes_before_everything_else_alone() -> None:
    aliases = GIVEN.with_usual({"gpt-*": "a", "llama-*": "b"})
    assert aliases.resolve("gpt-5") == "gpt-oss-20b"
    assert aliases.resolve("llama-3") == "b"
    assert aliases.resolve("qwen") == "openai/gpt-oss-20b"


def test_without_any_every_name_is_itself() -> None:
    assert NO_ALIASES.resolve("gpt-4o") == "gpt-4o"


def test_only_a_star_stands_for_other_characters() -> None:
    aliases = ModelAliases({"gpt-4[ab]*": "gpt-oss-20b", "o?-*": "gpt-oss-20b"})
    assert aliases.resolve("gpt-4[ab]-x") == aliases.resolve("o?-mini") == "gpt-oss-20b"
    assert aliases.resolve("gpt-4a-x") == "gpt-4a-x"
    assert aliases.resolve("o1-mini") == "o1-mini"


@pytest.mark.parametrize("size", ["20b", "120b"])
@pytest.mark.parametrize(
    "spelling",
    ["gpt-oss-safeguard-{}", "openai/gpt-oss-safeguard-{}", "gpt-oss-safeguard:{}", "GPT-OSS-Safeguard-{}"],
)
def test_the_safeguards_are_models_of_their_own(spelling: str, size: str) -> None:
    asked = spelling.format(size)
    assert find_model(asked).id == f"gpt-oss-safeguard-{size}"
    assert provider_suffix(asked) == ""
    assert provider_suffix(f"openai/gpt-oss-safeguard-{size}:groq") == "groq"


@pytest.mark.parametrize(
    "name", ["gpt-oss-safeguard", "gpt-oss-safeguard-7b", "gpt-oss-guard-20b", "safeguard-20b"]
)
def test_what_only_looks_like_one_is_none(name: str) -> None:
    with pytest.raises(ModelNotFound):
        find_model(name)
