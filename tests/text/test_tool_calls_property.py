"""Whatever the model writes, the pieces it arrives in make no difference, and plain text stays as it is."""

import json
import random
import sysconfig
from pathlib import Path
from typing import Any, Literal

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs

from gptoss_api.text.tool_calls import Content, ToolCallParser
from gptoss_api.text.tool_calls.parser import begins_without_call

from .parsing import CALL, CONFIG, PARIS, block, cut, parse, pieces_of

FRAGMENTS = (
    "Some prose.",
    "word ",
    " ",
    "\n",
    "\n\n",
    "   ",
    "\r\n",
    "`",
    "``",
    "```",
    "````",
    "```json\n",
    "```tool_call\n",
    "~~~",
    "~~~\n",
    "\n```\n",
    "<",
    ">",
    "<tool_call>",
    "<tool_call",
    '<tool_call key="k7q2" name="get_weather">',
    '<tool_call key="k7q2" name="strict_one">',
    '<tool_call key="nope" name="get_weather">',
    '<tool_call name="get_weather">',
    '<tool_call key="k7q2">',
    '<tool_call key="k7q2" name="patch">',
    '<tool_call key="k7q2" name="patch">\n',
    "*** Begin Patch\n",
    "\n</tool_call>",
    "\n<|call|>",
    "<tool_calls>",
    "<function=run>",
    "<parameter=code>",
    "</parameter>",
    "</function>",
    '<invoke name="run">',
    '<parameter name="code">',
    "<![CDATA[",
    "]]>",
    "</invoke>",
    "</tool_call>",
    "get_weather\n",
    "<arg_key>city</arg_key>",
    "<arg_value>",
    "</arg_value>",
    PARIS,
    CALL,
    block("{}", "now"),
    '{"name": "get_weather", "arguments": {"city": "Paris"}}',
    '{"city": "Pa',
    '"}',
    '{"',
    "{",
    "}",
    "[",
    "]",
    '"',
    "\\",
    "null",
    ", ",
    "get_weather(city='x')",
    "<|channel|>",
    "<|start|>assistant",
    "<|message|>",
    "<|end|>",
    "<|call|>",
    "<|",
    "commentary to=functions.get_weather json",
    "  commentary to=functions.get_weather json",
    "to=",
    "analysis",
    "analysisWe ",
    "assistantfinal",
    "assistantcommentary",
    "Tool result: x",
    "  Tool result: x",
    "User:",
    "\n    ~~~",
    "x" * 150,
    "é😀",
    "\ufeff",
    "\u200b",
    "< ",
    '< tool_call key="k7q2" name="get_weather">',
    "< /tool_call>",
    "\n```\n```tool_call\n",
    '```json\n{"action": "get_weather", "action_input": {"city": "Paris"}}\n```\n',
    '{"city": "Pa\\u00',
)
LEAKS = ("<|", "analysis", "assistantfinal")
answers = st.lists(st.sampled_from(FRAGMENTS), max_size=14).map("".join)
modes = st.sampled_from(["auto", "auto", "required", "named", "none"])


@settings(max_examples=400, deadline=None)
@given(answers, modes, st.booleans(), st.booleans(), st.booleans(), st.integers())
def test_pieces_make_no_difference(
    text: str,
    mode: Literal["none", "auto", "required", "named"],
    live: bool,
    parallel: bool,
    truncated: bool,
    seed: int,
) -> None:
    names = ("get_weather",) if mode == "named" else ()
    config = structs.replace(CONFIG, mode=mode, names=names, live=live, parallel=parallel)
    whole = parse([text], config, truncated=truncated)
    assert parse(pieces_of(text, 1), config, truncated=truncated) == whole
    assert parse(cut(text, seed), config, truncated=truncated) == whole
    if not whole.calls and not whole.cancelled and not any(leak in text for leak in LEAKS):
        # A tag whose call was begun only is no text.
        begun = ("E_TRUNC", None) in whole.problems and text.startswith(whole.content)
        assert whole.content == text or begun
    assert whole.content in text or any(leak in text for leak in LEAKS)


PLAIN = st.sampled_from(
    (
        "a",
        "c",
        "t",
        "as",
        "ana",
        "comm",
        "to",
        "=",
        "One",
        " two",
        " ",
        "\n",
        "\u200b",
        "- a",
        "~",
        "{",
        "[",
        "<",
        "\t",
    )
)


@settings(max_examples=500, deadline=None)
@given(
    st.lists(PLAIN, max_size=5).map("".join), st.lists(st.sampled_from(FRAGMENTS), max_size=4).map("".join)
)
def test_plain_text_needs_no_parser_and_leaves_none_in_another_state(begin: str, rest: str) -> None:
    if not begins_without_call(begin):
        return
    parser = ToolCallParser(CONFIG)
    assert parser.feed(begin) == [Content(begin)]
    late = ToolCallParser(CONFIG, begun=True)
    for pieces in (pieces_of(rest, 1), [rest]):
        assert [*map(late.feed, pieces)] == [*map(parser.feed, pieces)]
    assert late.finish() == parser.finish()


@settings(max_examples=200, deadline=None)
@given(answers, st.integers())
def test_live_and_validated_delivery_find_the_same_calls(text: str, seed: int) -> None:
    live, validated = (parse([text], structs.replace(CONFIG, live=flag)) for flag in (True, False))
    if live.problems or validated.problems:
        return
    assert live.content == validated.content
    assert [call.name for call in live.calls] == [call.name for call in validated.calls]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(("One.", " two", "\n", "\n\n", "- a `b`", "\n```py\nx<y\n```\n", "a < b")), max_size=8
    ),
    st.dictionaries(st.sampled_from(["city", "code"]), st.text(max_size=30), max_size=2),
    st.integers(1, 3),
    st.integers(),
)
def test_calls_written_as_taught_are_read_as_meant(
    before: list[str], arguments: dict[str, str], count: int, seed: int
) -> None:
    arguments = {"city": "x"} | {key: value.replace("\ud800", "") for key, value in arguments.items()}
    body = json.dumps(arguments, ensure_ascii=bool(seed % 2))
    prose = "".join(before)
    text = prose + "\n" + "\n".join([block(body)] * count)
    for pieces in ([text], pieces_of(text, 3), cut(text, seed)):
        result = parse(pieces)
        assert result.pairs == [("get_weather", arguments)] * count
        assert result.content == prose.rstrip(" \t\r\n")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            (
                "+</tool_call>",
                " <|call|>",
                '-{"a": 1}',
                "",
                "+```",
                "@@ </tool_call> x",
                "<p>",
                "</p>",
                "é😀",
                "<",
                "</tool_cal",
            )
        ),
        max_size=8,
    ),
    st.integers(1, 3),
    st.integers(),
)
def test_free_text_written_in_a_block_is_a_custom_tools_input(
    lines: list[str], count: int, seed: int
) -> None:
    patch = "\n".join(["*** Begin Patch", *lines, "*** End Patch"])
    text = "I patch.\n" + "\n".join([block(patch, "patch")] * count)
    for pieces in ([text], pieces_of(text, 1), cut(text, seed)):
        result = parse(pieces)
        assert result.pairs == [("patch", {"input": patch})] * count
        assert result.content == "I patch."
        assert not result.problems


@settings(max_examples=100, deadline=None)
@given(st.text().filter(lambda text: "assistant" not in text and "<|" not in text), st.integers())
def test_text_without_markers_is_untouched(text: str, seed: int) -> None:
    assert parse(cut(text, seed)).content == text


def ordinary_files() -> list[Path]:
    library = Path(sysconfig.get_path("stdlib"))
    files = sorted(path for end in ("*.py", "*.txt", "*.md") for path in library.glob(end))
    return random.Random(7).sample(files, min(40, len(files)))


def test_s28_the_standard_librarys_files_come_out_as_they_are() -> None:
    files = ordinary_files()
    assert files
    for path in files:
        text = path.read_text("utf-8", errors="replace")[:60_000]
        for pieces in (pieces_of(text, 4), cut(text, 1)):
            result: Any = parse(pieces)
            assert (result.content, result.calls, result.problems) == (text, [], []), path.name
