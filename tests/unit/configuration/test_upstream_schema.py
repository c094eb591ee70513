import pytest

from hedgerow.configuration.file import Place
from hedgerow.configuration.upstream_schema import UPSTREAM
from hedgerow.settings import Target
from hedgerow.settings.errors import SettingsError
from hedgerow.settings.routes import OutlierDetection, TlsRule, UpstreamRule

PLACE = Place("h.toml", dict, ("upstreams", "u"))
ENDPOINTS = {"endpoints": ["https://h"]}


def read(**value: object) -> UpstreamRule:
    return UPSTREAM.read_with({"name": "u"}, ENDPOINTS | value, PLACE)


def test_u01_u02_u03_u05_what_an_upstream_may_say() -> None:
    assert read() == UpstreamRule(name="u", endpoints=(Target("https", "h", 443, "/"),))
    found = read(
        lb_policy="round_robin",
        tls={"server_name": "shop", "min_version": "1.3"},
        outlier_detection={"consecutive_failures": 3, "ejection_time": "1m", "max_ejection_percent": 0},
        losers="cancel",
        loser_grace="0s",
    )
    assert found.lb_policy == "round_robin"
    assert found.tls == TlsRule(server_name="shop", min_version="1.3")
    assert found.outlier_detection == OutlierDetection(
        consecutive_failures=3, ejection_time_s=60.0, max_ejection_percent=0
    )
    assert (found.losers, found.loser_grace_s) == ("cancel", 0.0)


def test_endpoints_may_never_be_left_out() -> None:
    assert read(outlier_detection="off").outlier_detection is None


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"endpoints": []}, "endpoints: an array is not accepted"),
        ({"outlier_detection": "on"}, "outlier_detection: 'on' is not accepted"),
        ({"outlier_detection": False}, "outlier_detection: false is not accepted"),
        (
            {"outlier_detection": {"ejection_time": "0ms"}},
            "outlier_detection.ejection_time: '0ms' is not accepted",
        ),
        ({"tls": {"key_file": "/k"}}, "tls.cert_file: it is missing"),
        ({"tls": {"server_name": "a b"}}, "tls.server_name: 'a b' is not accepted"),
        ({"tls": {"min_version": 1.2}}, "tls.min_version: 1.2 is not accepted"),
    ],
)
def test_what_cannot_be_used_is_rejected_by_its_key(value: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read(**value)
    assert str(caught.value).startswith(f"'h.toml': upstreams.u.{message}")
