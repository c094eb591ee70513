"""A small share of each campaign, so that it is known to run; the whole is `make verify`."""

import pytest

from verification import ROOT
from verification.campaigns import all_campaigns
from verification.campaigns.c03_injected_bugs import injected
from verification.campaigns.c21_pid_1 import can_be_pid_1
from verification.injected_bugs import BUGS
from verification.injected_bugs.bug import Bug

SHARES = {
    "C02": 0.005,
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
    "C19": 0.05,
    "C20": 0.01,
    "C21": 0.03,
}
"""Of the full size. C01 has its own test (tests/unit/core), C03 injects bugs and is too long. C04 to C06, C18, C22, and
C17 but for its smallest part, need a machine of their own; the invariants of most are tested in virtual time, by
tests/unit/admission/test_rate_invariants.py and tests/unit/core/test_hedge_limit_model.py."""

SEED = 1


@pytest.mark.slow
@pytest.mark.timeout(300)  # schemathesis alone takes 3 s of CPU, of which a busy machine may give it little
@pytest.mark.parametrize("campaign", SHARES)
def test_a_quick_share(campaign: str) -> None:
    if campaign == "C21" and not can_be_pid_1():
        pytest.skip("only root gives a process a namespace of its own")
    findings = all_campaigns()[campaign].run(SEED, SHARES[campaign])
    assert findings.broken == {}, findings.examples
    assert findings.count > 0


def test_every_campaign_is_run_somewhere() -> None:
    assert set(all_campaigns()) == {*SHARES, "C01", "C03", "C04", "C05", "C06", "C18", "C22"}


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_c03_each_bug_can_be_injected(bug: Bug) -> None:
    """Else it would be found out only in the long run of `make verify`."""
    compile(injected(bug), bug.file, "exec")
    if bug.is_found_by_tests:
        assert (ROOT / bug.found_by.partition("::")[0]).is_file()
    else:
        assert bug.found_by in all_campaigns()


@pytest.mark.parametrize(
    "fault", [*(f"A{number} " for number in range(1, 9)), *(f"B{number} " for number in range(1, 6))]
)
def test_c03_each_fault_of_admission_and_of_one_client_against_others_is_injected(fault: str) -> None:
    assert any(bug.name.startswith(fault) for bug in BUGS)
