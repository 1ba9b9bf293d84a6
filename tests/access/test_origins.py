"""Origins and host names: what stays on this machine, and what only looks like it."""

import pytest

from gptoss_api.access import HostPolicy, OriginPolicy
from gptoss_api.access.origins import LOOPBACK, host_name, is_loopback, normal_origin

LOOPBACK_HOSTS = ["localhost", "LocalHost", "127.0.0.1", "127.255.0.9", "::1", "[::1]", "::ffff:127.0.0.1"]
FOREIGN_HOSTS = [
    "",
    "localhost.evil.example",
    "127.0.0.1.nip.io",
    "evil.example",
    "192.168.0.7",
    "0.0.0.0",
    "::",
    "127.1",
]


@pytest.mark.parametrize("host", LOOPBACK_HOSTS)
def test_loopback_hosts(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", FOREIGN_HOSTS)
def test_hosts_elsewhere(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize(
    ("authority", "host"),
    [
        ("localhost:8000", "localhost"),
        ("LOCALHOST.", "localhost"),
        ("[::1]:8000", "::1"),
        ("[::1]", "::1"),
        ("example.org:", "example.org"),
        ("example.org:80x", ""),
        ("[::1", ""),
        ("[::1]x", ""),
        ("[localhost]", ""),
        ("localhost:1:2", ""),
        ("", ""),
    ],
)
def test_the_host_of_an_authority(authority: str, host: str) -> None:
    assert host_name(authority) == host


@pytest.mark.parametrize(
    "origin",
    [
        "http://localhost:3000",
        "https://127.0.0.1",
        "http://[::1]:1",
        "HTTP://LOCALHOST",
        "http://tauri.localhost",
        "https://a.b.localhost:8080",
        "tauri://localhost",
        "app://obsidian.md",
        "app://-",
        "capacitor://localhost",
        "vscode-webview://1a2b-3c4d",
    ],
)
def test_loopback_origins_of_any_port_are_allowed_by_name(origin: str) -> None:
    assert OriginPolicy(["loopback"]).allow(origin) == origin


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "",
        "https://evil.example",
        "http://localhost.evil.example",
        "http://localhost@evil.example",
        "http://localhost:3000/path",
        "ftp://localhost",
        "file://",
        "file://localhost",
        "chrome-extension://abc",
        "app://a/b",
        "app://a b",
        "http://notlocalhost",
        "http://.localhost.evil.example",
        "localhost",
        "http://",
    ],
)
def test_other_origins_are_not(origin: str) -> None:
    assert OriginPolicy(["loopback"]).allow(origin) is None


def test_exact_origins_and_the_star() -> None:
    policy = OriginPolicy(["https://a.example", "loopback"])
    assert policy.allow("https://A.example") == "https://A.example"
    assert policy.allow("https://a.example:444") is None
    assert policy.allow("http://localhost") == "http://localhost"
    assert policy.varies
    assert OriginPolicy(["*"]).allow("https://anything.example") == "*"
    assert not OriginPolicy(["*"]).varies
    assert OriginPolicy(["none"]).allow("http://localhost") is None


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("https://App.Example/", "https://app.example"),
        ("https://app.example:443", "https://app.example"),
        ("http://app.example:8080", "http://app.example:8080"),
        ("http://[::1]:80", "http://[::1]"),
        ("chrome-extension://abcdef", "chrome-extension://abcdef"),
    ],
)
def test_origins_are_written_as_browsers_write_them(text: str, normal: str) -> None:
    assert normal_origin(text) == normal


@pytest.mark.parametrize(
    "text",
    [
        "app.example",
        "https://",
        "https://a/b",
        "https://a?b",
        "https://u@a",
        "https://a:99999",
        "null",
        "https://a b",
    ],
)
def test_what_is_no_origin_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        normal_origin(text)


def test_host_names_are_exact_and_loopback_is_always_answered() -> None:
    policy = HostPolicy(["gate.example"])
    for host in (
        "gate.example",
        "GATE.example:8000",
        "gate.example.",
        "localhost:1",
        "[::1]:8000",
        "127.0.0.1",
        None,
    ):
        assert policy.allowed(host), host
    for host in (
        "evil.example",
        "x.gate.example",
        "gate.example.evil",
        "192.168.0.7:8000",
        "",
        "gate.example:x",
    ):
        assert not policy.allowed(host), host
    assert HostPolicy(["*"]).allowed("evil.example")


def test_a_page_is_the_gateways_own_under_the_name_it_is_asked_by() -> None:
    policy = HostPolicy(["gate.example"])
    for origin, host in (
        ("http://gate.example:8000", "gate.example:8000"),
        ("https://GATE.example", "gate.example"),
        ("http://127.0.0.1:8000", "127.0.0.1:8000"),
        ("http://[::1]:8000", "[::1]:8000"),
    ):
        assert policy.own(origin, host), origin
    for origin, host in (
        ("http://gate.example:9000", "gate.example:8000"),
        ("http://evil.example", "gate.example"),
        ("http://evil.example", "evil.example"),
        ("null", "null"),
        ("gate.example", "gate.example"),
    ):
        assert not policy.own(origin, host), origin
    assert not policy.own("http://gate.example", None)


def test_where_every_name_is_answered_only_addresses_are_the_gateways_own() -> None:
    policy = HostPolicy(["*"])
    assert policy.own("http://192.168.0.7:8000", "192.168.0.7:8000")
    assert policy.own("http://[fd00::7]", "[fd00::7]")
    assert not policy.own("http://evil.example", "evil.example")


def test_what_no_origin_is_as_long_as_is_not_remembered() -> None:
    policy = OriginPolicy([LOOPBACK])
    remembered = is_loopback.cache_info().currsize
    for number in range(3):
        assert policy.allow(f"https://{number}{'a' * 60_000}") is None
    assert is_loopback.cache_info().currsize == remembered
