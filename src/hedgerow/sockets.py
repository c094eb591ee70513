"""What the event loop does not tell of a socket, or does too late."""

import socket
from asyncio import Transport
from struct import Struct

_LAST_DATA_RECV = Struct("@52xI")
"""`tcpi_last_data_recv` of Linux's `struct tcp_info`: milliseconds since data last came (linux/tcp.h, since 2.4)."""
_TCP_INFO = getattr(socket, "TCP_INFO", None)


def send_now(sock: socket.socket, transport: Transport, data: bytes) -> None:
    """Hand `data` to the kernel here and now; what it does not take goes through the transport, as usual.

    uvloop keeps what is written until the turn of the loop ends, and a turn with 2 000 ready sockets lasts
    100 ms: an answer that is due would be late. Errors are the transport's to find and to report. Only for
    transports that send bytes as they are: not for TLS.
    """
    if transport.get_write_buffer_size() == 0:
        try:
            sent = sock.send(data)
        except OSError:  # full, or gone: the transport meets the same
            sent = 0
        if sent == len(data):
            return
        data = data[sent:]
    transport.write(data)


def unread_for_s(sock: socket.socket) -> float:
    """Tell how long ago the kernel last received data for a TCP socket; 0 where it does not say. 1.4 µs.

    The kernel's own clock ticks each 4 ms or so; the error is to the safe side or below one tick.
    """
    if _TCP_INFO is None or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return 0.0
    try:
        info = sock.getsockopt(socket.IPPROTO_TCP, _TCP_INFO, _LAST_DATA_RECV.size)
    except OSError:
        return 0.0
    return _LAST_DATA_RECV.unpack(info)[0] / 1000 if len(info) == _LAST_DATA_RECV.size else 0.0
