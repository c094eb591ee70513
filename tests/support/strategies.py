"""Bytes drawn by hypothesis that are valid more often than not."""

from hypothesis import strategies as st


def mostly(good: list[bytes], odd: list[bytes], times: int = 20) -> st.SearchStrategy[bytes]:
    """Draw one of the good ones, and so many times more seldom an odd one."""
    return st.sampled_from(good * (times * len(odd) // len(good) + 1) + odd)


def damaged(draw: st.DrawFn, data: bytes, bits: list[bytes]) -> bytes:
    """Once in a while cut a little out of `data`, double a little, or put a bit in."""
    for _ in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
        at = draw(st.integers(0, len(data)))
        size = draw(st.integers(0, 4))
        insert = draw(st.sampled_from([b"", data[at : at + size] * 2, *bits]))
        data = data[:at] + insert + data[at + size :]
    return data
