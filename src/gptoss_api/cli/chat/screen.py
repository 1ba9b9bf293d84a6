"""What is shown: answers on standard output, everything else on standard error."""

import contextlib
import os
import sys
from typing import Final, TextIO

import click

from ..streams import give_up

_DIM: Final = "\x1b[2m"
_PLAIN: Final = "\x1b[0m"

# Terminals obey control characters, and some can make them type: of an answer only new lines and tabs are
# written as they are. A carriage return would write over what was there, and is no loss.
_SHOWN: Final = {
    **{code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t\r"},
    ord("\r"): "",
    0x7F: "␡",
    **dict.fromkeys(range(0x80, 0xA0), "�"),
}
# These turn the direction of what follows, beyond the answer.
_TURNING: Final = dict.fromkeys([*range(0x202A, 0x202F), *range(0x2066, 0x206A)], "�")
_SHOWN_AT_A_TERMINAL: Final = _SHOWN | _TURNING


def harmless(text: str, *, at_a_terminal: bool = True) -> str:
    """``text`` without what a terminal would obey."""
    return text.translate(_SHOWN_AT_A_TERMINAL if at_a_terminal else _SHOWN)


class Unwritable(click.ClickException):
    """Standard output takes no more, as on a full disk."""


class Screen:
    """Writes one answer after the other, and remembers whether a line is begun.

    ``gone`` says that nobody reads answers any more, as when ``head`` has seen enough.
    """

    def __init__(self, *, thinking: bool = True, answers: bool = True) -> None:
        self._thinking = thinking
        self._answers = answers
        self._dims = _is_coloured(sys.stderr)
        self._at_a_terminal = sys.stdout.isatty()
        self.gone = False
        self._last = "\n"
        self._thought = False
        for stream in (sys.stdout, sys.stderr):
            # A terminal that lacks a character shows another, and no answer ends in a stack trace.
            if hasattr(stream, "reconfigure"):
                stream.reconfigure(errors="replace")

    def think(self, text: str) -> None:
        """More of the model's thoughts."""
        if self._thinking and text:
            shown = harmless(text)
            self._last, self._thought = shown[-1:] or self._last, True
            self._say(f"{_DIM}{shown}{_PLAIN}" if self._dims else shown)

    def answer(self, text: str) -> None:
        """More of the answer itself."""
        if not text or not self._answers:
            return
        self._end_of_thoughts()
        shown = harmless(text, at_a_terminal=self._at_a_terminal)
        # Before, as a person may stop it between the two.
        self._last = shown[-1:] or self._last
        self._write(shown)

    def end(self) -> None:
        """The answer is over, be it complete or not."""
        if self._thought:
            self._end_of_thoughts()
        elif self._last != "\n":
            self._write("\n")
        self._last = "\n"

    def result(self, text: str) -> None:
        """All there is to say to a program, as it is."""
        self._write(f"{text}\n")

    def note(self, text: str) -> None:
        """Something the program itself says."""
        shown = harmless(text)
        self._say(f"{_DIM}{shown}{_PLAIN}\n" if self._dims else f"{shown}\n")

    def fail(self, text: str) -> None:
        """What went wrong, and what mends it."""
        self._say(f"Error: {harmless(text)}\n")

    def _end_of_thoughts(self) -> None:
        if self._thought:
            self._say("\n" if self._last == "\n" else "\n\n")
            self._thought, self._last = False, "\n"

    def _write(self, text: str) -> None:
        if self.gone:
            return
        try:
            sys.stdout.write(text)
            sys.stdout.flush()
        except OSError as error:
            self.gone = True
            give_up(sys.stdout)
            if not isinstance(error, BrokenPipeError):
                raise Unwritable(f"The answer cannot be written: {error.strerror}.") from None

    @staticmethod
    def _say(text: str) -> None:
        # Where nothing can be said, nothing can be said of it.
        with contextlib.suppress(OSError):
            sys.stderr.write(text)
            sys.stderr.flush()


def _is_coloured(stream: TextIO) -> bool:
    """See https://no-color.org."""
    return (
        stream.isatty()
        and not os.environ.get("NO_COLOR")
        and os.environ.get("TERM") != "dumb"
        and sys.platform != "win32"
    )
