"""The login at gpt-oss.com: two cookies, kept fresh, kept secret, kept in a file.

``session`` holds a live Hugging Face token (docs/design/gpt-oss-com.md, "Cookies"): nothing here puts a
value into a message, a log line or a ``repr``.
"""

import contextlib
import hashlib
import logging
import os
import tempfile
import time
from pathlib import Path
from typing import Self

import msgspec

from ..retry_after import parse_date
from .cookies import checked_value, parse_cookies
from .pastes import NAMES

_log = logging.getLogger(__name__)


class _Saved(msgspec.Struct, omit_defaults=True):
    """The file's content. ``pasted`` tells which cookie text these values descend from."""

    user_id: str = ""
    session: str = ""
    pasted: str = ""


class Credentials:
    """The cookies of one account.

    ``path`` is the file that keeps refreshed values; without one they live as long as the process.
    With ``follows`` a new login in that file replaces this one, see :meth:`follow`. Make it with
    :meth:`load` or :meth:`parse`.
    """

    def __init__(
        self,
        *,
        user_id: str = "",
        session: str = "",
        path: Path | None = None,
        pasted: str = "",
        follows: bool = False,
    ) -> None:
        self._values = {"user_id": user_id, "session": session}
        self._path = path
        self._follows = follows
        self._seen = _stamp(path)
        self._pasted = pasted or _fingerprint(user_id, session)
        self._configured = bool(user_id or session)
        self._unsaved = False

    @classmethod
    def parse(cls, text: str, path: Path | None = None) -> Self:
        """From pasted text; see :func:`~.cookies.parse_cookies`, also for the :class:`ValueError`."""
        cookies = parse_cookies(text)
        return cls(user_id=cookies.get("user_id", ""), session=cookies.get("session", ""), path=path)

    @classmethod
    def load(cls, text: str | None = None, path: Path | None = None) -> Self:
        """From the configured cookie text and the file.

        The file wins only if its values descend from this very text, so that a newly pasted cookie
        counts at once; without a text the file is followed. A file that cannot be read is reported in
        the log and left alone.
        Raises :class:`ValueError` for a text without cookies.
        """
        saved = _read(path) if path is not None else None
        follows = text is None or not text.strip()
        if text is not None and not follows:
            pasted = cls.parse(text, path)
            if saved is None or saved.pasted != pasted._pasted:
                return pasted
        if saved is None:
            return cls(path=path, follows=follows)
        return cls(
            user_id=saved.user_id, session=saved.session, pasted=saved.pasted, path=path, follows=follows
        )

    def follow(self) -> bool:
        """Takes over a login that was put into the file since it was last read; says whether there was one.

        So a login mends a running gateway, and is never overwritten by the one it replaces.
        """
        if self._path is None or not self._follows or (stamp := _stamp(self._path)) == self._seen:
            return False
        self._seen = stamp
        saved = _read(self._path)
        if saved is None or saved.pasted == self._pasted:
            return False
        self._values = {"user_id": saved.user_id, "session": saved.session}
        self._pasted = saved.pasted
        self._configured = True
        self._unsaved = False
        return True

    @property
    def configured(self) -> bool:
        """Whether somebody logged in; cookies that the site gave an anonymous visitor do not count."""
        return self._configured

    @property
    def account(self) -> str:
        """A short name of the account that tells nothing about it; ``""`` without a ``user_id``."""
        user_id = self._values["user_id"]
        return hashlib.sha256(user_id.encode()).hexdigest()[:12] if user_id else ""

    @property
    def secrets(self) -> tuple[str, ...]:
        """What must never be shown."""
        return tuple(value for value in self._values.values() if value)

    def cookie_header(self) -> str:
        """The value of the ``Cookie`` request header; ``""`` if there is nothing to send."""
        return "; ".join(f"{name}={value}" for name, value in self._values.items() if value)

    def update_from_set_cookie(self, lines: list[str]) -> bool:
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
                _log.warning("gpt-oss.com set a cookie %s that cannot be sent back; the old one stays", name)
                continue
            if value != self._values[name]:
                self._values[name] = value
                changed = True
        self._unsaved |= changed
        return changed

    def save_refreshed(self) -> None:
        """Writes refreshed values to the file: the old ones may be void after a restart."""
        if self._unsaved and self._configured:
            self.save()

    def save(self) -> None:
        """Does what :meth:`store` does, unless the file has a new login; a failure is only logged."""
        if self.follow():
            return
        self._unsaved = False
        try:
            self.store()
        except OSError as error:
            _log.warning("cannot keep the refreshed login in %s: %s", self._path, error.strerror)

    def store(self) -> None:
        """Writes the values to the file, readable by its owner only; raises ``OSError`` if that fails."""
        if self._path is not None:
            _write(self._path, msgspec.json.encode(_Saved(**self._values, pasted=self._pasted)))
            self._seen = _stamp(self._path)

    def __repr__(self) -> str:
        held = ", ".join(f"{name}=***" for name, value in self._values.items() if value)
        return f"Credentials({held})"


def _fingerprint(user_id: str, session: str) -> str:
    if not user_id and not session:
        return ""
    return "sha256:" + hashlib.sha256(f"{user_id}\0{session}".encode()).hexdigest()


def _stamp(path: Path | None) -> tuple[int, int, int] | None:
    """What differs whenever the file was replaced."""
    try:
        found = path.stat() if path is not None else None
    except OSError:
        return None
    return None if found is None else (found.st_ino, found.st_mtime_ns, found.st_size)


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
    """The file's content: what ``save`` wrote, or cookie text that a person put there."""
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        _log.warning("cannot read the login from %s: %s", path, type(error).__name__)
        return None
    try:
        if text.lstrip().startswith("{"):
            saved = msgspec.json.decode(text, type=_Saved)
            for name in NAMES:
                if value := getattr(saved, name):
                    checked_value(name, value)
        else:
            saved = _Saved(**parse_cookies(text))
            saved.pasted = _fingerprint(saved.user_id, saved.session)
    except (msgspec.MsgspecError, ValueError):
        _log.warning("the file %s holds no login", path)
        return None
    return saved if saved.user_id or saved.session else None


def _write(path: Path, content: bytes) -> None:
    """Replaces the file in one step; its folder is made for the owner only."""
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
