"""What a model reads of a turn, as Harmony renders it: what is counted where nobody else counts it.

Servers that take conversations render them in the models' own format. Nothing of this is sent. The layout is
that of OpenAI's reference renderer (docs/design/emulation.md, "Token counts"), which leaves out more of a
schema than :mod:`.typescript` does.
"""

from collections.abc import Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any, Final

from msgspec import Struct

from ...core.turn import (
    AssistantMessage,
    InstructionMessage,
    Tool,
    ToolResultMessage,
    Turn,
    last_answer,
    leading_instructions,
)
from .tool_section import ToolCache, offered_tools, parameters_of
from .transcript import UNKNOWN
from .typescript import compact

# Tokens of the system message (its date changes nothing) and of the header that the answer continues, and
# what the mention of tools adds to that message.
SYSTEM_TOKENS: Final = 63
_TOOLS_TOKENS: Final = 14
# Tokens around the text of a message: delimiters, role and channel. Names are counted as texts.
MESSAGE_TOKENS: Final = 4
ANSWER_TOKENS: Final = 6
_PREAMBLE_TOKENS: Final = 7
_CALL_TOKENS: Final = 10
_RESULT_TOKENS: Final = 9

# Deeper schemas are counted as if they were anything.
_NESTING: Final = 32
# Characters of one tool's types, indentation included: more than any window has room for.
_CHARACTERS: Final = 4_000_000
_LEAST_LINE: Final = 8
# What is sent for a tool that takes nothing.
_NOTHING: Final = {"type": "object", "properties": {}}
_BLOCK: Final = 64 * 1024
_CACHED: Final = 64
_text_of: Final = attrgetter("text")


class HarmonyText(Struct, frozen=True):
    """The texts of a rendered conversation, and the ``tokens`` that stand around them."""

    texts: tuple[str, ...]
    tokens: int


class _ToolText(Struct, frozen=True):
    text: str


_tools: Final = ToolCache[_ToolText](_CACHED)


def harmony_text(turn: Turn, digest: bytes, *, thoughts: bool = True) -> HarmonyText:
    """``turn`` as its model reads it; ``digest`` is that of its tools.

    ``thoughts`` says that those of earlier answers are sent: the ones since the last final answer count.
    """
    texts: list[str] = []
    tokens = SYSTEM_TOKENS
    beginning = leading_instructions(turn.messages)
    sections: list[str] = []
    if beginning and (text := "\n\n".join(map(_text_of, turn.messages[:beginning]))):
        sections.append(f"# Instructions\n\n{text}\n\n")
    if turn.tools and (offered := offered_tools(turn)):
        tokens += _TOOLS_TOKENS
        sections.append(_tools.get(turn, "", digest, lambda: _ToolText(_tool_section(offered))).text)
    if sections:
        texts += sections
        tokens += MESSAGE_TOKENS
    names: dict[str, str] = {}
    # The thoughts up to the last final answer are dropped.
    over: int | None = None if thoughts else len(turn.messages)
    for index in range(beginning, len(turn.messages)):
        message = turn.messages[index]
        if isinstance(message, AssistantMessage):
            over = last_answer(turn.messages) if over is None else over
            for call in message.tool_calls:
                names[call.id] = call.name
            tokens += _answer(message, texts, thought=index > over)
        elif isinstance(message, ToolResultMessage):
            called = message.name or names.get(message.call_id or "", UNKNOWN)
            texts += (f"functions.{called}", message.text)
            tokens += _RESULT_TOKENS
        else:
            if isinstance(message, InstructionMessage):
                texts.append("# Instructions\n\n")
            texts.append(message.text)
            tokens += MESSAGE_TOKENS
    return HarmonyText(tuple(filter(None, texts)), tokens)


def _answer(message: AssistantMessage, texts: list[str], *, thought: bool) -> int:
    """Adds the texts of an earlier answer, each part of which is a message; gives the tokens around them."""
    tokens = 0
    if thought and message.reasoning:
        texts.append(message.reasoning)
        tokens += ANSWER_TOKENS
    text = message.text or message.refusal
    if text or not message.tool_calls:
        texts.append(text)
        tokens += _PREAMBLE_TOKENS if message.tool_calls else ANSWER_TOKENS
    for call in message.tool_calls:
        texts += (f" to=functions.{call.name}", call.arguments or "{}")
        tokens += _CALL_TOKENS
    return tokens


# The developer message


def _tool_section(tools: Iterable[Tool]) -> str:
    types = "\n".join(_tool(tool) for tool in tools)
    return f"# Tools\n\n## functions\n\nnamespace functions {{\n\n{types}\n}} // namespace functions"


def _tool(tool: Tool) -> str:
    kind = _Types().of(parameters_of(tool) or _NOTHING, "", 0)
    return f"{_lines(tool.description)}type {tool.name} = (_: {kind}) => any;\n"


class _Types:
    """Writes the types of one tool's schema; what would be longer than any window becomes ``any``."""

    def __init__(self) -> None:
        self._room = _CHARACTERS

    def of(self, schema: object, indent: str, nesting: int) -> str:
        self._room -= len(indent) + _LEAST_LINE
        if not isinstance(schema, Mapping) or nesting > _NESTING or self._room < 0:
            return "any"
        if isinstance(variants := schema.get("oneOf"), list):
            lines = (
                f"\n{indent} | {self._variant(variant, indent, nesting)}{_remarks(variant)}"
                for variant in variants
            )
            return "".join(lines)
        match schema.get("type"):
            case list(kinds) if named := [kind for kind in kinds if isinstance(kind, str)]:
                return " | ".join("number" if kind == "integer" else kind for kind in named)
            case "object":
                return self._object(schema, indent, nesting)
            case "array" if "items" in schema:
                return f"{self.of(schema['items'], indent, nesting + 1)}[]"
            case "array":
                return "Array<any>"
            case "string":
                values = schema.get("enum")
                texts = (
                    [value for value in values if isinstance(value, str)] if isinstance(values, list) else ()
                )
                return " | ".join(f'"{text}"' for text in texts) or "string"
            case "number" | "integer":
                return "number"
            case "boolean":
                return "boolean"
            case _:
                return "any"

    def _variant(self, schema: object, indent: str, nesting: int) -> str:
        return _nullable(schema, self.of(schema, f"{indent}   ", nesting + 1))

    def _object(self, schema: Mapping[str, Any], indent: str, nesting: int) -> str:
        properties = schema.get("properties")
        required = schema.get("required")
        needed = {name for name in required if isinstance(name, str)} if isinstance(required, list) else ()
        lines = [f"{_comment(indent, schema.get('description'))}{{\n"]
        if isinstance(properties, Mapping):
            for name, member in properties.items():
                label = f"{indent}{name}{'' if name in needed else '?'}:"
                lines += self._member(label, member if isinstance(member, Mapping) else {}, indent, nesting)
        return "".join((*lines, f"{indent}}}"))

    def _member(self, label: str, member: Mapping[str, Any], indent: str, nesting: int) -> Iterator[str]:
        if isinstance(title := member.get("title"), str):
            yield f"{indent}// {title}\n{indent}//\n"
        variants, described = member.get("oneOf"), member.get("description")
        if not isinstance(variants, list) or not variants or described != _description(variants[0]):
            yield _comment(indent, described)
        if isinstance(examples := member.get("examples"), list) and examples:
            texts = (each for each in examples if isinstance(each, str))
            yield f"{indent}// Examples:\n" + "".join(f'{indent}// - "{text}"\n' for text in texts)
        if not isinstance(variants, list):
            kind = _nullable(member, self.of(member, f"{indent}    ", nesting + 1))
            default = f" // {_default(member)}" if "default" in member else ""
            yield f"{label} {kind},{default}\n"
            return
        if "default" in member:
            yield f"{indent}// {_default(member)}\n"
        yield f"{label}\n"
        for number, variant in enumerate(variants):
            kind = self._variant(variant, indent, nesting)
            said = isinstance(described, str) and number == 0
            yield f"{indent} | {kind}{_remarks(variant, described, silent=said)}\n"
        yield f"{indent},\n"


def _nullable(schema: object, kind: str) -> str:
    null = isinstance(schema, Mapping) and schema.get("nullable") is True and "null" not in kind
    return f"{kind} | null" if null else kind


def _remarks(schema: object, known: object = None, *, silent: bool = False) -> str:
    """What stands behind a variant: its description unless that is ``known``, and its default."""
    if not isinstance(schema, Mapping):
        return ""
    described = _description(schema)
    said = [described] if described is not None and described != known and not silent else []
    if "default" in schema:
        said.append(_default(schema))
    return f" // {' '.join(said)}" if said else ""


def _description(schema: object) -> str | None:
    described = schema.get("description") if isinstance(schema, Mapping) else None
    return described if isinstance(described, str) else None


def _default(schema: Mapping[str, Any]) -> str:
    default = schema["default"]
    bare = isinstance(default, str) and bool(schema.get("enum"))
    return f"default: {default if bare else compact(default)}"


def _comment(indent: str, text: object) -> str:
    return f"{indent}// {text}\n" if isinstance(text, str) else ""


def _lines(text: str) -> str:
    blocks, at = [], 0
    while at < len(text):
        # A megabyte of short lines at one go would stop everything else meanwhile.
        end = text.find("\n", at + _BLOCK) + 1 or len(text)
        blocks.append("".join(f"// {line}\n" for line in text[at:end].splitlines()))
        at = end
    return "".join(blocks)
