"""One computation for all clients of the admin port that ask for the same at the same time."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """One computation for all clients that request the same at the same time."""

    def __init__(self, compute: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self._compute = compute
        self._task: asyncio.Task[T] | None = None

    async def get(self) -> T:
        """Return the result of the running computation, or of a new one. Cancelling does not cancel it for others."""
        if self._task is None or self._task.done():
            self._task = asyncio.get_running_loop().create_task(self._compute())
        return await asyncio.shield(self._task)

    async def stop(self) -> None:
        """Cancel the computation."""
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait([self._task])
