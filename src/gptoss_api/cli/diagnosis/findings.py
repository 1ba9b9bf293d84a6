"""What was found out about one thing, and what to do about it."""

from typing import Literal

from msgspec import Struct

Level = Literal["ok", "warning", "error"]


class Finding(Struct, frozen=True, omit_defaults=True):
    """One line of the report.

    ``id`` stays the same between releases; ``subject`` tells several findings with one id apart, as the name
    of an upstream does. ``advice`` is what mends it, "" where there is nothing to do.
    """

    id: str
    level: Level
    what: str
    advice: str = ""
    subject: str = ""
