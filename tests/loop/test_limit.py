"""Limits to how long a task waits."""

import asyncio

import pytest

from gptoss_api.loop import Limit


async def test_what_takes_too_long_is_ended() -> None:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with pytest.raises(TimeoutError), Limit(begun + 0.02):
        await asyncio.sleep(60)
    assert loop.time() - begun >= 0.02


async def test_a_moment_can_be_set_and_lifted_from_inside() -> None:
    now = asyncio.get_running_loop().time()
    with Limit(now + 0.01) as limit:
        limit.lift()
        await asyncio.sleep(0.05)


async def test_a_moment_can_be_set_where_there_was_none() -> None:
    limit = Limit()

    async def wait() -> None:
        with limit:
            await asyncio.sleep(60)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    limit.set(asyncio.get_running_loop().time())
    with pytest.raises(TimeoutError):
        await task


async def test_a_limit_that_was_left_ends_nothing_that_follows() -> None:
    with Limit() as limit:
        pass
    limit.set(asyncio.get_running_loop().time())
    limit.end()
    await asyncio.sleep(0.05)


async def test_who_is_stopped_by_another_is_not_out_of_time() -> None:
    async def wait() -> None:
        with Limit(asyncio.get_running_loop().time() + 60):
            await asyncio.sleep(60)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_what_was_ended_is_not_ended_again_while_it_leaves() -> None:
    loop = asyncio.get_running_loop()
    left = False

    async def leaves_slowly() -> None:
        nonlocal left
        with Limit(loop.time() + 0.02) as limit:
            loop.call_soon(limit.end)
            loop.call_soon(limit.end)
            try:
                await asyncio.sleep(5)
            finally:
                await asyncio.sleep(0.06)
                left = True

    with pytest.raises(TimeoutError):
        await leaves_slowly()
    assert left
