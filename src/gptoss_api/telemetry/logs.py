"""The log on standard error: a line for each thing worth knowing, as text or JSON, never a secret.

All output passes one :class:`~gptoss_api.core.redaction.Redactor`. Control characters are escaped, so that no
client can write a line of its own into the log.
"""

import json
import logging
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Final, Literal

from ..core.redaction import Redactor

_PACKAGE: Final = __name__.partition(".")[0]
_PLAIN: Final = re.compile(r"[\w./:@+%~-]+", re.ASCII)

_requests: Final = logging.getLogger(f"{_PACKAGE}.server")
_redactor: Final = Redactor()


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
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(_redactor) if form == "json" else TextLines(_redactor))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(_PACKAGE).setLevel(level.upper())
    logging.captureWarnings(True)
    # The standard library reports a line that cannot be formatted with all its arguments, unredacted.
    logging.raiseExceptions = False
    # Looking these up would be a quarter of the cost of a line, and no line shows them.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False


def hide_from_logs(secrets: Iterable[str]) -> None:
    """Adds secrets that must not appear in the log from now on."""
    _redactor.hide(secrets)


def log_request(
    *,
    request_id: str,
    method: str,
    path: str,
    status: int,
    outcome: str,
    total_ms: float,
    dialect: str = "",
    upstream: str = "",
    model: str = "",
    prompt_tokens: int | None = None,
    completion_tokens: int | None = None,
    first_byte_ms: float | None = None,
    probe: bool = False,
) -> None:
    """The one line of a request. Probes of its health come every few seconds and are for debugging only."""
    level = logging.DEBUG if probe else logging.INFO
    if not _requests.isEnabledFor(level):
        return
    fields = {
        "id": request_id,
        "dialect": dialect,
        "method": method,
        "path": path,
        "upstream": upstream,
        "model": model,
        "status": status,
        "outcome": outcome,
        "tokens_in": prompt_tokens,
        "tokens_out": completion_tokens,
        "first_byte_ms": None if first_byte_ms is None else round(first_byte_ms, 1),
        "total_ms": round(total_ms, 1),
    }
    given = {name: value for name, value in fields.items() if value is not None and value != ""}
    # Not by way of log(), which would look for the caller's place in the source.
    _requests.handle(
        _requests.makeRecord(_requests.name, level, "", 0, "request", (), None, None, {"fields": given})
    )


class _Lines(logging.Formatter):
    def __init__(self, redact: Redactor) -> None:
        super().__init__()
        self._redact = redact

    def _message(self, record: logging.LogRecord) -> str:
        return self._redact(record.getMessage())

    def _fields(self, record: logging.LogRecord) -> dict[str, object]:
        """The structured part of a record, if it has one."""
        fields: dict[str, object] = getattr(record, "fields", {})
        # One look at all of them together: it is only ever clients who put a secret there.
        if not self._redact.suspects("\n".join([value for value in fields.values() if type(value) is str])):
            return fields
        return {
            name: self._redact(value) if isinstance(value, str) else value for name, value in fields.items()
        }

    def _trace(self, record: logging.LogRecord) -> str:
        return self._redact(self.formatException(record.exc_info)) if record.exc_info else ""


class TextLines(_Lines):
    """``2026-08-05T10:00:00.000Z INFO server.run: message name=value …``; a trace follows, indented."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_moment(record)} {record.levelname:<7} {_short_name(record)}: "
        line += _escaped(self._message(record))
        for name, value in self._fields(record).items():
            line += f" {name}={_shown(value)}"
        # Not only "\n" parts lines, and what follows one must not pass for a line of the log.
        for row in self._trace(record).splitlines():
            line += f"\n    | {_escaped(row)}"
        return line


class JsonLines(_Lines):
    """One JSON object in ASCII for each line."""

    _encode = json.JSONEncoder(separators=(",", ":")).encode

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _moment(record),
            "level": record.levelname.lower(),
            "logger": _short_name(record),
            "message": self._message(record),
            **self._fields(record),
        }
        if trace := self._trace(record):
            line["trace"] = trace
        return self._encode(line)


def _moment(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _short_name(record: logging.LogRecord) -> str:
    return record.name.removeprefix(f"{_PACKAGE}.")


def _shown(value: object) -> str:
    text = str(value)
    return text if _PLAIN.fullmatch(text) else f'"{_escaped(text.replace(chr(34), chr(39)))}"'


def _escaped(text: str) -> str:
    """``text`` on one line and without characters that a terminal obeys."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )
