"""What no program is at hand for, or none that is everywhere: held to what is known of it."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from gptoss_api.config import OPTIONS

from .proxies import DEPLOY

SETTINGS = {option.env for option in OPTIONS} | {"HF_TOKEN"}
# Of Caddyfile.replicas, what is another than in Caddyfile.
REPLICAS = [
    ("{$DOMAIN} {", "gptoss.example {"),
    ("reverse_proxy gateway1:8000 gateway2:8000 {", "reverse_proxy 127.0.0.1:8000 {"),
]


def compose(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((DEPLOY / name).read_text())
    return found


@pytest.mark.parametrize("name", ["compose.yaml", "compose.replicas.yaml"])
def test_services_of_compose_files_may_little_and_have_the_time_to_stop(name: str) -> None:
    file = compose(name)
    for service in file["services"].values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        mounts = {mount.partition(":")[0] for mount in service.get("volumes", [])}
        assert {mount for mount in mounts if "/" not in mount} <= set(file.get("volumes", {}))
        for mount in mounts:
            assert "/" not in mount or (DEPLOY / mount).exists()
        assert set(service.get("networks", [])) <= set(file.get("networks", {}))
    gateways = [service for service in file["services"].values() if "build" in service]
    for gateway in gateways:
        assert (DEPLOY / gateway["build"]["context"] / gateway["build"]["dockerfile"]).exists()
        given = gateway["environment"]
        assert set(given) <= SETTINGS
        stops = float(given.get("GPTOSS_DRAIN_DELAY", 0)) + float(given.get("GPTOSS_SHUTDOWN_TIMEOUT", 30))
        assert float(gateway["stop_grace_period"].removesuffix("s")) >= stops + 10
        assert "GPTOSS_API_KEYS:?" in given["GPTOSS_API_KEYS"], "it does not start without keys"


def test_the_replicas_meet_the_proxy_and_the_store_in_one_network_alone() -> None:
    file = compose("compose.replicas.yaml")
    services = file["services"]
    assert set(services) == {"gateway1", "gateway2", "redis", "caddy"}
    assert set(services["caddy"]["networks"]) & set(services["gateway1"]["networks"]) == {"inside"}
    assert services["redis"]["networks"] == ["inside"]
    assert "ports" not in services["gateway1"]
    assert "ports" not in services["redis"]
    subnet = file["networks"]["inside"]["ipam"]["config"][0]["subnet"]
    assert services["gateway1"]["environment"]["GPTOSS_TRUSTED_PROXIES"] == subnet


def test_caddy_does_before_replicas_what_it_does_before_one() -> None:
    text = (DEPLOY / "caddy/Caddyfile.replicas").read_text()
    for theirs, one in REPLICAS:
        assert text.count(theirs) == 1
        text = text.replace(theirs, one)

    def lines(of: str) -> list[str]:
        return [line for line in of.splitlines() if line.strip() and not line.strip().startswith("#")]

    assert lines(text) == lines((DEPLOY / "caddy/Caddyfile").read_text())


def test_the_tunnel_keeps_connections_for_less_time_than_the_gateway() -> None:
    config = yaml.safe_load((DEPLOY / "cloudflared/config.yml").read_text())
    first, last = config["ingress"]
    assert set(first["originRequest"]) <= {"connectTimeout", "keepAliveTimeout", "keepAliveConnections"}
    assert float(first["originRequest"]["keepAliveTimeout"].removesuffix("s")) < 75
    assert last == {"service": "http_status:404"}, "a tunnel needs a rule for everything else"


UNIT = DEPLOY / "systemd/gptoss-api.service"


def directives() -> dict[str, str]:
    return dict(re.findall(r"(?m)^(\w+)=(.*)$", UNIT.read_text()))


def test_the_unit_waits_for_word_of_the_gateway_and_confines_it() -> None:
    found = directives()
    assert found["Type"] == "notify"
    assert found["DynamicUser"] == "yes"
    assert found["ProtectSystem"] == "strict"
    assert found["KillMode"] == "mixed"
    assert int(found["WatchdogSec"]) >= 10
    assert found["RestartPreventExitStatus"] == "2"
    assert found["CapabilityBoundingSet"] == ""
    variables = re.findall(r"\b(GPTOSS_[A-Z_]+)", UNIT.read_text())
    assert set(variables) <= SETTINGS


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not everywhere")
def test_systemd_understands_the_unit_and_finds_it_confined(tmp_path: Path) -> None:
    program = tmp_path / "gptoss-api"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "gptoss-api.service"
    unit.write_text(UNIT.read_text().replace("/opt/gptoss-api/bin/gptoss-api", str(program)))
    verified = subprocess.run(["systemd-analyze", "verify", str(unit)], capture_output=True, text=True)
    assert verified.returncode == 0, verified.stderr
    assert not verified.stderr.strip()
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", str(unit)]
    judged = subprocess.run(command, capture_output=True, text=True)
    assert judged.returncode == 0, judged.stdout[-1500:]
