"""Accounts, threads, scripts, records, and the ways the bytes travel."""

import asyncio
import time
from typing import Any

import httpx2 as httpx
import pytest

from tests.simulator import (
    SCENARIOS,
    Abort,
    Answer,
    Delivery,
    HttpReply,
    Limit,
    Simulator,
    Stall,
    simulator_thread,
)
from tests.simulator.scenarios import TEXT

from .test_old_dialect import MOMENT, create, events, follow

SIGN_IN = "Sign in with Hugging Face"
LONG = {"s06_keep_alives", "s22_slow_answer"}
BROKEN = {
    "s11_abort_before_text",
    "s11_abort_mid_text",
    "s11_abort_mid_chunk",
    "s14_unknown_thread",
    "s15_foreign_thread",
}


@pytest.mark.parametrize("name", sorted(set(SCENARIOS) - LONG))
async def test_scenario_plays_to_its_end(name: str) -> None:
    async with Simulator() as sim, httpx.AsyncClient() as client:
        sim.script(name)
        try:
            response = await client.post(sim.chatkit_url, json=create())
        except httpx.TransportError:
            assert name in BROKEN
        else:
            assert name not in BROKEN
            assert response.status_code == 200 or name.startswith(("s16", "s17"))
        assert sim.last.outcome == ("broken" if name in BROKEN else "complete")


def test_all_27_scenarios_are_here() -> None:
    assert {scenario.number for scenario in SCENARIOS.values()} == set(range(1, 28))


@pytest.mark.parametrize(
    "delivery",
    [
        Delivery(cut=1),
        Delivery(cut=3),
        Delivery(cut="random"),
        Delivery(group=16),
        Delivery(group=0),
        Delivery(gzip=True),
        Delivery(gzip=True, cut=1),
    ],
    ids=repr,
)
async def test_cuts_change_nothing_in_the_bytes(delivery: Delivery) -> None:
    bodies = []
    for chosen in (Delivery(), delivery):
        async with Simulator(clock=lambda: MOMENT, delivery=chosen) as sim, httpx.AsyncClient() as client:
            sim.script("s01_happy_path")
            bodies.append((await client.post(sim.chatkit_url, json=create())).text)
    assert bodies[0] == bodies[1]


async def raw_chunks(sim: Simulator) -> list[bytes]:
    reader, writer = await asyncio.open_connection(sim.host, sim.port)
    body = b'{"op":"threads.create","params":{"input":{"text":"x"}}}'
    writer.write(b"POST /chatkit HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
    await reader.readuntil(b"\r\n\r\n")
    chunks = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        chunks.append((await reader.readexactly(size + 2))[:-2])
    writer.close()
    return chunks


async def test_a_chunk_holds_one_event_unless_asked_otherwise() -> None:
    async with Simulator() as sim:
        sim.script("s01_happy_path")
        chunks = await raw_chunks(sim)
        assert all(chunk.endswith(b"\n\n") and chunk.count(b"\n") == 2 for chunk in chunks)
        sim.script("s18_utf8_split")
        chunks = await raw_chunks(sim)
        assert {len(chunk) for chunk in chunks[:-1]} == {3}
        assert any(0x80 <= chunk[0] < 0xC0 for chunk in chunks)
        sim.script("s18_crlf")
        assert (await raw_chunks(sim))[0].endswith(b"}\r\n\r\n")
        sim.script("s18_no_final_blank_line")
        assert (await raw_chunks(sim))[-1].endswith(b"}")


async def test_without_a_session_the_login_card_comes_and_the_script_waits() -> None:
    async with Simulator(auth="session") as sim, httpx.AsyncClient() as client:
        sim.script(Answer("for members"))
        refused = await client.post(sim.chatkit_url, json=create())
        wrong = await client.post(
            sim.chatkit_url, json=create(), headers={"cookie": f"user_id={sim.user_id}; session=old"}
        )
        served = await client.post(sim.chatkit_url, json=create(), headers={"cookie": sim.cookie})
    assert refused.status_code == wrong.status_code == 200
    assert SIGN_IN in refused.text
    assert SIGN_IN in wrong.text
    assert "for members" in served.text
    assert sim.session.startswith("eyJoZl9hY2Nlc3")


async def test_a_visitor_gets_a_user_id_and_owns_the_threads_made_with_it() -> None:
    async with Simulator() as sim, httpx.AsyncClient() as client:
        first = await client.post(sim.chatkit_url, json=create())
        user_id = first.cookies["user_id"]
        assert first.headers["set-cookie"] == f"user_id={user_id}; Path=/; HttpOnly"
        thread_id: Any = events(first.text)[0]["thread"]["id"]  # type: ignore[index]  # JSON
        client.cookies.clear()
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(sim.chatkit_url, json=follow(thread_id), headers={"cookie": "user_id=other"})
        mine = await client.post(
            sim.chatkit_url, json=follow(thread_id), headers={"cookie": f"user_id={user_id}"}
        )
        assert "and then?" in mine.text
        with pytest.raises(httpx.RemoteProtocolError):
            await client.post(sim.chatkit_url, json=follow("thr_00000000"))


@pytest.mark.parametrize("shape", ["widget", "error", "429"])
async def test_a_user_is_limited_after_five_messages(shape: Any) -> None:
    async with Simulator() as sim, httpx.AsyncClient() as client:
        sim.limit = Limit(5, shape)
        answers = [await client.post(sim.chatkit_url, json=create()) for _ in range(6)]
    assert ["limit" in answer.text for answer in answers] == [False] * 5 + [True]
    assert (answers[5].status_code == 429) is (shape == "429")


async def test_a_granted_session_replaces_the_old_one() -> None:
    async with Simulator(auth="session") as sim, httpx.AsyncClient() as client:
        old = sim.cookie
        sim.script("s23_refreshed_session")
        granted = await client.post(sim.chatkit_url, json=create(), headers={"cookie": old})
        fresh = granted.headers["set-cookie"].split(";")[0]
        client.cookies.clear()
        assert SIGN_IN in (await client.post(sim.chatkit_url, json=create(), headers={"cookie": old})).text
        assert fresh == f"session={sim.session}"
        assert (
            SIGN_IN not in (await client.post(sim.chatkit_url, json=create(), headers={"cookie": fresh})).text
        )


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[]", 422),
        (b"{", 422),
        (b'{"op":"threads.list","params":{}}', 422),
        (b'{"op":"threads.create","params":{"input":{}}}', 422),
        (b'{"op":"threads.addMessage","params":{"input":{"text":"x"}}}', 422),
        (b'{"op":"threads.create","params":{"input":{"text":"x"},"threadId":null}}', 200),
        (b'{"op":"threads.create","params":{"input":{"content":[{"text":"x"}]}}}', 200),
        (b'{"type":"threads.create","params":{"input":{"content":[{"text":"x"}]}}}', 422),
    ],
)
async def test_requests_are_checked_whatever_their_content_type(body: bytes, status: int) -> None:
    async with Simulator() as sim, httpx.AsyncClient() as client:
        response = await client.post(sim.chatkit_url, content=body, headers={"content-type": "text/plain"})
    assert response.status_code == status


async def test_a_client_that_leaves_is_recorded_with_the_time() -> None:
    async with Simulator() as sim, httpx.AsyncClient() as client:
        sim.script("s22_slow_answer")
        async with client.stream("POST", sim.chatkit_url, json=create()) as response:
            await anext(response.aiter_bytes())
        left = time.monotonic()
        await sim.wait_for(lambda: sim.last.outcome == "abandoned")
        assert sim.last.aborted_at is not None
        assert abs(sim.last.aborted_at - left) < 0.5


async def test_a_stalled_answer_stays_open_until_the_client_leaves() -> None:
    async with Simulator() as sim, httpx.AsyncClient() as client:
        sim.script(Answer(TEXT, at={"half": [Stall()]}))
        with pytest.raises(httpx.ReadTimeout):
            await client.post(sim.chatkit_url, json=create(), timeout=0.2)
        await sim.wait_for(lambda: sim.last.outcome == "abandoned")


async def test_an_abort_in_a_chunk_leaves_the_announced_bytes_out() -> None:
    async with Simulator() as sim:
        sim.script(Answer(TEXT, at={"half": [Abort(mid_chunk=True)]}))
        with pytest.raises(asyncio.IncompleteReadError) as caught:
            await raw_chunks(sim)
    assert caught.value.partial.startswith(b'data: {"type":"thread.item_upd')


async def test_scripts_are_used_up_in_order_and_the_standing_answer_stays() -> None:
    async with Simulator() as sim, httpx.AsyncClient() as client:
        sim.always(lambda request: f"{request.model} after {len(request.history)}")
        sim.script(Answer("first"), HttpReply(418, "teapot", "text/plain", [("x-tea", "green")]))
        replies = [
            await client.post(sim.chatkit_url, json=create(), headers={"x-selected-model": "gpt-oss-20b"})
            for _ in range(4)
        ]
    assert '"text":"first"' in replies[0].text
    assert (replies[1].status_code, replies[1].headers["x-tea"]) == (418, "green")
    assert all('"text":"gpt-oss-20b after 0"' in reply.text for reply in replies[2:])


def test_it_runs_without_an_event_loop_of_the_tests_own() -> None:
    with simulator_thread(auth="off") as sim:
        sim.script(Answer("from a thread"))
        assert "from a thread" in httpx.post(sim.chatkit_url, json=create()).text
        sim.wait_until(lambda: sim.last.outcome == "complete")
    with pytest.raises(httpx.ConnectError):
        httpx.post(sim.chatkit_url, json=create())


async def test_natural_speed_waits_like_the_site_does() -> None:
    async with Simulator(speed=0.02) as sim, httpx.AsyncClient() as client:
        started = time.monotonic()
        await client.post(sim.chatkit_url, json=create())
        assert 0.1 < time.monotonic() - started < 2
