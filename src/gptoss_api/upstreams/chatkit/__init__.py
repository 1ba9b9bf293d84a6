"""The gpt-oss.com website, speaking both dialects of the ChatKit protocol."""

from .client import DEFAULT_URL, NAME, ChatKitUpstream
from .credentials import Credentials

__all__ = ["DEFAULT_URL", "NAME", "ChatKitUpstream", "Credentials"]
