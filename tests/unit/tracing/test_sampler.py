"""Which requests are recorded."""

import pytest

from hedgerow.core.trace_context import TraceContext, parse_trace_context
from hedgerow.tracing.sampler import Sampler
from support.attempts import make_request


def clients_context(flags: str) -> TraceContext:
    context = parse_trace_context(f"00-{'a' * 32}-{'b' * 16}-{flags}".encode(), b"")
    assert context is not None
    return context


@pytest.mark.parametrize(
    ("flags", "chance", "is_recorded"),
    [
        (None, 0.0, True),
        (None, 0.249, True),
        (None, 0.25, False),
        ("00", 0.0, False),
        ("02", 0.0, False),
        ("01", 0.9, True),
        ("03", 0.9, True),
    ],
)
def test_the_client_decides_and_else_chance(flags: str | None, chance: float, is_recorded: bool) -> None:
    recorded = clients_context("ff")
    context = clients_context(flags) if flags is not None else None
    sampler = Sampler(0.25, lambda request: recorded, lambda: chance)
    assert sampler.start(make_request(trace=context)) is (recorded if is_recorded else context)
