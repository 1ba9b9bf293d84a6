"""What the gateway takes of memory: idle, loaded, and with several workers.

Run ``python -m bench.memory`` (half a minute). ``--source FOLDER`` measures the code of another tree instead,
such as the ``src`` of an older commit. Needs Linux, two cores and gcc. Shared pages count once.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

from . import contenders
from .agent import agent_body
from .load import Answer, BenchError, Native, chat_body
from .running import free_port, start_stub

_CONNECTIONS = 32
_ROUNDS = 40
_AGENT_STEPS = 4


def _measure(native: Native, stub_port: int, source: Path, workers: int, home: Path) -> tuple[int, int]:
    """Bytes of all processes together, idle and after load."""
    gateway = contenders.gateway(stub_port, installed=False)
    environment = {
        **gateway.environment,
        "PYTHONPATH": str(source),
        "GPTOSS_WORKERS": str(workers),
        "XDG_STATE_HOME": str(home),
    }
    running = replace(gateway, environment=environment).start()
    try:
        time.sleep(3)
        idle = running.memory().pss
        for stream in (False, True):
            answer = Answer()
            body = chat_body(answer, stream=stream)
            report = native.run(gateway.target, body, answer, _CONNECTIONS, rounds=_ROUNDS)
            if report.broken:
                raise BenchError(f"{report.broken} answers were not whole: {report.reason}")
        native.run(gateway.target, agent_body(answer), answer, workers, rounds=_AGENT_STEPS)
        return idle, running.memory().pss
    finally:
        running.stop()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.memory", description=__doc__)
    parser.add_argument("--source", type=Path, default=contenders.ROOT / "src")
    source = parser.parse_args().source.resolve()
    contenders.WORK.mkdir(exist_ok=True)
    native = Native(contenders.WORK)
    stub_port = free_port()
    stub = start_stub(native, stub_port)
    try:
        print("| workers | idle, MB | loaded, MB |\n|---:|---:|---:|")
        for workers in (1, 2, 4):
            with tempfile.TemporaryDirectory() as home:
                idle, loaded = _measure(native, stub_port, source, workers, Path(home))
            print(f"| {workers} | {idle / 1e6:.1f} | {loaded / 1e6:.1f} |", flush=True)
    except BenchError as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    finally:
        stub.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
