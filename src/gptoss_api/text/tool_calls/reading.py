"""What every state of the parser shares: what is decided, what is held, and the ways between states."""

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Final

from .contract import ParserConfig
from .delivery import MAX_CALLS, Delivery
from .judging import Judge
from .markers import CLOSER, may_close

SPACE: Final = re.compile(r"\s*+")

State = Callable[[str, int, bool], int]


class Reading(ABC):
    """A state reads ``text`` from an index on and gives the index after what it has decided.

    To give back the index it got, without changing the state, means: more is needed. ``final`` says
    that no more will come.
    """

    def __init__(self, config: ParserConfig, judge: Judge) -> None:
        self.config = config
        self._judge = judge
        self._out = Delivery(thought=config.thought, at_once=config.harmony_only)
        self._tags = bool(judge.names) and not config.harmony_only
        self._leaks = config.clean_leaks
        self._state: State = self._text
        self._wrapper = ""  # "<tool_calls>" and the like: dropped if a call follows, else text.
        self._returned = ""  # What a block had read too far, to be read again.

    @abstractmethod
    def _text(self, text: str, at: int, final: bool) -> int: ...

    @abstractmethod
    def _after(self, text: str, at: int, final: bool) -> int: ...

    def _done(self, text: str, _at: int, _final: bool) -> int:
        return len(text)

    def _plain(self, text: str) -> None:
        """Text for sure, and so is the wrapper before it."""
        if text:
            self._unwrap_text()
            self._out.content(text)

    def _unwrap_text(self) -> None:
        wrapper, self._wrapper = self._wrapper, ""
        self._out.content(wrapper)

    def _back_to_text(self, literal: str) -> None:
        self._out.content(literal)
        self._state = self._after if self._out.calls else self._text

    def _after_call(self) -> None:
        self._state = self._after
        if self._out.cancelled:
            self._state = self._done
        elif not self.config.parallel:
            self._state = self._closing
        elif self._out.calls >= MAX_CALLS:
            self._stop("too many calls")

    def _closing(self, text: str, at: int, final: bool) -> int:
        """The call's own closer still belongs to it: what is stopped before was not written to its end."""
        begin = SPACE.match(text, at).end()  # type: ignore[union-attr]  # it also matches nothing
        if begin == len(text):
            return begin
        closer = CLOSER.match(text, begin)
        if closer is None and not final and may_close(text, begin):
            return begin
        self._stop("only one call was asked for")
        return begin if closer is None else closer.end()

    def _stop(self, reason: str) -> None:
        self._out.cancel(reason)
        self._state = self._done
