"""What was written for a client, so that it can be taken back, also from a file that has changed since."""

import contextlib
import hashlib
import os
import shutil
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from ...config.settings import config_folder
from . import files
from .formats import Edit, Json

_NAME: Final = "receipt.json"


class Made(Struct, frozen=True):
    """An edit that was made, and what stood there ``before``."""

    edit: Edit
    before: Json


class Entry(Struct, frozen=True):
    """One file: its ``mode`` and whether it ``existed`` before, the SHA-256 of what was ``written``.

    ``backup`` names the file beside the receipt that has what it was before. ``folders`` were made for it.
    """

    path: str
    format: str
    existed: bool
    mode: int
    written: str
    backup: str
    folders: tuple[str, ...]
    made: tuple[Made, ...]


class Receipt(Struct, frozen=True):
    """All files of one client, by their paths."""

    entries: dict[str, Entry] = {}


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def folder_of(client: str) -> Path:
    """Where the receipt of a client and its backups are."""
    return config_folder() / "setup" / client


def read(client: str) -> Receipt:
    """The receipt of a client, which is empty where nothing was written.

    Raises:
        CannotUse: for one that cannot be read.
    """
    path = folder_of(client) / _NAME
    content = files.find(path).content
    if content is None:
        return Receipt()
    try:
        return msgspec.json.decode(content, type=Receipt)
    except msgspec.MsgspecError as error:
        raise files.CannotUse(f"{path} is damaged ({error})") from None


def read_backup(client: str, entry: Entry) -> bytes:
    """What the file was, byte for byte.

    Raises:
        CannotUse: where the copy is gone.
    """
    path = folder_of(client) / entry.backup
    content = files.find(path).content
    if content is None:
        raise files.CannotUse(f"{path}, the copy from before, is gone")
    return content


def keep(client: str, receipt: Receipt, backups: dict[str, tuple[bytes, int]]) -> None:
    """Keeps the receipt and the backups, which are given with their modes.

    Raises:
        CannotUse: where that is not possible.
    """
    folder = folder_of(client)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
    except OSError as error:
        raise files.CannotUse(f"{folder} cannot be made ({error.strerror})") from None
    for name, (content, mode) in backups.items():
        files.write(files.Found(folder / name, files.find(folder / name).content, mode), content)
    encoded = msgspec.json.format(msgspec.json.encode(receipt), indent=2) + b"\n"
    files.write(files.find(folder / _NAME), encoded)


def forget(client: str) -> None:
    """Removes the receipt and the backups of a client."""
    shutil.rmtree(folder_of(client), ignore_errors=True)
    with contextlib.suppress(OSError):
        os.rmdir(folder_of(client).parent)  # noqa: PTH106
