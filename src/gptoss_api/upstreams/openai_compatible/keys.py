"""Where the keys of servers are kept: in the environment, in a file, in the Hugging Face hub's own login."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from .profiles import Profile


class FoundKey(NamedTuple):
    """A key and, in words without it, where it was found."""

    key: str
    where: str


def find_key(profile: Profile, environ: Mapping[str, str]) -> FoundKey | None:
    """The key for a kind of server, from the places where its own programs look."""
    for name in profile.key_env:
        if text := _clean(environ.get(name, "")):
            return FoundKey(text, name)
    return _hub_login(environ) if profile.kind == "huggingface" else None


def read_key_file(path: Path) -> str:
    """The key in a file that holds nothing else.

    Raises:
        OSError: if it cannot be read.
        ValueError: if there is no usable key in it.
    """
    text = _clean(path.read_text(encoding="utf-8"))
    if not text:
        raise ValueError("there is no key in it")
    return text


def _hub_login(environ: Mapping[str, str]) -> FoundKey | None:
    """The token that ``hf auth login`` has left, where huggingface_hub keeps it."""
    if named := environ.get("HF_TOKEN_PATH"):
        path = Path(named).expanduser()
    else:
        cache = environ.get("XDG_CACHE_HOME") or "~/.cache"
        path = Path(environ.get("HF_HOME") or f"{cache}/huggingface").expanduser() / "token"
    try:
        return FoundKey(read_key_file(path), "the Hugging Face login of this user")
    except (OSError, ValueError):
        return None


def _clean(text: str) -> str:
    """``text`` if it can stand in a header, else ""."""
    text = text.strip()
    return text if text.isascii() and text.isprintable() and " " not in text else ""
