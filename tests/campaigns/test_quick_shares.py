"""A small share of each campaign, so that it is known to run; the whole is `make prove`."""

import pytest
from prove.__main__ import campaigns

SHARES = {
    "C08": 0.004,
    "C16": 0.004,
}
"""Of the full size. C01 has its own test (tests/race), C03 plants bugs and is too long."""

SEED = 1


@pytest.mark.parametrize("campaign", SHARES)
def test_a_quick_share(campaign: str) -> None:
    findings = campaigns()[campaign].run(SEED, SHARES[campaign])
    assert findings.broken == {}, findings.examples
    assert findings.count > 0


def test_every_campaign_is_run_somewhere() -> None:
    assert set(campaigns()) == {*SHARES, "C01", "C03"}
