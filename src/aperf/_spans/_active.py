"""Whether user spans are recorded, and where."""

from __future__ import annotations

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from aperf._recorder import Recorder

    from ._recording import Recording

__all__ = ("activate", "active", "deactivate")

#: Where spans are recorded, if they are; read directly where being off must cost nothing.
recording: Recording | None = None


def activate(recorder: Recorder) -> None:
    """Record user spans from now on; its owner arms and disarms the recorder."""
    global recording
    from ._recording import Recording  # loads the recorder, and with it asyncio

    recording = Recording(recorder)


def deactivate() -> None:
    """Record no further spans. Those still open end in the recorder in which they began."""
    global recording
    recording = None


def active() -> Recording | None:
    """Return where spans are recorded, None while they are not."""
    if recording is None or not recording.recorder.armed:
        return None
    return recording
