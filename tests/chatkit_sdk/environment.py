"""Interpreters that have a given version of the ChatKit SDK, and the app running in one of them.

``python -m tests.chatkit_sdk.environment`` makes the environment of the oldest version beforehand.
"""

import os
import socket
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NEWEST = "newest"
OLDEST = "1.0.2"
_OLDEST_REQUIREMENTS = ROOT / "requirements" / "chatkit-oldest.txt"
_START_SECONDS = 30.0


def interpreter(version: str) -> Path:
    """A Python with this version of the SDK; made once and kept beside the project."""
    if version == NEWEST:
        return Path(sys.executable)
    folder = ROOT / f".venv-chatkit-{version}"
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    complete = folder / "complete"
    wanted = _OLDEST_REQUIREMENTS.read_text()
    if python.exists() and complete.exists() and complete.read_text() == wanted:
        return python
    venv.create(folder, clear=True, symlinks=os.name != "nt")
    options = ("-qq", "--no-compile", "--require-hashes", "-r", str(_OLDEST_REQUIREMENTS))
    subprocess.run([sys.executable, "-m", "pip", "--python", python, "install", *options], check=True)
    complete.write_text(wanted)
    return python


@contextmanager
def running(version: str) -> Iterator[str]:
    """The app in a process of its own; the value is its ChatKit address."""
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [interpreter(version), "-m", "tests.chatkit_sdk.app", "--port", str(port)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
    )
    try:
        _wait_for(port, process)
        yield f"http://127.0.0.1:{port}/chatkit"
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the ChatKit app ended with code {process.returncode}")
        with closing(socket.socket()) as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise TimeoutError("the ChatKit app did not listen in time")


if __name__ == "__main__":
    print(interpreter(OLDEST))
