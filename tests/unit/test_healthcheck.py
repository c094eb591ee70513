"""`hedgerow healthcheck` against an admin port that says one thing or another."""

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from click.testing import CliRunner

from hedgerow.cli import main


class Operations(BaseHTTPRequestHandler):
    """Alive, and not ready."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/livez" else 503)
        self.send_header("Content-Length", str(len(self.path)))
        self.end_headers()
        self.wfile.write(self.path.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Operations) as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield str(server.server_port)
        server.shutdown()
        serving.join()


def check(*arguments: str, **environment: str) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["healthcheck", *arguments], env=environment)
    return result.exit_code, result.output


def test_it_asks_whether_the_gateway_is_ready(port: str) -> None:
    assert check("--admin-port", port) == (1, "/readyz\n")


def test_it_asks_whether_the_gateway_is_alive(port: str) -> None:
    assert check("--admin-port", port, "--live") == (0, "/livez\n")


def test_it_finds_a_gateway_that_listens_on_every_address(port: str) -> None:
    environment = {"HEDGEROW_ADMIN_HOST": "0.0.0.0", "HEDGEROW_ADMIN_PORT": port}
    assert check("--live", **environment) == (0, "/livez\n")


def test_a_closed_port_is_not_healthy() -> None:
    with socket.socket() as taken:  # bound, and not listening: connecting is refused
        taken.bind(("127.0.0.1", 0))
        code, said = check("--admin-port", str(taken.getsockname()[1]))
    assert code == 1
    assert "Connection refused" in said
    assert said.count("\n") == 1


def test_an_answer_that_is_not_http_is_not_healthy() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def babble() -> None:
            client, _ = server.accept()
            with client:
                client.recv(1024)
                client.sendall(b"SSH-2.0-nonsense\r\n")

        answering = threading.Thread(target=babble)
        answering.start()
        code, said = check("--admin-port", str(server.getsockname()[1]))
        answering.join()
    assert code == 1
    assert "no answer" in said
