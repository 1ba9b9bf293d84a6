"""Where the keys of servers are kept: in the environment, in a file, in the Hugging Face hub's own login."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from ...core.servers import ServerKind


class UnusableKey(ValueError):
    """What was set for a key cannot be one. The message says where it stands and why, never what it is."""


class FoundKey(NamedTuple):
    """A key and, in words without it, where it was found."""

    key: str
    where: str


def find_key(kind: ServerKind, environ: Mapping[str, str]) -> FoundKey | None:
    """The key for a kind of server, from the places where its own programs look.

    Raises:
        UnusableKey: for the first that was set to something else than a key.
    """
    for name in kind.key_variables:
        if text := checked_key(environ.get(name, ""), name):
            return FoundKey(text, name)
    return _hub_login(environ) if kind.name == "huggingface" else None


def read_key_file(path: Path) -> str:
    """The key in a file that holds nothing else.

    Raises:
        OSError: if it cannot be read.
        UnusableKey: if there is something else in it, or nothing.
    """
    text = checked_key(path.read_bytes().decode("utf-8-sig", "replace"), str(path))
    if not text:
        raise UnusableKey(f"{path}: there is no key in it")
    return text


def checked_key(text: str, where: str) -> str:
    """``text`` without the white space around it, if that is a key or nothing; ``where`` names its place.

    Raises:
        UnusableKey: for what cannot stand in a header, or has more around it than a key.
    """
    key = text.strip()
    wrong = ""
    if key.lower().startswith("bearer "):
        wrong = "begins with 'Bearer', which the gateway adds by itself"
    elif len(key) > 1 and key[0] == key[-1] and key[0] in "\"'":
        wrong = "stands in quotes"
    elif any(char.isspace() for char in key):
        wrong = "has a space or a line break in it"
    elif not key.isascii():
        wrong = "has a character in it that no key has, such as an ellipsis"
    elif not key.isprintable():
        wrong = "has a control character in it"
    if wrong:
        raise UnusableKey(f"{where}: the key {wrong}; set it to the key alone, as its provider shows it")
    return key


def _hub_login(environ: Mapping[str, str]) -> FoundKey | None:
    """The token that ``hf auth login`` has left, where huggingface_hub keeps it."""
    if named := environ.get("HF_TOKEN_PATH"):
        path = Path(named).expanduser()
    else:
        cache = environ.get("XDG_CACHE_HOME") or "~/.cache"
        path = Path(environ.get("HF_HOME") or f"{cache}/huggingface").expanduser() / "token"
    try:
        text = checked_key(path.read_bytes().decode("utf-8-sig", "replace"), str(path))
    except OSError:
        return None
    return FoundKey(text, "the Hugging Face login of this user") if text else None
