"""Writing the request of a heavy turn does not hold the event loop up."""

import threading
from types import ModuleType
from typing import Any

import pytest

import gptoss_api.upstreams.chatkit.requests as chatkit
import gptoss_api.upstreams.openai_compatible.requests as openai_compatible
from gptoss_api.core.events import Finished
from gptoss_api.loop import LIGHT
from tests.backends.server import turn
from tests.pulled import opened
from tests.upstreams.test_slots import answer, serving


@pytest.mark.parametrize("weight", [LIGHT, LIGHT + 1])
@pytest.mark.parametrize(
    ("kind", "module", "name"),
    [("gpt-oss.com", chatkit, "encode_body"), ("server", openai_compatible, "encode_request")],
)
async def test_only_a_heavy_turn_is_written_beside_the_loop(
    kind: str, module: ModuleType, name: str, weight: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode, wrote = getattr(module, name), list[threading.Thread]()

    def encoded(*args: Any, **kwargs: Any) -> bytes:
        wrote.append(threading.current_thread())
        body: bytes = encode(*args, **kwargs)
        return body

    monkeypatch.setattr(module, name, encoded)
    async with (
        serving(kind, answer(kind)) as (upstream, _, _),
        opened(upstream, turn(weight=weight)) as batches,
    ):
        events = [event async for batch in batches for event in batch]
    assert any(isinstance(event, Finished) for event in events)
    assert [thread is threading.main_thread() for thread in wrote] == [weight == LIGHT]
