"""Which upstream answers a turn, where there are several."""

from .breaker import Breaker, BreakerState
from .router import Route, Router

__all__ = ["Breaker", "BreakerState", "Route", "Router"]
