from hedgerow.core.request_head import RequestHead
from support.routes import head_of


def test_lines_are_noted_with_their_places() -> None:
    head = head_of((b"A", b"1"), (b"HOST", b"\tx "), (b"content_length", b"5"), (b"X-Host", b"y"))
    assert [(name, value, head.lines[begin:end]) for name, value, begin, end in head.noted] == [
        (b"host", b"x", b"HOST: \tx \r\n"), (b"content_length", b"5", b"content_length: 5\r\n"),
    ]  # fmt: skip


def test_a_head_without_lines_has_nothing_noted() -> None:
    assert RequestHead(b"\r\n").noted == []


def test_what_only_looks_like_a_line_is_not_noted() -> None:
    for line in (b"X: host: y", b"Hosts: y", b"X-Host: y", b"Ho: y"):
        assert RequestHead(b"\r\n" + line + b"\r\n").noted == []
