"""A store by its URL."""

import sys
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

import platformdirs

from .memory import MemoryStore
from .sqlite import SqliteStore
from .store import KeyStore, Store
from .usage import MemoryUsage, UsageStore
from .usage_sqlite import SqliteUsage

STORE_URLS: Final = "memory://, sqlite:///path/of/file, or a redis://, rediss://, valkey:// or unix:// URL"

# Schemes of Redis servers and what redis-py calls them.
_REDIS: Final = {
    "redis": "redis",
    "rediss": "rediss",
    "valkey": "redis",
    "valkeys": "rediss",
    "unix": "unix",
}


def state_folder() -> Path:
    """Where the gateway keeps what it writes by itself."""
    return platformdirs.user_state_path("gptoss-api", appauthor=False)


def cache_folder() -> Path:
    """Where the gateway keeps what it can make again."""
    return platformdirs.user_cache_path("gptoss-api", appauthor=False)


def default_url() -> str:
    path = (state_folder() / "state.db").as_posix()
    return f"sqlite://{'' if path.startswith('/') else '/'}{path}"


def open_store(url: str) -> Store:
    """The store at ``url``, which is connected when it is first used.

    Raises:
        ValueError: in words that do not repeat the URL, which may hold a password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"expected {STORE_URLS}") from None
    rest = parts.netloc + parts.query + parts.fragment
    if parts.scheme == "memory" and not parts.path and not rest:
        return MemoryStore()
    if parts.scheme == "sqlite" and parts.path.strip("/") and not rest:
        return SqliteStore(_file(unquote(parts.path)))
    if parts.scheme not in _REDIS:
        raise ValueError(f"expected {STORE_URLS}")
    try:
        from .redis import RedisStore
    except ImportError:
        raise ValueError(
            f"a Redis store needs the redis package: {sys.executable} -m pip install redis"
        ) from None
    return RedisStore(_redis_url(url))


def _redis_url(url: str) -> str:
    """``url`` as redis-py knows it."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(scheme=_REDIS[parts.scheme]))


def open_usage(url: str, days: int) -> UsageStore:
    """Where usage is kept for ``days`` beside the store at ``url``: a file of its own, or the same Redis.

    Raises:
        ValueError: as :func:`open_store` does.
    """
    store = open_store(url)
    if isinstance(store, SqliteStore):
        return SqliteUsage(_usage_file(store.path), days)
    if not is_shared(url):
        return MemoryUsage()
    from .usage_redis import RedisUsage

    return RedisUsage(_redis_url(url), days)


def is_made(url: str) -> bool:
    """Whether the store at a usable ``url`` is there already; one that a server keeps always is."""
    file = _file_of(url)
    return file is None or file.exists()


def usage_is_made(url: str) -> bool:
    """The same of the usage beside it."""
    file = _file_of(url)
    return file is None or _usage_file(file).exists()


def _file_of(url: str) -> Path | None:
    parts = urlsplit(url)
    return _file(unquote(parts.path)) if parts.scheme == "sqlite" else None


def _usage_file(state: Path) -> Path:
    return state.with_name(f"{state.stem}-usage{state.suffix}")


def is_shared(url: str) -> bool:
    """Whether several processes can use the store at ``url`` together."""
    return urlsplit(url).scheme != "memory"


def keys_of(store: Store) -> KeyStore | None:
    """Where keys can be kept in ``store``; ``None`` for one that no other process can see."""
    return store if isinstance(store, KeyStore) else None


def secret_file(url: str) -> Path | None:
    """Where those that share the store at ``url`` keep their secret; ``None`` if nothing shall be kept."""
    store = open_store(url)
    if isinstance(store, SqliteStore):
        return store.path.with_name("secret.key")
    return state_folder() / "secret.key" if is_shared(url) else None


def passwords(url: str) -> tuple[str, ...]:
    """What must not be shown of ``url``."""
    parts = urlsplit(url)
    found = [unquote(parts.password or ""), *parse_qs(parts.query).get("password", ())]
    return tuple(text for text in found if text)


def without_password(url: str) -> str:
    """``url`` as it can be shown: of a Redis URL no user, password or options."""
    parts = urlsplit(url)
    if parts.scheme not in _REDIS:
        return url
    _, _, address = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{address}{parts.path}"


def _file(path: str) -> Path:
    # The path of "sqlite:///C:/state.db" begins with a slash too many.
    drive = path[1:3]
    return Path(path[1:] if len(drive) == 2 and drive[0].isalpha() and drive[1] == ":" else path)
