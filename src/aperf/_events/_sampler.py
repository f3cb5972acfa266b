"""Call stacks of running threads, looked at many times a second: where time goes without awaits."""

from __future__ import annotations

import sys

from . import _active
from ._checks import positive

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from types import CodeType, FrameType, TracebackType
    from typing import Self

    from ._background import Background
    from ._recording import Recording

__all__ = ("StackSampler", "sample_stacks")

#: What a recorder keeps of a stack.
_MAX_FRAMES = 32
_OWN = __file__.rpartition("_events")[0]
#: Where threads stand that have nothing to do: (function, end of its file's name).
_IDLE = (
    ("select", "selectors.py"),
    ("run", "runners.py"),  # of asyncio, while a loop written in C waits
    ("_worker", "thread.py"),  # of concurrent.futures
)


def sample_stacks(interval_s: float = 0.01) -> StackSampler:
    """Show where threads run: their Python call stacks, taken every so often.

    Threads are looked at that have recorded something: those with a watched loop first of all. One
    that waits for events is left out. Each round holds the GIL for as long as it takes to walk the
    stacks, so the price is proportional to the rate and to the depth of the stacks.

    Example::

        with aperf.sample_stacks():
            await work()

    Args:
        interval_s: between two looks.

    Returns:
        A context manager with `start` and `stop`. If nobody takes samples when it starts, it does
        nothing.

    Raises:
        TypeError: the interval is no number.
        ConfigurationError: it is not above 0.
    """
    return StackSampler(positive("sample_stacks", "interval_s", interval_s))


class StackSampler:
    """Takes samples while it is started; made by `sample_stacks`."""

    __slots__ = ("_interval_s", "_thread")

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._thread: Background | None = None

    def start(self) -> None:
        """Begin to take samples, on a thread of its own; idempotent."""
        recording = _active.active()
        if recording is None or (self._thread is not None and self._thread.is_alive()):
            return
        from ._background import start

        self._thread = start("sampler", self._interval_s, recording, _sample)

    def stop(self) -> None:
        """Take no further samples; idempotent."""
        if self._thread is not None:
            self._thread.end()
            self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def _sample(recording: Recording) -> None:
    from aperf._recorder import Kind

    recorder = recording.recorder
    threads = {ident for ident, name in recorder.threads() if not name.startswith("aperf-")}
    frames = {ident: frame for ident, frame in sys._current_frames().items() if ident in threads}
    for ident, frame in frames.items():
        if not _is_idle(frame):
            recorder.put(Kind.SAMPLE, 0, recorder.intern(_stack(frame)), ident, 0)


def _is_idle(frame: FrameType) -> bool:
    code = frame.f_code
    return any(code.co_name == name and code.co_filename.endswith(end) for name, end in _IDLE)


def _stack(frame: FrameType | None) -> tuple[tuple[CodeType, int], ...]:
    """Return code and offset of each frame, innermost first, without aperf's own."""
    stack: list[tuple[CodeType, int]] = []
    while frame is not None and len(stack) < _MAX_FRAMES:
        if not frame.f_code.co_filename.startswith(_OWN):
            stack.append((frame.f_code, frame.f_lasti))
        frame = frame.f_back
    return tuple(stack)
