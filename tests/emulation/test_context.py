"""What a conversation loses to keep its context small."""

import asyncio

import pytest
from msgspec.structs import replace

from gptoss_api.core.catalog import find_model
from gptoss_api.core.errors import ContextLengthExceeded
from gptoss_api.core.events import ContextEdited
from gptoss_api.core.turn import (
    AssistantMessage,
    ClearThinking,
    ClearToolUses,
    Compact,
    ContextEdit,
    InstructionMessage,
    Message,
    ToolCall,
    ToolResultMessage,
    Truncate,
    Turn,
    UserMessage,
    summary_message,
)
from gptoss_api.emulation import EmulatedUpstream, EmulationSettings
from gptoss_api.emulation.context import CLEARED, cleared, without_oldest
from gptoss_api.state import GuardedStore, MemoryStore
from gptoss_api.threads import ReasoningCache
from gptoss_api.upstreams.base import Capabilities
from tests.pulled import opened

from .scripted import TEXT_ONLY, TOKENS, WEATHER, Outcome, ScriptedUpstream, answered, asks

RULES = InstructionMessage("rules")


def shortened(*messages: Message, tokens: int = 200, room: int = 100) -> tuple[Message, ...] | None:
    shorter = without_oldest(Turn("gpt-oss-120b", messages), tokens, room)
    return None if shorter is None else shorter.messages


def said(*letters: str) -> list[Message]:
    return [UserMessage(letter * 100) for letter in letters]


def test_the_oldest_messages_go_until_the_rest_fits() -> None:
    a, b, c, d = said("a", "b", "c", "d")
    assert shortened(RULES, a, b, c, d) == (RULES, d)
    assert shortened(RULES, a, b, c, d, tokens=105) == (RULES, b, c, d)


def test_instructions_stay_wherever_they_stand() -> None:
    a, b = said("a", "b")
    late = InstructionMessage("late", "developer")
    assert shortened(RULES, a, late, b) == (RULES, late, b)


def test_a_result_does_not_stay_without_its_call() -> None:
    call = AssistantMessage("x" * 300, tool_calls=(ToolCall("1", "t", "{}"),))
    result = ToolResultMessage("y", "1")
    (question,) = said("q")
    assert shortened(call, result, question, tokens=200, room=150) == (question,)


def test_the_newest_question_and_what_follows_stays() -> None:
    (question,) = said("q")
    call = AssistantMessage(tool_calls=(ToolCall("1", "t", "{}" * 500),))
    result = ToolResultMessage("y" * 1000, "1")
    assert shortened(question, call, result) is None


# What is cleared


def worked(calls: int, size: int = 10) -> list[Message]:
    """A question and so many calls with their thoughts and results."""
    messages: list[Message] = [UserMessage("q")]
    for number in range(calls):
        call = ToolCall(str(number), f"tool{number % 2}", f'{{"n": {number}}}')
        messages.append(AssistantMessage("", f"thought {number}", tool_calls=(call,)))
        messages.append(ToolResultMessage("r" * size, str(number)))
    return messages


def length(turn: Turn) -> int:
    """A count that says the same of a letter wherever it stands."""
    texts = [m.text + getattr(m, "reasoning", "") for m in turn.messages]
    calls = [c.arguments for m in turn.messages if isinstance(m, AssistantMessage) for c in m.tool_calls]
    return sum(map(len, texts + calls))


def edited(
    *edits: ContextEdit, calls: int = 5, size: int = 1_000
) -> tuple[list[str], list[str], list[str], tuple[ContextEdited, ...]]:
    """The results, the arguments and the thoughts that are left."""
    turn, told = cleared(Turn("gpt-oss-120b", tuple(worked(calls, size)), context_edits=edits), length)
    answers = [m for m in turn.messages if isinstance(m, AssistantMessage)]
    results = [m.text[:1] for m in turn.messages if isinstance(m, ToolResultMessage)]
    return results, [m.tool_calls[0].arguments for m in answers], [m.reasoning for m in answers], told


def test_the_newest_results_stay() -> None:
    results, arguments, _, told = edited(ClearToolUses(over=2_000))
    assert results == ["[", "[", "r", "r", "r"]
    assert arguments == [f'{{"n": {n}}}' for n in range(5)]
    assert told == (ContextEdited("clear_tool_uses", 2, 2 * (1_000 - len(CLEARED))),)
    assert edited(ClearToolUses(over=2_000, keep=0))[0] == ["["] * 5


@pytest.mark.parametrize(
    "edit",
    [
        ClearToolUses(over=6_000),
        ClearToolUses(over=5, counts_calls=True),
        ClearToolUses(over=2_000, at_least=5_000),
        ClearToolUses(over=2_000, keep=5),
        ClearToolUses(over=2_000, spared=("tool0", "tool1")),
        ClearThinking(keep=5),
        Truncate(),
    ],
)
def test_nothing_is_told_where_nothing_is_cleared(edit: ContextEdit) -> None:
    results, _, thoughts, told = edited(edit)
    assert (results, told) == (["r"] * 5, ())
    assert thoughts == [f"thought {n}" for n in range(5)]


def test_calls_may_be_counted_and_tools_spared() -> None:
    edit = ClearToolUses(over=4, counts_calls=True, keep=1, spared=("tool1",))
    assert edited(edit)[0] == ["[", "r", "[", "r", "r"]


@pytest.mark.parametrize(("inputs", "left"), [(True, [0, 0, 1, 1, 1]), (("tool1",), [1, 0, 1, 1, 1])])
def test_arguments_may_go_too(inputs: bool | tuple[str, ...], left: list[int]) -> None:
    arguments = edited(ClearToolUses(over=2_000, inputs=inputs))[1]
    assert [int(each != "{}") for each in arguments] == left


def test_the_newest_thoughts_stay() -> None:
    results, _, thoughts, told = edited(ClearThinking(keep=2))
    assert thoughts == ["", "", "", "thought 3", "thought 4"]
    assert told == (ContextEdited("clear_thinking", 3, 3 * len("thought 0")),)
    assert results == ["r"] * 5


def test_edits_are_made_one_after_the_other() -> None:
    told = edited(ClearThinking(keep=0), ClearToolUses(over=5_100, keep=0))[3]
    assert [each.edit for each in told] == ["clear_thinking"], "the thoughts made room enough"
    told = edited(ClearThinking(keep=0), ClearToolUses(over=5_000, keep=4))[3]
    assert [(each.edit, each.count) for each in told] == [("clear_thinking", 5), ("clear_tool_uses", 1)]


# For every upstream

NATIVE = Capabilities(history=True, tools=True, stop=True, max_tokens=True)


def sent(outcome: Outcome) -> str:
    return "\n".join(f"{m.text} {getattr(m, 'reasoning', '')}" for m in outcome.asked[0].messages)


@pytest.mark.parametrize("capabilities", [NATIVE, TEXT_ONLY], ids=["native", "text"])
def test_the_upstream_gets_what_is_left_and_the_client_is_told(capabilities: Capabilities) -> None:
    turn = asks(*worked(4, 1_000), tools=[WEATHER])
    edits = (ClearThinking(keep=1), ClearToolUses(over=1, counts_calls=True, keep=1))
    outcome = answered(turn, "Done.", capabilities=capabilities)
    assert (sent(outcome).count("r" * 1_000), outcome.started.context_edits) == (4, ())
    shorter = answered(
        asks(*worked(4, 1_000), tools=[WEATHER], context_edits=edits), "Done.", capabilities=capabilities
    )
    assert (sent(shorter).count("r" * 1_000), sent(shorter).count(CLEARED)) == (1, 3)
    assert [(each.edit, each.count) for each in shorter.started.context_edits] == [
        ("clear_thinking", 3),
        ("clear_tool_uses", 3),
    ]
    if capabilities is NATIVE:
        thoughts = [m.reasoning for m in shorter.asked[0].messages if isinstance(m, AssistantMessage)]
        assert thoughts == ["", "", "", "thought 3"]


async def test_thoughts_that_the_gateway_remembers_are_cleared_too() -> None:
    thoughts = ReasoningCache(GuardedStore(MemoryStore()))
    for number in range(2):
        *before, answer, _ = worked(number + 1)
        assert isinstance(answer, AssistantMessage)
        await thoughts.keep(asks(*before), answer)
    silent = [
        AssistantMessage(tool_calls=m.tool_calls) if isinstance(m, AssistantMessage) else m for m in worked(2)
    ]
    upstream = ScriptedUpstream(["Done."], lambda text: [text], capabilities=NATIVE)
    emulated = EmulatedUpstream(upstream, TOKENS, EmulationSettings(), reasoning=thoughts)
    async with opened(emulated, asks(*silent, context_edits=(ClearThinking(keep=1),))) as batches:
        async for _ in batches:
            pass
    answers = [m.reasoning for m in upstream.asked[0].messages if isinstance(m, AssistantMessage)]
    assert answers == ["", "thought 1"]


WINDOW = find_model("gpt-oss-120b").context_window


@pytest.mark.parametrize("capabilities", [NATIVE, TEXT_ONLY], ids=["native", "text"])
def test_a_conversation_that_is_too_long_may_lose_its_beginning(capabilities: Capabilities) -> None:
    long = [UserMessage(letter + " word" * (WINDOW // 3)) for letter in "abcd"]
    assert isinstance(answered(asks(*long), capabilities=capabilities).error, ContextLengthExceeded)
    outcome = answered(asks(*long, context_edits=(Truncate(),)), "Here.", capabilities=capabilities)
    (told,) = outcome.started.context_edits
    assert (told.edit, told.count) == ("truncation", 2)
    assert told.tokens > 0
    assert "d word" in sent(outcome)
    assert "b word" not in sent(outcome)
    # What is left cannot be shortened.
    alone = UserMessage("a" + " word" * WINDOW)
    refused = answered(asks(alone, context_edits=(Truncate(),)), capabilities=capabilities)
    assert isinstance(refused.error, ContextLengthExceeded)


def test_what_is_left_is_what_counts() -> None:
    upstream = EmulatedUpstream(
        ScriptedUpstream([], lambda text: [text], capabilities=NATIVE), TOKENS, EmulationSettings()
    )

    def count(*edits: ContextEdit) -> int:
        return asyncio.run(upstream.count(asks(*worked(9, 5_000), context_edits=edits)))

    assert count() - count(ClearToolUses(over=1_000)) > 6 * TOKENS.count("r" * 5_000) * 0.9


SUMMARY = "They want q. Five calls were made."


@pytest.mark.parametrize("capabilities", [NATIVE, TEXT_ONLY], ids=["native", "text"])
@pytest.mark.parametrize("asks_more", [True, False])
def test_a_long_conversation_is_summed_up_by_the_model(capabilities: Capabilities, asks_more: bool) -> None:
    said = [RULES, *worked(5, 2_000), *([UserMessage("And now?")] if asks_more else [])]
    edit = Compact(over=500, instructions="Keep the numbers.")
    turn = asks(*said, tools=[WEATHER], context_edits=(edit,))
    outcome = answered(turn, SUMMARY, "Done.", capabilities=capabilities)
    assert outcome.text == "Done."
    first, second = ("\n".join(m.text for m in asked.messages) for asked in outcome.asked)
    assert "Keep the numbers." in first
    assert first.count("r" * 2_000) == 5
    assert "r" * 2_000 not in second
    assert SUMMARY in second
    assert "rules" in second
    assert ("And now?" in second) is asks_more
    (told,) = outcome.started.context_edits
    assert (told.edit, told.summary) == ("compaction", SUMMARY)
    assert told.count == 11
    assert told.tokens > 500
    # The summary was asked for and is charged, too.
    assert outcome.usage.completion_tokens >= TOKENS.count(SUMMARY) + TOKENS.count("Done.")
    assert outcome.usage.prompt_tokens > told.tokens
    if capabilities is NATIVE:
        assert outcome.asked[0].tools == ()
        question = (UserMessage("And now?"),) if asks_more else ()
        assert outcome.asked[1].messages == (RULES, summary_message(SUMMARY), *question)


def test_a_summary_may_be_all_that_is_wanted() -> None:
    edit = Compact(over=100, pauses=True)
    outcome = answered(asks(*worked(5, 2_000), context_edits=(edit,)), SUMMARY, capabilities=NATIVE)
    assert (outcome.text, outcome.reason) == ("", "stop")
    assert outcome.started.context_edits[0].summary == SUMMARY
    assert outcome.usage.completion_tokens == TOKENS.count(SUMMARY)


def test_a_conversation_that_is_short_enough_is_not_summed_up() -> None:
    outcome = answered(asks(*worked(2), context_edits=(Compact(),)), "Done.", capabilities=NATIVE)
    assert (outcome.text, outcome.started.context_edits) == ("Done.", ())
    # What other edits leave out counts no more.
    edits = (ClearToolUses(over=100, keep=0), Compact(over=1_000))
    outcome = answered(asks(*worked(5, 5_000), context_edits=edits), "Done.", capabilities=NATIVE)
    assert [each.edit for each in outcome.started.context_edits] == ["clear_tool_uses"]


def test_what_does_not_fit_is_summed_up_whatever_the_limit() -> None:
    long = [UserMessage(letter + " word" * (WINDOW // 3)) for letter in "abcd"]
    turn = asks(*long, UserMessage("And now?"), context_edits=(Compact(over=10**9),))
    outcome = answered(turn, SUMMARY, "Done.", capabilities=NATIVE)
    assert (outcome.text, outcome.started.context_edits[0].edit) == ("Done.", "compaction")
    # Of what is too long even for a summary the end is summed up.
    assert "a word" not in outcome.asked[0].messages[0].text


def test_what_has_no_messages_can_be_summed_up_too() -> None:
    turn = replace(asks(context_edits=(Compact(over=0, pauses=True),)), messages=())
    outcome = answered(turn, SUMMARY, capabilities=NATIVE)
    assert outcome.started.context_edits[0].summary == SUMMARY
