"""How an upstream is asked: politely, not for ever, and with everything heard that it says."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gptoss_api.config import Settings, UpstreamSettings
from gptoss_api.gateway.verifying import Order, Unmeasurable, open_bench
from gptoss_api.upstreams.http.recording import TAPE, TapingClient
from gptoss_api.verification.card import Card, CheckResult, Sample
from gptoss_api.verification.cases import plan
from gptoss_api.verification.judges import CHECKS
from tests.backends.server import Backend, json_reply
from tests.simulator import Answer, Exchange, Simulator
from tests.upstreams.chatkit.scripted import Asked, Reply, stream
from tests.upstreams.responses.reference import (
    added,
    call,
    completed,
    done,
    message_begun,
    message_done,
    thinking,
)

from .servers import knowing_backend

ONE = Order(n=1, quick=True)
ALL = len(plan(1, quick=True))


class Watched:
    def __init__(self, after: int = 0, stop: Callable[[], None] = lambda: None) -> None:
        self.samples: list[Sample] = []
        self.pauses: list[float] = []
        self._after = after
        self._stop = stop

    def measured(self, sample: Sample) -> None:
        self.samples.append(sample)
        if len(self.samples) == self._after:
            self._stop()

    def waits(self, seconds: float) -> None:
        self.pauses.append(seconds)


def settings(folder: Path, *upstreams: UpstreamSettings, **more: Any) -> Settings:
    return Settings(
        upstreams=upstreams, state="memory://", credentials_file=folder / "credentials.json", **more
    )


async def measured(
    backend: Backend,
    folder: Path,
    order: Order = ONE,
    *,
    kind: str = "vllm",
    watcher: Watched | None = None,
    stop: asyncio.Event | None = None,
) -> Card:
    async with backend.running():
        entry = UpstreamSettings("box", kind, backend.address)
        async with open_bench(settings(folder, entry), {}) as bench:
            (candidate,) = bench.candidates
            return await candidate.measure(order, watcher or Watched(), stop or asyncio.Event())


def lines(card: Card) -> dict[str, CheckResult]:
    return {check.name: check for check in card.checks}


def raw(card: Card) -> dict[str, float]:
    return {check.name: check.raw.pass_at_1 for check in card.checks if check.raw is not None}


async def test_a_server_that_says_too_much_is_waited_for_as_long_as_it_asks(tmp_path: Path) -> None:
    backend, watcher = knowing_backend(), Watched()
    backend.replies = [json_reply(429, {"error": {"message": "slow down"}}, ("retry-after", "1"))]
    card = await measured(backend, tmp_path, Order(1, True, concurrency=1), watcher=watcher)
    assert watcher.pauses == [1.0]
    assert set(raw(card).values()) == {1.0}
    assert (card.turns.asked, card.turns.failed, card.turns.unmeasured) == (ALL, 0, 0)


async def test_a_server_that_asks_for_long_patience_is_not_measured_any_further(tmp_path: Path) -> None:
    backend = knowing_backend()
    limited = json_reply(429, {"error": {"message": "come back later"}}, ("retry-after", "3000"))
    good = backend.reply
    assert good is not None
    backend.reply = lambda asked: good(asked) if len(backend.asked) < 3 else limited
    card = await measured(backend, tmp_path, Order(1, True, concurrency=1))
    assert (card.complete, card.turns.asked, card.turns.unmeasured) == (False, 3, 1)
    assert "It asks to wait for 3000 s." in card.notes[0]
    # What could be measured counts, and what could not is nobody's fault.
    assert set(raw(card).values()) == {1.0}
    assert len(backend.asked) == 3


@pytest.mark.parametrize(("status", "code"), [(401, "upstream_login_required"), (402, "insufficient_quota")])
async def test_who_is_not_let_in_asks_no_further(status: int, code: str, tmp_path: Path) -> None:
    backend = Backend("vllm")
    backend.reply = lambda asked: json_reply(status, {"error": {"message": "no"}})
    card = await measured(backend, tmp_path, Order(1, True, concurrency=1))
    assert (card.complete, card.score, card.turns.asked, len(backend.asked)) == (False, None, 1, 1)
    assert card.errors == {code: 1}


async def test_a_server_that_is_not_there_cannot_be_measured(tmp_path: Path) -> None:
    entry = UpstreamSettings("gone", "vllm", "http://127.0.0.1:9/v1")
    async with open_bench(settings(tmp_path, entry), {}) as bench:
        with pytest.raises(Unmeasurable, match="Nothing answers at 127"):
            await bench.candidates[0].measure(ONE, Watched(), asyncio.Event())


async def test_turns_that_fail_count_against_the_server(tmp_path: Path) -> None:
    backend = Backend("vllm")
    backend.reply = lambda asked: json_reply(500, {"error": {"message": "broken"}})
    card = await measured(backend, tmp_path)
    assert (card.complete, card.score, card.turns.failed) == (True, 0.0, ALL)
    assert card.errors == {"upstream_error": ALL}
    assert raw(card)["right_tool"] == 0.0
    # Nobody asked once more what would have hidden it.
    assert len(backend.asked) == ALL


async def test_what_was_measured_is_kept_when_it_is_broken_off(tmp_path: Path) -> None:
    stop = asyncio.Event()
    watcher = Watched(after=4, stop=stop.set)
    card = await measured(
        knowing_backend(), tmp_path, Order(6, True, concurrency=1), watcher=watcher, stop=stop
    )
    assert (card.complete, card.notes) == (False, ("interrupted",))
    assert 4 <= card.turns.asked < card.turns.planned
    assert card.score is not None


async def test_no_more_turns_run_at_a_time_than_are_allowed(tmp_path: Path) -> None:
    backend = knowing_backend()
    good = backend.reply
    assert good is not None
    running: list[Asked] = []
    most = 0

    def slow(asked: Asked) -> Reply:
        nonlocal most
        running[:] = [each for each in running if not each.ended.is_set()] + [asked]
        most = max(most, len(running))
        answer = good(asked)
        return Reply([0.01, *answer.steps])

    backend.reply = slow
    await measured(backend, tmp_path, Order(6, True, concurrency=3))
    assert most == 3


async def test_what_the_gateway_asks_for_again_is_seen_as_it_first_was(tmp_path: Path) -> None:
    """Structured output that does not fit is asked for once more, which a client does not notice."""
    backend = knowing_backend()
    good = backend.reply
    assert good is not None

    def unfit_at_first(asked: Asked) -> Reply:
        messages = asked.body["messages"]
        if "response_format" not in asked.body:
            return good(asked)
        if not any(message["role"] == "assistant" for message in messages):
            told = b'{"choices": [{"delta": {"content": "{}"}, "finish_reason": "stop"}]}'
            return Reply([b"data: " + told + b"\n\ndata: [DONE]\n\n"])
        asked.body = asked.body | {"messages": messages[:1]}
        return good(asked)

    backend.reply = unfit_at_first
    card = await measured(backend, tmp_path)
    line = lines(card)["structured_output"]
    assert line.raw is not None
    assert line.gateway is not None
    assert (line.raw.pass_at_1, line.raw.failures) == (0.0, {"does_not_fit": 1})
    assert line.gateway.pass_at_1 == 1.0
    assert card.turns.repairs == 1


async def test_thoughts_that_are_refused_are_said_to_be(tmp_path: Path) -> None:
    backend = knowing_backend()
    good = backend.reply
    assert good is not None

    def refusing(asked: Asked) -> Reply:
        if any("reasoning" in message for message in asked.body["messages"]):
            refusal = "messages[1]: property 'reasoning' is unsupported"
            return json_reply(400, {"error": {"message": refusal, "type": "invalid_request_error"}})
        return good(asked)

    backend.reply = refusing
    # The first turns with thoughts, before it is remembered that they are refused.
    card = await measured(backend, tmp_path, Order(1, True, concurrency=1))
    line = lines(card)["thoughts_back"].raw
    assert line is not None
    assert line.failures == {"refused": 1}


async def test_what_a_site_of_texts_cannot_do_is_called_emulated(tmp_path: Path) -> None:
    thoughts = {"low": ["Hm."], "high": ["Hm. Let me think about that for a while. " * 5]}

    def answer(request: Exchange) -> Answer:
        code = re.search(r" is (\d{6})\.", request.text)
        return Answer(code[1] if code else "Well.", reasoning=thoughts.get(request.effort or "", ["Hm."]))

    async with Simulator(auth="session") as site:
        site.always(answer)
        entry = UpstreamSettings("site", "gpt-oss.com", site.chatkit_url)
        async with open_bench(settings(tmp_path, entry, cookie=site.cookie), {}) as bench:
            card = await bench.candidates[0].measure(Order(2, True), Watched(), asyncio.Event())
    found = lines(card)
    emulated = {name for name, line in found.items() if line.form == "emulated"}
    assert emulated == {"tool_arguments", "right_tool", "structured_output", "thoughts_back"}
    assert all((line.raw is None) == (name in emulated) for name, line in found.items())
    # It tells no usage; what the gateway counts is no merit of its.
    assert set(CHECKS) - set(found) == {"usage"}
    assert raw(card)["reasoning"] == 1.0
    assert raw(card)["long_context"] == 1.0
    assert card.effort is not None
    assert card.effort.delta == 1.0


async def test_an_address_is_measured_as_the_kind_of_server_that_it_turns_out_to_be(tmp_path: Path) -> None:
    backend = knowing_backend()
    backend.owner = "vllm"
    card = await measured(backend, tmp_path, kind="generic")
    assert lines(card)["structured_output"].form == "native"
    plain = await measured(knowing_backend(), tmp_path, kind="generic")
    assert lines(plain)["structured_output"].form == "emulated"


async def test_the_model_is_the_first_that_the_server_has_unless_one_is_named(tmp_path: Path) -> None:
    backend = knowing_backend()
    backend.models = ["openai/gpt-oss-20b"]
    assert (await measured(backend, tmp_path)).model == "gpt-oss-20b"
    assert {asked.body["model"] for asked in backend.asked} == {"openai/gpt-oss-20b"}
    assert (
        await measured(knowing_backend(), tmp_path, Order(1, True, model="gpt-oss-20b"))
    ).model == "gpt-oss-20b"


async def test_only_a_task_with_a_tape_is_recorded() -> None:
    backend = knowing_backend()
    probe = plan(1)[0]
    body = json.dumps({"messages": [{"role": "user", "content": probe.asked().messages[0].text}]}).encode()

    async def ask(client: TapingClient) -> bytes:
        async with client.request("POST", f"{backend.address}/chat/completions", body=body) as response:
            return await response.read_all(1 << 20)

    async with backend.running():
        client = TapingClient(connect_timeout=5.0)
        await ask(client)
        tape: list[Any] = []
        TAPE.set(tape)
        said = await ask(client)
        async with client.request("GET", f"{backend.address}/models") as listed:
            assert listed.status == 200
        await client.close()
    (recorded,) = tape
    assert (recorded.status, recorded.body, recorded.response_body) == (200, body, said)
    assert recorded.whole


async def test_a_server_of_responses_is_read_in_its_own_protocol(tmp_path: Path) -> None:
    """Given by its address alone, it is first asked in a protocol that it has not."""
    backend = Backend("vllm")

    def answer(asked: Asked) -> Reply:
        if not asked.path.endswith("/responses"):
            return json_reply(404, {"error": {"message": "Not Found"}})
        said = [item for item in asked.body["input"] if item.get("role") == "user"]
        named = [tool["name"] for tool in asked.body.get("tools", ())]
        thoughts = "Hm. " * {"low": 1, "high": 9}.get(asked.body.get("reasoning", {}).get("effort"), 3)
        if "get_weather" not in named or "word" in str(said):
            return stream(*thinking(thoughts), *message_begun("Well."), *message_done("Well."), completed())
        broken = call("get_weather", "{'city': 'Oslo', 'unit': 'celsius'}")
        return stream(*thinking(thoughts), added(broken, 1), done(broken, 1), completed())

    backend.reply = answer
    card = await measured(backend, tmp_path, Order(1, True, concurrency=ALL), kind="generic")
    line = lines(card)["tool_arguments"]
    assert (line.raw and line.raw.failures, line.gateway and line.gateway.passed) == ({"not_json": 1}, 1)
    assert raw(card)["reasoning"] == raw(card)["effort"] == 1.0
    # What it was asked at first, and has not, is no refusal of thoughts.
    assert all("refused" not in (line.raw.failures if line.raw else {}) for line in card.checks)
