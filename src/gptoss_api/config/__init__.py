"""The settings: what can be set, where it is read from, and what is in force."""

from .settings import OPTIONS, Option, Settings
from .sources import ConfigError, Resolution, Source, resolve
from .upstreams import UpstreamSettings

__all__ = [
    "OPTIONS",
    "ConfigError",
    "Option",
    "Resolution",
    "Settings",
    "Source",
    "UpstreamSettings",
    "resolve",
]
