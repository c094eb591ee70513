"""What is needed besides hedgerow's own environment: peers from PyPI, programs in Go; all in `.cache`."""

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

BENCH = Path(__file__).resolve().parent
REPOSITORY = BENCH.parent
CACHE = BENCH / ".cache"
PEERS = BENCH / "peers"
VENV_BIN = CACHE / "peers" / "bin"
REQUIREMENTS = PEERS / "requirements.txt"


@contextmanager
def _installing() -> Iterator[None]:
    """Be the only one, of all threads and processes, who changes the cache: tests and runs of C18 are side by side."""
    CACHE.mkdir(exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ensure_peers() -> None:
    """Install the pinned peers into a virtual environment of their own, once per version of the pins."""
    with _installing():
        _ensure_peers()


def _ensure_peers() -> None:
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    stamp = CACHE / "peers" / "installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print("installing the peers into", VENV_BIN.parent, file=sys.stderr)
    subprocess.run([sys.executable, "-m", "venv", "--clear", VENV_BIN.parent], check=True)
    pip: list[str | Path] = [
        VENV_BIN / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
    ]
    subprocess.run([*pip, "--require-hashes", "--requirement", REQUIREMENTS], check=True)
    stamp.write_text(wanted)


def build_go(package: str, module: Path = BENCH) -> Path:
    """Build one of our Go programs, a folder below bench or another one; Go comes from PyPI, the code from us alone."""
    program = CACHE / "bin" / Path(package).name
    environment = os.environ | {
        "GOCACHE": str(CACHE / "go-build"),
        "GOPATH": str(CACHE / "gopath"),
        "GOTOOLCHAIN": "local",
        "GOFLAGS": "-mod=mod",
        "GOPROXY": "off",
    }
    with _installing():
        subprocess.run(
            [VENV_BIN / "go", "build", "-o", program, f"./{package}"], check=True, cwd=module, env=environment
        )
    return program


def pinned_versions() -> dict[str, str]:
    """Name the peers' versions, as pinned."""
    pins = (line.split(" ")[0] for line in REQUIREMENTS.read_text().splitlines())
    return dict(pin.split("==") for pin in pins if "==" in pin)
