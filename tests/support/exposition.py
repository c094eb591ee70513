"""What `/metrics` says of a snapshot, for tests of single values."""

from collections import defaultdict

from prometheus_client.parser import text_string_to_metric_families

from hedgerow.telemetry.prometheus import render
from hedgerow.telemetry.snapshot import Snapshot

UNSHOWN = {"", "/api/smart", "default"}


def samples(snapshot: Snapshot) -> dict[str, float]:
    """Return all samples by name and labels, without the labels of the assignment's route and of no route."""
    found: defaultdict[str, float] = defaultdict(float)
    for family in text_string_to_metric_families(render(snapshot).decode()):
        for sample in family.samples:
            shown = [value for _, value in sorted(sample.labels.items()) if value not in UNSHOWN]
            found[" ".join((sample.name, *shown))] += sample.value
    return dict(found)


def nonzero(found: dict[str, float], name: str) -> dict[str, float]:
    """Return the samples of one metric that are not 0, by their labels."""
    named = {
        key.removeprefix(name + " "): value for key, value in found.items() if key.startswith(name + " ")
    }
    return {label: value for label, value in named.items() if value}
