"""The gateway that a client is to use: where it is, whether it runs, and whether it wants a key."""

import http.client
import json
import os
import re
import sys
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import click

from ...config import Settings
from ...gateway import created_keys_exist
from ..hidden_input import read_hidden
from .client import KEY_VARIABLE

# Seconds for an answer of a gateway, which has it ready.
_PATIENCE: Final = 5.0
_NAME: Final = "gptoss-api"
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


def address_of(settings: Settings) -> str:
    """Where a gateway with these settings is reached from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(settings.host, settings.host)  # noqa: S104
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def address_given(text: str) -> str:
    """The address of a gateway as a person wrote it, without the ``/v1``.

    Raises:
        NoGateway: for what is no such address.
    """
    address = text.strip().rstrip("/").removesuffix("/v1").rstrip("/")
    try:
        parts = urlsplit(address)
        fits = bool(_ADDRESS.fullmatch(address) and parts.hostname) and parts.port != 0
    except ValueError:
        fits = False
    if not fits:
        raise NoGateway("--base-url must be like http://127.0.0.1:8000 or https://gateway.example/v1")
    return address


def look_at(address: str, key: str = "") -> Sighting:
    """What is at ``address``; with a ``key``, ``keyed`` is whether it is *not* taken."""
    try:
        status, about = _get(address, "/", "")
    except (OSError, http.client.HTTPException):
        return Sighting(answers=False)
    if status not in (200, 503) or not isinstance(about, dict) or about.get("name") != _NAME:
        return Sighting(answers=True)
    try:
        models, _ = _get(address, "/v1/models", key)
    except (OSError, http.client.HTTPException):
        return Sighting(answers=False)
    upstream = about.get("upstream")
    is_demo = isinstance(upstream, dict) and upstream.get("name") == "demo"
    return Sighting(True, True, models == http.HTTPStatus.UNAUTHORIZED, is_demo)


def _get(address: str, path: str, key: str) -> tuple[int, object]:
    parts = urlsplit(address)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=_PATIENCE)
    headers = {"accept": "application/json", **({"authorization": f"Bearer {key}"} if key else {})}
    try:
        connection.request("GET", f"{parts.path}{path}", headers=headers)
        answer = connection.getresponse()
        try:
            return answer.status, json.loads(answer.read(1_000_000))
        except ValueError:
            return answer.status, None
    finally:
        connection.close()


def wants_keys(settings: Settings) -> bool:
    """Whether a gateway with these settings will want a key."""
    return bool(settings.api_keys) or settings.require_keys or created_keys_exist(settings)


def find_key(names: tuple[str, ...]) -> str:
    """The key in the first of the variables that is set, or asked for at a terminal; never shown.

    Raises:
        NoGateway: where there is neither.
    """
    for name in names:
        if key := os.environ.get(name, "").strip():
            return key
    if not sys.stdin.isatty():
        raise NoGateway(f"The gateway wants a key: set {KEY_VARIABLE} to one")
    key = read_hidden("Key of the gateway (it is not shown): ").strip()
    if not key or not key.isprintable():
        raise NoGateway("That was no key")
    return key


def tell(text: str) -> None:
    """Says something that is no result, on standard error."""
    click.echo(text, err=True)
