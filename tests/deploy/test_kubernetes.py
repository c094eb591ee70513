"""The Kubernetes manifests: rendered by kubectl, held against the schemas, and against what they must mean together."""

import copy
import functools
import importlib
import os
import re
import subprocess
import sysconfig
from math import ceil
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from jsonschema_rs import Draft202012Validator, ValidationError

from deploy.prometheus_rule import RULES, groups
from deploy.settings_of import settings_of
from docs.markdown import DOCUMENTS
from hedgerow import __version__
from hedgerow.processes.cpu_count import usable_cpus
from hedgerow.processes.supervision import KILL_AFTER_S
from hedgerow.settings import EMBEDDED, parse_target
from hedgerow.settings.setting import all_settings
from support.tools import missing

ROOT = Path(__file__).parents[2]
OVERLAYS = ["demo", "production"]
KUBERNETES = ["1.30", "1.33", "1.37"]
"""1.30 is the first with a preStop that sleeps."""
OF_THE_OPERATOR = "monitoring.coreos.com/v1"
WORDS = (ROOT / "docs/guides/kubernetes.md").read_text()
LABELS = {"app.kubernetes.io/name": "hedgerow"}

Manifest = dict[str, Any]


@functools.cache
def rendered(overlay: str) -> list[Manifest]:
    kubectl = Path(sysconfig.get_path("scripts")) / "kubectl"
    text = subprocess.run(
        [kubectl, "kustomize", ROOT / "deploy/kubernetes/overlays" / overlay],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return list(yaml.safe_load_all(text))


def the(kind: str, overlay: str = "production", name: str = "") -> Manifest:
    """Find the only manifest of that kind; of that name, where there are more."""
    (found,) = (
        manifest
        for manifest in rendered(overlay)
        if manifest["kind"] == kind and name in ("", manifest["metadata"]["name"])
    )
    return found


def pod(overlay: str) -> Manifest:
    template: Manifest = the("Deployment", overlay)["spec"]["template"]
    return template


def container(overlay: str) -> Manifest:
    (only,) = pod(overlay)["spec"]["containers"]
    assert isinstance(only, dict)
    return only


# -- each by its schema


@pytest.fixture(scope="module")
def kubernetes_validate() -> ModuleType:
    """It takes more than a second to import, which else every process that collects tests would spend."""
    return importlib.import_module("kubernetes_validate")


@pytest.mark.parametrize("version", KUBERNETES)
@pytest.mark.parametrize("overlay", OVERLAYS)
def test_kubernetes_knows_every_field(kubernetes_validate: ModuleType, overlay: str, version: str) -> None:
    for manifest in rendered(overlay):
        if manifest["apiVersion"] != OF_THE_OPERATOR:
            kubernetes_validate.validate(manifest, version, strict=True)


def test_a_field_that_does_not_exist_would_be_found(kubernetes_validate: ModuleType) -> None:
    mistaken = {**the("Deployment"), "spec": {**the("Deployment")["spec"], "minReadySecond": 5}}
    with pytest.raises(kubernetes_validate.ValidationError, match="minReadySecond"):
        kubernetes_validate.validate(mistaken, KUBERNETES[-1], strict=True)


SERVICE_MONITOR = {
    "type": "object",
    "required": ["apiVersion", "kind", "metadata", "spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["selector", "endpoints"],
            "additionalProperties": False,
            "properties": {
                "jobLabel": {"type": "string"},
                "selector": {
                    "type": "object",
                    "additionalProperties": False,
                    "properties": {
                        "matchLabels": {"type": "object", "additionalProperties": {"type": "string"}}
                    },
                },
                "endpoints": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {
                            "port": {"type": "string"},
                            "path": {"type": "string"},
                            "interval": {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"},
                            "scrapeTimeout": {"type": "string", "pattern": "^[0-9]+(ms|s|m|h)$"},
                        },
                    },
                },
            },
        }
    },
}
"""Those fields of the operator's API that we use, by its reference:
https://prometheus-operator.dev/docs/api-reference/api/#monitoring.coreos.com/v1.ServiceMonitor"""


def test_the_operator_knows_every_field_of_the_monitor() -> None:
    Draft202012Validator(SERVICE_MONITOR).validate(the("ServiceMonitor"))


def test_a_field_that_the_operator_does_not_know_would_be_found() -> None:
    mistaken = copy.deepcopy(the("ServiceMonitor"))
    mistaken["spec"]["endpoints"][0]["intervall"] = "5s"
    with pytest.raises(ValidationError, match="intervall"):
        Draft202012Validator(SERVICE_MONITOR).validate(mistaken)


def test_the_operator_gets_the_rules_that_prometheus_reads() -> None:
    if not RULES.exists():
        missing("deploy/prometheus/rules is not there")
    assert the("PrometheusRule")["spec"]["groups"] == groups()


def test_the_demo_needs_no_operator() -> None:
    assert {manifest["apiVersion"] for manifest in rendered("demo")} <= {
        "v1", "apps/v1", "policy/v1", "networking.k8s.io/v1",
    }  # fmt: skip


# -- all of them together


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_every_selector_selects_the_pods_and_nothing_else(overlay: str) -> None:
    spec = pod(overlay)["spec"]
    selectors = [
        the("Deployment", overlay)["spec"]["selector"]["matchLabels"],
        the("Service", overlay, "hedgerow")["spec"]["selector"],
        the("Service", overlay, "hedgerow-admin")["spec"]["selector"],
        the("PodDisruptionBudget", overlay)["spec"]["selector"]["matchLabels"],
        the("NetworkPolicy", overlay)["spec"]["podSelector"]["matchLabels"],
        *(spread["labelSelector"]["matchLabels"] for spread in spec["topologySpreadConstraints"]),
    ]
    assert pod(overlay)["metadata"]["labels"] == LABELS
    assert selectors == [LABELS] * len(selectors)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_all_of_it_is_in_the_overlays_namespace(overlay: str) -> None:
    namespace = the("Namespace", overlay)["metadata"]["name"]
    inside = {
        manifest["metadata"].get("namespace")
        for manifest in rendered(overlay)
        if manifest["kind"] != "Namespace"
    }
    assert inside == {namespace}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_ports_are_named_as_the_container_names_them(overlay: str) -> None:
    ports = {port["name"]: port["containerPort"] for port in container(overlay)["ports"]}
    assert ports == {"http": 8080, "admin": 8081}
    for name in ("hedgerow", "hedgerow-admin"):
        for port in the("Service", overlay, name)["spec"]["ports"]:
            assert port["targetPort"] in ports
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container(overlay)[probe]["httpGet"]["port"] == "admin"
    assert container(overlay)["readinessProbe"]["httpGet"]["path"] == "/readyz"
    assert container(overlay)["livenessProbe"]["httpGet"]["path"] == "/livez"


def test_the_monitor_finds_the_service_of_the_admin_port() -> None:
    monitor, service = the("ServiceMonitor"), the("Service", name="hedgerow-admin")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    assert (
        not monitor["spec"]["selector"]["matchLabels"].items()
        <= the("Service", name="hedgerow")["metadata"]["labels"].items()
    )
    assert [endpoint["port"] for endpoint in monitor["spec"]["endpoints"]] == [
        port["name"] for port in service["spec"]["ports"]
    ]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_gateway_accepts_its_variables(overlay: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = the("ConfigMap", overlay)
    assert container(overlay)["envFrom"] == [{"configMapRef": {"name": config["metadata"]["name"]}}]
    settings = settings_of(config["data"], monkeypatch)
    assert settings.workers == 1
    assert (
        settings.upstream
        == {"demo": "embedded", "production": "https://upstream.example.org/api/work"}[overlay]
    )


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_no_service_sets_our_variables(overlay: str) -> None:
    """Kubernetes would set HEDGEROW_PORT=tcp://… for the Service that is named hedgerow, and it would be ignored."""
    assert pod(overlay)["spec"]["enableServiceLinks"] is False


def let_out(policy: Manifest) -> set[int]:
    """Return the ports to which a NetworkPolicy lets the pods connect."""
    return {port["port"] for rule in policy["spec"]["egress"] for port in rule["ports"]}


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_network_policy_lets_out_dns_and_the_upstreams_port_and_no_other(overlay: str) -> None:
    upstream = the("ConfigMap", overlay)["data"]["HEDGEROW_UPSTREAM"]
    ports = {53} if upstream == EMBEDDED else {53, parse_target(upstream).port}
    assert let_out(the("NetworkPolicy", overlay)) == ports


def test_the_words_on_the_network_policy_name_its_ports() -> None:
    (row,) = (line for line in WORDS.splitlines() if line.startswith("| network |"))
    named = {int(port) for port in re.findall(r"\((\d+)\)", row.split("|")[2])}
    assert named == let_out(the("NetworkPolicy"))
    served = the("Service", name="hedgerow-admin")["spec"]["ports"][0]["port"]
    assert f"port {served} from `monitoring` only" in row


@pytest.mark.parametrize("cpus", [None, "1500m", "250m", "4"])
def test_auto_counts_the_pods_cpu_limit_rounded_up_as_the_words_say(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cpus: str | None
) -> None:
    """Kubernetes makes of the limit a quota of control groups: microseconds of CPU in each 100 ms."""
    limit = cpus or container("production")["resources"]["limits"]["cpu"]
    share = int(limit.removesuffix("m")) / 1000 if limit.endswith("m") else int(limit)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)))
    (tmp_path / "own").write_text("0::/\n")
    (tmp_path / "cpu.max").write_text(f"{share * 100_000:.0f} 100000\n")
    assert usable_cpus(tmp_path / "own", tmp_path) == ceil(share)
    base = (ROOT / "deploy/kubernetes/base/kustomization.yaml").read_text()
    for words in (WORDS.replace("`", ""), base):
        assert "auto would count the pod's CPU limit, rounded up" in words


def test_no_document_says_that_auto_does_not_see_a_quota() -> None:
    for document in (*DOCUMENTS, *ROOT.glob("deploy/**/*.yaml"), ROOT / "deploy/systemd/hedgerow.service"):
        words = " ".join(document.read_text().replace("`", "").split())
        for sentence in re.findall(r"auto\b[^.|;]*(?:CPU|quota)[^.|;]*", words):
            assert not re.search(r"node's|does not|not see|ignores|all CPUs", sentence), document
    assert "by quota" in all_settings()["workers"].description
    assert "not more than a quota" in (ROOT / "docs/guides/container.md").read_text()


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_drain_fits_the_grace(overlay: str) -> None:
    before_s = container(overlay)["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain_s = int(the("ConfigMap", overlay)["data"]["HEDGEROW_DRAIN_MS"]) / 1000
    grace_s = pod(overlay)["spec"]["terminationGracePeriodSeconds"]
    readiness = container(overlay)["readinessProbe"]
    assert grace_s > before_s + drain_s + KILL_AFTER_S
    assert before_s > readiness["periodSeconds"] * readiness["failureThreshold"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_pod_is_what_pod_security_calls_restricted(overlay: str) -> None:
    """By https://kubernetes.io/docs/concepts/security/pod-security-standards/, as of 1.30."""
    spec, only = pod(overlay)["spec"], container(overlay)
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] != 0
    assert spec["securityContext"]["seccompProfile"]["type"] == "RuntimeDefault"
    assert only["securityContext"]["allowPrivilegeEscalation"] is False
    assert only["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert only["securityContext"]["readOnlyRootFilesystem"] is True
    assert not {"hostNetwork", "hostPID", "hostIPC", "volumes"} & spec.keys()
    assert spec["automountServiceAccountToken"] is False
    labels = the("Namespace", overlay)["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_user_is_the_images(overlay: str) -> None:
    context = pod(overlay)["spec"]["securityContext"]
    assert f"\nUSER {context['runAsUser']}:{context['runAsGroup']}\n" in (ROOT / "Dockerfile").read_text()
    assert container(overlay)["image"].endswith(f"hedgerow:{__version__}")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_requests_and_limits_are_given(overlay: str) -> None:
    resources = container(overlay)["resources"]
    assert set(resources["requests"]) == set(resources["limits"]) == {"cpu", "memory"}


def test_it_scales_by_cpu_and_by_requests_in_flight() -> None:
    scaler = the("HorizontalPodAutoscaler")["spec"]
    assert scaler["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "hedgerow"}
    assert "replicas" not in the("Deployment")["spec"], "or each apply would undo the autoscaler's choice"
    cpu, in_flight = scaler["metrics"]
    assert cpu["resource"]["name"] == "cpu"
    assert in_flight["pods"]["metric"]["name"] == "hedgerow_requests_in_flight"
    cap = int(the("ConfigMap")["data"]["HEDGEROW_MAX_IN_FLIGHT"])
    assert int(in_flight["pods"]["target"]["averageValue"]) * 2 == cap


def test_the_demo_has_two_replicas_and_no_autoscaler() -> None:
    assert the("Deployment", "demo")["spec"]["replicas"] == 2
    assert "HorizontalPodAutoscaler" not in {manifest["kind"] for manifest in rendered("demo")}


def test_the_rules_are_ours_and_go_by_the_monitors_job() -> None:
    ours = yaml.safe_load((ROOT / "deploy/prometheus/rules/hedgerow.yml").read_text())
    assert the("PrometheusRule")["spec"] == ours
    label = the("ServiceMonitor")["spec"]["jobLabel"]
    assert the("Service", name="hedgerow-admin")["metadata"]["labels"][label] == "hedgerow"
    assert 'up{job="hedgerow"}' in str(ours)
