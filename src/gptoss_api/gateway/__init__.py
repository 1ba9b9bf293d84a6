"""The composition root: settings become upstreams that together can answer every turn."""

from .gateway import Gateway, UpstreamState
from .selection import choose_upstreams, read_credentials
from .state import created_keys_exist, open_state, state_url

__all__ = [
    "Gateway",
    "UpstreamState",
    "choose_upstreams",
    "created_keys_exist",
    "open_state",
    "read_credentials",
    "state_url",
]
