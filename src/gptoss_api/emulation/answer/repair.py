"""What the model is told when an answer has to be asked for again, and how often it may be.

Source: docs/design/emulation.md, "Repairs".
"""

import re
from collections.abc import Sequence
from typing import Final, Literal

from ...core.errors import GatewayError, ThreadLost, UpstreamFailure
from ...text.tool_calls import Problem
from ..prompt.neutralise import neutralise, tidy

Kind = Literal["empty", "tools", "format"]

_EMPTY: Final = (
    "Your last message arrived empty: only plain text in your final answer reaches the application. "
    "Write the answer now."
)
_EMPTY_WITH_TOOLS: Final = (
    "Your last message arrived empty: only plain text in your final answer reaches the application. "
    'Write the answer, or the tool call as a <tool_call key="{key}" name="..."> text block, now.'
)
_NO_CALL: Final = (
    "Your answer has no tool call, but one is required. Send only a "
    '<tool_call key="{key}" name="{name}"> block with one JSON object, as described before.'
)
_NO_NATIVE_CALL: Final = "Your answer has no tool call, but one is required. Call one of: {names}."
_REJECTED: Final = (
    'The {blocks} you sent {were} rejected: {complaint}. Send only the corrected {blocks}, with key="{key}" '
    "unchanged."
)
_REJECTED_NATIVE: Final = (
    "You called {complaint}. These arguments do not fit the tool's schema, so nothing was called. "
    "Make every call of your answer again, with arguments that fit."
)
_THE_TOOLS: Final = "{complaint}. The tools are: {names}"
_TRUNCATED: Final = (
    'The block you sent ended in the middle. Send the whole block again, with key="{key}" unchanged, and '
    "nothing else."
)
_FORMAT: Final = (
    "Your answer was rejected: {complaint}. Send only the corrected JSON value: no code fence, no other text."
)
_NO_TOOLS: Final = "You called a tool, but there are none here. Answer in plain text."
_NOT_OFFERED: Final = (
    "You called a tool that does not exist. The tools are: {names}. Call one of them or answer in plain text."
)
_MOST_COMPLAINTS: Final = 5
_LONGEST_COMPLAINT: Final = 2_000
# A list of names longer than this is not repeated in full.
_MOST_NAMES: Final = 40

# How a backend says that the model called something by its native syntax that nobody offered.
_NATIVE_CALL: Final = re.compile(
    r"unexpected tokens|harmony|recipient|unknown (?:tool|function)|(?:tool|function)\b.{0,60}\bnot found"
    r"|error parsing tool call|model called a tool",
    re.I | re.S,
)


class RepairBudget:
    """How many further upstream turns one answer may cost, by what is wrong with it."""

    def __init__(self, *, strict_format: bool) -> None:
        self._left: dict[Kind, int] = {"empty": 1, "tools": 1, "format": 2 if strict_format else 1}

    def allows(self, kind: Kind) -> bool:
        return self._left[kind] > 0

    def spend(self, kind: Kind) -> None:
        self._left[kind] -= 1


def empty_nudge(key: str) -> str:
    """For an answer without text; ``key`` is "" where no tools are on offer."""
    return _EMPTY_WITH_TOOLS.format(key=key) if key else _EMPTY


def no_call_request(key: str, names: Sequence[str]) -> str:
    """For an answer without the call that is demanded; ``key`` is "" where calls are native."""
    if not key:
        return _NO_NATIVE_CALL.format(names=", ".join(names[:_MOST_NAMES]))
    return _NO_CALL.format(key=key, name=names[0] if len(names) == 1 else "...")


def problem_request(problems: Sequence[Problem], key: str, names: Sequence[str]) -> str:
    """For blocks that could not be used as they were; ``names`` are the tools there are."""
    if [problem.code for problem in problems] == ["E_TRUNC"]:
        return _TRUNCATED.format(key=key)
    details = dict.fromkeys(_clean(problem.detail) for problem in problems[:_MOST_COMPLAINTS])
    complaint = "; ".join(details)
    if any(problem.code == "E_UNKNOWN_TOOL" for problem in problems):
        complaint = _THE_TOOLS.format(complaint=complaint, names=", ".join(names[:_MOST_NAMES]))
    one = len(problems) == 1
    return _REJECTED.format(
        blocks="block" if one else "blocks", were="was" if one else "were", complaint=complaint, key=key
    )


def rejected_request(complaints: Sequence[str]) -> str:
    """For native calls that were read well and do not fit."""
    return _REJECTED_NATIVE.format(complaint="; ".join(map(_clean, complaints[:_MOST_COMPLAINTS])))


def undeclared_request(names: Sequence[str]) -> str:
    """For an answer that was only a native call to something that was not offered."""
    if not names:
        return _NO_TOOLS
    return _NOT_OFFERED.format(names=", ".join(names[:_MOST_NAMES]))


def format_request(complaints: Sequence[str]) -> str:
    """For an answer that is not the JSON that was asked for."""
    listed = "; ".join(" ".join(text.split()) for text in complaints[:_MOST_COMPLAINTS])
    return _FORMAT.format(complaint=_clean(listed))


def is_native_call(failure: GatewayError) -> bool:
    """Whether the upstream failed because the model made a native call that its parser did not know."""
    return isinstance(failure, UpstreamFailure) and _NATIVE_CALL.search(failure.message) is not None


def may_pass(failure: GatewayError) -> bool:
    """Whether the same turn may go better at once: nothing was refused, and nothing asks for a pause."""
    if not isinstance(failure, UpstreamFailure) or isinstance(failure, ThreadLost):
        return False
    return failure.retryable and failure.retry_after is None


def _clean(text: str) -> str:
    """Complaints quote the model, which may quote the client."""
    return neutralise(tidy(" ".join(text.split())[:_LONGEST_COMPLAINT]))
