"""Who may use the gateway: API keys, and the origins and host names of browsers."""

from .keys import ApiKeys
from .origins import HostPolicy, OriginPolicy

__all__ = ["ApiKeys", "HostPolicy", "OriginPolicy"]
