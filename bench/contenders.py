"""The programs that are compared: how each is had, started and asked.

What is not on the machine is installed into ``bench/.work``; what cannot be had is left out, with the
reason printed.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from .load import BenchError, Target
from .machine import GATEWAY_CORE
from .running import Running, free_port

ROOT = Path(__file__).parent.parent
WORK = Path(__file__).parent / ".work"
PEERS = Path(__file__).parent / "peers"

GATEWAY = "gptoss-api"
ORIGINAL = "original (Deno)"
LITELLM = "LiteLLM"
NGINX = "nginx"

CHAT = "/v1/chat/completions"
CONTENT = '"content":"'


@dataclass(frozen=True, slots=True)
class Contender:
    """One program. ``event_rate`` is how many events per second it is offered where CPU time is measured:
    well below what it can do, so that every event is a read of its own. ``streams`` is how many it is given
    at once."""

    name: str
    version: str
    command: Sequence[str]
    target: Target
    ready_path: str
    environment: Mapping[str, str] = field(default_factory=dict)
    event_rate: int = 10_000
    start_timeout: float = 20.0
    streams: tuple[int, ...] = (1000,)

    def start(self) -> Running:
        """Starts it on the gateway core.

        Raises:
            BenchError: when it ends, or does not answer.
        """
        log = WORK / f"{self.name.split()[0].lower()}.log"
        try:
            return Running(
                self.command,
                self.environment,
                self.target.port,
                self.ready_path,
                log,
                {GATEWAY_CORE},
                self.start_timeout,
            )
        except BenchError as error:
            raise BenchError(f"{self.name} did not start: {error}") from None


def gateway(stub_port: int, *, installed: bool) -> Contender:
    """Ours: installed from this tree into an environment of its own, or run from the tree as it is."""
    port = free_port()
    environment = gateway_environment(port, chatkit_settings(stub_port))
    if installed:
        python = str(install_gateway())
    else:
        python = sys.executable
        environment["PYTHONPATH"] = str(ROOT / "src")
    version = output([python, "-c", "import gptoss_api; print(gptoss_api.__version__)"], environment)
    return Contender(
        name=GATEWAY,
        version=version,
        command=[python, "-m", "gptoss_api", "serve"],
        target=Target(port, CHAT, CONTENT),
        ready_path="/healthz",
        environment=environment,
        streams=(1000, 5000),
    )


def gateway_environment(port: int, upstream: Mapping[str, str]) -> dict[str, str]:
    """The settings of a measured gateway on ``port``; nothing of the user's may change the measurement."""
    return {
        "GPTOSS_CONFIG": os.devnull,
        "GPTOSS_CREDENTIALS_FILE": str(WORK / "credentials.json"),
        "HOST": "127.0.0.1",
        "PORT": str(port),
        # The default spares the account behind gpt-oss.com; here everybody may do what it can.
        "GPTOSS_MAX_CONCURRENCY": "6000",
        **upstream,
    }


def chatkit_settings(stub_port: int) -> dict[str, str]:
    """The stub as gpt-oss.com."""
    return {
        "GPTOSS_UPSTREAM": "gpt-oss.com",
        "GPTOSS_CHATKIT_URL": f"http://127.0.0.1:{stub_port}/chatkit",
        "GPTOSS_COOKIE": "user_id=00000000-0000-4000-8000-000000000000; session=bench",
    }


def server_settings(stub_port: int) -> dict[str, str]:
    """The stub as an OpenAI-compatible server."""
    return {"GPTOSS_UPSTREAM": f"http://127.0.0.1:{stub_port}/v1"}


def whole_server_settings(stub_port: int) -> dict[str, str]:
    """The same, asked for whole answers where that will do."""
    return {**server_settings(stub_port), "GPTOSS_WHOLE_ANSWERS": "on"}


def original(stub_port: int) -> Contender:
    """The original project's program, re-implemented; see the head of ``peers/original.ts``."""
    deno = WORK / "deno" / "node_modules" / ".bin" / "deno"
    if not deno.exists():
        if shutil.which("npm") is None:
            raise BenchError("npm is missing")
        (WORK / "deno").mkdir(exist_ok=True)
        install(
            ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(WORK / "deno"), "deno"]
        )
    port = free_port()
    return Contender(
        name=ORIGINAL,
        version=output([str(deno), "--version"]).split()[1],
        command=[str(deno), "run", "--allow-net", "--allow-env", str(PEERS / "original.ts")],
        target=Target(port, CHAT, CONTENT),
        ready_path="/",
        environment={
            "CHATKIT_URL": f"http://127.0.0.1:{stub_port}/chatkit",
            "PORT": str(port),
            "DENO_NO_UPDATE_CHECK": "1",
            "NO_COLOR": "1",
        },
    )


def litellm(stub_port: int) -> Contender:
    """LiteLLM's proxy, which has no ChatKit: it speaks to the stub's OpenAI endpoint."""
    folder = WORK / "litellm"
    program = folder / "bin" / "litellm"
    if not program.exists():
        install([sys.executable, "-m", "venv", "--clear", str(folder)])
        install(
            [str(folder / "bin" / "pip"), "install", "-qq", "--disable-pip-version-check", "litellm[proxy]"]
        )
    code = "from importlib.metadata import version; print(version('litellm'))"
    port = free_port()
    command = [
        str(program),
        "--config",
        str(PEERS / "litellm.yaml"),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    return Contender(
        name=LITELLM,
        version=output([str(folder / "bin" / "python"), "-c", code]),
        command=[*command, "--num_workers", "1"],
        target=Target(port, CHAT, CONTENT),
        ready_path="/health/liveliness",
        environment={
            "STUB_OPENAI_URL": f"http://127.0.0.1:{stub_port}/v1",
            # Its prices come with the package; nothing is fetched.
            "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        },
        event_rate=500,
        start_timeout=120.0,
    )


def nginx(stub_port: int) -> Contender:
    """nginx passes the stub's ChatKit stream on untranslated: what moving the bytes costs."""
    program = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        raise BenchError("nginx is missing (Debian: apt-get install nginx-light)")
    port = free_port()
    config = WORK / "nginx.conf"
    template = (PEERS / "nginx.conf").read_text()
    config.write_text(template.format(work=WORK, port=port, stub_port=stub_port))
    shown = subprocess.run([program, "-v"], capture_output=True, text=True, timeout=20)
    return Contender(
        name=NGINX,
        version=shown.stderr.strip().rpartition("/")[2],
        command=[program, "-c", str(config), "-e", "stderr"],
        target=Target(port, "/chatkit", '"delta":"'),
        ready_path="/",
    )


def install_gateway() -> Path:
    """An environment with what ``pip install`` brings and nothing else; returns its interpreter."""
    folder = WORK / "gateway"
    python = folder / "bin" / "python"
    pinned = ROOT / "requirements" / "run.txt"
    pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    if not python.exists():
        install([sys.executable, "-m", "venv", "--clear", str(folder)])
    install([*pip, "--require-hashes", "-r", str(pinned)])
    install([*pip, "--no-deps", "--force-reinstall", str(ROOT)])
    return python


def package(name: str, *others: str) -> tuple[Path, str]:
    """The environment of a package of its own, and the version that is in it."""
    folder = WORK / "packages" / name
    done = folder / "done"
    if not done.exists():
        install([sys.executable, "-m", "venv", "--clear", str(folder)])
        pip = [str(folder / "bin" / "pip"), "install", "-qq", "--disable-pip-version-check"]
        install([*pip, name, *others])
        done.touch()
    code = f"from importlib.metadata import version; print(version({name!r}))"
    return folder, output([str(folder / "bin" / "python"), "-c", code])


def install(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    except subprocess.TimeoutExpired:
        raise BenchError(f"installing took too long: {' '.join(command)}") from None
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise BenchError(f"installing failed: {words[-1][:200]}")


def output(command: Sequence[str], environment: Mapping[str, str] | None = None) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, env={**os.environ, **(environment or {})}
    )
    if done.returncode:
        words = done.stderr.strip().splitlines() or ["no message"]
        raise BenchError(f"it does not run: {words[-1][:200]}")
    return done.stdout.strip()
