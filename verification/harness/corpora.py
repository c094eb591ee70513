"""The messages of others' tests as C19 sends them: each once, and altered where it would test nothing else."""

import json
import re
import tarfile
from collections.abc import Iterable, Iterator

from verification.harness.corpus_archives import fetched, fetched_json_suite, files_of_tests
from verification.harness.corpus_formats import Sample, samples

_UNSURE = "\ufffd"
"""The package has lost the bytes of inputs that are not UTF-8."""


def messages() -> list[Sample]:
    """List the requests and responses of all corpora, each wire once."""
    found: dict[bytes, Sample] = {}
    for path in fetched():
        for name, content in files_of_tests(path):
            for sample in samples(name, content):
                for each in (sample, *altered(sample)) if sample.wire else ():
                    found.setdefault(each.wire, each)
    return list(found.values())


def json_suite() -> Iterable[tuple[str, bytes]]:
    """Yield name and text of each input of JSONTestSuite. The name begins with what to do: `y`, `n` or `i` (either)."""
    with tarfile.open(fetched_json_suite()) as archive:
        file = archive.extractfile("package/data/parsing.js")
        script = file.read().decode() if file else ""
    for case in json.loads(script.partition("export default")[2].strip().rstrip(";")):
        if _UNSURE not in case["input"]:
            yield case["name"], case["input"].encode("utf-8", "surrogatepass")


def altered(sample: Sample) -> Iterator[Sample]:
    """Yield what a message is with line ends of HTTP, a Host, or an end: what it was to test is reached then."""
    if b"\r\n" not in sample.wire:
        sample = Sample(f"{sample.source} (altered: CRLF)", sample.wire.replace(b"\n", b"\r\n"))
        yield sample
    if not sample.is_response:
        with_host = _with_host(sample)
        if with_host is not None:
            yield with_host
    elif b"\r\n\r\n" not in sample.wire and sample.wire.endswith(b"\r\n"):
        yield Sample(f"{sample.source} (altered: head ended)", sample.wire + b"\r\n")


def _with_host(sample: Sample) -> Sample | None:
    head = sample.wire.partition(b"\r\n\r\n")[0]
    line, end, rest = sample.wire.partition(b"\r\n")
    if not end or not line.endswith(b" HTTP/1.1") or re.search(rb"(?i)\nhost", head):
        return None
    return Sample(f"{sample.source} (altered: Host added)", line + end + b"Host: example.com\r\n" + rest)
