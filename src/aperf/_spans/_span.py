"""Opening spans, and finding the one that is open."""

from __future__ import annotations

import sys

from . import _active
from ._handle import INERT, ActiveSpan, SpanBlock
from ._node import nearest_open

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from aperf.model import SpanContext

    from ._node import Node

__all__ = ("current_context", "current_span", "open_span", "span")


def span(name: str, /, **attributes: object) -> ActiveSpan:
    """Record a block of code as a span.

    Example::

        with aperf.span("checkout", order=order.id) as span:
            total = await price(order)
            span.set_attribute("total", total)

    Args:
        name: what the block does; the same for each run of it, so that runs can be compared.
        attributes: what distinguishes this run, see `ActiveSpan.set_attribute`.

    Returns:
        A context manager that gives its handle. While nothing is recorded it is inert.
    """
    recording = _active.recording
    if recording is None or not recording.recorder.armed:
        return INERT
    frame = sys._getframe(1)
    return SpanBlock(recording, name, attributes, (frame.f_code, frame.f_lasti))


def current_span() -> ActiveSpan:
    """Return the span under which a span opened here would appear.

    That is the innermost span open in this task, else the task's own; outside of tasks, the
    innermost open span of this thread, else the one that it inherited from whoever started it.
    Where there is none, or nothing is recorded, it is inert.
    """
    recording = _active.active()
    if recording is None:
        return INERT
    node = recording.current()
    return INERT if node is None else ActiveSpan(node)


def current_context(*, exported: bool = False) -> SpanContext | None:
    """Return what identifies the innermost span here, aperf's or OpenTelemetry's.

    Args:
        exported: only where aperf's spans are exported by the ids that are known on the loop.

    Returns:
        None where there is no span, or nothing is recorded: then OpenTelemetry may know one.
    """
    recording = _active.active()
    return None if recording is None else recording.context(exported=exported)


def open_span(value: Node | None) -> tuple[int, int, int, bool]:
    """Describe the innermost open span known to a value of `SPAN_VAR`, for `aperf._recorder.Cold`.

    Returns:
        Its owner, its number, what its trace begins with, and whether the plain callback that runs
        opened it; all of them 0 for none.
    """
    recording, node = _active.active(), nearest_open(value)
    if recording is None or node is None or node.recording is None:
        return 0, 0, 0, False
    if node.recording.recorder is not recording.recorder:
        return 0, 0, 0, False
    return node.owner, node.seq, node.root, node.in_callback
