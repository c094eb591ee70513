"""Every key of `[upstreams.NAME]`: its kind, its meaning, its place in the settings (`route_schema`)."""

from typing import Final

from hedgerow.configuration.file import Place
from hedgerow.configuration.route_values import ENDPOINTS, FILE, HOST_NAME
from hedgerow.configuration.table import Key, OrWord, Table
from hedgerow.configuration.units import Duration
from hedgerow.configuration.values import Whole, Word
from hedgerow.settings.routes import OutlierDetection, TlsRule, UpstreamRule


def _check_tls(rule: TlsRule, place: Place) -> None:
    if rule.key_file is not None and rule.cert_file is None:
        raise place.at("cert_file").missing("the certificate of `key_file`")


TLS: Final = Table(
    TlsRule,
    (
        Key(
            "ca_file",
            FILE,
            "authorities to trust, as PEM",
            default="those of the system",
            example='"/etc/ca.pem"',
        ),
        Key("cert_file", FILE, "the client certificate, as PEM", default="none", example='"/etc/client.pem"'),
        Key(
            "key_file",
            FILE,
            "its key, as PEM, not encrypted",
            default="in `cert_file`",
            example='"/etc/client.key"',
        ),
        Key(
            "server_name",
            HOST_NAME,
            "the name for SNI and in the certificate",
            default="the endpoint's host",
            example='"shop.internal"',
        ),
        Key("min_version", Word(("1.2", "1.3")), "the oldest version of TLS"),
    ),
    'a table like { ca_file = "/etc/ca.pem" }',
    _check_tls,
)

OUTLIER_DETECTION: Final = Table(
    OutlierDetection,
    (
        Key("consecutive_failures", Whole(1, 1_000), "failures in a row"),
        Key(
            "ejection_time",
            Duration(1, 3_600_000),
            "for how long; doubled each time",
            field="ejection_time_s",
        ),
        Key("max_ejection_percent", Whole(0, 100), "of the endpoints, at the same time"),
    ),
    "a table like { consecutive_failures = 5 }",
)

UPSTREAM: Final = Table(
    UpstreamRule,
    (
        Key(
            "endpoints",
            ENDPOINTS,
            "the servers; a path is put before each request's",
            example='["https://a.internal:8443/base", "https://b.internal:8443/base"]',
        ),
        Key(
            "lb_policy",
            Word(("least_request", "round_robin")),
            "the less busy of two drawn at random, or the next in turn",
        ),
        Key("tls", TLS, "for https endpoints"),
        Key(
            "outlier_detection",
            OrWord("off", None, OUTLIER_DETECTION),
            'when an endpoint is left out for a while; "off": never',
        ),
        Key(
            "losers",
            Word(("drain", "cancel")),
            "read losers to their end, or close their connections",
        ),
        Key("loser_grace", Duration(0), "how long a loser may run on", field="loser_grace_s"),
    ),
    'a table like { endpoints = ["http://127.0.0.1:9000"] }',
)
