import pytest

from hedgerow.configuration.file import Place
from hedgerow.configuration.route_values import (
    ENDPOINTS,
    HEADER_NAME,
    MAX_HEADER_VALUE,
    METHODS,
    OWN_HEADERS,
    PATH,
    PREFIX,
    PROXIED_METHODS,
    HeaderValues,
)
from hedgerow.core.request import Request
from hedgerow.server.request_parser import RequestParser
from hedgerow.server.whole_head import WholeHeads
from hedgerow.settings import ClientLimits, Target
from hedgerow.settings.errors import InvalidSetting
from hedgerow.settings.upstream_url import EMBEDDED_TARGET

PLACE = Place("h.toml", dict, ("k",))


def test_headers_are_in_lower_case_from_here_on() -> None:
    assert HEADER_NAME.read("X-Request-Timeout-MS", PLACE) == "x-request-timeout-ms"
    assert HeaderValues().read({"X-A": "v", "x-b": "a b\tc"}, PLACE) == {"x-a": "v", "x-b": "a b\tc"}


@pytest.mark.parametrize(
    "name", ["Connection", "Transfer-Encoding", "TE", "content-length", "Host", "x-request-id"]
)
def test_headers_of_one_connection_or_of_the_gateway_are_rejected(name: str) -> None:
    assert name.lower() in OWN_HEADERS
    for read in (lambda: HEADER_NAME.read(name, PLACE), lambda: HeaderValues().read({name: "v"}, PLACE)):
        with pytest.raises(InvalidSetting, match="it belongs to one connection, or the gateway makes it"):
            read()


@pytest.mark.parametrize("name", ["", "a b", "a:", "é", "a\r\nb", "(a)", "x" * 65])
def test_what_is_no_name_of_a_header_is_rejected(name: str) -> None:
    with pytest.raises(InvalidSetting, match="give the name of a header"):
        HEADER_NAME.read(name, PLACE)


@pytest.mark.parametrize(
    "value", ["", " s3cr3t", "s3cr3t ", "s3cr3t\r\nx: y", "s3cr3té", 1, None, ["s3cr3t"]]
)
def test_what_is_no_value_of_a_header_is_rejected_and_not_shown(value: object) -> None:
    with pytest.raises(InvalidSetting) as caught:
        HeaderValues().read({"authorization": value}, PLACE)
    assert str(caught.value).startswith("'h.toml': k.authorization: '***' is not accepted")


def test_a_value_of_a_header_has_a_bound() -> None:
    longest = "v" * MAX_HEADER_VALUE
    assert HeaderValues().read({"a": longest}, PLACE) == {"a": longest}
    with pytest.raises(InvalidSetting):
        HeaderValues().read({"a": f"{longest}v"}, PLACE)


def test_two_spellings_of_a_header_are_one() -> None:
    with pytest.raises(InvalidSetting, match="each header once"):
        HeaderValues().read({"x-a": "1", "X-A": "2"}, PLACE)


def test_an_endpoint_is_a_url_or_the_simulator() -> None:
    found = ENDPOINTS.read(["https://a.internal:8443/base", "embedded", "http://[::1]"], PLACE)
    assert found == (
        Target("https", "a.internal", 8443, "/base"),
        EMBEDDED_TARGET,
        Target("http", "::1", 80, "/"),
    )
    assert ENDPOINTS.show(found) == '["https://a.internal:8443/base", "embedded", "http://[::1]/"]'


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://user:s3cr3t@h", "'http://***@h'"),
        ("http://h//b?key=s3cr3t", "'http://h//b?key=***'"),
        ("http://h/%2fb", "'http://h/%2fb'"),
        ("h:80", "'h:80'"),
        (1, "1"),
    ],
)
def test_what_is_no_endpoint_is_rejected_without_its_secrets(url: object, shown: str) -> None:
    with pytest.raises(InvalidSetting) as caught:
        ENDPOINTS.read([url], PLACE)
    assert str(caught.value).startswith(f"'h.toml': k[0]: {shown} is not accepted; give ")


def test_methods_are_in_upper_case_and_go_through_a_gateway() -> None:
    assert METHODS.read(["GET", "POST", "M-SEARCH"], PLACE) == ("GET", "POST", "M-SEARCH")
    for method in ("get", "", "GET ", "CONNECT", "TRACE", "É", "FROB", "LABEL", "PRI", "SOURCE", "PLAY"):
        with pytest.raises(InvalidSetting, match="give a method in upper case"):
            METHODS.read([method], PLACE)


@pytest.mark.parametrize("method", sorted(PROXIED_METHODS))
def test_a_method_that_a_route_may_have_is_one_that_the_parser_of_requests_takes(method: str) -> None:
    requests: list[Request] = []
    whole_heads = WholeHeads(ClientLimits(), lambda: b"1", passed_on=False)
    parser = RequestParser(ClientLimits(), requests.append, whole_heads)
    parser.feed(f"{method} / HTTP/1.1\r\nHost: x\r\n\r\n".encode(), 0.0)
    assert [request.method for request in requests] == [method.encode()]


def test_a_path_is_one_that_a_request_may_have_and_a_prefix_ends_with_a_segment() -> None:
    assert PATH.read("/v1/a/", PLACE) == "/v1/a/"
    assert PREFIX.read("/", PLACE) == "/"
    for path in ("/v1/", "/a/../b", "v1", "/a//b"):
        with pytest.raises(InvalidSetting):
            PREFIX.read(path, PLACE)
    with pytest.raises(InvalidSetting, match="percent-encode all characters"):
        PATH.read("/é", PLACE)
