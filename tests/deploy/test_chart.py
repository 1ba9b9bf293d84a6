"""The Helm chart, rendered by Helm's own engine and held to the schemas of several Kubernetes releases."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import helm_python as helm
import kubernetes_validate
import pytest
import yaml

from gptoss_api.config import OPTIONS
from tests.conftest import running_gateway

from .proxies import DEPLOY

CHART = DEPLOY / "helm/gptoss-api"
SECRET = {"existingSecret": "gptoss"}
REPLICAS = {**SECRET, "replicaCount": 3, "redis": {"existingSecret": "redis"}}
EVERYTHING = {
    **REPLICAS,
    "image": {"repository": "registry.example/gptoss-api", "tag": "1.2.3", "pullPolicy": "Always"},
    "imagePullSecrets": [{"name": "pull"}],
    "config": {"GPTOSS_UPSTREAM": "huggingface", "GPTOSS_MAX_CONCURRENCY": 64, "GPTOSS_THREADS": False},
    "configFile": 'keepalive = "5s"\n',
    "trustedProxies": ["10.0.0.0/8", "loopback"],
    "ingress": {"enabled": True, "className": "nginx", "tlsSecret": "tls"},
    "httpRoute": {"enabled": True, "parentRefs": [{"name": "gateway"}], "hostnames": ["gptoss.example"]},
    "metrics": {"serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}}},
    "networkPolicy": {
        "from": [{"namespaceSelector": {}}],
        "metricsFrom": [{"podSelector": {"matchLabels": {"app": "prometheus"}}}],
    },
    "podAnnotations": {"a": "b"},
    "podLabels": {"team": "x"},
    "nodeSelector": {"kubernetes.io/arch": "arm64"},
    "tolerations": [{"key": "k", "operator": "Exists"}],
    "affinity": {"nodeAffinity": {}},
}
KEPT = {**SECRET, "persistence": {"enabled": True, "storageClass": "fast"}}
# The oldest that Chart.yaml allows, and the newest whose schemas are at hand.
RELEASES = ["1.25", kubernetes_validate.latest_version()]
# Of operators, without schemas here.
OTHERS = {"HTTPRoute", "ServiceMonitor"}


def render(values: Mapping[str, Any], name: str = "demo") -> dict[str, dict[str, Any]]:
    """The objects by their kind."""
    with helm.Chart.load(str(CHART)) as chart:
        chart.validate_schema(dict(values))
        texts = chart.render(dict(values), name=name, namespace="there")
    manifests = [text for path, text in texts.items() if path.endswith(".yaml")]
    found = [each for text in manifests for each in yaml.safe_load_all(text) if each]
    return {each["kind"]: each for each in found}


def pod(objects: Mapping[str, Any]) -> dict[str, Any]:
    spec: dict[str, Any] = objects["Deployment"]["spec"]["template"]["spec"]
    return spec


def environment(objects: Mapping[str, Any]) -> dict[str, Any]:
    return {
        each["name"]: each.get("value", each.get("valueFrom"))
        for each in pod(objects)["containers"][0]["env"]
    }


@pytest.mark.parametrize("values", [SECRET, REPLICAS, EVERYTHING, KEPT])
def test_helm_finds_nothing_to_say_against_it(values: dict[str, Any]) -> None:
    report = helm.lint(str(CHART), values, strict=True)
    assert not report["errors"]
    # That there is no icon is no defect.
    assert [each for each in report["messages"] if "icon" not in each["error"]] == []


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("values", [SECRET, REPLICAS, EVERYTHING, KEPT])
def test_kubernetes_takes_what_it_makes(values: dict[str, Any], release: str) -> None:
    objects = render(values)
    assert {"Deployment", "Service", "NetworkPolicy", "Pod"} <= set(objects)
    for kind, each in objects.items():
        if kind not in OTHERS:
            kubernetes_validate.validate(each, release, strict=True)


def test_everything_that_can_be_had_is_made() -> None:
    with_redis, alone = render(EVERYTHING), render(KEPT)
    assert set(with_redis) == {
        "ConfigMap",
        "Deployment",
        "HTTPRoute",
        "Ingress",
        "NetworkPolicy",
        "Pod",
        "PodDisruptionBudget",
        "Service",
        "ServiceMonitor",
    }
    assert set(alone) == {"Deployment", "NetworkPolicy", "PersistentVolumeClaim", "Pod", "Service"}
    assert alone["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "existingSecret is needed"),
        ({**SECRET, "replicaCount": 2}, "needs redis"),
        ({**REPLICAS, "persistence": {"enabled": True}}, "no use with redis"),
        ({**SECRET, "httpRoute": {"enabled": True}}, "parentRefs is needed"),
    ],
)
def test_what_cannot_work_is_refused_with_the_reason(values: dict[str, Any], words: str) -> None:
    with pytest.raises(helm.HelmError, match=words):
        render(values)


@pytest.mark.parametrize(
    "values",
    [
        {"replicaCount": "two"},
        {"replicaCount": 1.5},
        {"replicas": 2},
        {"config": {"GPTOSS_API_KEYS": "a secret among what everybody may read"}},
        {"config": {"gptoss-upstream": "demo"}},
        {"drain": {"delay": "5s"}},
        {"trustedProxies": ["everybody"]},
        {"image": {"repository": ""}},
        {"metrics": {"port": 8000}},
        {"persistence": {"size": "much"}},
    ],
)
def test_the_schema_refuses_values_that_would_mean_nothing(values: dict[str, Any]) -> None:
    with pytest.raises(helm.HelmError):
        render({**SECRET, **values})


@pytest.mark.parametrize("values", [SECRET, EVERYTHING])
def test_a_replica_may_do_nothing_that_it_need_not(values: dict[str, Any]) -> None:
    objects = render(values)
    for spec in (pod(objects), objects["Pod"]["spec"]):
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] == 10001
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
    assert set(objects["NetworkPolicy"]["spec"]["policyTypes"]) == {"Ingress", "Egress"}


def test_a_replica_has_the_time_that_it_takes_to_go() -> None:
    objects = render({**SECRET, "drain": {"delay": 7, "timeout": 100}})
    found = environment(objects)
    assert (found["GPTOSS_DRAIN_DELAY"], found["GPTOSS_SHUTDOWN_TIMEOUT"]) == ("7", "100")
    assert pod(objects)["terminationGracePeriodSeconds"] >= 7 + 100 + 10
    probes = pod(objects)["containers"][0]
    period, misses = (probes["readinessProbe"][name] for name in ("periodSeconds", "failureThreshold"))
    assert period * misses < 5, "balancers know before the delay is over"
    assert probes["livenessProbe"]["httpGet"]["path"] == "/healthz", "no upstream has a replica killed"
    assert render(SECRET)["Deployment"]["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def test_probes_ask_by_a_name_that_is_always_answered() -> None:
    container = pod(render(SECRET))["containers"][0]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert container[probe]["httpGet"]["httpHeaders"] == [{"name": "Host", "value": "localhost"}]


def test_the_test_pod_tells_a_gateway_with_keys_from_one_without(tmp_path: Path) -> None:
    script = render(SECRET)["Pod"]["spec"]["containers"][0]["args"][0]

    def tried(home: Path, keys: str, known: str = "") -> "subprocess.CompletedProcess[str]":
        home.mkdir()
        with running_gateway(home, GPTOSS_UPSTREAM="demo", GPTOSS_API_KEYS=known) as gateway:
            variables = {"BASE_URL": gateway.base_url, "KEYS": keys}
            return subprocess.run(
                [sys.executable, "-c", script], env=variables, capture_output=True, text=True
            )

    keyed = tried(tmp_path / "keyed", "first-key, second-key", "first-key,second-key")
    assert keyed.returncode == 0, keyed.stderr
    assert "gpt-oss-20b" in keyed.stdout
    wrong = tried(tmp_path / "wrong", "another-key", "first-key,second-key")
    assert wrong.returncode != 0
    assert tried(tmp_path / "open", "").returncode != 0


def test_every_setting_is_one_of_the_gateway() -> None:
    known = {option.env for option in OPTIONS}
    for values in (SECRET, EVERYTHING, KEPT):
        objects = render(values)
        assert set(environment(objects)) <= known
    found = environment(render(EVERYTHING))
    assert found["GPTOSS_THREADS"] == "false"
    assert found["GPTOSS_MAX_CONCURRENCY"] == "64"
    assert found["GPTOSS_TRUSTED_PROXIES"] == "10.0.0.0/8,loopback"
    assert found["GPTOSS_STATE"] == {"secretKeyRef": {"name": "redis", "key": "url"}}


def test_another_file_of_settings_replaces_the_replicas_and_the_same_one_does_not() -> None:
    def checksum(text: str) -> str:
        template = render({**SECRET, "configFile": text})["Deployment"]["spec"]["template"]
        found: str = template["metadata"]["annotations"]["checksum/config"]
        return found

    assert checksum("a = 1") == checksum("a = 1") != checksum("a = 2")


def test_selectors_find_replicas_and_nothing_else() -> None:
    objects = render(EVERYTHING)
    labels = objects["Deployment"]["spec"]["template"]["metadata"]["labels"]
    selectors = [
        objects["Deployment"]["spec"]["selector"]["matchLabels"],
        objects["Service"]["spec"]["selector"],
        objects["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        objects["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
    ]
    test_labels = objects["Pod"]["metadata"]["labels"]
    for selector in selectors:
        assert selector.items() <= labels.items()
        assert not selector.items() <= test_labels.items(), "the test pod gets no requests"
    assert objects["ServiceMonitor"]["spec"]["selector"]["matchLabels"].items() <= (
        objects["Service"]["metadata"]["labels"].items()
    )


def test_a_long_name_is_cut_to_what_kubernetes_takes() -> None:
    objects = render(EVERYTHING, name="a-release-with-a-very-long-name-indeed-of-53-letters")
    assert all(len(each["metadata"]["name"]) <= 63 for each in objects.values())
