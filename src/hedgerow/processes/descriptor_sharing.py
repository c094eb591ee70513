"""A worker's descriptors, shared out between its clients and its requests in flight as they come and go."""

from collections.abc import Callable
from typing import Final

from hedgerow.admission.controller import AdmissionController
from hedgerow.settings import DescriptorBudget
from hedgerow.upstream.connection_budget import ConnectionBudget

CROWDED_SHARE: Final = 0.95
"""Of the requests that may be in flight: one may have ended just now."""


class DescriptorSharing:
    """Keeps a `DescriptorBudget`. Costs nothing of a request: it is called when a client connects or leaves."""

    def __init__(
        self,
        budget: DescriptorBudget,
        admission: AdmissionController,
        connections: ConnectionBudget,
        request_admission: Callable[[], None],
    ) -> None:
        """`request_admission` is called when requests that wait may have descriptors of clients that have left."""
        self._request_admission = request_admission
        self._budget = budget
        self._admission = admission
        self._connections = connections

    def max_clients(self) -> int:
        """Return how many clients may be connected beside the requests that are in flight now."""
        return self._budget.clients_beside(self._admission.in_flight)

    def set_clients(self, connected: int) -> None:
        """Leave to requests and to upstreams what the clients that are connected now do not have."""
        admission, budget = self._admission, self._budget
        before, admission.max_in_flight = admission.max_in_flight, budget.in_flight_beside(connected)
        if admission.max_in_flight > before and admission.waiting:
            self._request_admission()
        admission.is_crowded = admission.max_in_flight < budget.max_in_flight
        connections = self._connections
        connections.max_connections = budget.upstream_beside(connected)
        if connections.in_use > connections.max_connections:
            connections.make_room()

    def client_rejected(self, now: float) -> None:
        """Have requests wait briefly, so that fewer clients are connected at a time."""
        self._admission.client_rejected(now)

    def is_crowded(self) -> bool:
        """Return whether as many requests are in flight as may be, and fewer clients would leave room for more."""
        admission = self._admission
        return admission.is_crowded and admission.in_flight >= admission.max_in_flight * CROWDED_SHARE
