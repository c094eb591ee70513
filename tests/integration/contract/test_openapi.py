"""`/openapi.json` is true: whatever comes is in it, and all that is in it comes."""

import json
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

import hedgerow.server.server
from hedgerow.admin.openapi import document
from hedgerow.admin.router import AdminRouter
from hedgerow.admin.server import AdminServer
from hedgerow.core.hedging import HedgePlan
from hedgerow.core.outcomes import Attempt, AttemptHandle, AttemptSender
from hedgerow.core.request import Request
from hedgerow.core.response import JSON, Response
from hedgerow.gateway import SMART_PATH, Gateway
from hedgerow.processes.admin_endpoints import AdminEndpoints
from hedgerow.processes.child_processes import ChildProcesses
from hedgerow.processes.worker_manager import WorkerManager
from hedgerow.settings import ClientLimits, LogFormat, Settings
from hedgerow.telemetry.logs import Logs
from integration.conftest import Serve, ServedWorker
from support.raw_http import Client, scripted, sending
from support.raw_http import ok as success
from support.routes import only, smart_route

Node = dict[str, Any]

DOCUMENT: Node = json.loads(document(Settings(), 8080))
SMART = SMART_PATH.decode()
OPERATIONS = [path for path in DOCUMENT["paths"] if path != SMART]
METHODS = ("get", "head")
DESCRIBED_ELSEWHERE = {"content-type", "content-length", "connection"}
"""Headers that need not be described: OpenAPI has another place for them, or they are the connection's."""
NO_UPSTREAM = "http://127.0.0.1:1/"
SHORT = ClientLimits(head_timeout_s=0.05)


@dataclass(frozen=True)
class Answer:
    """What came of one request."""

    path: str
    method: str
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def described(self) -> Node:
        """The description of this response in the document."""
        responses = DOCUMENT["paths"][self.path][self.method]["responses"]
        assert str(self.status) in responses, (
            f"{self.method} {self.path} answers {self.status}, which is not described"
        )
        described: Node = responses[str(self.status)]
        return described

    @property
    def code(self) -> str:
        return str(json.loads(self.body).get("code", "")) if self.body[:1] == b"{" else ""


class AdminPort:
    """A served admin port without workers."""

    def __init__(self, server: AdminServer, port: int) -> None:
        self.server = server
        self.port = port

    async def client(self) -> Client:
        return await Client.connect(self.port)


@dataclass
class Ask:
    """Asks a path of a gateway, by GET or by HEAD."""

    served: ServedWorker | AdminPort
    path: str
    method: str

    async def __call__(
        self, query: str = "", headers: bytes = b"", *, end: bytes = b"\r\n", version: bytes = b"1.1"
    ) -> Answer:
        client = await self.served.client()
        line = f"{self.method.upper()} {self.path}{query} HTTP/".encode()
        client.send(line + version + b"\r\nHost: x\r\n" + headers + end)
        answer = await self.answer_to(client)
        if answer.headers.get("connection") == "close":
            assert await client.closed() == b"", "HEAD has no body, rejected or not"
        client.close()
        return answer

    async def answer_to(self, client: Client) -> Answer:
        return Answer(self.path, self.method, *await client.response(head_only=self.method == "head"))


async def rejections(ask: Ask, impatient: Ask) -> AsyncIterator[Answer]:
    """Responses to invalid heads, and of one that is impatient to one that is not whole."""
    yield await ask(headers=b"Content-Length: 1\r\n")
    yield await impatient(headers=b"X: y", end=b"")
    yield await ask("?" + "x" * 9_000)
    yield await ask(headers=b"Expect: more\r\n")
    yield await ask(headers=b"X: " + b"x" * 33_000 + b"\r\n")
    yield await ask(version=b"2.0")


async def one_connection_too_many(ask: Ask) -> Answer:
    assert isinstance(ask.served, ServedWorker)
    listener = ask.served.server._listener
    assert listener is not None
    listener._max_clients, before = 0, listener._max_clients
    client = await ask.served.client()
    answer = await ask.answer_to(client)
    client.close()
    listener._max_clients = before
    return answer


class Broken(AttemptSender):
    """An upstream with a bug."""

    def send(self, attempt: Attempt) -> AttemptHandle:
        raise ZeroDivisionError


async def answers_of_the_main_port(serve: Serve, method: str) -> AsyncIterator[Answer]:
    async with scripted(sending(success())) as upstream:
        served = await serve(upstream.url)
        ask = Ask(served, SMART, method)
        impatient = Ask(await serve(upstream.url, client_limits=SHORT), SMART, method)
        yield await ask()
        yield await ask("?timeout=0")
        async for answer in rejections(ask, impatient):
            yield answer
        yield await one_connection_too_many(ask)
        worker = served.worker
        broken = Gateway(
            only(smart_route(Broken(), HedgePlan(0.3, 2), 1_000, 1_000)),
            admission=worker.admission,
            loop=worker.loop,
            observer=worker.recorder,
        )
        served.server._context.handler = broken
        yield await ask()
        served.expected_internal_errors = 1
    yield await Ask(await serve(NO_UPSTREAM, hedges=0), SMART, method)()
    yield await Ask(await serve(NO_UPSTREAM, max_in_flight=0), SMART, method)("?timeout=40")
    yield await Ask(await serve(NO_UPSTREAM), SMART, method)("?timeout=1")
    yield await Ask(await serve(NO_UPSTREAM), SMART, method)("?timeout=40")


async def answers_of_the_admin_port(method: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Answer]:
    logs = Logs(LogFormat.JSON, "info")
    children = ChildProcesses()
    workers = WorkerManager(Settings(), logs.log, children)
    endpoints = AdminEndpoints(Settings(), workers, logs)
    routes = endpoints.routes(8080)
    servers = AdminServer(routes.answer, ClientLimits()), AdminServer(routes.answer, SHORT)
    with socket.socket() as sock, socket.socket() as other:
        for server, its in zip(servers, (sock, other), strict=True):
            its.bind(("127.0.0.1", 0))
            server.start(its)
        for path in OPERATIONS:
            ask, impatient = (
                Ask(AdminPort(server, its.getsockname()[1]), path, method)
                for server, its in zip(servers, (sock, other), strict=True)
            )
            yield await ask()
            yield await ask("?request_id=unknown")
            async for answer in rejections(ask, impatient):
                yield answer
            if path.encode() not in routes._endpoints:
                continue
            with monkeypatch.context() as injected:
                for does in (raising, hanging, ready):
                    injected.setitem(routes._endpoints, path.encode(), partial(does, routes))
                    yield await ask()
        for server in servers:
            await server.close()
    await workers.close()
    children.close()


async def raising(_routes: AdminRouter, _: Request) -> Response:
    raise ZeroDivisionError


async def hanging(_routes: AdminRouter, _: Request) -> Response:
    raise TimeoutError


async def ready(routes: AdminRouter, request: Request) -> Response:
    if request.path == b"/readyz":
        return Response(200, b'{"ready":true,"reason":"injected"}', content_type=JSON)
    return await raising(routes, request)


@pytest.fixture(params=METHODS)
async def answers(
    request: pytest.FixtureRequest, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> list[Answer]:
    """Every kind of answer that there is, by one method."""
    monkeypatch.setattr(hedgerow.server.server, "REAP_INTERVAL_S", 0.01)
    method = request.param
    return [answer async for answer in answers_of_the_main_port(serve, method)] + [
        answer async for answer in answers_of_the_admin_port(method, monkeypatch)
    ]


def resolved(node: Node) -> Node:
    """Follow a reference within the document."""
    found = DOCUMENT
    if "$ref" not in node:
        return node
    for part in node["$ref"].removeprefix("#/").split("/"):
        found = found[part]
    return found


def check(schema: Node, value: object) -> None:
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(value)


def check_headers(answer: Answer) -> None:
    described = {name.lower(): resolved(header) for name, header in answer.described["headers"].items()}
    for name, header in described.items():
        assert not header["required"] or name in answer.headers, f"{name} is missing: {answer}"
        if name in answer.headers:
            value: str | int = answer.headers[name]
            check(header["schema"], int(value) if header["schema"]["type"] == "integer" else value)
    assert answer.headers.keys() <= described.keys() | DESCRIBED_ELSEWHERE


def check_body(answer: Answer) -> None:
    content = answer.described.get("content")
    if content is None:
        assert answer.method == "head"
        return
    schema = content[answer.headers["content-type"]]["schema"]
    text = answer.body.decode()
    check(schema, text if schema == {"type": "string"} else json.loads(text))


def codes_described(response: Node) -> set[str]:
    """Return the codes of a response's bodies; an empty one stands for what is no problem."""
    codes: set[str] = set()
    for media_type, content in response.get("content", {"": {}}).items():
        is_problem = media_type == "application/problem+json"
        codes.update(content["schema"]["properties"]["code"]["enum"] if is_problem else [""])
    return codes


async def test_what_comes_is_described_and_what_is_described_comes(answers: list[Answer]) -> None:
    for answer in answers:
        check_headers(answer)
        check_body(answer)
    method = answers[0].method
    come = {(answer.path, answer.status, answer.code) for answer in answers}
    described = {
        (path, int(status), code)
        for path, item in DOCUMENT["paths"].items()
        for status, response in item[method]["responses"].items()
        for code in codes_described(response)
    }
    assert come == described
    headers = {(answer.path, answer.status, name) for answer in answers for name in answer.headers}
    for path, item in DOCUMENT["paths"].items():
        for status, response in item[method]["responses"].items():
            for name in response["headers"]:
                assert (path, int(status), name.lower()) in headers


def test_a_schema_that_is_not_kept_is_noticed() -> None:
    """The other tests would pass with schemas that allow everything."""
    problem = {
        "type": "about:blank",
        "title": "Bad Gateway",
        "status": 502,
        "detail": "",
        "code": "all_failed",
    }
    attempt = {"number": 1, "launched_at_ms": 0.1, "outcome": "reset"}
    described = {**problem, "request_id": "a", "attempts": [attempt]}
    schema = DOCUMENT["paths"][SMART]["get"]["responses"]["502"]["content"]["application/problem+json"][
        "schema"
    ]
    check(schema, described)
    for wrong in (
        problem,
        {**described, "status": 504},
        {**described, "code": "out_of_time"},
        {**described, "more": 1},
        {**described, "attempts": [{**attempt, "outcome": "success"}]},
        {**described, "attempts": [{**attempt, "more": 1}]},
    ):
        with pytest.raises(Exception, match="Failed validating"):
            check(schema, wrong)
