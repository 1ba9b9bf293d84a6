"""Texts whose verdict once depended on where a piece ended."""

import json
from typing import Any

import pytest
from msgspec import structs

from gptoss_api.text.tool_calls import Content, ToolCallParser

from .parsing import CALL, CONFIG, PAIR, PARIS, block, parse, seen

WRAPPED = f'{{"name": "get_weather", "arguments": {PARIS}}}'

# What was once decided by where a piece ended.
DECIDED_LATE: dict[str, tuple[str, dict[str, Any], list[tuple[str, Any]]]] = {
    "a message behind other space than JSON's": ('\x0c{"tool": x <|start|>as<|message|>', {}, []),
    "a message whose first key is no call's": (
        '{"foo": 1, "name": "get_weather", "arguments": {"city": "Oslo"}, "bar": "' + "x" * 600 + '"}',
        {},
        [],
    ),
    "a message longer than is held": (
        '{"name": "get_weather", "arguments": {"city": "' + "x" * 65_500 + "\n" + CALL,
        {},
        [PAIR],
    ),
    "an expression behind much space": (
        "get_weather" + " " * 120 + "(city='Paris')",
        {"mode": "required"},
        [],
    ),
    "an expression that begins like a thought": (
        'analysisThe (city="Paris")',
        {
            "mode": "required",
            "tools": {"analysisThe": CONFIG.tools["get_weather"]},
            "mend": lambda _, value: value,
        },
        [("analysisThe", {"city": "Paris"})],
    ),
    "a wrapper before much space": (f"<tool_calls>{' ' * 400}[{WRAPPED}]", {}, []),
    "a call before much space": (f'<tool_call key="k7q2" name="get_weather">{" " * 400}{PARIS}', {}, []),
    "a call in a fence before much space": (
        f'<tool_call key="k7q2" name="get_weather">```\n{" " * 400}{PARIS}',
        {},
        [],
    ),
    "a first key behind much space": (
        block("{" + " " * 450 + '"name": "get_weather", "arguments": ' + PARIS + "}"),
        {},
        [("get_weather", {"name": "get_weather", "arguments": {"city": "Paris"}})],
    ),
    "a tag that begins like an element": (
        f'<tool_call key="k7q2" name="get_weather"><parameters>{PARIS}',
        {},
        [],
    ),
    "what begins like an element beside elements": (
        '<tool_call key="k7q2" name="get_weather"><parameter=city>a</parameter><parameters></tool_call>',
        {},
        [],
    ),
    "a closer with space in it": (
        f'{CALL}</ tool_call ><tool_call name="get_weather">{PARIS}</tool_call>',
        {},
        [PAIR, PAIR],
    ),
    "a tag with a letter that folds to another": (
        f'<\u0131nvoke name="get_weather">{PARIS}</invoke>',
        {},
        [],
    ),
    "much space before a call": (" " * 400 + CALL, {}, [PAIR]),
    "space counted as text after a call": (
        CALL + " " + "." * 399 + "\n" + CALL,
        {},
        [PAIR, PAIR],
    ),
}


@pytest.mark.parametrize(("text", "changes", "calls"), DECIDED_LATE.values(), ids=DECIDED_LATE)
def test_no_verdict_is_given_before_every_way_on_agrees(
    text: str, changes: dict[str, Any], calls: list[tuple[str, Any]]
) -> None:
    whole = seen(text, **changes)
    assert [(call.name, json.loads(call.arguments)) for call in whole.calls if call.complete] == calls
    config = structs.replace(CONFIG, **changes)
    for at in range(1, len(text), 1 + len(text) // 1000):
        assert parse([text[:at], text[at:]], config) == whole


@pytest.mark.parametrize("body", [' {"name": "' + "x" * 700, " " * 300 + "<tool_call " + "x" * 700])
def test_a_fence_is_not_held_for_what_stands_too_far_in(body: str) -> None:
    parser = ToolCallParser(CONFIG)
    text = f"```json\n{body}"
    assert "".join(event.text for event in parser.feed(text) if isinstance(event, Content)) == text
