"""Every setting: its type, its bounds, its default and its meaning.

Flags, variables, the file, `--help` and the table of docs/reference/configuration.md are all made from `Settings`.
"""

import re
from collections.abc import Iterable
from enum import StrEnum
from functools import cache
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from hedgerow.settings.errors import InvalidSetting
from hedgerow.settings.hosts import HOST, is_host, is_ipv6
from hedgerow.settings.limits import ClientLimits, UpstreamLimits
from hedgerow.settings.routes import RouteRule, UpstreamRule
from hedgerow.settings.upstream_url import ACCEPTED as UPSTREAM
from hedgerow.settings.upstream_url import EMBEDDED, parse_target

AUTO: Final = "auto"
"""What `workers` and `max_in_flight` are where they are not set: chosen at the start, by what the machine has."""


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
            description="the upstream's URL (http or https), or `embedded`: the simulator, started and stopped with "
            "the gateway",
            extra={"accepted": UPSTREAM},
        ),
    ] = EMBEDDED
    workers: Annotated[
        int,
        Meta(
            ge=1,
            le=256,
            description="processes; `auto`: as many as usable CPUs, by affinity and by quota (control groups v2)",
            extra={"auto": True},
        ),
    ] = 1
    hedge_after_ms: Annotated[SpanOrNone, Meta(description="the hedge delay")] = 300
    hedges: Annotated[
        int,
        Meta(ge=0, le=16, description="how many hedges are sent after the hedge delay; 0 turns hedging off"),
    ] = 2
    hedge_on_failure: Annotated[
        Literal["wait", "immediate"],
        Meta(
            description="a first attempt that fails early: wait for the hedge delay, or send the hedges at once"
        ),
    ] = "wait"
    hedge_mode: Annotated[
        Literal["on", "observe"],
        Meta(
            description="`observe`: no request is hedged, but for a sample; `/status` and `hedgerow plan` show what "
            "hedging would bring"
        ),
    ] = "on"
    hedge_sample: Annotated[
        float,
        Meta(
            ge=0,
            le=1,
            description="share of requests that are hedged where `--hedge-mode` is `observe`; they show "
            "how alike the attempts of a request are",
        ),
    ] = 0.01
    hedge_hold: Annotated[
        Literal["off", "auto"],
        Meta(
            description="hold hedges back while nearly all requests are late, so that they never make an outage worse; "
            "`off`: hedges are always sent"
        ),
    ] = "off"
    hedge_ceiling: Annotated[
        int,
        Meta(
            ge=0,
            le=1_000_000,
            description="attempts in flight, for each worker, beyond which no hedge is sent; 0: no ceiling",
        ),
    ] = 0
    hedge_budget_percent: Annotated[
        float,
        Meta(
            ge=0,
            le=1_600,
            description="hedges for each hundred requests at most, in bursts of up to 10; 0 without "
            "`--hedge-budget-min-per-second`: no budget",
        ),
    ] = 0.0
    hedge_budget_min_per_second: Annotated[
        float,
        Meta(
            ge=0,
            le=1_000_000,
            description="hedges a second, for each worker, that may be sent beyond the percentage",
        ),
    ] = 0.0
    default_timeout_ms: Annotated[Span, Meta(description="for requests without `timeout`")] = 10_000
    max_timeout_ms: Annotated[Span, Meta(description="longer timeouts are shortened to this")] = 60_000
    losers: Annotated[
        LoserPolicy,
        Meta(description="read losing attempts to their end, to use their connections again, or cut them"),
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
        Meta(
            description="limit the rate of admission when the CPU is short; `off`: only the number of requests in "
            "flight"
        ),
    ] = "on"
    drain_ms: Annotated[SpanOrNone, Meta(description="how long a stop may wait for answers")] = 30_000
    log_format: Annotated[LogFormat, Meta(description="`auto`: console on a terminal, else json")] = (
        LogFormat.AUTO
    )
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"], Meta(description="the least that is logged")
    ] = "info"
    access_log: Annotated[
        AccessLog, Meta(description="which requests get a line; `errors`: those answered 500, 502 or 504")
    ] = AccessLog.ERRORS
    trace_sample: Annotated[
        float,
        Meta(
            ge=0, le=1, description="share of requests traced; more than 0 needs the extra `hedgerow[otel]`"
        ),
    ] = 0.0
    routes: tuple[RouteRule, ...] = ()
    """Of the file; none: the default route, which the settings above describe (`effective_routing`)."""
    upstreams: tuple[UpstreamRule, ...] = ()
    client_limits: ClientLimits = msgspec.field(default_factory=ClientLimits)
    upstream_limits: UpstreamLimits = msgspec.field(default_factory=UpstreamLimits)


class Setting(NamedTuple):
    """One row of the schema."""

    name: str
    """Of the field: `drain_ms`."""
    kind: Any
    """Its type, for msgspec."""
    is_number: bool
    takes_auto: bool
    default: str
    """As it would be written."""
    description: str
    accepted: str
    """For people: `a whole number from 0 to 16`."""

    @property
    def key(self) -> str:
        """Its name in the file."""
        return self.name.replace("_", "-")

    @property
    def flag(self) -> str:
        """Its name on the command line."""
        return f"--{self.key}"

    @property
    def variable(self) -> str:
        """Its name in the environment."""
        return f"HEDGEROW_{self.name.upper()}"


@cache
def all_settings() -> dict[str, Setting]:
    """Return the settings by the names of their fields, in the order in which they are described."""
    hints = get_type_hints(Settings, include_extras=True)
    defaults = Settings()
    found = ((name, _row(name, kind, getattr(defaults, name))) for name, kind in hints.items())
    return {name: row for name, row in found if row is not None}


def convert(setting: Setting, given: object, source: str) -> Any:
    """Return the value of a setting that `source` gave, or `AUTO`; raises InvalidSetting.

    A text is read as the number that it is written as, so a value is accepted in the same cases whether it came as
    text, by a flag or a variable, or with a type, by the file.
    """
    if setting.takes_auto and given == AUTO:
        return AUTO
    value = _number(given) if setting.is_number and isinstance(given, str) else given
    try:
        converted = msgspec.convert(value, setting.kind)
    except (msgspec.ValidationError, UnicodeEncodeError):  # the latter: bytes that are no UTF-8
        raise InvalidSetting(source, given, setting.accepted) from None
    if setting.name == "upstream" and converted != EMBEDDED:
        parse_target(converted, source)
    if setting.name.endswith("host") and not (is_host(converted) or is_ipv6(converted)):
        raise InvalidSetting(source, given, setting.accepted)
    return converted


_NUMBER: Final = r"-?(?:0|[1-9][0-9]{0,17})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?"
"""A decimal number as JSON has it, of a length that no setting exceeds; not all that int() and float() take."""


def _number(text: str) -> object:
    match = re.fullmatch(_NUMBER, text)
    if match is None:
        return text
    return float(text) if match[1] or match[2] else int(text)


def _row(name: str, kind: Any, default: Any) -> Setting | None:
    annotated = next((part for part in (kind, *get_args(kind)) if get_origin(part) is Annotated), None)
    if annotated is None:
        return None
    bare, *metas = get_args(annotated)
    facts = {**{key: value for meta in metas for key, value in _facts(meta)}}
    if "description" not in facts:
        return None
    takes_auto = "auto" in facts
    accepted = facts.get("accepted") or _accepted(bare, facts)
    return Setting(
        name=name,
        kind=annotated,
        is_number=bare in (int, float),
        takes_auto=takes_auto,
        default=AUTO if takes_auto else f"{default:g}" if isinstance(default, float) else str(default),
        description=facts["description"],
        accepted=f"{accepted}, or {AUTO}" if takes_auto else accepted,
    )


def _facts(meta: Meta) -> Iterable[tuple[str, Any]]:
    facts = {"ge": meta.ge, "le": meta.le, "description": meta.description, **(meta.extra or {})}
    return ((name, value) for name, value in facts.items() if value is not None)


def _accepted(kind: Any, facts: dict[str, Any]) -> str:
    if kind in (int, float):
        return f"a {'whole ' if kind is int else ''}number from {facts['ge']} to {facts['le']}"
    words = get_args(kind) or tuple(str(member) for member in kind)
    return f"{', '.join(words[:-1])} or {words[-1]}"
