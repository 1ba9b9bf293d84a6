"""A turn: one answer asked of the model, in neutral form.

Dialects build a :class:`Turn` from a client's request, upstreams answer it with a stream of
:mod:`gptoss_api.core.events`. Nothing here belongs to one client API or to one server.
"""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Literal

from msgspec import Struct, field
from msgspec.structs import replace

Effort = Literal["low", "medium", "high"]

# Messages hold texts and nothing that could lead back to them, so the collector need not look at them
# (``gc=False``): there are many, and they are remembered.


class ToolCall(Struct, frozen=True, gc=False):
    """A call the assistant made in an earlier turn.

    ``arguments`` is the JSON text of a function's arguments, or a custom tool's raw input.
    """

    id: str
    name: str
    arguments: str
    kind: Literal["function", "custom"] = "function"


class InstructionMessage(Struct, frozen=True, gc=False, tag="instruction"):
    """What the application says to the model: a system or developer message."""

    text: str
    role: Literal["system", "developer"] = "system"
    name: str | None = None


class UserMessage(Struct, frozen=True, gc=False, tag="user"):
    text: str
    name: str | None = None


class AssistantMessage(Struct, frozen=True, gc=False, tag="assistant"):
    """An earlier answer. ``reasoning`` is its chain of thought where the client sent it back."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    name: str | None = None


class ToolResultMessage(Struct, frozen=True, gc=False, tag="tool"):
    """A tool's output. ``call_id`` names the call it answers, ``name`` the tool where known.

    ``is_error`` says that the tool failed and that ``text`` tells how.
    """

    text: str
    call_id: str | None = None
    name: str | None = None
    is_error: bool = False


Message = InstructionMessage | UserMessage | AssistantMessage | ToolResultMessage


def leading_instructions(messages: Sequence[Message]) -> int:
    """How many instructions come before everything else."""
    for index, message in enumerate(messages):
        if not isinstance(message, InstructionMessage):
            return index
    return len(messages)


def last_answer(messages: Sequence[Message]) -> int:
    """The index of the last final answer, -1 without one: thoughts up to it are over."""
    for index in range(len(messages) - 1, -1, -1):
        message = messages[index]
        if isinstance(message, AssistantMessage) and not message.tool_calls:
            return index
    return -1


class Tool(Struct, frozen=True):
    """A tool the client offers.

    ``parameters`` is a JSON Schema (``None``: no arguments were described). A custom tool takes
    free text; ``grammar`` then holds the client's ``format`` object, if it sent one.
    """

    name: str
    description: str = ""
    parameters: dict[str, Any] | None = None
    strict: bool = False
    kind: Literal["function", "custom"] = "function"
    grammar: dict[str, Any] | None = None


class ToolChoice(Struct, frozen=True):
    """Which tools the answer may or must use.

    ``auto`` leaves it to the model, ``none`` forbids calls, ``required`` demands at least one,
    ``named`` demands the single tool in ``names``. ``names`` with ``auto`` or ``required``
    restricts the choice to those tools (OpenAI's ``allowed_tools``); empty means all.
    """

    mode: Literal["none", "auto", "required", "named"] = "auto"
    names: tuple[str, ...] = ()


class OutputFormat(Struct, frozen=True):
    """The form the final answer must have. ``schema`` and ``name`` belong to ``json_schema``."""

    kind: Literal["text", "json_object", "json_schema"] = "text"
    name: str = ""
    schema: dict[str, Any] | None = None
    strict: bool = False
    description: str = ""


class ThreadRef(Struct, frozen=True):
    """A conversation an upstream keeps: continue it instead of sending the history again.

    ``account`` names whose thread it is on the upstream (never the secret itself).
    """

    id: str
    account: str = ""


class ClearToolUses(Struct, frozen=True, tag="clear_tool_uses"):
    """Leaves the results of older tool calls out.

    It is done once the prompt has more than ``over`` tokens, or with ``counts_calls`` so many calls, and if
    it saves ``at_least`` so many tokens. The newest ``keep`` calls stay whole, and all of the tools in
    ``spared``. ``inputs`` leaves the arguments out, too: of all tools, or of those named.
    """

    over: int = 100_000
    counts_calls: bool = False
    keep: int = 3
    at_least: int = 0
    spared: tuple[str, ...] = ()
    inputs: bool | tuple[str, ...] = False


class ClearThinking(Struct, frozen=True, tag="clear_thinking"):
    """Leaves the thoughts of all but the newest ``keep`` answers that have some out."""

    keep: int = 1


class Truncate(Struct, frozen=True, tag="truncation"):
    """Leaves the oldest messages out where the prompt does not fit the context."""


class Compact(Struct, frozen=True, tag="compaction"):
    """Puts a summary by the model in the place of a conversation of more than ``over`` tokens.

    ``instructions`` are the client's for the summary. With ``pauses`` it is all that is answered.
    """

    over: int = 150_000
    instructions: str = ""
    pauses: bool = False


ContextEdit = ClearToolUses | ClearThinking | Truncate | Compact


def summary_message(summary: str) -> UserMessage:
    """What stands for the beginning of a conversation that was summed up."""
    return UserMessage(
        "The conversation up to here was replaced by this summary of it to save room. Go on from it.\n\n"
        f"<summary>\n{summary}\n</summary>"
    )


class Turn(Struct, frozen=True):
    """One answer asked of the model.

    ``model`` is a canonical id of :mod:`gptoss_api.core.catalog`; ``provider`` is who shall serve it, where
    the client said so in Hugging Face's way (``:groq``). ``effort`` is ``None`` where the
    client did not choose. ``max_tokens`` bounds reasoning, text and calls together, in o200k tokens; with
    ``bounds_shown``, only what of them the client is shown. 0 asks for no answer, only for what the prompt
    counts.
    ``top_logprobs`` is how many tokens the client wants to see beside each of the text's, with their log
    probabilities; ``None`` wants none of either.
    ``n`` is how many independent answers are wanted. ``streamed`` says that the client sees the answer while
    it comes; one that is given whole can be mended to its end. ``followed`` says that somebody may look at
    one that is given whole before it is complete.

    ``options`` holds what else the client set, under the names of OpenAI's chat reference
    (``temperature``, ``seed``, …, and unknown vendor fields). An upstream honours those that its
    capabilities name; every other one is reported to the client as ignored. So is what ``ignored`` names,
    which has no effect anywhere and goes no further than the dialect.

    ``caller`` is an opaque id of whose request this is (an API key's fingerprint, or ""): state is
    never shared between callers. ``queue`` is whose turns wait in one row: queues are fair between rows.
    ``thread`` continues an upstream
    conversation; ``messages`` then holds only what that conversation has not seen. ``new_thread`` asks that
    none be continued. ``weight`` is how much work the turn makes, in characters; 0 means
    little. ``wants_prompt_tokens`` asks for ``Started.prompt_tokens``, for which the answer then waits, and
    ``wants_stop_sequence`` for ``Finished.stop_sequence``, whatever the upstream tells of it.

    ``conversation`` is what the client calls its conversation, if it does: all its turns go to one upstream.
    ``hidden_tools`` names tools that the model may call without being shown them: a client knows them all
    the same.
    ``context_edits`` are made to the conversation before it goes up, in their order.
    ``comes_back`` says that the client repeats its request by itself where it failed or took too long.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    parallel_tool_calls: bool = True
    output_format: OutputFormat = OutputFormat()
    effort: Effort | None = None
    show_reasoning: bool = True
    max_tokens: int | None = None
    bounds_shown: bool = False
    stop: tuple[str, ...] = ()
    top_logprobs: int | None = None
    n: int = 1
    streamed: bool = True
    followed: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
    ignored: tuple[str, ...] = ()
    caller: str = ""
    queue: str = ""
    request_id: str = ""
    thread: ThreadRef | None = None
    new_thread: bool = False
    provider: str = ""
    weight: int = 0
    wants_prompt_tokens: bool = False
    wants_stop_sequence: bool = False
    hidden_tools: tuple[str, ...] = ()
    conversation: str = ""
    context_edits: tuple[ContextEdit, ...] = ()
    comes_back: bool = False


def without_demands(turn: Turn, left_out: Collection[str]) -> Turn:
    """``turn`` without what is ``left_out`` of ``tool_choice`` and the kind of its form.

    The tools on offer stay the same.
    """
    choice, form = turn.tool_choice, turn.output_format
    return replace(
        turn,
        tool_choice=replace(choice, mode="auto") if "tool_choice" in left_out else choice,
        output_format=OutputFormat() if form.kind in left_out else form,
    )
