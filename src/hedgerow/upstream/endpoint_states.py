"""What telemetry is given of an upstream's endpoints."""

from dataclasses import dataclass

from hedgerow.settings.routes import MAX_ENDPOINTS_SHOWN
from hedgerow.upstream.endpoints import Endpoints


@dataclass(frozen=True, slots=True)
class EndpointState:
    """One endpoint at one instant."""

    url: str
    """As configured, redacted: the label of its metrics."""
    address: str
    """Of the name, with the port: `192.0.2.1:8080` or `[2001:db8::1]:8080`."""
    in_flight: int
    """Attempts that are sent to it or run there, losers included."""
    failures: int
    """In a row."""
    is_ejected: bool
    is_unreachable: bool
    """A connect has failed within the last second; others come first."""


def endpoint_states(endpoints: Endpoints, now: float) -> list[EndpointState]:
    """Return the state of each endpoint at `now`; nothing where there are more than `MAX_ENDPOINTS_SHOWN`."""
    if len(endpoints.all) > MAX_ENDPOINTS_SHOWN:
        return []
    return [
        EndpointState(
            endpoint.target.redacted_url,
            _authority(endpoint.address[4]),
            endpoint.in_flight,
            endpoint.failures,
            endpoint.ejected_until > now,
            endpoint.unreachable_until > now,
        )
        for endpoint in endpoints.all
    ]


def _authority(sockaddr: tuple[object, ...]) -> str:
    host, port = sockaddr[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
