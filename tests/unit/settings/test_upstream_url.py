import pytest

from hedgerow.settings import InvalidSetting, Target, parse_target


@pytest.mark.parametrize(
    ("url", "target", "authority"),
    [
        ("http://127.0.0.1:8090/api/work", Target("http", "127.0.0.1", 8090, "/api/work"), "127.0.0.1:8090"),
        ("https://example.org", Target("https", "example.org", 443, "/"), "example.org"),
        ("https://example.org.", Target("https", "example.org.", 443, "/"), "example.org."),
        ("http://[::1]:81/x?a=b&c", Target("http", "::1", 81, "/x?a=b&c"), "[::1]:81"),
        ("http://[::ffff:1.2.3.4]", Target("http", "::ffff:1.2.3.4", 80, "/"), "[::ffff:1.2.3.4]"),
        ("HTTP://EXAMPLE.org:80/", Target("http", "example.org", 80, "/"), "example.org"),
        ("http://example.org:/", Target("http", "example.org", 80, "/"), "example.org"),
        ("http://example.org?q", Target("http", "example.org", 80, "/?q"), "example.org"),
        ("http://xn--bcher-kva.example/", Target("http", "xn--bcher-kva.example", 80, "/"), "xn--bcher-kva.example"),
        ("http://my_service:1/", Target("http", "my_service", 1, "/"), "my_service:1"),
        ("http://x/work?script=hang,error@50", Target("http", "x", 80, "/work?script=hang,error@50"), "x"),
        ("http://x/?a=b?c/d:e", Target("http", "x", 80, "/?a=b?c/d:e"), "x"),
        ("http://x/a,b;c=d/@e/~f/(g)", Target("http", "x", 80, "/a,b;c=d/@e/~f/(g)"), "x"),
        ("http://x/%C3%BC?filter[a]=1", Target("http", "x", 80, "/%C3%BC?filter[a]=1"), "x"),
    ],
)  # fmt: skip
def test_an_upstream_url_is_taken_apart(url: str, target: Target, authority: str) -> None:
    assert parse_target(url) == target
    assert parse_target(url).authority == authority


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "no http"), ("embedde", "no http"), ("ftp://x/", "no http"), ("//x/y", "no http"),
        ("http:/x", "no http"), ("http:x", "no http"), ("x/y", "no http"), ("unix:/run/x.sock", "no http"),
        (" http://x/", "no http"), ("http:\\\\x\\y", "no http"),
        ("http://", "host"), ("http:///x", "host"), ("http://:80/", "host"), ("http://?x", "host"),
        ("http://a/x,http://b/x", "several"), ("http://a/x;https://b/x", "several"), ("http://a,http://b", "several"),
        ("http://a/x,//b/x", "several"), ("http://a/x, http://b/x", "several"), ("http://a/?k=v,HTTP://b/", "several"),
        ("http://a/x|http://b/x", "several"),
        ("http://a/x http://b/x", "percent"), ("http://a,b/x", "host"), ("http://a:1,b:2/x", "port"),
        ("http://user:word@x/", "user"), ("http://user@x/", "user"), ("http://@x/", "user"), ("http://:@x/", "user"),
        ("http://u:p@[::1]:80/", "user"),
        ("http://x/#part", "fragment"), ("http://x#part", "fragment"), ("http://x/#", "fragment"),
        ("http://x/a b", "percent"), ("http://x /", "percent"), ("http://x/ ", "percent"), ("http://x/\t", "percent"),
        ("http://x/a\r\nHost: y", "percent"), ("http://x\n/", "percent"), ("http://x/\x00", "percent"),
        ("http://x/\x7f", "percent"), ("http://x/ü", "percent"), ("http://bücher.example/", "percent"),
        ("http://x/\udcff", "percent"), ("http://x\u3002y/", "percent"), ("http://x/%zz", "percent"),
        ("http://x/%", "percent"), ("http://x/a\\b", "percent"), ("http://x/<a>", "percent"), ('http://x/"', "percent"),
        ("http://x:99999/", "port"), ("http://x:65536/", "port"), ("http://x:0/", "port"), ("http://x:000/", "port"),
        ("http://x:y/", "port"), ("http://x:-1/", "port"), ("http://x:+80/", "port"), ("http://x:8_0/", "port"),
        ("http://x:80:80/", "port"), ("http://x:" + "9" * 1_000 + "/", "port"), ("http://[::1]:65536/", "port"),
        ("http://[::1/", "no http"), ("http://::1/", "host"), ("http://[]/", "host"), ("http://[1.2.3.4]/", "host"),
        ("http://[v1.x]/", "host"), ("http://[::1]x/", "no http"), ("http://[:::]/", "host"),
        ("http://[fe80::1%eth0]/", "percent"), ("http://[fe80::1%25eth0]/", "zone"), ("http://a%2eb/", "zone"),
        ("http://" + "a" * 64 + "/", "host"), ("http://" + "a." * 130 + "b/", "host"), ("http://a..b/", "host"),
        ("http://.a/", "host"), ("http://../", "host"), ("http://-a/", "host"), ("http://a-/", "host"),
        ("http://a!b/", "host"), ("http://127.1/", "host"), ("http://256.1.1.1/", "host"), ("http://1/", "host"),
        ("http://0x7f.1/", "host"), ("http://0x7f000001/", "host"), ("http://a.0x1/", "host"),
        ("http://1.2.3.04/", "host"),
        ("http://x/" + "a" * 2_048, "more than"),
    ],
)  # fmt: skip
def test_a_bad_upstream_url_is_one_line_that_says_why(url: str, why: str) -> None:
    with pytest.raises(InvalidSetting, match=r"^HEDGEROW_UPSTREAM: ") as caught:
        parse_target(url, "HEDGEROW_UPSTREAM")
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert len(message) < 400
    assert why in message.rpartition("(")[2]


def test_the_redacted_url_of_a_target_has_no_values_of_the_query() -> None:
    assert parse_target("https://h:1/x?apikey=K&K").redacted_url == "https://h:1/x?apikey=***&***"
