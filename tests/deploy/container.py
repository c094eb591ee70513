"""Running an image's own command as a container engine does: own namespaces, read-only root, the image's user.

There is no engine in the tests' environment that may run containers, so util-linux does it.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil

from support.tools import tool

BOUND_S = 60
"""No step takes longer, unless something is broken."""

ENTER = """
mount --bind "$0" "$0" && cd "$0" && mount --rbind /dev dev && mount -t proc proc proc \
  && mount -o remount,bind,ro "$0" && ip link set lo up && exec chroot --userspec="$1" --groups= "$0" "${@:2}"
"""


@dataclass(frozen=True)
class Image:
    """A built image: its files and what it says of itself."""

    root: str
    config: dict[str, Any]

    @property
    def environment(self) -> dict[str, str]:
        return dict(variable.split("=", 1) for variable in self.config["Env"])

    @contextmanager
    def run(self, *arguments: str, **environment: str) -> Iterator["Container"]:
        """Do as `docker run -e NAME=VALUE … IMAGE [ARGUMENT …]` would."""
        command = [*self.config["Entrypoint"], *(arguments or self.config["Cmd"])]
        with subprocess.Popen(
            [tool("unshare"), "--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child",
             "bash", "-c", ENTER, self.root, self.config["User"], *command],
            env={**self.environment, **environment}, stdout=subprocess.PIPE, text=True,
        ) as engine:  # fmt: skip
            try:
                yield Container(self, engine)
            finally:
                # The kernel ends a namespace with its first process; the engine's own end would not do.
                first = psutil.Process(engine.pid).children() if engine.poll() is None else []
                for process in first:
                    process.kill()
                engine.wait(BOUND_S)


class Container:
    """A running container."""

    def __init__(self, image: Image, engine: "subprocess.Popen[str]") -> None:
        assert engine.stdout is not None
        self.image = image
        self.engine = engine
        self.said = [engine.stdout.readline() for _ in range(4)]
        (self.first,) = psutil.Process(engine.pid).children()

    def start(self, *command: str) -> "subprocess.Popen[str]":
        """Do as `docker exec` would."""
        user, group = self.image.config["User"].split(":")
        return subprocess.Popen(
            [tool("nsenter"), f"--target={self.first.pid}", "--mount", "--pid", "--net", "--ipc", "--uts",
             "--root", "--wd", f"--setuid={user}", f"--setgid={group}", *command],
            env=self.image.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def exec(self, *command: str) -> tuple[int, str]:
        with self.start(*command) as process:
            said, _ = process.communicate(timeout=BOUND_S)
            return process.returncode, said

    def healthcheck(self) -> tuple[int, str]:
        """Run the image's own HEALTHCHECK."""
        kind, *command = self.image.config["Healthcheck"]["Test"]
        assert kind == "CMD", "no shell between"
        return self.exec(*command)

    def get(self, url: str) -> tuple[int, dict[str, Any]]:
        """Ask from within the container's network."""
        return answer(self.start("python3", "-c", GET, url))


GET = """
import sys, urllib.error, urllib.request
try: answer = urllib.request.urlopen(sys.argv[1], timeout=60)
except urllib.error.HTTPError as error: answer = error
print(answer.status, answer.read().decode())
"""


def answer(asking: "subprocess.Popen[str]") -> tuple[int, dict[str, Any]]:
    with asking:
        said, _ = asking.communicate(timeout=BOUND_S)
    status, body = said.split(" ", 1)
    return int(status), json.loads(body)
