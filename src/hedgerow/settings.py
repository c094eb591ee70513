"""Every setting and every limit, with its unit and its reason, in one place."""

from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import urlsplit

EMBEDDED = "embedded"
"""The upstream that is started and stopped with the gateway: the bundled testing server."""


class BadSetting(Exception):  # noqa: N818 (the caller's error, not ours)
    """A setting that cannot be used: one line for people, naming the setting, what was given, what is accepted."""

    def __init__(self, setting: str, given: object, accepted: str) -> None:
        super().__init__(f"{setting}: {given!r} is not accepted; give {accepted}")


class LoserPolicy(StrEnum):
    """What becomes of an attempt whose race is over."""

    DRAIN = "drain"
    """It runs on for `loser_grace_s`, so that its connection can be used again."""
    CANCEL = "cancel"
    """Its connection is closed at once."""


class LogFormat(StrEnum):
    """How log lines look."""

    AUTO = "auto"
    """`console` on a terminal, `json` elsewhere."""
    JSON = "json"
    CONSOLE = "console"


class AccessLog(StrEnum):
    """Which requests get a log line of their own."""

    OFF = "off"
    ERRORS = "errors"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class ClientLimits:
    """What one caller may cost us."""

    max_head_bytes: int = 8 * 1024
    """A request line and its headers; the usual bound of web servers (nginx: 8 KiB). More: 414 or 431."""
    max_headers: int = 100
    """Header lines of one request: each costs a callback. More: 431."""
    head_timeout_s: float = 5.0
    """From the first byte of a head to its last, however they trickle: a slow head holds a descriptor."""
    idle_timeout_s: float = 75.0
    """A connection without a request; longer than the 60 s after which common load balancers drop theirs."""
    write_timeout_s: float = 5.0
    """A caller that does not read its answer holds it in our memory, or its closing connection, for so long."""
    write_buffer_bytes: int = 64 * 1024
    """Answers that wait for a caller to read; beyond, no further pipelined request of it is begun."""
    send_buffer_bytes: int = 64 * 1024
    """Answers that the kernel holds for a caller, who may not be reading. By itself it would take up to 4 MB of each,
    and nobody would notice before the connection is idle for long (C10)."""
    max_pipelined_bytes: int = 64 * 1024
    """Pipelined bytes kept while a request is answered; beyond, the socket is not read."""
    parse_chunk_bytes: int = 2 * 1024
    """Bytes parsed at a time, so that one read holds at most 80 pipelined requests, not 10 000."""
    backpressure_s: float = 0.075
    """The connection of a request that was rejected for want of capacity is not read for this time: a client that asks
    again at once asks 13 times a second, not as often as it can be rejected (600 were rejected 48 000 times a second).
    What it sends meanwhile is dated by the kernel, so its time runs."""
    linger_s: float = 1.0
    """After a refusal we read on for so long before closing: closing with unread bytes sends RST, which may
    take the answer from the caller (RFC 9112 section 9.6)."""
    listen_backlog: int = 4096
    """Connections that the kernel keeps for us between two turns of the loop."""


@dataclass(frozen=True, slots=True)
class UpstreamLimits:
    """What the upstream may cost us."""

    max_body_bytes: int = 64 * 1024
    """The contract's bound; the payload of record has 12 bytes."""
    max_head_bytes: int = 32 * 1024
    """Status line and headers of one response; llhttp itself has no bound."""
    max_wire_bytes: int = 1024 * 1024
    """All bytes of one answer: chunk framing, trailers and 1xx responses included. Bodies in chunks of one
    byte have 6 bytes on the wire for each."""
    connect_timeout_s: float = 3.0
    """Name lookup, TCP and TLS together; Linux alone would try for two minutes."""
    happy_eyeballs_delay_s: float = 0.25
    """Head start of an address over the next one (RFC 8305 section 5)."""
    dns_ttl_s: float = 30.0
    """How long a looked-up address is used: getaddrinfo tells no TTL; 30 s is what most resolvers' users take."""
    idle_timeout_s: float = 50.0
    """A pooled connection unused for longer is closed; below the 60 s to 75 s after which servers close theirs."""
    max_connection_age_s: float = 300.0
    """A pooled connection older than this is closed: where the upstream moves behind a balancer, we follow."""
    stale_retry_window_s: float = 0.05
    """A reused connection that dies within this time of being written to, before any byte of an answer, has lost
    a race with the upstream's idle close: sent again on a new connection. Later than that the upstream may have
    worked on it (RFC 9110 section 9.2.2 would allow a retry; our promise of three requests would not)."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where the upstream is: the parts of its URL."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def tls(self) -> bool:
        """Tell whether the upstream speaks TLS."""
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """The `Host` header: the port only where it is not the scheme's own (RFC 9110 section 7.2)."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _PORT_OF[self.scheme] else f"{host}:{self.port}"


_PORT_OF = {"http": 80, "https": 443}


def parse_target(url: str, setting: str = "--upstream") -> Target:
    """Take an upstream's URL apart, or raise BadSetting with what is wrong about it."""
    accepted = "a URL like http://127.0.0.1:8090/api/work or https://example.org/api/work"
    try:
        parts = urlsplit(url)
        port = parts.port
        host = (parts.hostname or "").encode("idna").decode("ascii")
    except ValueError as error:  # a port out of range, brackets that do not match, a name that IDNA refuses
        raise BadSetting(setting, url, f"{accepted} ({error})") from None
    odd = any(not "!" <= character <= "~" for character in url)
    if (
        parts.scheme not in _PORT_OF
        or not host
        or port == 0
        or parts.username is not None
        or parts.fragment
        or odd
    ):
        raise BadSetting(setting, url, f"{accepted}, without user, fragment or blanks")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port or _PORT_OF[parts.scheme], path)


@dataclass(frozen=True, slots=True)
class DescriptorBudget:
    """How a worker's file descriptors are shared out, so that `accept` never meets EMFILE.

    asyncio answers EMFILE by not accepting for a second; a budget makes sure that it never happens.
    """

    max_in_flight: int
    max_clients: int
    max_upstream_connections: int

    RESERVE = 128
    """Descriptors for all else: listening sockets, the control channel, logs, libraries, the operations port."""

    @classmethod
    def of(cls, max_descriptors: int, hedges: int, max_in_flight: int | None = None) -> "DescriptorBudget":
        """Share out `max_descriptors`: each request in flight may need its own and one for each attempt.

        A third more clients than requests in flight may be connected: the rest are idle.
        """
        budget = max_descriptors - cls.RESERVE
        attempts = 1 + hedges
        affordable = budget * 3 // (3 * attempts + 4)
        in_flight = affordable if max_in_flight is None else max_in_flight
        if affordable < 1 or in_flight > budget // (attempts + 1):
            most = max(budget // (attempts + 1), 0)
            raise BadSetting(
                "--max-in-flight",
                max_in_flight if max_in_flight is not None else "auto",
                f"at most {most}: the limit of open files is {max_descriptors}, attempts a request {attempts}",
            )
        return cls(in_flight, budget - in_flight * attempts, in_flight * attempts)


@dataclass(frozen=True, slots=True)
class Settings:
    """What the command line, the environment or a test chose."""

    host: str = "127.0.0.1"
    port: int = 8080
    admin_host: str = "127.0.0.1"
    admin_port: int = 8081
    upstream: str = EMBEDDED
    workers: int = 1
    hedge_after_ms: int = 300
    hedges: int = 2
    hedge_on_failure: str = "wait"
    default_timeout_ms: int = 10_000
    max_timeout_ms: int = 60_000
    losers: LoserPolicy = LoserPolicy.DRAIN
    loser_grace_ms: int = 1_000
    max_in_flight: int | None = None
    shedding: str = "on"
    drain_ms: int = 30_000
    log_format: LogFormat = LogFormat.AUTO
    log_level: str = "info"
    access_log: AccessLog = AccessLog.ERRORS
    trace_sample: float = 0.0
    client_limits: ClientLimits = field(default_factory=ClientLimits)
    upstream_limits: UpstreamLimits = field(default_factory=UpstreamLimits)

    def check(self) -> None:
        """Raise BadSetting for values that are each possible, but not together."""
        if self.default_timeout_ms > self.max_timeout_ms:
            raise BadSetting(
                "--default-timeout-ms",
                self.default_timeout_ms,
                f"at most --max-timeout-ms ({self.max_timeout_ms})",
            )
        if self.upstream != EMBEDDED:
            parse_target(self.upstream)
