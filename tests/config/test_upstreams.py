"""Upstreams as users name them: in words, by address, as tables."""

import json
from pathlib import Path
from typing import Any

import pytest

from gptoss_api.config import ConfigError, Resolution, UpstreamSettings, resolve
from gptoss_api.config.upstreams import named_upstream


def resolved(text: str, tmp_path: Path, **environ: str) -> Resolution:
    file = tmp_path / "config.toml"
    file.write_text(text)
    return resolve({"config_file": str(file)}, environ)


@pytest.mark.parametrize(
    ("word", "kind", "name", "url"),
    [
        ("huggingface", "huggingface", "huggingface", None),
        ("gpt-oss.com", "gpt-oss.com", "gpt-oss.com", None),
        ("http://box:9000/v1", "generic", "box:9000", "http://box:9000/v1"),
        ("http://box:9000", "generic", "box:9000", "http://box:9000/v1"),
        ("http://box:9000/", "generic", "box:9000", "http://box:9000/v1"),
        ("https://api.example/openai/v1", "generic", "api.example", "https://api.example/openai/v1"),
        ("http://127.0.0.1:11434/v1", "ollama", "127.0.0.1:11434", "http://127.0.0.1:11434/v1"),
        ("http://[::1]:1234", "lmstudio", "[::1]:1234", "http://[::1]:1234/v1"),
        ("https://api.groq.com/openai/v1", "groq", "api.groq.com", "https://api.groq.com/openai/v1"),
        (
            "https://router.huggingface.co",
            "huggingface",
            "router.huggingface.co",
            "https://router.huggingface.co/v1",
        ),
    ],
)
def test_a_word_means_a_kind_or_an_address(word: str, kind: str, name: str, url: str | None) -> None:
    assert named_upstream(word) == UpstreamSettings(name, kind, url)


def test_several_are_given_with_commas_or_as_a_list(tmp_path: Path) -> None:
    in_words = resolve(environ={"GPTOSS_UPSTREAM": " huggingface,ollama , huggingface"}).settings
    assert in_words.upstream == "huggingface, ollama"
    listed = resolved('upstream = ["ollama", "http://box:1/v1"]', tmp_path).settings
    assert listed.upstream == "ollama, http://box:1/v1"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("demo,ollama", "cannot be combined"),
        ("auto,ollama", "cannot be combined"),
        ("olama", "did you mean 'ollama'?"),
        ("cloudflare", "every such server has an address of its own"),
        ("generic", "not allowed"),
        ("ftp://box/v1", "not allowed"),
        ("http://user:secret@box/v1", "not allowed"),
        (",", "not allowed"),
    ],
)
def test_words_that_mean_nothing_are_refused(words: str, said: str) -> None:
    with pytest.raises(ConfigError, match="GPTOSS_UPSTREAM: ") as refused:
        resolve(environ={"GPTOSS_UPSTREAM": words})
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


TABLES = """
upstream = "mine, spare"

[[upstreams]]
name = "mine"
kind = "vllm"
url = "http://box:8000/v1"
key_env = "BOX_KEY"
models = {"gpt-oss-120b" = "big"}
weight = 2
order = 0
max_concurrency = 4
first_byte_timeout = "20s"

[[upstreams]]
name = "spare"
kind = "huggingface"
headers = {"X-HF-Bill-To" = "org"}

[[upstreams]]
url = "http://other:1/v1"
"""


def test_tables_say_everything_about_an_upstream(tmp_path: Path) -> None:
    resolution = resolved(TABLES, tmp_path)
    mine, spare, other = resolution.settings.upstreams
    assert mine == UpstreamSettings(
        "mine",
        "vllm",
        "http://box:8000/v1",
        key_env="BOX_KEY",
        models={"gpt-oss-120b": "big"},
        order=0,
        weight=2.0,
        max_concurrency=4,
        first_byte_timeout=20.0,
    )
    assert (spare.kind, spare.headers) == ("huggingface", {"X-HF-Bill-To": "org"})
    assert (other.name, other.kind) == ("generic", "generic")
    shown = {option.name: option.show(value) for option, value, _ in resolution}
    assert shown["upstreams"] == "mine (vllm), spare (huggingface), generic"


def test_the_same_may_stand_in_the_environment_as_json() -> None:
    tables = [{"kind": "ollama"}, {"name": "x", "kind": "groq"}]
    settings = resolve(environ={"GPTOSS_UPSTREAMS": json.dumps(tables)}).settings
    assert [entry.name for entry in settings.upstreams] == ["ollama", "x"]


@pytest.mark.parametrize(
    ("models", "known"),
    [
        ({"openai/gpt-oss-20b": "small"}, {"gpt-oss-20b": "small"}),
        (["gpt-oss-120b"], {"gpt-oss-120b": ""}),
        (["gpt-oss:20b", "gpt-oss-120b"], {"gpt-oss-20b": "gpt-oss:20b", "gpt-oss-120b": ""}),
    ],
)
def test_models_are_a_map_or_a_list(models: Any, known: dict[str, str]) -> None:
    table = {"kind": "ollama", "models": models}
    (entry,) = resolve(environ={"GPTOSS_UPSTREAMS": json.dumps([table])}).settings.upstreams
    assert entry.models == known


@pytest.mark.parametrize(
    ("given", "read"), [({}, None), ({"whole_answers": False}, False), ({"whole_answers": "on"}, True)]
)
def test_an_upstream_may_be_asked_for_whole_answers(given: dict[str, Any], read: bool | None) -> None:
    table = {"kind": "vllm"} | given
    (entry,) = resolve(environ={"GPTOSS_UPSTREAMS": json.dumps([table])}).settings.upstreams
    assert entry.whole_answers is read


def test_what_is_turned_off_stands_in_the_way_of_nothing() -> None:
    tables = [
        {"kind": "gpt-oss.com", "whole_answers": False},
        {"kind": "vllm", "whole_answers": False, "first_byte_timeout": 5},
    ]
    settings = resolve(environ={"GPTOSS_UPSTREAMS": json.dumps(tables)}).settings
    assert [entry.whole_answers for entry in settings.upstreams] == [False, False]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"kind": "openai"}, "kind is 'openai'"),
        ({}, "kind is None"),
        ({"kind": "generic"}, "url is missing"),
        ({"kind": "cloudflare"}, "url is missing"),
        ({"kind": "vllm", "url": "box"}, "url is not allowed"),
        ({"kind": "vllm", "ulr": "x"}, "'ulr' is not known"),
        ({"kind": "vllm", "name": "a b"}, "cannot be a name"),
        ({"kind": "vllm", "name": "demo"}, "cannot be a name"),
        ({"kind": "vllm", "weight": 0}, "weight is not allowed"),
        ({"kind": "vllm", "weight": True}, "weight is not allowed"),
        ({"kind": "vllm", "key_env": "a-b"}, "key_env is not allowed"),
        ({"kind": "vllm", "models": {"gpt-4": "x"}}, "models is not allowed"),
        ({"kind": "vllm", "models": []}, "models is not allowed"),
        ({"kind": "vllm", "models": ["gpt-4"]}, "models is not allowed"),
        ({"kind": "vllm", "models": [1]}, "models is not allowed"),
        ({"kind": "vllm", "models": {"gpt-oss-20b": ""}}, "models is not allowed"),
        ({"kind": "vllm", "models": ["gpt-oss:20b", "openai/gpt-oss-20b"]}, "models is not allowed"),
        ({"kind": "vllm", "headers": {"Authorization": "Bearer x"}}, "key_env"),
        ({"kind": "vllm", "headers": {"a b": "x"}}, "headers is not allowed"),
        ({"kind": "vllm", "headers": {"a": "x\ny"}}, "headers is not allowed"),
        ({"kind": "vllm", "max_concurrency": 0}, "max_concurrency is not allowed"),
        ({"kind": "vllm", "whole_answers": "perhaps"}, "whole_answers is not allowed"),
        ({"kind": "gpt-oss.com", "whole_answers": True}, "gpt-oss.com only gives streams"),
        (
            {"kind": "vllm", "whole_answers": True, "first_byte_timeout": 5},
            "leave out whole_answers or first",
        ),
        ("vllm", "expected a table"),
    ],
)
def test_a_table_that_cannot_be_used_is_named(table: Any, said: str) -> None:
    for tables in ([table], [{"kind": "ollama"}, table]):
        with pytest.raises(ConfigError) as refused:
            resolve(environ={"GPTOSS_UPSTREAMS": json.dumps(tables)})
        message = str(refused.value)
        assert said in message
        assert message.startswith(f"GPTOSS_UPSTREAMS: [[upstreams]] number {len(tables)}: ")


def test_names_are_used_once_and_json_is_json() -> None:
    with pytest.raises(ConfigError, match=r"two .* are called 'ollama'"):
        resolve(environ={"GPTOSS_UPSTREAMS": '[{"kind": "ollama"}, {"kind": "ollama"}]'})
    with pytest.raises(ConfigError, match="JSON array"):
        resolve(environ={"GPTOSS_UPSTREAMS": "ollama"})
    with pytest.raises(ConfigError, match="tables"):
        resolve(environ={"GPTOSS_UPSTREAMS": "{}"})


def test_a_key_for_addresses_is_a_secret() -> None:
    resolution = resolve(environ={"GPTOSS_UPSTREAM_KEY": "s3cret"})
    assert resolution.settings.upstream_key == "s3cret"
    assert "s3cret" not in repr(resolution.settings)
    assert "s3cret" not in " ".join(option.show(value) for option, value, _ in resolution)
