import subprocess
from pathlib import Path

import pytest

from bench import machine
from verification.harness.results import PAGE, RECORDS, merged, render


def test_the_page_is_made_from_the_results() -> None:
    assert list(RECORDS.glob("*.json"))
    assert PAGE.read_text() == render(), "run a campaign at full size, which renews the page"


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["98.1% of 10"], "98.1% of 10"),
        (["9% of 10", "98.1% of 10", "97% of 10"], "9 to 98.1% of 10"),
        (["lost 2 s, recovery inf s", "lost 1 s, recovery 3 s"], "lost 1 to 2 s, recovery 3 to inf s"),
        (["1 late", "none late"], "1 late / none late"),
    ],
)
def test_a_figure_of_several_rounds_has_its_least_and_its_greatest(texts: list[str], expected: str) -> None:
    assert merged(texts) == expected


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a program and a result."""
    monkeypatch.setattr(machine, "REPOSITORY", tmp_path)
    for path in ("src/program.py", "verification/results/C01.json"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_text("")
    identity = ("-c", "user.name=x", "-c", "user.email=x")
    for arguments in (("init",), ("add", "."), (*identity, "commit", "--message=x")):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True, capture_output=True)
    return tmp_path


def test_a_result_of_the_run_before_makes_no_other_program(repository: Path) -> None:
    (repository / "verification/results/C01.json").write_text("{}")
    assert not machine.measured_commit().endswith("-dirty")
    assert len(machine.measured_commit()) >= 7


def test_a_program_that_was_changed_is_not_that_of_the_commit(repository: Path) -> None:
    (repository / "src/program.py").write_text("1")
    assert machine.measured_commit().endswith("-dirty")


def test_outside_a_repository_the_commit_is_not_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "REPOSITORY", tmp_path)
    assert machine.measured_commit() == "unknown"
