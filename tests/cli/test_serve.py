"""``gptoss-api serve``: what stops the start, and how it is told."""

import ctypes
import errno
import os
import re
import shutil
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from gptoss_api import __version__
from gptoss_api.core import program
from gptoss_api.server.listening import remedy
from tests.cli.conftest import Run, clean_environment
from tests.conftest import StartGateway, free_port
from tests.curl import answered
from tests.server.talking import CHAT, HELLO, ask


def test_the_version(run: Run) -> None:
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout == f"gptoss-api {__version__}\n"


def test_help_names_the_commands_and_every_setting_that_is_no_secret(run: Run) -> None:
    for command in ("serve", "login", "config"):
        assert command in run("--help").stdout
    text = run("serve", "--help").stdout
    for option in (
        "--threads / --no-threads",
        "--state",
        "--workers",
        "--host",
        "--port",
        "--upstream",
        "--config",
        "--insecure",
        "--log-level",
        "--log-format",
    ):
        assert f"  {option} " in text
    assert "--cookie" not in text
    assert "--api-keys " not in text


@pytest.mark.parametrize(
    ("arguments", "variables", "named"),
    [
        (["--port", "eighty"], {}, "--port: 'eighty'"),
        ([], {"PORT": "eighty"}, "PORT: 'eighty'"),
        ([], {"GPTOSS_UPSTREAM": "openai"}, "GPTOSS_UPSTREAM: 'openai'"),
        (["--upstream", "openai"], {"GPTOSS_UPSTREAM": "demo"}, "--upstream: 'openai'"),
        (
            [],
            {"HOST": "0.0.0.0"},
            f"HOST: '0.0.0.0' lets other machines in and no API keys are set; "
            f"run '{program.command()} keys create NAME'",
        ),
        (["--host", "0.0.0.0"], {}, "--host: '0.0.0.0' lets other machines in"),
        ([], {"GPTOSS_COOKIE": "s3cret-nonsense"}, "GPTOSS_COOKIE: "),
        (
            [],
            {"GPTOSS_COOKIE": "user_id=...; session=..."},
            "GPTOSS_COOKIE: The cookie user_id is a placeholder",
        ),
        ([], {"GPTOSS_API_KEYS": "s3cret with blanks"}, "GPTOSS_API_KEYS: "),
        (["--config", "/nowhere.toml"], {}, "/nowhere.toml: "),
        ([], {"GPTOSS_STATE": "postgres://s3cret@host"}, "GPTOSS_STATE: expected memory://, sqlite:///"),
        (["--state", "redis://host/0?s3cret=1"], {}, "GPTOSS_STATE: not a URL that redis-py can use"),
        (["--workers", "0"], {}, "--workers: '0'"),
        ([], {"GPTOSS_LOG_LEVEL": "loud"}, "GPTOSS_LOG_LEVEL: 'loud'"),
    ],
)
def test_a_wrong_value_stops_the_start_with_one_line(
    run: Run, arguments: list[str], variables: dict[str, str], named: str
) -> None:
    done = run("serve", *arguments, **{"PORT": "0", **variables})
    assert done.returncode == 2
    assert done.stdout == ""
    assert named in done.stderr
    assert done.stderr.count("\n") == 1
    assert "s3cret" not in done.stderr


def _first_free_port() -> int:
    try:
        return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    except OSError:
        return 0


def _drop_the_right_to_low_ports() -> None:
    """Takes CAP_NET_BIND_SERVICE from what is executed next; who may not do that does not have it."""
    ctypes.CDLL(None).prctl(24, 10, 0, 0, 0)


def test_a_wrong_file_stops_the_start_with_one_line(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "gptoss-api" / "config.toml"
    file.parent.mkdir()
    file.write_text("prot = 1\n")
    done = run("serve")
    assert done.returncode == 2
    assert done.stderr == f"Error: {file}: 'prot' is not a setting; did you mean 'port'?\n"


def test_a_port_in_use_is_an_error_that_says_what_to_do(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = run("serve", "--port", str(port))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "choose another PORT" in done.stderr


def test_a_port_that_a_gateway_has_is_told_whose_it_is_and_which_one_is_free(
    run: Run, gateway: StartGateway
) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo")
    port = int(running.base_url.rpartition(":")[2])
    told = run("serve", "--port", str(port)).stderr
    assert f"whose answers come from demo, and can be used at {running.base_url}/v1" in told
    advised = re.search(r"(\S+gptoss-api) serve --port (\d+)\n", told)
    assert advised is not None
    assert shutil.which(advised[1]) is not None
    with socket.create_server(("127.0.0.1", int(advised[2]))):
        pass


def test_the_port_is_advised_as_make_takes_it_where_make_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MAKELEVEL", "1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.prefix", str(tmp_path / ".venv"))
    told = remedy(OSError(errno.EADDRINUSE, "in use"), "127.0.0.1", free_port())
    assert re.search(r"; stop it, or choose another PORT: PORT=\d+ make run$", told) is not None


def test_the_start_says_what_to_paste_and_what_to_try(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", HOST="0.0.0.0", GPTOSS_INSECURE="1")
    log = running.log()
    assert f"for clients: base URL {running.base_url}/v1, model gpt-oss-120b, any key" in log
    page = re.search(r"in a browser: (\S+)", log)
    assert page is not None
    with urllib.request.urlopen(page[1], timeout=10) as response:
        assert response.headers["content-type"].startswith("text/html")
    shown = re.search(r"to try it: (curl .*)", log)
    assert shown is not None
    assert shown[1].startswith(f"curl -s {running.base_url}/v1/")
    reply = answered(running, shown[1])
    assert (reply.status, reply.headers["x-gptoss-upstream"]) == (200, "demo")


def test_where_keys_are_needed_the_start_says_so(gateway: StartGateway) -> None:
    log = gateway(GPTOSS_UPSTREAM="demo", GPTOSS_API_KEYS="k3y-of-somebody-0123").log()
    assert "a key of yours" in log
    assert "-H 'x-api-key: <your key>'" in log
    assert "k3y-of" not in log


def test_a_demo_says_what_connects_a_model_and_what_to_do_then(gateway: StartGateway) -> None:
    for upstream, then in (("demo", "without GPTOSS_UPSTREAM=demo"), ("auto", "as soon as that is done")):
        running = gateway(GPTOSS_UPSTREAM=upstream)
        reply = ask(running, "POST", CHAT, HELLO).json()["choices"][0]["message"]["content"]
        for told in (running.log(), reply):
            command = re.search(r"(\S*gptoss-api) login\b", told)
            assert command is not None
            assert shutil.which(command[1]) is not None
            assert then in told


@pytest.mark.parametrize("host", ["no-such-name.invalid", "192.0.2.1"])
def test_a_host_that_is_not_this_machine_is_not_blamed_on_the_port(run: Run, host: str) -> None:
    done = run("serve", "--host", host, "--insecure")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"cannot listen on {host}:8000 (" in line
    assert "HOST must be an address of this machine" in line
    assert "PORT" not in line


@pytest.mark.skipif(_first_free_port() < 2, reason="no port is kept from anybody here")
def test_a_port_without_the_right_to_it_is_not_blamed_on_another_program(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gptoss_api", "serve", "--port", "1"],
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=30,
        preexec_fn=_drop_the_right_to_low_ports,
    )
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert "cannot listen on 127.0.0.1:1 (Permission denied); ports below 1024 need rights" in line
    assert "other program" not in line


def test_options_win_and_any_free_port_is_announced(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "gptoss_api", "serve", "--port", "0", "--log-format", "text"],
        env=clean_environment(tmp_path, PORT="1", GPTOSS_LOG_FORMAT="json", GPTOSS_API_KEY="x"),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        warning, banner = process.stderr.readline(), process.stderr.readline()
        assert "GPTOSS_API_KEY is set but is not a setting; did you mean GPTOSS_API_KEYS?" in warning
        found = re.search(r"listens on (http://127\.0\.0\.1:\d+)", banner)
        assert found is not None
        with urllib.request.urlopen(f"{found[1]}/healthz", timeout=10) as response:
            assert response.status == 200
    finally:
        process.terminate()
        rest = process.stderr.read()
        process.stderr.close()
    assert process.wait(10) == 0
    assert "DEMO: " in rest
    assert "gptoss-api login" in rest


def test_a_name_with_several_addresses_is_served_on_all_of_them(gateway: StartGateway) -> None:
    running = gateway(GPTOSS_UPSTREAM="demo", HOST="localhost")
    port = int(running.base_url.rpartition(":")[2])
    addresses = {found[4][0] for found in socket.getaddrinfo("localhost", port, type=socket.SOCK_STREAM)}
    for address in addresses:
        shown = f"[{address}]" if ":" in str(address) else address
        if f"listens on http://{shown}:{port}" in running.log():
            with socket.create_connection((str(address), port), timeout=5):
                pass
        else:
            assert address == "::1", "only a machine without IPv6 may leave an address out"


@pytest.mark.parametrize(
    ("variables", "told"),
    [
        ({"CORS_ORIGIN": "*"}, "INSECURE: no API keys are set and CORS_ORIGIN lets every web page in"),
        ({"HOST": "0.0.0.0", "GPTOSS_INSECURE": "1"}, "INSECURE: no API keys are set and 0.0.0.0 is not"),
    ],
)
def test_an_open_gateway_says_so(gateway: StartGateway, variables: dict[str, str], told: str) -> None:
    assert told in gateway(GPTOSS_UPSTREAM="demo", **variables).log()
    assert "INSECURE" not in gateway(GPTOSS_UPSTREAM="demo", GPTOSS_API_KEYS="a-key-12345", **variables).log()


def test_what_lets_others_in_is_told_with_its_remedy(gateway: StartGateway, tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    keys.write_text("a\n")
    keys.chmod(0o644)
    log = gateway(GPTOSS_UPSTREAM="demo", HOST="0.0.0.0", GPTOSS_API_KEYS_FILE=str(keys)).log()
    assert "WARNING" in log
    assert f"file {keys} has a key that can be guessed" in log
    assert "python3 -c 'import secrets; print(secrets.token_urlsafe(32))'" in log
    assert f"others can read the secrets in {keys}; run: chmod 600 {keys}" in log or os.name == "nt"


def test_a_damaged_installation_does_not_serve(tmp_path: Path) -> None:
    damage = (
        "import gptoss_api.text.ranks as ranks; ranks.PACKED_SHA256 = 'x';"
        "from gptoss_api.cli import main; main(['serve', '--port', '0'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", damage],
        env=clean_environment(tmp_path),
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 1
    assert "reinstall gptoss-api" in done.stderr
    assert "Traceback" not in done.stderr
