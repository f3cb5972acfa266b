"""Tracing sessions: an id that all traces of one piece of work have in common."""

from __future__ import annotations

import logging
import re
import secrets
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from aperf._spans import current_span
from aperf._spans._active import active
from aperf._spans._handle import INERT, ActiveSpan, SpanBlock

from ._attach import Attachment
from ._current import known_context
from ._text import is_baggage_key

if TYPE_CHECKING:
    from types import CodeType, TracebackType

    from opentelemetry.context import Context

__all__ = ("current_tracing_session", "tracing_session")

_log = logging.getLogger("aperf")

#: Under which key Rerun's servers and clients look for it.
_KEY: Final = "rerun_session_id"
_ID: Final = re.compile("rs_[0-9a-f]{8}")


def tracing_session(name: str | None = None, *, key: str = _KEY) -> TracingSession:
    """Give everything that happens in a block one id, across processes.

    Example::

        async with aperf.tracing_session("nightly import") as session_id:
            ...

    The block gets the id, `rs_` and 8 hexadecimal digits. It is in OpenTelemetry's baggage, which
    goes with requests and messages, and an attribute of the span that is current when the block
    begins. It works with and without a session of aperf's.

    Args:
        name: name of an `aperf.span` around the block, with the id as an attribute; None for none.
        key: of the baggage and the attribute.

    Raises:
        ValueError: baggage cannot have that key.
    """
    if not is_baggage_key(key):
        raise ValueError(
            f"tracing_session: key={key!r} is not accepted; use ASCII letters, digits and any of "
            "!#$%&'*+-.^_`|~"
        )
    frame = sys._getframe(1)
    return TracingSession(name, key, (frame.f_code, frame.f_lasti))


def current_tracing_session(*, key: str = _KEY) -> str | None:
    """Return the id of the tracing session around this code, be it of another process, or None.

    Args:
        key: of the baggage.
    """
    context = known_context()
    if context is None:
        return None
    from opentelemetry.baggage import get_baggage

    value = get_baggage(key, context)
    return value if isinstance(value, str) and _ID.fullmatch(value) else None


class TracingSession:
    """The block of a tracing session. To be entered once.

    Args:
        name: of the span around the block, None for none.
        key: of the baggage and the attribute.
        place: code and offset where the program begins it.

    Attributes:
        id: see `tracing_session`.
    """

    def __init__(self, name: str | None, key: str, place: tuple[CodeType, int]) -> None:
        self.id = "rs_" + secrets.token_hex(4)
        self._name = name
        self._key = key
        self._place = place
        self._attachment = Attachment(self._fill)
        self._span: ActiveSpan = INERT
        self._start_ns = 0

    def __enter__(self) -> str:
        self._attachment.__enter__()
        self._mark()
        self._span = self._open_span()
        self._span.__enter__()
        self._start_ns = time.monotonic_ns()
        _log.info("tracing session started: %s", self.id)
        return self.id

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._span.__exit__(kind, error, traceback)
        self._attachment.__exit__(kind, error, traceback)
        if kind is None:
            elapsed_s = (time.monotonic_ns() - self._start_ns) / 1e9
            _log.info("tracing session finished: %s elapsed_s=%.3f", self.id, elapsed_s)

    async def __aenter__(self) -> str:
        return self.__enter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    def _fill(self, context: Context) -> Context:
        from opentelemetry.baggage import set_baggage

        return set_baggage(self._key, self.id, context)

    def _mark(self) -> None:
        """Tell the spans that are current, OpenTelemetry's and aperf's."""
        current_span().set_attribute(self._key, self.id)
        context = known_context()
        if context is None:
            return
        from opentelemetry.trace import get_current_span

        span: Any = get_current_span(context)
        try:
            span.set_attribute(self._key, self.id)
        except Exception:
            pass  # anybody may put anything there

    def _open_span(self) -> ActiveSpan:
        recording = active()
        if self._name is None or recording is None:
            return INERT
        return SpanBlock(recording, self._name, {self._key: self.id}, self._place)
