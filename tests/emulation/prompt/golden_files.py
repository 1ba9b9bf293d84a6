"""Whole prompts kept as files.

GPTOSS_WRITE_GOLDEN=1 writes them anew; read the difference before committing.
"""

import os
from pathlib import Path

_FOLDER = Path(__file__).parent / "golden"


def check_golden(name: str, text: str) -> None:
    path = _FOLDER / f"{name}.txt"
    if os.environ.get("GPTOSS_WRITE_GOLDEN"):
        path.write_bytes(text.encode() + b"\n")
    assert text + "\n" == path.read_bytes().decode()
