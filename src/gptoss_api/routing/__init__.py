"""Which upstream answers a turn, where there are several."""

from .breaker import Breaker
from .router import Route, Router

__all__ = ["Breaker", "Route", "Router"]
