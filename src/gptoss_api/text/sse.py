"""Server-sent events: bytes in, the ``data`` of complete events out.

Source: the WHATWG HTML standard, "Interpreting an event stream", with one leniency: a last event whose
blank line is missing counts (docs/design/gpt-oss-com.md, "Reading the stream"). Event names, ids and comments
are dropped; every upstream read here names its events inside the data. A line that is no field but begins
with an object is not dropped: it may be what an upstream has to say (:class:`Stray`).
"""

import re
from typing import Final

from ..core.errors import UpstreamFailure

MAX_EVENT_BYTES: Final = 16 * 1024 * 1024
# Bytes. Of longer events the lines are read as they come.
LONG_EVENT: Final = 64 * 1024

_DATA: Final = b"data: "
_BOM: Final = b"\xef\xbb\xbf"
# As numbers: "in" with bytes first tries to take them for one, and formats an error, before it searches.
_LF: Final = 10
_CR: Final = 13
# A comment is a line without a name.
_OTHER_FIELDS: Final = frozenset({b"", b"event", b"id", b"retry"})
_OBJECT: Final = re.compile(rb"(?:\xef\xbb\xbf|[ \t])*(?:data[ \t]*:[ \t]*)?\{", re.I)


class Stray(bytes):
    """Lines with an object that belongs to no field of an event, as they came."""

    __slots__ = ()


class SseDecoder:
    """Decodes one stream, however it is cut: ``feed`` every chunk, then ``finish`` once at its end.

    Both return payloads in order: the values of an event's ``data`` fields, joined by ``\\n``, and each
    :class:`Stray`. An event larger than ``max_event_bytes`` raises :class:`UpstreamFailure`. Time is linear
    in the bytes fed, and the usual event, one ``data:`` line, costs no loop over its lines.
    """

    __slots__ = ("_after_cr", "_at_start", "_long", "_max", "_pending")

    def __init__(self, max_event_bytes: int = MAX_EVENT_BYTES) -> None:
        self._max = max_event_bytes
        # The incomplete last event: its first lines if it is long, and the rest of it.
        self._long: _LongEvent | None = None
        self._pending = bytearray()
        self._after_cr = False
        self._at_start = True

    def feed(self, chunk: bytes) -> list[bytes]:
        """The payloads of the events that ``chunk`` completes."""
        if self._after_cr or _CR in chunk:
            chunk = self._with_plain_line_ends(chunk)
        if not chunk:
            return []
        pending = self._pending
        if not pending and len(chunk) <= self._max and chunk[:6] == _DATA and chunk[-2:] == b"\n\n":
            payloads = chunk[6:-2].split(b"\n\ndata: ")
            if _LF not in b"".join(payloads):
                # Usual events and nothing else, as most reads are: no line end but theirs. One look through
                # all of them is cheaper than to count.
                self._at_start = False
                return payloads
        if chunk.find(b"\n\n") < 0 and not (pending and chunk[0] == _LF and pending[-1] == _LF):
            self._keep(chunk)
            return []
        if pending:
            pending += chunk
            chunk = bytes(pending)
            pending.clear()
        blocks = chunk.split(b"\n\n")
        rest = blocks.pop()
        payloads = self._payloads(blocks, len(chunk))
        if rest:
            self._keep(rest)
        return payloads

    def finish(self) -> list[bytes]:
        """The payload of a last event that lacks its blank line, if there is one."""
        if not self._pending and self._long is None:
            return []
        block = bytes(self._pending)
        self._pending.clear()
        return self._payloads([block], len(block))

    def _payloads(self, blocks: list[bytes], size: int) -> list[bytes]:
        if self._at_start:
            blocks[0] = self._without_mark(blocks[0])
        if size > self._max and max(map(len, blocks)) > self._max:
            raise self._too_large()
        payloads: list[bytes] = []
        if (long := self._long) is not None:
            self._long = None
            long.read(blocks.pop(0))
            if long.size > self._max:
                raise self._too_large()
            payloads = long.payloads()
        for block in blocks:
            if block.startswith(_DATA) and _LF not in block:
                payloads.append(block[6:])
            elif block:
                payloads += _read_fields(block)
        return payloads

    def _without_mark(self, block: bytes) -> bytes:
        """The first ``block`` without the byte order mark that may begin the stream."""
        self._at_start = False
        return block.removeprefix(_BOM)

    def _with_plain_line_ends(self, chunk: bytes) -> bytes:
        # A CR counts as a line end at once, so that an event never waits for the LF that may follow.
        if not chunk:
            return chunk
        if self._after_cr and chunk[0] == _LF:
            chunk = chunk[1:]
        self._after_cr = chunk.endswith(b"\r")
        return chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

    def _keep(self, rest: bytes) -> None:
        before = len(self._pending)
        self._pending += rest
        size = before + len(rest)
        # One byte more: the line end that may stand before the blank line.
        if size + (self._long.size if self._long else 0) > self._max + 1:
            raise self._too_large()
        if size > LONG_EVENT:
            # What came before was searched when it came.
            self._read_ahead(before if before > LONG_EVENT else 0)

    def _read_ahead(self, new: int) -> None:
        """Reads the whole lines of a long event, so that it is not all of it that its end has to wait for.

        Line ends are looked for from ``new`` on; the last of them stays, as another one may follow.
        """
        end = self._pending.rfind(b"\n", new)
        if end <= 0:
            return
        block = bytes(self._pending[:end])
        if self._at_start:
            block = self._without_mark(block)
        del self._pending[:end]
        if self._long is None:
            self._long = _LongEvent()
        self._long.read(block)

    def _too_large(self) -> UpstreamFailure:
        return UpstreamFailure(f"The upstream sent an event of more than {self._max} bytes.")


class _LongEvent:
    """What was read of an event in its general form whose end has not come; joined, as its lines are many."""

    __slots__ = ("_stray", "_values", "size")

    def __init__(self) -> None:
        self.size = 0
        self._values: list[bytes] = []
        self._stray: list[bytes] = []

    def read(self, block: bytes) -> None:
        """Reads further whole lines; empty ones make no difference."""
        self.size += len(block)
        if not self._stray and b"data" not in block and b"{" not in block:
            return
        values: list[bytes] = []
        stray: list[bytes] = []
        _sort_lines(block, values, stray, straying=bool(self._stray))
        if values:
            self._values.append(b"\n".join(values))
        if stray:
            self._stray.append(b"\n".join(stray))

    def payloads(self) -> list[bytes]:
        return _joined(self._values, self._stray)


def _read_fields(block: bytes) -> list[bytes]:
    """The payload of an event in its general form, then what strayed; comments alone have none."""
    values: list[bytes] = []
    stray: list[bytes] = []
    _sort_lines(block, values, stray)
    return _joined(values, stray)


def _sort_lines(block: bytes, values: list[bytes], stray: list[bytes], *, straying: bool = False) -> None:
    for line in block.split(b"\n"):
        if line.startswith(b"data:"):
            values.append(line[6:] if line[5:6] == b" " else line[5:])
        elif line == b"data":
            values.append(b"")
        elif line.partition(b":")[0] in _OTHER_FIELDS:
            continue
        elif straying or stray or _OBJECT.match(line):
            # An object may go on over several lines.
            stray.append(line)


def _joined(values: list[bytes], stray: list[bytes]) -> list[bytes]:
    payloads = [b"\n".join(values)] if values else []
    if stray:
        payloads.append(Stray(b"\n".join(stray)))
    return payloads
