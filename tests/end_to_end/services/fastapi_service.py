"""A JSON API with FastAPI on uvicorn: `python fastapi_service.py PORT` prints its port once it listens."""

import hashlib
import os
import socket
import sys
from collections.abc import Iterator
from typing import Annotated

import uvicorn  # type: ignore[import-not-found]
from fastapi import FastAPI, Header, HTTPException, Query, Request, Response  # type: ignore[import-not-found]
from fastapi.middleware.cors import CORSMiddleware  # type: ignore[import-not-found]
from fastapi.responses import StreamingResponse  # type: ignore[import-not-found]
from pydantic import BaseModel

PIECE = b"0123456789abcdef" * 1024

app = FastAPI()
app.add_middleware(CORSMiddleware, allow_origins=["https://shop.test"], allow_methods=["GET", "PUT"])


class Item(BaseModel):
    """What clients send."""

    name: str
    price: float = 0.0


@app.get("/items")  # type: ignore[untyped-decorator]
def search(limit: int, tag: Annotated[list[str], Query()]) -> dict[str, object]:
    return {"hits": [{"id": number} for number in range(limit)], "tags": tag}


@app.get("/items/{number}")  # type: ignore[untyped-decorator]
def read(number: int) -> dict[str, object]:
    if number > 99:
        raise HTTPException(404, "no such item")
    return {"id": number}


@app.post("/items", status_code=201)  # type: ignore[untyped-decorator]
def create(item: Item, response: Response) -> dict[str, object]:
    response.headers["Location"] = f"/items/{item.name}"
    return {"name": item.name, "price": item.price}


@app.put("/items/{number}")  # type: ignore[untyped-decorator]
@app.patch("/items/{number}")  # type: ignore[untyped-decorator]
def change(number: int, item: Item) -> dict[str, object]:
    return {"id": number, "name": item.name}


@app.delete("/items/{number}", status_code=204)  # type: ignore[untyped-decorator]
def delete(number: int) -> None:
    pass


@app.get("/private")  # type: ignore[untyped-decorator]
def private(authorization: Annotated[str | None, Header()] = None) -> dict[str, object]:
    if authorization is None:
        raise HTTPException(401, "who is it?", {"WWW-Authenticate": 'Bearer realm="shop"'})
    return {"authorization": authorization}


@app.get("/large")  # type: ignore[untyped-decorator]
def large(pieces: int) -> Response:
    return Response(PIECE * pieces, media_type="application/octet-stream")


@app.get("/streamed")  # type: ignore[untyped-decorator]
def streamed(pieces: int) -> StreamingResponse:
    def body() -> Iterator[bytes]:
        for _ in range(pieces):
            yield PIECE

    return StreamingResponse(body(), media_type="application/octet-stream")


@app.get("/self")  # type: ignore[untyped-decorator]
def itself(request: Request) -> dict[str, object]:
    """Return which process this is, and the client's end of the connection."""
    return {"process": os.getpid(), "peer": "{}:{}".format(*request.client)}


@app.post("/digest")  # type: ignore[untyped-decorator]
async def digest(request: Request) -> dict[str, object]:
    body = await request.body()
    return {"bytes": len(body), "sha256": hashlib.sha256(body).hexdigest()}


if __name__ == "__main__":
    listening = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=128)
    sys.stdout.write(f"{listening.getsockname()[1]}\n")
    sys.stdout.flush()
    server = uvicorn.Server(uvicorn.Config(app, access_log=False, log_level="warning"))
    server.run(sockets=[listening])
