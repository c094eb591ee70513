"""The gateway and its peers: how each is started, and what must be known to judge it fairly."""

import shlex
import shutil
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bench.processes import free_port
from bench.toolchain import PEERS, VENV_BIN, build_go

HEDGEROW = Path(sys.executable).parent / "hedgerow"
COMPILED = Path(__file__).resolve().parent.parent / ".venv-compiled" / "bin" / "hedgerow"
"""Made by `make bench`, where there is a C compiler."""

Command = list[str | Path]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server is to run, and before which upstream."""

    port: int
    upstream_port: int
    directory: Path
    route_timeout_s: float  # for a server that cannot read `timeout` from the query
    tls: bool = False
    workers: int = 1
    passes_on: bool = False
    """Headers and answers are passed on, where that has to be set up."""

    @property
    def upstream_url(self) -> str:
        origin = (
            f"https://localhost:{self.upstream_port}"
            if self.tls
            else f"http://127.0.0.1:{self.upstream_port}"
        )
        return f"{origin}/api/work"

    @property
    def authority(self) -> Path:
        """The certificates to trust; OpenSSL's and Go's own variable SSL_CERT_FILE names it here."""
        return self.directory / "authority.pem"

    def fill_in(self, *templates: str) -> Path:
        """Write a configuration of a peer, of one template or more, with this place's ports in it."""
        text = "".join((PEERS / template).read_text() for template in templates)
        filled = self.directory / templates[0]
        filled.write_text(
            text.format(
                port=self.port,
                upstream=f"127.0.0.1:{self.upstream_port}",
                upstream_port=self.upstream_port,
                directory=self.directory,
                route_timeout_s=self.route_timeout_s,
            )
        )
        return filled


@dataclass(frozen=True, slots=True)
class Server:
    """One line of the tables."""

    name: str
    note: str
    command: Callable[[Place], Command]
    hedges: bool = True
    judges_bodies: bool = True
    speaks_tls: bool = True  # to the upstream, as it is set up here
    passes_on: bool = False  # a client's headers, and an upstream's answers
    closes: bool = True  # a connection whose client asks for that, after the answer


def gateway(executable: Path, extra: str) -> Callable[[Place], Command]:
    """Return how hedgerow is started, by any build of it."""

    def command(place: Place) -> Command:
        if place.passes_on:
            what: Command = ["--config", place.fill_in("hedgerow_route.toml")]
        else:
            what = ["--upstream", place.upstream_url]
        return [
            *(executable, "serve", "--host", "127.0.0.1", "--port", str(place.port)),
            *("--admin-port", str(free_port()), "--workers", str(place.workers)),
            *(*what, *shlex.split(extra)),
        ]

    return command


def nginx(place: Place) -> Command:
    return [*nginx_command(place, "nginx.conf")]


def nginx_command(place: Place, template: str) -> Command:
    program = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin") or "nginx"
    return [program, "-p", place.directory, "-e", "stderr", "-c", place.fill_in(template)]


def envoy(place: Place) -> Command:
    templates = ("envoy.yaml", "envoy_tls.yaml") if place.tls else ("envoy.yaml",)
    return [
        *(VENV_BIN / "envoy", "--config-path", place.fill_in(*templates)),
        *("--concurrency", str(place.workers), "--disable-hot-restart", "--log-level", "error"),
    ]


def gohedge(losers: str) -> Callable[[Place], Command]:
    def command(place: Place) -> Command:
        program = build_go("peers/gohedge")
        address = f"127.0.0.1:{place.port}"
        return [program, "-listen", address, "-upstream", place.upstream_url, "-losers", losers]

    return command


def in_python(program: str, *arguments: str) -> Callable[[Place], Command]:
    """Return how a peer is started that needs the peers' libraries."""

    def command(place: Place) -> Command:
        return [VENV_BIN / "python", PEERS / program, str(place.port), place.upstream_url, *arguments]

    return command


def bare_race(program: str) -> Callable[[Place], Command]:
    """Return how a yardstick is started: by hedgerow's own interpreter and with its own libraries."""

    def command(place: Place) -> Command:
        return [sys.executable, PEERS / program, str(place.port), place.upstream_url]

    return command


def granian(place: Place) -> Command:
    return [
        *("env", f"UPSTREAM={place.upstream_url}", f"PYTHONPATH={PEERS}"),
        *(VENV_BIN / "granian", "--interface", "rsgi", "--loop", "uvloop", "--workers", str(place.workers)),
        *(
            "--host",
            "127.0.0.1",
            "--port",
            str(place.port),
            "--backlog",
            "4096",
            "--no-log",
            "granian_peer:app",
        ),
    ]


BARE_RACE_ADMISSION = Server(
    "bare-race-admission",
    "the same with 60 lines of admission",
    bare_race("bare_race_admission.py"),
    closes=False,
)
PEER_SERVERS = (
    Server(
        "nginx",
        "plain proxy, never hedges: the limit",
        nginx,
        hedges=False,
        judges_bodies=False,
        speaks_tls=False,
        passes_on=True,
    ),
    Server(
        "envoy", "hedges one try at a time, judges heads only", envoy, judges_bodies=False, passes_on=True
    ),
    Server(
        "bare-race",
        "the race alone on an event loop of its own, not compiled",
        bare_race("bare_race.py"),
        closes=False,
    ),
    BARE_RACE_ADMISSION,
    Server("go-cancel", "net/http, losers cancelled", gohedge("cancel")),
    Server("go-drain", "net/http, losers drained", gohedge("drain")),
    Server("aiohttp", "aiohttp on uvloop both sides, losers cancelled", in_python("aiohttp_peer.py", "own")),
    Server("asynchedging", "aiohttp, the race by asynchedging", in_python("aiohttp_peer.py", "asynchedging")),
    Server(
        "hedge-python",
        "aiohttp, hedged by hedge-python: the first answer wins, whatever it says",
        in_python("aiohttp_peer.py", "hedge-python"),
        judges_bodies=False,
    ),
    Server(
        "uvicorn", "uvicorn without a framework, and aiohttp; losers cancelled", in_python("uvicorn_peer.py")
    ),
    Server("fastapi", "FastAPI on uvicorn, and httpx; losers cancelled", in_python("fastapi_peer.py")),
    Server("granian", "granian (RSGI) and pyreqwest; losers cancelled", granian),
)


def known_servers(gateway_args: str, other: Path | None) -> Mapping[str, Server]:
    """Return hedgerow, another build of it if one is given, and the peers, by name."""
    servers = [Server("hedgerow", "this repository", gateway(HEDGEROW, gateway_args), passes_on=True)]
    if COMPILED.exists():
        what = "hedgerow, its hot path compiled"
        servers.append(Server("compiled", what, gateway(COMPILED, gateway_args), passes_on=True))
    best = COMPILED if COMPILED.exists() else HEDGEROW
    servers.append(
        Server(
            "unprotected",
            "hedgerow, bounded by its sockets alone",
            gateway(best, "--shedding off " + gateway_args),
        )
    )
    if other is not None:
        servers.append(Server("other", f"hedgerow at {other}", gateway(other, gateway_args), passes_on=True))
    return {server.name: server for server in (*servers, *PEER_SERVERS)}
