"""Event handlers by descriptor: the same as a dict, whatever happens in which order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.source_table import SourceTable

STEPS = st.lists(st.tuples(st.booleans(), st.integers(0, 12)), max_size=60)


class Source(EventHandler):
    """A handler."""


@given(STEPS)
def test_it_does_what_a_dict_does(steps: list[tuple[bool, int]]) -> None:
    table, known = SourceTable(), dict[int, Source]()
    for is_set, fd in steps:
        if is_set:
            table.set(fd, known.setdefault(fd, Source()))
        elif fd in known:
            table.remove(fd)
            del known[fd]
        else:
            with pytest.raises(KeyError):
                table.remove(fd)
        assert len(table) == len(known)
        assert [table.get(each) for each in range(14)] == [known.get(each) for each in range(14)]


def test_a_handler_takes_the_place_of_another() -> None:
    table, first, second = SourceTable(), Source(), Source()
    table.set(7, first)
    table.set(7, second)
    assert (table.get(7), len(table)) == (second, 1)
