"""The gateway that a client is to use: where it is, whether it runs, and whether it wants a key."""

import os
import re
import sys
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Final
from urllib.parse import urlsplit

import click

from ...config import Settings
from ...config.values import is_key
from ...gateway import created_keys_exist
from ...server.neighbour import find_neighbour, patience_for
from ..address import NoAddress, gateway_address
from ..hidden_input import read_hidden
from .client import KEY_VARIABLE

# Nothing in it means anything to a shell, to YAML or to a file of variables.
_ADDRESS: Final = re.compile(r"https?://[A-Za-z0-9._~:/\[\]%-]+")


class NoGateway(Exception):
    """No gateway that can be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Sighting:
    """What is at an address: whether anything answers, whether it is a gateway, wants a key, is a demo."""

    answers: bool
    is_gateway: bool = False
    keyed: bool = False
    is_demo: bool = False


def address_given(text: str) -> str:
    """The address of a gateway as a person wrote it, without the ``/v1``.

    Raises:
        NoGateway: for what is no such address.
    """
    try:
        address = gateway_address(text, "--base-url")
    except NoAddress as refused:
        raise NoGateway(str(refused)) from None
    if not _ADDRESS.fullmatch(address):
        raise NoGateway("--base-url is an address such as http://127.0.0.1:8000/v1, in plain letters.")
    return address


def look_at(address: str, key: str = "") -> Sighting:
    """What is at ``address``; with a ``key``, ``keyed`` is whether it is *not* taken."""
    patience = patience_for(address)
    gateway = find_neighbour(address, {}, patience)
    if gateway is None:
        return Sighting(answers=_answers(address, patience))
    keyed = _status_of(address, "/v1/models", key, patience) == HTTPStatus.UNAUTHORIZED
    return Sighting(answers=True, is_gateway=True, keyed=keyed, is_demo=gateway.is_demo)


def _connection(address: str, patience: float) -> HTTPConnection:
    parts = urlsplit(address)
    kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=patience)


def _answers(address: str, patience: float) -> bool:
    connection = _connection(address, patience)
    try:
        connection.connect()
    except OSError:
        return False
    finally:
        connection.close()
    return True


def _status_of(address: str, path: str, key: str, patience: float) -> int:
    connection = _connection(address, patience)
    headers = {"authorization": f"Bearer {key}"} if key else {}
    try:
        connection.request("GET", f"{urlsplit(address).path}{path}", headers=headers)
        return connection.getresponse().status
    except (OSError, HTTPException):
        return 0
    finally:
        connection.close()


def wants_keys(settings: Settings) -> bool:
    """Whether a gateway with these settings will want a key."""
    return bool(settings.api_keys) or settings.require_keys or created_keys_exist(settings)


def find_key() -> str:
    """The key in :data:`KEY_VARIABLE`, or asked for at a terminal; never shown.

    A client's own variable is not read: what it holds may be a key for somebody else.

    Raises:
        NoGateway: where there is neither.
    """
    if key := os.environ.get(KEY_VARIABLE, "").strip():
        if not is_key(key):
            raise NoGateway(f"{KEY_VARIABLE} has a space, a line break or a letter that no key has")
        return key
    if not sys.stdin.isatty():
        raise NoGateway(f"The gateway wants a key: set {KEY_VARIABLE} to one")
    key = read_hidden("Key of the gateway (it is not shown): ").strip()
    if not is_key(key):
        raise NoGateway("That was no key")
    return key


def tell(text: str) -> None:
    """Says something that is no result, on standard error."""
    click.echo(text, err=True)
