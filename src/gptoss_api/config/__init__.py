"""The settings: what can be set, where it is read from, and what is in force."""

from .reloading import UPSTREAMS, Change, fingerprint, reread, shown_names, watched
from .settings import OPTIONS, Option, Settings
from .sources import ConfigError, Resolution, Source, resolve
from .upstreams import UpstreamSettings

__all__ = [
    "OPTIONS",
    "UPSTREAMS",
    "Change",
    "ConfigError",
    "Option",
    "Resolution",
    "Settings",
    "Source",
    "UpstreamSettings",
    "fingerprint",
    "reread",
    "resolve",
    "shown_names",
    "watched",
]
