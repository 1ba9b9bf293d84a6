"""The dotted dialect, judged by the public SDK's own types."""

import json
from typing import Any

import httpx2 as httpx
import pytest
from chatkit.types import ThreadStreamEvent
from pydantic import TypeAdapter

from tests.simulator import SCENARIOS, Answer, Simulator

EVENT: TypeAdapter[Any] = TypeAdapter(ThreadStreamEvent)


def create(text: str = "hello", **extra: Any) -> dict[str, Any]:
    source = {
        "content": [{"type": "input_text", "text": text}],
        "attachments": [],
        "quoted_text": "",
        "inference_options": {},
    }
    return {"type": "threads.create", "params": {"input": {**source, **extra}}, "metadata": {}}


def data(body: str) -> list[str]:
    return [line[6:] for line in body.splitlines() if line.startswith("data: ")]


@pytest.mark.parametrize("answer", ["s01_happy_path", "s04_no_cot", "s08_login_card_button", "s19_two_items"])
async def test_every_event_is_one_of_the_public_sdks(answer: str) -> None:
    async with Simulator(dialect="new") as sim, httpx.AsyncClient() as client:
        sim.script(answer)
        lines = data((await client.post(sim.chatkit_url, json=create())).text)
    for line in lines:
        event = EVENT.validate_json(line)
        again = event.model_dump(mode="json", exclude_none=True, by_alias=True)
        assert set(again) == set(json.loads(line))


async def test_thoughts_grow_task_by_task() -> None:
    async with Simulator(dialect="new") as sim, httpx.AsyncClient() as client:
        sim.script(Answer("x", ["abcdef", "ghi"]))
        parsed = [json.loads(line) for line in data((await client.post(sim.chatkit_url, json=create())).text)]
    tasks = [event["update"] for event in parsed if "task" in event.get("update", {})]
    assert [(task["task_index"], task["task"]["content"]) for task in tasks] == [
        (0, "ab"),
        (0, "abcd"),
        (0, "abcdef"),
        (1, "g"),
        (1, "gh"),
        (1, "ghi"),
    ]


async def test_an_old_request_can_be_answered_in_the_new_dialect() -> None:
    body = {"op": "threads.create", "params": {"input": {"text": "hello"}}}
    async with Simulator() as sim, httpx.AsyncClient() as client:
        sim.script("s02_happy_path_dotted")
        text = (await client.post(sim.chatkit_url, json=body)).text
    assert '"type":"thread.item.done"' in text
    assert "thread.item_done" not in text
    assert SCENARIOS["s02_happy_path_dotted"].number == 2


async def test_inference_options_are_demanded() -> None:
    body = create()
    del body["params"]["input"]["inference_options"]
    async with Simulator(dialect="new") as sim, httpx.AsyncClient() as client:
        response = await client.post(sim.chatkit_url, json=body)
    assert response.status_code == 422


async def test_either_dialect_is_answered_in_kind_when_asked_to() -> None:
    old = {"op": "threads.create", "params": {"input": {"text": "hello"}}}
    async with Simulator(dialect="any") as sim, httpx.AsyncClient() as client:
        assert '"threadId"' in (await client.post(sim.chatkit_url, json=old)).text
        assert '"thread_id"' in (await client.post(sim.chatkit_url, json=create())).text
