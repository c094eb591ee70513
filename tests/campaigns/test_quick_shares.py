"""A small share of each campaign, so that it is known to run; the whole is `make prove`."""

import pytest
from prove.__main__ import campaigns
from prove.c03_injected_bugs import BUGS, Bug, planted

SHARES = {
    "C02": 0.01,
    "C07": 0.02,
    "C08": 0.004,
    "C09": 0.01,
    "C10": 0.01,
    "C11": 0.005,
    "C12": 0.002,
    "C13": 0.0005,
    "C14": 0.002,
    "C15": 0.01,
    "C16": 0.002,
    "C17": 0.005,
}
"""Of the full size. C01 has its own test (tests/race), C03 plants bugs and is too long. C04 to C06, and C17 but for
its smallest part, need a machine of their own and a load generator in Go; tests/rules/test_admission.py proves their
law in virtual time."""

SEED = 1


@pytest.mark.timeout(300)  # schemathesis alone takes 3 s of CPU, of which a busy machine may give it little
@pytest.mark.parametrize("campaign", SHARES)
def test_a_quick_share(campaign: str) -> None:
    findings = campaigns()[campaign].run(SEED, SHARES[campaign])
    assert findings.broken == {}, findings.examples
    assert findings.count > 0


def test_every_campaign_is_run_somewhere() -> None:
    assert set(campaigns()) == {*SHARES, "C01", "C03", "C04", "C05", "C06"}


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_c03_each_bug_can_be_planted(bug: Bug) -> None:
    """Else it would be found out only in the long run of `make prove`."""
    compile(planted(bug), bug.file, "exec")
    assert bug.campaign in campaigns()
