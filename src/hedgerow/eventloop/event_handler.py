"""What the event loop calls."""

from mypy_extensions import mypyc_attr


@mypyc_attr(allow_interpreted_subclasses=True)
class EventHandler:
    """The base of everything that is registered with an event loop, has a deadline in it, or is woken by it.

    A class overrides what it asks for. One base class, and no protocol for each role: once compiled a call of the event
    loop's then costs some 20 instructions in place of 300 (decision 0017).
    """

    __slots__ = ()

    def on_ready(self, mask: int) -> None:
        """Called when a registered descriptor is ready for what `mask` says (`READABLE`, EPOLLERR, EPOLLHUP …)."""
        raise NotImplementedError

    def abort(self) -> None:
        """Called when `on_ready` has raised, which is an internal error: unregister and close."""
        raise NotImplementedError

    def on_deadline(self) -> None:
        """Called when an instant has come that was given to `EventLoop.call_at`."""
        raise NotImplementedError

    def resume(self) -> None:
        """Go on; called once for each call of `EventLoop.wake`."""
        raise NotImplementedError

    def flush(self) -> None:
        """Send what is written; called once for each call of `EventLoop.flush_later`. Must not raise."""
        raise NotImplementedError
