"""Two gateways of one user that start for the first time in the same moment are as good as one."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest

from tests.conftest import RunningGateway, running_gateway
from tests.server.talking import Reply, ask


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[RunningGateway, RunningGateway]]:
    home = tmp_path_factory.mktemp("home")
    started = [running_gateway(home, GPTOSS_UPSTREAM="demo") for _ in range(2)]
    with ExitStack() as stack, ThreadPoolExecutor(2) as pool:
        one, other = pool.map(stack.enter_context, started)
        yield one, other
        assert "Traceback" not in one.log()


def respond(gateway: RunningGateway, items: Any, **members: Any) -> Reply:
    body = {"input": items, "include": ["reasoning.encrypted_content"], **members}
    reply = ask(gateway, "POST", "/v1/responses", body)
    assert reply.status == 200
    return reply


def test_what_one_stored_the_other_has(pair: tuple[RunningGateway, RunningGateway]) -> None:
    for one, other in (pair, pair[::-1]):
        stored = json.loads(respond(one, "Hello", store=True).body)
        found = ask(other, "GET", f"/v1/responses/{stored['id']}")
        assert (found.status, json.loads(found.body)["output"]) == (200, stored["output"])


def test_what_one_sealed_the_other_opens_and_what_was_changed_is_not_taken(
    pair: tuple[RunningGateway, RunningGateway],
) -> None:
    for one, other in (pair, pair[::-1]):
        question = {"role": "user", "content": "Hello"}
        thought, said = json.loads(respond(one, [question], store=False).body)["output"]
        sealed = thought["encrypted_content"]
        middle = len(sealed) // 2
        changed = sealed[:middle] + ("A" if sealed[middle] != "A" else "B") + sealed[middle + 1 :]
        for content, ignored in ((sealed, False), (changed, True), (sealed[:-8], True), ("gptoss1.", True)):
            kept: dict[str, Any] = {"type": "reasoning", "summary": [], "encrypted_content": content}
            answer = respond(other, [question, kept, said, question], store=False)
            told = answer.headers.get("x-gptoss-ignored", "").split(",")
            assert ("input.encrypted_content" in told) is ignored
