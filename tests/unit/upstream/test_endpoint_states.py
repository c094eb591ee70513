"""What telemetry is given of endpoints."""

from hedgerow.net.tcp import Address
from hedgerow.settings import parse_target
from hedgerow.settings.routes import MAX_ENDPOINTS_SHOWN, OutlierDetection
from hedgerow.upstream.endpoint_states import EndpointState, endpoint_states
from hedgerow.upstream.endpoints import Endpoints

TARGET = parse_target("https://shop.internal:8443/base?apikey=K")
NOW = 1_000.0


def of(number: int) -> Endpoints:
    endpoints = Endpoints((TARGET,), "least_request", OutlierDetection(consecutive_failures=1))
    addresses: list[Address] = [(2, 1, 6, "", (f"192.0.2.{index}", 8443)) for index in range(1, number)]
    endpoints.replace(TARGET, [(10, 1, 6, "", ("2001:db8::1", 8443, 0, 0)), *addresses])
    return endpoints


def test_each_endpoint_has_its_state_and_no_secret_is_in_it() -> None:
    endpoints = of(3)
    one, other, third = endpoints.all
    one.in_flight = 2
    endpoints.connect_failed(other, NOW)
    url = TARGET.redacted_url
    assert "K" not in url
    assert endpoint_states(endpoints, NOW) == [
        EndpointState(url, "[2001:db8::1]:8443", 2, 0, is_ejected=False, is_unreachable=False),
        EndpointState(url, "192.0.2.1:8443", 0, 0, is_ejected=True, is_unreachable=True),
        EndpointState(url, "192.0.2.2:8443", 0, 0, is_ejected=False, is_unreachable=False),
    ]
    assert not any(state.is_ejected for state in endpoint_states(endpoints, NOW + 30.0))
    assert third.in_flight == 0


def test_r11_many_are_not_reported() -> None:
    assert len(endpoint_states(of(MAX_ENDPOINTS_SHOWN), NOW)) == MAX_ENDPOINTS_SHOWN
    assert endpoint_states(of(MAX_ENDPOINTS_SHOWN + 1), NOW) == []
