"""The website's dialect, byte for byte (docs/design/gpt-oss-com.md, "Events of the website")."""

import json
import re
from datetime import datetime

import httpx2 as httpx

from tests.simulator import SCENARIOS, Answer, Simulator

MOMENT = datetime(2025, 8, 6, 12, 4, 59, 666081)

# Shapes and key order as recorded; T, U, C, A and R stand for ids.
EXPECTED = """\
data: {"type":"thread.created","thread":{"items":{"data":[],"hasMore":false},"id":"T","created_at":"NOW"}}

: keep-alive

data: {"type":"thread.item_done","threadId":"T","item":{"id":"U","created_at":"NOW","type":"user_message","content":[{"type":"input_text","text":"Ça “va”?\\n"}],"attachments":[],"quoted_text":"","text":"Ça “va”?\\n"}}

data: {"type":"thread.item_added","threadId":"T","item":{"type":"cot","id":"C","created_at":"NOW","entries":[]}}

data: {"type":"thread.item_updated","threadId":"T","itemId":"R","update":{"type":"assistant_message.content_part.added","contentIndex":0,"content":{"annotations":[],"text":"","type":"output_text"}}}

data: {"type":"thread.item_updated","threadId":"T","itemId":"C","update":{"type":"cot.entry_added","entryIndex":0,"entry":{"type":"thought","summary":"","content":"Hm."}}}

data: {"type":"thread.item_updated","threadId":"T","itemId":"C","update":{"type":"cot.entry_added","entryIndex":1,"entry":{"type":"recap","summary":"Thought for a couple of seconds","content":"Done"}}}

data: {"type":"thread.item_done","threadId":"T","item":{"type":"cot","id":"C","created_at":"NOW","entries":[{"type":"thought","summary":"","content":"Hm."},{"type":"recap","summary":"Thought for a couple of seconds","content":"Done"}]}}

data: {"type":"thread.item_added","threadId":"T","item":{"id":"A","created_at":"NOW","type":"assistant_message","content":[]}}

data: {"type":"thread.item_updated","threadId":"T","itemId":"A","update":{"type":"assistant_message.content_part.added","contentIndex":0,"content":{"annotations":[],"text":"","type":"output_text"}}}

data: {"type":"thread.item_updated","threadId":"T","itemId":"A","update":{"type":"assistant_message.content_part.text_delta","contentIndex":0,"delta":"Oui"}}

data: {"type":"thread.item_updated","threadId":"T","itemId":"A","update":{"type":"assistant_message.content_part.text_delta","contentIndex":0,"delta":" 🙂"}}

data: {"type":"thread.item_updated","threadId":"T","itemId":"A","update":{"type":"assistant_message.content_part.done","contentIndex":0,"content":{"annotations":[],"text":"Oui 🙂","type":"output_text"}}}

data: {"type":"thread.item_done","threadId":"T","item":{"id":"A","created_at":"NOW","type":"assistant_message","content":[{"annotations":[],"text":"Oui 🙂","type":"output_text"}]}}

data: {"type":"thread.updated","thread":{"items":{"data":[],"hasMore":false},"title":"Greeting","id":"T","created_at":"NOW"}}

"""  # noqa: E501  lines of the protocol


def create(text: str = "hello") -> dict[str, object]:
    content = [{"type": "input_text", "text": text}]
    source = {"text": text, "content": content, "quoted_text": "", "attachments": []}
    return {"op": "threads.create", "params": {"input": source}}


def follow(thread_id: str, text: str = "and then?") -> dict[str, object]:
    source = {"text": text, "content": [{"type": "input_text", "text": text}]}
    return {"op": "threads.addMessage", "params": {"input": source, "threadId": thread_id}}


def events(body: str) -> list[dict[str, object]]:
    return [json.loads(line[6:]) for line in body.splitlines() if line.startswith("data: ")]


def anonymous(body: str) -> str:
    """``body`` with its ids replaced by letters, after checking that they have the site's forms."""
    for pattern, letter in (
        (r'"thr_[0-9a-f]{8}"', '"T"'),
        (r'"rs_[0-9a-f]{48}"', '"R"'),
        (r'"msg_[0-9a-f]{48}"', '"A"'),
    ):
        assert len(set(re.findall(pattern, body))) == 1
        body = re.sub(pattern, letter, body)
    short = list(dict.fromkeys(re.findall(r'"msg_[0-9a-f]{8}"', body)))
    assert len(short) == 2
    return body.replace(short[0], '"U"').replace(short[1], '"C"')


async def test_a_first_turn_has_exactly_the_bytes_of_the_site() -> None:
    async with Simulator(clock=lambda: MOMENT) as sim, httpx.AsyncClient() as client:
        sim.script(Answer("Oui 🙂", ["Hm."], deltas=("Oui", " 🙂"), title="Greeting"))
        response = await client.post(sim.chatkit_url, json=create("Ça “va”?\n"))
    assert response.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert anonymous(response.text) == EXPECTED.replace("NOW", "2025-08-06T12:04:59.666081")


async def test_a_follow_up_starts_at_the_users_message_in_the_same_thread() -> None:
    async with Simulator() as sim, httpx.AsyncClient() as client:
        first = events((await client.post(sim.chatkit_url, json=create())).text)
        thread_id = first[0]["thread"]["id"]  # type: ignore[index]  # JSON
        response = await client.post(sim.chatkit_url, json=follow(thread_id))
        second = events(response.text)
    assert second[0]["type"] == "thread.item_done"
    assert second[0]["item"]["type"] == "user_message"  # type: ignore[index]  # JSON
    assert {event["threadId"] for event in second[:-1]} == {thread_id}
    assert ": keep-alive" not in response.text
    assert sim.last.history == [("hello", "You said: hello"), ("and then?", "You said: and then?")]


async def test_hidden_reasoning_leaves_the_recap_only() -> None:
    async with Simulator() as sim, httpx.AsyncClient() as client:
        response = await client.post(sim.chatkit_url, json=create(), headers={"x-show-reasoning": "false"})
    assert '"recap"' in response.text
    assert '"thought"' not in response.text


async def test_the_same_seed_gives_the_same_bytes() -> None:
    bodies = []
    for _ in range(2):
        async with Simulator(seed=7, clock=lambda: MOMENT) as sim, httpx.AsyncClient() as client:
            sim.script("s01_happy_path")
            bodies.append((await client.post(sim.chatkit_url, json=create())).content)
    assert bodies[0] == bodies[1]


async def test_deltas_add_up_to_the_text_and_are_as_long_as_the_sites() -> None:
    async with Simulator() as sim, httpx.AsyncClient() as client:
        sim.script("s01_happy_path")
        body = (await client.post(sim.chatkit_url, json=create())).text
    deltas = [event["update"]["delta"] for event in events(body) if "delta" in event.get("update", {})]  # type: ignore[operator,index]  # JSON
    answer = SCENARIOS["s01_happy_path"].answer
    assert isinstance(answer, Answer)
    assert "".join(deltas) == answer.text
    assert max(map(len, deltas)) <= 20
    assert 3 < len(answer.text) / len(deltas) < 6
