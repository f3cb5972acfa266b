"""Changes OpenTelemetry's context for a block of code, and changes it back.

OpenTelemetry's own way, a token, raises or logs an error where a block ends in another context than
it began in: an abandoned generator, one that moves between tasks. So no token is kept. The block
leaves its mark in the context, and at its end looks whether what is current is still its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from opentelemetry.context import Context

__all__ = ("Attachment",)

#: Where a context tells which of these blocks is the innermost.
_KEY: Final = "aperf-attachment"


class Attachment:
    """A block in which another context is current. To be entered once.

    Without OpenTelemetry it does nothing.

    Args:
        fill: makes the context, from the one that is current; None: nothing is to change.
    """

    def __init__(self, fill: Callable[[Context], Context] | None) -> None:
        self._fill = fill
        self._entered = False
        self._open = False
        self._previous: Any = None
        self._span: object = None

    def __enter__(self) -> None:
        if self._entered:
            raise RuntimeError("attach: a block is entered once; call attach() for each")
        self._entered = True
        if self._fill is None:
            return
        try:
            from opentelemetry import context as api
            from opentelemetry.trace import get_current_span
        except ImportError:
            return
        previous = api.get_current()
        context = self._fill(previous)
        if context is previous:
            return
        self._open, self._previous = True, previous
        self._span = get_current_span(context)
        api.attach(api.set_value(_KEY, self, context))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._open:
            return
        from opentelemetry import context as api

        self._open = False
        # Shortened on the way: tasks that start each other from inside their blocks would else hold
        # all their predecessors.
        self._previous = self._around()
        if self._is_innermost(api.get_current()):
            api.attach(self._previous)

    async def __aenter__(self) -> None:
        self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    def _is_innermost(self, context: Context) -> bool:
        """Say whether nobody has opened something inside this block that is current still."""
        from opentelemetry.trace import get_current_span

        return context.get(_KEY) is self and get_current_span(context) is self._span

    def _around(self) -> Context:
        """Return what was current before, without blocks that have ended out of order."""
        from opentelemetry.context import set_value

        context: Context = self._previous
        while isinstance(outer := context.get(_KEY), Attachment) and not outer._open:
            if outer._is_innermost(context):
                context = outer._previous
            else:  # only its mark is left, beside what somebody opened inside of it
                context = set_value(_KEY, outer._previous.get(_KEY), context)
        return context
