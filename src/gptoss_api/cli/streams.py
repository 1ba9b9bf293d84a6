"""Standard input and output, which whoever starts the program may have closed or filled."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import click

# A disk, or a person's part of it, is full.
FULL: Final = (errno.ENOSPC, errno.EDQUOT)
# What a shell says of a program that nobody reads any more.
NOBODY_READS: Final = 141


@contextmanager
def unwritable_told() -> Iterator[None]:
    """A full disk is told in one line, and a reader that has left ends the program without a word."""
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            give_up(sys.stdout)
            sys.exit(NOBODY_READS)
        if error.errno not in FULL:
            raise
        give_up(sys.stdout)
        where = f"{error.filename}: " if error.filename else ""
        raise click.ClickException(f"{where}cannot be written: {error.strerror}") from None


def open_streams() -> None:
    """Whoever started the program may have closed some of its streams, and not every text fits into them."""
    if sys.stdin is None:
        sys.stdin = Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    with suppress(AttributeError):
        sys.stdout.reconfigure(errors="replace")  # type: ignore[union-attr]


def give_up(*streams: Any) -> None:
    """Python writes what it still holds as it ends, and complains where nobody takes it."""
    for stream in streams:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
