"""State in a Redis or Valkey server: shared by every replica of the gateway.

Each operation is one command or one script, so it is atomic and takes one round trip. The server itself
lets values and leases expire. Connections that break are made anew by the next operation.
"""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.client import Pipeline
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from .store import Entry, Lease, Space, StoreUnavailable

# The braces keep all keys in one slot of a cluster, as the scripts need it.
_PREFIX: Final = b"{gptoss-api}:"
# Seconds. The guard's clock usually ends an operation earlier.
_TIMEOUT: Final = 2.0
_CONNECTIONS: Final = 32

# KEYS: entry, index of the space, lease. ARGV: value, lifetime in ms, entries, token or "", size.
# The index orders the keys of a space by their expiry; the first to expire are the first to go.
_PUT: Final = """
if ARGV[4] ~= '' then
  if redis.call('GET', KEYS[3]) ~= ARGV[4] then return 0 end
  redis.call('DEL', KEYS[3])
end
if #ARGV[1] > tonumber(ARGV[5]) then return 0 end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
redis.call('ZREMRANGEBYSCORE', KEYS[2], '-inf', now)
redis.call('ZADD', KEYS[2], now + ARGV[2], KEYS[1])
local excess = redis.call('ZCARD', KEYS[2]) - ARGV[3]
if excess > 0 then
  local gone = redis.call('ZPOPMIN', KEYS[2], excess)
  for i = 1, #gone, 2 do redis.call('DEL', gone[i]) end
end
redis.call('PEXPIRE', KEYS[2], ARGV[2])
return 1
"""
# KEYS: entry, index.
_TAKE: Final = """
local value = redis.call('GET', KEYS[1])
if value then redis.call('DEL', KEYS[1]) redis.call('ZREM', KEYS[2], KEYS[1]) end
return value
"""
# KEYS: lease, counter of tokens. ARGV: lifetime in ms.
_LEASE: Final = """
if redis.call('EXISTS', KEYS[1]) == 1 then return nil end
local token = redis.call('INCR', KEYS[2])
redis.call('SET', KEYS[1], token, 'PX', ARGV[1])
return token
"""


class RedisStore:
    """A :class:`~.store.Store` at a ``redis://``, ``rediss://`` or ``unix://`` URL with options of redis-py.

    Raises :class:`ValueError` for a URL that redis-py cannot use.
    """

    name = "redis"

    def __init__(self, url: str) -> None:
        self._client = Redis.from_pool(_pool(url))
        self._put = self._client.register_script(_PUT)
        self._take = self._client.register_script(_TAKE)
        self._lease = self._client.register_script(_LEASE)

    async def get(self, space: Space, *keys: bytes) -> Sequence[bytes | None]:
        with _failures_told():
            names = [_entry(space, key) for key in keys]
            return await self._client.mget(names)  # type: ignore[return-value]  # nothing is decoded

    async def take(self, space: Space, key: bytes) -> bytes | None:
        with _failures_told():
            value: bytes | None = await self._take(keys=[_entry(space, key), _index(space)])
            return value

    async def put(self, space: Space, *entries: Entry) -> Sequence[bool]:
        with _failures_told():
            async with self._client.pipeline(transaction=False) as pipeline:
                for entry in entries:
                    await self._add(pipeline, space, entry)
                return [bool(stored) for stored in await pipeline.execute()]

    async def delete(self, space: Space, *keys: bytes) -> None:
        names = [_entry(space, key) for key in keys]
        with _failures_told():
            async with self._client.pipeline(transaction=True) as pipeline:
                pipeline.delete(*names)
                pipeline.zrem(_index(space), *names)
                await pipeline.execute()

    async def lease(self, key: bytes, ttl: float) -> Lease | None:
        keys = [_lease_key(key), _PREFIX + b"tokens"]
        with _failures_told():
            token = await self._lease(keys=keys, args=[_milliseconds(ttl)])
        return None if token is None else Lease(key, int(token))

    async def close(self) -> None:
        with contextlib.suppress(RedisError, OSError):
            await self._client.aclose()

    async def _add(self, pipeline: Pipeline, space: Space, entry: Entry) -> None:
        lease = entry.lease
        await self._put(
            keys=[_entry(space, entry.key), _index(space), _lease_key(lease.key if lease else b"")],
            args=[
                entry.value,
                _milliseconds(space.ttl),
                space.entries,
                str(lease.token) if lease else "",
                space.value_size,
            ],
            client=pipeline,
        )


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
def _failures_told() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as error:
        # Only the kind: messages of the server may repeat what was sent.
        raise StoreUnavailable(f"Redis does not answer as expected ({type(error).__name__})") from None


def _entry(space: Space, key: bytes) -> bytes:
    return b"%s%s:%s" % (_PREFIX, space.name.encode(), key)


def _index(space: Space) -> bytes:
    return b"%sindex:%s" % (_PREFIX, space.name.encode())


def _lease_key(key: bytes) -> bytes:
    return b"%slease:%s" % (_PREFIX, key)


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
