"""Identifiers that nobody can guess and no two things have."""

import os
from os import urandom
from typing import Final

# Bytes of an identifier, and how many are drawn at once: asking the system takes longer than all the rest.
_SIZE: Final = 16
_DRAWN: Final = 256

_ready: Final[list[str]] = []

# Processes that are forked must not give out the same.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_ready.clear)


def new_identifier() -> str:
    """32 hexadecimal digits, drawn at random by the system; of any thread."""
    try:
        return _ready.pop()
    except IndexError:
        drawn = urandom(_SIZE * _DRAWN).hex()
        _ready.extend([drawn[at : at + 2 * _SIZE] for at in range(0, len(drawn), 2 * _SIZE)])
        return urandom(_SIZE).hex()
