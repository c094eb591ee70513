"""The schema of what `/status.json` has of each route."""

import msgspec

from hedgerow.status.health import HealthState
from hedgerow.status.route_schema import RequestsStatus, UpstreamStatus, VerdictStatus


def test_a_verdict_is_a_word_and_a_reason() -> None:
    encoded = msgspec.json.encode(VerdictStatus(HealthState.FAILING, "why"))
    assert msgspec.json.decode(encoded) == {"state": "failing", "reason": "why"}


def test_nothing_is_left_out() -> None:
    """A script that reads a field finds it, null or not."""
    encoded = msgspec.json.encode(RequestsStatus(0, 0.0, None, {}))
    assert msgspec.json.decode(encoded) == {"total": 0, "per_s": 0.0, "success_rate": None, "by_outcome": {}}
    assert all(field.required for field in msgspec.structs.fields(UpstreamStatus))
