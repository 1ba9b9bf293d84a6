"""The scenarios of docs/design/gpt-oss-com.md, "Scenarios", each with its variants, by name."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .answers import (
    ERROR_TEXT,
    SIGN_IN_TEXT,
    SIGN_IN_TITLE,
    Abort,
    Answer,
    At,
    Close,
    Comment,
    Delivery,
    Event,
    HttpReply,
    Mark,
    Pause,
    Reply,
    Step,
    error_event,
)
from .transcript import NewTranscript, OldTranscript, Transcript, recap_entry, thought_entry

if TYPE_CHECKING:
    from .server import Exchange

# Typographic characters as the site's answers have them, and wider ones for the cuts.
TEXT = (
    "Here’s a “palindrome” check — non‑trivial cases included:  \n\n"
    "```python\ndef is_palindrome(text: str) -> bool:\n"
    "    letters = [c.lower() for c in text if c.isalnum()]\n"
    "    return letters == letters[::-1]\n```\n\n"
    "It works for “été”, “しんぶんし” and even 🙂🙃🙂."
)
THOUGHTS = (
    "The user wants a palindrome check. I should ignore case and punctuation.",
    "Let me think about “été” and しんぶんし; both read the same backwards.",
    "I will answer with a short function.",
)
HONEST_TEXT = "“Sign in to continue” is what a card says; “rate limit” and “captcha” too."
WIDGET_TEXT = "The playground is closed for maintenance"
LIMIT_TEXT = "You have reached the message limit. Too many requests, try again later."
SPLIT_CODE = ("Sketch:\n```python\ndef f(x):", "return x + 1\n```\nGood enough.")
SHRINKING_FULL = "First I count the letters, then I compare them."
REFRESHED_SESSION = "eyJoZl9hY2Nlc3NfdG9rZW4iOiAiaGZfb2F1dGhfcmVmcmVzaGVkIn0=.aSRuRA.cmVmcmVzaGVk"
SECRET_IN_PAGE = "hf_oauth_leaked_into_a_page"

HAPPY = Answer(text=TEXT, reasoning=THOUGHTS, title="Palindrome check function")


@dataclass(frozen=True, slots=True)
class Scenario:
    """``number`` is that of the list; ``answer`` is what the simulator is scripted with."""

    number: int
    name: str
    about: str
    answer: "Reply | Callable[[Exchange], Reply | str]"


# 5, 6: noise before the answer


def stray_parts() -> Answer:
    def stray(identifier: str, index: int) -> Event:
        return Event(
            {
                "type": "thread.item_updated",
                "threadId": "thr_00000000",
                "itemId": identifier,
                "update": {
                    "type": "assistant_message.content_part.added",
                    "contentIndex": index,
                    "content": {"annotations": [], "text": "", "type": "output_text"},
                },
            }
        )

    return Answer(
        text=TEXT,
        reasoning=THOUGHTS,
        at={
            "opened": [stray("rs_" + "0" * 48, 0)],
            "half": [stray("rs_" + "1" * 48, 3)],
            "done": [stray("rs_" + "2" * 48, 0)],
        },
    )


def keep_alives(seconds: float, interval: float) -> Answer:
    """Comments only for so many seconds, then the happy path."""
    noise: list[Step] = []
    for _ in range(round(seconds / interval)):
        noise += (Pause(interval), Comment())
    return Answer(text=TEXT, reasoning=THOUGHTS, at={"headers": noise})


# 8, 9: cards


def card(*children: Any, bare: bool = False) -> Answer:
    """A widget and nothing more; ``bare`` leaves out thread.created and the user's message."""

    def script(transcript: Transcript, _: Answer) -> Iterator[Step]:
        yield At("headers")
        if not bare:
            yield from transcript.opening()
        yield transcript.widget({"type": "Card", "children": list(children)})
        yield At("end")

    return Answer(script=script)


LOGIN_CARD = card({"value": SIGN_IN_TITLE}, {"value": SIGN_IN_TEXT})
LOGIN_CARD_BARE = card({"value": SIGN_IN_TITLE}, {"value": SIGN_IN_TEXT}, bare=True)
LOGIN_CARD_NESTED = card(
    {
        "type": "Col",
        "children": [
            {"type": "Row", "children": [{"type": "Title", "value": SIGN_IN_TITLE}]},
            {"type": "Box", "children": {"type": "Text", "value": SIGN_IN_TEXT}},
        ],
    }
)
LOGIN_CARD_BUTTON = card(
    {"type": "Title", "value": "Welcome"},
    {"type": "Button", "label": "Log in with Hugging Face", "onClickAction": {"type": "login"}},
)
UNRELATED_WIDGET = card({"type": "Title", "value": WIDGET_TEXT}, {"type": "Text", "value": "Back at noon."})


# 10, 11: errors and ends


# So that what was said until then arrives by itself: with nothing delivered yet, a turn is tried again.
_SAID = Pause(0.2)


def fails(mark: Mark, event: Event) -> Answer:
    return ends(mark, event, Close())


def ends(mark: Mark, *steps: Step) -> Answer:
    last = steps or (Close(),)
    return Answer(text=TEXT, reasoning=THOUGHTS, at={mark: last if mark == "opened" else (_SAID, *last)})


# 17: answers that are no stream


def page(status: int, title: str, server: str = "nginx") -> HttpReply:
    """An HTML error page, longer than a log should keep, with a secret in it."""
    filler = "<p>The server encountered a temporary error and could not complete your request.</p>\n" * 40
    body = (
        f"<html>\n<head><title>{title}</title></head>\n<body>\n<h1>{title}</h1>\n"
        f"<pre>cookie: session={SECRET_IN_PAGE}</pre>\n{filler}</body></html>\n"
    )
    return HttpReply(status, body, "text/html; charset=utf-8", [("server", server)])


# 19: unusual order


def two_items(transcript: Transcript, answer: Answer) -> Iterator[Step]:
    yield At("headers")
    yield from transcript.opening()
    for text in ("First part of the answer.", "Second part of the answer."):
        yield from transcript.message(Answer(text=text))
    yield transcript.thread_updated("Two items")


def two_parts(transcript: Transcript, answer: Answer) -> Iterator[Step]:
    yield At("headers")
    yield from transcript.opening()
    item_id, started = transcript.message_id(), transcript.now()
    parts = ["First part of the answer.", "Second part of the answer."]
    yield transcript.message_added(item_id, started)
    for index, text in enumerate(parts):
        yield transcript.part_added(item_id, index)
        yield transcript.delta(item_id, index, text[:10])
        yield transcript.delta(item_id, index, text[10:])
        yield transcript.part_done(item_id, index, text)
    yield transcript.message_done(item_id, started, parts)
    yield transcript.thread_updated("Two parts")


SIDE_EVENTS: tuple[Event, ...] = (
    Event({"type": "notice", "level": "warning", "message": "m", "title": "t"}),
    Event({"type": "progress_update", "text": "Searching"}),
    Event({"type": "stream_options", "stream_options": {"allow_cancel": True}}),
    Event({"type": "client_effect", "name": "confetti", "data": {"text": "not an answer"}}),
    Event({"type": "thread.item.removed", "item_id": "msg_ffffffff"}),
    Event({"type": "something.new", "delta": "not an answer", "item": {"type": "hologram"}}),
    Event({"type": "thread.item_added", "threadId": "thr_0", "item": {"id": "x", "type": "task"}}),
    Event({"type": "thread.item_updated", "threadId": "thr_0", "itemId": "x", "update": {"type": "what"}}),
)


# 27: a workflow that forgets


def shrinking_task(transcript: Transcript, answer: Answer) -> Iterator[Step]:
    yield At("headers")
    yield from transcript.opening()
    if isinstance(transcript, NewTranscript):
        item_id, started = transcript.ids.workflow(), transcript.now()
        yield transcript.workflow_added(item_id, started)
        yield transcript.task(item_id, 0, SHRINKING_FULL[:14], added=True)
        for length in (28, 9, 28, len(SHRINKING_FULL), 20):
            yield transcript.task(item_id, 0, SHRINKING_FULL[:length], added=False)
        yield transcript.workflow_done(item_id, started, [SHRINKING_FULL[:14]])
    yield from transcript.message(answer)
    yield transcript.thread_updated("Shrinking task")


def late_entries(transcript: Transcript, answer: Answer) -> Iterator[Step]:
    """Thoughts that only the reasoning item's last event carries."""
    yield At("headers")
    yield from transcript.opening()
    if isinstance(transcript, OldTranscript):
        item_id = transcript.ids.item()
        yield transcript.cot_added(item_id)
        yield transcript.cot_done(item_id, [*map(thought_entry, answer.reasoning), recap_entry()])
    yield from transcript.message(answer)


def _delivered(**how: Any) -> Answer:
    return Answer(text=TEXT, reasoning=THOUGHTS, delivery=Delivery(**how))


_ALL = (
    Scenario(1, "s01_happy_path", "reasoning shown, old dialect", HAPPY),
    Scenario(
        2, "s02_happy_path_dotted", "the same in the dotted dialect", Answer(TEXT, THOUGHTS, dialect="new")
    ),
    Scenario(3, "s03_recap_only", "a reasoning item with its recap only", Answer(TEXT, recap_only=True)),
    Scenario(4, "s04_no_cot", "no reasoning item", Answer(TEXT)),
    Scenario(
        4, "s04_late_entries", "thoughts only in item_done", Answer(TEXT, THOUGHTS, script=late_entries)
    ),
    Scenario(5, "s05_stray_part", "content parts for items never announced", stray_parts()),
    Scenario(6, "s06_keep_alives", "comments for 90 seconds first", keep_alives(90, 5)),
    Scenario(7, "s07_long_title", "a title of 540 characters", Answer(TEXT, THOUGHTS, title="Long " * 108)),
    Scenario(8, "s08_login_card", "after thread and user events", LOGIN_CARD),
    Scenario(8, "s08_login_card_bare", "the card is the only event", LOGIN_CARD_BARE),
    Scenario(8, "s08_login_card_nested", "children within children", LOGIN_CARD_NESTED),
    Scenario(8, "s08_login_card_button", "only a button's label says it", LOGIN_CARD_BUTTON),
    Scenario(9, "s09_unrelated_widget", "a card about something else, no answer", UNRELATED_WIDGET),
    Scenario(
        10,
        "s10_error_before_text",
        "an error event with a message, nothing delivered",
        fails("opened", error_event(code="custom", message=ERROR_TEXT, allow_retry=True)),
    ),
    Scenario(
        10,
        "s10_error_after_text",
        "an error event in the middle of the text",
        fails("half", error_event(code="custom", message=ERROR_TEXT, allow_retry=True)),
    ),
    Scenario(10, "s10_error_without_message", "the SDK's bare error", fails("opened", error_event())),
    Scenario(
        10,
        "s10_error_camel_case",
        "allowRetry false in camelCase",
        fails("opened", error_event(code="custom", message="Out of luck", allowRetry=False)),
    ),
    Scenario(
        10,
        "s10_error_nested_message",
        "the message inside an error object",
        fails("opened", error_event(error={"message": ERROR_TEXT}, allowRetry=True)),
    ),
    Scenario(11, "s11_eof_before_text", "a clean end before the text", ends("opened")),
    Scenario(11, "s11_eof_after_reasoning", "a clean end after the thoughts", ends("reasoned")),
    Scenario(11, "s11_eof_mid_text", "a clean end in the middle of the text", ends("half")),
    Scenario(11, "s11_eof_after_part_done", "a clean end before item_done", ends("part_done")),
    Scenario(11, "s11_abort_before_text", "the connection closes before the text", ends("opened", Abort())),
    Scenario(11, "s11_abort_mid_text", "the connection is reset mid-text", ends("half", Abort(reset=True))),
    Scenario(
        11, "s11_abort_mid_chunk", "the connection closes mid-chunk", ends("half", Abort(mid_chunk=True))
    ),
    Scenario(
        12,
        "s12_missing_deltas",
        "item_done is longer than the deltas",
        Answer(TEXT, THOUGHTS, deltas=(TEXT[:40], TEXT[40:90])),
    ),
    Scenario(12, "s12_no_deltas", "only item_done has the text", Answer(TEXT, THOUGHTS, deltas=())),
    Scenario(
        13,
        "s13_contradicting_done",
        "item_done says something else",
        Answer(TEXT, THOUGHTS, full_text="Something else entirely."),
    ),
    Scenario(14, "s14_unknown_thread", "200, then the connection closes", Answer(at={"headers": [Abort()]})),
    Scenario(14, "s14_empty_stream", "200, then a clean end", Answer(at={"headers": [Close()]})),
    Scenario(15, "s15_foreign_thread", "as 14", Answer(at={"headers": [Abort()]})),
    Scenario(16, "s16_limit_widget", "a card about the limit", card({"type": "Text", "value": LIMIT_TEXT})),
    Scenario(
        16,
        "s16_limit_error",
        "an error event about the limit",
        fails("opened", error_event(code="custom", message=LIMIT_TEXT, allow_retry=False)),
    ),
    Scenario(16, "s16_limit_429", "HTTP 429", HttpReply(429, f'{{"detail":"{LIMIT_TEXT}"}}')),
    Scenario(17, "s17_html_502", "a proxy's page", page(502, "502 Bad Gateway")),
    Scenario(17, "s17_html_503", "a proxy's page", page(503, "503 Service Temporarily Unavailable")),
    Scenario(17, "s17_challenge_page", "a firewall's page", page(403, "Just a moment...", "cloudflare")),
    Scenario(17, "s17_json_401", "JSON", HttpReply(401, '{"detail":"Not authenticated"}')),
    Scenario(17, "s17_json_403", "JSON", HttpReply(403, '{"error":{"message":"Forbidden for you"}}')),
    Scenario(
        17,
        "s17_json_429",
        "JSON with Retry-After",
        HttpReply(429, '{"error":"Too many requests"}', headers=[("retry-after", "7")]),
    ),
    Scenario(17, "s17_wrong_content_type", "200 with a page", page(200, "gpt-oss playground")),
    Scenario(17, "s17_json_instead_of_stream", "200 with JSON", HttpReply(200, '{"message":"hello"}')),
    Scenario(18, "s18_utf8_split", "chunks of 3 bytes", _delivered(cut=3, group=0)),
    Scenario(18, "s18_random_chunks", "chunks of 1 to 40 bytes", _delivered(cut="random", group=0)),
    Scenario(18, "s18_byte_by_byte", "chunks of one byte", _delivered(cut=1)),
    Scenario(18, "s18_crlf", "CRLF line ends", _delivered(newline="\r\n")),
    Scenario(18, "s18_crlf_byte_by_byte", "CRLF, cut anywhere", _delivered(newline="\r\n", cut=1)),
    Scenario(18, "s18_many_events_per_chunk", "16 events per chunk", _delivered(group=16)),
    Scenario(18, "s18_one_chunk", "everything at once", _delivered(group=0)),
    Scenario(18, "s18_no_space_bom", "a BOM, no space after data:", _delivered(space=False, bom=True)),
    Scenario(18, "s18_no_final_blank_line", "ends with its last line", _delivered(final_blank_line=False)),
    Scenario(18, "s18_gzip", "gzip, flushed per event", _delivered(gzip=True)),
    Scenario(18, "s18_gzip_byte_by_byte", "gzip, one byte per chunk", _delivered(gzip=True, cut=1)),
    Scenario(
        19,
        "s19_title_mid_stream",
        "thread.updated between the deltas",
        Answer(
            TEXT,
            THOUGHTS,
            at={"half": [Event({"type": "thread.updated", "thread": {"id": "thr_0", "title": "Early"}})]},
        ),
    ),
    Scenario(19, "s19_two_items", "two assistant messages", Answer(script=two_items)),
    Scenario(19, "s19_two_parts", "a content part with index 1", Answer(script=two_parts)),
    Scenario(
        20,
        "s20_side_events",
        "notices, progress, effects, unknown types everywhere",
        Answer(TEXT, THOUGHTS, at=dict.fromkeys(("opened", "reasoned", "half", "done"), SIDE_EVENTS)),
    ),
    Scenario(21, "s21_honest_words", "an answer that talks about logins", Answer(HONEST_TEXT, THOUGHTS)),
    Scenario(22, "s22_slow_answer", "two minutes of deltas", Answer("word " * 6000, THOUGHTS, pace=0.02)),
    Scenario(
        23, "s23_refreshed_session", "a new session cookie", Answer(TEXT, grant_session=REFRESHED_SESSION)
    ),
    Scenario(
        24, "s24_burst", "740 deltas as fast as they go", Answer("word " * 740, deltas=("word ",) * 740)
    ),
    Scenario(
        24,
        "s24_slow_deltas",
        "18 deltas a second",
        Answer("word " * 18, deltas=("word ",) * 18, pace=1 / 18),
    ),
    Scenario(25, "s25_split_code_block", "a code block over two thoughts", Answer(TEXT, SPLIT_CODE)),
    Scenario(26, "s26_model_switch", "the happy path once more", HAPPY),
    Scenario(
        27,
        "s27_shrinking_task",
        "cumulative thoughts that shrink",
        Answer(TEXT, script=shrinking_task, dialect="new"),
    ),
)

SCENARIOS = {scenario.name: scenario for scenario in _ALL}
