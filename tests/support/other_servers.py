"""nginx and HAProxy as processes, on sockets that they inherit: no port is asked for before it is used."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from support.tools import tool

ANY_PORT = ("127.0.0.1", 0)


@contextmanager
def running(
    arguments: Callable[[socket.socket], list[str]],
    environment: Callable[[socket.socket], dict[str, str]],
    address: tuple[str, int],
) -> Iterator[str]:
    """Run a server on a socket that it inherits; yields its URL."""
    with socket.create_server(address) as sock:
        sock.setblocking(False)
        process = subprocess.Popen(
            arguments(sock),
            env={**os.environ, **environment(sock)},
            pass_fds=[sock.fileno()],
            stderr=subprocess.DEVNULL,
        )
        host, port = sock.getsockname()
    with process:
        try:
            yield f"http://{host}:{port}"
        finally:
            process.terminate()


@contextmanager
def nginx(
    folder: Path, server: str, http: str = "", *, tls: bool = False, address: tuple[str, int] = ANY_PORT
) -> Iterator[str]:
    """Run nginx with these lines in its `server` and `http` blocks."""
    program = tool("nginx")
    config = folder / "nginx.conf"

    def arguments(sock: socket.socket) -> list[str]:
        host, port = sock.getsockname()
        config.write_text(
            f"daemon off; pid {folder}/pid; error_log /dev/null;\n"
            "events {}\n"
            "http { access_log off; client_body_temp_path b; proxy_temp_path p; fastcgi_temp_path f;\n"
            f"  uwsgi_temp_path u; scgi_temp_path s; {http}\n"
            f"  server {{ listen {host}:{port}{' ssl' if tls else ''}; {server} }} }}\n"
        )
        return [program, "-p", str(folder), "-e", "/dev/null", "-c", str(config)]

    # Thus a new nginx gets the sockets of the one that it replaces (https://nginx.org/en/docs/control.html#upgrade).
    with running(arguments, lambda sock: {"NGINX": f"{sock.fileno()};"}, address) as url:
        yield url.replace("http:", "https:") if tls else url


@contextmanager
def haproxy(folder: Path, listen: str) -> Iterator[str]:
    """Run HAProxy with these lines in its only `listen` section."""
    program = tool("haproxy")
    config = folder / "haproxy.cfg"

    def arguments(sock: socket.socket) -> list[str]:
        config.write_text(
            "global\n  nbthread 1\n"  # each thread would have connections of its own
            "defaults\n  mode http\n  timeout connect 5s\n  timeout client 30s\n  timeout server 30s\n"
            f"listen all\n  bind fd@{sock.fileno()}\n{listen}\n"
        )
        return [program, "-db", "-f", str(config)]

    with running(arguments, lambda _: {}, ANY_PORT) as url:
        yield url
