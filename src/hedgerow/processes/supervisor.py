"""The supervisor: binds the ports, starts the workers and the embedded upstream, watches over them, ends them.

Workers share one listening socket, so connections that the kernel has queued are not lost when one of them ends
(with SO_REUSEPORT they would be).
"""

import asyncio
import os
import signal
import socket

from hedgerow.admin.server import AdminServer
from hedgerow.processes.admin_endpoints import AdminEndpoints
from hedgerow.processes.embedded_simulator import EmbeddedSimulator
from hedgerow.processes.worker_manager import WorkerManager
from hedgerow.service_manager import READY, STOPPING, notify
from hedgerow.settings import EMBEDDED, Settings, Target, parse_target
from hedgerow.telemetry.logs import Logs, Sink

STANDARD_OUTPUT = 1


class StartupError(Exception):
    """Nothing could be served; one line for people."""


class Supervisor:
    """All processes of one gateway."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._logs = Logs(settings.log_format, settings.log_level)
        self._log = self._logs.log
        self._output = Sink(STANDARD_OUTPUT)
        """For the lines at the start: like the log it may have no reader, or a full disk."""
        embedded = settings.upstream == EMBEDDED
        self._simulator = EmbeddedSimulator(self._log) if embedded else None
        self._workers = WorkerManager(settings, self._log)
        self._endpoints = AdminEndpoints(settings, self._workers, self._logs)

    async def run(self) -> None:
        """Serve until a signal says otherwise. Raises StartupError."""
        settings, loop = self._settings, asyncio.get_running_loop()
        self._logs.catch_all()
        sock = _bind(settings.host, settings.port, "--port")
        admin_sock = _bind(settings.admin_host, settings.admin_port, "--admin-port")
        stop, stop_at_once = self._stops_on_signals()
        routes = self._endpoints.routes(port=sock.getsockname()[1])
        server = AdminServer(routes.answer, settings.client_limits)
        try:
            target = await self._target()
            self._workers.start(sock, target)
            loop.add_signal_handler(signal.SIGHUP, self._workers.replace, sock, target)
            server.start(admin_sock)
            self._endpoints.start()
            ready = loop.create_task(self._until_serving(target))
            stopped = loop.create_task(stop.wait())
            await asyncio.wait([ready, stopped], return_when=asyncio.FIRST_COMPLETED)
            if not stop.is_set():
                ready.result()
                self._print_banner(sock, admin_sock, target)
                notify(READY)
            ready.cancel()
            await stopped
            notify(STOPPING)
            await self._workers.stop(sock, stop_at_once)
        finally:
            loop.remove_signal_handler(signal.SIGHUP)
            await self._endpoints.stop()
            await self._workers.close()
            await server.close()
            if self._simulator is not None:
                await self._simulator.stop()
            sock.close()
            admin_sock.close()
            self._logs.close()
            self._output.flush()

    @staticmethod
    def _stops_on_signals() -> tuple[asyncio.Event, asyncio.Event]:
        """Return what the first SIGTERM or SIGINT sets, and what the next one sets."""
        loop, stop, stop_at_once = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()

        def on_signal() -> None:
            (stop_at_once if stop.is_set() else stop).set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        loop.add_signal_handler(signal.SIGHUP, lambda: None)  # nothing to replace yet, and no reason to die
        return stop, stop_at_once

    async def _target(self) -> Target:
        if self._simulator is not None:
            return await self._simulator.start()
        return parse_target(self._settings.upstream)

    async def _until_serving(self, target: Target) -> None:
        """Wait until a worker serves, and the embedded simulator does. Raises StartupError."""
        if self._simulator is not None and not await self._simulator.wait_until_ready(target.port):
            raise StartupError("the embedded simulator did not start")
        await self._workers.wait_until_one_serves()

    def _print_banner(self, sock: socket.socket, admin_sock: socket.socket, target: Target) -> None:
        kind = " (the embedded simulator)" if self._simulator is not None else ""
        self._output.write(
            f"hedgerow: answering on {_url(sock)}/api/smart\n"
            f"  upstream    {target.scheme}://{target.authority}{target.path}{kind}\n"
            f"  operations  {_url(admin_sock)}/metrics /livez /readyz /status /status.json /openapi.json\n"
            f"  try         curl '{_url(sock)}/api/smart?timeout=900'"
        )


def _bind(host: str, port: int, setting: str) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        sock = socket.socket(family, kind, protocol)
    except OSError as error:
        raise StartupError(f"--host {host}: {error.strerror or error}") from None
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        # Not listening yet: until a worker does, the kernel refuses connections (B14). A port on which another process
        # listens is taken all the same.
    except OSError as error:
        sock.close()
        raise StartupError(f"{setting} {port} on {host}: {os.strerror(error.errno or 0)}") from None
    return sock


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def run(settings: Settings) -> None:
    """Serve by these settings until a signal; raises StartupError."""
    asyncio.run(Supervisor(settings).run())
