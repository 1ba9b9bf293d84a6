"""Keyed calls of custom tools whose body is the input as it is, not JSON."""

import json

import pytest

from gptoss_api.text.tool_calls import CallEnd, ToolCallParser

from .parsing import CALL, CONFIG, PAIR, block, seen

PATCH = (
    "*** Begin Patch\n*** Update File: a.xml\n@@\n-<a>\n+<tool_call>\n </tool_call>\n+    </tool_call>\n"
    "*** End Patch"
)
HEADER = '<tool_call key="k7q2" name="patch">'


def patches(*inputs: str) -> list[tuple[str, dict[str, str]]]:
    return [("patch", {"input": text}) for text in inputs]


def test_a_patch_is_taken_as_it_is() -> None:
    result = seen(f"I mend it.\n\n{block(PATCH, 'patch')}\n")
    assert result.content == "I mend it."
    assert result.pairs == patches(PATCH)
    assert not result.problems


@pytest.mark.parametrize(
    "ending",
    ["", "\n", "\n\n", "</tool_call>", "\n</tool_", "\n</", "\n<|call|>", "<|call|>", "\n</function>"],
)
def test_the_end_of_the_text_ends_the_input(ending: str) -> None:
    result = seen(f"{HEADER}\n{PATCH}{ending}")
    assert result.pairs == patches(PATCH)
    assert not result.problems


@pytest.mark.parametrize(
    "body",
    [f"```\n{PATCH}\n```", f"```diff\n{PATCH}\n```\n", json.dumps(PATCH), json.dumps({"input": PATCH})],
)
def test_a_fence_quotes_or_an_object_around_the_input_are_taken_off(body: str) -> None:
    assert seen(block(body, "patch")).pairs == patches(PATCH)


@pytest.mark.parametrize(
    "text",
    [
        "// a comment\nx = [1]",
        "[ -f x ] && ls",
        '"use strict";\nf()',
        '""',
        "null and void",
        "None",
        "/* a */",
        "<p>\n</p>",
        "`ls`",
        "```\na\n```\nb",
        "    if x:\n        y",
        "~",
        "get_weather\n{}",
    ],
)
def test_what_begins_almost_like_json_is_taken_as_it_is(text: str) -> None:
    assert seen(block(text, "patch")).pairs == patches("" if text == '""' else text)


@pytest.mark.parametrize("closed", ["\n</tool_call>\n", "</tool_call>\n", "\n"])
def test_a_further_call_is_no_part_of_the_input(closed: str) -> None:
    result = seen(f"{HEADER}\n{PATCH}{closed}{CALL}\n{block('ls', 'patch')}")
    assert result.pairs == [*patches(PATCH), PAIR, *patches("ls")]


def test_only_a_custom_tool_and_only_with_the_key_takes_free_text() -> None:
    for text in (
        block(PATCH, "run"),
        block(PATCH, "patch", "nope"),
        block(PATCH, "patch").replace(' key="k7q2"', ""),
    ):
        result = seen(text)
        assert (result.content, result.calls) == (text, [])


def test_a_block_without_anything_is_a_call_that_does_not_fit() -> None:
    result = seen(block("", "patch"))
    assert result.codes == ["E_SCHEMA"]
    assert [call.value for call in result.calls] == [{}]


def test_an_input_that_a_limit_cut_is_incomplete() -> None:
    result = seen(f"{HEADER}\n{PATCH}", truncated=True)
    [call] = result.calls
    assert (call.arguments, call.complete, result.codes) == (PATCH, False, ["E_TRUNC"])


def test_an_endless_input_is_cut_at_a_mebibyte() -> None:
    parser = ToolCallParser(CONFIG)
    parser.feed(HEADER + "\n")
    events = [event for _ in range(300) for event in parser.feed("+x\n" * 1500)]
    assert CallEnd(0, complete=False) in events
    assert parser.feed("more") == []


def test_one_call_where_parallel_is_off() -> None:
    result = seen(block(PATCH, "patch") + CALL, parallel=False)
    assert result.pairs == patches(PATCH)
    assert result.cancelled
