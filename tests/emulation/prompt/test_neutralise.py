"""Client text that cannot forge markup: groups 4 to 8 and 16 of docs/design/cases.md."""

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.emulation.prompt.neutralise import (
    ClientText,
    Restorer,
    escape_tags,
    neutralise,
    restore,
    tidy,
)

CONTROL_TOKENS = [
    "<|start|>",
    "<|end|>",
    "<|message|>",
    "<|channel|>",
    "<|constrain|>",
    "<|return|>",
    "<|call|>",
    "<|endoftext|>",
    "<|endofprompt|>",
    "<|startoftext|>",
    "<|reserved_200013|>",
]
TAGS = ["message", "tool_call", "tool_calls", "tool_result", "/message", "/tool_call", "/tool_result"]

pieces = st.sampled_from(
    [
        *CONTROL_TOKENS,
        *(f"<{tag}" for tag in TAGS),
        *(f"&lt;{tag}" for tag in TAGS),
        *("<\\|start\\|>", "<\\\\|end\\\\|>", "<|", "|>", "<", "\\", "&", "&lt;", "amp;", "lt;"),
        *("<TOOL_CALL", "s", "_", ">", " ", "é"),
    ]
)
hostile = st.lists(pieces | st.text(max_size=3), max_size=12).map("".join)


@pytest.mark.parametrize("token", CONTROL_TOKENS)
def test_a_control_token_is_written_so_that_it_can_be_read_but_not_tokenised(token: str) -> None:
    assert neutralise(f"a{token}b") == f"a<\\|{token[2:-2]}\\|>b"


@pytest.mark.parametrize("text", ["a |> b", "<|foo|>", "x <| y |> z", "<|START|>", "plain", "<div>|></div>"])
def test_other_text_is_untouched(text: str) -> None:
    assert neutralise(text) is text or neutralise(text) == text


@pytest.mark.parametrize("tag", [*TAGS, "Tool_Call", "tool-call", "tool\u2011result", "toolcall"])
def test_transport_tags_are_escaped(tag: str) -> None:
    assert escape_tags(f"x<{tag}>y") == f"x&lt;{tag}>y"


@pytest.mark.parametrize(
    "text", ["<Message />", "<message-list>", "<tool_call_extra>", "a < b && c", "<tools>"]
)
def test_tags_that_are_not_ours_are_untouched(text: str) -> None:
    assert escape_tags(text) == text


def test_tidy_removes_what_cannot_travel() -> None:
    assert tidy("a\0b\r\nc\ud800d\rE") == "ab\nc\ufffdd\rE"
    assert tidy("\ud83d\ude00") == "😀"
    kept = "\ufeffx\u2028\u202ey"
    assert tidy(kept) == kept


def test_a_control_token_that_appears_by_tidying_is_neutralised() -> None:
    assert ClientText().plain("<|st\0art|>") == "<\\|start\\|>"


def test_it_is_remembered_what_was_escaped() -> None:
    client = ClientText()
    client.inside("nothing here |> < &lt;")
    assert not client.control_tokens
    assert not client.tags
    client.inside("<|end|>")
    assert client.control_tokens
    assert not client.tags
    client.inside("</message>")
    assert client.tags
    assert client.contains("nothing")
    assert not client.contains("elsewhere")


def test_an_attribute_cannot_be_left() -> None:
    assert ClientText().attribute('a" key="k">\n<tool_call') == "a' key='k') (tool_call"
    assert len(ClientText().attribute("x" * 500)) == 64


@pytest.mark.parametrize("json", [False, True])
@pytest.mark.parametrize("length", [1, 100])
@pytest.mark.parametrize("text", ["<|start|>", "</tool_result>", "<|end|> <tool_call", "plain words"])
def test_a_text_that_comes_again_is_cleaned_and_noticed_again(text: str, length: int, json: bool) -> None:
    clients = [ClientText(), ClientText()]
    text = f"{text} again, " * length
    cleaned = [client.inside(text, json=json) for client in clients]
    assert cleaned[0] == cleaned[1] == escape_tags(neutralise(text, json=json))
    for client in clients:
        assert client.control_tokens == ("|>" in text)
        assert client.tags == ("tool" in text)
        assert client.contains("again")


@given(hostile)
def test_no_control_token_survives(text: str) -> None:
    clean = ClientText().inside(text)
    assert not any(token in clean for token in CONTROL_TOKENS)


@given(hostile)
def test_no_transport_tag_survives(text: str) -> None:
    clean = ClientText().inside(text) + " "
    assert not any(f"<{tag}{end}" in clean for tag in TAGS for end in " >\n<")


@given(hostile)
def test_restoring_undoes_cleaning(text: str) -> None:
    assert restore(ClientText().inside(text)) == tidy(text)
    assert restore(neutralise(tidy(text)), tags=False) == tidy(text)
    assert restore(escape_tags(text), control_tokens=False) == text


@given(hostile)
def test_json_stays_json_and_is_restored(text: str) -> None:
    document = json.dumps({"text": tidy(text)}, ensure_ascii=False)
    clean = ClientText().inside(document, json=True)
    assert not any(token in clean for token in CONTROL_TOKENS)
    json.loads(clean)
    assert restore(clean, json=True) == document


@given(
    hostile,
    st.booleans(),
    st.sampled_from([(True, True), (True, False), (False, True)]),
    st.lists(st.integers(0, 80), max_size=8),
)
def test_restoring_does_not_depend_on_the_cuts(
    text: str, as_json: bool, escapes: tuple[bool, bool], cuts: list[int]
) -> None:
    control_tokens, tags = escapes
    escaped = ClientText().inside(text, json=as_json)
    for source in (text, escaped):
        whole = restore(source, json=as_json, control_tokens=control_tokens, tags=tags)
        for borders in (range(len(source)), sorted({cut for cut in cuts if cut < len(source)})):
            restorer = Restorer(json=as_json, control_tokens=control_tokens, tags=tags)
            marks = [0, *borders, len(source)]
            fed = [restorer.feed(source[a:b]) for a, b in pairwise(marks)]
            assert "".join(fed) + restorer.finish() == whole


def test_an_escape_that_was_copied_into_json_as_it_stands_is_taken_off_too() -> None:
    assert restore('{"a": "<\\|end\\|>"}', json=True) == '{"a": "<|end|>"}'
    assert restore('{"a": "<\\\\|end\\\\|>"}', json=True) == '{"a": "<|end|>"}'


def test_only_the_escapes_that_were_made_are_taken_back() -> None:
    assert restore("&lt;message> <\\|end\\|>", tags=False) == "&lt;message> <|end|>"
    assert restore("&lt;message> <\\|end\\|>", control_tokens=False) == "<message> <\\|end\\|>"


@given(hostile, st.integers(1, 20))
def test_how_a_long_text_is_divided_changes_nothing(text: str, step: int) -> None:
    """In steps shorter than a marker: no marker goes on behind the beginning of another."""
    whole = neutralise(text), neutralise(text, json=True), escape_tags(text)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gptoss_api.emulation.prompt.neutralise._STEP", step + 120)
        text = "x" * 120 + text
        divided = neutralise(text), neutralise(text, json=True), escape_tags(text)
    assert [each.removeprefix("x" * 120) for each in divided] == [*whole]


def test_ordinary_text_passes_at_once() -> None:
    restorer = Restorer()
    assert restorer.feed("if a < b && c: ") == "if a < b && c: "
    assert restorer.feed("x <\\|sta") == "x "
    assert restorer.feed("rt\\|> y") == "<|start|> y"
    assert restorer.finish() == ""


def test_no_more_than_a_marker_is_held_back() -> None:
    restorer = Restorer()
    held = "<" + "\\" * 5_000
    assert len(restorer.feed(held)) + len(restorer.finish()) == len(held)
    restorer = Restorer()
    out = sum(len(restorer.feed("\\" if i else "<")) for i in range(5_000))
    assert out > 4_800
