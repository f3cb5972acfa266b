"""Streams that tell of the messages that pass. They are otherwise what they wrap."""

# ruff: noqa: ANN401 - messages are the program's, and gRPC's own classes are native

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import Any

__all__ = ("WatchedAsyncStream", "WatchedStream", "watched_stream")


class WatchedAsyncStream:
    """An asynchronous stream.

    It is no generator: it holds nothing between two messages, and what it wraps is closed, or not,
    as it would be without it.

    Args:
        stream: where the messages come from.
        message: called after each one.
        ended: called at the end, but not when the stream breaks off.
    """

    __slots__ = ("_ended", "_iterator", "_message", "_stream")

    def __init__(
        self, stream: AsyncIterable[Any], message: Callable[[], None], ended: Callable[[], None]
    ) -> None:
        self._stream = stream
        self._iterator: AsyncIterator[Any] | None = None
        self._message = message
        self._ended = ended

    def __aiter__(self) -> WatchedAsyncStream:
        if self._iterator is None:
            self._iterator = aiter(self._stream)
        return self

    async def __anext__(self) -> Any:
        iterator = aiter(self)._iterator
        assert iterator is not None
        try:
            message = await anext(iterator)
        except StopAsyncIteration:
            self._ended()
            raise
        self._message()
        return message

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream if self._iterator is None else self._iterator, name)


class WatchedStream:
    """A stream that blocks; the arguments are the same."""

    __slots__ = ("_ended", "_iterator", "_message", "_stream")

    def __init__(
        self, stream: Iterable[Any], message: Callable[[], None], ended: Callable[[], None]
    ) -> None:
        self._stream = stream
        self._iterator: Iterator[Any] | None = None
        self._message = message
        self._ended = ended

    def __iter__(self) -> WatchedStream:
        if self._iterator is None:
            self._iterator = iter(self._stream)
        return self

    def __next__(self) -> Any:
        iterator = iter(self)._iterator
        assert iterator is not None
        try:
            message = next(iterator)
        except StopIteration:
            self._ended()
            raise
        self._message()
        return message

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream if self._iterator is None else self._iterator, name)


def watched_stream(
    stream: AsyncIterable[Any] | Iterable[Any],
    message: Callable[[], None],
    ended: Callable[[], None],
) -> WatchedAsyncStream | WatchedStream:
    """Wrap a stream of either kind."""
    if isinstance(stream, AsyncIterable):
        return WatchedAsyncStream(stream, message, ended)
    return WatchedStream(stream, message, ended)
