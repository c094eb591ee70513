"""Routes and upstreams as a whole: what a file says arrives, and what does not go together is rejected."""

from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hedgerow.settings import Settings, parse_target
from hedgerow.settings.effective_routing import effective_routing
from hedgerow.settings.routes import (
    MAX_ENDPOINTS,
    MAX_ROUTES,
    HeaderRule,
    HedgeBudget,
    HedgeRule,
    OutlierDetection,
    QuantileDelay,
    RouteRule,
    SuccessRule,
    TimeoutRule,
    UpstreamRule,
)
from hedgerow.settings.upstream_url import EMBEDDED_TARGET, Target
from support.routing_files import message_of, read_text, shown

EXAMPLES = Path(__file__).parents[3] / "deploy" / "examples"
UPSTREAM = "[upstreams.u]\nendpoints = ['http://h']\n"


def route(*lines: str, upstream: str = "u") -> str:
    return "\n".join(["[[routes]]", *lines, f'upstream = "{upstream}"', ""])


# -- what a file says, arrives


def test_the_example_of_the_issue_is_read(tmp_path: Path) -> None:
    text = """
        [upstreams.shop]
        endpoints = ["https://a.internal:8443/base", "https://b.internal:8443/base"]
        lb_policy = "least_request"
        outlier_detection = { consecutive_failures = 5, ejection_time = "30s", max_ejection_percent = 50 }

        [[routes]]
        path_prefix = "/v1/search"
        methods = ["GET", "POST"]
        idempotent = true
        upstream = "shop"
        timeout = { default = "800ms", max = "5s", headers = ["x-request-timeout-ms"] }
        deadline_header = "x-request-timeout-ms"
        success = { status = ["2xx"], json_schema = { type = "object", required = ["hits"] } }
        final   = { status = ["400-407", "409-428"] }
        hedge   = { after = { quantile = 0.95, min = "20ms", max = "1s" }, max_hedges = 1 }
    """
    (rule,), (upstream,) = read_text(tmp_path, text)
    assert upstream == UpstreamRule(
        name="shop",
        endpoints=(
            Target("https", "a.internal", 8443, "/base"),
            Target("https", "b.internal", 8443, "/base"),
        ),
        outlier_detection=OutlierDetection(
            consecutive_failures=5, ejection_time_s=30.0, max_ejection_percent=50
        ),
    )
    assert rule == RouteRule(
        name="/v1/search",
        path_prefix="/v1/search",
        methods=("GET", "POST"),
        idempotent=True,
        upstream="shop",
        timeout=TimeoutRule(default_ms=800, max_ms=5_000, headers=("x-request-timeout-ms",)),
        deadline_header="x-request-timeout-ms",
        success=SuccessRule(json_schema={"type": "object", "required": ["hits"]}),
        final=((400, 407), (409, 428)),
        hedge=HedgeRule(after=QuantileDelay(quantile=0.95, min_s=0.02, max_s=1.0)),
    )


def test_a_file_without_them_has_none(tmp_path: Path) -> None:
    assert read_text(tmp_path, "port = 1\n") == ((), ())


def test_the_example_of_the_default_route_is_the_default_route(tmp_path: Path) -> None:
    found = read_text(tmp_path, (EXAMPLES / "default-route.toml").read_text())
    target = parse_target("http://127.0.0.1:4000/api/work")
    as_file = Settings(routes=found.routes, upstreams=found.upstreams)
    assert effective_routing(as_file, target) == effective_routing(Settings(), target)


@pytest.mark.parametrize("file", sorted(EXAMPLES.glob("*.toml")), ids=lambda file: file.stem)
def test_the_examples_are_accepted(tmp_path: Path, file: Path) -> None:
    assert read_text(tmp_path, file.read_text()).routes


MILLISECONDS = st.integers(1, 86_400_000)
SECONDS = st.integers(0, 86_400_000_000).map(lambda microseconds: microseconds / 1_000_000)
TOKENS = st.from_regex(r"x-[a-z0-9!#$%&'*+.^_`|~-]{0,20}", fullmatch=True)
STATUSES = st.tuples(st.integers(200, 599), st.integers(200, 599)).map(lambda pair: (min(pair), max(pair)))
RANGES = st.lists(STATUSES, max_size=5).map(tuple)
SEGMENTS = st.from_regex(r"[A-Za-z0-9_~!$&'()*+,;=:@-][A-Za-z0-9._~-]{0,8}", fullmatch=True)
PATHS = st.lists(SEGMENTS, max_size=4).map(lambda parts: f"/{'/'.join(parts)}")
NAMES = st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True)
HEADER_VALUES = st.from_regex(r"[!-~]([\t -~]{0,40}[!-~])?", fullmatch=True)
JSON = st.recursive(
    st.none().map(lambda _: True) | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=9)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
DELAYS = SECONDS | st.builds(
    lambda quantile, pair: QuantileDelay(quantile=quantile, min_s=min(pair), max_s=max(pair)),
    st.floats(0, 1, exclude_min=True, exclude_max=True),
    st.tuples(SECONDS, SECONDS),
)


@st.composite
def hedges(draw: st.DrawFn) -> HedgeRule:
    modes: tuple[Literal["on", "observe", "off"], ...] = ("on", "observe", "off")
    mode = draw(st.sampled_from(modes))
    return HedgeRule(
        mode=mode,
        after=draw(DELAYS),
        max_hedges=draw(st.integers(0, 16)),
        retry_on_failure=draw(st.sampled_from(["wait", "immediate"])),
        hold=draw(st.sampled_from(["auto", "off"])),
        ceiling=draw(st.none() | st.integers(1, 1_000_000)),
        budget=draw(
            st.none()
            | st.builds(HedgeBudget, percent=st.floats(0, 1_600), min_per_second=st.floats(0, 1_000_000))
        ),
        sample=draw(st.floats(0, 1)) if mode == "observe" else 0.0,
    )


@st.composite
def routes(draw: st.DrawFn, number: int, upstreams: list[str]) -> RouteRule:
    path = f"/{number}{draw(PATHS)}".removesuffix("/")
    is_exact = draw(st.booleans())
    is_idempotent = draw(st.booleans())
    methods = ["GET", "HEAD", "OPTIONS", *(["POST", "PUT", "PATCH", "DELETE", "PROPFIND"] * is_idempotent)]
    timeouts = draw(st.tuples(MILLISECONDS, MILLISECONDS))
    strip = draw(st.none() | st.integers(1, path.count("/") + 1))
    headers = draw(st.dictionaries(TOKENS, HEADER_VALUES, max_size=3))
    return RouteRule(
        name=draw(st.just(path) | st.just(f"route {number} of [some]")),
        path=path if is_exact else None,
        path_prefix=None if is_exact else path,
        methods=tuple(draw(st.lists(st.sampled_from(methods), min_size=1, unique=True))),
        idempotent=is_idempotent,
        upstream=draw(st.sampled_from(upstreams)),
        strip_prefix=None if strip is None else "/".join(path.split("/")[:strip]) or "/",
        rewrite=None if is_exact and strip is not None else draw(st.none() | PATHS),
        preserve_host=draw(st.booleans()),
        headers=HeaderRule(set=headers, remove=tuple(draw(st.lists(TOKENS, max_size=3, unique=True)))),
        timeout=TimeoutRule(
            default_ms=min(timeouts),
            max_ms=max(timeouts),
            query=draw(st.none() | st.just("t.o")),
            headers=tuple(draw(st.lists(TOKENS, max_size=3, unique=True))),
        ),
        deadline_header=draw(st.none() | st.just("deadline")),
        success=SuccessRule(
            status=draw(RANGES.filter(bool)),
            json=draw(st.none() | st.sampled_from(["any", "object", "time"])),
            json_schema=draw(
                st.none() | st.dictionaries(st.text(max_size=5).map("x-{}".format), JSON, max_size=3)
            ),
        ),
        final=draw(RANGES),
        on_all_failed=draw(st.sampled_from(["problem", "last_response"])),
        hedge=draw(hedges()),
        max_request_body=draw(st.integers(0, 16 * 1024 * 1024)),
        max_response_body=draw(st.integers(1, 16 * 1024 * 1024)),
    )


@st.composite
def upstream_rules(draw: st.DrawFn, name: str) -> UpstreamRule:
    targets = [
        Target("http", "h", 80, "/"),
        Target("http", "a.b", 1, "/x"),
        Target("http", "::1", 65_535, "/"),
        EMBEDDED_TARGET,
    ]
    return UpstreamRule(
        name=name,
        endpoints=tuple(draw(st.lists(st.sampled_from(targets), min_size=1, unique=True))),
        lb_policy=draw(st.sampled_from(["least_request", "round_robin"])),
        outlier_detection=draw(
            st.none()
            | st.builds(
                OutlierDetection,
                consecutive_failures=st.integers(1, 1_000),
                ejection_time_s=st.integers(1_000, 3_600_000_000).map(lambda value: value / 1_000_000),
                max_ejection_percent=st.integers(0, 100),
            )
        ),
        losers=draw(st.sampled_from(["drain", "cancel"])),
        loser_grace_s=draw(SECONDS),
    )


@st.composite
def routings(draw: st.DrawFn) -> tuple[tuple[RouteRule, ...], tuple[UpstreamRule, ...]]:
    names = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True))
    upstreams = tuple(draw(upstream_rules(name)) for name in names)
    count = draw(st.integers(1, 3))
    return tuple(draw(routes(number, names)) for number in range(count)), upstreams


@pytest.mark.exhaustive
@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(routing=routings())
def test_what_a_file_says_arrives(tmp_path: Path, routing: Any) -> None:
    text = shown(*map(list, routing))
    assert tuple(read_text(tmp_path, text)) == routing


@pytest.mark.slow
@pytest.mark.timeout(300)  # 8 s of CPU, of which a busy machine may give it little
@settings(max_examples=300, suppress_health_check=list(HealthCheck))
@given(routing=routings())
def test_what_any_of_many_files_says_arrives(tmp_path: Path, routing: Any) -> None:
    text = shown(*map(list, routing))
    assert tuple(read_text(tmp_path, text)) == routing


# -- what does not go together


SMART = 'contract = "smart"'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[routes]]\nupstream = 'u'", "line 1: routes[0].path: it is missing; give it or `path_prefix`"),
        (
            route("path = '/a'", "path_prefix = '/a'"),
            "line 3: routes[0].path_prefix: '/a' is not accepted; give one of",
        ),
        ("[[routes]]\npath = '/a'", "line 1: routes[0].upstream: it is missing; give a name"),
        (route("path = '/a'"), "line 3: routes[0].upstream: 'u' is no upstream; there is none"),
        (UPSTREAM, "line 1: upstreams: 'u' is not accepted; give a route for it"),
        (
            UPSTREAM + route("path = '/a'", upstream="v"),
            "line 5: routes[0].upstream: 'v' is no upstream; they are u",
        ),
        (
            "[upstreams.shop]\nendpoints = ['http://h']\n" + route("path = '/a'", upstream="shpo"),
            "line 5: routes[0].upstream: 'shpo' is no upstream; did you mean shop?",
        ),
        (
            UPSTREAM + route("path = '/a'") + "admin-port = 1\n",
            "line 6: routes[0]: 'admin-port' is not accepted; give it above the first [table]",
        ),
        ("[upstreams.u]\n" + route("path = '/'"), "line 1: upstreams.u.endpoints: it is missing; give an array"),
        ("[upstreams.'a b']\n", "line 1: upstreams.'a b': 'a b' is not accepted; give a name"),
        ("upstreams = 1", "line 1: upstreams: 1 is not accepted; give tables"),
        ("upstreams.u = 1", "line 1: upstreams.u: 1 is not accepted; give a table like"),
        ("routes = {}", "line 1: routes: a table is not accepted; give an array of tables"),
        ("routes = [1]", "line 1: routes[0]: 1 is not accepted; give a table"),
        (
            "[upstreams.u]\nendpoints = ['http://h', 'https://h']\n",
            "line 2: upstreams.u.endpoints: an array is not accepted; give URLs that are all of http or all of https",
        ),
        (
            UPSTREAM + "tls = { server_name = 'h' }\n",
            "line 3: upstreams.u.tls: a table is not accepted; give it with endpoints of https only",
        ),
        (
            "[upstreams.u]\nendpoints = ['https://h']\ntls.key_file = '/x'\n",
            "line 3: upstreams.u.tls.cert_file: it is missing; give the certificate of `key_file`",
        ),
        (
            "[upstreams.u]\nendpoints = ['http://h', 'http://h/']\n",
            "line 2: upstreams.u.endpoints[1]: 'http://h/' is not accepted; give each once (it is the same as [0])",
        ),
        (
            f"[upstreams.u]\nendpoints = {[f'http://h{n}' for n in range(MAX_ENDPOINTS + 1)]}\n",
            f"line 2: upstreams.u.endpoints: an array is not accepted; give an array of 1 to {MAX_ENDPOINTS}",
        ),
        (
            UPSTREAM + route("path = '/a'", "methods = [", "'GET',", "'POST']"),
            "line 7: routes[0].methods[1]: 'POST' is not accepted; give idempotent = true with it",
        ),
        (
            UPSTREAM + route("path = '/a'") * 2,
            "line 7: routes[1].path: '/a' is not accepted; give another path or other",
        ),
        (
            UPSTREAM + route("path = '/a'", "methods = ['GET']") + route("path = '/a'", "methods = ['HEAD']"),
            "line 7: routes[1].name: '/a' is not accepted; give a name of its own: routes[0]",
        ),
        (
            UPSTREAM + route("path = '/a'", "name = 'x'") + route("path_prefix = '/a'", "name = 'x'"),
            "line 9: routes[1].name: 'x' is not accepted; give a name of its own: routes[0]",
        ),
        (
            UPSTREAM + route("path = '/a/b'", "strip_prefix = '/a/bc'"),
            "line 5: routes[0].strip_prefix: '/a/bc' is not accepted; give whole segments that '/a/b' begins with",
        ),
        (
            UPSTREAM + route("path_prefix = '/ab'", "strip_prefix = '/a'"),
            "line 5: routes[0].strip_prefix: '/a' is not accepted; give whole segments that '/ab' begins with",
        ),
        (
            UPSTREAM + route("path = '/a/b'", "strip_prefix = '/a'", "rewrite = '/c'"),
            "line 6: routes[0].rewrite: '/c' is not accepted; give one of `rewrite` and `strip_prefix` beside `path`",
        ),
        (
            UPSTREAM + route("path = '/a'", "timeout = { default = '2s', max = '1s' }"),
            "line 5: routes[0].timeout.default: '2s' is not accepted; give at most \"1s\", its `max`",
        ),
        (
            UPSTREAM + route("path = '/a'", "hedge = { sample = 0.5 }"),
            "line 5: routes[0].hedge.sample: 0.5 is not accepted; give 0, or mode = \"observe\" with it",
        ),
        (
            UPSTREAM + route("path = '/a'", "deadline_header = 'X-T'", "headers.set.x-t = '1'"),
            "line 5: routes[0].deadline_header: 'x-t' is not accepted; give a header that `headers` does not change",
        ),
        (
            UPSTREAM.replace("//h", "//h/?k=s3cr3t") + route("path = '/a'"),
            "line 5: routes[0].upstream: 'u' is not accepted; give an upstream without a query in its endpoints",
        ),
        (
            UPSTREAM.replace("//h", "//h/a/../b") + route("path = '/a'"),
            "line 2: upstreams.u.endpoints[0]: 'http://h/a/../b' is not accepted; give a URL like",
        ),
        (
            UPSTREAM + route("path = '/a'", SMART, "success = { json = 'any' }"),
            "line 6: routes[0].success: a table is not accepted; give no such key: contract = \"smart\" says it",
        ),
        (
            UPSTREAM + route("path = '/a'", SMART, "timeout.query = 't'"),
            "line 6: routes[0].timeout.query: 't' is not accepted; give no such key: contract = \"smart\" says it",
        ),
        (
            UPSTREAM + route("path_prefix = '/a'", SMART),
            "line 4: routes[0].path_prefix: '/a' is not accepted; give no such key: contract = \"smart\" says it",
        ),
        (
            UPSTREAM + route("path = '/a'", "success.json_schema = { type = 'objekt' }"),
            "line 5: routes[0].success.json_schema: a table is not accepted; give a JSON Schema",
        ),
        (
            UPSTREAM + route("path = '/a'", "success.json_schema = { '$ref' = 'http://s/' }"),
            "line 5: routes[0].success.json_schema: a table is not accepted; give a JSON Schema without references",
        ),
        (
            UPSTREAM + route(f"path = '/{'a' * 200}'"),
            "line 3: routes[0].name: it is missing; give one: the path has more than the 128 characters of a label",
        ),
    ],
)  # fmt: skip
def test_what_does_not_go_together_is_rejected_by_line_and_key(
    tmp_path: Path, text: str, message: str
) -> None:
    assert message_of(tmp_path, text).startswith(message)
    assert "s3cr3t" not in message_of(tmp_path, text)


def test_there_are_at_most_64_routes(tmp_path: Path) -> None:
    most = UPSTREAM + "".join(route(f"path = '/{number}'") for number in range(MAX_ROUTES))
    assert len(read_text(tmp_path, most).routes) == MAX_ROUTES == 64
    message = message_of(tmp_path, most + route("path = '/more'"))
    assert message.startswith(
        f"line {3 + 3 * MAX_ROUTES}: routes[64]: 65 is not accepted; give at most 64 routes"
    )


def test_other_methods_of_one_path_and_a_prefix_beside_it_are_other_routes(tmp_path: Path) -> None:
    text = UPSTREAM + route("path = '/a'") + route("path_prefix = '/a'", "name = 'below'")
    text += route("path = '/a'", "name = 'options'", "methods = ['OPTIONS']")
    assert [rule.name for rule in read_text(tmp_path, text).routes] == ["/a", "below", "options"]


def test_an_upstream_of_the_smart_contract_may_have_a_query(tmp_path: Path) -> None:
    text = UPSTREAM.replace("//h", "//h/?k=v") + route("path = '/a'", SMART)
    (rule,), _ = read_text(tmp_path, text)
    assert (rule.answers, rule.timeout.query, rule.success.json) == ("smart", "timeout", "time")
