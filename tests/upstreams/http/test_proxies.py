"""Proxies of the environment, by choice and over the wire."""

import asyncio
import contextlib
import ssl

import pytest

from gptoss_api.core.errors import UpstreamUnavailable
from gptoss_api.upstreams.http import HttpClient
from gptoss_api.upstreams.http.head import Origin
from gptoss_api.upstreams.http.proxies import Proxy, environment_proxy

from .certificates import Certificate
from .exchange import Serve, fetch
from .servers import Peer, RawServer, always, response

SITE = Origin("https", "site.test", 443)
PLAIN = Origin("http", "site.test", 80)


@pytest.mark.parametrize(
    ("name", "origin", "used"),
    [
        ("HTTPS_PROXY", SITE, True),
        ("https_proxy", SITE, True),
        ("HTTPS_PROXY", PLAIN, False),
        ("http_proxy", PLAIN, True),
        ("HTTP_PROXY", SITE, False),
        ("ALL_PROXY", SITE, True),
        ("ALL_PROXY", PLAIN, True),
    ],
)
def test_the_variable_of_the_scheme_decides(
    monkeypatch: pytest.MonkeyPatch, name: str, origin: Origin, used: bool
) -> None:
    monkeypatch.setenv(name, "http://proxy.test:3128")
    expected = Proxy(Origin("http", "proxy.test", 3128), None) if used else None
    assert environment_proxy(origin) == expected


@pytest.mark.parametrize(
    ("setting", "proxy"),
    [
        ("proxy.test:8080", Proxy(Origin("http", "proxy.test", 8080), None)),
        ("http://proxy.test", Proxy(Origin("http", "proxy.test", 80), None)),
        ("http://u:p%40@[::2]:1/", Proxy(Origin("http", "::2", 1), "Basic dTpwQA==")),
    ],
)
def test_proxy_settings_are_read(monkeypatch: pytest.MonkeyPatch, setting: str, proxy: Proxy) -> None:
    monkeypatch.setenv("HTTPS_PROXY", setting)
    assert environment_proxy(SITE) == proxy


@pytest.mark.parametrize("exempt", ["site.test", ".test", "*", "other.test, site.test:443"])
def test_no_proxy_exempts(monkeypatch: pytest.MonkeyPatch, exempt: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test")
    monkeypatch.setenv("NO_PROXY", exempt)
    assert environment_proxy(SITE) is None


@pytest.mark.parametrize("host", ["localhost", "a.localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_loopback_never_goes_through_a_proxy(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy.test")
    assert environment_proxy(Origin("http", host, 80)) is None


@pytest.mark.parametrize(
    "setting", ["socks5://u:hidden@h:1", "https://u:hidden@h", "http://u:hidden@h:port", "http://:1"]
)
def test_settings_that_cannot_be_served_say_so(monkeypatch: pytest.MonkeyPatch, setting: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", setting)
    with pytest.raises(UpstreamUnavailable, match="HTTPS_PROXY") as caught:
        environment_proxy(SITE)
    assert "hidden" not in caught.value.message


async def test_plain_http_goes_to_the_proxy_in_absolute_form(
    client: HttpClient, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def handler(peer: Peer) -> None:
        while request := await peer.request():
            await peer.send(response(request))

    server = await serve(handler)
    monkeypatch.setenv("HTTP_PROXY", f"http://user:pass@127.0.0.1:{server.port}")
    for _ in range(2):
        status, echoed = await fetch(client, "http://site.test:8080/a?b")
        assert status == 200
        assert echoed.startswith(b"GET http://site.test:8080/a?b HTTP/1.1\r\nHost: site.test:8080\r\n")
        assert b"Proxy-Authorization: Basic dXNlcjpwYXNz\r\n" in echoed
    assert server.connections == 1


async def test_without_trust_the_environment_is_ignored(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = await serve(always(response(b"through the proxy")))
    monkeypatch.setenv("HTTP_PROXY", server.url)
    client = HttpClient(trust_env=False)
    with pytest.raises(UpstreamUnavailable):
        await fetch(client, "http://site.invalid/")
    await client.close()


async def test_https_is_tunnelled(
    certificate: Certificate, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    connects: list[bytes] = []
    async with RawServer(always(response(b"inside")), certificate.server_context()) as site:

        async def proxy(peer: Peer) -> None:
            connects.append(await peer.request())
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            # The answer in pieces, as a slow proxy would send it.
            await peer.send(b"HTTP/1.1 200 Connection esta")
            await asyncio.sleep(0.01)
            await peer.send(b"blished\r\nVia: test\r\n\r\n")
            await asyncio.gather(_pump(peer.reader, writer), _pump(reader, peer.writer))

        server = await serve(proxy)
        monkeypatch.setenv("HTTPS_PROXY", f"http://user:pass@127.0.0.1:{server.port}")
        client = HttpClient(ssl_context=certificate.client_context())
        for _ in range(2):
            assert await fetch(client, "https://site.test/") == (200, b"inside")
        await client.close()
    assert connects == [
        b"CONNECT site.test:443 HTTP/1.1\r\nHost: site.test:443\r\n"
        b"Proxy-Authorization: Basic dXNlcjpwYXNz\r\n\r\n"
    ]


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "user name and password"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "status 403"),
        (b"SSH-2.0\r\n\r\n", "no HTTP answer"),
        (b"", "no HTTP answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"x" * 20_000, "no HTTP answer"),
    ],
)
async def test_a_refused_tunnel_says_what_to_check(
    client: HttpClient, serve: Serve, monkeypatch: pytest.MonkeyPatch, answer: bytes, message: str
) -> None:
    server = await serve(always(answer, then_close=True))
    monkeypatch.setenv("HTTPS_PROXY", f"http://user:hidden@127.0.0.1:{server.port}")
    with pytest.raises(UpstreamUnavailable, match=message) as caught:
        await fetch(client, "https://site.test/")
    assert f"127.0.0.1:{server.port}" in caught.value.message
    assert "hidden" not in caught.value.message


async def test_a_dead_proxy_is_named_as_such(client: HttpClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with pytest.raises(
        UpstreamUnavailable, match=r"the proxy 127\.0\.0\.1:1 \(on the way to site\.test:443\)"
    ):
        await fetch(client, "https://site.test/")


async def test_plain_http_through_a_tls_proxy(
    certificate: Certificate, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with RawServer(always(response(b"via tls")), certificate.server_context()) as server:
        monkeypatch.setenv("HTTP_PROXY", f"https://127.0.0.1:{server.port}")
        client = HttpClient(ssl_context=certificate.client_context())
        assert await fetch(client, "http://site.test/") == (200, b"via tls")
        await client.close()


def test_the_tls_context_of_tests_is_strict(certificate: Certificate) -> None:
    assert certificate.client_context().verify_mode is ssl.CERT_REQUIRED
