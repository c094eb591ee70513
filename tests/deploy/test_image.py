"""The Dockerfile, built for real; and the container that it makes, run for real."""

import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from deploy.container import BOUND_S, Image, answer
from deploy.third_party import has_our_notice, normal
from hedgerow import __version__
from hedgerow.settings.redaction import redacted_url
from support.tools import missing, tool

ROOT = Path(__file__).parents[2]
MAX_OVER_BASE_BYTES = 40_000_000
"""Twice what it takes; the promise is 120 MB."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]  # the first build makes a Debian system


@pytest.fixture(scope="module")
def built() -> dict[str, str]:
    for name in ("buildah", "debootstrap", "unshare", "nsenter", "ip"):
        tool(name)
    if os.getuid() != 0:
        missing("building an image on a stand-in for its base needs root")
    made = subprocess.run(
        [ROOT / "deploy/image/build-stand-in.sh"], capture_output=True, text=True, check=False
    )
    assert made.returncode == 0, made.stderr
    return dict(line.split("=", 1) for line in made.stdout.splitlines())


@pytest.fixture(scope="module")
def image(built: dict[str, str]) -> Image:
    storage = ROOT / "deploy/image/.cache"
    stdout = subprocess.run(
        ["buildah", "--storage-driver=vfs", f"--root={storage}/storage", f"--runroot={storage}/run",
         "inspect", "--type=image", built["image"]],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return Image(built["root"], json.loads(stdout)["Docker"]["config"])


def test_it_adds_little_to_its_base(built: dict[str, str]) -> None:
    added = int(built["image_bytes"]) - int(built["base_bytes"])
    print(f"{added / 1e6:.1f} MB over the base")  # noqa: T201 (shown with -rP)
    assert 0 < added <= MAX_OVER_BASE_BYTES


def test_it_says_what_it_is(image: Image) -> None:
    labels = image.config["Labels"]
    assert labels["org.opencontainers.image.version"] == __version__
    assert labels["org.opencontainers.image.licenses"] == "MIT"
    assert re.fullmatch(r"[1-9][0-9]*:[1-9][0-9]*", image.config["User"]), "a number, and not root's"
    assert set(image.config["ExposedPorts"]) == {"8080/tcp", "8081/tcp"}
    assert image.config["StopSignal"] == "SIGTERM"


def test_nothing_of_the_build_is_left(image: Image) -> None:
    root = Path(image.root)
    for path in ("source", "tools", "wheels", "run/lent", "etc/pip.conf", "root/.cache"):
        assert not (root / path).exists()
    installed = {
        path.name.split("-")[0] for path in root.glob("opt/hedgerow/lib/python3*/site-packages/*.dist-info")
    }
    assert "uvloop" in installed
    assert not installed & {"pip", "hatchling", "setuptools", "editables"}


def test_its_hot_path_is_compiled(image: Image) -> None:
    assert list(Path(image.root).glob("opt/hedgerow/lib/python3*/site-packages/hedgerow/gateway.*.so"))


def test_the_licences_of_all_that_it_adds_are_in_it(image: Image) -> None:
    added = list(Path(image.root).glob("opt/hedgerow/lib/python3*/site-packages/*.dist-info"))
    assert added
    for about in added:
        name = normal(about.name.split("-")[0])
        assert list(about.glob("licenses/**/LICENSE*")) or has_our_notice(name), about.name
    (ours,) = Path(image.root).glob("opt/hedgerow/lib/python3*/site-packages/hedgerow-*.dist-info")
    assert (ours / "licenses/THIRD-PARTY.md").exists()


def test_docker_run_answers_before_the_embedded_upstream(image: Image) -> None:
    with image.run() as container:
        assert container.said[0] == "hedgerow: answering on http://0.0.0.0:8080/api/smart\n", container.said
        assert container.get("http://127.0.0.2:8080/api/smart?timeout=60000")[0] in (200, 502)
        assert container.get("http://127.0.0.2:8081/readyz")[0] == 200
        assert container.healthcheck() == (0, '{"live":true}\n')
        assert container.exec("hedgerow", "healthcheck")[0] == 0
        family = [container.first, *container.first.children(recursive=True)]
        assert {process.uids().effective for process in family} == {int(image.config["User"].split(":")[0])}
        assert container.exec("touch", "/opt/hedgerow/x")[0] == 1, "the root is read-only"


def test_a_stopped_gateway_is_not_healthy(image: Image) -> None:
    with image.run() as container:
        for process in (container.first, *container.first.children(recursive=True)):
            process.suspend()
        assert container.healthcheck()[0] == 1


def test_sigterm_answers_what_is_in_flight_and_exits_0(image: Image) -> None:
    slow = "http://127.0.0.1:8090/api/work?fault=ok@1500"
    with (
        image.run(HEDGEROW_UPSTREAM=slow) as container,
        container.start("hedgerow", "simulate") as upstream,
    ):
        assert redacted_url(slow) in container.said[1]
        assert upstream.stdout is not None
        assert "8090" in upstream.stdout.readline()
        asking = container.start("python3", "-c", WAITING, "http://127.0.0.1:8080/api/smart")
        assert asking.stdout is not None
        assert asking.stdout.readline() == "in flight\n"
        container.first.send_signal(signal.SIGTERM)
        assert answer(asking) == (200, {"time": 1500})
        assert container.engine.wait(BOUND_S) == 0


WAITING = r"""
import http.client, re, urllib.request
connection = http.client.HTTPConnection("127.0.0.1", 8080)
connection.request("GET", "/api/smart")
for _ in range(1000):
    metrics = urllib.request.urlopen("http://127.0.0.1:8081/metrics").read()
    if re.search(rb"^hedgerow_requests_in_flight\{[^}]*\} 1\.0$", metrics, re.MULTILINE):
        break
else:
    raise SystemExit("it is not in flight")
print("in flight", flush=True)
kept = connection.sock.dup()  # or the gateway sees its client leave and ends, and the kernel kills what is beside it
answer = connection.getresponse()
print(answer.status, answer.read().decode(), flush=True)
kept.close()
"""
