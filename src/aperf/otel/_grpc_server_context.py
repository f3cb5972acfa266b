"""Contexts of servicers that add the trace id to what is sent, and tell of messages and codes.

The classes of grpc.aio are native: nothing can be added to them, and handlers may be given
whatever has the same methods.
"""

# ruff: noqa: ANN401 - messages are the program's, and gRPC's own classes are native

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from grpc import aio

if TYPE_CHECKING:
    from ._grpc_rpc import Rpc

__all__ = ("SyncContext", "WatchedContext")

_EOF: Final = getattr(aio, "EOF")  # noqa: B009 - the stubs do not know it
_Metadata = tuple[tuple[str, Any], ...]


class WatchedContext:
    """The context of a handler that is a coroutine or an asynchronous generator.

    Args:
        context: gRPC's own.
        rpc: the call.
        extra: metadata to send beside the handler's, which does not see it.
    """

    __slots__ = ("_context", "_extra", "_rpc")

    def __init__(self, context: Any, rpc: Rpc, extra: _Metadata) -> None:
        self._context = context
        self._rpc = rpc
        self._extra = extra
        if extra:
            context.set_trailing_metadata((*context.trailing_metadata(), *extra))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def read(self) -> Any:
        """Read a request."""
        message = await self._context.read()
        if message is _EOF:
            self._rpc.end_of_requests()
        else:
            self._rpc.request()
        return message

    async def write(self, message: Any) -> None:
        """Send a response."""
        await self._context.write(message)
        self._rpc.response()

    def trailing_metadata(self) -> Any:
        """Return what the handler has set."""
        metadata = self._context.trailing_metadata()
        return metadata[: len(metadata) - len(self._extra)]

    def set_trailing_metadata(self, trailing_metadata: Any) -> None:
        """Set what the handler sends at the end."""
        self._context.set_trailing_metadata(trailing_metadata)  # complains of what is wrong with it
        self._context.set_trailing_metadata((*self._context.trailing_metadata(), *self._extra))

    async def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> None:
        """End the call."""
        await self._context.abort(code, details, _joined(trailing_metadata, self._extra))

    async def abort_with_status(self, status: Any) -> None:
        """End the call."""
        await self.abort(status.code, status.details, status.trailing_metadata)


class SyncContext:
    """The context of a handler that runs in a thread; it does not say which code was set.

    Attributes:
        code_set: the last one that the handler has set.
    """

    __slots__ = ("_context", "_extra", "code_set")

    def __init__(self, context: Any, extra: _Metadata) -> None:
        self._context = context
        self._extra = extra
        self.code_set: Any = None
        if extra:
            context.set_trailing_metadata(extra)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    def set_code(self, code: Any) -> None:
        """Set the code to end with."""
        self._context.set_code(code)
        self.code_set = code

    def set_trailing_metadata(self, metadata: Any) -> None:
        """Set what the handler sends at the end."""
        self._context.set_trailing_metadata(metadata)  # complains of what is wrong with it
        if self._extra:
            self._context.set_trailing_metadata((*metadata, *self._extra))

    def abort(self, code: Any, details: str = "", trailing_metadata: Any = ()) -> None:
        """End the call."""
        self.code_set = code
        self._context.abort(code, details, _joined(trailing_metadata, self._extra))


def _joined(metadata: Any, extra: _Metadata) -> Any:
    # Without metadata of its own, an abortion sends what was set before.
    return (*metadata, *extra) if isinstance(metadata, tuple) and metadata else metadata
