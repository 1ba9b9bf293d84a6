"""State in a Redis or Valkey server: shared by every replica of the gateway.

Each operation is one command or one script, so it is atomic and takes one round trip. The server itself
lets values and leases expire. Connections that break are made anew by the next operation.
"""

from collections.abc import Awaitable, Sequence
from typing import Any, Final

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from .store import Lease, Space, StoreUnavailable

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
        values: list[bytes | None] = await _done(self._client.mget([_entry(space, key) for key in keys]))
        return values

    async def take(self, space: Space, key: bytes) -> bytes | None:
        value: bytes | None = await _done(self._take(keys=[_entry(space, key), _index(space)]))
        return value

    async def put(self, space: Space, key: bytes, value: bytes, lease: Lease | None = None) -> bool:
        keys = [_entry(space, key), _index(space), _lease_key(lease.key if lease else b"")]
        token = str(lease.token) if lease else ""
        bounds = (_milliseconds(space.ttl), space.entries)
        return bool(await _done(self._put(keys=keys, args=[value, *bounds, token, space.value_size])))

    async def delete(self, space: Space, *keys: bytes) -> None:
        names = [_entry(space, key) for key in keys]
        pipeline = self._client.pipeline(transaction=True)
        pipeline.delete(*names)
        pipeline.zrem(_index(space), *names)
        await _done(pipeline.execute())

    async def lease(self, key: bytes, ttl: float) -> Lease | None:
        token = await _done(
            self._lease(keys=[_lease_key(key), _PREFIX + b"tokens"], args=[_milliseconds(ttl)])
        )
        return None if token is None else Lease(key, int(token))

    async def close(self) -> None:
        await self._client.aclose()


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


async def _done(operation: Awaitable[Any]) -> Any:
    try:
        return await operation
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
