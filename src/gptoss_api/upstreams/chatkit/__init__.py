"""The gpt-oss.com website, speaking both dialects of the ChatKit protocol."""

from .credentials import Credentials
from .requests import ChatKitUpstream

__all__ = ["ChatKitUpstream", "Credentials"]
