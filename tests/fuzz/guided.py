"""Coverage-guided fuzzing of the machines: ``python -m tests.fuzz.guided --seconds 60``.

Each machine runs in a process of its own, two at a time, and begins with its kept corpus. What fails is
written to ``--findings`` and named; ``--keep`` puts the inputs that reach something new into the corpus.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Final

from tests.fuzz import corpus

# Bytes. Longer inputs are slower and find nothing that short ones do not.
_LONGEST: Final = 2048
# Seconds for one input: a machine that is not linear shows itself.
_PATIENCE: Final = 5
_AT_ONCE: Final = 2
_MOST_KEPT: Final = 500
_NAMES: Final = (
    "sse",
    "chat_wire",
    "chatkit_wire",
    "responses_wire",
    "http_answer",
    "tool_calls",
    "harmony",
    "json_stream",
    "http_request",
)


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.guided")
    parser.add_argument("machines", nargs="*", default=_NAMES, metavar="MACHINE", help=", ".join(_NAMES))
    parser.add_argument("--seconds", type=int, default=60, help="in all, over all machines")
    parser.add_argument(
        "--runs", type=int, help="inputs for each machine, the same every time, in place of a time"
    )
    parser.add_argument("--keep", action="store_true", help="add what was found to the corpus")
    parser.add_argument("--findings", type=Path, default=Path("fuzz-findings"))
    asked = parser.parse_args(arguments)
    seconds = max(1, asked.seconds * _AT_ONCE // len(asked.machines))
    length = f"-max_total_time={seconds}" if asked.runs is None else f"-runs={asked.runs}"
    asked.findings.mkdir(exist_ok=True)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        fuzz = partial(_fuzz, length=length, keep=asked.keep, findings=asked.findings)
        failed = [
            name
            for name, well in zip(asked.machines, pool.map(fuzz, asked.machines), strict=True)
            if not well
        ]
    if failed:
        print(f"failed: {', '.join(failed)}; the inputs are in {asked.findings}/")
        return 1
    asked.findings.rmdir()
    return 0


def _fuzz(machine: str, *, length: str, keep: bool, findings: Path) -> bool:
    """Fuzzes one machine; whether nothing failed."""
    with tempfile.TemporaryDirectory() as folder:
        inputs = Path(folder, "inputs")
        inputs.mkdir()
        for number, data in enumerate(corpus.read(machine)):
            (inputs / str(number)).write_bytes(data)
        options = [
            length,
            *(("-seed=1",) if length.startswith("-runs") else ()),
            f"-max_len={_LONGEST}",
            f"-timeout={_PATIENCE}",
            f"-artifact_prefix={findings}/{machine}-",
            "-print_final_stats=1",
        ]
        done = _atheris(machine, inputs, *options)
        executed = re.search(r"stat::number_of_executed_units:\s*(\d+)", done.stderr)
        print(
            f"{machine}: {executed[1] if executed else 'no'} inputs, exit code {done.returncode}", flush=True
        )
        if done.returncode:
            print(done.stdout[-3000:], done.stderr[-3000:], flush=True)
            return False
        if keep:
            # The fuzzer writes beside the old inputs what reaches something new, and the shortest say most.
            found = sorted((path.read_bytes() for path in inputs.iterdir()), key=len)
            corpus.write(machine, found[:_MOST_KEPT])
        return True


def _atheris(machine: str, *options: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "tests.fuzz.guided", "--one", machine, *map(str, options)]
    # The order of sets must not make two runs with one seed differ.
    environment = os.environ | {"PYTHONHASHSEED": "0"}
    return subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment)


def one(machine: str, options: Sequence[str]) -> None:
    """Fuzzes in this process; never returns."""
    # Only this process needs the fuzzer, and it must be told of modules before they are imported.
    import atheris

    with atheris.instrument_imports(include=["gptoss_api"]):
        from tests.fuzz.machines import run

    atheris.Setup([sys.argv[0], *options], partial(run, machine))
    atheris.Fuzz()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        one(sys.argv[2], sys.argv[3:])
    else:
        sys.exit(main(sys.argv[1:]))
