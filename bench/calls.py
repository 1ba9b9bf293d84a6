"""How many Python functions an answer calls: ``python -m bench.calls`` counts them for some loads.

What else the machine does changes nothing about it, so that a change of a hundredth shows at once. Each load
of :mod:`bench.against` is answered by this tree, or with ``--commit`` by another one, while its main thread
counts (:mod:`cProfile`). Calls are those of an answer, of ``event`` those of a delta, by the room that they
are in; ``operations`` are those for keys, limits, usage, metrics and traces, whatever room has them.
"""

import argparse
import os
import pstats
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Final

from . import against, contenders
from .load import BenchError, Native
from .running import Running, free_port, start_stub

_LOADS: Final = ("whole", "stream", "whole-server", "stream-server", "tools-none", "tools", "agent")
_ROUNDS: Final = 20
_PACKAGE: Final = "/gptoss_api/"
# Files of what a gateway counts and admits for whoever operates it.
_OPERATIONS: Final = (
    *("access/accounts.py", "access/keys.py", "access/ledger.py", "access/records.py"),
    *("core/account.py", "core/accounting.py", "core/tracing.py"),
    *("server/accounts.py", "server/metrics.py", "server/tracing.py"),
    *(
        "state/usage",
        "telemetry/genai.py",
        "telemetry/metrics.py",
        "telemetry/spans.py",
        "telemetry/traces.py",
    ),
)
# Runs the gateway and counts between two signals.
_COUNTING: Final = """
import cProfile, runpy, signal, sys
counter, path = cProfile.Profile(), sys.argv[1]
def begin(*_):
    counter.enable()
def end(*_):
    counter.disable()
    counter.dump_stats(path + ".part")
    __import__("os").replace(path + ".part", path)
signal.signal(signal.SIGUSR1, begin)
signal.signal(signal.SIGUSR2, end)
sys.argv = ["gptoss_api", "serve"]
runpy.run_module("gptoss_api", run_name="__main__", alter_sys=True)
"""


def counted(case: against.Case, build: against.Build) -> dict[str, float]:
    """Calls of an answer by room, ``all`` and ``operations`` included.

    Raises:
        BenchError: when the gateway does not start, answer or count.
    """
    home = contenders.WORK / "against" / "calls"
    home.mkdir(parents=True, exist_ok=True)
    found = home / "counted"
    found.unlink(missing_ok=True)
    native, stub_port, port = Native(contenders.WORK), free_port(), free_port()
    stub = start_stub(native, stub_port)
    environment = build.environment(case.setting, stub_port, port, home)
    command = [str(build.python), "-c", _COUNTING, str(found)]
    try:
        running = Running(command, environment, port, "/healthz", home / "log", case.setting.cores, 30)
        try:
            case.warm_up(native, port)
            os.kill(running.pid, signal.SIGUSR1)
            answers = case.answered(native, port, _ROUNDS)
            os.kill(running.pid, signal.SIGUSR2)
            _wait_for(found)
        finally:
            running.stop()
    finally:
        stub.stop()
    return {room: calls / answers for room, calls in _by_room(found).items()}


def _wait_for(path: Path) -> None:
    deadline = time.monotonic() + 10
    while not path.exists():
        if time.monotonic() > deadline:
            raise BenchError("the gateway did not say what it counted")
        time.sleep(0.02)


def _by_room(found: Path) -> Counter[str]:
    rooms: Counter[str] = Counter()
    # One entry for each function; what is called "~" is written in C.
    for (file, _, _), (_, calls, *_) in pstats.Stats(str(found)).stats.items():  # type: ignore[attr-defined]
        if file == "~":
            continue
        rooms["all"] += calls
        _, ours, inside = file.rpartition(_PACKAGE)
        rooms[inside.partition("/")[0] if ours else "libraries"] += calls
        if inside.startswith(_OPERATIONS):
            rooms["operations"] += calls
    return rooms


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.calls", description=__doc__)
    names = [case.name for case in against.CASES if isinstance(case, against.Case)]
    parser.add_argument("loads", nargs="*", metavar="LOAD", help=f"of {', '.join(names)}")
    parser.add_argument("--commit", help="what another commit calls")
    arguments = parser.parse_args()
    wanted = arguments.loads or _LOADS
    if unknown := set(wanted) - set(names):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    try:
        contenders.WORK.mkdir(exist_ok=True)
        build = against.build_of(arguments.commit) if arguments.commit else against.this_tree()
        for case in against.CASES:
            if isinstance(case, against.Case) and case.name in wanted:
                rooms = counted(case, build)
                shown = ", ".join(f"{room} {calls:.1f}" for room, calls in sorted(rooms.items()))
                print(f"{case.title}: {shown}", flush=True)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
