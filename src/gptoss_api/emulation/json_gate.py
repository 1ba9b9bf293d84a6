"""Lets a JSON answer out: at once where nothing can go wrong any more, else after validation."""

import re
from typing import Final

from ..core.turn import OutputFormat
from ..text.json_stream import JsonTransducer
from ..text.schema import Schema
from .structured import find_json

# An optional fence opener, then the first character of an object; and what may still become that.
_OPENING: Final = re.compile(r"\s*(?:(?:`{3,}|~{3,})[A-Za-z]*[^\S\n]*\n\s*)?(?=\{)")
_STILL_OPENING: Final = re.compile(r"\s*(?:(?:`+|~+)[A-Za-z]*[^\S\n]*\n?\s*)?$")
_LONGEST_OPENING: Final = 64


class JsonGate:
    """Collects the content of an answer that has to be JSON.

    Asked for any object (``json_object``), an answer that starts with one is streamed as strict JSON
    while it arrives and is over when the object is (``complete``). With a schema, and where the answer
    starts otherwise, everything is held back for :meth:`result`: what has been sent cannot be mended.
    """

    def __init__(self, output: OutputFormat, schema: Schema | None) -> None:
        self._output = output
        self._schema = schema
        self._held: list[str] = []
        self._held_length = 0
        self._deciding = schema is None
        self._live: JsonTransducer | None = None
        self.complete = False

    def feed(self, text: str) -> str:
        """What of the answer may be delivered now.

        Raises:
            JsonBroken: when an object that is already on its way to the client breaks.
        """
        if self._live is not None:
            return self._stream(text)
        self._held.append(text)
        self._held_length += len(text)
        if not self._deciding:
            return ""
        seen = "".join(self._held)
        if (opening := _OPENING.match(seen)) is not None:
            self._live = JsonTransducer()
            self._held = []
            return self._stream(seen[opening.end() :])
        if self._held_length > _LONGEST_OPENING or _STILL_OPENING.match(seen) is None:
            self._deciding = False
        return ""

    def _stream(self, text: str) -> str:
        assert self._live is not None
        if self.complete:
            return ""
        strict = self._live.feed(text)
        if self._live.broken is not None:
            raise self._live.broken
        self.complete = self._live.done
        return strict

    def result(self) -> str:
        """What remains to be delivered once the answer has ended.

        Raises:
            JsonMismatch: when what was held back is not what was asked for.
            JsonBroken: when an object on its way to the client cannot be completed.
        """
        if self._live is not None:
            return "" if self.complete else self._live.finish()
        return find_json("".join(self._held), self._schema, self._output.name)

    def raw(self) -> str:
        """What was held back, as it came: for an answer that its length limit cut off."""
        return "".join(self._held)

    def restart(self) -> None:
        """Forgets what was held back, because another attempt follows."""
        self._held = []
        self._held_length = 0
        self._deciding = self._schema is None
