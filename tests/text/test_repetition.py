"""What a model repeats without end is read in time that grows with its length, however it is cut."""

import random
import time

import pytest

from gptoss_api.core.errors import InvalidValue
from gptoss_api.dialects.fields import Fields
from gptoss_api.dialects.openai_errors import openai_error
from gptoss_api.dialects.parameters import MAX_STOP, read_stop
from gptoss_api.emulation.answer.structured import JsonMismatch, find_json
from gptoss_api.text.schema import compile_schema
from gptoss_api.text.stops import TokenLimiter
from gptoss_api.text.tokens import Tokens
from gptoss_api.text.tool_calls.blocks import ElementsReader
from gptoss_api.text.tool_calls.code import LONGEST_RUN
from gptoss_api.text.tool_calls.judge import ToolNames

from .parsing import parse

pytestmark = pytest.mark.alone

TOKENS = Tokens()
# Seconds of CPU time; what is quadratic takes many times as long.
SLOWEST = 4.0


def pieces_of(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)]


@pytest.mark.parametrize("mark", ["`", "~"])
@pytest.mark.parametrize("before", ["", "`x", "```\n", "~~~\nx\n"])
def test_a_run_too_long_to_be_a_mark_is_text_however_it_is_cut(before: str, mark: str) -> None:
    for size in (LONGEST_RUN, LONGEST_RUN + 1, 3 * LONGEST_RUN):
        text = f"{before}{mark * size}\nb"
        whole = parse([text]).content
        assert whole == text
        for step in (1, 7, LONGEST_RUN, LONGEST_RUN + 1):
            assert parse(pieces_of(text, step)).content == whole


@pytest.mark.parametrize("mark", ["`", "~"])
@pytest.mark.parametrize("before", ["", "`x", "```\n"])
def test_a_run_without_end_is_read_once(before: str, mark: str) -> None:
    start = time.thread_time()
    parse([before, *(mark * 4 for _ in range(40_000))])
    assert time.thread_time() - start < SLOWEST


@pytest.mark.parametrize("unit", ["<arg_key>", "<arg_key>a</arg_key>", "<parameter=a ", "<parameter="])
def test_elements_that_are_opened_and_never_closed_are_looked_at_once(unit: str) -> None:
    reader = ElementsReader()
    reader.feed(unit * 20_000 + "</arg_value></tool_call>")
    assert reader.done
    start = time.thread_time()
    assert reader.arguments(None) == {}
    reader.stray_text()
    assert time.thread_time() - start < 1.0


def test_pairs_stand_between_others_that_are_none() -> None:
    reader = ElementsReader()
    reader.feed(
        "<arg_key>no</arg_key> <parameter name='a' type=x>1</parameter> <arg_key> b </arg_key>\n"
        "<arg_value>\ntwo\n</arg_value><PARAMETER = “c”>[3]</Parameter></tool_call>"
    )
    assert reader.arguments(None) == {"a": 1, "b": "two", "c": [3]}
    assert reader.stray_text()


def test_a_fence_without_a_line_break_is_no_fence_at_once() -> None:
    start = time.thread_time()
    with pytest.raises(JsonMismatch):
        find_json("`" * 50_000, compile_schema({"type": "object"}))
    assert time.thread_time() - start < 1.0


def test_a_name_that_is_far_too_long_is_no_tools() -> None:
    start = time.thread_time()
    assert ToolNames(["get_weather"]).find("json" * 20_000 + "x") is None
    assert time.thread_time() - start < 0.5


@pytest.mark.parametrize("unit", ["a", "中", " ", "!?"])
def test_a_limit_that_is_far_away_is_approached_in_small_steps(unit: str) -> None:
    limiter = TokenLimiter[str](1_000_000, TOKENS)
    TOKENS.warm()
    text, longest = "", 0.0
    for _ in range(40):
        start = time.thread_time()
        passed, reached = limiter.feed("text", unit * (16_384 // len(unit)))
        longest = max(longest, time.thread_time() - start)
        text += "".join(piece for _, piece in passed)
        assert not reached
    assert text == unit * (16_384 // len(unit)) * 40
    assert longest < 0.15


def test_a_far_limit_is_exact_for_words() -> None:
    chance = random.Random(5)
    words = "".join(chance.choice(["the ", "tion ", "abc, ", "zz\n"]) for _ in range(30_000))
    limiter = TokenLimiter[str](20_000, TOKENS)
    out = ""
    for piece in pieces_of(words, 1_000):
        passed, reached = limiter.feed("text", piece)
        out += "".join(text for _, text in passed)
        if reached:
            break
    assert out == TOKENS.cut(words, 20_000)


@pytest.mark.parametrize("stop", ["x" * (MAX_STOP + 1), ["a", "x" * (MAX_STOP + 1)]])
def test_a_stop_string_has_a_longest_length(stop: object) -> None:
    assert read_stop(Fields({"stop": "x" * MAX_STOP})) == ("x" * MAX_STOP,)
    with pytest.raises(InvalidValue, match="maximum length 1000") as caught:
        read_stop(Fields({"stop": stop}))
    assert openai_error(caught.value).code == "string_above_max_length"
    assert caught.value.param == ("stop" if isinstance(stop, str) else "stop[1]")
