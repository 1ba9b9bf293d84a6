"""The inputs that fuzzing has found worth keeping: one archive a machine, in ``corpus/``."""

import zipfile
from collections.abc import Iterable
from hashlib import sha1
from pathlib import Path
from typing import Final

CORPUS: Final = Path(__file__).parent / "corpus"
# One moment for every entry, so that the same inputs make the same archive.
_MOMENT: Final = (2026, 1, 1, 0, 0, 0)


def read(machine: str) -> list[bytes]:
    """The kept inputs of ``machine``."""
    with zipfile.ZipFile(CORPUS / f"{machine}.zip") as archive:
        return [archive.read(name) for name in archive.namelist()]


def write(machine: str, inputs: Iterable[bytes]) -> None:
    """Keeps ``inputs`` and nothing else."""
    CORPUS.mkdir(exist_ok=True)
    named = {sha1(data, usedforsecurity=False).hexdigest()[:16]: data for data in inputs}
    with zipfile.ZipFile(CORPUS / f"{machine}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in sorted(named.items()):
            archive.writestr(zipfile.ZipInfo(name, _MOMENT), data, zipfile.ZIP_DEFLATED)
