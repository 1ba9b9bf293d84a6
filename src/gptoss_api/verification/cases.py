"""The cases by which upstreams are measured: fixed, so that results can be compared.

Whoever changes what a case asks or expects gives the set another version: :data:`CASE_SET` is a part of every
seed and of every result, and results of different sets are never compared.
"""

import json
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, Literal

from msgspec import Struct

from ..core.turn import (
    AssistantMessage,
    Effort,
    Message,
    OutputFormat,
    Tool,
    ToolCall,
    ToolResultMessage,
    Turn,
    UserMessage,
)
from .draws import Draw, seed_number

CASE_SET: Final = "1"

Area = Literal["tools", "structured", "effort", "thoughts", "context"]

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class ExpectedCall(Struct, frozen=True):
    """One call of ``name``, one of the ``tools``, with these among its ``arguments``; "" for no call."""

    tools: tuple[Tool, ...]
    name: str
    arguments: Mapping[str, Any] = _NOTHING
    # What the text has where no call is expected.
    text: str = ""


class ExpectedForm(Struct, frozen=True):
    """A JSON text that fits ``schema``."""

    schema: dict[str, Any]


class ExpectedText(Struct, frozen=True):
    """A text with ``text`` somewhere in it."""

    text: str


Expected = ExpectedCall | ExpectedForm | ExpectedText


class Asked(Struct, frozen=True):
    """What one sample of a case asks for, and what a good answer has."""

    messages: tuple[Message, ...]
    expected: Expected
    tools: tuple[Tool, ...] = ()
    form: OutputFormat = OutputFormat()

    @property
    def size(self) -> int:
        """About how many tokens the prompt has."""
        texts = [message.text for message in self.messages]
        schemas = [tool.parameters for tool in self.tools] + [self.form.schema]
        # Letters of English for each token, and a frame around every conversation.
        return (sum(map(len, texts)) + len(json.dumps(schemas))) // 5 + 100


class Case(Struct, frozen=True):
    """``make`` fills in what varies between its samples."""

    id: str
    area: Area
    make: Callable[[Draw], Asked]


class Probe(Struct, frozen=True):
    """One turn to be asked: sample number ``sample`` of ``case``, with an ``effort`` if that is measured."""

    case: Case
    sample: int
    effort: Effort | None = None

    @property
    def seed(self) -> str:
        return f"{CASE_SET}/{self.case.id}/{self.sample}"

    def asked(self) -> Asked:
        return self.case.make(Draw(self.seed))

    def turn(self, model: str) -> Turn:
        """What is asked of an upstream, whole and in a thread of its own."""
        asked = self.asked()
        return Turn(
            model=model,
            messages=asked.messages,
            tools=asked.tools,
            output_format=asked.form,
            effort=self.effort,
            max_tokens=_LONGEST[self.effort],
            options={"seed": seed_number(self.seed)},
            new_thread=True,
            wants_prompt_tokens=True,
        )

    @property
    def tokens(self) -> int:
        """About how many tokens it costs."""
        return self.asked().size + _USUAL[self.effort]


# Tokens that an answer may have, thoughts included, and that it usually has.
_LONGEST: Final[Mapping[Effort | None, int]] = {None: 4_096, "low": 4_096, "medium": 4_096, "high": 12_288}
_USUAL: Final[Mapping[Effort | None, int]] = {None: 300, "low": 150, "medium": 300, "high": 1_500}


def _object(**properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_STRING: Final = {"type": "string"}
_INTEGER: Final = {"type": "integer"}


def _words(*allowed: str) -> dict[str, Any]:
    return {"type": "string", "enum": list(allowed)}


_WEATHER: Final = Tool(
    "get_weather",
    "The weather in a city now.",
    _object(city=_STRING, unit=_words("celsius", "fahrenheit")),
)
_CURRENCY: Final = Tool(
    "convert_currency",
    "Converts an amount of money at today's rate.",
    _object(
        amount={"type": "number"},
        source=_words("USD", "EUR", "GBP", "JPY"),
        target=_words("USD", "EUR", "GBP", "JPY"),
    ),
)
_EVENT: Final = Tool(
    "create_event",
    "Puts an event into the calendar.",
    _object(
        title=_STRING,
        date={"type": "string", "description": "YYYY-MM-DD"},
        attendees={"type": "array", "items": _object(name=_STRING, email=_STRING)},
        reminder_minutes=_INTEGER,
    ),
)
_ALARM: Final = Tool("set_alarm", "Sets an alarm clock.", _object(hour=_INTEGER, minute=_INTEGER))
_TRANSLATE: Final = Tool("translate", "Translates a text.", _object(text=_STRING, language=_STRING))
_EMAIL: Final = Tool("send_email", "Sends an e-mail.", _object(to=_STRING, subject=_STRING, body=_STRING))
_FILE: Final = Tool("write_file", "Writes a text file.", _object(path=_STRING, content=_STRING))
_CUSTOMER: Final = Tool("find_customer", "Finds a customer by name.", _object(name=_STRING))
_CLOSE: Final = Tool("close_account", "Closes a customer's account.", _object(customer_id=_INTEGER))
_CLOCK: Final = Tool("clock", "Tells the time.", _object(zone=_STRING))

_CITIES: Final = ("Lisbon", "Oslo", "Nairobi", "Lima", "Hanoi", "Tallinn", "Quito", "Dakar", "Zagreb", "Riga")
_NAMES: Final = ("Alma", "Bruno", "Chiara", "Dario", "Elif", "Femi", "Greta", "Hugo", "Ines", "Jonas")
_ITEMS: Final = tuple(str.split("lantern kettle violin compass saddle anchor mirror pillow hammer basket"))


def _calls(text: str, tools: tuple[Tool, ...], name: str, **arguments: Any) -> Asked:
    return Asked((UserMessage(text),), ExpectedCall(tools, name, arguments), tools)


def _weather(draw: Draw) -> Asked:
    city, unit = draw.pick(_CITIES), draw.pick(("celsius", "fahrenheit"))
    text = f"What is the weather in {city}? Look it up, in degrees {unit}."
    return _calls(text, (_WEATHER,), "get_weather", city=city, unit=unit)


def _one_of_many(draw: Draw) -> Asked:
    amount, (source, target) = (
        draw.between(11, 990),
        draw.pick((("USD", "EUR"), ("GBP", "JPY"), ("EUR", "GBP"))),
    )
    return _calls(
        f"How much is {amount} {source} in {target} today?",
        (_WEATHER, _EVENT, _CURRENCY, _ALARM, _TRANSLATE, _EMAIL, _FILE, _CUSTOMER),
        "convert_currency",
        amount=amount,
        source=source,
        target=target,
    )


def _nested(draw: Draw) -> Asked:
    first, second = draw.pick(_NAMES[:5]), draw.pick(_NAMES[5:])
    day, minutes = f"2031-0{draw.between(1, 9)}-{draw.between(10, 28)}", draw.pick((5, 10, 15, 30))
    guests = [{"name": name, "email": f"{name.lower()}@example.com"} for name in (first, second)]
    return _calls(
        f"Create an event 'Planning' on {day} with {first} ({first.lower()}@example.com) and {second} "
        f"({second.lower()}@example.com), in this order, and a reminder {minutes} minutes before.",
        (_EVENT, _EMAIL),
        "create_event",
        date=day,
        attendees=guests,
        reminder_minutes=minutes,
    )


def _quoted(draw: Draw) -> Asked:
    word, number = draw.pick(_ITEMS), draw.between(100, 999)
    line = f'say("the \\"{word}\\" costs {number} \\\\ piece\\n")'
    text = f"Write this one line, character by character as it is, into the file price.txt:\n\n{line}"
    return _calls(text, (_FILE, _EMAIL), "write_file", path="price.txt", content=line)


def _no_call(draw: Draw) -> Asked:
    word = draw.pick(_ITEMS)
    tools = (_WEATHER, _ALARM)
    expected = ExpectedCall(tools, "", text=word)
    return Asked((UserMessage(f"Just write the word '{word}' back to me. Nothing else."),), expected, tools)


def _next_call(draw: Draw) -> Asked:
    name, number = draw.pick(_NAMES), draw.between(1_000, 9_999)
    tools = (_CUSTOMER, _CLOSE, _EMAIL)
    call = ToolCall("call_1", "find_customer", json.dumps({"name": name}))
    return Asked(
        (
            UserMessage(f"Close the account of our customer {name}. I confirm it; do not ask again."),
            AssistantMessage(reasoning="I need the customer's number first.", tool_calls=(call,)),
            ToolResultMessage(json.dumps({"customer_id": number, "name": name}), "call_1", "find_customer"),
        ),
        ExpectedCall(tools, "close_account", {"customer_id": number}),
        tools,
    )


def _form(text: str, name: str, schema: dict[str, Any]) -> Asked:
    form = OutputFormat("json_schema", name, schema, strict=True)
    return Asked((UserMessage(text),), ExpectedForm(schema), form=form)


def _contact(draw: Draw) -> Asked:
    name, age, city = draw.pick(_NAMES), draw.between(19, 80), draw.pick(_CITIES)
    schema = _object(name=_STRING, age=_INTEGER, city=_STRING, plan=_words("free", "team", "enterprise"))
    text = f"{name}, {age} years old, of {city}, bought the team plan. Take down the contact."
    return _form(text, "contact", schema)


def _order(draw: Draw) -> Asked:
    lines = [f"{draw.between(2, 9)} of {item}" for item in (draw.pick(_ITEMS[:5]), draw.pick(_ITEMS[5:]))]
    line = _object(item=_STRING, quantity=_INTEGER)
    schema = _object(lines={"type": "array", "items": line}, paid={"type": "boolean"})
    return _form(f"An order: {' and '.join(lines)}. It is paid. Take it down.", "order", schema)


def _nullable(draw: Draw) -> Asked:
    city = draw.pick(_CITIES)
    maybe = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    address = _object(street=maybe, city=_STRING, country=_STRING)
    schema = _object(company=_STRING, address=address, website=maybe)
    text = f"Take down what is known of the company: Ardent Kettles, in {city}. The street is not known."
    return _form(text, "company", schema)


def _steps(draw: Draw) -> Asked:
    low, high = draw.between(3, 12), draw.between(13, 40)
    step = _object(explanation=_STRING, result={"type": "number"})
    schema = _object(steps={"type": "array", "items": step}, answer={"type": "number"})
    return _form(f"Solve in steps: {low} * {high} - {low} + {high}.", "solution", schema)


def _puzzle(text: str) -> Asked:
    # How right the answer is, is not what is measured.
    return Asked((UserMessage(text),), ExpectedText(""))


def _divisors(draw: Draw) -> Asked:
    high = draw.between(120, 480)
    return _puzzle(
        f"How many whole numbers from 1 to {high} are divisible by 3 or by 7, but not by both, and have no "
        "digit 5? Answer with the number alone."
    )


def _knights(draw: Draw) -> Asked:
    a, b, c = draw.pick(_NAMES[:3]), draw.pick(_NAMES[3:6]), draw.pick(_NAMES[6:])
    return _puzzle(
        f"Knights always tell the truth, knaves always lie. {a} says: '{b} and {c} are of the same kind.' "
        f"{b} says: '{a} is a knave or {c} is a knight.' {c} says: 'Exactly one of us three is a knight.' "
        "Who is what? Answer in one line."
    )


def _schedule(draw: Draw) -> Asked:
    days = draw.between(23, 61)
    return _puzzle(
        f"Three machines are serviced every 4, 6 and 9 days, all of them today, a Wednesday. On which "
        f"weekday after at least {days} days are exactly two of them serviced together for the first time, "
        "if on Sundays nothing is done and the service moves to Monday? Answer in one line."
    )


def _coins(draw: Draw) -> Asked:
    cents = draw.between(41, 87)
    return _puzzle(
        f"In how many ways can {cents} cents be paid with coins of 1, 5, 10 and 25 cents if at most six "
        "coins of each kind are used? Answer with the number alone."
    )


def _letters(draw: Draw) -> Asked:
    words = " ".join(dict.fromkeys(draw.pick(_ITEMS) for _ in range(6)))
    return _puzzle(
        f"Take the words: {words}. Reverse each, write them one after the other without spaces, and count "
        "the letters that stand at a place with a prime number and are vowels. Answer with the number alone."
    )


def _recalled(draw: Draw, question: str, thought: str, secret: str) -> Asked:
    call = ToolCall("call_1", "clock", json.dumps({"zone": "UTC"}))
    hour, minute = draw.between(10, 22), draw.between(10, 59)
    return Asked(
        (
            UserMessage(question),
            AssistantMessage(reasoning=f"{thought} Now I call the clock.", tool_calls=(call,)),
            ToolResultMessage(json.dumps({"time": f"{hour}:{minute}"}), "call_1", "clock"),
        ),
        ExpectedText(secret),
        (_CLOCK,),
    )


def _number_thought(draw: Draw) -> Asked:
    secret = str(draw.between(10_000, 99_999))
    return _recalled(
        draw,
        "Think of a number of five digits and keep it in mind. Then call the clock. When you know the time, "
        "tell me the number that you thought of, and the time.",
        f"The number I think of is {secret}.",
        secret,
    )


def _word_thought(draw: Draw) -> Asked:
    secret = f"{draw.pick(_ITEMS)}-{draw.pick(_ITEMS)}-{draw.between(100, 999)}"
    return _recalled(
        draw,
        "Make up a password of two words and a number and keep it in mind. Then call the clock. When you "
        "know the time, tell me that password, and the time.",
        f"My password is {secret}.",
        secret,
    )


def _needle(tokens: int) -> Callable[[Draw], Asked]:
    def make(draw: Draw) -> Asked:
        code, city = str(draw.between(100_000, 999_999)), draw.pick(_CITIES)
        sentences = draw.prose(tokens)
        # Not at the very ends, where it is found most easily.
        place = len(sentences) // 20 + draw.below(len(sentences) * 9 // 10)
        sentences.insert(place, f"The access code of the vault in {city} is {code}.")
        text = " ".join(sentences)
        question = f"What is the access code of the vault in {city}? Answer with the code alone."
        return Asked((UserMessage(f"{text}\n\n{question}"),), ExpectedText(code))

    return make


# Tokens of the texts in which something has to be found.
LENGTHS: Final = (8_000, 32_000, 64_000)

CASES: Final = (
    Case("tools.weather", "tools", _weather),
    Case("tools.one_of_many", "tools", _one_of_many),
    Case("tools.nested", "tools", _nested),
    Case("tools.quoted", "tools", _quoted),
    Case("tools.no_call", "tools", _no_call),
    Case("tools.next_call", "tools", _next_call),
    Case("structured.contact", "structured", _contact),
    Case("structured.order", "structured", _order),
    Case("structured.nullable", "structured", _nullable),
    Case("structured.steps", "structured", _steps),
    Case("effort.divisors", "effort", _divisors),
    Case("effort.knights", "effort", _knights),
    Case("effort.schedule", "effort", _schedule),
    Case("effort.coins", "effort", _coins),
    Case("effort.letters", "effort", _letters),
    Case("thoughts.number", "thoughts", _number_thought),
    Case("thoughts.word", "thoughts", _word_thought),
    *(Case(f"context.{length // 1_000}k", "context", _needle(length)) for length in LENGTHS),
)


def plan(n: int, *, quick: bool = False) -> list[Probe]:
    """What is asked: ``n`` turns for tools and for forms, half as many pairs and thoughts, fewer long texts.

    In rounds, so that a run that is broken off has something of everything. ``quick`` leaves out the longer
    texts.
    """
    half = -(-n // 2)
    probes: list[tuple[int, Probe]] = []
    for area, count in (("tools", n), ("structured", n), ("effort", half), ("thoughts", half)):
        cases = [case for case in CASES if case.area == area]
        for number in range(count):
            case, sample = cases[number % len(cases)], number // len(cases)
            efforts: tuple[Effort | None, ...] = ("low", "high") if area == "effort" else (None,)
            probes += [(sample, Probe(case, sample, effort)) for effort in efforts]
    texts = [case for case in CASES if case.area == "context"]
    for case in texts[:1] if quick else texts:
        probes += [(sample, Probe(case, sample)) for sample in range(-(-n // 5))]
    return [probe for _, probe in sorted(probes, key=lambda placed: placed[0])]
