"""The span processors of an application's provider: what they take, and how much at a time.

Spans go to `on_end` alone. `on_start` would tell processors that a span begins now, on this thread
and in this context, and they believe it: they copy baggage, tag the thread, announce pending
spans. The SDK's own ones do nothing there, and tail samplers pass on what they have not seen begin.

The suppress-instrumentation key is left to them as well: the SDK's set it while they export, and
others, like Logfire's, refuse every span while it is set.

Theory of operation, of the room. The SDK's batch processor drops the oldest span when its queue is
full, and says so to nobody; the application's spans would be lost like aperf's, and an event loop
easily makes more spans than one can send. So it gets no more of aperf's than half its queue takes,
and the rest waits in a queue of aperf's, which counts what it drops. There is no public way to ask
for the queue: where it is not found, there is no limit.
"""

from __future__ import annotations

import logging
from collections import deque
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from opentelemetry.sdk.trace import (
    ConcurrentMultiSpanProcessor,
    ReadableSpan,
    SynchronousMultiSpanProcessor,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

__all__ = ("Processors",)

_LOG: Final = logging.getLogger("aperf")

_UNLIMITED: Final = 1 << 62

#: Processors in processors deeper than this are not looked at: one may contain itself.
_MAX_DEPTH: Final = 8


class _Queue(NamedTuple):
    """A queue of a batch processor."""

    owner: object
    content: deque[Any]
    most: int  #: so many spans of ours and others' may be in it when we add one

    @property
    def room(self) -> int:
        return max(0, self.most - len(self.content))

    @property
    def is_shut_down(self) -> bool:
        return bool(getattr(self.owner, "_shutdown", False) or getattr(self.owner, "done", False))


class Processors:
    """The processors of a provider, as they are at the moment.

    Args:
        provider: the application's.
    """

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._seen: tuple[SpanProcessor, ...] = ()
        self._queues: tuple[_Queue, ...] = ()

    def refresh(self) -> None:
        """Look for processors that were added meanwhile."""
        seen = tuple(_parts(self._provider._active_span_processor))
        if seen != self._seen:
            self._seen = seen
            self._queues = tuple(_queues(seen))

    @property
    def room(self) -> int:
        """How many spans they should get by now."""
        return min((queue.room for queue in self._queues), default=_UNLIMITED)

    @property
    def are_shut_down(self) -> bool:
        """Whether they are known to ignore all they get."""
        queues = self._queues
        return bool(queues) and all(queue.is_shut_down for queue in queues)

    def on_end(self, spans: Sequence[ReadableSpan]) -> tuple[int, Exception | None]:
        """Hand spans to each of them.

        Returns:
            how many spans were refused by one or more, and the last reason.
        """
        refused, reason = 0, None
        for span in spans:
            complaint = None
            for processor in self._seen:
                try:
                    processor.on_end(span)
                except Exception as error:  # the others are to get it nevertheless
                    complaint = error
            if complaint is not None:
                refused, reason = refused + 1, complaint
        return refused, reason

    def force_flush(self) -> bool:
        """Have each of them deliver; say whether none said no.

        None is no answer at all: it is what the base class of old SDKs (1.27) returns,
        whose distributors take it for a no.
        """
        answers = [_force_flush(processor) for processor in self._seen]
        return False not in answers


def _force_flush(processor: SpanProcessor) -> bool | None:
    try:
        return processor.force_flush()
    except Exception:
        _LOG.debug("a span processor of the application failed to flush", exc_info=True)
        return False


def _parts(processor: SpanProcessor, depth: int = 0) -> Iterator[SpanProcessor]:
    """Yield what is behind the SDK's distributors, which stop at the first that raises."""
    is_distributor = type(processor) in (
        SynchronousMultiSpanProcessor,
        ConcurrentMultiSpanProcessor,
    )
    if not is_distributor or depth > _MAX_DEPTH:
        yield processor
        return
    for part in getattr(processor, "_span_processors", ()):
        yield from _parts(part, depth + 1)


def _queues(processors: Sequence[SpanProcessor], depth: int = 0) -> Iterator[_Queue]:
    for processor in processors:
        if (queue := _queue_of(processor)) is not None:
            yield queue
        elif depth < _MAX_DEPTH:
            wrapped = getattr(processor, "processor", None)
            inner = (wrapped,) if wrapped is not None else ()
            yield from _queues((*inner, *getattr(processor, "_span_processors", ())), depth + 1)


def _queue_of(processor: object) -> _Queue | None:
    owner: object = getattr(processor, "_batch_processor", None)
    names = ("_queue", "_max_queue_size", "_max_export_batch_size")
    if owner is None:  # before 1.33
        owner, names = processor, ("queue", "max_queue_size", "max_export_batch_size")
    content, size, portion = (getattr(owner, name, None) for name in names)
    if not (isinstance(content, deque) and isinstance(size, int) and isinstance(portion, int)):
        return None
    # It exports when it has so many: with less it would wait for its timer each time.
    return _Queue(owner, content, max(size // 2, min(portion, size)))
