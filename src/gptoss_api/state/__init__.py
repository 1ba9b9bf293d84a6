"""What the gateway remembers between requests, in this process or shared with others."""

from .cached_file import map_cached
from .guard import OPERATION_TIME, GuardedStore
from .memory import MemoryStore
from .sealed import SealedStore
from .secret import load_secret
from .store import Change, Entry, KeyStore, Lease, LedgerStore, Space, Store, StoreUnavailable
from .url import (
    STORE_URLS,
    cache_folder,
    default_url,
    is_made,
    is_shared,
    keys_of,
    open_store,
    open_usage,
    passwords,
    secret_file,
    state_folder,
    usage_is_made,
    without_password,
)
from .usage import UsageStore
from .usage_behind import UsageBehind

__all__ = [
    "OPERATION_TIME",
    "STORE_URLS",
    "Change",
    "Entry",
    "GuardedStore",
    "KeyStore",
    "Lease",
    "LedgerStore",
    "MemoryStore",
    "SealedStore",
    "Space",
    "Store",
    "StoreUnavailable",
    "UsageBehind",
    "UsageStore",
    "cache_folder",
    "default_url",
    "is_made",
    "is_shared",
    "keys_of",
    "load_secret",
    "map_cached",
    "open_store",
    "open_usage",
    "passwords",
    "secret_file",
    "state_folder",
    "usage_is_made",
    "without_password",
]
