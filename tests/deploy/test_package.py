"""The package: built, installed where nothing else is, and what it brings along."""

import json
import re
import subprocess
import sys
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.third_party import has_our_notice, normal
from hedgerow import __version__

ROOT = Path(__file__).parents[2]
PIP = ["-m", "pip", "--disable-pip-version-check", "--quiet", "install"]
COMMERCIAL_USE = {"MIT", "BSD-2-Clause", "BSD-3-Clause", "Apache-2.0", "PSF-2.0"}
"""SPDX identifiers of licences that allow it, also in closed products."""
IDENTIFIER_OF = {
    "License :: OSI Approved :: Apache Software License": "Apache-2.0",
    "License :: OSI Approved :: MIT License": "MIT",
    "License :: OSI Approved :: Python Software Foundation License": "PSF-2.0",
}
"""For packages that state no SPDX expression (PEP 639) yet."""
INSTALLERS = {"pip", "setuptools"}
"""What a new environment has already; the second up to Python 3.11."""
METADATA = """
import json
from importlib.metadata import distributions
print(json.dumps([
    {"name": found.metadata["Name"], "version": found.version, "expression": found.metadata.get("License-Expression"),
     "classifiers": found.metadata.get_all("Classifier", []),
     "texts": [str(file) for file in found.files or () if "licenses/" in str(file)]}
    for found in distributions()
]))
"""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]  # an index of packages may be slow


@dataclass(frozen=True)
class Package:
    """An installed package, by its metadata."""

    name: str
    version: str
    expression: str | None
    classifiers: list[str]
    texts: list[str]

    @property
    def licences(self) -> set[str]:
        if self.expression:
            return set(re.split(r" AND | OR ", self.expression))
        return {IDENTIFIER_OF[name] for name in self.classifiers if name.startswith("License :: ")}


def run(*command: str | Path) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    return done.stdout


def build(source: Path, target: Path, *kinds: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "hatchling", "build", *kinds, "-d", target],
        cwd=source, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    build(ROOT, target)
    return target


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    (made,) = dist.glob("*.whl")
    return made


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter whose environment has hedgerow and what it needs, and pip."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder, with_pip=True)
    installed = folder / "bin/python"
    run(installed, *PIP, "--require-hashes", "-r", ROOT / "requirements/run.txt")
    run(installed, *PIP, "--no-index", "--no-deps", wheel)
    return installed


@pytest.fixture(scope="module")
def packages(python: Path) -> dict[str, Package]:
    found = [Package(**package) for package in json.loads(run(python, "-c", METADATA))]
    return {normal(package.name): package for package in found if package.name not in INSTALLERS}


def table(heading: str = "# Third-party software") -> dict[str, tuple[str, set[str]]]:
    """Read a table of THIRD-PARTY.md: name to version and licences."""
    text = (ROOT / "THIRD-PARTY.md").read_text()
    section = text.partition(heading + "\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| \[(.+?)\]\(.+?\) \| (.+?) \| (.+?) \|", section, re.MULTILINE)
    return {name: (version, set(re.split(r" AND | OR ", licence))) for name, version, licence in rows}


def locked(name: str) -> dict[str, str]:
    """Read a lock file: name to version."""
    text = (ROOT / f"requirements/{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9.-]+)==(\S+)", text, re.MULTILINE))


def test_the_wheel_has_the_program_its_types_and_its_licences_and_nothing_else(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    about = f"hedgerow-{__version__}.dist-info"
    assert {name.split("/")[0] for name in names} == {"hedgerow", "hedgerow_simulator", about}
    assert {"hedgerow/py.typed", "hedgerow_simulator/py.typed"} <= set(names)
    assert {f"{about}/licenses/LICENSE", f"{about}/licenses/THIRD-PARTY.md"} <= set(names)


def test_the_sdist_makes_the_same_wheel(dist: Path, wheel: Path, tmp_path: Path) -> None:
    (archive,) = dist.glob("*.tar.gz")
    with tarfile.open(archive) as sources:
        sources.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    assert (source / "tests/deploy/test_package.py").exists()
    assert not (source / "deploy/image/.cache").exists()
    build(source, tmp_path / "again", "-t", "wheel")
    with zipfile.ZipFile(tmp_path / "again" / wheel.name) as again, zipfile.ZipFile(wheel) as first:
        assert {name: again.read(name) for name in again.namelist()} == {
            name: first.read(name) for name in first.namelist()
        }


def test_the_command_is_there_and_prints_its_version(python: Path) -> None:
    hedgerow = python.parent / "hedgerow"
    assert run(hedgerow, "--version") == f"hedgerow {__version__} (plain)\n"
    for command in ("serve", "simulate", "healthcheck"):
        assert command in run(hedgerow, "--help")
        assert "Usage: hedgerow" in run(hedgerow, command, "--help")


def test_it_needs_what_the_lock_file_names_and_nothing_else(packages: dict[str, Package]) -> None:
    assert {(name, package.version) for name, package in packages.items()} == {
        *locked("run").items(),
        ("hedgerow", __version__),
    }


def test_without_the_extra_traces_are_refused_in_one_line(python: Path) -> None:
    done = subprocess.run(
        [python.parent / "hedgerow", "serve", "--trace-sample", "0.01"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stderr.count("\n")) == (2, 1), done.stderr
    assert "hedgerow[otel]" in done.stderr


def test_what_the_extra_brings_is_listed_with_its_licence() -> None:
    extra = {name: version for name, version in locked("otel").items() if name not in locked("run")}
    listed = table("## With the extra `otel`")
    assert {name: version for name, (version, _) in listed.items()} == extra
    assert set().union(*(licences for _, licences in listed.values())) <= COMMERCIAL_USE | {"MPL-2.0"}


def test_every_licence_allows_commercial_use_and_is_the_one_we_list(packages: dict[str, Package]) -> None:
    others = {name: package for name, package in packages.items() if name != "hedgerow"}
    assert {name: (package.version, package.licences) for name, package in others.items()} == table()
    for name, package in packages.items():
        assert package.licences, name
        assert package.licences <= COMMERCIAL_USE, name
        assert package.texts or has_our_notice(name), f"{name} ships no licence text"


def test_the_bill_of_materials_names_them_all(
    python: Path, packages: dict[str, Package], tmp_path: Path
) -> None:
    """The command is the one of docs/releasing.md."""
    bill = tmp_path / "hedgerow.cdx.json"
    run(
        sys.executable, "-m", "cyclonedx_py", "environment", "--pyproject", ROOT / "pyproject.toml",
        "--output-reproducible", "--output-file", bill, python,
    )  # fmt: skip
    made = json.loads(bill.read_text())
    assert made["metadata"]["component"]["name"] == "hedgerow"
    named = {normal(component["name"]) for component in made["components"]} - INSTALLERS
    assert named == set(packages) - {"hedgerow"}
    assert all(component["licenses"] for component in made["components"])
