"""Thirty questions, each with the call that answers it, over ten tools that are offered all at once."""

from typing import Any, NamedTuple

Json = dict[str, Any]


def _object(required: list[str] | None = None, **properties: Json) -> Json:
    names = list(properties) if required is None else required
    return {"type": "object", "properties": properties, "required": names, "additionalProperties": False}


_TEXT: Json = {"type": "string"}
_WHOLE: Json = {"type": "integer"}
_NUMBER: Json = {"type": "number"}
_FLAG: Json = {"type": "boolean"}

TOOLS: dict[str, Json] = {
    "service_status": _object(),
    "find_language": _object(text=_TEXT),
    "to_html": _object(markdown=_TEXT),
    "exchange": _object(amount=_NUMBER, source=_TEXT, target=_TEXT),
    "route": _object(start=_object(lat=_NUMBER, lon=_NUMBER), end=_object(lat=_NUMBER, lon=_NUMBER)),
    "order": _object(lines={"type": "array", "items": _object(sku=_TEXT, count=_WHOLE)}, gift=_FLAG),
    "set_light": _object(["room"], room=_TEXT, on=_FLAG, colour={"enum": ["warm", "cold"]}),
    "search": _object(["words"], words=_TEXT, limit=_WHOLE, after={"type": ["string", "null"]}),
    "save": _object(path=_TEXT, text=_TEXT),
    "tags": _object(
        names={"type": "array", "items": _TEXT},
        matrix={"type": "array", "items": {"type": "array", "items": _WHOLE}},
    ),
}


class Case(NamedTuple):
    """``question`` is found in no other part of a prompt."""

    question: str
    tool: str
    arguments: Json


CASES = [
    Case("Is everything up and running?", "service_status", {}),
    Case("Give me the health of the service.", "service_status", {}),
    Case("Any outage at the moment?", "service_status", {}),
    Case("Which language is «pączki są dobre»?", "find_language", {"text": "pączki są dobre"}),
    Case("Tell me the language of 你好，世界.", "find_language", {"text": "你好，世界"}),
    Case("And this one, with faces: 👩‍🚀 hej då?", "find_language", {"text": "👩‍🚀 hej då"}),
    Case("Turn the heading Hello into a page.", "to_html", {"markdown": "# Hello"}),
    Case("Turn a fenced block into a page.", "to_html", {"markdown": '```py\nprint("<b>")\n```'}),
    Case("Turn a table into a page.", "to_html", {"markdown": "| a | b |\n|---|---|\n| \\| | 1 |"}),
    Case("How many euros are 12.50 dollars?", "exchange", {"amount": 12.5, "source": "USD", "target": "EUR"}),
    Case("Change 1e21 zlotys into yen.", "exchange", {"amount": 1e21, "source": "PLN", "target": "JPY"}),
    Case("I owe 3 pounds: in francs?", "exchange", {"amount": -3, "source": "GBP", "target": "CHF"}),
    Case(
        "The way from Berlin to Paris, please.",
        "route",
        {"start": {"lat": 52.52, "lon": 13.405}, "end": {"lat": 48.8566, "lon": 2.3522}},
    ),
    Case(
        "From the equator to the south.",
        "route",
        {"start": {"lat": 0, "lon": 0}, "end": {"lat": -33.9, "lon": -70.0}},
    ),
    Case(
        "Just round the corner and back.",
        "route",
        {"start": {"lat": 1.5, "lon": 1.5}, "end": {"lat": 1.5, "lon": 1.5}},
    ),
    Case("Two of A-1, no gift.", "order", {"lines": [{"sku": "A-1", "count": 2}], "gift": False}),
    Case(
        "One B and three C as a gift.",
        "order",
        {"lines": [{"sku": "B", "count": 1}, {"sku": "C", "count": 3}], "gift": True},
    ),
    Case("Order nothing at all.", "order", {"lines": [], "gift": False}),
    Case("Make the kitchen bright.", "set_light", {"room": "kitchen", "on": True}),
    Case("Cold light in the hall.", "set_light", {"room": "hall", "colour": "cold", "on": True}),
    Case("Something about the cellar.", "set_light", {"room": "cellar"}),
    Case("Look for otters.", "search", {"words": "otters"}),
    Case("Ten results on sea otters.", "search", {"words": "sea otters", "limit": 10}),
    Case("River otters from the start.", "search", {"words": "river otters", "limit": 0, "after": None}),
    Case("Keep my note of today.", "save", {"path": "notes/today.md", "text": "Line one\nLine two\n"}),
    Case("Store that on drive C.", "save", {"path": "C:\\temp\\a.txt", "text": '\ttabbed "quoted"'}),
    Case(
        "Write a block into a file.", "save", {"path": "a.xml", "text": '<tool_call name="x">{}</tool_call>'}
    ),
    Case("Tag it red and blue.", "tags", {"names": ["red", "blue"], "matrix": []}),
    Case("A grid of one to four.", "tags", {"names": [], "matrix": [[1, 2], [3, 4]]}),
    Case("An empty name and a row.", "tags", {"names": [""], "matrix": [[], [0]]}),
]
