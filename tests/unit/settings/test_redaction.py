import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.settings import InvalidSetting, parse_target
from hedgerow.settings.redaction import redacted_text, redacted_url

SECRET = "s3cr3t"


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("embedded", "embedded"),
        ("http://h/x", "http://h/x"),
        ("http://[::1]:80/x?k=v", "http://[::1]:80/x?k=***"),
        ("https://u:p@h/x?apikey=K", "https://***@h/x?apikey=***"),
        ("https://u@h", "https://***@h"),
        ("u:p@h/x", "***@h/x"),
        ("https://u:p/w@h/x", "https://***@h/x"),
        ("https://u:p?w@h/x", "https://***@h/x"),
        ("https://u:p#w@h/x", "https://***@h/x"),
        ("https://u:a@b@h/x", "https://***@h/x"),
        ("http://h/x?K", "http://h/x?***"),
        ("http://h/x?a=1&b=2;c=3", "http://h/x?a=***&b=***;c=***"),
        ("http://h/x?a=1=2", "http://h/x?a=***"),
        ("http://h?a=1?b=2", "http://h?a=***?b=***"),
        ("http://h/x;token=K/y", "http://h/x;token=***/y"),
        ("http://h/x#K", "http://h/x#***"),
        ("http://h/work?script=ok@10", "http://h/work?script=***"),
        ("http://h/a@b", "http://h/a@b"),
        ("h/x?apikey=K", "h/x?apikey=***"),
        ("http://h/x?k=a b", "http://h/x?k=***"),
        ("/etc/a=b.toml", "/etc/a=b.toml"),
        ("", ""),
    ],
)  # fmt: skip
def test_what_is_shown_of_a_url(url: str, shown: str) -> None:
    assert redacted_url(url) == shown
    assert redacted_url(shown) == shown, "what was redacted stays as it is"


def test_urls_in_a_text_are_redacted_and_the_rest_stays() -> None:
    text = "Max retries exceeded with url: /v1/traces?key=K (to http://u:p@h:1/), did you mean this? (Or '/that?a=1'?)"
    assert redacted_text(text) == (
        "Max retries exceeded with url: /v1/traces?key=*** (to http://***@h:1/), did you mean this? (Or '/that?a=***'?)"
    )


PIECES = st.lists(st.sampled_from([*"/?#:@[]&;=%, ", "h", "http://", "80", "é", "\udcff"]), max_size=6).map(
    "".join
)


@given(PIECES, PIECES, PIECES)
def test_a_password_is_never_shown_whatever_the_url_is_like(before: str, middle: str, after: str) -> None:
    url = f"https://{before}user:{middle}{SECRET}@h{after}"
    if not any(
        mark in before + middle for mark in "/?#"
    ):  # else a host comes before it, and it is in the path
        assert SECRET not in redacted_url(url)
        with pytest.raises(InvalidSetting) as caught:
            parse_target(url)
        assert SECRET not in str(caught.value)


@given(PIECES, PIECES)
def test_a_value_of_the_query_is_never_shown(before: str, after: str) -> None:
    url = f"http://h/{before}?key={SECRET}{after}"
    assert SECRET not in redacted_url(url)
    try:
        shown = parse_target(url).redacted_url
    except InvalidSetting as error:
        shown = str(error)
    assert SECRET not in shown


@pytest.mark.parametrize(
    "text", ["x" * 1_000_000, "@" * 1_000_000, "=" * 1_000_000, "?&" * 500_000, "://" * 300_000]
)
def test_a_long_text_is_redacted_in_time_in_proportion_to_its_length(text: str) -> None:
    redacted_text(text)
    redacted_text(f"http://h/{text}")
