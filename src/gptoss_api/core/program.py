"""What a person types to run this program again."""

import shlex
import shutil
import sys
import sysconfig
from functools import cache
from pathlib import Path
from typing import Final

_NAME: Final = "gptoss-api"


@cache
def command() -> str:
    """The program as a shell in this folder finds it: by its name, else by the shortest path there is."""
    script = Path(sysconfig.get_path("scripts"), _NAME + (".exe" if sys.platform == "win32" else ""))
    if not script.exists():
        return f"{shlex.quote(sys.executable)} -m gptoss_api"
    found = shutil.which(_NAME)
    if found is not None and Path(found).resolve() == script.resolve():
        return _NAME
    return _shortest(script)


def _shortest(path: Path) -> str:
    for start, sign in ((_folder(), ""), (Path.home(), "~/")):
        if start is not None and path.is_relative_to(start):
            return sign + shlex.quote(str(path.relative_to(start)))
    return shlex.quote(str(path))


def _folder() -> Path | None:
    try:
        return Path.cwd()
    except OSError:
        return None
