"""What a gpt-oss model writes when it is given tools in words, for the simulator to answer with.

It does what the real one is asked to do and knows only what its thread was told: it copies the key out of
that, writes its calls as blocks, and once their results are there it answers from them::

    look = Call("get_weather", {"city": "Paris"})
    simulator.always(Agent([[look]], lambda results: f"It is {results[0]}."))
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .answers import Answer
from .server import Exchange

_KEY = re.compile(r'\bkey="([^"]+)"')
_RESULT = re.compile(r'<tool_result key="[^"]+" name="[^"]*">\n(.*?)\n</tool_result>', re.S)


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call. ``written`` is its argument text where the model does not write plain JSON."""

    name: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    written: str | None = None

    def block(self, key: str) -> str:
        text = json.dumps(self.arguments, ensure_ascii=False) if self.written is None else self.written
        return f'<tool_call key="{key}" name="{self.name}">\n{text}\n</tool_call>'


@dataclass(frozen=True, slots=True)
class Agent:
    """Makes the calls of one round after another, then answers from all their results.

    An answer may be a call itself. ``preface`` is said before the calls of a round, ``thought`` is its
    reasoning in every turn.
    """

    rounds: Sequence[Sequence[Call]]
    answer: Callable[[Sequence[str]], str | Call]
    preface: str = ""
    thought: Sequence[str] = (
        "The user needs something I have a tool for.",
        "So I use the tools I was given.",
    )

    def turn(self, results: Sequence[str]) -> Sequence[Call] | str:
        """What comes after so many ``results``: the calls of a round, or the answer."""
        due = 0
        for calls in self.rounds:
            if len(results) <= due:
                return calls
            due += len(calls)
        answer = self.answer(results)
        return answer if isinstance(answer, str) else (answer,)

    def __call__(self, request: Exchange) -> Answer:
        results = tool_results(request.said)
        turn = self.turn(results)
        if isinstance(turn, str):
            return Answer(turn, self.thought)
        key = tool_key(request.said)
        blocks = "\n".join(call.block(key) for call in turn)
        prefaced = self.preface and len(results) < sum(map(len, self.rounds))
        return Answer(f"{self.preface}\n\n{blocks}" if prefaced else blocks, self.thought)


def tool_key(prompt: str) -> str:
    """The key that the prompt demands in every block."""
    found = _KEY.search(prompt)
    if found is None:
        raise LookupError("the prompt describes no tools")
    return found[1]


def tool_results(prompt: str) -> list[str]:
    """The results that stand in the prompt, in the order of their calls."""
    return _RESULT.findall(prompt)
