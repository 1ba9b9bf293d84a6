"""Ids of calls: the gateway's own in the form of Anthropic's, and back."""

import re
from typing import Final

_OURS: Final = re.compile(r"(?:call|toolu)_([0-9a-f]{24})")


def shown_call_id(call_id: str) -> str:
    """What the client is told: ``toolu_`` for ids of our own, anything else as it is."""
    found = _OURS.fullmatch(call_id)
    return f"toolu_{found[1]}" if found else call_id


def our_call_id(shown: str) -> str:
    """The id for which :func:`shown_call_id` gave this one. Ids of others mean nothing but themselves."""
    found = _OURS.fullmatch(shown)
    return f"call_{found[1]}" if found else shown
