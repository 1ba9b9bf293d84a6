"""The website sends thoughts and then no answer: the turn is asked once more, however its bytes travel.

What broke is an ``error`` event that allows to try again, or an end in good order where an answer should be.
Nothing but thoughts has left for the client then, so the whole turn is asked again in a new conversation,
and after that the failure has one name.
"""

import json
from collections.abc import Sequence
from typing import Any, Literal

import pytest

from tests.conftest import Site
from tests.simulator import Answer, Exchange
from tests.simulator.agent import Call, tool_key
from tests.simulator.answers import Close, Delivery, Event, Pause, Step, error_event

from .chat import Outcome, ask
from .test_emulation import ADA, CITY, FUNCTION, PERSON

THOUGHTS = ("The user wants to know something.", "I call the tool for that, as I was taught.")
MORE = ("Now in plain text.",)

PLAIN: dict[str, Any] = {}
TOOLS: dict[str, Any] = {"tools": [FUNCTION]}
FORM: dict[str, Any] = {"response_format": PERSON}
NUDGE = "Your last message arrived empty"

# How thoughts and failure arrive: the pause before the failure, and how everything is cut.
TIMINGS = {
    "one_read": (0.0, Delivery(group=0)),
    "two_reads": (0.05, Delivery(group=0)),
    "event_by_event": (0.0, Delivery()),
    "event_by_event_slowly": (0.0, Delivery(pause=0.005)),
    "byte_by_byte": (0.0, Delivery(cut=1)),
    "within_events": (0.0, Delivery(group=0, cut=97, pause=0.001)),
    "anywhere": (0.05, Delivery(group=0, cut="random")),
    "compressed": (0.0, Delivery(gzip=True)),
}

timings = pytest.mark.parametrize("timing", TIMINGS)
ends = pytest.mark.parametrize("end", ["error", "end"])
streamed_or_not = pytest.mark.parametrize("stream", [False, True], ids=["whole", "stream"])
requests = pytest.mark.parametrize("wanted", [PLAIN, TOOLS, FORM], ids=["plain", "tools", "json_schema"])


def thoughts_alone(
    timing: str, end: str, thoughts: Sequence[str] = THOUGHTS, error: Event | None = None
) -> Answer:
    pause, delivery = TIMINGS[timing]
    error = error or error_event(code="stream.error", allow_retry=True)
    last: tuple[Step, ...] = (error, Close()) if end == "error" else (Close(),)
    return Answer(
        reasoning=thoughts, at={"reasoned": ((Pause(pause),) if pause else ()) + last}, delivery=delivery
    )


def good(exchange: Exchange) -> Answer:
    """An answer in the form that the prompt demands."""
    if "<tool_call" in exchange.text:
        return Answer(Call("get_weather", {"city": "Paris"}).block(tool_key(exchange.text)), MORE)
    return Answer(ADA if "JSON" in exchange.text else "It rains.", MORE)


def calls(outcome: Outcome, *, stream: bool) -> list[tuple[str, str]]:
    """The calls of a stream; those of a whole body are not kept."""
    pieces = [
        call
        for chunk in outcome.chunks
        for choice in chunk.get("choices", ())
        for call in choice["delta"].get("tool_calls", ())
    ]
    assert stream or not pieces
    names = [call["function"]["name"] for call in pieces if call["function"].get("name")]
    return [(name, "".join(call["function"].get("arguments", "") for call in pieces)) for name in names]


@timings
@ends
@streamed_or_not
@requests
def test_the_turn_is_asked_once_more_in_a_new_conversation(
    site: Site, timing: str, end: Literal["error", "end"], stream: bool, wanted: dict[str, Any]
) -> None:
    site.simulator.script(thoughts_alone(timing, end), good)
    outcome = ask(site.gateway.base_url, stream=stream, **wanted)
    assert (outcome.status, outcome.error) == (200, None)
    first, second = site.simulator.requests
    assert (first.op, second.op) == ("threads.create", "threads.create")
    assert second.text.startswith(first.text)
    assert second.text.count(NUDGE) == (1 if wanted else 0)
    assert outcome.reasoning.startswith("\n\n".join(THOUGHTS))
    if wanted is TOOLS:
        assert outcome.finish_reason == "tool_calls"
        assert not stream or calls(outcome, stream=stream) == [("get_weather", CITY)]
    elif wanted is FORM:
        assert json.loads(outcome.text) == json.loads(ADA)
    else:
        assert outcome.text == "It rains."


@timings
@ends
@streamed_or_not
@requests
def test_thoughts_alone_twice_are_an_empty_answer(
    site: Site, timing: str, end: Literal["error", "end"], stream: bool, wanted: dict[str, Any]
) -> None:
    site.simulator.always(thoughts_alone(timing, end))
    outcome = ask(site.gateway.base_url, stream=stream, **wanted)
    assert outcome.error is not None
    assert (outcome.error["type"], outcome.error["code"]) == ("api_error", "upstream_empty")
    assert outcome.status == (200 if stream else 502)
    assert len(site.simulator.requests) == 2


@timings
@ends
def test_so_are_thoughts_that_are_not_shown(site: Site, timing: str, end: str) -> None:
    hidden: dict[str, Any] = {"reasoning": {"exclude": True}}
    site.simulator.script(thoughts_alone(timing, end), good)
    assert ask(site.gateway.base_url, stream=False, **hidden).text == "It rains."
    site.simulator.reset()
    site.simulator.always(thoughts_alone(timing, end))
    outcome = ask(site.gateway.base_url, stream=False, **hidden)
    assert (outcome.status, (outcome.error or {}).get("code")) == (502, "upstream_empty")
    assert len(site.simulator.requests) == 2


@timings
@streamed_or_not
@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"code": "custom", "message": "Out of luck", "allow_retry": False}, "upstream_error"),
        (
            {"code": "custom", "message": "Sign in to continue", "allow_retry": True},
            "upstream_login_required",
        ),
        (
            {"code": "rate_limit", "message": "Too many requests.", "allow_retry": True},
            "upstream_rate_limited",
        ),
    ],
    ids=["no_retry", "login", "rate_limit"],
)
def test_a_refusal_after_thoughts_is_not_asked_again(
    site: Site, timing: str, stream: bool, fields: dict[str, Any], code: str
) -> None:
    site.simulator.always(thoughts_alone(timing, "error", error=error_event(**fields)))
    outcome = ask(site.gateway.base_url, stream=stream, **TOOLS)
    assert outcome.error is not None
    assert outcome.error["code"] == code
    assert len(site.simulator.requests) == 1


@ends
@streamed_or_not
def test_a_conversation_that_went_on_is_told_anew(site: Site, end: str, stream: bool) -> None:
    """The message that failed may stand in the conversation; it is not added to it again."""
    hello = {"role": "user", "content": f"Remember the number 7 for {end} {stream}."}
    site.simulator.script(Answer("I will."), thoughts_alone("one_read", end), Answer("It was 7."))
    first = ask(site.gateway.base_url, [hello], stream=stream)
    told = [hello, {"role": "assistant", "content": first.text}, {"role": "user", "content": "Which one?"}]
    outcome = ask(site.gateway.base_url, told, stream=stream)
    assert (outcome.error, outcome.text) == (None, "It was 7.")
    assert [request.op for request in site.simulator.requests] == [
        "threads.create",
        "threads.addMessage",
        "threads.create",
    ]
    assert "Remember the number 7" in site.simulator.last.text


@timings
@ends
def test_a_call_that_leaked_into_the_thoughts_is_made(site: Site, timing: str, end: str) -> None:
    header = "<|start|>assistant<|channel|>commentary to=functions.get_weather <|constrain|>json<|message|>"
    leaked = f"I need the weather.<|end|>{header}{CITY}"
    site.simulator.script(thoughts_alone(timing, end, (leaked,)))
    outcome = ask(site.gateway.base_url, stream=True, **TOOLS)
    assert (outcome.error, outcome.finish_reason) == (None, "tool_calls")
    assert calls(outcome, stream=True) == [("get_weather", CITY)]
    assert len(site.simulator.requests) == 1


@streamed_or_not
def test_a_turn_that_was_asked_twice_before_its_thoughts_is_not_asked_a_third_time(
    site: Site, stream: bool
) -> None:
    site.simulator.script("s14_empty_stream", thoughts_alone("one_read", "error"))
    outcome = ask(site.gateway.base_url, stream=stream, **TOOLS)
    assert outcome.error is not None
    assert outcome.error["code"] == "upstream_empty"
    assert len(site.simulator.requests) == 2
