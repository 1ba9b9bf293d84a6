"""How a response is to be made, as its request or an item says: the effort, and the form of its text."""

from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from ...core.errors import MissingParameter
from ...core.turn import Effort, OutputFormat
from ..fields import Fields
from ..parameters import EFFORTS, read_json_schema


class Configuration(Struct):
    """What the items of a conversation have changed of the request's own; ``None`` where they say nothing."""

    effort: Effort | None = None
    output_format: OutputFormat | None = None

    def update(self, item: Fields) -> Iterator[str]:
        """Takes what a ``configuration_update`` says; it holds until another one replaces it.

        Gives the names of what it says without effect.

        Raises:
            MissingParameter: for one that says nothing of what can be changed.
        """
        if not {"reasoning", "text"} & item.members.keys():
            raise MissingParameter(
                f"Missing required parameter: '{item.at('reasoning')}'. A configuration_update changes "
                "reasoning.effort or text.format.",
                param=item.at("reasoning"),
            )
        yield from (name for name in item.members if name not in _OF_AN_UPDATE)
        reasoning = item.object("reasoning")
        effort = None if reasoning is None else reasoning.choice("effort", tuple(EFFORTS))
        if effort is not None:
            self.effort = EFFORTS[effort]
        if reasoning is not None:
            yield from (f"reasoning.{name}" for name in reasoning.members if name != "effort")
        text = item.object("text")
        if text is None:
            return
        yield from (f"text.{name}" for name in text.members if name != "format")
        if text.get("format") is not None:
            self.output_format, _ = read_text(item)


_OF_AN_UPDATE: Final = frozenset({"type", "id", "object", "status", "reasoning", "text"})


def read_text(body: Fields) -> tuple[OutputFormat, str | None]:
    """The form of the answer and its verbosity."""
    text = body.object("text")
    if text is None:
        return OutputFormat(), None
    verbosity = text.choice("verbosity", ("low", "medium", "high"))
    form = text.object("format")
    if form is None:
        return OutputFormat(), verbosity
    match form.required_choice("type", ("text", "json_object", "json_schema")):
        case "text":
            return OutputFormat(), verbosity
        case "json_object":
            return OutputFormat("json_object"), verbosity
        case _:
            # Chat completions nest the schema one level deeper; clients mix the two forms.
            inner = form.object("json_schema") or form
            inner.required_object("schema")
            return read_json_schema(inner, "text.format"), verbosity


def read_reasoning(body: Fields) -> tuple[Effort | None, dict[str, Any], list[str]]:
    """The effort, the object as the answer repeats it, and the members without effect. The whole chain of
    thought is given, so that a summary of it has none."""
    reasoning = body.object("reasoning")
    if reasoning is None:
        return None, {"effort": None, "summary": None}, []
    effort = reasoning.choice("effort", tuple(EFFORTS))
    summary = reasoning.choice("summary", ("auto", "concise", "detailed", "none"))
    without_effect = [
        f"reasoning.{name}"
        for name, value in reasoning.members.items()
        if name != "effort" and value not in (None, "none")
    ]
    shown = {"effort": effort, "summary": None if summary == "none" else summary}
    return None if effort is None else EFFORTS[effort], shown, without_effect


def text_object(form: OutputFormat, verbosity: str | None) -> dict[str, Any]:
    """The member ``text`` as the answer repeats it."""
    said: dict[str, Any] = {"type": form.kind}
    if form.kind == "json_schema":
        said |= {
            "name": form.name,
            "description": form.description or None,
            "schema": form.schema,
            "strict": form.strict,
        }
    return {"format": said, "verbosity": verbosity or "medium"}
