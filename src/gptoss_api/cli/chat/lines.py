"""What a person types: lines with editing and history, and messages of several lines."""

import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Final

from ...state import state_folder

_HISTORY: Final = "chat-history"
_LINES_KEPT: Final = 1_000
# Begins and ends a message of several lines.
_FENCE: Final = '"""'


class Lines:
    """Asks for messages; ``commands`` are completed with the tab key.

    Without a terminal on both sides, or without readline, a line is read as it comes.
    """

    def __init__(self, commands: Sequence[str]) -> None:
        self._readline = _readline() if sys.stdin.isatty() and sys.stdout.isatty() else None
        self._history = History(self._readline) if self._readline is not None else None
        if self._readline is not None:
            _complete(self._readline, commands)

    def message(self) -> str:
        """The next message, which may have several lines.

        Raises:
            EOFError: where there is none any more.
            KeyboardInterrupt: where what was typed shall not count.
        """
        first = self._line("> ")
        lines = [first]
        if first.lstrip().startswith(_FENCE):
            lines = self._fenced(first.lstrip().removeprefix(_FENCE))
        else:
            while lines[-1].endswith("\\"):
                lines[-1] = lines[-1][:-1]
                lines.append(self._line("… "))
        text = "\n".join(lines)
        if self._history is not None:
            self._history.keep(first if len(lines) == 1 else text)
        return text

    def _fenced(self, begun: str) -> list[str]:
        lines = [begun]
        while not lines[-1].rstrip().endswith(_FENCE):
            lines.append(self._line("… "))
        lines[-1] = lines[-1].rstrip().removesuffix(_FENCE)
        return lines

    def _line(self, prompt: str) -> str:
        if self._readline is not None:
            return input(prompt)
        sys.stderr.write(prompt)
        sys.stderr.flush()
        line = sys.stdin.readline()
        if not line:
            raise EOFError
        return line.removesuffix("\n")


class History:
    """What was typed before, in a file that its owner alone can read; a line after a space is not kept."""

    def __init__(self, readline: ModuleType) -> None:
        self._readline = readline
        self._file: Path | None = state_folder() / _HISTORY
        readline.set_auto_history(False)
        readline.set_history_length(_LINES_KEPT)
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600))
            self._file.chmod(0o600)
            readline.read_history_file(self._file)
        except OSError:
            # Who cannot keep a history can chat all the same.
            self._file = None

    def keep(self, text: str) -> None:
        if not text.strip() or text.startswith(" "):
            return
        count = self._readline.get_current_history_length()
        if count and self._readline.get_history_item(count) == text:
            return
        self._readline.add_history(text)
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._readline.write_history_file(self._file)
                self._file.chmod(0o600)


def _readline() -> ModuleType | None:
    try:
        import readline
    except ImportError:
        return None
    return readline


def _complete(readline: ModuleType, commands: Sequence[str]) -> None:
    def complete(begun: str, number: int) -> str | None:
        fitting = [command for command in commands if begun.startswith("/") and command.startswith(begun)]
        return f"{fitting[number]} " if number < len(fitting) else None

    readline.set_completer_delims(" \t\n")
    readline.set_completer(complete)
    # macOS has another library by the name of readline.
    binding = "bind ^I rl_complete" if "libedit" in (readline.__doc__ or "") else "tab: complete"
    readline.parse_and_bind(binding)
