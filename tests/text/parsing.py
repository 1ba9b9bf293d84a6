"""Runs the tool-call parser over a text in every kind of pieces and sums its events up."""

import json
import random
from typing import Any

from msgspec import Struct, field, structs

from gptoss_api.text.coercion import coerce
from gptoss_api.text.schema import compile_schema
from gptoss_api.text.tool_calls import (
    CallArgs,
    CallEnd,
    CallStart,
    Cancel,
    Content,
    DeclaredTool,
    ParserConfig,
    ParserEvent,
    Problem,
    Reasoning,
    ToolCallParser,
)

WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer"},
        "code": {"type": "string"},
    },
    "additionalProperties": False,
}
SCHEMAS: dict[str, dict[str, Any]] = {
    "get_weather": WEATHER | {"required": ["city"]},
    "run": {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]},
    "now": {"type": "object", "properties": {}, "additionalProperties": False},
    "define": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "arguments": {"type": "object"}},
        "required": ["name"],
    },
    "strict_one": WEATHER | {"required": ["city"]},
    "patch": {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]},
}


def mend(name: str, value: Any) -> Any:
    schema = compile_schema(SCHEMAS[name])
    try:
        return coerce(schema, value)
    except ValueError:
        raise ValueError("; ".join(schema.complaints(value))) from None


CONFIG = ParserConfig(
    key="k7q2",
    tools={
        name: DeclaredTool(
            schema,
            strict=name in ("strict_one", "patch"),
            kind="custom" if name == "patch" else "function",
        )
        for name, schema in SCHEMAS.items()
    },
    mend=mend,
)


class Call(Struct):
    name: str
    arguments: str = ""
    complete: bool | None = None

    @property
    def value(self) -> Any:
        return json.loads(self.arguments)


class Seen(Struct):
    content: str = ""
    reasoning: str = ""
    calls: list[Call] = field(default_factory=list)
    cancelled: str = ""
    problems: list[tuple[str, int | None]] = field(default_factory=list)

    @property
    def pairs(self) -> list[tuple[str, Any]]:
        assert all(call.complete for call in self.calls)
        return [(call.name, call.value) for call in self.calls]

    @property
    def codes(self) -> list[str]:
        return [code for code, _ in self.problems]


def summed(events: list[ParserEvent]) -> Seen:
    seen = Seen()
    for event in events:
        match event:
            case Content(text):
                assert text
                assert not seen.calls
                seen.content += text
            case Reasoning(text):
                seen.reasoning += text
            case CallStart(index, name):
                assert index == len(seen.calls)
                assert not seen.cancelled
                seen.calls.append(Call(name))
            case CallArgs(index, text):
                assert seen.calls[index].complete is None
                seen.calls[index].arguments += text
            case CallEnd(index, complete):
                seen.calls[index].complete = complete
            case Cancel(reason):
                assert not seen.cancelled
                seen.cancelled = reason
            case Problem(code, _, index):
                seen.problems.append((code, index))
    assert all(call.complete is not None for call in seen.calls)
    return seen


def parse(pieces: list[str], config: ParserConfig = CONFIG, *, truncated: bool = False) -> Seen:
    parser = ToolCallParser(config)
    events: list[ParserEvent] = []
    for piece in pieces:
        events += parser.feed(piece)
    return summed([*events, *parser.finish(truncated)])


def pieces_of(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


def cut(text: str, seed: int) -> list[str]:
    chance = random.Random(seed)
    pieces, at = [], 0
    while at < len(text):
        size = chance.choice((1, 1, 2, 3, 5, 8, 40, 200))
        pieces.append(text[at : at + size])
        at += size
    return pieces


def seen(text: str, *, truncated: bool = False, **changes: Any) -> Seen:
    """What the parser makes of ``text``: the same whole, by the character, at random, live or not."""
    config = structs.replace(CONFIG, **changes)
    whole = parse([text], config, truncated=truncated)
    ways = [pieces_of(text, 1), pieces_of(text, 4), *(cut(text, seed) for seed in range(4))]
    for pieces in ways:
        assert parse(pieces, config, truncated=truncated) == whole
    return whole


def block(body: str, name: str = "get_weather", key: str = "k7q2") -> str:
    return f'<tool_call key="{key}" name="{name}">\n{body}\n</tool_call>'


PARIS = '{"city": "Paris"}'
CALL = block(PARIS)
PAIR = ("get_weather", {"city": "Paris"})
