"""Turns of every kind, as a gateway that several people share has them."""

import asyncio
import random
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from gptoss_api.core.accounting import DAY, TurnAccount
from gptoss_api.state import open_usage

T = TypeVar("T")

# Which API, model and upstream, how it ended, and how often that is.
_DIALECTS = ("chat", "chat", "chat", "responses", "messages", "ollama", "completions")
_OUTCOMES = {
    ("ok", 200): 93,
    ("client_gone", 200): 3,
    ("rate_limit_exceeded", 429): 2,
    ("upstream_empty", 502): 1,
    ("upstream_timeout", 504): 1,
}


def mixed_turns(count: int, now: float, keys: Sequence[str] = ("",)) -> list[TurnAccount]:
    """``count`` turns of the last thirty days by these ids of keys, always the same."""
    dice = random.Random(16)
    moments = sorted(now - 60 - dice.random() * 29 * DAY for _ in range(count))
    return [_turn(dice, number, at, keys) for number, at in enumerate(moments)]


def _turn(dice: random.Random, number: int, at: float, keys: Sequence[str]) -> TurnAccount:
    model = dice.choices(("gpt-oss-120b", "gpt-oss-20b"), (3, 1))[0]
    outcome, status = dice.choices(list(_OUTCOMES), list(_OUTCOMES.values()))[0]
    answered = status == 200
    first = dice.lognormvariate(6.2 if model == "gpt-oss-120b" else 5.4, 0.5)
    repaired = ("tools",) if answered and dice.random() < 0.03 else ()
    return TurnAccount(
        at=at,
        request_id=f"req_{number:024x}",
        key=dice.choices(keys, range(len(keys), 0, -1))[0],
        dialect=dice.choice(_DIALECTS),
        model=model,
        upstream=dice.choices(("gpt-oss.com", "groq"), (4, 1))[0] if answered else "",
        outcome=outcome,
        status=status,
        prompt=int(dice.lognormvariate(7, 1)) if answered else 0,
        cached=dice.choice((0, 0, 400)) if answered else 0,
        completion=int(dice.lognormvariate(5.4, 0.8)) if answered else 0,
        reasoning=int(dice.lognormvariate(4, 0.6)) if answered else 0,
        repairs=len(repaired) + (answered and dice.random() < 0.02),
        thread=dice.choice(("new", "reused")) if answered else "",
        first_ms=first if answered else None,
        total_ms=first + dice.lognormvariate(7.4, 0.6),
        repaired=repaired,
    )


def keep(state: str, turns: Sequence[TurnAccount]) -> None:
    """Writes ``turns`` down at the store ``state``."""

    async def write() -> None:
        usage = open_usage(state, 400)
        for at in range(0, len(turns), 250):
            await usage.add(turns[at : at + 250])
        await usage.close()

    elsewhere(lambda: asyncio.run(write()))


def elsewhere(work: Callable[[], T]) -> T:
    """What ``work`` gives in a thread of its own: in that of a test with a browser an event loop runs."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(work).result()
