"""Writes user spans into the ring. Loaded only once something is recorded.

Nothing here raises: a fault of our own is counted, and the program goes on without the span.
"""

from __future__ import annotations

import itertools
import threading
import time
from asyncio import CancelledError, _get_running_loop
from typing import TYPE_CHECKING, Concatenate, Final, ParamSpec

from aperf._ids import SPAN_ROOT
from aperf._recorder._cold import message_of, traceback_frames
from aperf._recorder._layout import PAIR, CloseFlag, Kind, Value

from ._decorator import instrument
from ._node import SPAN_VAR, Node, nearest_open, nearest_own
from ._values import encode, name_of, pairs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import CodeType

    from aperf._recorder import Recorder
    from aperf.model import SpanContext

__all__ = ("Recording",)

P = ParamSpec("P")

#: How iteration ends: no failure of whoever raises it.
_ENDINGS: Final = (GeneratorExit, StopIteration, StopAsyncIteration)
#: The file of the functions around those that are decorated: not the program's, so not shown.
_WRAPPERS: Final = instrument.__code__.co_filename
#: BIRTH has 32 bits for the number of a span. One owner does not live through so many of them.
_MAX_SEQ: Final = (1 << 32) - 1
_numbers: Final = itertools.count()


def _guarded(
    method: Callable[Concatenate[Recording, P], None],
) -> Callable[Concatenate[Recording, P], None]:
    """Count the exceptions of a method instead of letting them pass into the program."""

    def guarded(self: Recording, /, *args: P.args, **kwargs: P.kwargs) -> None:
        try:
            method(self, *args, **kwargs)
        except Exception:
            self.recorder.fault()

    return guarded


class Recording:
    """User spans of one recorder.

    Args:
        recorder: where to write.
    """

    __slots__ = ("_local", "recorder")

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._local = threading.local()

    # ----------------------------------------------------------------------------------- who, where

    def _thread(self) -> int:
        """Return the number under which this thread owns spans while no task runs on it."""
        number: int | None = getattr(self._local, "number", None)
        if number is None:
            number = self._local.number = self.recorder.next_id()
        return number

    def _surrounding(self, task: int, owner: int) -> Node | None:
        """Return the user span around what this task or thread does now (see `current_span`)."""
        inherited = SPAN_VAR.get()
        own = nearest_own(inherited, owner, self.recorder)
        if own is not None or task:
            return own
        around = nearest_open(inherited)
        if around is None or around.recording is None:
            return None
        return around if around.recording.recorder is self.recorder else None

    def current(self) -> Node | None:
        """Return the span that is current, None for none."""
        try:
            task = self.recorder.current()
            node = self._surrounding(task, task or self._thread())
            return Node(self, task, 0, "") if node is None and task else node
        except Exception:
            self.recorder.fault()
            return None

    def context(self, *, exported: bool = False) -> SpanContext | None:
        """Return what identifies the innermost span, aperf's or OpenTelemetry's.

        Args:
            exported: see `current_context`.
        """
        try:
            return self._identify(exported=exported)
        except Exception:
            self.recorder.fault()
            return None

    def _identify(self, *, exported: bool) -> SpanContext | None:
        recorder, bridge = self.recorder, self.recorder.bridge
        if bridge is None:
            return None
        theirs: SpanContext | None = bridge.current(recorder, ours=False)
        if theirs is not None or (exported and not bridge.nests):
            return theirs
        node = self.current()
        if node is None:  # a thread that has taken a task's context along
            inherited: SpanContext | None = bridge.current(recorder, ours=True)
            return inherited
        own: SpanContext | None = bridge.identity(node, node.root if node.seq else recorder.root())
        return own

    # ------------------------------------------------------------------------------- begin and end

    def begin(
        self, name: str, attributes: Mapping[str, object], place: tuple[CodeType, int] | None
    ) -> Node | None:
        """Open a span and make it current.

        Args:
            name: its name.
            attributes: what is known of it.
            place: code and offset where the program opens it.

        Returns:
            Its node, None when it could not be recorded.
        """
        try:
            node = self._open(name_of(name), place)
        except Exception:
            self.recorder.fault()
            return None
        if node is not None and attributes:
            self.attributes(node, attributes)
        return node

    def _open(self, name: str, place: tuple[CodeType, int] | None) -> Node | None:
        recorder = self.recorder
        if not recorder.armed:
            return None
        task = recorder.current()
        owner = task or self._thread()
        parent = self._surrounding(task, owner)
        seq = next(_numbers) % _MAX_SEQ + 1
        site = 0 if place is None else recorder.intern((place,))
        recorder.look(owner)
        above = (task, 0) if parent is None else (parent.owner, parent.seq)
        rest = PAIR.pack(*above, site, 0)
        if not recorder.put(Kind.OPEN, 0, recorder.cold.names.intern(name), owner, seq, rest):
            return None
        node = Node(self, owner, seq, name, nearest_open(SPAN_VAR.get()))
        node.in_callback = not task and _get_running_loop() is not None
        if parent is not None:
            node.root = parent.root
        else:
            node.root = recorder.root() if task else SPAN_ROOT | seq
        SPAN_VAR.set(node)
        bridge = recorder.bridge
        if bridge is not None and recorder.context_var is not None:
            try:
                bridge.opened(recorder, task, node)
            except Exception:
                recorder.fault()  # the span itself is open
        return node

    @_guarded
    def end(self, node: Node, error: BaseException | None) -> None:
        """Close a span at the end of its block; in its own context the one around is current again.

        Args:
            node: the span.
            error: what ended the block early, if anything did.
        """
        flags = 0
        if isinstance(error, CancelledError):
            flags = CloseFlag.CANCELLED.value
        elif error is not None and not isinstance(error, _ENDINGS):
            flags = CloseFlag.ERROR.value
            self.exception(node, error, {})
        self._close(node, flags)
        if SPAN_VAR.get() is node:
            SPAN_VAR.set(node.outer)
        if node.shown is not None and self.recorder.bridge is not None:
            self.recorder.bridge.closed(self.recorder, node)

    @_guarded
    def swap(self, leaving: Node | None, entering: Node | None) -> None:
        """Tell OpenTelemetry that another span is current than before, in the same context."""
        if self.recorder.bridge is not None:
            self.recorder.bridge.swapped(self.recorder, leaving, entering)

    @_guarded
    def abandon(self, node: Node) -> None:
        """Close a span of which only its node is left, on whatever thread finds that out."""
        self._close(node, CloseFlag.ABANDONED.value)

    def _close(self, node: Node, flags: int) -> None:
        node.close()
        if self.recorder.armed:
            self.recorder.put(Kind.CLOSE, flags, 0, node.owner, node.seq)

    # ------------------------------------------------------------------------------------- contents

    @_guarded
    def attributes(self, node: Node, attributes: Mapping[str, object], extra: int = 0) -> None:
        """Write attributes of a span, or of its last event.

        Args:
            node: the span.
            attributes: keys and values.
            extra: `Value.OF_EVENT` for those of the event.
        """
        if self.recorder.armed:
            for key, value in pairs(attributes):
                for kind, payload in encode(value):
                    self._attribute(node, key, kind | extra, payload)

    @_guarded
    def event(
        self, node: Node, name: str, attributes: Mapping[str, object], time_ns: int | None
    ) -> None:
        """Write an event and its attributes.

        Args:
            node: the span.
            name: what happened.
            attributes: more about it.
            time_ns: when, in ns since 1970, or None for now.
        """
        t_ns = self._monotonic(time_ns) if isinstance(time_ns, int) else -1
        if self._event(node, name, t_ns):
            self.attributes(node, attributes, Value.OF_EVENT)

    @_guarded
    def exception(self, node: Node, error: BaseException, attributes: Mapping[str, object]) -> None:
        """Write an exception as an event, in OpenTelemetry's terms.

        Args:
            node: the span.
            error: the exception; only its type, message and places in code are kept.
            attributes: more about it.
        """
        if not self._event(node, "exception"):
            return
        kind = type(error)
        described = {
            "exception.type": f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."),
            "exception.message": message_of(error),
        }
        self.attributes(node, described, Value.OF_EVENT)
        frames = traceback_frames(error.__traceback__)
        site = self.recorder.intern(tuple(f for f in frames if f[0].co_filename != _WRAPPERS))
        payload = site.to_bytes(8, "little")
        self._attribute(node, "exception.stacktrace", Value.SITE | Value.OF_EVENT, payload)
        self.attributes(node, attributes, Value.OF_EVENT)

    def _event(self, node: Node, name: str, t_ns: int = -1) -> bool:
        """Write an event; say whether there was room, so that its attributes may follow."""
        if not self.recorder.armed:
            return False
        number = self.recorder.cold.names.intern(name_of(name))
        return self.recorder.put(Kind.EVENT, 0, number, node.owner, node.seq, b"", t_ns)

    def _attribute(self, node: Node, key: str, kind: int, payload: bytes) -> None:
        number = self.recorder.cold.names.intern(key)
        self.recorder.put(Kind.ATTRIBUTE, kind, number, node.owner, node.seq, payload)

    def _monotonic(self, unix_ns: int) -> int:
        """Return a time of the past on the recorder's clock."""
        now_ns = self.recorder.now_ns()
        return min(max(now_ns + unix_ns - time.time_ns(), 0), now_ns)
