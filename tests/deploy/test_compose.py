"""The compose file: by its own schema, and by what it names."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from deploy.settings_of import settings_of
from hedgerow_simulator.cli import simulate

pytestmark = pytest.mark.slow

FILE = Path(__file__).parents[2] / "deploy/compose.yaml"
SERVICES: dict[str, dict[str, Any]] = yaml.safe_load(FILE.read_text())["services"]


def schema_check(file: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", file],
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_it_is_what_the_compose_specification_says() -> None:
    checked = schema_check(FILE)
    assert checked.returncode == 0, checked.stdout


def test_the_schema_would_find_a_mistake(tmp_path: Path) -> None:
    mistaken = tmp_path / "compose.yaml"
    mistaken.write_text(FILE.read_text().replace("stop_grace_period", "stop_grace"))
    assert "stop_grace" in schema_check(mistaken).stdout


def defaults(environment: dict[str, str]) -> dict[str, str]:
    """Fill in `${NAME:-default}` as compose does where NAME is not set."""
    return {name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", value) for name, value in environment.items()}


def test_the_gateway_accepts_its_variables_and_asks_the_simulator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = settings_of(defaults(SERVICES["gateway"]["environment"]), monkeypatch)
    assert settings.upstream == "http://testing-server:8090/api/work"
    flags = {parameter.name: parameter for parameter in simulate.params}
    assert flags["port"].default == "8090"
    for variable in SERVICES["testing-server"]["environment"]:
        assert variable.removeprefix("HEDGEROW_SIMULATE_").lower() in flags


def test_every_service_that_is_waited_for_exists() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", [])) <= set(SERVICES)


@pytest.mark.parametrize("name", list(SERVICES))
def test_every_service_is_confined_and_reached_from_this_machine_only(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))
    assert "build" in service or re.search(r":v?\d+\.\d+\.\d+$", service["image"]), (
        "a version, not a moving tag"
    )


def test_the_gateways_drain_fits_its_time_to_stop() -> None:
    assert SERVICES["gateway"]["stop_grace_period"] == "35s"


@pytest.mark.parametrize("name", ["prometheus", "grafana"])
def test_what_is_mounted_exists(name: str) -> None:
    sources = [volume.split(":")[0] for volume in SERVICES[name]["volumes"] if volume.startswith(".")]
    assert sources
    for source in sources:
        assert (FILE.parent / source).exists(), source


def test_prometheus_scrapes_services_that_exist() -> None:
    config = FILE.parent / "prometheus/prometheus.yml"
    targets = {
        target
        for job in yaml.safe_load(config.read_text())["scrape_configs"]
        for group in job.get("static_configs", [])
        for target in group["targets"]
    }
    assert "gateway:8081" in targets
    assert {target.split(":")[0] for target in targets} <= {*SERVICES, "localhost"}
