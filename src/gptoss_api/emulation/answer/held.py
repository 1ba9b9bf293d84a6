"""What is held back for a repair: the part of an answer in which something is wrong."""

import json
from collections.abc import Sequence
from io import StringIO
from typing import Any

from msgspec import Struct, field

from ...text.tool_calls import CallArgs, CallEnd, CallStart, Problem


class HeldCall(Struct):
    """A call by the name the model knows, in pieces; ``flawed`` where it gave rise to a repair.

    ``complete`` is false where it ended in the middle or cannot be read.
    """

    name: str
    flawed: bool = False
    complete: bool = True
    parts: list[str] = field(default_factory=list)

    @property
    def arguments(self) -> str:
        return "".join(self.parts)


class HeldAnswer:
    """The calls and the text from the first flaw on, in the order of the answer."""

    def __init__(self, problem: Problem) -> None:
        self.problems: list[Problem] = []
        self._items: list[HeldCall | str] = []
        self._text = StringIO()
        self._calls: dict[int, HeldCall] = {}
        self._flawed: set[int] = set()
        self.complain(problem)

    def complain(self, problem: Problem) -> None:
        """``problem`` is of this part; the call it names may have begun already or follow."""
        self.problems.append(problem)
        if problem.index is not None:
            self._flawed.add(problem.index)
            if problem.index in self._calls:
                self._calls[problem.index].flawed = True

    @property
    def items(self) -> list[HeldCall | str]:
        """Everything held, in order."""
        if text := self._text.getvalue():
            self._items.append(text)
            self._text = StringIO()
        return self._items

    def text(self, text: str) -> None:
        self._text.write(text)

    def call(self, event: CallStart | CallArgs | CallEnd) -> None:
        match event:
            case CallStart(index, name):
                call = self._calls[index] = HeldCall(name, index in self._flawed)
                self.items.append(call)
            case CallArgs(index, text):
                self._calls[index].parts.append(text)
            case _:
                self._calls[event.index].complete = event.complete

    @property
    def truncated(self) -> bool:
        """Whether a block ended in the middle."""
        return any(problem.code == "E_TRUNC" for problem in self.problems)

    @property
    def complaint(self) -> str:
        """What is wrong, for a note."""
        return "; ".join(dict.fromkeys(f"{problem.code}: {problem.detail}" for problem in self.problems))

    def left_by(self, repaired: Sequence[HeldCall]) -> list[HeldCall]:
        """The calls that a repair neither repeats nor replaces.

        Asked for one block, models may send all of them again: a call that was right and comes again is
        the same call. Each of the others stands for one flawed call, if possible of the same tool.
        """
        brought = [(call.name, _value(call)) for call in repaired]
        left = set[int]()
        for index, call in self._calls.items():
            if call.flawed:
                continue
            if (same := (call.name, _value(call))) in brought:
                brought.remove(same)
            else:
                left.add(index)
        spare = [name for name, _ in brought]
        flawed = [index for index, call in self._calls.items() if call.flawed]
        for index in list(flawed):
            if (name := self._calls[index].name) in spare:
                spare.remove(name)
                flawed.remove(index)
        left.update(flawed[len(spare) :])
        return [call for index, call in self._calls.items() if index in left]


def _value(call: HeldCall) -> Any:
    try:
        return json.loads(call.arguments)
    except (ValueError, RecursionError):
        return call.arguments
