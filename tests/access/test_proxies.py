"""Whose word is taken for where a request came from."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gptoss_api.access import TrustedProxies
from gptoss_api.access.proxies import Headers


def forwarded(*values: str) -> Headers:
    return [(b"host", b"gate.example"), *((b"x-forwarded-for", value.encode()) for value in values)]


@pytest.mark.parametrize(
    ("networks", "peer", "values", "client"),
    [
        # Nobody is trusted, or not this one.
        ([], "10.0.0.1", ["203.0.113.9"], "10.0.0.1"),
        (["10.0.0.0/24"], "10.0.1.1", ["203.0.113.9"], "10.0.1.1"),
        (["loopback"], "", ["203.0.113.9"], ""),
        # One proxy, and what its client made up.
        (["10.0.0.1"], "10.0.0.1", ["203.0.113.9"], "203.0.113.9"),
        (["10.0.0.1"], "10.0.0.1", ["6.6.6.6, 203.0.113.9"], "203.0.113.9"),
        (["10.0.0.1"], "10.0.0.1", ["6.6.6.6", "203.0.113.9"], "203.0.113.9"),
        (["10.0.0.1"], "10.0.0.1", ["10.0.0.1, 203.0.113.9"], "203.0.113.9"),
        # Several proxies in a row.
        (["private"], "192.168.1.1", ["6.6.6.6, 203.0.113.9, 10.4.4.4, 172.16.3.2"], "203.0.113.9"),
        (["private"], "192.168.1.1", ["10.9.9.9,10.4.4.4"], "10.9.9.9"),
        # Nothing, or nothing that can be understood.
        (["loopback"], "127.0.0.1", [], "127.0.0.1"),
        (["loopback"], "127.0.0.1", [""], "127.0.0.1"),
        (["loopback"], "127.0.0.1", ["unknown"], "127.0.0.1"),
        (["loopback"], "127.0.0.1", ["203.0.113.9, unknown, 127.0.0.2"], "127.0.0.2"),
        # Ports, IPv6, and IPv4 in it.
        (["loopback"], "127.0.0.1", ["203.0.113.9:4711"], "203.0.113.9"),
        (["loopback"], "::1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        (["loopback"], "::1", ["2001:DB8::7"], "2001:db8::7"),
        (["loopback"], "::ffff:127.0.0.1", ["::ffff:203.0.113.9"], "203.0.113.9"),
        (["fe80::/10"], "fe80::1%eth0", ["203.0.113.9"], "203.0.113.9"),
    ],
)
def test_the_client_is_the_nearest_that_is_no_trusted_proxy(
    networks: list[str], peer: str, values: list[str], client: str
) -> None:
    assert TrustedProxies(networks).client(peer, forwarded(*values)) == client


def test_a_chain_without_end_is_not_followed() -> None:
    chain = ",".join(["203.0.113.9", *["127.0.0.1"] * 40])
    assert TrustedProxies(["loopback"]).client("127.0.0.1", forwarded(chain)) == "127.0.0.1"


def test_other_headers_are_believed_as_the_nearest_proxy_wrote_them() -> None:
    proxies = TrustedProxies(["loopback"])
    headers = [(b"x-forwarded-proto", b"gopher"), (b"x-forwarded-proto", b"ftp, https ")]
    assert proxies.told("127.0.0.1", headers, b"x-forwarded-proto") == "https"
    assert proxies.told("127.0.0.1", headers, b"x-forwarded-host") == ""
    assert proxies.told("10.0.0.1", headers, b"x-forwarded-proto") == ""


@given(
    st.lists(st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40), max_size=4)
)
def test_whatever_clients_make_up_the_nearest_address_is_what_the_proxy_saw(made_up: list[str]) -> None:
    values = [text.encode("latin-1") for text in made_up] + [b"203.0.113.9"]
    headers = [(b"x-forwarded-for", value) for value in values]
    assert TrustedProxies(["loopback"]).client("127.0.0.1", headers) == "203.0.113.9"
