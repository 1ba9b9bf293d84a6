"""The log on standard error: a line for each thing worth knowing, as text or JSON, never a secret.

All output passes one :class:`~gptoss_api.core.redaction.Redactor`. Control characters are escaped, so that no
client can write a line of its own into the log.
"""

import asyncio
import json
import logging
import os
import re
import sys
import time
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from threading import RLock
from typing import Final, Literal, TextIO

from ..core.redaction import Redactor

_PACKAGE: Final = __name__.partition(".")[0]
_PLAIN: Final = re.compile(r"[\w./:@+%~-]+", re.ASCII)

_REQUESTS: Final = "server"
_requests: Final = logging.getLogger(f"{_PACKAGE}.{_REQUESTS}")
_redactor: Final = Redactor()

# An id that this gateway gave: no other request has it, and nobody else chose it.
_OWN_ID: Final = re.compile(r"req_[0-9a-f]{24}").fullmatch
# Values of fields whose form in the log is remembered, and up to which length in characters: of one, and of
# those that many requests share.
_VALUES: Final = 256
_VALUE: Final = 128
_VALUES_SHARED: Final = 512

# The fields of a request's line behind its id: those that many requests share, and its own.
_SHARED: Final = (
    *("key", "address", "client", "dialect", "method", "path"),
    *("upstream", "model", "thread", "emulated"),
)
_OWN: Final = ("repairs", "status", "outcome", "tokens_in", "tokens_out", "first_byte_ms", "total_ms")
_OUTCOME: Final = _OWN.index("outcome")
# What is shown of an answer that went well. Times are rounded as in all other lines.
_ANSWERED: Final = " ".join([f"{name}=%{'.1f' if name.endswith('_ms') else 's'}" for name in _OWN])
_Shared = tuple[str, ...]
_Own = tuple[str | float | None, ...]


def configure_logging(
    level: Literal["debug", "info", "warning", "error"] = "info",
    form: Literal["text", "json"] = "text",
    *,
    secrets: Iterable[str] = (),
) -> None:
    """Sends every logger's output to standard error; ``level`` is for the gateway's own.

    Other libraries are heard from warnings on. ``secrets`` are blotted out wherever they appear.
    """
    hide_from_logs(secrets)
    lines = JsonLines() if form == "json" else TextLines(_Colours() if _is_coloured(sys.stderr) else None)
    handler = _Output(sys.stderr, lines)
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    set_log_level(level)
    logging.captureWarnings(True)
    # The standard library reports a line that cannot be formatted with all its arguments, unredacted.
    logging.raiseExceptions = False
    # Looking these up would be a quarter of the cost of a line, and no line shows them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def set_log_level(level: Literal["debug", "info", "warning", "error"]) -> None:
    """The least severe of the gateway's own lines that are written from now on."""
    logging.getLogger(_PACKAGE).setLevel(level.upper())


def hide_from_logs(secrets: Iterable[str]) -> None:
    """Adds secrets that must not appear in the log from now on."""
    _redactor.hide(secrets)
    _redacted.cache_clear()
    _known.cache_clear()
    _shared.cache_clear()


def log_request(
    *,
    request_id: str,
    method: str,
    path: str,
    status: int,
    outcome: str,
    total_ms: float,
    key: str = "",
    address: str = "",
    client: str = "",
    dialect: str = "",
    upstream: str = "",
    model: str = "",
    thread: str = "",
    emulated: str = "",
    repairs: int | None = None,
    prompt_tokens: int | None = None,
    completion_tokens: int | None = None,
    first_byte_ms: float | None = None,
    probe: bool = False,
) -> None:
    """The one line of a request. Probes of its health come every few seconds and are for debugging only.

    ``key`` is the name of its API key, ``address`` where it came from, ``client`` the program that sent it,
    ``thread`` what became of the conversation upstream.
    """
    level = logging.DEBUG if probe else logging.INFO
    if not _requests.isEnabledFor(level):
        return
    # What many requests have in common comes first, and then what each has of its own.
    shared = (key, address, client, dialect, method, path, upstream, model, thread, emulated)
    own = (repairs, status, outcome, prompt_tokens, completion_tokens, first_byte_ms, total_ms)
    for handler in logging.root.handlers:
        if isinstance(handler, _Output):
            handler.request(level, request_id, shared, own)


class _Output(logging.StreamHandler[TextIO]):
    """Writes every line at once, but those of requests together that end in one round of the event loop."""

    def __init__(self, stream: TextIO, lines: "TextLines | JsonLines") -> None:
        super().__init__(stream)
        self.setFormatter(lines)
        self._lines = lines
        self._waiting: list[str] = []
        self._lock = RLock()

    def request(self, level: int, request_id: str, shared: _Shared, own: _Own) -> None:
        line = self._lines.request(time.time(), level, request_id, shared, own)
        with self._lock:
            self._waiting.append(line)
            if len(self._waiting) > 1:
                return
        try:
            asyncio.get_running_loop().call_soon(self.flush)
        except RuntimeError:
            self.flush()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:
            self.handleError(record)
            return
        with self._lock:
            self._waiting.append(line)
        self.flush()

    def flush(self) -> None:
        with self._lock:
            lines, self._waiting = self._waiting, []
            if not lines:
                return
            # Who has closed standard error is not told.
            with suppress(OSError, ValueError):
                self.stream.write("\n".join((*lines, "")))
                self.stream.flush()


def _is_coloured(stream: TextIO) -> bool:
    """Whether somebody looks at ``stream`` who can see colours and has not said that he would not."""
    environ = os.environ
    if sys.platform == "win32" or environ.get("NO_COLOR") or environ.get("TERM", "dumb") == "dumb":
        return False
    return stream.isatty()


class _Colours:
    """What a terminal is told (ECMA-48, section 8.3.117)."""

    _LEVELS: Final = {"DEBUG": "2", "WARNING": "33", "ERROR": "31", "CRITICAL": "31"}

    def level(self, name: str) -> str:
        return _in_colour(f"{name:<7}", self._LEVELS.get(name, ""))

    def field(self, name: str, shown: str) -> str:
        if name != "status":
            return f"{_in_colour(name + '=', '2')}{shown}"
        return f"{_in_colour(name + '=', '2')}{_in_colour(shown, '32' if shown < '400' else '31')}"


def _in_colour(text: str, colour: str) -> str:
    return f"\x1b[{colour}m{text}\x1b[0m" if colour else text


class TextLines(logging.Formatter):
    """``2026-08-05T10:00:00.000Z INFO server.run: message name=value …``; a trace follows, indented.

    ``colours`` are those of a terminal.
    """

    def __init__(self, colours: "_Colours | None" = None) -> None:
        super().__init__()
        self._colours = colours
        self._severities = {
            level: f"{self._level(logging.getLevelName(level))} {_REQUESTS}: request"
            for level in (logging.DEBUG, logging.INFO)
        }

    def _level(self, name: str) -> str:
        return f"{name:<7}" if self._colours is None else self._colours.level(name)

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_moment(record.created)} {self._level(record.levelname)} {_short_name(record)}: "
        line += _escaped(_redactor(record.getMessage()))
        # Not only "\n" parts lines, and what follows one must not pass for a line of the log.
        for row in _trace(self, record).splitlines():
            line += f"\n    | {_escaped(row)}"
        return line

    def request(self, moment: float, level: int, request_id: str, shared: _Shared, own: _Own) -> str:
        """The line of a request that ended at ``moment``, a POSIX time, with the fields that say anything."""
        # No two requests have one id, so that none is worth to be remembered.
        identifier = request_id if _OWN_ID(request_id) else _quoted(_redactor(request_id))
        if self._colours is not None:
            fields = [("id", identifier), *_shown_fields(_SHARED, shared), *_shown_fields(_OWN, own)]
            line = " ".join(map(self._colours.field, *zip(*fields, strict=True)))
        else:
            known = _shared if len("".join(shared)) <= _VALUES_SHARED else _shared.__wrapped__
            if own[_OUTCOME] == "ok" and None not in own:
                rest = _ANSWERED % own
            else:
                rest = " ".join([f"{name}={shown}" for name, shown in _shown_fields(_OWN, own)])
            line = f"id={identifier} {known(shared)} {rest}"
        return f"{_moment(moment)} {self._severities[level]} {line}"


class JsonLines(logging.Formatter):
    """One JSON object in ASCII for each line."""

    _encode = json.JSONEncoder(separators=(",", ":")).encode

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _moment(record.created),
            "level": record.levelname.lower(),
            "logger": _short_name(record),
            "message": _redactor(record.getMessage()),
        }
        if trace := _trace(self, record):
            line["trace"] = trace
        return self._encode(line)

    def request(self, moment: float, level: int, request_id: str, shared: _Shared, own: _Own) -> str:
        """The same as :meth:`TextLines.request`."""
        fields = zip(("id", *_SHARED, *_OWN), (request_id, *shared, *own), strict=True)
        return self._encode(
            {
                "time": _moment(moment),
                "level": logging.getLevelName(level).lower(),
                "logger": _REQUESTS,
                "message": "request",
                **{name: _clean(value) for name, value in fields if value is not None and value != ""},
            }
        )


def _moment(moment: float) -> str:
    second, milliseconds = divmod(int(moment * 1000), 1000)
    return f"{_second(second)}.{milliseconds:03d}Z"


@lru_cache(1)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _short_name(record: logging.LogRecord) -> str:
    return record.name.removeprefix(f"{_PACKAGE}.")


def _trace(lines: logging.Formatter, record: logging.LogRecord) -> str:
    return _redactor(lines.formatException(record.exc_info)) if record.exc_info else ""


def _clean(value: object) -> object:
    """A field as it may be shown."""
    if type(value) is not str:
        return round(value, 1) if type(value) is float else value
    return _redacted(value) if len(value) <= _VALUE else _redactor(value)


@lru_cache(_VALUES)
def _redacted(text: str) -> str:
    return _redactor(text)


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else f'"{_escaped(text.replace(chr(34), chr(39)))}"'


@lru_cache(_VALUES)
def _known(text: str) -> str:
    return _quoted(_redactor(text))


def _shown_fields(names: tuple[str, ...], values: _Own) -> list[tuple[str, str]]:
    """The fields that say anything, as a line of text shows them."""
    shown: list[tuple[str, str]] = []
    for name, value in zip(names, values, strict=True):
        if type(value) is str:
            if value:
                shown.append((name, _known(value) if len(value) <= _VALUE else _quoted(_redactor(value))))
        elif value is not None:
            shown.append((name, f"{value:.1f}" if type(value) is float else str(value)))
    return shown


@lru_cache(_VALUES)
def _shared(values: _Shared) -> str:
    return " ".join([f"{name}={shown}" for name, shown in _shown_fields(_SHARED, values)])


def _escaped(text: str) -> str:
    """``text`` on one line and without characters that a terminal obeys."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )
