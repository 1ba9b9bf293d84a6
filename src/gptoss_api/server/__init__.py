"""The HTTP side facing clients; the only room that knows their HTTP."""

from .run import run

__all__ = ["run"]
