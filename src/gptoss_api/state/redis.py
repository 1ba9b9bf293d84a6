"""State in a Redis or Valkey server: shared by every replica of the gateway.

Each operation is one command or one script, so it is atomic and takes one round trip. The server itself
lets values and leases expire. Connections that break are made anew by the next operation.
"""

import contextlib
import logging
from collections.abc import Iterator, Sequence
from hashlib import blake2b
from typing import Final, TypeVar

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.commands.core import AsyncScript
from redis.exceptions import RedisError

from .store import Change, Entry, Lease, Space, StoreUnavailable, new_revision

T = TypeVar("T")

# The braces keep all keys in one slot of a cluster, as the scripts need it.
_PREFIX: Final = b"{gptoss-api}:2:"
# The indexes of what the first version wrote, which was not sealed.
_OLD_INDEXES: Final = tuple(
    b"{gptoss-api}:index:%b" % space
    for space in (b"tips", b"thoughts", b"responses", b"response-events", b"response-cancels")
)
# Seconds. The guard's clock usually ends an operation earlier.
_TIMEOUT: Final = 2.0
_CONNECTIONS: Final = 32
_OWNER_BYTES: Final = 8

# A value is stored behind 8 bytes that stand for its owner. Each owner's index orders its entries by their
# expiry, "entry:bytes", and the owners of a space are ordered by their bytes: so the oldest of whoever has
# the most is found without reading a value. KEYS[2] are the owners, before an owner its index, before "total"
# the bytes of all: with thousands of owners, nobody can add them up for every value.
_BOOKS: Final = """
local total_key = KEYS[2] .. 'total'
local function add_to_total(size)
  -- Of nothing, minus nothing would be no integer.
  if size ~= 0 and redis.call('EXISTS', total_key) == 1 then redis.call('INCRBY', total_key, size) end
end
local function forget(owner, member)
  local entry, size = string.match(member, '^(.*):(%d+)$')
  if redis.call('ZREM', KEYS[2] .. owner, member) == 1 then
    add_to_total(-size)
    if tonumber(redis.call('ZINCRBY', KEYS[2], -size, owner)) <= 0 then
      redis.call('ZREM', KEYS[2], owner)
    end
  end
  return entry
end
local function remove(entry)
  local owner = redis.call('GETRANGE', entry, 0, 7)
  if owner ~= '' then
    forget(owner, entry .. ':' .. redis.call('STRLEN', entry) - 8)
    redis.call('DEL', entry)
  end
end
"""
# KEYS: entry, owners, lease.
# ARGV: value, lifetime in ms, owner, token or "", largest size, and the bounds of the space.
_PUT: Final = (
    _BOOKS
    + """
local value, ttl, owner, token, largest = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local entries, size, total = tonumber(ARGV[6]), tonumber(ARGV[7]), tonumber(ARGV[8])
local owners = KEYS[2]
local function held(who) return tonumber(redis.call('ZSCORE', owners, who)) or 0 end
local function oldest_goes(who)
  redis.call('DEL', forget(who, redis.call('ZRANGE', owners .. who, 0, 0)[1]))
end
local function expire(who, now)
  if redis.call('EXISTS', owners .. who) == 0 then
    add_to_total(-held(who))
    redis.call('ZREM', owners, who)
  end
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', owners .. who, '-inf', now)) do forget(who, member) end
end
local function sum(now)
  local all = 0
  for _, who in ipairs(redis.call('ZRANGE', owners, 0, -1)) do
    expire(who, now)
    all = all + held(who)
  end
  -- Counted anew from time to time, for what else may have happened to it: a version that knew no total.
  redis.call('SET', total_key, all, 'PX', 600000)
  return all
end

if token ~= '' then
  if redis.call('GET', KEYS[3]) ~= token then return 0 end
  redis.call('DEL', KEYS[3])
end
if #value > largest then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if redis.call('EXISTS', total_key) == 0 then sum(now) end
remove(KEYS[1])
expire(owner, now)
redis.call('SET', KEYS[1], owner .. value, 'PX', ttl)
add_to_total(#value)
redis.call('ZADD', owners .. owner, now + ttl, KEYS[1] .. ':' .. #value)
redis.call('ZINCRBY', owners, #value, owner)
redis.call('PEXPIRE', owners .. owner, ttl)
redis.call('PEXPIRE', owners, ttl)
while redis.call('ZCARD', owners .. owner) > entries or held(owner) > size do oldest_goes(owner) end
if tonumber(redis.call('GET', total_key)) > total then
  local all = sum(now)
  while all > total do
    local most = redis.call('ZREVRANGE', owners, 0, 0)[1]
    all = all - held(most)
    oldest_goes(most)
    all = all + held(most)
  end
end
return redis.call('EXISTS', KEYS[1])
"""
)
# KEYS: entry, owners.
_TAKE: Final = (
    _BOOKS
    + """
local value = redis.call('GET', KEYS[1])
remove(KEYS[1])
return value
"""
)
# KEYS: first entry, owners, other entries.
_DELETE: Final = (
    _BOOKS
    + """
remove(KEYS[1])
for i = 3, #KEYS do remove(KEYS[i]) end
"""
)
# KEYS: old indexes. Tells how many values there were.
_CLEAN: Final = """
local gone = 0
for _, index in ipairs(KEYS) do
  for _, entry in ipairs(redis.call('ZRANGE', index, 0, -1)) do gone = gone + redis.call('DEL', entry) end
  redis.call('DEL', index)
end
return gone
"""
# KEYS: lease, counter of tokens. ARGV: lifetime in ms.
_LEASE: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then return nil end
local token = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], token, 'PX', ARGV[1])
return token
"""

# KEYS: revision, records. ARGV: the revision that was seen, or "none".
_READ_KEYS: Final = """
local revision = redis.call('GET', KEYS[1]) or ''
if revision == ARGV[1] then return nil end
return {revision, redis.call('HVALS', KEYS[2])}
"""
# KEYS: revision, records, ledger. ARGV: the revision that was seen, the next one, id, record or "".
_WRITE_KEY: Final = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
if ARGV[4] == '' then
  redis.call('HDEL', KEYS[2], ARGV[3])
  redis.call('DEL', KEYS[3])
else
  redis.call('HSET', KEYS[2], ARGV[3], ARGV[4])
end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""
_KEYS: Final = (_PREFIX + b"api-keys:revision", _PREFIX + b"api-keys")

_log = logging.getLogger(__name__)


class RedisStore:
    """A :class:`~.store.Store` at a ``redis://``, ``rediss://`` or ``unix://`` URL with options of redis-py.

    Raises :class:`ValueError` for a URL that redis-py cannot use.
    """

    name = "redis"

    def __init__(self, url: str) -> None:
        self._client = connect(url)
        self._put = self._client.register_script(_PUT)
        self._take = self._client.register_script(_TAKE)
        self._delete = self._client.register_script(_DELETE)
        self._lease = self._client.register_script(_LEASE)
        self._read_keys = self._client.register_script(_READ_KEYS)
        self._write_key = self._client.register_script(_WRITE_KEY)
        self._changes: dict[str, AsyncScript] = {}
        self._cleaned = False

    async def get(self, space: Space, *keys: bytes) -> Sequence[bytes | None]:
        with failures_told():
            await self._clean()
            values = await self._client.mget([_entry(space, key) for key in keys])
            return [_without_owner(value) for value in values]  # type: ignore[arg-type]  # nothing is decoded

    async def take(self, space: Space, key: bytes) -> bytes | None:
        with failures_told():
            await self._clean()
            return _without_owner(await self._take(keys=[_entry(space, key), _owners(space)]))

    async def put(self, space: Space, *entries: Entry) -> Sequence[bool]:
        with failures_told():
            await self._clean()
            async with self._client.pipeline(transaction=False) as pipeline:
                for entry in entries:
                    await self._add(pipeline, space, entry)
                return [bool(stored) for stored in await pipeline.execute()]

    async def delete(self, space: Space, *keys: bytes, erase: bool = False) -> None:
        first, *others = [_entry(space, key) for key in keys]
        with failures_told():
            await self._delete(keys=[first, _owners(space), *others])

    async def lease(self, key: bytes, ttl: float) -> Lease | None:
        keys = [_lease_key(key), _PREFIX + b"tokens"]
        with failures_told():
            token = await self._lease(keys=keys, args=[_milliseconds(ttl)])
        return None if token is None else Lease(key, int(token))

    async def read_keys(self, seen: bytes | None) -> tuple[bytes, Sequence[bytes]] | None:
        """See :class:`~.store.KeyStore`."""
        with failures_told():
            found = await self._read_keys(keys=_KEYS, args=["none" if seen is None else seen])
        return None if found is None else (found[0], found[1])

    async def write_key(self, key_id: str, record: bytes | None, revision: bytes) -> bool:
        """See :class:`~.store.KeyStore`."""
        with failures_told():
            written = await self._write_key(
                keys=[*_KEYS, _ledger(key_id)], args=[revision, new_revision(), key_id, record or b""]
            )
        return bool(written)

    async def change(self, account: str, change: Change[T]) -> T:
        """See :class:`~.store.LedgerStore`."""
        script = self._changes.get(change.lua)
        if script is None:
            script = self._changes[change.lua] = self._client.register_script(change.lua)
        with failures_told():
            value, now, verdict = await script(keys=[_ledger(account)], args=[change.arguments])
        return change.found(value, now, verdict)

    async def close(self) -> None:
        with contextlib.suppress(RedisError, OSError):
            await self._client.aclose()

    async def _add(self, pipeline: Pipeline, space: Space, entry: Entry) -> None:
        lease = entry.lease
        await self._put(
            keys=[_entry(space, entry.key), _owners(space), _lease_key(lease.key if lease else b"")],
            args=[
                entry.value,
                _milliseconds(space.ttl),
                blake2b(entry.owner, digest_size=_OWNER_BYTES).digest(),
                str(lease.token) if lease else "",
                space.largest,
                space.entries,
                space.size,
                space.total,
            ],
            client=pipeline,
        )

    async def _clean(self) -> None:
        """Removes once what an earlier version wrote."""
        if self._cleaned:
            return
        if await self._client.eval(_CLEAN, len(_OLD_INDEXES), *_OLD_INDEXES):
            _log.warning("removed what an earlier version of gptoss-api kept in Redis, which was not sealed")
        self._cleaned = True


def connect(url: str) -> Redis:
    """A client that connects when it is first used.

    Raises:
        ValueError: for a URL that redis-py cannot use.
    """
    return Redis.from_pool(_pool(url))


def _pool(url: str) -> BlockingConnectionPool:
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=_CONNECTIONS,
            timeout=_TIMEOUT,
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
            # Once, for a connection that broke while nobody used it. Further attempts are the guard's.
            retry=Retry(NoBackoff(), 1),
        )
        # Unknown options show only now; nothing is connected.
        pool.connection_class(**pool.connection_kwargs)
    except (ValueError, TypeError, OSError, RedisError):
        # The cause may repeat parts of the URL.
        raise ValueError("not a URL that redis-py can use") from None
    return pool


@contextlib.contextmanager
def failures_told() -> Iterator[None]:
    """Raises :class:`~.store.StoreUnavailable` for whatever the server or the way to it does."""
    try:
        yield
    except (RedisError, OSError) as error:
        # Only the kind: messages of the server may repeat what was sent.
        raise StoreUnavailable(f"Redis does not answer as expected ({type(error).__name__})") from None


def _entry(space: Space, key: bytes) -> bytes:
    return b"%s%s:%s" % (_PREFIX, space.name.encode(), key)


def _owners(space: Space) -> bytes:
    return b"%sowners:%s:" % (_PREFIX, space.name.encode())


def _without_owner(value: bytes | None) -> bytes | None:
    return None if value is None else value[_OWNER_BYTES:]


def _ledger(account: str) -> bytes:
    return b"%sledger:%s" % (_PREFIX, account.encode())


def _lease_key(key: bytes) -> bytes:
    return b"%slease:%s" % (_PREFIX, key)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
