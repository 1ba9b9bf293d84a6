"""Keeps the event loop free for everybody: heavy work runs beside it, and answers flow as they are read."""

from .beside import LIGHT, beside, in_thread
from .flow import Flow
from .limit import Limit
from .wheel import Deadline

__all__ = ["LIGHT", "Deadline", "Flow", "Limit", "beside", "in_thread"]
