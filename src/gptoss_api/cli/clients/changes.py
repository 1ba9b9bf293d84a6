"""Setting up a client's files and taking that back, as changes that are made all together or not at all."""

import difflib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from pathlib import Path

from ...core.program import command as program
from . import files, receipts
from .client import Client, ConfigFile, Target
from .files import CannotUse, Found
from .formats import FORMATS, CannotEdit, Edit, Standing
from .receipts import Entry, Made, Receipt


class Refused(Exception):
    """Nothing was changed; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Change:
    """One file: what it ``was`` on the disk, and what it ``becomes``, where ``None`` is no file.

    ``is_whole`` is whether that is all it was before us, and nothing that came since.
    """

    was: Found
    becomes: bytes | None
    mode: int
    entry: Entry | None = None
    backup: bytes | None = None
    is_whole: bool = True

    @property
    def is_none(self) -> bool:
        return self.was.content == self.becomes and (self.becomes is None or self.was.mode == self.mode)

    def shown(self) -> str:
        """The file if it is new, else the lines that come and go: its others may hold secrets."""
        old, new = _shown_lines(self.was.content), _shown_lines(self.becomes)
        if self.was.content is None:
            return f"# {self.was.path} (new)\n{''.join(new)}"
        if self.becomes is None:
            return f"# {self.was.path} is removed\n"
        lines = difflib.unified_diff(old, new, str(self.was.path), str(self.was.path), n=0)
        return "".join(line if line.endswith("\n") else line + "\n" for line in lines)


@dataclass(frozen=True, slots=True)
class Setup:
    """What setting up a client changes; ``keeps`` names choices of the person's that stay."""

    changes: Sequence[Change]
    keeps: Sequence[str] = field(default=())


class _Choices(Enum):
    """What becomes of choices: made where there was none, left to the person, or replaced."""

    MADE = auto()
    LEFT = auto()
    REPLACED = auto()


def plan_setup(client: Client, target: Target, *, as_default: bool = False) -> Setup:
    """What must change so that ``client`` uses ``target``; nothing is written.

    With ``as_default`` the person's own choice of a model or provider is replaced, too.

    Raises:
        Refused: where a file has what is not ours in the way, or is not understood.
        CannotUse: for a file that cannot be read.
    """
    receipt = receipts.read(client.name)
    planned = [_Planned(client, config, target, receipt) for config in client.files]
    keeps = [name for one in planned for name in one.chosen_by_others()]
    if keeps and as_default:
        keeps = []
        changes = [one.change(_Choices.REPLACED) for one in planned]
    else:
        changes = [one.change(_Choices.LEFT if keeps else _Choices.MADE) for one in planned]
    return Setup([change for change in changes if not change.is_none], keeps)


class _Planned:
    """One file of the setup, from what it would be without us."""

    def __init__(self, client: Client, config: ConfigFile, target: Target, receipt: Receipt) -> None:
        self._client = client
        self._format_name = config.format
        self._format = FORMATS[config.format]
        self._edits = config.edits(target)
        self._found = files.find(config.find())
        self._entry = receipt.entries.get(str(self._found.path))
        self._base, self._mode = _without_ours(client, self._found, self._entry)
        self._begun = _decoded(self._found, self._base) or config.begin

    def chosen_by_others(self) -> list[str]:
        return [edit.name for edit in self._edits if edit.choice and self._standing(edit) is Standing.OTHER]

    def change(self, choices: _Choices) -> Change:
        edits = [edit for edit in self._edits if not edit.choice or choices != _Choices.LEFT]
        if self._stands_already(edits):
            return Change(self._found, self._found.content, self._found.mode)
        text, made = self._begun, list[Made]()
        for edit in edits:
            standing = self._standing(edit)
            if standing is Standing.OTHER and not edit.choice:
                raise self._refused(
                    f"it has {edit.name} already, which this command did not write; "
                    "rename or remove that and run this again"
                )
            if standing is not Standing.SAME:
                try:
                    text, before = self._format.apply(text, edit)
                except CannotEdit as error:
                    raise self._refused(f"{error}; {self._by_hand}") from None
                made.append(Made(edit, before))
        content = text.encode() if made else self._base
        return Change(self._found, content, self._mode, self._kept(content, made), self._base or b"")

    def _kept(self, content: bytes | None, made: list[Made]) -> Entry | None:
        if not made or content is None:
            return None
        path = self._found.path
        before = self._entry.folders if self._entry else ()
        missing = tuple(str(folder) for folder in reversed(path.parents) if not folder.exists())
        mark = hashlib.sha256(str(path).encode()).hexdigest()[:8]
        return Entry(
            path=str(path),
            format=self._format_name,
            existed=self._base is not None,
            mode=self._mode,
            written=receipts.digest(content),
            backup=f"{mark}-{path.name}",
            folders=before or missing,
            made=tuple(made),
        )

    def _stands_already(self, edits: Sequence[Edit]) -> bool:
        """Whether the file says all of it as it is, perhaps in another form or order than we would."""
        text = _decoded(self._found, self._found.content)
        ours = [made.edit for made in self._entry.made] if self._entry else []
        if any(edit not in edits for edit in ours):
            return False
        return bool(text) and all(self._standing(edit, text) is Standing.SAME for edit in edits)

    def _standing(self, edit: Edit, text: str | None = None) -> Standing:
        try:
            return self._format.standing(self._begun if text is None else text, edit)
        except CannotEdit as error:
            raise self._refused(f"{error}; {self._by_hand}") from None

    @property
    def _by_hand(self) -> str:
        return f"see '{program()} setup {self._client.name} --print' for what to write there by hand"

    def _refused(self, why: str) -> Refused:
        return Refused(f"{self._found.path} is left as it is: {why}.")


def by_hand(client: Client, target: Target) -> str:
    """What the files would be if they were new, for a person who writes that into those that exist."""
    shown = []
    for config in client.files:
        text = config.begin
        for edit in config.edits(target):
            text, _ = FORMATS[config.format].apply(text, edit)
        shown.append(f"# {config.find()} (by hand)\n{text.rstrip()}\n")
    return "".join(shown)


def plan_undo(client: Client) -> Setup:
    """What must change so that nothing of ours is left; nothing is written.

    Raises:
        Refused: where a person has changed what we wrote.
        CannotUse: for a file that cannot be read.
    """
    changes = []
    for entry in receipts.read(client.name).entries.values():
        found = files.find(Path(entry.path))
        base, mode = _without_ours(client, found, entry)
        original = receipts.read_backup(client.name, entry) if entry.existed else None
        changes.append(Change(found, base, mode, entry, is_whole=base == original))
    return Setup(changes)


def set_up(client: Client, setup: Setup) -> None:
    """Makes the changes of :func:`plan_setup`, and keeps what undoes them before anything else.

    Raises:
        CannotUse: where a file cannot be written.
    """
    entries = dict(receipts.read(client.name).entries)
    backups: dict[str, tuple[bytes, int]] = {}
    for change in setup.changes:
        entries.pop(str(change.was.path), None)
        if change.entry is not None:
            entries[change.entry.path] = change.entry
            backups[change.entry.backup] = (change.backup or b"", change.mode)
    if entries:
        receipts.keep(client.name, Receipt(entries), backups)
    for change in setup.changes:
        _write(change)
    if not entries:
        receipts.forget(client.name)


def undo(client: Client, setup: Setup) -> None:
    """Makes the changes of :func:`plan_undo`, then forgets what was set up.

    Raises:
        CannotUse: where a file cannot be written.
    """
    for change in setup.changes:
        _write(change)
        if change.becomes is None and change.entry is not None:
            files.remove_empty(list(change.entry.folders))
    receipts.forget(client.name)


def _write(change: Change) -> None:
    if not change.is_none:
        files.write(Found(change.was.path, change.was.content, change.mode), change.becomes)


def _without_ours(client: Client, found: Found, entry: Entry | None) -> tuple[bytes | None, int]:
    """What the file would be without us, and its mode."""
    if entry is None or found.content is None:
        return found.content, found.mode
    backup = receipts.read_backup(client.name, entry) if entry.existed else None
    if receipts.digest(found.content) == entry.written:
        return backup, entry.mode
    if found.content == backup:
        return backup, found.mode
    edited, text = FORMATS[entry.format], _decoded(found, found.content)
    for made in reversed(entry.made):
        try:
            standing = edited.standing(text, made.edit)
            if standing is Standing.OTHER and not made.edit.choice:
                raise CannotEdit(f"{made.edit.name} is no longer what was set up")
            if standing is Standing.SAME:
                text = edited.revert(text, made.edit, made.before)
        except CannotEdit as error:
            where = receipts.folder_of(client.name) / entry.backup
            kept = f"; what it was before is in {where}" if entry.existed else ""
            raise Refused(
                f"{found.path} is left as it is: it has changed since, and {error}. "
                f"Take {', '.join(one.edit.name for one in entry.made)} out by hand{kept}."
            ) from None
    if not entry.existed and edited.is_empty(text):
        return None, found.mode
    return text.encode(), found.mode


def _decoded(found: Found, content: bytes | None) -> str:
    try:
        return (content or b"").decode()
    except UnicodeDecodeError:
        raise CannotUse(f"{found.path} is not UTF-8") from None


def _shown_lines(content: bytes | None) -> list[str]:
    return (content or b"").decode("utf-8", "replace").splitlines(keepends=True)
