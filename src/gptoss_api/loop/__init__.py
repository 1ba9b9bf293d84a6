"""Keeps the event loop free for everybody: heavy work runs beside it."""

from .beside import LIGHT, beside, in_thread

__all__ = ["LIGHT", "beside", "in_thread"]
