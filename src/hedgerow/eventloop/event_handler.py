"""What the event loop calls."""

from mypy_extensions import mypyc_attr


@mypyc_attr(acyclic=True, allow_interpreted_subclasses=True)
class EventHandler:
    """The base of everything that is registered with an event loop, has a deadline in it, or is woken by it.

    A class overrides what it registers for. One base class instead of a protocol for each role: compiled, a call by the
    event loop then costs some 20 instructions instead of 300 (decision 0009).
    """

    __slots__ = ()

    def on_ready(self, mask: int) -> None:
        """Handle the events of a registered descriptor that is ready: `mask` (`READABLE`, EPOLLERR, EPOLLHUP …)."""
        raise NotImplementedError

    def abort(self) -> None:
        """Unregister and close, since `on_ready` has raised, which is an internal error."""
        raise NotImplementedError

    def on_deadline(self) -> None:
        """Do what is due: an instant has come that was given to `EventLoop.call_at`."""
        raise NotImplementedError

    def resume(self) -> None:
        """Go on, once for each call of `EventLoop.wake`."""
        raise NotImplementedError

    def flush(self) -> None:
        """Send what is written; called once for each call of `EventLoop.flush_later`. Must not raise."""
        raise NotImplementedError
