"""What every upstream does, whatever it is and speaks: each kind of the table, as the gateway makes it."""

import asyncio
import logging
import socket
from typing import Any

import pytest

from gptoss_api.core.catalog import MODELS
from gptoss_api.core.errors import (
    GatewayError,
    UpstreamEmpty,
    UpstreamIncomplete,
    UpstreamUnavailable,
)
from gptoss_api.core.events import Event, Finished, Started, TextDelta
from gptoss_api.core.servers import SERVER_KINDS, ServerKind
from gptoss_api.gateway.building import PROTOCOLS
from tests.backends.server import ask, json_reply, turn
from tests.pulled import opened
from tests.upstreams.chatkit.scripted import Reply

from .contract import SCRIPTS, SECRET, answer, serving, upstream_at

EVERY_KIND = pytest.mark.parametrize("kind", SERVER_KINDS.values(), ids=list(SERVER_KINDS))

EMPTY = Reply([b": nothing\n\n"])


@pytest.fixture(autouse=True)
def _ask_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gptoss_api.upstreams.attempts.RETRY_PAUSE", 0.01)


def test_every_protocol_has_a_script() -> None:
    assert set(SCRIPTS) == set(PROTOCOLS) == {kind.protocol for kind in SERVER_KINDS.values()}


def text_of(events: list[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


@EVERY_KIND
async def test_it_answers_a_turn(kind: ServerKind) -> None:
    async with serving(kind, answer(kind, "Hello there.")) as served:
        assert served.upstream.name == kind.name
        _, events = await ask(served.upstream, turn(model="gpt-oss-20b"))
    assert isinstance(events[0], Started)
    assert (events[0].upstream, events[0].model) == (kind.name, "gpt-oss-20b")
    assert text_of(events) == "Hello there."
    assert sum(isinstance(event, Finished) for event in events) == 1


@EVERY_KIND
async def test_it_sends_its_key_and_never_shows_it(kind: ServerKind) -> None:
    refusal = json_reply(400, {"error": {"message": f"no good: {SECRET}", "code": SECRET}})
    async with serving(kind, refusal) as served:
        with pytest.raises(GatewayError) as refused:
            await ask(served.upstream, turn())
        health = await served.upstream.health()
    sent = str(served.server.asked[0].headers)
    assert (SECRET in sent) is (kind.needs_key or kind.protocol == "chatkit")
    if SECRET in sent:
        assert SECRET not in f"{vars(refused.value)}{refused.value}{health}"


@EVERY_KIND
async def test_a_refusal_that_passes_is_asked_again_once(kind: ServerKind) -> None:
    busy = json_reply(503, {"error": "loading"})
    async with serving(kind, busy, answer(kind, "Hello.")) as served:
        _, events = await ask(served.upstream, turn())
        assert text_of(events) == "Hello."
        assert (await served.upstream.health()).ready
    async with serving(kind, busy) as served:
        with pytest.raises(UpstreamUnavailable):
            await ask(served.upstream, turn())
        assert len(served.server.asked) == 2
        assert not (await served.upstream.health()).ready


@EVERY_KIND
async def test_an_answer_without_anything_is_asked_for_again_and_is_none(kind: ServerKind) -> None:
    async with serving(kind, EMPTY, answer(kind, "Hello.")) as served:
        _, events = await ask(served.upstream, turn())
    assert text_of(events) == "Hello."
    async with serving(kind, EMPTY) as served:
        with pytest.raises(UpstreamEmpty):
            await ask(served.upstream, turn())
    assert len(served.server.asked) == 2


@EVERY_KIND
@pytest.mark.parametrize("broken", [True, False], ids=["broken", "ended"])
async def test_an_answer_that_is_cut_is_given_out_and_fails_and_is_not_asked_for_again(
    kind: ServerKind, broken: bool
) -> None:
    script = SCRIPTS[kind.protocol]
    cut = Reply([script.begin(kind, "Hello"), 0.01, "abort" if broken else "end"])
    seen: list[Event] = []
    async with serving(kind, cut) as served:
        with pytest.raises(UpstreamIncomplete):
            await ask(served.upstream, turn(), seen)
    assert text_of(seen) == "Hello"
    assert not any(isinstance(event, Finished) for event in seen)
    assert len(served.server.asked) == 1


@EVERY_KIND
@pytest.mark.parametrize("cancelled", [True, False], ids=["cancelled", "left"])
async def test_a_client_that_leaves_ends_the_request_at_once_and_frees_the_slot(
    kind: ServerKind, cancelled: bool
) -> None:
    endless = Reply([SCRIPTS[kind.protocol].begin(kind, "Hello"), 30.0])
    async with serving(kind, endless, answer(kind, "Next."), max_concurrency=1, max_queue=0) as served:
        if cancelled:
            seen: list[Event] = []
            asking = asyncio.create_task(ask(served.upstream, turn(), seen))
            while not text_of(seen):
                await asyncio.sleep(0.01)
            asking.cancel()
            await asyncio.wait([asking])
        else:
            async with opened(served.upstream, turn()) as batches:
                await anext(batches)
        async with asyncio.timeout(1):
            await served.server.asked[0].ended.wait()
        _, events = await ask(served.upstream, turn())
    assert text_of(events) == "Next."


@EVERY_KIND
async def test_it_says_which_models_it_serves(kind: ServerKind) -> None:
    async with serving(kind) as served:
        assert {model.id for model in await served.upstream.models()} == {model.id for model in MODELS}


@EVERY_KIND
async def test_it_is_ready_when_it_is_there(kind: ServerKind) -> None:
    async with serving(kind, answer(kind, "Hello.")) as served:
        assert not (await served.upstream.health()).ready
        assert not served.upstream.reached
        await served.upstream.look(2.0)
        assert (await served.upstream.health()).ready
        assert served.upstream.reached
        # A look costs no turn.
        assert served.server.asked == []
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        async with upstream_at(kind, f"http://127.0.0.1:{free.getsockname()[1]}/v1") as upstream:
            await upstream.look(2.0)
            assert not (await upstream.health()).ready
            assert not upstream.reached
            with pytest.raises(UpstreamUnavailable) as failed:
                await ask(upstream, turn())
            assert failed.value.unreached


@EVERY_KIND
async def test_it_closes_with_nothing_left(kind: ServerKind) -> None:
    before = asyncio.all_tasks()
    async with serving(kind, answer(kind, "Hello.")) as served:
        await ask(served.upstream, turn())
        await served.upstream.look(2.0)
        await served.upstream.close()
        await served.upstream.close()
        left = {task.get_name() for task in asyncio.all_tasks() - before if "_serve" not in repr(task)}
    assert left == set()


@EVERY_KIND
async def test_every_line_of_a_turn_names_its_request(
    kind: ServerKind, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "gptoss_api.upstreams")
    refusals = [json_reply(503, {"error": "loading"}), json_reply(400, {"error": "bad"})]
    async with serving(kind, *refusals) as served:
        with pytest.raises(GatewayError):
            await ask(served.upstream, turn(request_id="req_1"))
    lines: list[Any] = [line for line in caplog.records if line.name.startswith("gptoss_api.upstreams")]
    assert len(lines) >= 3
    assert [line.fields["id"] for line in lines] == ["req_1"] * len(lines)
