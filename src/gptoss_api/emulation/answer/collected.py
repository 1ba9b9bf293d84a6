"""Native calls that have to fit as a whole: kept until their turn ends, as what left cannot be mended."""

import json
from collections.abc import Iterable, Mapping
from typing import Final

from msgspec import Struct, field

from ...core.events import ToolCallStarted
from ...core.turn import Tool
from .calls import FittedCalls, Mender

# Characters of a call that its rejection repeats.
_LONGEST: Final = 500


class _Call(Struct):
    begun: ToolCallStarted
    parts: list[str] = field(default_factory=list)
    complete: bool = False


class CollectedCalls:
    """Takes the place of :class:`FittedCalls`, its ``output``, until :meth:`deliver`.

    Arguments of the ``strict`` tools, by name, have to fit. ``size`` is how many characters wait, and
    ``begun`` says that a call was let go.
    """

    def __init__(self, strict: Mapping[str, Tool], output: FittedCalls) -> None:
        self.begun = False
        self._mender = Mender(strict)
        self._strict = strict
        self._output = output
        self._calls: dict[int, _Call] = {}
        self._rejected: dict[int, _Call] = {}
        self._complaints: list[str] = []

    @property
    def mended(self) -> Iterable[tuple[str, int]]:
        """The tools whose arguments were made to fit, and how many changes each took."""
        return self._mender.mended.values()

    @property
    def size(self) -> int:
        return sum(len(part) for call in self._calls.values() for part in call.parts)

    def start(self, call: ToolCallStarted) -> None:
        self._calls[call.index] = _Call(call)

    def arguments(self, index: int, text: str) -> None:
        self._calls[index].parts.append(text)

    def finish(self, index: int, *, complete: bool = True) -> None:
        self._calls[index].complete = complete

    def judge(self) -> list[str]:
        """What is wrong with the calls of this turn; those that can be mended are.

        Raises:
            UpstreamSchemaMismatch: where it would take too long to find out.
        """
        complaints: list[str] = []
        for call in self._calls.values():
            written = "".join(call.parts)
            if call.begun.name not in self._strict:
                continue
            try:
                given = json.loads(written)
                fitting = self._mender(call.begun.name, given)
            except (ValueError, RecursionError) as error:
                complaints.append(f"{call.begun.name} with {written[:_LONGEST]}: {error}")
            else:
                call.parts = [written if fitting is given else json.dumps(fitting, ensure_ascii=False)]
        return complaints

    def reject(self, complaints: list[str]) -> None:
        """Puts the calls of this turn aside: others are asked for."""
        self._rejected, self._complaints = self._calls, complaints
        self._calls = {}

    def restart(self) -> None:
        """Another turn follows, and the calls of this one are of no use."""
        self._calls = {}

    def deliver(self) -> list[str]:
        """Lets the calls go, or the rejected ones where no others came; gives what is wrong with those."""
        calls, complaints = (self._calls, []) if self._calls else (self._rejected, self._complaints)
        self._calls, self._rejected, self._complaints = {}, {}, []
        self.begun |= bool(calls)
        for index, call in calls.items():
            self._output.start(call.begun)
            for part in call.parts:
                self._output.arguments(index, part)
            self._output.finish(index, complete=call.complete)
        return complaints
