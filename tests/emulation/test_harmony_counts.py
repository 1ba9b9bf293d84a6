"""The gateway's own count of a native conversation against OpenAI's reference renderer of Harmony.

The reference downloads its vocabulary; here it gets a file of the ranks that this package ships.
"""

import asyncio
import json
import os
import random
from base64 import b64encode
from collections.abc import Iterator
from typing import Any, Final

import pytest
from openai_harmony import (
    Author,
    Conversation,
    DeveloperContent,
    HarmonyEncoding,
    HarmonyEncodingName,
    Message,
    Role,
    SystemContent,
    ToolDescription,
    load_harmony_encoding,
)

from gptoss_api.core.turn import Turn
from gptoss_api.dialects.chat import ChatDialect
from gptoss_api.emulation import EmulatedUpstream, EmulationSettings
from gptoss_api.emulation.prompt.harmony import ANSWER_TOKENS
from gptoss_api.text.ranks import Ranks, build_table
from gptoss_api.upstreams.base import Capabilities

from .scripted import TOKENS, ScriptedUpstream, answered

NATIVE: Final = Capabilities(history=True, tools=True, json_schema=True, stop=True, max_tokens=True)
TEXT: Final = """\
the weather in Oslo is fine today and tomorrow there may be rain; please look at every file, count its lines,
(and) write them down. Résumé 日本語 naïve 42 3.14 foo_bar getUserName"""
WORDS: Final = TEXT.split()

Json = dict[str, Any]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HarmonyEncoding]:
    folder = tmp_path_factory.mktemp("vocabulary")
    lines = (b"%s %d\n" % (b64encode(token), rank) for rank, token in enumerate(Ranks(build_table())))
    (folder / "o200k_base.tiktoken").write_bytes(b"".join(lines))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIKTOKEN_ENCODINGS_BASE", os.fspath(folder))
        yield load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)


# A hundred conversations


def rendered(encoding: HarmonyEncoding, request: Json) -> int:
    """The tokens of a chat request, said to the reference in its own words."""
    developer = DeveloperContent.new()
    messages: list[Json] = request["messages"]
    if request["messages"][0]["role"] == "developer":
        developer = developer.with_instructions(messages[0]["content"])
        messages = messages[1:]
    if tools := request.get("tools"):
        developer = developer.with_function_tools([ToolDescription.new(**tool["function"]) for tool in tools])
    said = [
        Message.from_role_and_content(
            Role.SYSTEM, SystemContent.new().with_conversation_start_date("2026-11-28")
        )
    ]
    if developer.instructions or developer.tools:
        said.append(Message.from_role_and_content(Role.DEVELOPER, developer))
    finals = [
        i for i, each in enumerate(messages) if each["role"] == "assistant" and "tool_calls" not in each
    ]
    names: dict[str, str] = {}
    for index, message in enumerate(messages):
        match message["role"]:
            case "user":
                said.append(Message.from_role_and_content(Role.USER, message["content"]))
            case "tool":
                author = Author.new(Role.TOOL, f"functions.{names[message['tool_call_id']]}")
                result = Message.from_author_and_content(author, message["content"])
                said.append(result.with_channel("commentary").with_recipient("assistant"))
            case "assistant":
                parts = [("analysis", message.get("reasoning_content"), None)]
                if finals and index <= finals[-1]:
                    parts = []
                calls = message.get("tool_calls", [])
                parts.append(("commentary" if calls else "final", message["content"], None))
                for call in calls:
                    names[call["id"]] = call["function"]["name"]
                    parts.append(("commentary", call["function"]["arguments"], call["function"]["name"]))
                for channel, text, name in parts:
                    if not text:
                        continue
                    part = Message.from_role_and_content(Role.ASSISTANT, text).with_channel(channel)
                    if name:
                        part = part.with_recipient(f"functions.{name}").with_content_type("<|constrain|>json")
                    said.append(part)
    return len(encoding.render_conversation_for_completion(Conversation.from_messages(said), Role.ASSISTANT))


def written(number: int) -> Json:
    """A chat request with tools, the same for the same ``number``."""
    draw = random.Random(number)

    def text(least: int, most: int) -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(least, most)))

    def schema(level: int) -> Json:
        kind = draw.choice(
            ("string", "integer", "number", "boolean", "enum", "array", "union", "object", "oneOf")
        )
        described = {"description": text(2, 12)} if draw.random() < 0.7 else {}
        match kind:
            case "enum":
                values = draw.sample(WORDS, k=3)
                return {"type": "string", "enum": values, "default": values[0], **described}
            case "array":
                return {"type": "array", "items": schema(level + 1), **described}
            case "union":
                return {"type": ["string", "null"], **described}
            case "object" if level < 3:
                return object_schema(level + 1) | described
            case "oneOf" if level < 3:
                return {"oneOf": [schema(3), {"type": "string", "description": text(1, 4)}], **described}
            case "integer":
                return {"type": "integer", "default": draw.randint(0, 99), "nullable": True, **described}
            case "object" | "oneOf":
                return {"anyOf": [{"type": "string"}, {"type": "null"}], "title": text(1, 3), **described}
            case plain:
                return {"type": plain, "examples": [text(1, 3), "x"], **described}

    def object_schema(level: int) -> Json:
        names = [
            f"{draw.choice(('path', 'city', 'max_results', 'q'))}_{i}" for i in range(draw.randint(0, 5))
        ]
        properties = {name: schema(level) for name in names}
        return {
            "type": "object",
            "properties": properties,
            "required": names[::2],
            "additionalProperties": False,
        }

    tools: list[Json] = [
        {
            "type": "function",
            "function": {
                "name": f"tool_{i}_name",
                "description": text(3, 40),
                "parameters": object_schema(0),
            },
        }
        for i in range(draw.choice((1, 3, 10, 30)))
    ]
    messages: list[Json] = []
    if draw.random() < 0.7:
        messages.append({"role": "developer", "content": text(5, 200)})
    for turn in range(draw.randint(1, 4)):
        messages.append({"role": "user", "content": text(1, 60)})
        for step in range(draw.randint(0, 3)):
            calls = [
                {
                    "id": f"call_{turn}_{step}_{i}",
                    "type": "function",
                    "function": {
                        "name": draw.choice(tools)["function"]["name"],
                        "arguments": json.dumps({"path": text(1, 6), "n": draw.randint(0, 9999)}),
                    },
                }
                for i in range(draw.randint(1, 3))
            ]
            thought = {"reasoning_content": text(3, 80)} if draw.random() < 0.8 else {}
            said = text(2, 9) if draw.random() < 0.3 else None
            messages.append({"role": "assistant", "content": said, "tool_calls": calls, **thought})
            messages += (
                {"role": "tool", "tool_call_id": call["id"], "content": text(1, 120)} for call in calls
            )
        if messages[-1]["role"] == "user" or draw.random() < 0.5:
            messages.append({"role": "assistant", "content": text(1, 90), "reasoning_content": text(1, 30)})
    if messages[-1]["role"] == "assistant":
        messages.append({"role": "user", "content": text(1, 20)})
    return {"model": "gpt-oss-120b", "messages": messages, "tools": tools}


def turn_of(request: Json) -> Turn:
    return ChatDialect().parse(json.dumps(request).encode(), {}).turn


def counted(request: Json, capabilities: Capabilities = NATIVE) -> int:
    upstream = EmulatedUpstream(
        ScriptedUpstream([], lambda text: [text], capabilities=capabilities), TOKENS, EmulationSettings()
    )
    return asyncio.run(upstream.count(turn_of(request)))


def test_a_hundred_conversations_with_tools_count_as_harmony_renders_them(reference: HarmonyEncoding) -> None:
    for number in range(100):
        request = written(number)
        expected = rendered(reference, request)
        assert counted(request) == pytest.approx(expected, rel=0.005), f"conversation {number}"


def test_what_is_counted_for_nobody_is_what_is_charged(reference: HarmonyEncoding) -> None:
    for number in (0, 1):
        request = written(number) | {"n": 2}
        usage = answered(turn_of(request), "One.", "Two.", capabilities=NATIVE).usage
        assert usage.prompt_tokens == counted(request)
        assert usage.estimated


def test_a_conversation_without_tools_counts_exactly(reference: HarmonyEncoding) -> None:
    for messages in (
        [{"role": "user", "content": "Hello!"}],
        [
            {"role": "developer", "content": "Be brief"},
            {"role": "user", "content": "Hello!"},
            {"role": "assistant", "content": "Good day."},
            {"role": "user", "content": "And now?"},
        ],
    ):
        request = {"model": "gpt-oss-120b", "messages": messages}
        assert counted(request) == pytest.approx(rendered(reference, request), abs=1)


BACK: Final = {
    "model": "gpt-oss-120b",
    "messages": [
        {"role": "user", "content": "Hello!"},
        {
            "role": "assistant",
            "reasoning_content": "I should look.",
            "tool_calls": [{"id": "a", "type": "function", "function": {"name": "look", "arguments": "{}"}}],
        },
        {"role": "tool", "tool_call_id": "a", "content": "Nothing."},
    ],
}


def test_thoughts_count_only_where_the_server_gets_them() -> None:
    deaf = Capabilities(history=True, tools=True, thoughts=False)
    assert counted(BACK) - counted(BACK, deaf) == TOKENS.count("I should look.") + ANSWER_TOKENS


def test_a_form_counts_where_the_server_is_told_of_it() -> None:
    schema = {"type": "object", "properties": {"reason": {"type": "string"}}}
    form = {"type": "json_schema", "json_schema": {"name": "judgement", "schema": schema}}
    more = counted(BACK | {"response_format": form}) - counted(BACK)
    assert more >= TOKENS.count(json.dumps(schema, separators=(",", ":"))) + TOKENS.count("judgement")


def test_tools_that_may_not_be_called_do_not_count() -> None:
    tool = {"type": "function", "function": {"name": "look", "description": "Looks around. " * 50}}
    assert counted(BACK | {"tools": [tool]}) > counted(BACK) + 150
    assert counted(BACK | {"tools": [tool], "tool_choice": "none"}) == counted(BACK)


def test_a_schema_without_end_is_counted_as_one_that_is_too_long() -> None:
    deep: Json = {"type": "string", "description": "the innermost"}
    for _ in range(60):
        deep = {"type": "object", "properties": {"next": deep}}
    tool = {"type": "function", "function": {"name": "look", "parameters": deep}}
    assert 300 < counted(BACK | {"tools": [tool]}) < 2_000
    wide = {"type": "object", "properties": {f"property{i}": {"type": "array"} for i in range(60_000)}}
    tool = {"type": "function", "function": {"name": "look", "parameters": wide}}
    assert counted(BACK | {"tools": [tool]}) > 131_072
