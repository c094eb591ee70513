"""The supervisor: binds the ports, and starts, monitors and stops the workers and the embedded simulator.

Workers share one listening socket, so connections that the kernel has queued are not lost when one of them ends
(with SO_REUSEPORT they would be).
"""

import asyncio
import errno
import os
import signal
import socket
from typing import Final

from hedgerow.admin.server import AdminServer
from hedgerow.processes.admin_endpoints import AdminEndpoints
from hedgerow.processes.child_processes import ChildProcesses
from hedgerow.processes.configuration_reload import ConfigurationReload, Reload
from hedgerow.processes.embedded_simulator import EmbeddedSimulator
from hedgerow.processes.systemd import READY, STOPPING, notify
from hedgerow.processes.worker_manager import StartupError, WorkerManager
from hedgerow.settings import Settings, Target, parse_target
from hedgerow.settings.effective_routing import effective_routing, needs_simulator
from hedgerow.telemetry.line_writer import LineWriter
from hedgerow.telemetry.logs import Logs

STANDARD_OUTPUT: Final = 1
ROUTES_SHOWN: Final = 4
"""Of the routes, in the lines at the start: they fit a terminal."""
TAKEN_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Supervisor:
    """All processes of one gateway."""

    def __init__(self, settings: Settings, read_again: Reload | None = None) -> None:
        """To be made within a running event loop. `read_again` reads the configuration once more, for SIGHUP."""
        self._settings = settings
        self._logs = Logs(settings.log_format, settings.log_level)
        self._log = self._logs.log
        self._output = LineWriter(STANDARD_OUTPUT)
        """Writes the banner: like the log, it may have no reader or a full disk."""
        self._children = ChildProcesses()
        embedded = needs_simulator(settings)
        self._simulator = EmbeddedSimulator(self._children, self._log) if embedded else None
        self._simulator_target: Target | None = None
        self._workers = WorkerManager(settings, self._log, self._children)
        self._configuration = ConfigurationReload(settings, read_again, self._log)
        self._endpoints = AdminEndpoints(settings, self._workers, self._logs)
        self._endpoints.configured(settings, self._configuration.status)

    async def run(self) -> None:
        """Serve until a signal ends the gateway. Raises StartupError."""
        self._logs.catch_all()
        self._take_signals()
        try:
            with (
                _bind(self._settings.host, self._settings.port, "--port") as sock,
                _bind(self._settings.admin_host, self._settings.admin_port, "--admin-port") as admin_sock,
            ):
                await self._serve(sock, admin_sock)
        finally:
            await self._workers.close()
            if self._simulator is not None:
                await self._simulator.stop()
            self._ignore_signals()
            self._children.close()
            self._logs.close()
            self._output.flush()

    def _take_signals(self) -> None:
        """Handle signals, including those received before (`hedgerow.__main__`)."""
        loop = asyncio.get_running_loop()

        def take(number: int, _: object) -> None:
            loop.call_soon_threadsafe(self._reload if number == signal.SIGHUP else self._workers.terminate)

        # Not by `loop.add_signal_handler`: as it closes, the loop would have the next signal kill the process.
        for number in TAKEN_SIGNALS:
            signal.signal(number, take)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, TAKEN_SIGNALS)

    def _reload(self) -> None:
        """SIGHUP: read the configuration again, and replace the workers by it unless it is rejected."""
        if self._workers.draining:
            return
        is_accepted = self._configuration.reload()
        settings = self._configuration.settings
        self._endpoints.configured(settings, self._configuration.status)
        if is_accepted:
            self._workers.replace(settings, self._target())

    @staticmethod
    def _ignore_signals() -> None:
        """Ignore signals: the gateway has ended, and they must not change the exit code."""
        for number in TAKEN_SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    async def _serve(self, sock: socket.socket, admin_sock: socket.socket) -> None:
        """Start, serve, drain. Raises StartupError."""
        routes = self._endpoints.routes(port=sock.getsockname()[1])
        server = AdminServer(routes.answer, self._settings.client_limits)
        try:
            self._start_simulator()
            target = self._target()
            self._workers.start(sock, target)
            self._listen(server, admin_sock)
            self._endpoints.start()
            await self._until_serving()
            if not self._workers.draining:
                self._print_banner(sock, admin_sock, target)
                notify(READY)
            await self._workers.wait_until_stopping()
            notify(STOPPING)
            sock.close()
            await self._workers.wait_until_ended()
        finally:
            await self._endpoints.stop()
            await server.close()

    def _listen(self, server: AdminServer, admin_sock: socket.socket) -> None:
        try:
            server.start(admin_sock)
        except OSError as error:  # another process had bound the port, too, and listens since
            host, port = self._settings.admin_host, self._settings.admin_port
            raise StartupError(f"--admin-port {port} on {host}: {error.strerror}") from None

    def _target(self) -> Target:
        """Return what `--upstream` comes to, and an endpoint that is `embedded`."""
        settings = self._configuration.settings
        if self._simulator_target is not None and needs_simulator(settings):
            return self._simulator_target
        return settings.upstreams[0].endpoints[0] if settings.routes else parse_target(settings.upstream)

    def _start_simulator(self) -> None:
        if self._simulator is None:
            return
        try:
            self._simulator_target = self._simulator.start()
        except Exception as error:  # noqa: BLE001 (whatever the system rejects)
            raise StartupError(f"the embedded simulator cannot be started: {error}") from None

    async def _until_serving(self) -> None:
        """Wait until a worker serves and the embedded simulator does, or the gateway stops. Raises StartupError."""
        serving = asyncio.ensure_future(self._until_all_serve())
        stopping = asyncio.ensure_future(self._workers.wait_until_stopping())
        await asyncio.wait([serving, stopping], return_when=asyncio.FIRST_COMPLETED)
        stopping.cancel()
        if self._workers.draining:
            serving.cancel()
        await asyncio.wait([serving, stopping])
        if not serving.cancelled():
            serving.result()

    async def _until_all_serve(self) -> None:
        if self._simulator is not None and not await self._simulator.wait_until_ready():
            raise StartupError("the embedded simulator did not start")
        await self._workers.wait_until_one_serves()

    def _print_banner(self, sock: socket.socket, admin_sock: socket.socket, target: Target) -> None:
        settings = self._settings
        operations = f"{_url(admin_sock)}/metrics /livez /readyz /status /status.json /openapi.json"
        if settings.routes:
            # Few need it, and all would load it.
            from hedgerow.configuration.summary import example_request, first_routes  # noqa: PLC0415

            self._output.write(
                f"hedgerow: answering on {_url(sock)}\n"
                f"  routes      {first_routes(effective_routing(settings, target), ROUTES_SHOWN)}\n"
                f"  admin       {operations}\n"
                f"  try         {example_request(settings.routes, _url(sock))}"
            )
            return
        kind = " (the embedded simulator)" if self._simulator is not None else ""
        self._output.write(
            f"hedgerow: answering on {_url(sock)}/api/smart\n"
            f"  upstream    {target.redacted_url}{kind}\n"
            f"  admin       {operations}\n"
            f"  try         curl '{_url(sock)}/api/smart?timeout=900'"
        )


def _bind(host: str, port: int, setting: str) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StartupError(f"{setting.replace('port', 'host')} {host}: {error.strerror or error}") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        # Not listening yet: until a worker does, the kernel refuses connections (B14). bind() fails if another process
        # listens on the port; if it does so later, listen() fails.
    except OSError as error:
        sock.close()
        is_host = error.errno == errno.EADDRNOTAVAIL  # it is another machine's
        what = f"{setting.replace('port', 'host')} {host}" if is_host else f"{setting} {port} on {host}"
        raise StartupError(f"{what}: {os.strerror(error.errno or 0)}") from None
    return sock


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def _run(settings: Settings, read_again: Reload | None) -> None:
    await Supervisor(settings, read_again).run()


def run(settings: Settings, read_again: Reload | None = None) -> None:
    """Serve by these settings until a signal; raises StartupError.

    `read_again` is called at SIGHUP; without it the workers are replaced by the same settings.
    """
    asyncio.run(_run(settings, read_again))
