"""One conversation in every client API: the same words, thoughts, calls and counts, natively and emulated."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from tests.backends.server import Backend
from tests.backends.shapes import Answer as Scripted
from tests.conftest import RunningGateway, Site, StartGateway
from tests.gateway.test_serving import address
from tests.server.talking import ask
from tests.simulator.agent import Agent, Call

SYSTEM, QUESTION, THOUGHT, CITY = (
    "Be brief.",
    "Weather in Rome and Oslo?",
    "Rome comes first.",
    {"city": "Rome"},
)
RESULT, TEXT, NEXT = "Rain", "Now Oslo.", {"city": "Oslo"}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL = {"name": "weather", "description": "Tells the weather."}
MODEL = "gpt-oss-20b"


class Said(NamedTuple):
    """What an answer says, whatever it is called."""

    text: str
    reasoning: str
    calls: list[tuple[str, Any]]
    prompt_tokens: int
    completion_tokens: int


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def events(body: bytes) -> list[Any]:
    """The data of server-sent events."""
    data = (line[6:] for line in body.decode().splitlines() if line.startswith("data: "))
    return [json.loads(text) for text in data if text != "[DONE]"]


def chat_body() -> dict[str, Any]:
    function = {"name": "weather", "arguments": compact(CITY)}
    return {
        "model": MODEL,
        "tools": [{"type": "function", "function": TOOL | {"parameters": SCHEMA}}],
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": QUESTION},
            {
                "role": "assistant",
                "content": "",
                "reasoning": THOUGHT,
                "tool_calls": [{"id": "call_1", "type": "function", "function": function}],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": RESULT},
        ],
    }


def chat_said(body: bytes, stream: bool) -> Said:
    if not stream:
        whole = json.loads(body)
        message = whole["choices"][0]["message"]
        calls = [call["function"] for call in message.get("tool_calls") or []]
        return Said(
            message["content"] or "",
            message.get("reasoning") or "",
            [(call["name"], json.loads(call["arguments"])) for call in calls],
            whole["usage"]["prompt_tokens"],
            whole["usage"]["completion_tokens"],
        )
    text = reasoning = ""
    names: list[str] = []
    arguments: list[str] = []
    usage: Any = None
    for event in events(body):
        usage = event.get("usage") or usage
        for choice in event["choices"]:
            text += choice["delta"].get("content") or ""
            reasoning += choice["delta"].get("reasoning") or ""
            for call in choice["delta"].get("tool_calls") or []:
                if call["function"].get("name"):
                    names.append(call["function"]["name"])
                    arguments.append("")
                arguments[-1] += call["function"].get("arguments") or ""
    calls = list(zip(names, map(json.loads, arguments), strict=True))
    return Said(text, reasoning, calls, usage["prompt_tokens"], usage["completion_tokens"])


def responses_body() -> dict[str, Any]:
    call = {"type": "function_call", "call_id": "call_1", "name": "weather", "arguments": compact(CITY)}
    return {
        "model": MODEL,
        "store": False,
        "tools": [TOOL | {"type": "function", "parameters": SCHEMA, "strict": False}],
        "input": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": QUESTION},
            {
                "type": "reasoning",
                "id": "rs_1",
                "summary": [],
                "content": [{"type": "reasoning_text", "text": THOUGHT}],
            },
            call,
            {"type": "function_call_output", "call_id": "call_1", "output": RESULT},
        ],
    }


def responses_said(body: bytes, stream: bool) -> Said:
    whole = events(body)[-1]["response"] if stream else json.loads(body)
    kinds: dict[str, list[Any]] = {"message": [], "reasoning": [], "function_call": []}
    for item in whole["output"]:
        kinds[item["type"]].append(item)
    return Said(
        "".join(part["text"] for item in kinds["message"] for part in item["content"]),
        "".join(part["text"] for item in kinds["reasoning"] for part in item["content"]),
        [(item["name"], json.loads(item["arguments"])) for item in kinds["function_call"]],
        whole["usage"]["input_tokens"],
        whole["usage"]["output_tokens"],
    )


def messages_body() -> dict[str, Any]:
    return {
        "model": MODEL,
        "max_tokens": 10_000,
        "thinking": {"type": "adaptive"},
        "system": SYSTEM,
        "tools": [TOOL | {"input_schema": SCHEMA}],
        "messages": [
            {"role": "user", "content": QUESTION},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": THOUGHT, "signature": ""},
                    {"type": "tool_use", "id": "call_1", "name": "weather", "input": CITY},
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": RESULT}],
            },
        ],
    }


def messages_said(body: bytes, stream: bool) -> Said:
    if stream:
        blocks: list[Any] = []
        usage: Any = None
        for event in events(body):
            match event["type"]:
                case "content_block_start":
                    blocks.append(event["content_block"] | {"written": ""})
                case "content_block_delta":
                    delta = event["delta"]
                    new = delta.get("text") or delta.get("thinking") or delta.get("partial_json") or ""
                    blocks[-1]["written"] += new
                case "message_delta":
                    usage = event["usage"]
    else:
        whole = json.loads(body)
        usage = whole["usage"]
        blocks = [
            block | {"written": block.get("text") or block.get("thinking") or json.dumps(block.get("input"))}
            for block in whole["content"]
        ]
    return Said(
        "".join(block["written"] for block in blocks if block["type"] == "text"),
        "".join(block["written"] for block in blocks if block["type"] == "thinking"),
        [(block["name"], json.loads(block["written"])) for block in blocks if block["type"] == "tool_use"],
        usage["input_tokens"] + usage["cache_read_input_tokens"],
        usage["output_tokens"],
    )


def ollama_body() -> dict[str, Any]:
    call = {"function": {"name": "weather", "arguments": CITY}}
    return {
        "model": MODEL,
        "tools": [{"type": "function", "function": TOOL | {"parameters": SCHEMA}}],
        "messages": [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": QUESTION},
            {"role": "assistant", "content": "", "thinking": THOUGHT, "tool_calls": [call]},
            {"role": "tool", "content": RESULT},
        ],
    }


def ollama_said(body: bytes, stream: bool) -> Said:
    lines = [json.loads(line) for line in body.splitlines()]
    said = [line["message"] for line in lines]
    calls = [call["function"] for message in said for call in message.get("tool_calls") or []]
    return Said(
        "".join(message["content"] for message in said),
        "".join(message.get("thinking") or "" for message in said),
        [(call["name"], call["arguments"]) for call in calls],
        lines[-1]["prompt_eval_count"],
        lines[-1]["eval_count"],
    )


Reader = Callable[[bytes, bool], Said]
DIALECTS: dict[str, tuple[dict[str, Any], Reader]] = {
    "/v1/chat/completions": (chat_body() | {"stream_options": {"include_usage": True}}, chat_said),
    "/v1/responses": (responses_body(), responses_said),
    "/v1/messages": (messages_body(), messages_said),
    "/api/chat": (ollama_body(), ollama_said),
}


def answers(gateway: RunningGateway) -> dict[tuple[str, bool], Said]:
    """What each API says, whole and streamed."""
    said = {}
    for path, (body, read) in DIALECTS.items():
        for stream in (False, True):
            asked = body | {"stream": stream}
            if not stream:
                asked.pop("stream_options", None)
            reply = ask(gateway, "POST", path, asked, {"x-gptoss-thread": "new"})
            assert reply.status == 200, reply.body
            said[path, stream] = read(reply.body, stream)
    return said


def assert_all_the_same(said: dict[tuple[str, bool], Said]) -> Said:
    first, *rest = said.values()
    for each in rest:
        assert each == first, said
    return first


async def test_natively_all_apis_say_the_same(gateway: StartGateway) -> None:
    script = Scripted(reasoning="Oslo is left.", content="Now Oslo.", calls=(("weather", json.dumps(NEXT)),))
    backend = Backend("vllm", answer=script)
    async with backend.running():
        tables = json.dumps([{"name": "box", "kind": "vllm", "url": address(backend)}])
        running = await asyncio.to_thread(gateway, GPTOSS_UPSTREAM="auto", GPTOSS_UPSTREAMS=tables)
        said = assert_all_the_same(await asyncio.to_thread(answers, running))
    assert said[:3] == (TEXT, "Oslo is left.", [("weather", NEXT)])
    asked = [request.body for request in backend.asked]
    # Ollama's clients know no ids of calls.
    told = [compact([body["messages"], body["tools"]]).replace("call_2_0", "call_1") for body in asked]
    assert told == told[:1] * 8, "the server is told the same"


def test_emulated_all_apis_say_the_same(site: Site) -> None:
    site.simulator.always(Agent([[Call("weather", CITY)], [Call("weather", NEXT)]], str, preface=TEXT))
    said = assert_all_the_same(answers(site.gateway))
    assert said.text.strip() == TEXT
    assert said.calls == [("weather", NEXT)]
    assert said.reasoning
