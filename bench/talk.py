"""Conversations that grow, driven from here: what costs the gateway when one goes on, and when it is new."""

import http.client
import json
import random
from typing import Any

from .load import Answer, BenchError, Target

_ANSWER = Answer(deltas=32)
_WORDS = [
    "the",
    "quick",
    "brown",
    "cache",
    "answers",
    "with",
    "expired",
    "entries",
    "and",
    "nobody",
    "knows",
    "why",
]


class Talk:
    """A conversation of ``turns`` exchanges with texts of its own; :meth:`go_on` adds one and is answered."""

    def __init__(self, target: Target, turns: int, seed: int) -> None:
        self._target = target
        self._connection = http.client.HTTPConnection("127.0.0.1", target.port, timeout=30)
        self._chance = random.Random(seed)
        self._messages: list[dict[str, Any]] = [{"role": "system", "content": self._text(100)}]
        for _ in range(turns):
            self._messages += (
                {"role": "user", "content": self._text(30)},
                {"role": "assistant", "content": self._text(60)},
            )

    def go_on(self) -> None:
        """Raises:
        BenchError: where the answer is not a whole one.
        """
        asked = f"{_ANSWER.prompt} {self._text(8)}"
        self._messages.append({"role": "user", "content": asked})
        body = json.dumps({"model": "gpt-oss-120b", "messages": self._messages}).encode()
        headers = {"Content-Type": "application/json"}
        self._connection.request("POST", self._target.path, body, headers)
        response = self._connection.getresponse()
        data = response.read()
        if response.status != 200:
            raise BenchError(f"a conversation was not answered: {data[:200]!r}")
        text = json.loads(data)["choices"][0]["message"]["content"]
        self._messages.append({"role": "assistant", "content": text})

    def close(self) -> None:
        self._connection.close()

    def _text(self, words: int) -> str:
        # A number, so that no two conversations have a text in common.
        return " ".join([str(self._chance.random()), *self._chance.choices(_WORDS, k=words)])
