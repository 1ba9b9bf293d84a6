"""The login at gpt-oss.com: two cookies, kept fresh, kept secret, kept in a file.

``session`` holds a live Hugging Face token (docs/design/gpt-oss-com.md, "Cookies"): nothing here puts a
value into a message, a log line or a ``repr``.
"""

import contextlib
import errno
import hashlib
import logging
import os
import stat
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from ..base import log_fields
from ..retry_after import parse_date
from .cookies import checked_value, parse_cookies
from .pastes import NAMES, decoded

_log = logging.getLogger(__name__)


_VERSION: Final = 1


class UnreadableLogin(Exception):
    """The file is there, and holds no login that can be used; says why, without its content."""


class _Saved(msgspec.Struct, omit_defaults=True):
    """The file's content. ``pasted`` tells which cookie text these values descend from."""

    user_id: str = ""
    session: str = ""
    pasted: str = ""


class _Form(msgspec.Struct):
    """What tells a file that ``save`` wrote from other JSON with cookies in it."""

    version: Any = _VERSION
    pasted: str | None = None


class Login:
    """The two values, and what every turn needs of them; a changed one is a new one.

    ``cookie_header`` is "" if there is nothing to send; ``account`` is a short name of the account that tells
    nothing about it, "" without a ``user_id``; ``secrets`` must never be shown.
    """

    __slots__ = ("account", "cookie_header", "secrets", "session", "user_id")

    def __init__(self, user_id: str = "", session: str = "") -> None:
        self.user_id = user_id
        self.session = session
        self.secrets = tuple(value for value in (user_id, session) if value)
        pairs = (("user_id", user_id), ("session", session))
        self.cookie_header = "; ".join([f"{name}={value}" for name, value in pairs if value])
        self.account = hashlib.sha256(user_id.encode()).hexdigest()[:12] if user_id else ""


class Credentials:
    """The cookies of one account: ``login`` holds them.

    ``path`` is the file that keeps refreshed values; without one they live as long as the process.
    With ``follows`` a new login in that file replaces this one, see :meth:`follow`. ``unreadable`` says
    what is wrong with the file. Make it with :meth:`load` or :meth:`parse`.
    """

    def __init__(
        self,
        *,
        user_id: str = "",
        session: str = "",
        path: Path | None = None,
        pasted: str = "",
        follows: bool = False,
        unreadable: str = "",
    ) -> None:
        self.login = Login(user_id, session)
        self._path = path
        self._follows = follows
        self._seen = _stamp(path)
        self._pasted = pasted or _fingerprint(user_id, session)
        self._configured = bool(user_id or session)
        self._unsaved = False
        self._unreadable = unreadable
        self._hide: Callable[[tuple[str, ...]], None] | None = None

    @classmethod
    def parse(cls, text: str, path: Path | None = None) -> Self:
        """From pasted text; see :func:`~.cookies.parse_cookies`, also for the :class:`ValueError`."""
        cookies = parse_cookies(text)
        return cls(user_id=cookies.get("user_id", ""), session=cookies.get("session", ""), path=path)

    @classmethod
    def load(cls, text: str | None = None, path: Path | None = None) -> Self:
        """From the configured cookie text and the file.

        The file wins only if its values descend from this very text, so that a newly pasted cookie
        counts at once; without a text the file is followed. A file that cannot be read makes no
        difference to a text but a line in the log; without one the credentials are ``unreadable``.
        Raises :class:`ValueError` for a text without cookies.
        """
        saved, unreadable = None, ""
        try:
            saved = _read(path) if path is not None else None
        except UnreadableLogin as error:
            unreadable = str(error)
        follows = text is None or not text.strip()
        if text is not None and not follows:
            if unreadable:
                _log.warning("refreshed cookies in %s cannot be used: %s", path, unreadable)
            pasted = cls.parse(text, path)
            if saved is None or saved.pasted != pasted._pasted:
                return pasted
        if saved is None:
            return cls(path=path, follows=follows, unreadable=unreadable)
        return cls(
            user_id=saved.user_id, session=saved.session, pasted=saved.pasted, path=path, follows=follows
        )

    def follow(self, request_id: str = "") -> bool:
        """Takes over a login that was put into the file since it was last read; says whether there was one.

        So a login mends a running gateway, and is never overwritten by the one it replaces. Where the file is
        gone, so is the login. ``request_id`` is that of the turn in which it happens, for the log.
        """
        if self._path is None or not self._follows or (stamp := _stamp(self._path)) == self._seen:
            return False
        self._seen = stamp
        try:
            saved = _read(self._path)
        except UnreadableLogin as error:
            self._unreadable = str(error)
            _log.warning(
                "the login in %s cannot be used: %s", self._path, error, extra=log_fields(request_id)
            )
            return False
        self._unreadable = ""
        if saved is None:
            self._forget(request_id)
            return False
        if saved.pasted == self._pasted:
            return False
        self.login = Login(saved.user_id, saved.session)
        self._pasted = saved.pasted
        self._configured = True
        self._unsaved = False
        if self._hide is not None:
            self._hide(self.secrets)
        return True

    def _forget(self, request_id: str) -> None:
        if self._configured:
            _log.warning("the login in %s was removed", self._path, extra=log_fields(request_id))
        self.login = Login()
        self._pasted = ""
        self._configured = self._unsaved = False

    def hide_with(self, hide: Callable[[tuple[str, ...]], None]) -> None:
        """Has ``hide`` told the secrets, now and whenever a new login is taken over."""
        self._hide = hide
        hide(self.secrets)

    @property
    def path(self) -> Path | None:
        return self._path

    @property
    def unreadable(self) -> str:
        """Why there is no login although its file exists; ``""`` where there is one, or no file."""
        return "" if self._configured else self._unreadable

    @property
    def configured(self) -> bool:
        """Whether somebody logged in; cookies that the site gave an anonymous visitor do not count."""
        return self._configured

    @property
    def session(self) -> str:
        """The value of the cookie that is the login itself, "" without one."""
        return self.login.session

    @property
    def account(self) -> str:
        """A short name of the account that tells nothing about it; ``""`` without a ``user_id``."""
        return self.login.account

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return self.login.secrets

    def update_from_set_cookie(self, lines: list[str], request_id: str = "") -> bool:
        """Takes refreshed values from ``Set-Cookie`` headers; says whether anything changed.

        A cookie that the site deletes is kept: the next answer says plainly if it is void.
        """
        changed = False
        for line in lines:
            pair, *attributes = line.split(";")
            name, _, value = pair.partition("=")
            name = name.strip()
            if name not in NAMES or _is_deletion(attributes):
                continue
            try:
                value = checked_value(name, value)
            except ValueError:
                _log.warning(
                    "gpt-oss.com set a cookie %s that cannot be sent back; the old one stays",
                    name,
                    extra=log_fields(request_id),
                )
                continue
            if value != getattr(self.login, name):
                self.login = Login(
                    value if name == "user_id" else self.login.user_id,
                    value if name == "session" else self.login.session,
                )
                changed = True
        self._unsaved |= changed
        return changed

    def save_refreshed(self, request_id: str = "") -> None:
        """Writes refreshed values to the file: the old ones may be void after a restart."""
        if self._unsaved and self._configured:
            self.save(request_id)

    def save(self, request_id: str = "") -> None:
        """Does what :meth:`store` does, unless the file has a new login or none; a failure is only logged."""
        if self.follow(request_id) or not self._configured:
            return
        self._unsaved = False
        try:
            self.store()
        except OSError as error:
            _log.warning(
                "cannot keep the refreshed login in %s: %s",
                self._path,
                error.strerror,
                extra=log_fields(request_id),
            )

    def store(self) -> None:
        """Writes the values to the file, readable by its owner only; raises ``OSError`` if that fails."""
        if self._path is not None:
            saved = _Saved(self.login.user_id, self.login.session, self._pasted)
            _write(self._path, msgspec.json.encode(saved))
            self._seen = _stamp(self._path)

    def keep_in(self, path: Path) -> Path | None:
        """Stores the login in ``path``; another one that was there goes into the file beside it.

        The value is that file, ``None`` where there was no other login. Raises ``OSError``; then nothing is
        lost.
        """
        beside: Path | None = None
        with contextlib.suppress(UnreadableLogin):
            before = _read(path)
            if before is not None and before.pasted != self._pasted:
                beside = file_before(path)
                _write(beside, msgspec.json.encode(before))
        self._path = path
        self.store()
        return beside

    def __repr__(self) -> str:
        held = ", ".join(f"{name}=***" for name in NAMES if getattr(self.login, name))
        return f"Credentials({held})"


def file_before(path: Path) -> Path:
    """Where the login is kept that was in ``path`` before the one that is there now."""
    return path.with_name(f"{path.stem}.before{path.suffix}")


def go_back(path: Path) -> Credentials:
    """Puts the login before into ``path`` again, and the one that was there in its place.

    Raises:
        UnreadableLogin: if there is none before.
        OSError: if a file cannot be written.
    """
    place = file_before(path)
    before = _read(place)
    if before is None:
        raise UnreadableLogin("no login before it is kept")
    now: _Saved | None = None
    with contextlib.suppress(UnreadableLogin):
        now = _read(path)
    _write(path, msgspec.json.encode(before))
    if now is None:
        place.unlink()
    else:
        _write(place, msgspec.json.encode(now))
    return Credentials(user_id=before.user_id, session=before.session, path=path)


def forget(path: Path) -> Path | None:
    """Removes the login in ``path``, be it readable or not; where there is none, the one before it.

    The value is the file that was removed, ``None`` where there was neither. Raises ``OSError``.
    """
    for each in (path, file_before(path)):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            each.unlink()
            return each
    return None


def _fingerprint(user_id: str, session: str) -> str:
    if not user_id and not session:
        return ""
    return "sha256:" + hashlib.sha256(f"{user_id}\0{session}".encode()).hexdigest()


def _stamp(path: Path | None) -> tuple[int, ...] | None:
    """What differs whenever the file was replaced or may be read by others than before."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return None if found is None else (found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size)


def _is_deletion(attributes: list[str]) -> bool:
    for attribute in attributes:
        name, _, value = attribute.strip().partition("=")
        match name.strip().lower():
            case "max-age":
                return value.strip().startswith(("-", "0"))
            case "expires":
                if (moment := parse_date(value)) is not None:
                    return moment.timestamp() < time.time()
            case _:
                pass
    return False


def _read(path: Path) -> _Saved | None:
    """The file's content: what ``save`` wrote, or cookies in any form in which a person put them there.

    Raises:
        UnreadableLogin: for a file that exists and has no login.
    """
    try:
        text = decoded(_content(path))
    except FileNotFoundError:
        if path.is_symlink():
            raise UnreadableLogin("it is a link that leads nowhere") from None
        return None
    except NotADirectoryError:
        return None
    except OSError as error:
        raise UnreadableLogin(f"it cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UnreadableLogin("it cannot be read: it is no UTF-8 text") from None
    if not text.strip():
        raise UnreadableLogin("it is empty")
    try:
        return _saved(text)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise UnreadableLogin("it holds no login") from None


def _content(path: Path) -> bytes:
    """Raises ``OSError``; a pipe or a device would be waited for."""
    if stat.S_ISREG(path.stat().st_mode) or path.is_dir():
        return path.read_bytes()
    raise OSError(errno.EINVAL, "it is no regular file")


def _saved(text: str) -> _Saved:
    """Raises ``MsgspecError`` or ``ValueError`` for a text without a login."""
    form = msgspec.json.decode(text, type=_Form) if text.lstrip().startswith("{") else _Form()
    if form.version != _VERSION:
        raise UnreadableLogin("another version of gptoss-api wrote it")
    if form.pasted is None:
        cookies = parse_cookies(text)
        user_id, session = cookies.get("user_id", ""), cookies.get("session", "")
        return _Saved(user_id, session, _fingerprint(user_id, session))
    saved = msgspec.json.decode(text, type=_Saved)
    for name in NAMES:
        if value := getattr(saved, name):
            checked_value(name, value)
    if not saved.user_id and not saved.session:
        raise ValueError("it has neither cookie")
    return saved


def _write(path: Path, content: bytes) -> None:
    """Replaces the file in one step; its folder is made for the owner only. A link to it stays one."""
    # As it is where a home is kept elsewhere, or read from a volume: what is there has to be the new one.
    path = Path(os.path.realpath(path))
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The temporary file has mode 0600 from its first byte on.
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(temporary).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(temporary).unlink()
        raise
