"""Reverse proxies with the configurations of deploy/: only addresses, TLS and what a test asks for differ."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from tests.conftest import RunningGateway, free_port

DEPLOY = Path(__file__).parents[2] / "deploy"
PROXIES = ("nginx", "caddy", "haproxy", "traefik")
_START_SECONDS = 20.0
# Each package brings its program: into this environment, or into the system.
_ENVIRONMENT = Path(sys.executable).parent


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy; it has the shape of a gateway for what only wants an address."""

    name: str
    base_url: str
    log_file: Path
    process: "subprocess.Popen[bytes]"

    def signal(self, number: signal.Signals) -> None:
        """To it and to the processes that it has started."""
        os.killpg(self.process.pid, number)

    def log(self) -> str:
        return self.log_file.read_text(errors="replace")


def program(name: str) -> str:
    """The program's path. ``GPTOSS_TEST_CADDY`` and the like choose another one than this environment's."""
    named = os.environ.get(f"GPTOSS_TEST_{name.upper()}")
    found = named or shutil.which(name, path=f"{_ENVIRONMENT}:{os.environ['PATH']}:/usr/sbin")
    if found is None:
        pytest.skip(f"needs {name}")
    return found


def adapted(text: str, *changes: tuple[str, str]) -> str:
    """``text`` with each of ``changes``; what is to be changed must be there once."""
    for old, new in changes:
        assert text.count(old) == 1, f"{old!r} is there {text.count(old)} times"
        text = text.replace(old, new)
    return text


Changes = Sequence[tuple[str, str]]
Command = tuple[list[str], Mapping[str, str]]


def _nginx(folder: Path, port: int, replicas: Sequence[str], changes: Changes) -> Command:
    server = adapted(
        (DEPLOY / "nginx/gptoss-api.conf").read_text(),
        ("listen 443 ssl;", f"listen 127.0.0.1:{port};"),
        ("    ssl_certificate /etc/ssl/gptoss.example.pem;\n", ""),
        ("    ssl_certificate_key /etc/ssl/gptoss.example.key;\n", ""),
        (
            "    server 127.0.0.1:8000 max_fails=0;\n",
            "".join(f"    server {replica} max_fails=0;\n" for replica in replicas),
        ),
        *changes,
    )
    (folder / "site.conf").write_text(server)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    kept = "\n".join(f"    {kind}_temp_path {folder}/{kind};" for kind in kinds)
    user = "user root;\n" if os.geteuid() == 0 else ""
    (folder / "nginx.conf").write_text(
        f"{user}daemon off;\npid {folder}/pid;\nerror_log stderr warn;\nworker_processes 1;\n"
        "worker_rlimit_nofile 8192;\n"
        f"events {{ worker_connections 4096; }}\nhttp {{\n    access_log off;\n{kept}\n"
        f"    include {folder}/site.conf;\n}}\n"
    )
    return [program("nginx"), "-e", "stderr", "-p", str(folder), "-c", str(folder / "nginx.conf")], {}


def _caddy(folder: Path, port: int, replicas: Sequence[str], changes: Changes) -> Command:
    site = adapted(
        (DEPLOY / "caddy/Caddyfile").read_text(),
        ("gptoss.example {", f"http://:{port} {{\n\tbind 127.0.0.1"),
        ("reverse_proxy 127.0.0.1:8000 {", f"reverse_proxy {' '.join(replicas)} {{"),
        *changes,
    )
    (folder / "Caddyfile").write_text("{\n\tadmin off\n}\n" + site)
    home = {name: str(folder) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    file = str(folder / "Caddyfile")
    return [program("caddy"), "run", "--config", file, "--adapter", "caddyfile"], home


def _haproxy(folder: Path, port: int, replicas: Sequence[str], changes: Changes) -> Command:
    config = adapted(
        (DEPLOY / "haproxy/haproxy.cfg").read_text(),
        (
            "    bind :443 ssl crt /etc/haproxy/gptoss.example.pem alpn h2,http/1.1\n",
            f"    bind 127.0.0.1:{port}\n",
        ),
        (
            "    server replica1 127.0.0.1:8000 check inter 1s fall 2 rise 1\n",
            "".join(
                f"    server replica{number} {replica} check inter 1s fall 2 rise 1\n"
                for number, replica in enumerate(replicas, 1)
            ),
        ),
        ("    maxconn 20000\n", "    maxconn 4000\n"),
        *changes,
    )
    (folder / "haproxy.cfg").write_text(config)
    return [program("haproxy"), "-db", "-f", str(folder / "haproxy.cfg")], {}


def _traefik(folder: Path, port: int, replicas: Sequence[str], changes: Changes) -> Command:
    dynamic = [change for change in changes if change[0] in (DEPLOY / "traefik/dynamic.yaml").read_text()]
    static = adapted(
        (DEPLOY / "traefik/traefik.yaml").read_text(),
        ('address: ":443"', f'address: "127.0.0.1:{port}"'),
        ("filename: dynamic.yaml", f"filename: {folder}/dynamic.yaml"),
        *(change for change in changes if change not in dynamic),
    )
    # Nothing is to be asked of anybody outside.
    (folder / "traefik.yaml").write_text(
        f"global: {{checkNewVersion: false, sendAnonymousUsage: false}}\n{static}"
    )
    (folder / "dynamic.yaml").write_text(
        adapted(
            (DEPLOY / "traefik/dynamic.yaml").read_text(),
            ("rule: Host(`gptoss.example`)", "rule: PathPrefix(`/`)"),
            ("      tls: {}\n", ""),
            (
                "          - url: http://127.0.0.1:8000\n",
                "".join(f"          - url: http://{replica}\n" for replica in replicas),
            ),
            *dynamic,
        )
    )
    return [program("traefik"), f"--configFile={folder}/traefik.yaml"], {"HOME": str(folder)}


_COMMANDS: Mapping[str, Callable[[Path, int, Sequence[str], Changes], Command]] = {
    "nginx": _nginx,
    "caddy": _caddy,
    "haproxy": _haproxy,
    "traefik": _traefik,
}


@contextmanager
def running_proxy(
    name: str, folder: Path, gateways: Sequence[RunningGateway], *changes: tuple[str, str]
) -> Iterator[Proxy]:
    """The proxy before ``gateways``, its configuration as in deploy/ but for ``changes``."""
    port = free_port()
    replicas = [gateway.base_url.removeprefix("http://") for gateway in gateways]
    command, variables = _COMMANDS[name](folder, port, replicas, changes)
    log_file = folder / "log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command,
            stdout=log,
            stderr=log,
            env={"PATH": os.environ["PATH"], **variables},
            cwd=folder,
            start_new_session=True,
        )
    proxy = Proxy(name, f"http://127.0.0.1:{port}", log_file, process)
    try:
        _wait_until_it_passes(proxy)
        yield proxy
    finally:
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait_until_it_passes(proxy: Proxy) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if proxy.process.poll() is not None:
            raise RuntimeError(f"{proxy.name} ended with code {proxy.process.returncode}:\n{proxy.log()}")
        try:
            with urlopen(f"{proxy.base_url}/healthz", timeout=2):
                return
        except (HTTPError, URLError, OSError):
            time.sleep(0.05)
    raise TimeoutError(f"{proxy.name} does not pass requests on:\n{proxy.log()}")
