"""Every setting: its type, its bounds, its default and its meaning.

Flags, variables, the file, `--help` and the table of docs/reference/configuration.md are all made from `Settings`,
through the rows of `settings/setting.py`.
"""

from enum import StrEnum
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from hedgerow.settings.hosts import HOST
from hedgerow.settings.limits import ClientLimits, UpstreamLimits
from hedgerow.settings.routes import RouteRule, UpstreamRule
from hedgerow.settings.upstream_url import ACCEPTED as UPSTREAM
from hedgerow.settings.upstream_url import EMBEDDED


class LoserPolicy(StrEnum):
    """What is done with losers: attempts whose race is over."""

    DRAIN = "drain"
    """It continues for up to `loser_grace_s`, so that its connection can be used again."""
    CANCEL = "cancel"
    """Its connection is closed at once."""


class LogFormat(StrEnum):
    """The format of log lines."""

    AUTO = "auto"
    """`console` on a terminal, `json` elsewhere."""
    JSON = "json"
    CONSOLE = "console"


class AccessLog(StrEnum):
    """Which requests get a log line of their own."""

    OFF = "off"
    ERRORS = "errors"
    ALL = "all"


Host = Annotated[str, Meta(extra={"accepted": HOST})]
Port = Annotated[int, Meta(ge=0, le=65_535)]
Span = Annotated[int, Meta(ge=1, le=86_400_000)]
"""Milliseconds, up to a day."""
SpanOrNone = Annotated[int, Meta(ge=0, le=86_400_000)]


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line, the variables, the file or a test chose. What has a description can be set."""

    host: Annotated[Host, Meta(description="address of the main port")] = "127.0.0.1"
    port: Annotated[Port, Meta(description="the main port; 0 takes a free one and prints it")] = 8080
    admin_host: Annotated[Host, Meta(description="address of the admin port")] = "127.0.0.1"
    admin_port: Annotated[Port, Meta(description="the admin port")] = 8081
    upstream: Annotated[
        str,
        Meta(
            description="the upstream, or `embedded`: the simulator, started and stopped with the gateway",
            extra={"accepted": UPSTREAM},
        ),
    ] = EMBEDDED
    workers: Annotated[
        int,
        Meta(
            ge=1,
            le=256,
            description="processes; `auto`: usable CPUs, by affinity and by quota",
            extra={"auto": True},
        ),
    ] = 1
    hedge_after_ms: Annotated[SpanOrNone, Meta(description="the hedge delay")] = 300
    hedges: Annotated[
        int,
        Meta(ge=0, le=16, description="hedges after the hedge delay; 0: none"),
    ] = 2
    hedge_on_failure: Annotated[
        Literal["wait", "immediate"],
        Meta(description="after an early failure: hedges at the hedge delay, or at once"),
    ] = "wait"
    hedge_mode: Annotated[
        Literal["on", "observe"],
        Meta(
            description="`observe`: only a sample is hedged; `/status` and `hedgerow plan` show what hedging would do"
        ),
    ] = "on"
    hedge_sample: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="share of requests that are hedged while observing",
        ),
    ] = 0.01
    hedge_hold: Annotated[
        Literal["off", "auto"],
        Meta(description="`auto`: fewer hedges while nearly all requests are late"),
    ] = "off"
    hedge_ceiling: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="no hedge beyond this many attempts in flight, for each worker; 0: no ceiling",
        ),
    ] = 0
    hedge_budget_percent: Annotated[
        float,
        Meta(
            ge=0,
            le=1_600,
            description="hedges for each hundred requests, in bursts of up to 10; both 0: no budget",
        ),
    ] = 0.0
    hedge_budget_min_per_second: Annotated[
        float,
        Meta(
            ge=0,
            le=1_000_000,
            description="hedges a second besides, for each worker",
        ),
    ] = 0.0
    default_timeout_ms: Annotated[Span, Meta(description="for requests without `timeout`")] = 10_000
    max_timeout_ms: Annotated[Span, Meta(description="longer timeouts are shortened to this")] = 60_000
    losers: Annotated[
        LoserPolicy,
        Meta(description="read losers to their end, or close their connections"),
    ] = LoserPolicy.DRAIN
    loser_grace_ms: Annotated[SpanOrNone, Meta(description="how long a loser may continue")] = 1_000
    max_in_flight: (
        Annotated[
            int,
            Meta(
                ge=1,
                le=1_000_000,
                description="requests at once, for each worker; `auto`: by the limit of open files",
                extra={"auto": True},
            ),
        ]
        | None
    ) = None
    shedding: Annotated[
        Literal["on", "off"],
        Meta(description="limit the rate of admission when the CPU is short"),
    ] = "on"
    drain_ms: Annotated[SpanOrNone, Meta(description="how long a stop may wait for answers")] = 30_000
    log_format: Annotated[LogFormat, Meta(description="`auto`: console on a terminal, else json")] = (
        LogFormat.AUTO
    )
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="the least that is logged")
    ] = "info"
    access_log: Annotated[
        AccessLog, Meta(description="which requests get a line; `errors`: 500, 502 and 504")
    ] = AccessLog.ERRORS
    trace_sample: Annotated[
        float,
        Meta(ge=0, le=1, description="share of requests traced; needs the extra `hedgerow[otel]`"),
    ] = 0.0
    routes: tuple[RouteRule, ...] = ()
    """Of the file; none: the default route, which the settings above describe (`effective_routing`)."""
    upstreams: tuple[UpstreamRule, ...] = ()
    client_limits: ClientLimits = msgspec.field(default_factory=ClientLimits)
    upstream_limits: UpstreamLimits = msgspec.field(default_factory=UpstreamLimits)
