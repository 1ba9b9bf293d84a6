"""Everything that can happen while a turn is answered, in the order it happens.

A turn's stream is: ``Started``, then per choice any mix of deltas and exactly one ``Finished``
(``ChoiceStarted`` opens every choice after the first), then at most one ``UsageReported``.
A stream that ends without ``Finished`` has failed and raises instead (:mod:`.errors`).

Upstreams hand events over in batches, one batch for each network read, so that what arrived
together leaves together.
"""

import secrets
from collections.abc import Sequence
from typing import Any, Final, Literal

from msgspec import Struct

FinishReason = Literal["stop", "length", "tool_calls", "content_filter"]
ThreadUse = Literal["new", "reused", "replayed"]
Repeat = Literal["joined", "replayed"]


class Usage(Struct, frozen=True, gc=False):
    """Tokens spent, as o200k_harmony counts them.

    ``completion_tokens`` includes ``reasoning_tokens``; ``cached_tokens`` is the part of
    ``prompt_tokens`` that was not sent upstream again. ``estimated`` is true where the gateway
    counted because the upstream does not report usage.
    """

    prompt_tokens: int
    completion_tokens: int
    reasoning_tokens: int = 0
    cached_tokens: int = 0
    estimated: bool = True


class ContextEdited(Struct, frozen=True):
    """What was left out of a conversation: ``count`` results, answers with thoughts, or messages.

    ``tokens`` is how many fewer the prompt has, ``summary`` what stands for messages that were summed up.
    """

    edit: Literal["clear_tool_uses", "clear_thinking", "truncation", "compaction"]
    count: int
    tokens: int
    summary: str = ""


# The ``upstream`` of an answer for which none was asked.
NO_UPSTREAM: Final = "none"


class Started(Struct, frozen=True):
    """The upstream has begun to answer; nothing was delivered before this.

    ``emulated`` lists features the gateway provides itself (``history``, ``tools``,
    ``json_schema``, ``stop`` …), ``ignored`` the client's options without effect. ``thread_id`` and
    ``account`` name the upstream conversation where there is one. ``repairs`` counts the upstream turns
    spent on mending before anything was delivered, ``repaired`` names their kinds. ``prompt_tokens`` is the
    gateway's own count where it is known by then, as it always is where ``Turn.wants_prompt_tokens``;
    ``Usage`` at the end has the last word.
    ``repeat`` says that the answer is that to an earlier request, which was ``joined`` while it was under way
    or is ``replayed``. ``context_edits`` are those of the turn that changed something.
    """

    upstream: str
    model: str
    thread: ThreadUse = "new"
    thread_id: str | None = None
    account: str = ""
    emulated: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()
    repairs: int = 0
    repaired: tuple[str, ...] = ()
    prompt_tokens: int | None = None
    repeat: Repeat | None = None
    context_edits: tuple[ContextEdited, ...] = ()


class ChoiceStarted(Struct, frozen=True, gc=False):
    """What follows belongs to choice ``index`` (1, 2, …) of a turn with ``n`` > 1."""

    index: int


class ReasoningDelta(Struct, frozen=True, gc=False):
    """More of the thoughts; an upstream says with an empty one that there are some which are not shown."""

    text: str


class TextDelta(Struct, frozen=True, gc=False):
    text: str


class LogprobsDelta(Struct, frozen=True, gc=False):
    """The log probabilities of text, one entry for each token, in OpenAI's form (``logprobs.content``)."""

    entries: list[Any]


class RefusalDelta(Struct, frozen=True, gc=False):
    text: str


def new_call_id() -> str:
    """An id for a call, in the form of OpenAI's, that no other call of any conversation has."""
    return f"call_{secrets.token_hex(12)}"


class ToolCallStarted(Struct, frozen=True, gc=False):
    """Call number ``index`` (0, 1, … within its choice) begins.

    ``id`` is :func:`new_call_id`'s, never an upstream's: servers number the calls of every answer from 0, and
    clients look for a call in the whole conversation.
    """

    index: int
    id: str
    name: str
    kind: Literal["function", "custom"] = "function"


class ToolCallDelta(Struct, frozen=True, gc=False):
    """A further piece of the arguments' JSON text, or of a custom tool's input."""

    index: int
    arguments: str


class ToolCallFinished(Struct, frozen=True, gc=False):
    """``complete`` is false where the answer was cut in the middle of the call."""

    index: int
    complete: bool = True


class UsageReported(Struct, frozen=True, gc=False):
    usage: Usage


class Finished(Struct, frozen=True):
    """A choice is complete.

    ``repairs`` counts what was mended in this answer: upstream turns spent on it, whose kinds ``repaired``
    names (``empty``, ``tools``, ``format``), and arguments made to fit. ``notes`` says in words what was
    repaired or could not be (for the ``x_gptoss`` object of the last chunk). ``stop_sequence`` is the one of
    ``Turn.stop`` that ended the answer, where that is known.
    """

    reason: FinishReason
    repairs: int = 0
    notes: tuple[str, ...] = ()
    stop_sequence: str | None = None
    repaired: tuple[str, ...] = ()


Event = (
    Started
    | ChoiceStarted
    | ReasoningDelta
    | TextDelta
    | LogprobsDelta
    | RefusalDelta
    | ToolCallStarted
    | ToolCallDelta
    | ToolCallFinished
    | UsageReported
    | Finished
)

Events = Sequence[Event]
