"""The HTTP side facing clients; the only room that knows ASGI."""

from .run import run

__all__ = ["run"]
