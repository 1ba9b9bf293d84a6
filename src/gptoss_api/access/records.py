"""A key that was made with ``gptoss-api keys``, as the state store keeps it: never the secret itself."""

import secrets
import string
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, Literal

import msgspec
from msgspec import Struct

Period = Literal["day", "month", "total"]

PREFIX: Final = "sk-gptoss-"
_ALPHABET: Final = string.digits + string.ascii_letters
# Characters with 256 random bits.
_LENGTH: Final = 43
_SHOWN: Final = 4


class Budget(Struct, frozen=True):
    """At most ``tokens`` in each ``period``; days and months are those of UTC."""

    tokens: int
    period: Period


class KeyLimits(Struct, frozen=True, omit_defaults=True):
    """What a key may use; ``None`` is no limit.

    ``requests`` and ``tokens`` are per minute, ``concurrency`` counts turns at the same time.
    """

    requests: int | None = None
    tokens: int | None = None
    concurrency: int | None = None
    budgets: tuple[Budget, ...] = ()


NO_LIMITS: Final = KeyLimits()


class KeyRecord(Struct, frozen=True, omit_defaults=True):
    """One key. Times are in Unix seconds.

    ``digest`` is the secret's SHA-256 in hexadecimal, ``ending`` its last characters. ``models`` are the
    canonical ids that it may use; none stands for all. An ``admin`` key opens ``/admin`` too.
    """

    id: str
    name: str
    digest: str
    ending: str
    created: float
    expires: float | None = None
    revoked: float | None = None
    admin: bool = False
    models: tuple[str, ...] = ()
    limits: KeyLimits = NO_LIMITS

    def state(self, now: float) -> Literal["active", "expired", "revoked"]:
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "active"


class NewSecret(Struct, frozen=True):
    """A secret, shown once, and what of it is kept."""

    secret: str
    digest: str
    ending: str


def new_secret() -> NewSecret:
    """A key of 256 random bits."""
    secret = PREFIX + "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    return NewSecret(secret, sha256(secret.encode()).hexdigest(), secret[-_SHOWN:])


def new_key_id() -> str:
    return f"key_{secrets.token_hex(6)}"


_decoder: Final = msgspec.json.Decoder(KeyRecord)


def encode_record(record: KeyRecord) -> bytes:
    return msgspec.json.encode(record)


def decode_record(data: bytes) -> KeyRecord:
    """Raises: ValueError, for what is no record. Members that are not known are left out."""
    return _decoder.decode(data)


def public_record(record: KeyRecord, now: float) -> dict[str, object]:
    """The key as administrators see it: nothing that opens anything, every member always there."""
    limits = record.limits
    return {
        "id": record.id,
        "name": record.name,
        "ending": record.ending,
        "state": record.state(now),
        "created": moment(record.created),
        "expires": moment(record.expires),
        "revoked": moment(record.revoked),
        "admin": record.admin,
        "models": list(record.models) or None,
        "limits": {
            "requests_per_minute": limits.requests,
            "tokens_per_minute": limits.tokens,
            "concurrency": limits.concurrency,
            "budgets": [{"tokens": budget.tokens, "period": budget.period} for budget in limits.budgets],
        },
    }


def moment(seconds: float | None) -> str | None:
    """A time of Unix seconds as RFC 3339 writes it."""
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
