"""Not installed with the gateway, but with tools of its tests; structlog would import it, 0.1 s in each process."""

raise ImportError
