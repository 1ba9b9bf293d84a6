"""The login at gpt-oss.com in the cookies that Firefox keeps: read from copies, nothing is changed."""

import configparser
import json
import os
import re
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from ..core.servers import SITE
from ..upstreams.chatkit.pastes import NAMES, PastedCookie, sent_to_site

_STORE: Final = "cookies.sqlite"
# Of cookies that end with the browser, Firefox keeps copies here while it runs.
_SESSIONS: Final = ("sessionstore-backups/recovery.jsonlz4", "sessionstore.jsonlz4")
_COLUMNS: Final = ("name", "value", "host", "path", "expiry", "lastAccessed", "originAttributes")
_QUERY: Final = (
    f"SELECT {', '.join(_COLUMNS)} FROM moz_cookies "  # noqa: S608
    f"WHERE name IN ({', '.join('?' * len(NAMES))})"
)
# A copy that was made while Firefox wrote may be torn.
_TRIES: Final = 3
_PAUSE: Final = 0.2
# Expiry is in seconds, and in milliseconds in newer releases.
_MILLISECONDS: Final = 100_000_000_000

_MAGIC: Final = b"mozLz40\0"
_LARGEST_SESSION: Final = 256 * 1024 * 1024


class NoLogin(Exception):
    """Firefox has none that could be taken; says why."""


class FoundLogin(NamedTuple):
    """``text`` are the two cookies, ``where`` the profile in words; ``others`` is who else has a login."""

    text: str
    where: str
    others: tuple[str, ...] = ()


class _StoredCookie(NamedTuple):
    cookie: PastedCookie
    used: float
    container: str


class _Profile(NamedTuple):
    name: str
    folder: Path


def find_login(profile: str = "", container: str = "", *, roots: Iterable[Path] | None = None) -> FoundLogin:
    """The login that was used last, of all profiles and containers or of those that are named.

    ``profile`` is its name or its folder, ``container`` its name; ``roots`` are the folders with a
    ``profiles.ini``, those where Firefox keeps them unless given.

    Raises:
        NoLogin: if there is none.
    """
    profiles = _chosen(profile, firefox_folders() if roots is None else roots)
    found: list[tuple[float, str, str]] = []
    expired = unreadable = False
    for entry in profiles:
        try:
            stored, some_expired = _cookies_of(entry.folder)
        except (sqlite3.Error, OSError):
            unreadable = True
            continue
        expired |= some_expired
        for name in dict.fromkeys(cookie.container for cookie in stored):
            of_container = [cookie for cookie in stored if cookie.container == name]
            headers = sent_to_site([cookie.cookie for cookie in of_container])
            if headers and "session=" in headers[0] and container in ("", name):
                where = f"profile {entry.name}" + (f", container {name}" if name else "")
                used = max(c.used for c in of_container if c.cookie.name == "session")
                found.append((used, headers[0], where))
    if not found:
        raise NoLogin(_why_none(profiles, expired=expired, unreadable=unreadable, container=container))
    _, text, where = max(found)
    return FoundLogin(text, where, tuple(sorted(other for _, _, other in found if other != where)))


def firefox_folders(
    environ: Mapping[str, str] = os.environ, platform: str = sys.platform, home: Path | None = None
) -> list[Path]:
    """The folders in which Firefox, however it was installed, may have its ``profiles.ini``."""
    home = Path.home() if home is None else home
    if platform == "win32":
        roaming = Path(environ.get("APPDATA") or home / "AppData/Roaming")
        local = Path(environ.get("LOCALAPPDATA") or home / "AppData/Local")
        packaged = local / "Packages/Mozilla.Firefox_n80bbvh6b1yt2/LocalCache/Roaming"
        return [folder / "Mozilla/Firefox" for folder in (roaming, packaged)]
    if platform == "darwin":
        return [home / "Library/Application Support/Firefox"]
    config = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    return [
        home / ".mozilla/firefox",
        config / "mozilla/firefox",
        home / "snap/firefox/common/.mozilla/firefox",
        home / "snap/firefox/common/.config/mozilla/firefox",
        home / ".var/app/org.mozilla.firefox/.mozilla/firefox",
        home / ".var/app/org.mozilla.firefox/config/mozilla/firefox",
    ]


def _chosen(wanted: str, roots: Iterable[Path]) -> list[_Profile]:
    """Raises: NoLogin, where there is no profile, or none that is called so."""
    profiles = [profile for root in roots for profile in _profiles(root)]
    if wanted:
        folder = Path(wanted).expanduser()
        if (folder / _STORE).is_file():
            return [_Profile(folder.name, folder)]
        named = [profile for profile in profiles if wanted in (profile.name, profile.folder.name)]
        if not named:
            there = ", ".join(profile.name for profile in profiles) or "none"
            raise NoLogin(f"Firefox has no profile {wanted!r}; there is: {there}.")
        return named
    if not profiles:
        raise NoLogin("No profile of Firefox was found; name its folder with --profile (about:profiles).")
    return profiles


def _profiles(root: Path) -> Iterator[_Profile]:
    """Those that ``profiles.ini`` lists, and folders beside them that look like one."""
    parser = configparser.RawConfigParser(strict=False)
    try:
        parser.read(root / "profiles.ini", encoding="utf-8-sig")
    except (configparser.Error, UnicodeDecodeError, OSError):
        parser.clear()
    seen: set[Path] = set()
    for section in parser.sections():
        if re.fullmatch(r"Profile\d+", section) and (path := parser.get(section, "Path", fallback="")):
            relative = parser.get(section, "IsRelative", fallback="1") != "0"
            folder = root / path if relative else Path(path)
            if folder not in seen and (folder / _STORE).is_file():
                seen.add(folder)
                yield _Profile(parser.get(section, "Name", fallback=folder.name), folder)
    for store in sorted([*root.glob(f"*/{_STORE}"), *root.glob(f"Profiles/*/{_STORE}")]):
        if store.parent not in seen:
            yield _Profile(store.parent.name, store.parent)


def _why_none(profiles: list[_Profile], *, expired: bool, unreadable: bool, container: str) -> str:
    names = ", ".join(profile.name for profile in profiles)
    if expired:
        return "The login at gpt-oss.com that Firefox keeps has expired: log in again at https://gpt-oss.com."
    if unreadable:
        return f"The cookies of Firefox could not be read (profiles: {names}); close it and try again."
    where = f" in the container {container!r}" if container else ""
    return (
        f"Firefox has no login at gpt-oss.com{where} (profiles: {names}): log in there with it, not in a "
        "private window, and send a message."
    )


def _cookies_of(folder: Path) -> tuple[list[_StoredCookie], bool]:
    """The site's cookies with our names that have not expired, and whether any had.

    Raises:
        sqlite3.Error, OSError: if they cannot be read.
    """
    containers = _container_names(folder)
    rows = [*_stored_rows(folder), *_session_rows(folder)]
    expired = False
    out: list[_StoredCookie] = []
    for row in rows:
        name, value, host, path, expiry, used, attributes = row
        partition, number = _origin(str(attributes or ""))
        cookie = PastedCookie(str(name), str(value), str(host), str(path))
        if (partition and SITE not in partition) or not sent_to_site([cookie]):
            continue
        ends = float(expiry or 0) / (1000 if float(expiry or 0) > _MILLISECONDS else 1)
        if ends and ends < time.time():
            expired |= name == "session"
            continue
        container = containers.get(number, number)
        out.append(_StoredCookie(cookie, float(used or 0), container))
    return out, expired


def _origin(attributes: str) -> tuple[str, str]:
    """The site that a cookie is partitioned by, and the number of its container; "" for none."""
    found = dict(part.partition("=")[::2] for part in attributes.removeprefix("^").split("&"))
    return unquote(found.get("partitionKey", "")), found.get("userContextId", "")


def _container_names(folder: Path) -> dict[str, str]:
    """What the containers are called, by their numbers; those that Firefox came with have a name of its."""
    try:
        content: Any = json.loads((folder / "containers.json").read_text(encoding="utf-8"))
        identities = content["identities"]
        return {
            str(entry["userContextId"]): str(entry.get("name") or _plain_name(entry))
            for entry in identities
            if entry.get("public")
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def _plain_name(entry: Mapping[str, Any]) -> str:
    """``Personal`` for ``userContextPersonal.label`` or ``user-context-personal``."""
    known = str(entry.get("l10nId") or entry.get("l10nID") or "")
    name = known.removeprefix("user-context-").removeprefix("userContext").removesuffix(".label")
    return name.capitalize() or str(entry["userContextId"])


def _stored_rows(folder: Path) -> list[tuple[Any, ...]]:
    """From a copy of the database, with what Firefox has not moved into it yet: it keeps it locked."""
    for attempt in range(_TRIES):
        with tempfile.TemporaryDirectory(prefix="gptoss-api-") as place:
            try:
                for name in (_STORE, f"{_STORE}-wal"):
                    if (folder / name).is_file():
                        shutil.copyfile(folder / name, Path(place) / name)
                with closing(sqlite3.connect(Path(place) / _STORE)) as database:
                    return database.execute(_QUERY, NAMES).fetchall()
            except sqlite3.Error:
                if attempt == _TRIES - 1:
                    raise
                time.sleep(_PAUSE)
    raise AssertionError


def _session_rows(folder: Path) -> list[tuple[Any, ...]]:
    """Cookies that end with the browser, as the store of its session has them while it runs."""
    for name in _SESSIONS:
        try:
            written = (folder / name).stat().st_mtime
            content: Any = json.loads(decompressed((folder / name).read_bytes()))
            cookies = content["cookies"]
            return [_session_row(cookie, written) for cookie in cookies if cookie.get("name") in NAMES]
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
    return []


def _session_row(cookie: Mapping[str, Any], written: float) -> tuple[Any, ...]:
    attributes = cookie.get("originAttributes")
    told = attributes if isinstance(attributes, dict) else {}
    number = told.get("userContextId") or ""
    key = f"^userContextId={number}&partitionKey={told.get('partitionKey') or ''}"
    return (
        cookie["name"],
        str(cookie.get("value", "")),
        str(cookie.get("host", "")),
        str(cookie.get("path") or "/"),
        0,
        written * 1_000_000,
        key,
    )


def decompressed(data: bytes) -> bytes:
    """What is in a file of Mozilla's LZ4 form: one block behind a mark and its size.

    Source: https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md

    Raises:
        ValueError: for anything else.
    """
    if not data.startswith(_MAGIC) or len(data) < len(_MAGIC) + 4:
        raise ValueError("not a file of Mozilla's LZ4 form")
    size = int.from_bytes(data[8:12], "little")
    if size > _LARGEST_SESSION:
        raise ValueError("larger than a session can be")
    out = bytearray()
    place = 12
    try:
        while place < len(data):
            token = data[place]
            length, place = _length(data, place + 1, token >> 4)
            out += data[place : place + length]
            place += length
            if place >= len(data):
                break
            back = int.from_bytes(data[place : place + 2], "little")
            length, place = _length(data, place + 2, token & 15)
            _repeat(out, back, length + 4)
            if len(out) > size:
                break
    except IndexError:
        raise ValueError("the block was cut") from None
    if len(out) != size:
        raise ValueError("the block has another size than is said")
    return bytes(out)


def _length(data: bytes, place: int, length: int) -> tuple[int, int]:
    """A length that goes on at ``place`` if 15 were not enough, and where what follows begins."""
    if length == 15:
        while (more := data[place]) == 255:
            length += 255
            place += 1
        length += more
        place += 1
    return length, place


def _repeat(out: bytearray, back: int, length: int) -> None:
    if not 0 < back <= len(out) or length > _LARGEST_SESSION:
        raise ValueError("the block repeats what is not there")
    if back >= length:
        start = len(out) - back
        out += out[start : start + length]
        return
    piece = bytes(out[-back:])
    out += (piece * (length // back + 1))[:length]
