import errno
import socket

import pytest

from hedgerow_simulator.listening import listen, work_url


@pytest.mark.parametrize("count", [1, 3])
def test_all_sockets_listen_on_one_free_port(count: int) -> None:
    sockets = listen("127.0.0.1", 0, count=count)
    assert len(sockets) == count
    assert len({each.getsockname() for each in sockets}) == 1
    socket.create_connection(sockets[0].getsockname()).close()
    for each in sockets:
        each.close()


@pytest.mark.parametrize("first", [1, 2])
@pytest.mark.parametrize("second", [1, 2])
def test_a_taken_port_is_refused_even_if_both_would_share(first: int, second: int) -> None:
    sockets = listen("127.0.0.1", 0, count=first)
    port = sockets[0].getsockname()[1]
    with pytest.raises(OSError, match="in use") as refused:
        listen("127.0.0.1", port, count=second)
    assert refused.value.errno == errno.EADDRINUSE
    for each in sockets:
        each.close()


def test_the_url_of_ipv6_has_brackets() -> None:
    (listener,) = listen("::1", 0, count=1)
    assert work_url(listener) == f"http://[::1]:{listener.getsockname()[1]}/api/work"
    listener.close()
