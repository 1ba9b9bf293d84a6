"""Files that nobody but their owner may read."""

import logging
import os
import stat
from pathlib import Path
from typing import Final

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO

_log = logging.getLogger(__name__)


def close_to_others(path: Path) -> bool:
    """Takes the rights of everybody else from a file, and says in the log that they had them.

    The value is whether there was anything to take; a file that does not exist is closed.

    Raises:
        PermissionError: where that cannot be done, as with a file of another user.
    """
    if os.name != "posix":
        return False
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return False
    if not mode & _OTHERS:
        return False
    try:
        path.chmod(mode & ~_OTHERS)
    except OSError as error:
        why = f"{path} is open to other users (mode {mode:04o}) and cannot be closed"
        raise PermissionError(error.errno, f"{why} ({error.strerror})") from None
    _log.warning("%s was open to other users (mode %04o); now it is not", path, mode)
    return True
