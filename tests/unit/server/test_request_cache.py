from hedgerow.server.request_cache import MAX_CACHED_BYTES, MAX_CACHED_REQUESTS, ParsedRequestCache


def test_the_cache_is_bounded() -> None:
    cache = ParsedRequestCache()
    for number in range(10 * MAX_CACHED_REQUESTS):
        cache.put(b"%d" % number, (b"GET", b"/", b"", None, True, False))
        assert cache.get(b"%d" % number) is not None
    kept = sum(cache.get(b"%d" % number) is not None for number in range(10 * MAX_CACHED_REQUESTS))
    assert kept <= MAX_CACHED_REQUESTS


def test_a_request_is_found_by_all_its_bytes() -> None:
    cache = ParsedRequestCache()
    cache.put(b"abc", (b"HEAD", b"/p", b"q=1", None, True, False))
    assert cache.get(b"abc") == (b"HEAD", b"/p", b"q=1", None, True, False)
    assert cache.get(b"ab") is None
    assert cache.get(b"abcd") is None


def test_a_long_one_is_not_kept() -> None:
    cache = ParsedRequestCache()
    for size in (MAX_CACHED_BYTES, MAX_CACHED_BYTES + 1):
        cache.put(b"x" * size, (b"GET", b"/", b"", None, True, False))
        assert (cache.get(b"x" * size) is not None) == (size == MAX_CACHED_BYTES)
