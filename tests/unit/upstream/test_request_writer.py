from hedgerow.settings import parse_target
from hedgerow.upstream.request_writer import RequestWriter
from support.attempts import make_attempt, make_request
from support.routes import passed_on_request


def writer(url: str = "http://upstream.example/base/") -> RequestWriter:
    return RequestWriter(parse_target(url), "hedgerow/test", lambda: 10.5)


def test_the_request_of_the_assignment_has_nothing_of_the_clients() -> None:
    assert writer("http://upstream.example/work?key=1").serialize(make_attempt(1, 10.0, make_request())) == (
        b"GET /work?key=1 HTTP/1.1\r\nHost: upstream.example\r\nUser-Agent: hedgerow/test\r\n"
        b"Accept: application/json\r\nAccept-Encoding: identity\r\nX-Request-Id: a\r\nHedgerow-Attempt: 1\r\n\r\n"
    )


def test_a_request_that_is_passed_on_goes_below_the_base_path() -> None:
    assert writer().serialize(make_attempt(2, 10.0, passed_on_request(deadline_header=b"x-left"))) == (
        b"GET /base/a?b HTTP/1.1\r\nHost: upstream.example\r\nA: 1\r\nX-Forwarded-For: 192.0.2.1\r\nx-left: 500\r\n"
        b"X-Request-Id: id\r\nHedgerow-Attempt: 2\r\n\r\n"
    )


def test_a_body_goes_with_its_length() -> None:
    assert writer().serialize(make_attempt(2, 10.0, passed_on_request(b"POST", b"abc", host=b"shop"))) == (
        b"POST /base/a?b HTTP/1.1\r\nHost: shop\r\nA: 1\r\nX-Forwarded-For: 192.0.2.1\r\nContent-Length: 3\r\n"
        b"X-Request-Id: id\r\nHedgerow-Attempt: 2\r\n\r\nabc"
    )
    assert b"Content-Length: 0\r\n" in writer().serialize(make_attempt(2, 10.0, passed_on_request(b"PUT")))
    assert b"Content-Length" not in writer().serialize(make_attempt(2, 10.0, passed_on_request(b"DELETE")))
