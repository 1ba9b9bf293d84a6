"""``truncation: auto``: a conversation that is too long, without its beginning."""

from msgspec.structs import replace

from ...core.turn import (
    AssistantMessage,
    InstructionMessage,
    Message,
    ToolResultMessage,
    Turn,
    UserMessage,
)

# Of what would just fit, as much is kept: an estimate by length must not be cut to the token.
_MARGIN = 0.9


def without_oldest(turn: Turn, prompt_tokens: int, room: int) -> Turn | None:
    """``turn`` without as many of its oldest messages as it has to lose, or ``None`` where it cannot.

    ``prompt_tokens`` is what the whole prompt was counted to, ``room`` what it may have. Instructions
    stay, and so does everything from the last message of the user on; a tool's result never stands
    without its call.
    """
    sizes = [_size(message) for message in turn.messages]
    total = sum(sizes)
    excess = total * (1 - _MARGIN * room / max(prompt_tokens, 1))
    last = max(
        (index for index, message in enumerate(turn.messages) if isinstance(message, UserMessage)),
        default=len(sizes) - 1,
    )
    kept: list[Message] = []
    dropped = 0.0
    cutting = True
    for index, message in enumerate(turn.messages):
        if isinstance(message, InstructionMessage):
            kept.append(message)
            continue
        cutting = cutting and index < last and (dropped < excess or isinstance(message, ToolResultMessage))
        if cutting:
            dropped += sizes[index]
        else:
            kept.append(message)
    return replace(turn, messages=tuple(kept)) if dropped else None


def _size(message: Message) -> int:
    if isinstance(message, AssistantMessage):
        return len(message.text) + sum(len(call.arguments) for call in message.tool_calls)
    return len(message.text)
