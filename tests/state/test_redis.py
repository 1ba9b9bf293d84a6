"""The Redis store: sockets, passwords, certificates, and a server that comes and goes."""

import asyncio
import logging
import os
import random
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import redis

from gptoss_api.state import Entry, GuardedStore, Space, Store, StoreUnavailable, open_store
from tests.stores import ROOT, RedisServer, running_redis
from tests.upstreams.http.certificates import make_certificate

SPACE = Space("things", ttl=600, entries=1000, value_size=10_000)
OWNERS = b"{gptoss-api}:2:owners:small:"
TOTAL = OWNERS + b"total"
OPTIONS = ["--requirepass", "s3cret"]


async def works(store: Store) -> bool:
    await store.put(SPACE, Entry(b"a", b"1"))
    value = await store.take(SPACE, b"a")
    await store.close()
    return value == b"1"


async def test_it_answers_over_its_unix_socket(redis_server: RedisServer) -> None:
    assert await works(open_store(f"{redis_server.unix_url}?db=3"))


async def test_valkey_is_the_same(redis_server: RedisServer) -> None:
    assert await works(open_store(redis_server.url.replace("redis://", "valkey://")))


async def test_it_may_ask_for_a_password(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running_redis(tmp_path, *OPTIONS) as server:
        address = f"127.0.0.1:{server.port}"
        assert await works(open_store(f"redis://:s3cret@{address}"))
        assert await works(open_store(f"redis://default:s3cret@{address}/1"))
        assert await works(open_store(f"{server.unix_url}?password=s3cret"))
        for url in (f"redis://{address}", f"redis://:wr0ng@{address}"):
            store = GuardedStore(open_store(url))
            assert not await store.check()
            await store.close()
    assert "Redis does not answer as expected" in caplog.text
    assert "wr0ng" not in caplog.text


async def test_it_may_speak_tls(tmp_path: Path) -> None:
    certificate = make_certificate(tmp_path)
    files = ("--tls-cert-file", str(certificate.cert), "--tls-key-file", str(certificate.key))
    options = ["--tls-port", "{tls_port}", "--tls-auth-clients", "no", *files, *OPTIONS]
    with running_redis(tmp_path, *options) as server:
        url = f"rediss://:s3cret@localhost:{server.tls_port}/0"
        assert await works(open_store(f"{url}?ssl_ca_certs={certificate.cert}"))
        stranger = open_store(url)
        with pytest.raises(StoreUnavailable):
            await stranger.get(SPACE, b"a")
        await stranger.close()


async def test_the_server_itself_lets_everything_expire(redis_server: RedisServer) -> None:
    database = 900
    store = open_store(f"redis://127.0.0.1:{redis_server.port}/{database}")
    for number in range(5):
        await store.put(SPACE, Entry(b"%d" % number, b"1"))
    await store.lease(b"thread", 600)
    await store.close()
    with redis.Redis(port=redis_server.port, db=database) as client:
        lives = {key: client.ttl(key) for key in client.keys()}  # noqa: SIM118  # not a dict
    assert len(lives) == 10
    assert all(0 < life <= 600 for key, life in lives.items() if not key.endswith(b":tokens"))


async def test_values_do_not_pile_up_in_the_index(redis_server: RedisServer) -> None:
    database = 901
    small = Space("small", ttl=600, entries=10, value_size=10)
    store = open_store(f"redis://127.0.0.1:{redis_server.port}/{database}")
    for number in range(50):
        await store.put(small, Entry(b"%d" % number, b"12"))
        await store.take(small, b"%d" % (number - 3))
    await store.delete(small, b"49", b"48")
    await store.put(small, Entry(b"47", b"123"))
    await store.close()
    with redis.Redis(port=redis_server.port, db=database) as client:
        keys: Sequence[bytes] = client.keys()
        owners, index = sorted(key for key in keys if b":owners:" in key and key != TOTAL)
        assert client.zcard(index) == len(keys) - 3 == 1
        ((_, held),) = client.zrange(owners, 0, -1, withscores=True)
        assert held == 3


async def test_what_is_counted_is_what_is_there(redis_server: RedisServer) -> None:
    database = 906
    chance = random.Random(7)
    small = Space("small", ttl=600, entries=8, value_size=100, size=400, total=700)
    store = open_store(f"redis://127.0.0.1:{redis_server.port}/{database}")
    with redis.Redis(port=redis_server.port, db=database) as client:
        for _ in range(400):
            key = b"%d" % chance.randrange(30)
            match chance.randrange(4):
                case 0:
                    await store.take(small, key)
                case 1:
                    await store.delete(small, key, b"%d" % chance.randrange(30))
                case _:
                    owner = chance.choice([b"ann", b"bob", b"cid"])
                    await store.put(small, Entry(key, b"x" * chance.randrange(100), owner=owner))
            keys = client.keys()
            held = sum(score for _, score in client.zrange(OWNERS, 0, -1, withscores=True))
            there = [client.strlen(key) - 8 for key in keys if b":small:" in key and b":owners:" not in key]
            indexes = [key for key in keys if key.startswith(OWNERS) and key not in (OWNERS, TOTAL)]
            assert int(client.get(TOTAL) or held) == held
            assert held == sum(there) <= small.total
            assert sum(client.zcard(index) for index in indexes) == len(there)
            assert all(client.zcard(index) <= small.entries for index in indexes)
    await store.close()


async def test_a_value_costs_no_more_where_there_are_many_owners(redis_server: RedisServer) -> None:
    database = 907
    store = open_store(f"redis://127.0.0.1:{redis_server.port}/{database}")
    await store.put(SPACE, *(Entry(b"%d" % number, b"1", owner=b"%d" % number) for number in range(500)))
    with redis.Redis(port=redis_server.port, db=database) as client:

        def commands() -> int:
            return sum(its["calls"] for its in client.info("commandstats").values())

        before = commands()
        await store.put(SPACE, Entry(b"more", b"1", owner=b"7"))
        # With one for each owner Redis would do nothing else with some thousand keys.
        assert commands() - before < 40
        # And what is kept in all is known without any of them, also after something else has removed it.
        client.delete(b"{gptoss-api}:2:owners:things:total")
        await store.put(SPACE, Entry(b"more", b"12", owner=b"7"))
        assert client.get(b"{gptoss-api}:2:owners:things:total") == b"502"
    await store.close()


async def test_of_an_owner_whose_values_all_expired_nothing_is_counted(redis_server: RedisServer) -> None:
    database = 903
    brief = Space("small", ttl=0.02, entries=10, value_size=10, total=10)
    small = Space("small", ttl=600, entries=10, value_size=10, total=10)
    store = open_store(f"redis://127.0.0.1:{redis_server.port}/{database}")
    await store.put(brief, Entry(b"a", b"12345678", owner=b"ann"))
    await asyncio.sleep(0.05)
    await store.put(small, *(Entry(b"b%d" % number, b"12", owner=b"bob") for number in range(5)))
    assert None not in await store.get(small, *(b"b%d" % number for number in range(5)))
    await store.close()


async def test_what_an_earlier_version_kept_unsealed_is_removed(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    database = 904
    with redis.Redis(port=redis_server.port, db=database) as client:
        client.set("{gptoss-api}:responses:abc", "a question in plain text")
        client.zadd("{gptoss-api}:index:responses", {"{gptoss-api}:responses:abc": 1.0})
        client.set("somebody else's", "value")
        store = open_store(f"redis://127.0.0.1:{redis_server.port}/{database}")
        assert await store.get(SPACE, b"abc") == [None]
        await store.get(SPACE, b"abc")
        await store.close()
        assert client.keys() == [b"somebody else's"]
    assert [record.levelname for record in caplog.records] == ["WARNING"]


async def test_a_store_comes_back_with_its_server(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with running_redis(tmp_path) as server, caplog.at_level(logging.INFO):
        store = GuardedStore(open_store(server.url))
        assert await store.put(SPACE, Entry(b"a", b"1")) == [True]
        server.kill()
        began = time.monotonic()
        assert await store.get(SPACE, b"a") == [None]
        assert await store.lease(b"a", 60) is None
        assert time.monotonic() - began < 2
        server.start()
        deadline = time.monotonic() + 20
        while not await store.check():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.02)
        assert await store.put(SPACE, Entry(b"a", b"1")) == [True]
        assert await store.get(SPACE, b"a") == [b"1"]
        await store.close()
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_a_server_that_only_accepts_is_not_waited_for(tmp_path: Path) -> None:
    async def silent(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.read()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    store = GuardedStore(open_store(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}"))
    began = time.monotonic()
    results = await asyncio.gather(*(store.get(SPACE, b"a") for _ in range(100)))
    assert results == [[None]] * 100
    assert time.monotonic() - began < 2
    began = time.monotonic()
    assert await store.take(SPACE, b"a") is None
    assert time.monotonic() - began < 0.1
    await store.close()
    server.close()


async def test_of_takers_in_several_processes_one_gets_the_value(redis_server: RedisServer) -> None:
    url = f"redis://127.0.0.1:{redis_server.port}/902"
    store = open_store(url)
    await store.put(SPACE, *(Entry(b"%d" % number, b"1") for number in range(100)))
    await store.close()
    script = """
import asyncio, sys
from gptoss_api.state import Space, open_store

SPACE = Space("things", ttl=600, entries=1000, value_size=10_000)

async def main(url):
    store = open_store(url)
    await store.get(SPACE, b"0")
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(100):
        if await store.take(SPACE, b"%d" % number):
            print("value", number)
        if lease := await store.lease(b"%d" % number, 600):
            print("lease", number, lease.token)
    await store.close()

asyncio.run(main(sys.argv[1]))
"""
    takers = [
        subprocess.Popen(
            [sys.executable, "-c", script, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": ROOT},
        )
        for _ in range(3)
    ]
    for taker in takers:
        assert taker.stdout is not None
        assert taker.stdout.readline() == "ready\n"
    outputs = await asyncio.gather(*(asyncio.to_thread(taker.communicate, "go\n") for taker in takers))
    lines = [line.split() for output, _ in outputs for line in output.splitlines()]
    for kind in ("value", "lease"):
        assert sorted(int(line[1]) for line in lines if line[0] == kind) == list(range(100))
    assert len({line[2] for line in lines if line[0] == "lease"}) == 100
