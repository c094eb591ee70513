"""Event handlers by descriptor: the same as two dicts, whatever happens in which order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedgerow.eventloop.event_handler import EventHandler
from hedgerow.eventloop.source_table import SourceTable

STEPS = st.lists(st.tuples(st.sampled_from(["set", "remove", "poll"]), st.integers(-1, 12)), max_size=60)


class Source(EventHandler):
    """A handler."""


@given(STEPS)
def test_what_is_added_handles_what_is_polled_afterwards(steps: list[tuple[str, int]]) -> None:
    table, polled, added = SourceTable(), dict[int, Source](), dict[int, Source]()
    for step, fd in steps:
        if step == "poll":
            table.polled()
            polled |= added
            added.clear()
        elif step == "remove" or fd == -1:  # that of a closed socket
            if fd in added or fd in polled:
                table.remove(fd)
                (added if fd in added else polled).pop(fd)
            else:
                with pytest.raises(KeyError):
                    table.remove(fd)
        elif fd in added:
            added[fd] = Source()
            table.replace(fd, added[fd])
        elif fd in polled:
            polled[fd] = Source()
            table.replace(fd, polled[fd])
        else:
            added[fd] = Source()
            table.add(fd, added[fd])
        assert len(table) == len(polled) + len(added)
        assert [table.get(each) for each in range(14)] == [polled.get(each) for each in range(14)]
