"""One turn as it went over the wire, as a document for a bug report, and the file that it is put into."""

import json
import os
import platform
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ... import __version__
from ...core.errors import GatewayError
from ...upstreams.http.recording import RecordedExchange
from .anonymous import Anonymizer

# The form of the document.
_FORM = 1


class Identifiable(Exception):
    """Something of what must not be shown is left in a recording."""


def recording(
    kind: str,
    exchanges: Iterable[RecordedExchange],
    failure: GatewayError | None,
    secrets: Iterable[str],
) -> dict[str, Any]:
    """The document; ``kind`` is that of the upstream, ``failure`` what the turn ended with.

    Raises:
        Identifiable: where one of the ``secrets`` is in it after all.
    """
    anonymizer = Anonymizer()
    document = {
        "form": _FORM,
        "gptoss_api": __version__,
        "python": platform.python_version(),
        "platform": sys.platform,
        "upstream": kind,
        "outcome": "answered" if failure is None else type(failure).__name__,
        "message": "" if failure is None else anonymizer.words(failure.message),
        "exchanges": [anonymizer.exchange(each) for each in exchanges],
    }
    shown = json.dumps(document, ensure_ascii=False)
    if any(secret and secret in shown for secret in secrets):
        raise Identifiable
    return document


def write_private(path: Path, text: str, *, replace: bool) -> None:
    """Writes a file that only its owner can read.

    Raises:
        FileExistsError: where there is one and it is not to be replaced.
        OSError: if it cannot be written.
    """
    if replace:
        path.unlink()
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
