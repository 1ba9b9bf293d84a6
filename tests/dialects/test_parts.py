"""The parts of an answer: each begins before its first delta and ends once, whatever the events are."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.core.events import (
    Event,
    Finished,
    ReasoningDelta,
    RefusalDelta,
    Started,
    TextDelta,
    ToolCallDelta,
    ToolCallFinished,
    ToolCallStarted,
)
from gptoss_api.dialects.parts import CallPart, Parts, TextKind, TextPart


class Recorder:
    """Writes down what it hears; parts are numbered as they begin."""

    def __init__(self) -> None:
        self.heard: list[tuple[object, ...]] = []
        self._begun = 0

    def text_started(self, kind: TextKind) -> int:
        return self._start(kind)

    def text_delta(self, data: int, text: str) -> None:
        self.heard.append(("delta", data, text))

    def text_ended(self, part: TextPart[int]) -> None:
        self.heard.append(("end", part.data, part.kind, part.text))

    def call_started(self, call: ToolCallStarted) -> int:
        return self._start(call.name)

    def call_ended(self, part: CallPart[int], *, complete: bool) -> None:
        self.heard.append(("end", part.data, part.call.name, part.arguments, complete))

    def other(self, event: Event) -> None:
        self.heard.append(("told", type(event).__name__))

    def _start(self, kind: str) -> int:
        self.heard.append(("start", self._begun, kind))
        self._begun += 1
        return self._begun - 1


def heard(*batches: Sequence[Event], complete: bool = True) -> list[tuple[object, ...]]:
    recorder = Recorder()
    parts = Parts(recorder)
    for batch in batches:
        parts.feed(batch)
    parts.end_text()
    parts.end_calls(complete=complete)
    return recorder.heard


def test_a_part_ends_where_another_kind_begins() -> None:
    events: list[Event] = [
        ReasoningDelta("Hm"),
        ReasoningDelta("."),
        TextDelta("Yes"),
        RefusalDelta("No"),
        TextDelta("!"),
    ]
    assert heard(events) == [
        ("start", 0, "reasoning"),
        ("delta", 0, "Hm"),
        ("delta", 0, "."),
        ("end", 0, "reasoning", "Hm."),
        ("start", 1, "text"),
        ("delta", 1, "Yes"),
        ("end", 1, "text", "Yes"),
        ("start", 2, "refusal"),
        ("delta", 2, "No"),
        ("end", 2, "refusal", "No"),
        ("start", 3, "text"),
        ("delta", 3, "!"),
        ("end", 3, "text", "!"),
    ]


def test_a_call_ends_the_text_before_it_and_calls_may_interleave() -> None:
    events: list[Event] = [
        TextDelta("Look:"),
        ToolCallStarted(0, "call_a", "a"),
        ToolCallStarted(1, "call_b", "b"),
        ToolCallDelta(1, "{}"),
        ToolCallDelta(0, '{"x"'),
        ToolCallFinished(1),
        ToolCallDelta(0, ":1}"),
    ]
    assert heard(events, complete=False) == [
        ("start", 0, "text"),
        ("delta", 0, "Look:"),
        ("end", 0, "text", "Look:"),
        ("start", 1, "a"),
        ("start", 2, "b"),
        ("delta", 2, "{}"),
        ("delta", 1, '{"x"'),
        ("end", 2, "b", "{}", True),
        ("delta", 1, ":1}"),
        ("end", 1, "a", '{"x":1}', False),
    ]


def test_a_call_that_was_cut_is_not_whole_whatever_the_rest_is() -> None:
    events: list[Event] = [ToolCallStarted(0, "call_a", "a"), ToolCallFinished(0, complete=False)]
    assert heard(events)[-1] == ("end", 0, "a", "", False)


def test_what_says_nothing_begins_nothing() -> None:
    events: list[Event] = [
        TextDelta(""),
        ReasoningDelta(""),
        ToolCallDelta(3, "{}"),
        ToolCallFinished(3),
        Finished("stop"),
    ]
    assert heard(events) == [("told", "Finished")]
    assert heard([Started(upstream="u", model="m")]) == [("told", "Started")]


PIECES = st.text(max_size=3)
EVENTS = st.lists(
    st.one_of(
        PIECES.map(TextDelta),
        PIECES.map(ReasoningDelta),
        PIECES.map(RefusalDelta),
        st.integers(0, 2).map(lambda index: ToolCallStarted(index, f"call_{index}", "f")),
        st.builds(ToolCallDelta, st.integers(0, 2), PIECES),
        st.integers(0, 2).map(ToolCallFinished),
    ),
    max_size=20,
    # A call begins once.
    unique_by=lambda event: event.index if isinstance(event, ToolCallStarted) else object(),
)


@given(EVENTS, st.data())
def test_every_part_begins_and_ends_once_and_batches_change_nothing(
    events: list[Event], data: st.DataObject
) -> None:
    said = heard(events)
    started = [event[1] for event in said if event[0] == "start"]
    assert started == list(range(len(started)))
    open_texts: set[object] = set()
    deltas: dict[object, str] = {}
    ended: list[object] = []
    for what, number, *rest in said:
        if what == "start":
            assert not open_texts, "the text before it ended first"
            if rest[0] != "f":
                open_texts.add(number)
        elif what == "delta":
            assert number not in ended
            deltas[number] = deltas.get(number, "") + str(rest[0])
        else:
            open_texts.discard(number)
            ended.append(number)
            assert rest[1] == deltas.get(number, "")
    assert sorted(ended, key=str) == sorted(started, key=str)
    cut = data.draw(st.integers(0, len(events)))
    assert heard(events[:cut], events[cut:]) == said == heard(*[[event] for event in events])
