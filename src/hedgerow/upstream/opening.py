"""Makes what sends attempts to one upstream, as its rule says."""

from collections.abc import Callable
from random import Random

from hedgerow.core.observer import Observer
from hedgerow.core.outcomes import Outcome
from hedgerow.eventloop.loop import EventLoop
from hedgerow.net.tcp import OpenSocket, open_outgoing_socket
from hedgerow.settings import UpstreamLimits
from hedgerow.settings.routes import UpstreamRule
from hedgerow.upstream.connection_budget import ConnectionBudget
from hedgerow.upstream.connector import Connector
from hedgerow.upstream.endpoints import Endpoints
from hedgerow.upstream.names import NameLookup
from hedgerow.upstream.pool import ConnectionPool


def open_upstream(
    rule: UpstreamRule,
    limits: UpstreamLimits,
    budget: ConnectionBudget,
    *,
    classify: Callable[[int, bytes], Outcome],
    loop: EventLoop,
    resolver: NameLookup,
    observer: Observer,
    user_agent: str,
    open_socket: OpenSocket = open_outgoing_socket,
    random: Random | None = None,
) -> ConnectionPool:
    """Return the pool of an upstream, and begin to look its names up.

    `budget` is shared by all pools of a worker, `resolver` and `observer` may be. `random` decides among endpoints.
    Raises InvalidSetting where files of `rule.tls` cannot be used.
    """
    endpoints = Endpoints(rule.endpoints, rule.lb_policy, rule.outlier_detection, random)
    connector = Connector(rule, endpoints, limits, loop, resolver, budget, open_socket=open_socket)
    pool = ConnectionPool(
        rule,
        limits,
        budget,
        classify=classify,
        loop=loop,
        connector=connector,
        observer=observer,
        user_agent=user_agent,
    )
    connector.start()
    return pool
