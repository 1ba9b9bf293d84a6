"""The gpt-oss.com website, speaking both dialects of the ChatKit protocol."""

from .client import ChatKitUpstream
from .credentials import Credentials

__all__ = ["ChatKitUpstream", "Credentials"]
