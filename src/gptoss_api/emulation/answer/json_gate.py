"""Lets a JSON answer out: at once where nothing can go wrong any more, else after validation."""

import re
from typing import Final

from ...core.errors import UpstreamSchemaMismatch
from ...text.json_stream import JsonTransducer
from ...text.schema import Schema, Unchecked
from .structured import JsonMismatch, find_json

# Characters that are held back to be checked as a whole. A model's window holds about half a million of JSON.
MAX_HELD: Final = 2 * 1024 * 1024

# An optional fence opener, then the first character of an object; and what may still become that.
_OPENING: Final = re.compile(r"\s*(?:(?:`{3,}|~{3,})[A-Za-z]*[^\S\n]*\n\s*)?(?=\{)")
_STILL_OPENING: Final = re.compile(r"\s*(?:(?:`+|~+)[A-Za-z]*[^\S\n]*\n?\s*)?$")
_LONGEST_OPENING: Final = 64

# How an object begins that is no prose in braces.
_BEGUN: Final = re.compile(r'\{\s*"(?:[^"\\]|\\.)*+"\s*:')
_LONGEST_KEY: Final = 400

# Models that are held to JSON sometimes end in white space without end (Ollama issues 2577 and 4446).
MAX_SPACE: Final = 4096
_SPACE: Final = re.compile(r"\s*+")
_TOO_MUCH_SPACE: Final = re.compile(rf"(?<!\s)\s{{{MAX_SPACE}}}")


class JsonGate:
    """Collects the content of an answer that has to be JSON.

    ``live`` answers that start with an object leave as strict JSON (``sent``) and are over when the object
    is: while they arrive where the client sees it (``streamed``), else when the object is complete. Others
    are held back for :meth:`result`: what has been sent cannot be mended. ``over`` says that nothing more of
    the answer is wanted, ``weight`` is the schema's.
    """

    def __init__(self, schema: Schema, name: str, *, live: bool, streamed: bool = True) -> None:
        self.over = False
        self.sent = False
        self.weight = schema.weight
        self._schema = schema
        self._name = name
        self._may_live = live
        self._streamed = streamed
        self._clear()

    def _clear(self) -> None:
        self._held: list[str] = []
        self._held_length = 0
        self._space = 0
        self._deciding = self._may_live
        self._live: JsonTransducer | None = None
        self._begun: list[str] = []

    def feed(self, text: str) -> str:
        """What of the answer may be delivered now.

        Raises:
            JsonBroken: when an object that is already on its way to the client breaks.
            UpstreamSchemaMismatch: when what is held back has no end.
        """
        if self.over:
            return ""
        text = self._without_spam(text)
        if self.sent:
            return self._stream(text)
        self._held.append(text)
        self._held_length += len(text)
        if self._held_length > MAX_HELD:
            raise UpstreamSchemaMismatch(
                f"The answer does not end: after {MAX_HELD} characters it still was not the JSON that was "
                "asked for."
            )
        if self._live is not None:
            return self._begin(text)
        return self._decide() if self._deciding else ""

    def result(self, *, cut: bool = False) -> str:
        """What remains to be delivered once the answer has ended, or was ``cut`` off.

        Raises:
            JsonMismatch: when what was held back is not what was asked for.
            Unchecked: when it takes too long to find that out.
            JsonBroken: when an object on its way to the client cannot be completed.
        """
        if self.sent:
            assert self._live is not None
            return "" if cut or self._live.done else self._live.finish()
        return find_json(self.raw, self._schema, self._name, cut=cut)

    def remains(self) -> str:
        """What there is of an answer that was cut off: JSON if it was complete, else all as it came."""
        try:
            return self.result(cut=True)
        except (JsonMismatch, Unchecked):
            return self.raw

    @property
    def raw(self) -> str:
        """What was held back, as it came."""
        return "" if self.sent else "".join(self._held)

    def restart(self) -> None:
        """Forgets what was held back, because another attempt follows."""
        if not self.sent:
            self.over = False
            self._clear()

    def _decide(self) -> str:
        seen = self.raw
        opening = _OPENING.match(seen)
        if opening is not None and opening.end() <= _LONGEST_OPENING:
            self._live = JsonTransducer()
            return self._begin(seen[opening.end() :])
        if self._held_length > _LONGEST_OPENING or _STILL_OPENING.match(seen) is None:
            self._deciding = False
        return ""

    def _begin(self, text: str) -> str:
        """Holds the object until its first key is there: until then it may be prose in braces."""
        assert self._live is not None
        self._begun.append(self._live.feed(text))
        if self._live.done or (self._streamed and self._is_object):
            self.sent = True
            self._held.clear()
            return self._checked("".join(self._begun))
        if self._live.broken is not None:
            self._live = None
            self._deciding = False
        return ""

    @property
    def _is_object(self) -> bool:
        begun = "".join(self._begun)
        return _BEGUN.match(begun) is not None or len(begun) > _LONGEST_KEY

    def _stream(self, text: str) -> str:
        assert self._live is not None
        return self._checked(self._live.feed(text))

    def _checked(self, strict: str) -> str:
        assert self._live is not None
        if self._live.broken is not None:
            raise self._live.broken
        self.over |= self._live.done
        return strict

    def _without_spam(self, text: str) -> str:
        """``text`` up to where white space without end is found in it."""
        leading = _SPACE.match(text).end()  # type: ignore[union-attr]  # it also matches nothing
        if self._space + leading >= MAX_SPACE:
            self.over = True
            return text[: MAX_SPACE - self._space]
        if leading == len(text):
            self._space += leading
            return text
        if len(text) > MAX_SPACE and (found := _TOO_MUCH_SPACE.search(text, leading)):
            self.over = True
            return text[: found.end()]
        self._space = len(text) - len(text.rstrip())
        return text
