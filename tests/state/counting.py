"""A change of a value that any store can make."""


class Count:
    """Counts, in decimal, and gives the count."""

    lua = """
local time = redis.call('TIME')
local count = (redis.call('GET', KEYS[1]) or 0) + ARGV[1]
redis.call('SET', KEYS[1], count)
return {tostring(count), time[1] * 1000, count}
"""
    arguments = b"1"

    def __call__(self, value: bytes | None, now: int) -> tuple[bytes, tuple[int, int]]:
        count = int(value or b"0") + 1
        return b"%d" % count, (count, now)

    def found(self, value: bytes, now: int, verdict: int) -> tuple[int, int]:
        assert value == b"%d" % verdict
        return verdict, now
