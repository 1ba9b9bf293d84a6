"""Which conversations are the same."""

import json
from collections.abc import Callable
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.core.turn import (
    AssistantMessage,
    InstructionMessage,
    Message,
    ToolCall,
    ToolResultMessage,
    UserMessage,
)
from gptoss_api.text.memo import Memo
from gptoss_api.threads import chain
from gptoss_api.threads.chain import Chain, new_from

HELLO = UserMessage("Hello")
ANSWER = AssistantMessage("Hi")


def head(*messages: Message, opening: bytes = b"") -> bytes:
    chain = Chain(opening)
    chain.add(*messages)
    return chain.digest


def called(arguments: str, *, call_id: str = "1", name: str = "f", text: str = "") -> AssistantMessage:
    return AssistantMessage(text, tool_calls=(ToolCall(call_id, name, arguments),))


SAME: dict[str, tuple[list[Message], list[Message]]] = {
    "line ends": ([UserMessage("a\r\nb")], [UserMessage("a\nb")]),
    "white space around": ([UserMessage("  a ")], [UserMessage("a\n")]),
    "reasoning": ([AssistantMessage("a", "thought")], [AssistantMessage("a")]),
    "order of keys": ([called('{"a": 1, "b": [2]}')], [called('{"b":[2],"a":1}')]),
    "escapes": ([called('{"a": "\\u00e9"}')], [called('{"a": "é"}')]),
    "whole numbers": ([called('{"a": 1.0, "b": 1e2, "c": -0.0}')], [called('{"a": 1, "b": 100, "c": 0}')]),
    "ids": (
        [called("{}", call_id="1"), ToolResultMessage("r", "1")],
        [called("{}", call_id="2"), ToolResultMessage("r", "2")],
    ),
    "the tool's name on a result": (
        [called("{}"), ToolResultMessage("r", "1", "f")],
        [called("{}"), ToolResultMessage("r", "1")],
    ),
}

DIFFERENT: dict[str, tuple[list[Message], list[Message]]] = {
    "text": ([UserMessage("a")], [UserMessage("b")]),
    "case": ([UserMessage("a")], [UserMessage("A")]),
    "white space inside": ([UserMessage("a b")], [UserMessage("a  b")]),
    "normal forms": ([UserMessage("\u00e9")], [UserMessage("e\u0301")]),
    "role": ([UserMessage("a")], [AssistantMessage("a")]),
    "kind of instruction": ([InstructionMessage("a")], [InstructionMessage("a", "developer")]),
    "name": ([UserMessage("a", "Ann")], [UserMessage("a")]),
    "name and text": ([UserMessage("b", "a")], [UserMessage("a", "b")]),
    "order": ([HELLO, ANSWER], [ANSWER, HELLO]),
    "cut": ([UserMessage("ab")], [UserMessage("a"), UserMessage("b")]),
    "arguments": ([called('{"a": 1}')], [called('{"a": "1"}')]),
    "large numbers": ([called('{"a": 9007199254740993}')], [called('{"a": 9007199254740992}')]),
    "tool": ([called("{}")], [called("{}", name="g")]),
    "call or text": ([called("{}")], [AssistantMessage("f{}")]),
    "kind of call": (
        [AssistantMessage(tool_calls=(ToolCall("1", "f", "{}", "custom"),))],
        [called("{}")],
    ),
    "which call a result answers": (
        [called("{}", call_id="1"), called("{}", call_id="2"), ToolResultMessage("r", "1")],
        [called("{}", call_id="1"), called("{}", call_id="2"), ToolResultMessage("r", "2")],
    ),
    "failure": (
        [called("{}"), ToolResultMessage("r", "1", is_error=True)],
        [called("{}"), ToolResultMessage("r", "1")],
    ),
    "result of nothing": ([ToolResultMessage("r", "9", "f")], [ToolResultMessage("r", "9", "g")]),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_what_means_the_same_is_the_same(one: list[Message], other: list[Message]) -> None:
    assert head(*one) == head(*other)
    assert head(HELLO, *one, ANSWER) == head(HELLO, *other, ANSWER)


@pytest.mark.parametrize(("one", "other"), DIFFERENT.values(), ids=DIFFERENT)
def test_what_differs_is_different(one: list[Message], other: list[Message]) -> None:
    assert head(*one) != head(*other)
    assert head(*one, ANSWER) != head(*other, ANSWER)


@pytest.mark.parametrize(
    "rest",
    [
        UserMessage("b"),
        UserMessage("b", "c"),
        ANSWER,
        called("{}", text="t"),
        ToolResultMessage("r", "1", "f"),
    ],
)
def test_no_text_looks_like_the_messages_after_it(rest: Message) -> None:
    forms = chain._form(UserMessage("a"), -1) + chain._form(rest, -1)
    said = forms.removeprefix("user 0:")
    for text in (said, said.partition(":")[2]):
        assert head(UserMessage(text)) != head(UserMessage("a"), rest)
        assert head(AssistantMessage(text)) != head(AssistantMessage("a"), rest)


def test_the_opening_counts() -> None:
    assert head(HELLO, opening=b"a") != head(HELLO, opening=b"b")


@pytest.mark.parametrize("arguments", ["", "{", "NaN", '{"a": 1e999}', "[" * 100_000, "\ud800", "1" * 5_000])
def test_arguments_that_are_no_json_are_compared_as_text(arguments: str) -> None:
    assert head(called(arguments)) == head(called(f" {arguments}\r\n"))
    assert head(called(arguments)) != head(called(arguments + "x"))


TEXTS = st.text(max_size=5)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(TEXTS, JSON, max_size=4))
def test_arguments_survive_being_read_and_written(arguments: dict[str, object]) -> None:
    spellings: list[Callable[[object], str]] = [
        lambda value: json.dumps(value, indent=2),
        lambda value: json.dumps(value, ensure_ascii=False, separators=(",", ":")),
        lambda value: json.dumps(dict(reversed(list(value.items())))),  # type: ignore[attr-defined]  # a dict
    ]
    assert len({head(called(spell(arguments))) for spell in spellings}) == 1


MESSAGES = st.one_of(
    TEXTS.map(UserMessage),
    TEXTS.map(AssistantMessage),
    TEXTS.map(InstructionMessage),
    st.builds(ToolResultMessage, TEXTS, st.sampled_from(["1", "2", None])),
    st.builds(lambda text, given: called("{}", call_id=given, text=text), TEXTS, st.sampled_from(["1", "2"])),
)


@given(st.lists(MESSAGES, max_size=6), st.lists(MESSAGES, max_size=3))
def test_it_is_the_same_whether_messages_come_at_once_or_one_by_one(
    one: list[Message], more: list[Message]
) -> None:
    growing = Chain(b"")
    for message in (*one, *more):
        growing.add(message)
    assert growing.digest == head(*one, *more)


@given(st.lists(MESSAGES, max_size=6))
def test_what_is_remembered_of_a_conversation_is_what_it_comes_to(messages: list[Message]) -> None:
    again = head(*messages)
    with patch.object(chain, "_called", Memo(1024 * 1024)):
        assert head(*messages) == again


@given(st.lists(MESSAGES, max_size=40), st.data())
def test_a_long_conversation_comes_to_the_same_however_it_grew(
    messages: list[Message], data: st.DataObject
) -> None:
    for _ in range(3):
        begin = data.draw(st.integers(0, len(messages)))
        forked = [*messages[:begin], *data.draw(st.lists(MESSAGES, max_size=3))]
        for some in (messages[:begin], forked, messages):
            assert Chain.of(b"", tuple(some)).digest == head(*some)


def test_a_long_conversation_that_grows_is_hashed_from_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    begin: tuple[Message, ...] = tuple(UserMessage(f"number {number} of this one") for number in range(40))
    more: tuple[Message, ...] = (called("{}"), ToolResultMessage("result", "1"))
    before, after = Chain.of(b"", begin).digest, head(*begin, *more)
    hashed: list[Message] = []
    form = chain._form

    def noted(message: Message, answers: int) -> str:
        hashed.append(message)
        return form(message, answers)

    monkeypatch.setattr(chain, "_form", noted)
    assert Chain.of(b"", begin).digest == before
    assert Chain.of(b"", (*begin, *more)).digest == after
    assert hashed == [*more]
    assert Chain.of(b"another", begin).digest != before


def test_arguments_that_came_before_are_not_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    begin: list[Message] = [UserMessage("once"), called('{"a": "only"}'), ToolResultMessage("result", "1")]
    before = head(*begin)
    monkeypatch.setattr(chain, "_arguments", lambda call: pytest.fail("read again"))
    assert head(*begin) == before


@given(st.lists(MESSAGES, max_size=6))
def test_a_conversation_goes_on_with_users_and_tools_after_an_answer(messages: list[Message]) -> None:
    begin = new_from(messages)
    if begin is None:
        last_answer = max(
            (i for i, m in enumerate(messages) if isinstance(m, AssistantMessage)), default=None
        )
        rest = messages[last_answer + 1 :] if last_answer is not None else []
        assert not rest or any(isinstance(message, InstructionMessage) for message in rest)
    else:
        assert isinstance(messages[begin - 1], AssistantMessage)
        assert messages[begin:]
        assert all(isinstance(message, UserMessage | ToolResultMessage) for message in messages[begin:])
