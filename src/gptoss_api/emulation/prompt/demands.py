"""What is demanded of the final answer, in words: its form, or a call.

A server that takes conversations gets all of one, with one more instruction at its end. So it does where it
has a field for the demand: a grammar makes an answer fit, but does not tell the model what it is to say.
"""

from collections.abc import Collection
from typing import Final

from msgspec.structs import replace

from ...core.turn import InstructionMessage, OutputFormat, Turn, without_demands
from .typescript import comment_lines, compact

_NO_OTHER_TEXT: Final = "Write only the JSON; no code fence, no other text."
_LIMITS_OF: Final = {
    "object": "Start with { and end with }; no code fence, no other text.",
    "array": "Start with [ and end with ]; no code fence, no other text.",
}


def format_section(name: str, description: str, schema: str) -> str:
    """The schema of a form in Harmony's words; the texts are the client's, cleaned where that is needed."""
    return "\n".join((f"# Response Formats\n\n## {name}\n", *comment_lines(description), schema)) + "\n\n"


def format_line(form: OutputFormat, name: str, *, may_call: bool) -> str:
    """That the answer must have ``form``, or be a call; ``name`` is that of its section."""
    calls = ", or tool calls if you still need information" if may_call else ""
    if form.kind == "json_object":
        return f"Your final answer must be a single JSON object{calls}. {_LIMITS_OF['object']}"
    root = (form.schema or {}).get("type", "object")
    ends = _LIMITS_OF.get(root, _NO_OTHER_TEXT) if isinstance(root, str) else _NO_OTHER_TEXT
    return (
        "Your final answer must be a single JSON value that validates against the schema "
        f'"{name}" above{calls}. {ends}'
    )


def told(turn: Turn, lacking: Collection[str]) -> Turn:
    """``turn``, a native one, with what it demands in words, and in those fields that are not ``lacking``."""
    form, choice = turn.output_format, turn.tool_choice
    name = form.name or "response"
    text = ""
    if form.kind == "json_schema":
        text = format_section(name, form.description, compact(form.schema or {}) or "{}")
    if turn.tools and choice.mode in ("required", "named"):
        one = turn.tools[0].name if len(turn.tools) == 1 else ""
        text += (
            f"You must call the tool {one} now." if one else "You must call at least one of your tools now."
        )
    elif form.kind != "text":
        text += format_line(form, name, may_call=bool(turn.tools))
    if not text:
        return turn
    told_so = replace(turn, messages=(*turn.messages, InstructionMessage(text)))
    return without_demands(told_so, lacking)
