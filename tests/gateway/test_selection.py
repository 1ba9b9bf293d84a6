"""Which upstreams are chosen, and what is said about why."""

import asyncio
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from gptoss_api.config import ConfigError, resolve
from gptoss_api.core.servers import SERVER_KINDS
from gptoss_api.gateway import Gateway, choose_upstreams, read_credentials
from gptoss_api.gateway.selection import Selection
from gptoss_api.routing import Router
from gptoss_api.routing.discovery import FoundServer, LocalServer, find_local_servers
from gptoss_api.upstreams.base import ServedModel
from gptoss_api.upstreams.openai_compatible import PROFILES
from gptoss_api.upstreams.openai_compatible.keys import find_key
from tests.backends.server import Backend, ask, json_reply, turn
from tests.upstreams.chatkit.scripted import Asked, Reply

COOKIE = "user_id=u; session=s"
OLLAMA = FoundServer(LocalServer("ollama", 11434), (ServedModel("gpt-oss:20b", "gpt-oss-20b"),))
SGLANG = FoundServer(LocalServer("sglang", 30000), (ServedModel("openai/gpt-oss-20b", "gpt-oss-20b"),))


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    return tmp_path


def chosen(found: list[FoundServer] | None = None, **environ: str) -> Selection:
    settings = resolve(environ=environ).settings

    def look() -> list[FoundServer]:
        assert found is not None, "nothing had to be looked for"
        return found

    with_home = {"HF_HOME": "/nowhere"} | environ
    return choose_upstreams(settings, read_credentials(settings), with_home, look)


def test_auto_takes_the_first_of_what_there_is(home: Path) -> None:
    everything: dict[str, Any] = {"GPTOSS_COOKIE": COOKIE, "HF_TOKEN": "hf_x"}
    tables = '[{"kind": "ollama"}, {"kind": "groq", "order": 0}]'
    assert chosen(GPTOSS_UPSTREAMS=tables, **everything).names == "ollama, groq"
    assert chosen(**everything).because == "a login at gpt-oss.com is configured"
    assert chosen(GPTOSS_CHATKIT_URL="http://box/chatkit").because == "GPTOSS_CHATKIT_URL is configured"
    by_token = chosen(HF_TOKEN="hf_x")
    assert by_token.names == "huggingface"
    assert "a Hugging Face token was found (HF_TOKEN)" in by_token.because
    (home / "token").write_text("hf_y\n")
    assert "login of this user" in chosen(HF_HOME=str(home)).because
    local = chosen([OLLAMA, SGLANG])
    assert local.names == "ollama, sglang"
    assert local.because.startswith("ollama at 127.0.0.1:11434 lists gpt-oss:20b; sglang at")
    nothing = chosen([])
    assert (nothing.is_demo, nothing.names) == (True, "demo")
    assert nothing.because.startswith("no credential and no server is configured")


def test_what_is_named_is_taken_in_its_order() -> None:
    selection = chosen(
        GPTOSS_UPSTREAM="mine, huggingface, http://a:1/x, http://a:1/y",
        GPTOSS_UPSTREAMS='[{"name": "mine", "kind": "vllm", "weight": 3}]',
    )
    assert selection.names == "mine, huggingface, a:1, a:1-4"
    assert [entry.order for entry in selection.upstreams] == [0, 1, 2, 3]
    assert selection.upstreams[0].weight == 3.0
    assert selection.because.startswith("GPTOSS_UPSTREAM is mine")
    assert chosen(GPTOSS_UPSTREAM="demo", GPTOSS_COOKIE=COOKIE).is_demo


def test_neighbours_with_a_weight_share_one_place() -> None:
    weights: list[dict[str, int]] = [
        {},
        {"weight": 3},
        {"weight": 1},
        {},
        {"weight": 2},
        {"weight": 2, "order": 1},
    ]
    tables = [{"name": f"u{n}", "kind": "vllm"} | more for n, more in enumerate(weights)]
    selection = chosen(GPTOSS_UPSTREAMS=json.dumps(tables))
    assert [(entry.name, entry.order) for entry in selection.upstreams] == [
        ("u0", 0),
        ("u1", 1),
        ("u2", 1),
        ("u5", 1),
        ("u3", 3),
        ("u4", 4),
    ]


@pytest.mark.parametrize(
    ("environ", "where"),
    [
        ({"HF_TOKEN": "hf_a"}, "HF_TOKEN"),
        ({"HUGGING_FACE_HUB_TOKEN": "hf_b"}, "HUGGING_FACE_HUB_TOKEN"),
        ({"HF_TOKEN_PATH": "{home}/elsewhere"}, "login"),
        ({"HF_HOME": "{home}"}, "login"),
        ({"XDG_CACHE_HOME": "{home}/cache"}, "login"),
    ],
)
def test_a_hugging_face_token_is_found_where_the_hub_keeps_it(
    environ: Mapping[str, str], where: str, home: Path
) -> None:
    (home / "cache" / "huggingface").mkdir(parents=True)
    for file in ("elsewhere", "token", "cache/huggingface/token"):
        (home / file).write_text("hf_file\n")
    found = find_key(
        SERVER_KINDS["huggingface"], {name: text.format(home=home) for name, text in environ.items()}
    )
    assert found is not None
    assert where in found.where
    assert found.key.startswith("hf_")
    assert found.key not in found.where


def test_a_token_for_another_kind_and_an_empty_one_are_none(home: Path) -> None:
    (home / "token").write_text("\n")
    assert find_key(SERVER_KINDS["huggingface"], {"HF_HOME": str(home)}) is None
    assert find_key(SERVER_KINDS["groq"], {"HF_TOKEN": "hf_x"}) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("s3cret two", "a space or a line break"),
        ("s3cret\ntwo", "a space or a line break"),
        ("Bearer s3cret", "'Bearer'"),
        ('"s3cret"', "in quotes"),
        ("s3cret…", "no key has"),
        ("s3cret\x07", "a control character"),
    ],
)
def test_what_cannot_be_a_key_stops_the_start_and_is_not_repeated(text: str, said: str, home: Path) -> None:
    (home / "token").write_text(text + "\n", encoding="utf-8")
    tables = '[{"name": "x", "kind": "vllm", "%s": "%s"}]'
    places: list[tuple[str, dict[str, str]]] = [
        ("GROQ_API_KEY", {"GPTOSS_UPSTREAM": "groq", "GROQ_API_KEY": text}),
        ("HF_TOKEN", {"HF_TOKEN": text}),
        (f"{home}/token", {"HF_HOME": str(home)}),
        ("MY_KEY", {"GPTOSS_UPSTREAMS": tables % ("key_env", "MY_KEY"), "MY_KEY": text}),
        (f"{home}/token", {"GPTOSS_UPSTREAMS": tables % ("key_file", f"{home}/token")}),
    ]
    for where, environ in places:
        with pytest.raises(ConfigError, match=said) as refused:
            gateway(environ)
        assert str(refused.value).startswith(f"{where}: ")
        assert "set it to the key alone" in str(refused.value)
        assert "s3cret" not in str(refused.value)


def test_white_space_around_a_key_is_no_part_of_it(home: Path) -> None:
    (home / "token").write_text("\ufeff hf_file \r\n", encoding="utf-8")
    assert find_key(SERVER_KINDS["huggingface"], {"HF_HOME": str(home)}) == ("hf_file", ANY)
    assert find_key(SERVER_KINDS["groq"], {"GROQ_API_KEY": " gsk_x\n"}) == ("gsk_x", "GROQ_API_KEY")


async def test_servers_are_found_on_this_machine_and_gateways_are_not() -> None:
    class Another(Backend):
        """Another gateway: its models have our name as their owner."""

        def reply_to(self, asked: Asked) -> Reply:
            return json_reply(200, {"data": [{"id": "gpt-oss-120b", "owned_by": "gpt-oss"}]})

    class Loading(Backend):
        def reply_to(self, asked: Asked) -> Reply:
            return json_reply(503, {"error": "loading"})

    class Silent(Backend):
        def reply_to(self, asked: Asked) -> Reply:
            return Reply([5.0])

    real, other_models = Backend("vllm"), Backend("vllm")
    other_models.models = ["llama-3"]
    backends = [real, other_models, Another("vllm"), Loading("vllm"), Silent("vllm")]
    async with (
        real.running(),
        other_models.running(),
        backends[2].running(),
        backends[3].running(),
        backends[4].running(),
    ):
        servers = [LocalServer("vllm", int(b.url.split(":")[2].split("/")[0])) for b in backends]
        servers.append(LocalServer("ollama", 9))
        found = await asyncio.to_thread(find_local_servers, servers, timeout=0.5)
        assert [(entry.server.port, [m.name for m in entry.models]) for entry in found] == [
            (servers[0].port, ["openai/gpt-oss-120b", "openai/gpt-oss-20b"])
        ]
        assert await asyncio.to_thread(find_local_servers, servers[:1], own_port=servers[0].port) == []


async def test_a_server_at_another_ones_port_says_what_it_is() -> None:
    backend = Backend("vllm")
    backend.owner = "vllm"
    async with backend.running():
        server = LocalServer("llamacpp", int(backend.url.split(":")[2].split("/")[0]))
        (found,) = await asyncio.to_thread(find_local_servers, [server], timeout=0.5)
    assert found.server == LocalServer("vllm", server.port)
    selection = chosen([found, FoundServer(LocalServer("vllm", 8000), found.models)])
    assert [(entry.name, entry.kind, entry.order) for entry in selection.upstreams] == [
        ("vllm", "vllm", 0),
        ("vllm-2", "vllm", 1),
    ]


def gateway(environ: Mapping[str, str]) -> Gateway:
    return Gateway(resolve(environ=environ).settings, environ)


async def test_a_gateway_asks_the_next_and_tells_of_each(tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_file.write_text("file-key-123\n")
    broken, good = Backend("vllm"), Backend("groq")
    broken.replies = [json_reply(500, {"error": "boom"}) for _ in range(9)]
    async with broken.running(), good.running():
        urls = [backend.url.removesuffix("/chatkit") + "/v1" for backend in (broken, good)]
        tables = (
            f'[{{"name": "first", "kind": "vllm", "url": "{urls[0]}", "key_file": "{key_file}"}},'
            f' {{"name": "second", "kind": "groq", "url": "{urls[1]}", "key_env": "MY_KEY"}}]'
        )
        running = gateway({"GPTOSS_UPSTREAMS": tables, "MY_KEY": "env-key-456"})
        assert isinstance(running.upstream, Router)
        collector, _ = await ask(running, turn())
        assert collector.started is not None
        assert collector.started.upstream == "second"
        assert broken.asked[0].headers["authorization"] == "Bearer file-key-123"
        assert good.asked[0].headers["authorization"] == "Bearer env-key-456"
        assert {"file-key-123", "env-key-456"} <= set(running.secrets)
        states = await running.states()
        assert [(state.name, state.kind, state.health.ready) for state in states] == [
            ("first", "vllm", True),
            ("second", "groq", True),
        ]
        assert "boom" in states[0].health.detail
        for _ in range(2):
            await ask(running, turn())
        resting, _ = await running.states()
        assert (resting.health.ready, "rests" in resting.health.detail) == (False, True)
        assert (await running.health()).ready
        await running.close()


async def test_the_models_are_those_that_are_really_served() -> None:
    ollama, vllm = Backend("ollama"), Backend("vllm")
    ollama.models = ["gpt-oss:20b", "llama3:8b"]
    vllm.models = ["/data/gpt-oss-20b.gguf"]
    async with ollama.running(), vllm.running():
        urls = [backend.url.removesuffix("/chatkit") + "/v1" for backend in (ollama, vllm)]
        tables = ", ".join(
            f'{{"name": "u{n}", "kind": "{k}", "url": "{u}"}}'
            for n, (k, u) in enumerate(zip(("ollama", "vllm"), urls, strict=True))
        )
        running = gateway(
            {
                "GPTOSS_UPSTREAMS": f'[{tables}, {{"name": "away", "kind": "sglang", "url": "http://127.0.0.1:9/v1"}}]'
            }
        )
        for _ in range(3):
            models = await running.models()
            assert [(model.id, model.owned_by) for model in models] == [
                ("gpt-oss-20b", "gpt-oss"),
                ("gpt-oss:20b", "u0"),
            ]
        assert ollama.lists == 1
        await running.close()
    unreachable = gateway({"GPTOSS_UPSTREAM": "http://127.0.0.1:9/v1"})
    assert await unreachable.models() == []
    await unreachable.close()


async def test_an_address_gets_the_key_that_is_meant_for_it() -> None:
    backend = Backend("generic")
    async with backend.running():
        url = backend.url.removesuffix("/chatkit")
        environ = {"GPTOSS_UPSTREAM": url, "GPTOSS_UPSTREAM_KEY": "k-123456"}
        running = gateway(environ)
        await ask(running, turn())
        assert backend.asked[0].headers["authorization"] == "Bearer k-123456"
        assert backend.asked[0].path == "/v1/chat/completions"
        await running.close()


def test_a_key_that_is_not_where_it_should_be_stops_the_start(tmp_path: Path) -> None:
    for place, said in (
        ('"key_env": "NO_SUCH_KEY"', "NO_SUCH_KEY, which is not set"),
        (f'"key_file": "{tmp_path}/x"', "No such file"),
    ):
        with pytest.raises(ConfigError, match=said):
            gateway({"GPTOSS_UPSTREAMS": f'[{{"name": "x", "kind": "vllm", {place}}}]'})


async def test_the_example_of_the_documentation_can_be_used(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "upstreams.md").read_text()
    (example,) = re.findall(r"(?ms)^```toml\n(.*?)^```", page)
    (tmp_path / "config.toml").write_text(example)
    environ = {
        "GPTOSS_CONFIG": str(tmp_path / "config.toml"),
        "OFFICE_KEY": "k-123456",
        "HF_TOKEN": "hf_1234567890",
    }
    running = gateway(environ)
    assert [(state.name, state.kind) for state in await running.states()] == [
        ("office", "vllm"),
        ("router", "huggingface"),
        ("ollama", "ollama"),
    ]
    await running.close()


def test_the_table_of_the_documentation_says_what_the_profiles_say() -> None:
    page = (Path(__file__).parents[2] / "docs" / "upstreams.md").read_text()
    for kind, profile in PROFILES.items():
        forms = profile.json_object, profile.json_schema
        told = {(True, True): "native", (False, True): "schemas native", (False, False): "emulated"}[forms]
        cells = (
            f"`{kind}`",
            "not sent" if profile.reasoning_in == "none" else f"`{profile.reasoning_in}`",
            " and ".join(f"`{form}`" for form in profile.effort),
            f"`{profile.length}`",
            "native" if "required" in profile.tool_choice else "emulated",
            told,
        )
        assert f"| {' | '.join(cells)} |\n" in page


async def test_a_server_that_needs_a_key_says_so_without_being_asked() -> None:
    running = Gateway(resolve(environ={"GPTOSS_UPSTREAM": "groq"}).settings, {})
    health = await running.health()
    assert not health.ready
    with pytest.raises(Exception, match="GROQ_API_KEY"):
        await ask(running, turn())
    await running.close()
