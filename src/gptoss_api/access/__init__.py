"""Who may use the gateway: API keys, and the origins and host names of browsers."""

from .accounts import Accounts, Reservation, demand_of
from .keys import NOBODY, ApiKeys, Caller
from .origins import HostPolicy, OriginPolicy
from .proxies import TrustedProxies
from .records import (
    Budget,
    KeyLimits,
    KeyRecord,
    decode_record,
    encode_record,
    moment,
    new_key_id,
    new_secret,
    public_record,
)

__all__ = [
    "NOBODY",
    "Accounts",
    "ApiKeys",
    "Budget",
    "Caller",
    "HostPolicy",
    "KeyLimits",
    "KeyRecord",
    "OriginPolicy",
    "Reservation",
    "TrustedProxies",
    "decode_record",
    "demand_of",
    "encode_record",
    "moment",
    "new_key_id",
    "new_secret",
    "public_record",
]
