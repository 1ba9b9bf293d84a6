"""The normaliser of both dialects, rule by rule and over every way to cut a stream."""

import contextlib
import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.core.errors import (
    GatewayError,
    InsufficientQuota,
    ThreadLost,
    UpstreamEmpty,
    UpstreamFailure,
    UpstreamIncomplete,
    UpstreamLoginRequired,
    UpstreamRateLimited,
)
from gptoss_api.core.events import Event, Finished, ReasoningDelta, TextDelta
from gptoss_api.text.sse import SseDecoder
from gptoss_api.upstreams.chatkit.wire import AFTER_ANSWER, AFTER_CARD, AFTER_TITLE, ChatKitWire

from .transcripts import (
    MESSAGE,
    THREAD,
    Json,
    New,
    Old,
    new,
    old,
    output_text,
    payloads,
    reasoning_of,
    sse,
    text_of,
)

both = pytest.mark.parametrize("dialect", [old, new], ids=["old", "new"])


def read(*events: Json, show_reasoning: bool = True) -> list[Event]:
    """Everything up to a proper end."""
    wire = ChatKitWire(show_reasoning=show_reasoning)
    return wire.feed(payloads(*events)) + wire.finish()


def read_chunks(*chunks: bytes) -> tuple[list[Event], GatewayError | None, str | None]:
    wire, decoder = ChatKitWire(), SseDecoder()
    events = [event for chunk in chunks for event in wire.feed(decoder.feed(chunk))]
    events += wire.feed_rest(decoder.finish())
    try:
        events += wire.finish()
    except GatewayError as error:
        return events, error, wire.thread_id
    return events, None, wire.thread_id


# The usual course


@both
def test_a_whole_turn(dialect: Old) -> None:
    events = read(
        *dialect.opening(),
        *dialect.thinking("First, look.", "Then, answer."),
        *dialect.message(["Hel", "lo"]),
        dialect.titled(),
    )
    assert reasoning_of(events) == "First, look.\n\nThen, answer."
    assert [event for event in events if isinstance(event, TextDelta)] == [TextDelta("Hel"), TextDelta("lo")]
    assert events[-1] == Finished("stop")


def test_in_the_old_dialect_each_thought_is_one_piece() -> None:
    events = read(*old.opening(), *old.thinking("one", "two"), *old.message(["x"]))
    assert events[:2] == [ReasoningDelta("one"), ReasoningDelta("\n\ntwo")]


@both
def test_the_thread_is_known_from_the_first_event_that_names_it(dialect: Old) -> None:
    wire = ChatKitWire()
    wire.feed(payloads(dialect.created()))
    assert wire.thread_id == THREAD
    wire.feed(payloads({"type": "thread.updated", "thread": {"id": "thr_other"}}))
    assert wire.thread_id == THREAD


@both
def test_a_follow_up_names_its_thread_too(dialect: Old) -> None:
    wire = ChatKitWire()
    events = wire.feed(payloads(dialect.user(), *dialect.message(["x"])))
    assert wire.thread_id == THREAD
    assert text_of(events) == "x"


def test_dialects_may_be_mixed_within_a_stream() -> None:
    events = read(
        old.created(),
        new.user(),
        old.message_added(),
        new.delta("a"),
        old.delta("b"),
        {"type": "thread.item.updated", "itemId": MESSAGE, "update": new.delta("c")["update"]},
        {"type": "assistant_message.content_part.text_delta", "itemId": MESSAGE, "delta": "d"},
        new.message_done("abcd"),
    )
    assert text_of(events) == "abcd"


def test_updates_without_an_envelope_or_an_id_belong_to_the_message_under_way() -> None:
    bare = {"type": "assistant_message.content_part.text_delta", "delta": "b"}
    assert (
        text_of(read(*old.opening(), old.message_added(), old.delta("a"), bare, old.message_done("ab")))
        == "ab"
    )
    assert text_of(read(*old.opening(), bare, old.message_done("bc"))) == "bc"
    thought = {"type": "cot.entry_added", "entry": {"type": "thought", "content": "hm"}}
    assert reasoning_of(read(*old.opening(), thought, thought, *old.message(["x"]))) == "hm\n\nhm"


# Text


@both
@pytest.mark.parametrize("deltas", [[], ["Hello"], ["Hello", ", world"]])
def test_what_the_deltas_lack_is_taken_from_the_end_once(dialect: Old, deltas: list[str]) -> None:
    full = "Hello, world!"
    streamed = [dialect.message_added(), *map(dialect.delta, deltas)]
    by_part = read(*dialect.opening(), *streamed, dialect.part_done(full), dialect.message_done(full))
    by_item = read(*dialect.opening(), *streamed, dialect.message_done(full))
    assert text_of(by_part) == text_of(by_item) == full


@both
def test_an_item_that_was_never_announced_is_read_all_the_same(dialect: Old) -> None:
    assert text_of(read(*dialect.opening(), dialect.delta("x"), dialect.message_done("xy"))) == "xy"
    assert text_of(read(*dialect.opening(), dialect.message_done("xy"))) == "xy"


def test_an_item_that_ends_under_another_id_is_not_repeated() -> None:
    events = read(*old.opening(), old.delta("x", "msg_a"), old.message_done("xy", item_id="msg_b"))
    assert text_of(events) == "xy"


@both
@pytest.mark.parametrize("full", ["Something else", "Hell", ""])
def test_a_contradicting_end_leaves_the_streamed_text(dialect: Old, full: str) -> None:
    events = read(*dialect.opening(), *map(dialect.delta, ["Hel", "lo"]), dialect.message_done(full))
    assert text_of(events) == "Hello"
    assert events[-1] == Finished("stop")


@both
def test_two_assistant_items_are_joined_by_a_blank_line(dialect: Old) -> None:
    events = read(
        *dialect.opening(),
        *dialect.message(["a", "b"], "m1"),
        dialect.titled(),
        *dialect.message(["c"], "m2"),
    )
    assert text_of(events) == "ab\n\nc"
    assert events.count(Finished("stop")) == 1


@both
def test_an_empty_item_beside_an_answer_adds_nothing(dialect: Old) -> None:
    events = read(*dialect.opening(), *dialect.message([], "m1"), *dialect.message(["c"], "m2"))
    assert text_of(events) == "c"


@both
def test_parts_of_one_item_follow_each_other(dialect: Old) -> None:
    events = read(
        *dialect.opening(),
        dialect.message_added(),
        dialect.part_added(index=0),
        dialect.delta("one ", index=0),
        dialect.part_done("one ", index=0),
        dialect.part_added(index=1),
        dialect.delta("tw", index=1),
        dialect.message_done("one ", "two"),
    )
    assert text_of(events) == "one two"


@both
def test_a_repeated_end_adds_nothing(dialect: Old) -> None:
    done = dialect.message_done("hello")
    assert text_of(read(*dialect.opening(), dialect.delta("hel"), done, done, done)) == "hello"


@both
def test_a_delta_after_the_end_of_its_message_adds_nothing(dialect: Old) -> None:
    events = read(*dialect.opening(), *dialect.message(["a"]), dialect.delta("b"), dialect.delta("c"))
    assert text_of(events) == "a"


@both
def test_the_end_of_the_turn_and_notes_in_the_text_are_no_text(dialect: Old) -> None:
    note = dialect.update(MESSAGE, type="assistant_message.content_part.annotation_added", annotation={})
    wire = ChatKitWire()
    events = wire.feed(payloads(*dialect.opening(), dialect.delta("a"), note, dialect.message_done("a")))
    events += wire.feed(payloads(dialect.done({"id": "e", "type": "end_of_turn"})))
    assert wire.patience == AFTER_TITLE
    assert text_of(events + wire.finish()) == "a"


def test_the_end_of_a_part_of_no_message_and_without_text_begins_no_answer() -> None:
    wire = ChatKitWire()
    kind = "assistant_message.content_part.done"
    wire.feed(payloads({"type": kind, "item_id": "other", "content": {"text": "", "type": "output_text"}}))
    with pytest.raises(UpstreamEmpty):
        wire.finish()


@both
def test_a_message_ends_under_another_id_than_it_was_heard_under(dialect: Old) -> None:
    begin = [*dialect.opening(), *dialect.message(["first"], item_id="m1")]
    heard = [dialect.delta("sec", "x1"), dialect.delta("other", "x2")]
    events = read(*begin, *heard, dialect.message_done("other one", item_id="m2"))
    assert text_of(events) == "first\n\nsec\n\nother one"


@both
def test_text_in_the_announcement_of_a_message_counts(dialect: Old) -> None:
    item = {"id": MESSAGE, "type": "assistant_message", "content": [{"type": "output_text", "text": "ab"}]}
    events = read(*dialect.opening(), dialect.added(item), dialect.delta("c"), dialect.message_done("abc"))
    assert text_of(events) == "abc"


def test_stray_parts_of_unknown_items_are_ignored() -> None:
    events = read(
        *old.opening(),
        old.thinking_added(),
        old.part_added("rs_" + "4" * 48),
        *old.message(["answer"]),
        old.part_added("rs_" + "5" * 48, index=3),
    )
    assert text_of(events) == "answer"
    assert events[-1] == Finished("stop")


@both
def test_the_users_own_text_is_never_the_answer(dialect: Old) -> None:
    wire = ChatKitWire()
    assert wire.feed(payloads(dialect.created(), dialect.user("Sign in to continue, rate limit"))) == []
    with pytest.raises(UpstreamIncomplete):
        wire.finish()


@both
def test_updates_of_other_items_are_not_text(dialect: Old) -> None:
    task = {"id": "t1", "type": "task"}
    events = read(
        *dialect.opening(), dialect.added(task), dialect.delta("no", "t1"), *dialect.message(["yes"])
    )
    assert text_of(events) == "yes"


@both
def test_an_answer_may_talk_about_logins_and_limits(dialect: Old) -> None:
    text = "Sign in to continue. Too many requests: rate limit reached, captcha, session expired."
    assert text_of(read(*dialect.opening(), *dialect.message([text]))) == text


# Reasoning


def test_recap_and_done_are_dropped() -> None:
    events = read(
        *old.opening(), old.thinking_added(), old.thought(0, "Done"), old.recap(1), *old.message(["x"])
    )
    assert reasoning_of(events) == ""


def test_thoughts_that_come_only_with_the_end_are_kept_in_place() -> None:
    events = read(*old.opening(), old.thinking_added(), old.thinking_done("a", "b"), *old.message(["x"]))
    assert events[:2] == [ReasoningDelta("a"), ReasoningDelta("\n\nb")]
    late = read(*old.opening(), old.thought(0, "a"), old.thinking_done("a", "b"), *old.message(["x"]))
    assert reasoning_of(late) == "a\n\nb"


def test_a_thought_in_its_summary_is_read() -> None:
    entry = {"type": "thought", "summary": "in short", "content": ""}
    update = old.update("cot", type="cot.entry_added", entryIndex=0, entry=entry)
    assert reasoning_of(read(*old.opening(), update, *old.message(["x"]))) == "in short"


def test_an_id_or_the_words_of_a_thought_that_are_no_text_count_as_absent() -> None:
    thoughts = [{"content": ["no"], "summary": 1}, {"content": 7, "summary": "why"}]
    events = read(
        old.created(),
        *[
            old.update(
                MESSAGE, type="cot.entry_added", entryIndex=index, entry={"type": "thought", **thought}
            )
            for index, thought in enumerate(thoughts)
        ],
        old.added({"id": 5, "type": "assistant_message", "content": []}),
        old.done({"id": 5, "type": "assistant_message", "content": [output_text("that")]}),
    )
    assert (reasoning_of(events), text_of(events)) == ("why", "that")


def test_a_code_block_cut_by_two_thoughts_keeps_both_parts() -> None:
    events = read(*old.opening(), *old.thinking("```python\ndef f(x):", "return x\n```"), *old.message(["x"]))
    assert reasoning_of(events) == "```python\ndef f(x):\n\nreturn x\n```"


def test_cumulative_tasks_are_sent_as_what_they_add() -> None:
    events = read(
        *new.opening(),
        new.task(0, "Thin", added=True),
        new.task(0, "Thinking"),
        new.task(1, "More", added=True),
        new.thinking_done("Thinking", "More and more"),
        *new.message(["x"]),
    )
    assert [event for event in events if isinstance(event, ReasoningDelta)] == [
        ReasoningDelta("Thin"),
        ReasoningDelta("king"),
        ReasoningDelta("\n\nMore"),
        ReasoningDelta(" and more"),
    ]


def test_a_task_that_shrinks_or_changes_is_never_repeated() -> None:
    events = read(
        *new.opening(),
        new.task(0, "Thinking… more", added=True),
        new.task(0, "Thinking…"),
        new.task(0, "Rewritten"),
        new.task(0, "Thinking… more and more"),
        new.thinking_done("Thinking…"),
        *new.message(["x"]),
    )
    assert reasoning_of(events) == "Thinking… more and more"


def test_a_task_that_grows_after_the_next_one_began_waits_for_its_end() -> None:
    start = [*new.opening(), new.task(0, "a", added=True), new.task(1, "b", added=True), new.task(0, "a, c")]
    assert reasoning_of(ChatKitWire().feed(payloads(*start))) == "a\n\nb"
    assert reasoning_of(read(*start, new.thinking_done("a, c", "b"), *new.message(["x"]))) == "a\n\nb\n\n, c"


def test_tasks_that_are_no_thoughts_are_ignored() -> None:
    search = new.update(
        "wf", type="workflow.task.added", task_index=0, task={"type": "web_search", "content": "q"}
    )
    assert reasoning_of(read(*new.opening(), search, *new.message(["x"]))) == ""


@both
def test_unwanted_reasoning_is_not_passed_on(dialect: Old) -> None:
    events = read(*dialect.opening(), *dialect.thinking("hm"), *dialect.message(["x"]), show_reasoning=False)
    assert events == [ReasoningDelta(""), TextDelta("x"), Finished("stop")]  # That there was some is told.


# Cards


@pytest.mark.parametrize(
    "children",
    [
        [{"value": "Sign in to continue"}, {"value": "Sign in with Hugging Face to start chatting"}],
        [
            {
                "type": "Col",
                "children": [{"type": "Row", "children": {"type": "Text", "text": "Please LOG IN"}}],
            }
        ],
        [{"type": "Title", "value": "Welcome"}, {"type": "Button", "label": "Sign in", "onClick": {"x": 1}}],
        [{"title": "Continue with Hugging Face"}],
    ],
)
@pytest.mark.parametrize("bare", [True, False])
@both
def test_a_login_card_in_place_of_an_answer(dialect: Old, bare: bool, children: list[Any]) -> None:
    wire = ChatKitWire()
    opening = [] if bare else dialect.opening()
    assert wire.feed(payloads(*opening, dialect.widget(*children))) == []
    assert wire.patience == AFTER_CARD
    with pytest.raises(UpstreamLoginRequired, match="GPTOSS_COOKIE"):
        wire.finish()


def test_a_card_that_is_filled_by_an_update_counts() -> None:
    root = {"type": "Card", "children": [{"value": "Sign in to continue"}]}
    events = [
        *new.opening(),
        new.added({"id": "w1", "type": "widget", "widget": {"type": "Card", "children": []}}),
        new.update("w1", type="widget.root.updated", widget=root),
    ]
    with pytest.raises(UpstreamLoginRequired):
        read(*events)


@both
def test_another_card_in_place_of_an_answer_is_quoted(dialect: Old) -> None:
    with pytest.raises(UpstreamFailure, match="closed for maintenance") as caught:
        read(*dialect.opening(), dialect.widget({"value": "closed for\nmaintenance"}))
    assert not caught.value.retryable


def test_a_card_about_limits_is_a_limit() -> None:
    with pytest.raises(UpstreamRateLimited):
        read(*old.opening(), old.widget({"value": "You have reached the message limit"}))


@both
def test_a_card_beside_an_answer_does_not_matter(dialect: Old) -> None:
    card = dialect.widget({"value": "Sign in to continue"})
    assert text_of(read(*dialect.opening(), card, *dialect.message(["x"]))) == "x"
    assert text_of(read(*dialect.opening(), *dialect.message(["x"]), card)) == "x"


def test_only_a_login_card_limits_the_wait_for_an_answer() -> None:
    wire = ChatKitWire()
    wire.feed(payloads(*old.opening(), old.widget({"value": "Searching"})))
    assert wire.patience is None
    wire.feed(payloads(old.widget({"value": "Sign in to continue"})))
    assert wire.patience == AFTER_CARD
    wire.feed(payloads(old.thinking_added()))
    assert wire.patience is None


# Errors


@pytest.mark.parametrize(
    "event",
    [
        {"type": "error", "code": "custom", "message": "Out of luck", "allow_retry": True},
        {"type": "error", "error": {"message": "Out of luck"}, "allowRetry": True},
        {"type": "error", "error": "Out of luck"},
        {"type": "error", "detail": [{"msg": "Out of luck"}]},
        {"error": {"message": "Out of luck"}},
    ],
)
def test_errors_are_quoted_from_wherever_their_words_are(event: Json) -> None:
    with pytest.raises(UpstreamFailure, match="Out of luck") as caught:
        read(*old.opening(), event)
    assert caught.value.retryable


@pytest.mark.parametrize("key", ["allow_retry", "allowRetry"])
def test_an_error_that_allows_no_retry_says_so(key: str) -> None:
    with pytest.raises(UpstreamFailure) as caught:
        read(*old.opening(), {"type": "error", "code": "stream.error", key: False})
    assert caught.value.retryable is False
    assert caught.value.should_retry is False


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("Rate limit exceeded", UpstreamRateLimited),
        ("You have depleted your monthly included credits.", InsufficientQuota),
        ("Your session has expired", UpstreamLoginRequired),
        ("Please sign in again", UpstreamLoginRequired),
        ("Thread thr_1 not found", ThreadLost),
    ],
)
def test_errors_whose_meaning_is_plain_are_named(message: str, kind: type[GatewayError]) -> None:
    with pytest.raises(kind):
        read(*old.opening(), {"type": "error", "code": "custom", "message": message})


@both
def test_an_error_in_the_middle_comes_after_the_text_before_it_and_nothing_after(dialect: Old) -> None:
    wire = ChatKitWire()
    error = {"type": "error", "code": "stream.error", "allow_retry": True}
    events = wire.feed(payloads(*dialect.opening(), dialect.delta("par"), error, dialect.delta("tial")))
    assert text_of(events) == "par"
    assert wire.failure is not None
    assert wire.feed(payloads(dialect.delta("tial"), dialect.message_done("partial"))) == []
    with pytest.raises(UpstreamFailure):
        wire.finish()


@both
def test_an_error_after_the_answer_does_not_spoil_it(dialect: Old) -> None:
    events = read(*dialect.opening(), *dialect.message(["x"]), {"type": "error", "code": "stream.error"})
    assert events == [TextDelta("x"), Finished("stop")]


@both
def test_an_error_in_a_second_message_is_one(dialect: Old) -> None:
    with pytest.raises(UpstreamFailure):
        read(
            *dialect.opening(),
            *dialect.message(["x"], "m1"),
            dialect.message_added("m2"),
            {"type": "error", "code": "stream.error"},
        )


# Ends


def test_nothing_at_all_is_empty() -> None:
    for nothing in ([], [{"type": "notice", "level": "info", "message": "hi"}]):
        with pytest.raises(UpstreamEmpty, match="before it began"):
            read(*nothing)


def test_only_broken_events_are_empty_and_said_to_be_unreadable() -> None:
    wire = ChatKitWire()
    assert wire.feed([b"{", b"nonsense", b'"text_delta"', b"[1]", b"null"]) == []
    with pytest.raises(UpstreamEmpty, match="could be read"):
        wire.finish()


@both
def test_an_end_before_the_answer_is_incomplete(dialect: Old) -> None:
    message = dialect.message(["Hel", "lo"])
    whole = [*dialect.opening(), *dialect.thinking("hm"), *message]
    for length in range(1, len(whole) - 2):
        with pytest.raises(UpstreamIncomplete):
            read(*whole[:length])


@both
def test_the_end_of_the_text_is_enough_when_the_item_does_not_end(dialect: Old) -> None:
    whole = [*dialect.opening(), *dialect.message(["Hel", "lo"])]
    assert read(*whole[:-1])[-1] == Finished("stop")
    wire = ChatKitWire()
    wire.feed(payloads(*whole[:-1]))
    assert wire.answered
    assert not wire.complete
    assert wire.patience is None


@both
def test_text_after_the_end_of_a_part_reopens_it(dialect: Old) -> None:
    whole = [*dialect.opening(), dialect.delta("a"), dialect.part_done("a"), dialect.delta("b", index=1)]
    with pytest.raises(UpstreamIncomplete):
        read(*whole)


@both
def test_an_answer_that_says_nothing_is_complete(dialect: Old) -> None:
    # The model said nothing that the site lets through: whether to ask again is not for the wire to decide.
    assert read(*dialect.opening(), *dialect.message([])) == [Finished("stop")]
    assert read(*dialect.opening(), *dialect.thinking("hm"), *dialect.message([]))[-1] == Finished("stop")


@both
def test_a_message_taken_back_is_no_answer(dialect: Old) -> None:
    removed = {"type": "thread.item.removed", "item_id": MESSAGE}
    with pytest.raises(UpstreamIncomplete):
        read(*dialect.opening(), *dialect.message(["x"]), removed)


@both
def test_patience_follows_what_may_still_come(dialect: Old) -> None:
    wire = ChatKitWire()
    steps: list[tuple[Json, float | None]] = [
        (dialect.created(), None),
        (dialect.titled(), None),
        (dialect.delta("a", "m1"), None),
        (dialect.message_done("a", item_id="m1"), AFTER_ANSWER),
        (dialect.titled(), AFTER_TITLE),
        (dialect.thinking_added(), None),
        (dialect.thinking_done("hm"), AFTER_TITLE),
        (dialect.message_added("m2"), None),
        (dialect.message_done("b", item_id="m2"), AFTER_ANSWER),
    ]
    for event, patience in steps:
        wire.feed(payloads(event))
        assert wire.patience == patience


# Noise

NOISE: tuple[Json | str, ...] = (
    ": keep-alive",
    "data: [DONE]",
    "data:",
    "data: {broken",
    "data: [1, 2]",
    'data: "text_delta"',
    {"type": "notice", "level": "danger", "message": "Sign in to continue"},
    {"type": "progress_update", "text": "Searching"},
    {"type": "stream_options", "stream_options": {"allow_cancel": True}},
    {"type": "client_effect", "name": "confetti", "data": {"text": "no"}},
    {"type": "something.new", "delta": "no", "update": {"type": "text_delta", "delta": "no"}},
    {"type": "thread.item_updated", "itemId": 7, "update": {"type": "what", "delta": "no"}},
    {"type": "thread.item_updated", "itemId": "x", "update": "no"},
    {"type": "thread.item_updated", "itemId": "x", "update": {"type": "cot.entry_added", "entry": None}},
    {"type": "thread.item_done", "item": None},
    {"type": "thread.item_done", "item": {"id": "h", "type": "hologram", "content": [{"text": "no"}]}},
    {"type": "thread.item.removed", "item_id": "nobody"},
    {"type": 5},
)


@both
@pytest.mark.parametrize("noise", NOISE, ids=str)
def test_noise_anywhere_changes_nothing(dialect: Old, noise: Json | str) -> None:
    events = [*dialect.opening(), *dialect.thinking("hm", "so"), *dialect.message(["Hel", "lo"])]
    noisy = [*itertools.chain.from_iterable((event, noise) for event in events)]
    assert read_chunks(sse(*noisy)) == read_chunks(sse(*events))


@both
def test_what_else_is_wrong_with_an_event_changes_nothing(dialect: Old) -> None:
    """Each event says the same in the expected form as with a member of another type than expected."""
    usual, odd = ChatKitWire(), ChatKitWire()
    for event in (
        *(*dialect.opening(), *dialect.thinking("hm", "so"), *dialect.message(["Hel", "lo"])),
        *(dialect.titled(), dialect.message_added("m2"), dialect.delta("no", "m2")),
        *({"type": "thread.item.removed", "item_id": "m2"}, dialect.titled()),
    ):
        wrong = event | ({"item": 5} if "update" in event else {"update": 5})
        assert odd.feed(payloads(wrong)) == usual.feed(payloads(event))
        assert (odd.thread_id, odd.complete, odd.patience) == (
            usual.thread_id,
            usual.complete,
            usual.patience,
        )
    assert odd.finish() == usual.finish() == [Finished("stop")]


# Cuts

_TEXT = st.text(st.sampled_from('aé—🙂 \n"\\{}[]:,#'), min_size=1, max_size=12)
_NOISE = st.lists(st.sampled_from(NOISE), max_size=2)


@st.composite
def _turns(draw: st.DrawFn) -> tuple[list[str], list[list[str]], bytes]:
    """Thoughts, the deltas of every assistant item, and the bytes that say so."""
    dialect = draw(st.sampled_from([old, new]))
    thoughts = draw(st.lists(_TEXT.map(lambda text: "t" + text), max_size=3))
    messages = draw(st.lists(st.lists(_TEXT, min_size=1, max_size=5), min_size=1, max_size=2))
    events: list[Json | str] = [*dialect.opening()]
    thinks_of_nothing: bool = draw(st.booleans())
    if thoughts or thinks_of_nothing:
        events += dialect.thinking(*thoughts)
    for number, deltas in enumerate(messages):
        item = dialect.message(deltas, f"msg_{number}")
        if draw(st.booleans()):
            # The deltas get lost; the end has them all.
            del item[2 + draw(st.integers(0, len(deltas))) : 2 + len(deltas)]
        events += item
    if draw(st.booleans()):
        events.append(dialect.titled())
    noisy = [part for event in events for part in (*draw(_NOISE), event)]
    end, space = draw(st.sampled_from(["\n", "\r\n", "\r"])), draw(st.sampled_from([" ", ""]))
    return thoughts, messages, sse(*noisy, end=end, space=space)


@given(_turns(), st.lists(st.integers(min_value=0), max_size=8), st.integers(min_value=0))
def test_the_same_events_come_out_however_the_stream_is_cut(
    turn: tuple[list[str], list[list[str]], bytes], cuts: list[int], stop: int
) -> None:
    thoughts, messages, stream = turn
    events, failure, thread_id = read_chunks(stream)
    assert failure is None
    assert thread_id == THREAD
    assert reasoning_of(events) == "\n\n".join(thoughts)
    assert text_of(events) == "\n\n".join("".join(deltas) for deltas in messages)
    assert events[-1] == Finished("stop")

    # Also where the stream ends too early, at any byte.
    for part in (stream, stream[: stop % (len(stream) + 1)]):
        whole, failed, thread = read_chunks(part)
        places = [0, *sorted(cut % (len(part) + 1) for cut in cuts), len(part)]
        for chunks in (
            [part[i : i + 1] for i in range(len(part))],
            [part[start:end] for start, end in itertools.pairwise(places)],
        ):
            again, failed_again, thread_again = read_chunks(*chunks)
            assert again == whole
            assert type(failed_again) is type(failed)
            assert thread_again == thread


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5) | st.just("text_delta"),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["type", "item", "update", "content", "id", "itemId", "delta", "thread"]),
                inner
                | st.sampled_from(
                    ["thread.item_done", "thread.item_updated", "assistant_message", "cot", "widget", "error"]
                ),
                max_size=5,
            )
        ),
        max_leaves=12,
    )
)
def test_no_json_whatever_breaks_the_reader(value: Any) -> None:
    wire = ChatKitWire()
    wire.feed([json.dumps(value).encode(), *payloads(*old.opening()), json.dumps(value).encode()])
    with contextlib.suppress(GatewayError):
        wire.finish()


def outcome(stream: list[bytes]) -> tuple[list[Event], type[GatewayError] | None]:
    wire = ChatKitWire()
    events = wire.feed(stream)
    try:
        return events + wire.finish(), None
    except GatewayError as error:
        return events, type(error)


def with_interruptions(stream: list[bytes]) -> list[bytes]:
    """The same with an event in between that says nothing, so that no payload follows its like."""
    return [payload for each in stream for payload in (each, b'{"type":"stream_options"}')]


@both
@given(
    st.lists(
        st.text(max_size=6) | st.sampled_from(['"', "\\", '"}}', '"delta":"x"}}', "\n", ""]), max_size=12
    )
)
def test_a_delta_is_read_alike_alone_and_after_others(dialect: Old, deltas: list[str]) -> None:
    stream = payloads(*dialect.opening(), *dialect.message(deltas))
    if "".join(deltas):
        assert text_of(outcome(stream)[0]) == "".join(deltas)
    assert outcome(stream) == outcome(with_interruptions(stream))


@both
@pytest.mark.parametrize(
    "rest",
    [
        b'"c", "delta": "d"}}',
        b'"c"}, "update": {"delta": "d"}}',
        b'"c", "more": {}}}',
        b'"c"}',
        b'"c"}}}}',
        b'"c\n"}}',
        b'"\\q"}}',
        b'"\xff"}}',
        b"null}}",
        b'{"c": {}}}',
        b"}}",
    ],
    ids=lambda rest: rest.decode("latin-1"),
)
def test_what_only_begins_like_the_delta_before_is_read_for_itself(dialect: Old, rest: bytes) -> None:
    like = payloads(dialect.delta("b"))[0]
    assert like.endswith(b'"b"}}')
    stream = payloads(*dialect.opening(), *map(dialect.delta, "abb"))
    stream += [like.removesuffix(b'"b"}}') + rest, like, *payloads(dialect.delta("e", index=1))]
    assert outcome(stream) == outcome(with_interruptions(stream))


def test_the_dialects_agree() -> None:
    assert isinstance(new, New)
    turns = [
        read(*dialect.opening(), *dialect.thinking("a", "b"), *dialect.message(["x", "y"]), dialect.titled())
        for dialect in (old, new)
    ]
    assert [reasoning_of(events) for events in turns] == ["a\n\nb"] * 2
    assert [text_of(events) for events in turns] == ["xy"] * 2
