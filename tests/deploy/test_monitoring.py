"""Alerts by Prometheus' own checker, and a dashboard: both ask only for what /metrics tells."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import yaml

from tests.conftest import StartGateway, free_port
from tests.server.talking import CHAT, HELLO, ask

from .proxies import DEPLOY, program

ALERTS = DEPLOY / "prometheus/alerts.yaml"
ALERT_TESTS = DEPLOY / "prometheus/alerts.test.yaml"
DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana/dashboard.json").read_text())
TARGETS = [target for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
VARIABLES = {each["name"] for each in DASHBOARD["templating"]["list"]}


def samples(text: str) -> dict[str, set[str]]:
    """The labels of each name; what nothing was told of yet has none."""
    found: dict[str, set[str]] = {}
    for line in text.splitlines():
        if match := re.match(r"# TYPE (\S+) (\S+)", line):
            endings = ("_bucket", "_sum", "_count") if match[2] == "histogram" else ("",)
            found |= {match[1] + ending: set() for ending in endings}
        elif match := re.match(r"(\w+)\{(.*)\}", line):
            found[match[1]] |= set(re.findall(r'(\w+)="', match[2]))
    return found


def test_the_alerts_are_what_prometheus_understands_and_ring_when_they_should() -> None:
    for command in (["check", "rules", str(ALERTS)], ["test", "rules", str(ALERT_TESTS)]):
        done = subprocess.run([program("promtool"), *command], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_tried() -> None:
    rules = yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]
    tests = yaml.safe_load(ALERT_TESTS.read_text())["tests"]
    rung = {case["alertname"] for test in tests for case in test["alert_rule_test"] if case["exp_alerts"]}
    assert {rule["alert"] for rule in rules} == rung


def test_alerts_and_dashboard_ask_for_what_is_told(gateway: StartGateway) -> None:
    port = free_port()
    running = gateway(GPTOSS_UPSTREAM="demo", GPTOSS_METRICS_ADDR=f"127.0.0.1:{port}")
    assert ask(running, "POST", CHAT, HELLO).status == 200
    with urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as response:
        found = samples(response.read().decode())
    expressions = [rule["expr"] for rule in yaml.safe_load(ALERTS.read_text())["groups"][0]["rules"]]
    expressions += [target["expr"] for target in TARGETS]
    expressions += [each["query"] for each in DASHBOARD["templating"]["list"] if each["type"] == "query"]
    asked = {name for text in expressions for name in re.findall(r"\bgptoss_\w+", text)}
    assert asked <= set(found)
    for expression in expressions:
        for name, matchers in re.findall(r"\b(gptoss_\w+)\{([^}]*)\}", expression):
            labels = set(re.findall(r"(\w+)\s*=", matchers)) - {"job", "instance"}
            assert labels <= (found[name] or labels), f"{name} has no {labels - found[name]}"


def test_every_panel_is_a_query_that_prometheus_understands(tmp_path: Path) -> None:
    rules = []
    for number, target in enumerate(TARGETS):
        query = target["expr"].replace("$__rate_interval", "5m").replace("$job", ".*").replace("$model", ".*")
        assert "$" not in query, query
        rules.append({"record": f"panel:{number}", "expr": query})
    file = tmp_path / "rules.yaml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}))
    done = subprocess.run([program("promtool"), "check", "rules", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_panels_lie_beside_each_other_and_know_their_variables() -> None:
    places: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {(x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])}
        assert not places & cells, panel["title"]
        assert at["x"] + at["w"] <= 24
        places |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    used = set(re.findall(r"\$\{?(\w+)", json.dumps(DASHBOARD["panels"]))) - {"__rate_interval"}
    assert used == VARIABLES
