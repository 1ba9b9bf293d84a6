"""Names of models that the settings add hold for every client API, and are listed nowhere."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import RunningGateway, running_gateway
from tests.server.talking import CHAT, ask

ALIASES = '"gpt-4o-mini" = "gpt-oss-20b"\n"*" = "gpt-oss-120b"\n'
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture(scope="module")
def aliased(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    home = tmp_path_factory.mktemp("home")
    (home / "config.toml").write_text(f"[aliases]\n{ALIASES}")
    hurry = "import gptoss_api.upstreams.demo as demo; demo.PACE = 0"
    config = str(home / "config.toml")
    with running_gateway(home, before=hurry, GPTOSS_UPSTREAM="demo", GPTOSS_CONFIG=config) as gateway:
        yield gateway


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (CHAT, {"messages": HELLO}),
        (CHAT, {"input": "Hello"}),
        ("/v1/responses", {"input": "Hello"}),
        ("/v1/completions", {"prompt": "Hello"}),
        ("/v1/messages", {"messages": HELLO, "max_tokens": 100}),
    ],
)
@pytest.mark.parametrize(("asked", "model"), [("gpt-4o-mini", "gpt-oss-20b"), ("gpt-5", "gpt-oss-120b")])
def test_every_client_api_knows_them(
    aliased: RunningGateway, path: str, body: dict[str, Any], asked: str, model: str
) -> None:
    reply = ask(aliased, "POST", path, {"model": asked, **body})
    assert reply.status == 200
    assert reply.headers["x-gptoss-model"] == model


def test_they_are_shown_where_they_are_asked_for_and_not_listed(aliased: RunningGateway) -> None:
    assert ask(aliased, "GET", "/v1/models/gpt-4o-mini").json()["id"] == "gpt-4o-mini"
    listed = ask(aliased, "GET", "/v1/models").json()["data"]
    assert [model["id"] for model in listed] == ["gpt-oss-120b", "gpt-oss-20b"]
