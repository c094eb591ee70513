from hedgerow_simulator.wire_script import TEXT, complete_response, head, reason_phrase, with_connection_close


def test_a_head_ends_with_an_empty_line() -> None:
    assert head(204, "A: b") == b"HTTP/1.1 204 No Content\r\nA: b\r\n\r\n"


def test_a_whole_answer_has_the_length_of_its_body() -> None:
    assert complete_response(429, TEXT, b"no\n", "Retry-After: 1") == (
        b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\n"
        b"Content-Length: 3\r\nRetry-After: 1\r\n\r\nno\n"
    )


def test_an_unregistered_number_has_a_phrase_too() -> None:
    assert reason_phrase(799) == "Unregistered"


def test_connection_close_is_put_behind_the_status_line() -> None:
    assert with_connection_close(head(204)) == b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"
