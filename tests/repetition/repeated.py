"""What a model, a client or an upstream may repeat without end, for tests of the time that it takes."""

from collections.abc import Callable

# Characters, each of another kind for some reader.
CHARACTERS = [
    "a", " ", "\n", "\r", "\t", "\x00", "中", "😀", "\ufffd", "\ufeff", "\u2028", "\\", '"', "'", "“", "/",
    "#", "_", "-", "|", ",", ":", "1", "<", "&", "`", "~", "{", "}", "[", "]", "(",
]  # fmt: skip

# Beginnings and ends of what a reader looks for, and what goes on as it began.
MARKS = [
    "\r\n", "a b ", "a\n", '\\"', "\\u", "\\ud83d", "/*", "//", "1e", "null", "<|", "|>", "</", "&lt;",
    "```\n", "\n```json\n", '{"', '["', '["",', '"}', '" "', '"a",', '"a":', '{"a":', '{"a":1}', "[]", "{{",
    "data:", "data: {}\n\n", ": ", "[DONE]", "__LM_STUDIO", "<tool_call", "<tool_call>", "</tool_call>",
    '<tool_call name="get_weather">{}</tool_call>', "<function=get_weather>", "<parameter=a>", "<arg_key>",
    "<invoke", "get_weather(", '{"name":"get_weather","arguments":', "functions.", "<think>", "<|channel|>",
    "<|channel|>commentary to=functions.get_weather<|message|>", "<|start|>assistant", "<|end|>", "<|call|>",
]  # fmt: skip

ALL = CHARACTERS + MARKS

# What is held back until more of it is known, and might be read anew with every piece.
HELD = [" ", "a\n", '"', "\\", "<", "`", '["', "<|channel|>"]


def repeated(unit: str, size: int) -> str:
    """``size`` characters of ``unit`` over and over."""
    return (unit * (size // len(unit) + 1))[:size]


def pieces_of(text: str, size: int) -> list[str]:
    """``text`` in pieces of ``size`` characters."""
    return [text[at : at + size] for at in range(0, len(text), size)]


def is_quadratic(seconds: Callable[[int], float]) -> bool:
    """Whether a text eight times as long takes far more than eight times as long, whenever it is measured."""
    few = min(seconds(4_000), seconds(4_000))
    return all(seconds(32_000) > 14 * few + 0.05 for _ in range(5))
