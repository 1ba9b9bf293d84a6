"""Samples made of what was heard of a turn: which answer counts, and what it is worth."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from ..core.errors import GatewayError
from ..core.result import Collector
from ..dialects.openai_errors import openai_error
from ..text.tokens import Tokens
from ..upstreams.base import Capabilities
from ..upstreams.http.recording import RecordedExchange
from .card import Form, Sample
from .cases import Expected, Probe
from .judges import (
    COMPLETE,
    RIGHT_TOOL,
    STRUCTURED,
    THOUGHTS,
    TOOL_ARGUMENTS,
    USAGE,
    Counted,
    checks_of,
    judge,
    sizes,
)
from .overhearing import Hearing
from .raw import RawAnswer, delivered, read_raw

_LONGEST_WORD: Final = 60
_MILLISECOND: Final = 1_000_000
# What is measured of an upstream that takes one text and gives one: everything else is the gateway's doing.
_NOT_OF_TEXTS: Final = (TOOL_ARGUMENTS, RIGHT_TOOL, STRUCTURED, THOUGHTS)
# The members of a request that a server may refuse, and the check that is lost with them.
_REFUSABLE: Final = {STRUCTURED: ("response_format", "text"), THOUGHTS: ("reasoning", "reasoning_content")}


class Outcome(Struct):
    """Everything that is known of a turn when it is over."""

    probe: Probe
    expected: Expected
    tape: list[RecordedExchange]
    heard: list[Hearing]
    said: Collector
    failure: GatewayError | None = None


def forms_of(capabilities: Capabilities) -> dict[str, Form]:
    """Which checks tell of what the gateway does in an upstream's place."""
    if not capabilities.history:
        return dict.fromkeys(_NOT_OF_TEXTS, "emulated")
    forms: dict[str, Form] = {}
    if not capabilities.tools:
        forms |= {TOOL_ARGUMENTS: "emulated", RIGHT_TOOL: "emulated"}
    if not capabilities.json_schema:
        forms[STRUCTURED] = "emulated"
    return forms


def sample_of(outcome: Outcome, capabilities: Capabilities, tokens: Tokens) -> Sample:
    """What a turn says about the server, and about what the gateway makes of it."""
    probe, failure, said = outcome.probe, outcome.failure, outcome.said
    answer = delivered(said)
    counted = _counted(said, answer, tokens)
    texts = not capabilities.history
    # Who reports no usage at all is not asked for any.
    gateway_counted = None if texts else counted
    sample = Sample(probe.case.id, probe.sample, probe.effort or "")
    if failure is None:
        sample.gateway = judge(probe, outcome.expected, answer, gateway_counted)
        sample.gateway_sizes = sizes(answer)
    else:
        sample.error = _word(failure)
        sample.gateway = dict.fromkeys(checks_of(probe, usage=False), sample.error)
    if started := said.started:
        sample.emulated = started.emulated
        sample.repairs = max(started.repairs, said.choices[0].repairs)
    if usage := said.usage:
        sample.prompt_tokens, sample.completion_tokens = usage.prompt_tokens, usage.completion_tokens
    _add_raw(sample, outcome, counted, texts=texts)
    _add_times(sample, outcome.heard)
    return sample


def _word(failure: GatewayError) -> str:
    """What clients of the gateway would see as its code."""
    status, _, code = openai_error(failure)
    return (code or f"http_{status}")[:_LONGEST_WORD]


def _add_raw(sample: Sample, outcome: Outcome, counted: Counted | None, *, texts: bool) -> None:
    """The verdicts on the server's first answer, without what is not of its own doing."""
    probe = outcome.probe
    raw: RawAnswer | None
    recorded = next((each for each in outcome.tape if each.status == 200), None)
    if texts:
        raw = delivered(outcome.heard[0].said) if outcome.heard and not outcome.failure else None
    else:
        raw = None if recorded is None else read_raw(recorded.url, recorded.response_body)
    if raw is None or (outcome.failure is not None and not (raw.text or raw.calls)):
        verdicts = dict.fromkeys(checks_of(probe, usage=False), sample.error or "no_answer")
    else:
        usable = counted is not None and not texts
        # Against what the server itself said: the gateway may have asked once more.
        own = Counted(counted.prompt, counted.completion) if usable and counted else None
        verdicts = judge(probe, outcome.expected, raw, own)
        sample.raw_sizes = sizes(raw)
        if recorded is not None and not recorded.whole and not raw.finish_reason and not outcome.failure:
            # The gateway had seen enough.
            verdicts.pop(COMPLETE)
            verdicts.pop(USAGE, None)
    for check, members in _REFUSABLE.items():
        if check in verdicts and refused(outcome.tape, members):
            verdicts[check] = "refused"
    sample.raw = {name: word for name, word in verdicts.items() if not (texts and name in _NOT_OF_TEXTS)}


def _add_times(sample: Sample, heard: Sequence[Hearing]) -> None:
    if not heard:
        return
    first = heard[0]
    if first.said.spoke:
        sample.first_ms = (first.said.spoke - first.begun) / _MILLISECOND
    if first.ended:
        sample.total_ms = (first.ended - first.begun) / _MILLISECOND


def _counted(said: Collector, answer: RawAnswer, tokens: Tokens) -> Counted | None:
    if said.started is None or said.started.prompt_tokens is None:
        return None
    parts = [answer.reasoning, answer.text, *(f"{call.name} {call.arguments}" for call in answer.calls)]
    return Counted(said.started.prompt_tokens, sum(map(tokens.count, parts)))


def refused(tape: Sequence[RecordedExchange], members: Sequence[str]) -> bool:
    """Whether a request with one of ``members`` was refused and then made without it, at the same place."""
    answered = next((each for each in tape if each.status == 200), None)
    if answered is None:
        return False
    sent = _names(answered)
    return any(
        name in _names(each) and name not in sent
        for each in tape
        if 400 <= each.status < 500 and each.url == answered.url
        for name in members
    )


def _names(recorded: RecordedExchange) -> frozenset[str]:
    """The members of a request and of its messages."""
    try:
        body: Any = json.loads(recorded.body)
    except ValueError:
        return frozenset()
    if not isinstance(body, Mapping):
        return frozenset()
    messages = body.get("messages")
    inner = messages if isinstance(messages, list) else ()
    return frozenset(body).union(*(message for message in inner if isinstance(message, Mapping)))
