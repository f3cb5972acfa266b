"""What a viewer is told of the process."""

from __future__ import annotations

import os
import platform
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from aperf.model import SessionInfo

__all__ = ("Program", "read_source")

#: Whoever asks for a source file gets no more than fits into a block.
_MOST_SOURCE: Final = 250_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """This process, as a viewer shows it.

    Attributes:
        name: of the program.
        host: what runs it, in lines.
        pid: its process.
        epoch_s: when it was started, in seconds since 1970.
        sources: whether viewers may have source files.
    """

    name: str
    host: str
    pid: int
    epoch_s: int
    sources: bool

    @classmethod
    def of(cls, session: SessionInfo, *, sources: bool) -> Program:
        """Describe this process."""
        system = os.uname()
        lines = (
            f"{platform.python_implementation()} {platform.python_version()}",
            f"{system.sysname} {system.release} {system.machine}",
            f"aperf {session.version} ({session.implementation} core)",
        )
        return cls(
            name=session.service_name,
            host="\n".join(lines),
            pid=os.getpid(),
            epoch_s=int(time.time()),
            sources=sources,
        )


def read_source(path: str) -> bytes | None:
    """Return the text of a source file, None if there is none that could be shown."""
    try:
        with open(path, "rb") as file:
            text = file.read(_MOST_SOURCE + 1)
    except OSError:
        return None
    return text if len(text) <= _MOST_SOURCE else None
