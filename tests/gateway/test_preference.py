"""Which of several upstreams a gateway asks first where it prefers verified ones."""

import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gptoss_api.config import Settings, UpstreamSettings
from gptoss_api.gateway import Gateway, preference
from gptoss_api.state import StoreUnavailable
from gptoss_api.verification.card import Subject
from gptoss_api.verification.history import History
from tests.backends.server import Backend, ask, json_reply, turn
from tests.verification.test_history import card


class Two:
    """A gateway before two servers, ``first`` in its order and ``other``."""

    def __init__(self, gateway: Gateway, settings: Settings, first: Backend, other: Backend) -> None:
        self.gateway = gateway
        self.settings = settings
        self.first = first
        self.other = other

    async def who(self, model: str = "gpt-oss-120b") -> str:
        collector, _ = await ask(self.gateway, turn(model=model))
        assert collector.started is not None
        return collector.started.upstream

    async def verified(self, **scores: float) -> None:
        """What a run that has just ended says of each."""
        for name, score in scores.items():
            await self.keep(name, score=score)

    async def keep(self, name: str, **changes: Any) -> None:
        backend: Backend = getattr(self, name)
        subject = Subject(name, "vllm", backend.address, "gpt-oss-120b")
        made = card(subject, **({"started": time.time()} | changes))
        await History(self.gateway.state.store).keep(made)


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    first, other = Backend("vllm"), Backend("vllm")
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(first.running())
        await stack.enter_async_context(other.running())
        settings = Settings(
            upstreams=(
                UpstreamSettings("first", "vllm", first.address),
                UpstreamSettings("other", "vllm", other.address),
            ),
            prefer="verified",
            state="memory://",
            credentials_file=tmp_path / "credentials.json",
        )
        gateway = Gateway(settings, {})
        stack.push_async_callback(gateway.close)
        yield Two(gateway, settings, first, other)


async def test_without_results_the_order_decides(two: Two) -> None:
    assert await two.who() == "first"


async def test_the_best_is_asked_first_and_the_next_where_it_fails(two: Two) -> None:
    await two.verified(first=0.7, other=0.95)
    assert await two.who() == "other"
    two.other.replies = [json_reply(500, {"error": {"message": "broken"}})]
    assert await two.who() == "first"
    # Nothing is known of the other model.
    assert await two.who("gpt-oss-20b") == "first"


async def test_an_unverified_one_comes_last(two: Two) -> None:
    await two.verified(other=0.3)
    assert await two.who() == "other"


async def test_what_is_less_than_a_percent_apart_leaves_the_order(two: Two) -> None:
    await two.verified(first=0.951, other=0.954)
    assert await two.who() == "first"


@pytest.mark.parametrize(
    "changes", [{"url": "http://127.0.0.1:9/v1"}, {"complete": False}, {"started": time.time() - 40 * 86_400}]
)
async def test_results_that_say_nothing_now_change_nothing(changes: dict[str, Any], two: Two) -> None:
    await two.keep("other", **changes)
    assert await two.who() == "first"


async def test_a_store_that_does_not_answer_is_soon_looked_at_again(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    await two.verified(other=0.9)
    monkeypatch.setattr(preference, "LOOK_AGAIN", 0.0)
    with monkeypatch.context() as down:
        down.setattr(History, "cards", _down)
        assert await two.who() == "first"
    await two.who()
    assert await two.who() == "other"


async def _down(self: History) -> None:
    raise StoreUnavailable("down")


async def test_new_results_are_gone_by_soon(two: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    assert await two.who() == "first"
    await two.verified(other=0.9)
    # Not before the time for another look.
    assert await two.who() == "first"
    monkeypatch.setattr(preference, "LOOK_EVERY", 0.0)
    await two.gateway.reload(two.settings)
    assert await two.who() == "other"
    await two.verified(first=0.99)
    # The turn that has the look made does not wait for it.
    await two.who()
    assert await two.who() == "first"


async def test_the_setting_changes_while_the_gateway_runs(two: Two) -> None:
    await two.verified(other=0.9)
    assert await two.who() == "other"
    assert two.gateway.prefers_verified
    await two.gateway.reload(replace(two.settings, prefer="order"))
    assert not two.gateway.prefers_verified
    assert await two.who() == "first"
