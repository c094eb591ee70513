"""All limits of the simulator, with units and reasons. None can be set by a flag."""

MAX_LATENCY_MS = 120_000
"""Longest latency that a request may select: twice the gateway's longest timeout."""

MAX_RESPONSE_S = 600
"""An answer not done by then is cut off: a client that vanished without a FIN must not stay for good."""

IDLE_TIMEOUT_S = 90
"""A connection without a request is kept this long: at least 75 s, which pools of clients count on."""

REAP_INTERVAL_S = 5.0
"""How often the two spans above are looked at: one timer for all connections in place of one for each."""

MAX_CONNECTIONS = 50_000
"""Open connections of one worker, a few KiB each; above it a new one is cut off at once."""

LISTEN_BACKLOG = 4_096
"""Connections that may wait to be accepted; a benchmark opens thousands at once. The kernel may lower it."""

MAX_REQUEST_BYTES = 65_536
"""Bytes of one request, far above any real one. The rest is not read, the answer is 400."""

PIPELINE_LIMIT = 32
"""Requests waiting on one connection before it is read no further; what one read brought is kept."""

LOG_ENTRIES = 100_000
"""Requests kept for `/log`, the newest: about 30 MB."""

MAX_SPEC_BYTES = 4_096
"""Fault header and query string of one request together; a full script needs less than 500."""

SPEC_CACHE_ENTRIES = 1_024
"""Different fault headers and query strings whose parse is remembered: 4 MiB at most."""

SCRIPT_ENTRIES = 16
"""Faults in one script; the gateway makes three attempts at most."""

QUERY_FIELDS = 32
"""Parameters in one query string."""

MAX_WORKERS = 64
"""Processes of one server."""

WORKER_STOP_S = 2.0
"""How long an extra worker may take to end by itself before it is killed; it needs a few ms."""

MAX_CAPACITY = 1_000_000
"""Workers that may be played; without a capacity there are this many, more than connections."""

MAX_QUEUE = 500_000
"""Requests in the queue where no length was asked for: abandoned work stays in it, some 200 bytes each."""

MAX_DISTURBANCE_S = 86_400
"""Latest begin of a disturbance, and its greatest length."""

MAX_SLOWNESS = 1_000
"""Greatest factor on latencies."""
