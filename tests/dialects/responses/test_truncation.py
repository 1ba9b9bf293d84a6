"""What a conversation loses when it is too long."""

from gptoss_api.core.turn import (
    AssistantMessage,
    InstructionMessage,
    Message,
    ToolCall,
    ToolResultMessage,
    Turn,
    UserMessage,
)
from gptoss_api.dialects.responses import without_oldest

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
