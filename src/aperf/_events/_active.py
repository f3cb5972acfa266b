"""Whether anybody takes what this package records, and where it is recorded."""

from __future__ import annotations

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from aperf._recorder import Recorder

    from ._recording import Recording

__all__ = ("activate", "active", "deactivate")

#: Where events are recorded, if they are; read directly where being off must cost nothing.
recording: Recording | None = None


def activate(recorder: Recorder) -> None:
    """Record events from now on: some destination takes them. Arming is up to the recorder's owner.

    Events belong to one activation: what began in an earlier one does not end in this one.
    """
    global recording
    from ._recording import Recording  # loads the recorder, and with it asyncio

    recording = Recording(recorder)


def deactivate() -> None:
    """Record no further events."""
    global recording
    recording = None


def active() -> Recording | None:
    """Return where events are recorded, None while they are not."""
    if recording is None or not recording.recorder.armed:
        return None
    return recording
