"""Every limit, with its unit and its reason, in one place."""

from dataclasses import dataclass
from math import ceil

from hedgerow.settings.errors import InvalidSetting


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """Limits of one client."""

    max_target_bytes: int = 8 * 1024
    """A request target; RFC 9112 section 3 asks for 8 000 at least. More: 414."""
    max_header_bytes: int = 32 * 1024
    """All header lines of a request, as nginx; HAProxy takes 15 KiB, Envoy 60. More: 431."""
    max_headers: int = 100
    """Header lines of one request, as Apache: each costs time. More: 431."""
    head_timeout_s: float = 5.0
    """From the first byte of a request head to its last: a slow head (Slowloris) holds a descriptor."""
    max_body_memory: int = 64 * 1024 * 1024
    """Bodies of requests that are not yet answered, of a worker: a thousand of 64 KiB. More: 503.
    An attempt whose upstream has not read it yet has a copy of its own."""
    body_overhead_bytes: int = 8 * 1024
    """Chunk framing and trailers of a body may be this much and 8 times its content: a chunk of one byte has 6."""
    idle_timeout_s: float = 75.0
    """A connection without a request; load balancers drop theirs after 60 s."""
    crowded_idle_timeout_s: float = 2.0
    """The same while requests wait for descriptors that idle clients have; nginx closes some of those at once."""
    write_timeout_s: float = 5.0
    """How long a client that reads nothing of its response keeps it in memory. The kernel reports room for a third of
    its buffer, so 1 MiB is gone within 4 minutes."""
    write_buffer_bytes: int = 64 * 1024
    """Responses that wait for a client to read; beyond, no further request of it is begun."""
    send_buffer_bytes: int = 64 * 1024
    """Responses that the kernel holds for a client; by itself it would take up to 4 MB (C10)."""
    max_pipelined_bytes: int = 64 * 1024
    """Pipelined bytes kept while a request is answered, 128 more for each piece; beyond, the socket is not read."""
    parse_chunk_bytes: int = 2 * 1024
    """Bytes parsed at a time, so that one read holds at most 80 pipelined requests, not 10 000."""
    backpressure_s: float = 0.075
    """After a 503 the next request of the connection is held for this time: 600 clients that retried at once were
    rejected 48 000 times a second."""
    backpressure_share: float = 1 / 8
    """But no longer than until this part of its own timeout, which counts from its arrival, is over: half of the time
    for which it may wait (B11)."""
    linger_s: float = 1.0
    """How long a connection is read after its last response: a close with unread bytes is an RST, which may take the
    response from the client (RFC 9112 section 9.6)."""
    listen_backlog: int = 4096
    """Connections that the kernel queues."""


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """Limits of the upstream."""

    max_body_bytes: int = 64 * 1024
    """The contract's; the reference upstream's payload has 12."""
    max_head_bytes: int = 32 * 1024
    """Status line and headers of a response: as much as of a request."""
    max_wire_bytes: int = 1024 * 1024
    """All bytes of an answer, with chunk framing, trailers and 1xx responses: chunks of one byte have 6."""
    connect_timeout_s: float = 3.0
    """Name lookup, TCP and TLS together; Linux alone would try for two minutes."""
    happy_eyeballs_delay_s: float = 0.25
    """Head start of an address over the next one (RFC 8305 section 5)."""
    dns_ttl_s: float = 30.0
    """How long a looked-up address is used: getaddrinfo returns no TTL."""
    idle_timeout_s: float = 50.0
    """A pooled connection unused for longer is closed; servers close theirs after 60 to 75 s."""
    max_connection_age_s: float = 300.0
    """A pooled connection older than this is closed, so that changes behind a load balancer are followed."""
    stale_retry_window_s: float = 0.05
    """How soon after its use a pooled connection must die for its attempt to be sent again: later the upstream may have
    worked on it."""


@dataclass(frozen=True, slots=True)
class DescriptorBudget:
    """How a worker's file descriptors are shared out, so that `accept` never meets EMFILE.

    With EMFILE a listening socket stays readable and nothing can be accepted; with a budget it does not happen. Clients
    and requests in flight share what there is: where few are connected more may be in flight, and the reverse.
    """

    max_in_flight: int
    """However few clients are connected."""
    max_clients: int
    """However few requests are in flight."""
    max_rejected: int
    """Connections beyond those that were answered 503 and linger."""
    attempts: int
    """A request in flight may need a connection to an upstream for each of these."""
    connections: int
    """Of clients and to upstreams together."""

    RESERVE = 128
    """Descriptors for all else: listening sockets, the control channel, logs, libraries, name lookups, and the further
    sockets of connects (`upstream.connection_budget.MAX_PARALLEL_CONNECTS`)."""
    REJECTED_IN_RESERVE = 64
    """Of these for clients that are rejected at accept, where there are no more."""
    MAX_REJECTED = 512
    """As many as linger for 50 ms at 10 000 rejections a second. With 64 the others waited in the kernel's queue, for
    up to 5 s (C05)."""
    PER_REJECTED = 40
    """Where there are few descriptors, one of this many is for a rejected client: 22 of 1 024."""
    GUARANTEED_SHARE = 0.75
    """The part of `max_in_flight` that clients who wait or idle cannot take. Of 20 000 descriptors 8 498 clients may be
    connected then. At twice the capacity some 6 500 are, and where only 5 734 might be 2 100 a second were accepted to
    be rejected: 7 800 of 24 000/s were answered well, and 9 900 with 8 485."""

    @classmethod
    def of(
        cls,
        max_descriptors: int,
        hedges: int,
        max_in_flight: int | None = None,
        setting: str = "--max-in-flight",
    ) -> "DescriptorBudget":
        """Share out `max_descriptors`: each request in flight needs its client's, and may need one for each attempt.

        `max_in_flight` requests may be in flight while no other clients than theirs are connected. Raises
        InvalidSetting.
        """
        budget = max_descriptors - cls.RESERVE
        attempts = 1 + hedges
        rejected = min(max(budget, 0) // cls.PER_REJECTED, cls.MAX_REJECTED - cls.REJECTED_IN_RESERVE)
        most = (budget - rejected) // (attempts + 1)
        if most < 1:
            least = cls.RESERVE + attempts + 1
            accepted = f"at least {least}, for one request of {attempts} attempts"
            raise InvalidSetting("the limit of open files (ulimit -Hn)", max_descriptors, accepted)
        if max_in_flight is not None and max_in_flight > most:
            accepted = (
                f"at most {most}: {max_descriptors} files may be open, and a request has {attempts} attempts"
            )
            raise InvalidSetting(setting, max_in_flight, accepted)
        in_flight = most if max_in_flight is None else max_in_flight
        return cls(
            max_in_flight=in_flight,
            max_clients=budget - rejected - attempts * ceil(in_flight * cls.GUARANTEED_SHARE),
            max_rejected=cls.REJECTED_IN_RESERVE + rejected,
            attempts=attempts,
            connections=budget + cls.REJECTED_IN_RESERVE,
        )

    def clients_beside(self, in_flight: int) -> int:
        """Return how many clients may be connected beside this number of requests in flight."""
        return min(self.max_clients, self.connections - self.max_rejected - in_flight * self.attempts)

    def in_flight_beside(self, clients: int) -> int:
        """Return how many requests may be in flight beside this number of clients, rejected ones included."""
        served = min(clients, self.max_clients)
        return min(self.max_in_flight, (self.connections - self.max_rejected - served) // self.attempts)

    def upstream_beside(self, clients: int) -> int:
        """Return how many connections to upstreams there may be beside this number of clients.

        At least `attempts` for each request in flight, if the two others are kept to.
        """
        return self.connections - clients
