"""What is called for each request or connection is compiled where anything is."""

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[2]

INTERPRETED = {
    "core/payload.py",  # msgspec reads the annotations of its classes, which mypyc does not keep
    "server/server.py",  # called at intervals and when a connection is closed, not for a request
    "upstream/endpoint_states.py",  # called for each snapshot of the counts
    "upstream/opening.py",  # called when routes are read
}


PER_CONNECTION = {"src/hedgerow/processes/accept_balancer.py", "src/hedgerow/processes/descriptor_sharing.py"}


def test_each_module_that_requests_pass_through_is_compiled() -> None:
    """One of `admission` was not, for a day, and took 4 100 of the 28 300 instructions of a rejection."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    compiled = set(build["targets"]["wheel"]["hooks"]["mypyc"]["include"])
    source = ROOT / "src" / "hedgerow"
    passed = {
        str(path.relative_to(source))
        for package in ("admission", "core", "eventloop", "server", "upstream")
        for path in (source / package).glob("*.py")
        if path.name != "__init__.py"
    }
    assert {name for name in passed if f"src/hedgerow/{name}" not in compiled} == INTERPRETED
    assert compiled >= PER_CONNECTION
    assert all((ROOT / name).exists() for name in compiled)
