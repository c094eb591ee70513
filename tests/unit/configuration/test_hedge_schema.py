import pytest

from hedgerow.configuration.file import Place
from hedgerow.configuration.hedge_schema import HEDGE
from hedgerow.settings.errors import SettingsError
from hedgerow.settings.routes import HedgeBudget, HedgeRule, QuantileDelay

PLACE = Place("h.toml", dict, ("hedge",))


def test_the_hedge_delay_is_fixed_or_follows_a_quantile() -> None:
    assert HEDGE.read({}, PLACE) == HedgeRule()
    assert HEDGE.read({"after": "20ms"}, PLACE).after == 0.02
    after = HEDGE.read({"after": {"quantile": 0.95, "min": "0ms", "max": "1s"}}, PLACE).after
    assert after == QuantileDelay(quantile=0.95, min_s=0.0, max_s=1.0)
    equal = HEDGE.read({"after": {"quantile": 0.5, "min": "1s", "max": "1s"}}, PLACE).after
    assert equal == QuantileDelay(quantile=0.5, min_s=1.0, max_s=1.0)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (
            {"after": {"quantile": 0.95, "min": "2s", "max": "1s"}},
            "hedge.after.min: '2s' is not accepted",
        ),
        ({"after": {"quantile": 0.95, "max": "1s"}}, "hedge.after.min: it is missing"),
        ({"after": {"min": "1s", "max": "1s"}}, "hedge.after.quantile: it is missing"),
        ({"after": 300}, "hedge.after: 300 is not accepted; give a duration"),
        ({"sample": 0.1}, "hedge.sample: 0.1 is not accepted; give 0, or mode"),
        ({"sample": 0.1, "mode": "off"}, "hedge.sample: 0.1 is not accepted; give 0, or mode"),
        ({"budget": {}}, "hedge.budget.percent: it is missing"),
        ({"ceiling": 0}, "hedge.ceiling: 0 is not accepted"),
    ],
)
def test_what_does_not_go_together_is_rejected(value: object, message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        HEDGE.read(value, PLACE)
    assert str(caught.value).startswith(f"'h.toml': {message}")


def test_h03_hold_ceiling_and_budget() -> None:
    rule = HEDGE.read({"hold": "off", "ceiling": 7, "budget": {"percent": 10}}, PLACE)
    assert (rule.hold, rule.ceiling, rule.budget) == ("off", 7, HedgeBudget(percent=10.0))
    assert HEDGE.read({}, PLACE).hold == "auto"
    observed = HEDGE.read({"mode": "observe", "sample": 0.5}, PLACE)
    assert (observed.mode, observed.sample) == ("observe", 0.5)
