"""Reading what is pasted at a terminal without showing it."""

import os
import sys

# Seconds without input after which a paste is complete.
_QUIET = 0.2


def read_hidden(prompt: str) -> str:
    """What is typed or pasted at the terminal, up to an Enter after which nothing follows.

    Several lines are one paste: a command copied as cURL has many. Nothing that was pasted is left
    behind for the shell to run.
    """
    if sys.platform == "win32":
        from getpass import getpass

        return getpass(prompt)
    import select
    import termios

    terminal = sys.stdin.fileno()
    before = termios.tcgetattr(terminal)
    hidden = termios.tcgetattr(terminal)
    # Without ICANON: the terminal itself would cut lines at 4096 bytes, and a session can be longer.
    hidden[3] &= ~(termios.ECHO | termios.ICANON)
    hidden[6][termios.VMIN], hidden[6][termios.VTIME] = 1, 0
    typed = bytearray()
    termios.tcsetattr(terminal, termios.TCSAFLUSH, hidden)
    try:
        print(prompt, end="", file=sys.stderr, flush=True)
        while True:
            piece = os.read(terminal, 65536)
            typed += piece
            if not piece or b"\x04" in piece:
                break
            if _complete(typed) and not select.select([terminal], [], [], _QUIET)[0]:
                break
    finally:
        termios.tcsetattr(terminal, termios.TCSAFLUSH, before)
        print(file=sys.stderr)
    return typed.replace(b"\x04", b"").decode("utf-8", "replace")


def _complete(typed: bytearray) -> bool:
    """Whether the last line is ended and does not say that another one follows."""
    return typed.endswith(b"\n") and not typed.rstrip(b"\r\n").endswith((b"\\", b"^"))
