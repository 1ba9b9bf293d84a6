"""Undoing ``Content-Encoding`` piece by piece, without ever holding more than one bounded step."""

import zlib

# Output of one step; a small body that inflates to gigabytes is met with this bound.
STEP = 256 * 1024

_GZIP = 16 + zlib.MAX_WBITS


class CorruptBody(Exception):
    """The bytes are not of the encoding that the headers name."""


class Inflater:
    """Decodes ``gzip`` (also of several members) and ``deflate`` (with or without zlib header)."""

    __slots__ = ("_gzip", "_inflate", "_pending", "_started", "_tail")

    def __init__(self, encoding: str) -> None:
        self._gzip = encoding != "deflate"
        self._inflate = zlib.decompressobj(_GZIP)
        self._tail = b""
        self._pending = False
        self._started = False

    @staticmethod
    def knows(encoding: str) -> bool:
        return encoding in ("gzip", "x-gzip", "deflate")

    @property
    def pending(self) -> bool:
        """Whether ``decode(b"")`` may give more before new input is needed."""
        return self._pending

    @property
    def finished(self) -> bool:
        """Whether the input may end here: it is complete or never began."""
        return not self._started or self._inflate.eof

    def decode(self, data: bytes) -> bytes:
        """At most ``STEP`` decoded bytes; raises :class:`CorruptBody`."""
        if self._tail:
            data = self._tail + data
        if not self._started:
            if not data:
                return b""
            self._started = True
            if not self._gzip:
                # "deflate" means zlib by the standard and bare deflate by habit. Compression
                # method 8 in the low half of the first byte is zlib: in a bare stream it would
                # be a stored block with a padding bit that encoders leave at zero.
                bare = data[0] & 0x0F != 8
                self._inflate = zlib.decompressobj(-zlib.MAX_WBITS if bare else zlib.MAX_WBITS)
        elif self._inflate.eof:
            if not data or not self._gzip:
                # Bytes after the end of a deflate stream mean nothing.
                self._tail, self._pending = b"", False
                return b""
            self._inflate = zlib.decompressobj(_GZIP)
        inflate = self._inflate
        try:
            output = inflate.decompress(data, STEP)
        except zlib.error as error:
            raise CorruptBody(str(error)) from error
        self._tail = inflate.unused_data if inflate.eof else inflate.unconsumed_tail
        # A full step may leave output inside zlib although all the input is taken.
        self._pending = bool(self._tail) or len(output) == STEP
        return output
