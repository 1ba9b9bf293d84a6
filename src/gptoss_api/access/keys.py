"""The gateway's own API keys: those of its settings, and those that were created while it may have run."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from hmac import compare_digest
from typing import Final, Literal

from msgspec import Struct

from ..core.errors import AdminKeyRequired, InvalidApiKey, ModelNotAllowed, StateUnavailable
from ..state import StoreUnavailable
from .records import NO_LIMITS, PREFIX, KeyRecord, decode_record, moment

MISSING = (
    "You didn't provide an API key. You need to provide your API key in an Authorization header using "
    "Bearer auth (i.e. Authorization: Bearer YOUR_KEY) or in an x-api-key header."
)
INCORRECT = "Incorrect API key provided. Use one of the keys this gateway was started with (GPTOSS_API_KEYS)"

_ADMINISTERS: Final = (
    "Here the key of an administrator is wanted: the one that the gateway was started with as "
    "GPTOSS_ADMIN_KEY, or one that 'gptoss-api keys create NAME --admin' makes."
)

# Seconds between two looks for keys that were created, changed or revoked meanwhile.
LOOK_EVERY: Final = 1.0
_RETRY_AFTER: Final = 5.0

# What changed since the revision that is given, if anything did: the new revision and all records.
ReadKeys = Callable[[bytes | None], Awaitable[tuple[bytes, Sequence[bytes]] | None]]

_log = logging.getLogger(__name__)


class Caller(Struct, frozen=True):
    """Who asks. ``id`` is opaque, and "" where no keys are; ``name`` is for the log.

    ``record`` is there for keys that were created, ``limited`` says whether there are limits to what may be
    used.
    """

    id: str = ""
    name: str = ""
    admin: bool = False
    record: KeyRecord | None = None
    limited: bool = False

    def may_use(self, model: str) -> bool:
        """Whether the model with this canonical id may be asked."""
        return self.record is None or not self.record.models or model in self.record.models

    def check_model(self, model: str) -> None:
        """Raises: ModelNotAllowed, unless the model with this canonical id may be asked."""
        if self.record is not None and not self.may_use(model):
            allowed = " and ".join(self.record.models)
            raise ModelNotAllowed(f"This API key may not use {model}, only {allowed}.", param="model")


NOBODY: Final = Caller()


class ApiKeys:
    """The keys that open the gateway; without any, the gateway is open to whoever reaches it.

    ``keys`` are those of the settings, ``admin_key`` opens ``/admin`` too. ``read`` reads those that were
    created; once there was one, keys are required until the process ends, as they are ``always`` where that
    is said. Only digests are kept. Every presented key is compared with every digest of the settings in
    constant time, and looked up by its own digest among those that were created, so that the time of an
    answer tells nothing about a key.
    """

    def __init__(
        self,
        keys: Iterable[str],
        *,
        admin_key: str | None = None,
        always: bool = False,
        read: ReadKeys | None = None,
    ) -> None:
        self._created: dict[bytes, Caller] = {}
        # Whether a request has to have one.
        self.required = False
        self.use_settings(keys, admin_key=admin_key, always=always)
        self._read = read
        self._revision: bytes | None = None

    def use_settings(self, keys: Iterable[str], *, admin_key: str | None, always: bool) -> None:
        """Takes the keys of settings in the place of those that were there before.

        Where keys were required they stay so until the process ends: a file that is emptied, or cut while it
        is written, opens nothing.
        """
        digests = {sha256(key.encode()).digest() for key in keys}
        callers = [(digest, Caller(digest.hex()[:12], digest.hex()[:12])) for digest in digests]
        if admin_key is not None:
            digest = sha256(admin_key.encode()).digest()
            callers.append((digest, Caller(digest.hex()[:12], "admin", admin=True)))
        self._callers = tuple(callers)
        self.required = self.required or bool(digests) or always

    @property
    def records(self) -> list[KeyRecord]:
        """The keys that were created, the oldest first, as they were when last looked at."""
        found = [caller.record for caller in self._created.values() if caller.record is not None]
        return sorted(found, key=lambda record: record.created)

    async def refresh(self) -> bool:
        """Looks for created keys that changed; ``False`` where that cannot be said now."""
        if self._read is None:
            return True
        try:
            changed = await self._read(self._revision)
        except StoreUnavailable:
            return False
        if changed is not None:
            self._revision, records = changed
            self._use(records)
        return True

    async def watch(self) -> None:
        """Looks again and again, until it is cancelled."""
        while self._read is not None:
            await asyncio.sleep(LOOK_EVERY)
            await self.refresh()

    def _use(self, records: Sequence[bytes]) -> None:
        created: dict[bytes, Caller] = {}
        for data in records:
            try:
                record = decode_record(data)
                digest = bytes.fromhex(record.digest)
            except ValueError:
                _log.warning("a key in the state store cannot be read and opens nothing; make it anew")
                continue
            created[digest] = Caller(
                record.id, record.name, record.admin, record, limited=record.limits != NO_LIMITS
            )
        self._created = created
        self.required = self.required or bool(records)

    def authenticate(self, headers: Mapping[str, str]) -> Caller:
        """Who asks, or :data:`NOBODY` where no keys are required.

        ``headers`` have lower-case names. A key counts in ``Authorization: Bearer``, in ``x-api-key`` or in
        ``api-key``; one right key is enough where a client sends several.

        Raises:
            InvalidApiKey: for no key, or a wrong one. The message never repeats the key.
            StateUnavailable: for a key that may be right, as long as those that were created are not known.
        """
        return self._identified(headers) if self.required else NOBODY

    def authenticate_admin(self, headers: Mapping[str, str]) -> Caller:
        """Who asks, if that is somebody who administers the gateway.

        Raises:
            InvalidApiKey: as :meth:`authenticate`.
            AdminKeyRequired: for another key.
        """
        try:
            caller = self._identified(headers)
        except InvalidApiKey as error:
            error.message = f"{error.message} {_ADMINISTERS}"
            raise
        if not caller.admin:
            raise AdminKeyRequired(f"This key does not administer the gateway. {_ADMINISTERS}")
        return caller

    def opened_by(self, headers: Mapping[str, str]) -> bool:
        """Whether :meth:`authenticate` takes these headers."""
        try:
            self.authenticate(headers)
        except (InvalidApiKey, StateUnavailable):
            return False
        return True

    def _identified(self, headers: Mapping[str, str]) -> Caller:
        presented = may_be_right = False
        found: Caller | None = None
        why = ""
        unknown = self._read is not None and self._revision is None
        for key in (
            _bearer(headers.get("authorization", "")),
            headers.get("x-api-key", "").strip(),
            headers.get("api-key", "").strip(),
        ):
            if key:
                presented = True
                may_be_right = may_be_right or (unknown and key.startswith(PREFIX))
                caller = self._caller(key)
                if caller is None or found is not None:
                    continue
                if words := _why_not(caller.record):
                    why = words
                else:
                    found = caller
        if found is not None:
            return found
        if not presented:
            raise InvalidApiKey(MISSING)
        if may_be_right:
            raise StateUnavailable(
                "The store of this gateway's API keys could not be read yet. Retry in a few seconds.",
                retry_after=_RETRY_AFTER,
            )
        raise InvalidApiKey(why or self._incorrect())

    def _incorrect(self) -> str:
        return INCORRECT + (", or one made with 'gptoss-api keys create'." if self._created else ".")

    def _caller(self, key: str) -> Caller | None:
        digest = sha256(key.encode(errors="surrogatepass")).digest()
        found: Caller | None = self._created.get(digest)
        for known, caller in self._callers:
            if compare_digest(known, digest):
                found = caller
        return found


def _why_not(record: KeyRecord | None) -> str:
    """Why a created key does not count any more."""
    state: Literal["active", "expired", "revoked"] = "active" if record is None else record.state(time.time())
    if record is None or state == "active":
        return ""
    if state == "revoked":
        return "This API key was revoked. Ask whoever runs this gateway for another one."
    return (
        f"This API key expired at {moment(record.expires)}. Ask whoever runs this gateway to extend it "
        "('gptoss-api keys edit')."
    )


def _bearer(authorization: str) -> str:
    scheme, _, key = authorization.strip().partition(" ")
    return key.strip() if scheme.lower() == "bearer" else ""
