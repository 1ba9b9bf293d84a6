"""What the pages tell to type works as it stands."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import RunningGateway, running_gateway
from tests.curl import answered

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"(?ms)^```console\n(.*?)^```")
COMMAND = re.compile(r"(?m)^(?:\$ )?(curl (?:.*\\\n)*.*)$")
PAGES = ["README.md", "docs/messages.md", "docs/responses.md", "docs/ollama.md"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running_gateway(tmp_path_factory.mktemp("home"), GPTOSS_UPSTREAM="demo") as gateway:
        yield gateway


@pytest.mark.parametrize("page", PAGES)
def test_a_page_has_a_request_to_try_and_it_is_answered(demo: RunningGateway, page: str) -> None:
    blocks = "".join(FENCED.findall((ROOT / page).read_text(encoding="utf-8")))
    commands = [command.partition(" | jq")[0] for command in COMMAND.findall(blocks)]
    assert commands
    for command in commands:
        reply = answered(demo, command)
        assert (reply.status, reply.headers["x-gptoss-upstream"]) == (200, "demo"), command
        assert b"demo" in reply.body
