"""All that a viewer can be told, as one object."""

from __future__ import annotations

from ._answers import Answers
from ._frames import Frames
from ._gpu import Gpu
from ._locks import Locks
from ._marks import Marks
from ._memory import Memory
from ._samples import Samples
from ._system import System
from ._zone_details import ZoneDetails

__all__ = ("Stream",)


class Stream(ZoneDetails, Marks, Frames, Locks, Memory, Gpu, Samples, System, Answers):
    """Encodes events for one viewer, from the welcome to the end of its connection.

    Times are ns of one clock, on or after the begin that the welcome names: the end of a zone
    before that shows as not ended. Ids of texts, places and frames are those of `strings`.

    A viewer trusts its client: it stops, hangs or crashes when a zone ends twice or an unknown lock
    is taken. So each method knows what was sent before, and what would break the viewer is misuse:
    it raises if the stream is strict; otherwise it is left out, or what is missing is added.

    Args:
        version: of the protocol, one of `VERSIONS`.
        strings: tables of ids; may serve several streams, one after the other.
        strict: raise `LocalProtocolError` on misuse.

    Attributes:
        repairs: how often misuse was repaired.
        parameters: values that the viewer's user chose, by the parameter's index.
    """

    def terminate(self, t_ns: int) -> None:
        """Say that nothing more follows, but for answers and `keep_alive`.

        A viewer waits for the end of open zones; they are ended here.
        """
        self.end_all(t_ns)
        self._put("Terminate")
