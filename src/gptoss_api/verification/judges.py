"""What an answer is worth: pure judgements, each "" for a good one or a word for what is wrong."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from ..text.schema import compile_schema
from .cases import Expected, ExpectedCall, ExpectedForm, ExpectedText, Probe
from .raw import Counts, RawAnswer, RawCall

TOOL_ARGUMENTS: Final = "tool_arguments"
RIGHT_TOOL: Final = "right_tool"
STRUCTURED: Final = "structured_output"
REASONING: Final = "reasoning"
EFFORT: Final = "effort"
THOUGHTS: Final = "thoughts_back"
CONTEXT: Final = "long_context"
USAGE: Final = "usage"
COMPLETE: Final = "complete"

# What is measured, in the order in which it is shown, in words.
CHECKS: Final[Mapping[str, str]] = {
    TOOL_ARGUMENTS: "tool calls parse and fit",
    RIGHT_TOOL: "right tool, right values",
    STRUCTURED: "structured output fits",
    REASONING: "reasoning is there",
    EFFORT: "effort is obeyed",
    THOUGHTS: "thoughts taken back",
    CONTEXT: "long context is read",
    USAGE: "usage is plausible",
    COMPLETE: "answers are whole",
}


class Sizes(Struct, frozen=True):
    """How long an answer is: thoughts in characters, and the tokens that were reported."""

    characters: int = 0
    reasoning_tokens: int = 0
    completion_tokens: int = 0


class Counted(Struct, frozen=True):
    """The tokens of a turn as they are counted here."""

    prompt: int
    completion: int


def judge(probe: Probe, expected: Expected, answer: RawAnswer, counted: Counted | None) -> dict[str, str]:
    """What ``answer`` says about each check that ``probe`` is for.

    Without ``counted`` nothing is said about usage. Effort is judged by pairs (:func:`longer`).
    """
    verdicts = {COMPLETE: whole(answer)}
    if counted is not None:
        verdicts[USAGE] = plausible(answer.usage, counted, hidden=not answer.reasoning)
    if probe.effort == "high":
        verdicts[REASONING] = "" if answer.reasoning.strip() else "no_reasoning"
    match expected:
        case ExpectedCall():
            if expected.name:
                verdicts[TOOL_ARGUMENTS] = fitting_calls(answer.calls, expected)
            verdicts[RIGHT_TOOL] = right_call(answer, expected)
        case ExpectedForm(schema):
            verdicts[STRUCTURED] = fitting_form(answer.text, schema)
        case ExpectedText(text) if text:
            check = THOUGHTS if probe.case.area == "thoughts" else CONTEXT
            verdicts[check] = "" if _has(answer.text, text) else "not_found"
    return verdicts


def checks_of(probe: Probe, *, usage: bool) -> tuple[str, ...]:
    """The checks about which an answer to ``probe`` says something."""
    nothing = judge(probe, probe.asked().expected, RawAnswer(), Counted(0, 0) if usage else None)
    return tuple(nothing)


def whole(answer: RawAnswer) -> str:
    """Whether a plain client sees a whole answer, with the end that it should have."""
    if answer.unreadable:
        return "unreadable"
    if answer.leaks:
        return "leaked_tokens"
    if not answer.finish_reason:
        return "no_end"
    if not answer.text.strip() and not answer.calls:
        return "cut" if answer.finish_reason == "length" else "empty"
    if answer.calls and answer.finish_reason != "tool_calls":
        return "wrong_end"
    return ""


def fitting_calls(calls: Sequence[RawCall], expected: ExpectedCall) -> str:
    """Whether there are calls, each with strict JSON that fits the schema of a tool that was offered."""
    if not calls:
        return "no_call"
    schemas = {tool.name: tool.parameters for tool in expected.tools}
    for call in calls:
        if call.name not in schemas:
            return "unknown_tool"
        try:
            value = _strict(call.arguments)
        except ValueError:
            return "not_json"
        if not compile_schema(schemas[call.name] or {}).is_valid(value):
            return "does_not_fit"
    return ""


def right_call(answer: RawAnswer, expected: ExpectedCall) -> str:
    """Whether exactly the expected call is made, or none and the expected text is written."""
    if not expected.name:
        if answer.calls:
            return "needless_call"
        return "" if _has(answer.text, expected.text) else "not_found"
    if not answer.calls:
        return "no_call"
    if len(answer.calls) > 1:
        return "several_calls"
    call = answer.calls[0]
    if call.name != expected.name:
        return "wrong_tool"
    try:
        value = _strict(call.arguments)
    except ValueError:
        return "not_json"
    if not isinstance(value, dict):
        return "wrong_values"
    right = all(_same(value.get(name), wanted) for name, wanted in expected.arguments.items())
    return "" if right else "wrong_values"


def fitting_form(text: str, schema: dict[str, Any]) -> str:
    """Whether ``text`` is strict JSON that fits ``schema``, and nothing else."""
    try:
        value = _strict(text)
    except ValueError:
        return "not_json" if text.strip() else "empty"
    return "" if compile_schema(schema).is_valid(value) else "does_not_fit"


def plausible(usage: Counts | None, counted: Counted, *, hidden: bool) -> str:
    """Whether the reported numbers can be true.

    Templates and system prompts differ, and so do ways of counting: what is within half and twice of what
    is counted here is taken. With ``hidden`` thoughts nothing is too much for an answer.
    """
    if usage is None or usage.prompt is None or usage.completion is None:
        return "missing"
    if not counted.prompt / 2 - 100 <= usage.prompt <= counted.prompt * 2 + 400:
        return "prompt_off"
    if usage.completion < counted.completion / 2 - 20:
        return "completion_off"
    if not hidden and usage.completion > counted.completion * 2 + 200:
        return "completion_off"
    return "reasoning_off" if (usage.reasoning or 0) > usage.completion else ""


def sizes(answer: RawAnswer) -> Sizes:
    usage = answer.usage or Counts()
    return Sizes(len(answer.reasoning.strip()), usage.reasoning or 0, usage.completion or 0)


def longer(low: Sizes, high: Sizes) -> int:
    """1 where more is thought at ``high`` effort than at ``low``, -1 where less, 0 where as much.

    By the thoughts that are shown; by the tokens reported for thoughts, then for the answer, where none are.
    """
    for one, other in (
        (low.characters, high.characters),
        (low.reasoning_tokens, high.reasoning_tokens),
        (low.completion_tokens, high.completion_tokens),
    ):
        if one or other:
            return (other > one) - (other < one)
    return 0


def _strict(text: str) -> Any:
    """Raises: ValueError, for what is not JSON to its last letter."""

    def refuse(name: str) -> None:
        raise ValueError(name)

    try:
        return json.loads(text, parse_constant=refuse)
    except RecursionError:
        raise ValueError("too deep") from None


def _has(text: str, words: str) -> bool:
    return words.lower() in text.lower()


def _same(given: Any, wanted: Any) -> bool:
    """Whether a model means ``wanted``: letters may be larger, and a city may come with its country."""
    if isinstance(wanted, str):
        return isinstance(given, str) and _has(given, wanted)
    if isinstance(wanted, list):
        return (
            isinstance(given, list)
            and len(given) == len(wanted)
            and all(_same(one, other) for one, other in zip(given, wanted, strict=True))
        )
    if isinstance(wanted, dict):
        return isinstance(given, dict) and all(_same(given.get(name), each) for name, each in wanted.items())
    return isinstance(given, int | float) and not isinstance(given, bool) and given == wanted
