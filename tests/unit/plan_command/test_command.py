"""`hedgerow plan` from end to end: what it prints, and its exit codes."""

import json
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
from click.testing import CliRunner, Result

from hedgerow.cli import main


def plan(*arguments: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(main, ["plan", *arguments], input=stdin)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> str:
    random, path = Random(1), tmp_path_factory.mktemp("plan") / "log.csv"
    rows = [
        f"{random.uniform(100, 200) * (10 if random.random() < 0.02 else 1):.1f},200\n" for _ in range(4_000)
    ]
    path.write_text("latency_ms,status\n" + "".join(rows))
    return str(path)


def test_a_table_and_flags_are_printed(log: str) -> None:
    result = plan(log, "--aim", "99% within 500ms")
    assert result.exit_code == 0
    first, *lines = result.stdout.splitlines()
    assert first.startswith("Hedging would help: 99 % of requests succeed within ")
    (flags,) = (line for line in lines if "hedgerow serve" in line)
    assert "--hedge-after-ms" in flags
    assert sum("<- recommended" in line for line in lines) == 1
    header = next(index for index, line in enumerate(lines) if line.startswith("hedges"))
    assert len({len(line.rstrip()) for line in lines[header + 1 : header + 5] if "<-" not in line}) == 1
    assert any("independent, which was not measured" in line for line in lines)


def test_data_says_the_same(log: str) -> None:
    result = plan(log, "--aim", "99% within 500ms", "--json")
    found = json.loads(result.stdout)
    assert found["verdict"] == "helps"
    assert found["observed"] == 4_000
    assert found["flags"] == (
        f"--hedge-after-ms {found['recommended']['hedge_after_ms']:.0f} --hedges {found['recommended']['hedges']}"
    )
    assert found["recommended"] in found["plans"]


def test_a_plot_is_a_picture(log: str, tmp_path: Path) -> None:
    path = tmp_path / "plot.svg"
    assert plan(log, "--svg", str(path)).exit_code == 0
    root = ET.parse(path).getroot()
    curves = root.findall("{http://www.w3.org/2000/svg}polyline")
    assert [curve.get("class") for curve in curves] == ["curve without", "curve with"]
    for curve in curves:
        ys = [float(point.split(",")[1]) for point in str(curve.get("points")).split()]
        assert all(later <= sooner + 0.11 for sooner, later in pairwise(ys))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "give one source"),
        (("LOG", "--probe", "http://a/"), "give one source"),
        (("LOG", "--aim", "soon"), "--aim 'soon' is not accepted; a share and a time"),
        (("LOG", "--max-extra", "lots"), "--max-extra 'lots' is not accepted"),
        (("LOG", "--svg", "/nowhere/a.svg"), "--svg /nowhere/a.svg: it cannot be written"),
        (("LOG", "--format", "apache"), "'apache' is not one of"),
        (("/nowhere/log",), "/nowhere/log: it cannot be read"),
        (("--probe", "http://127.0.0.1:1/"), "Nothing was sent"),
        (("--probe", "http://a/", "--rate", "nan"), "--rate nan is not accepted"),
        (("--probe", "http://a/", "--rate", "1e9"), "--rate 1e+09 is not accepted"),
        (("--probe", "http://a/", "--requests", "0"), "--requests 0 is not accepted"),
        (("--probe", "ftp://a/", "--yes"), "is not accepted"),
        (("--probe", "file:///etc/passwd", "--yes"), "is not accepted"),
        (("--from", "http://127.0.0.1:1"), "cannot be read"),
    ],
)
def test_bad_input_has_one_line_and_exit_code_2(log: str, arguments: tuple[str, ...], message: str) -> None:
    result = plan(*(log if argument == "LOG" else argument for argument in arguments))
    assert result.exit_code == 2
    assert result.stderr.startswith("hedgerow: ")
    assert result.stderr.count("\n") == 1
    assert message in result.stderr
