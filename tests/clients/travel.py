"""One task for all clients: a model that needs two tools, one after the other, to say what to pack."""

import json
from collections.abc import Sequence

from pydantic import BaseModel

from tests.simulator.agent import Agent, Call

MODEL = "gpt-oss-120b"
INSTRUCTIONS = "You help people pack. Look things up before you answer."
QUESTION = "I fly to the capital of France tomorrow. What should I pack?"
THOUGHT = "We need the city first, then its forecast.\n\nThe tools give both."
ADVICE = "Pack an umbrella: Paris gets rain at 11 °C."


class Packing(BaseModel):
    """What to pack for a trip."""

    city: str
    temperature: float
    items: list[str]


PACKING = Packing(city="Paris", temperature=11, items=["umbrella"])


def find_capital(country: str) -> str:
    """Finds the capital of a country.

    Args:
        country: English name of the country.
    """
    return {"France": "Paris"}[country]


def get_forecast(city: str, day: str = "today") -> str:
    """Tells the weather of a day in a city, as JSON."""
    return json.dumps({"city": city, "day": day, "sky": "rain", "temperature": 11})


def _from_forecast(results: Sequence[str]) -> Packing:
    forecast = json.loads(results[1])
    return Packing(city=forecast["city"], temperature=forecast["temperature"], items=["umbrella"])


def _said(results: Sequence[str]) -> str:
    packing = _from_forecast(results)
    return f"Pack an {packing.items[0]}: {packing.city} gets rain at {packing.temperature:.0f} °C."


_ROUNDS = (
    [Call("find_capital", {"country": "France"})],
    [Call("get_forecast", {"city": "Paris", "day": "tomorrow"})],
)
_THOUGHTS = tuple(THOUGHT.split("\n\n"))

# The model for the simulator: it answers in words, with JSON, or by a last call.
ADVISER = Agent(_ROUNDS, _said, preface="Let me look that up.", thought=_THOUGHTS)
ADVISER_IN_JSON = Agent(_ROUNDS, lambda results: _from_forecast(results).model_dump_json(), thought=_THOUGHTS)
ADVISER_BY_CALL = Agent(
    _ROUNDS, lambda results: Call("final_result", _from_forecast(results).model_dump()), thought=_THOUGHTS
)
