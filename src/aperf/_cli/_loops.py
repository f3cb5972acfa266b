"""Make a program use uvloop without changing it.

An event-loop policy would do that too, but it is visible to the program and deprecated since Python
3.14. The default policy makes each loop by calling its class attribute ``_loop_factory``; uvloop's
own policy is nothing but another value of it. `asyncio.run`, `Runner`, `new_event_loop` and
`get_event_loop` all end there. A loop factory or policy that the program chooses itself wins, as it
should.
"""

from __future__ import annotations

import asyncio
from importlib.util import find_spec

from aperf._errors import ConfigurationError

__all__ = ("use_uvloop",)


def use_uvloop() -> None:
    """Make uvloop the kind of loop that asyncio creates by default.

    Raises:
        ConfigurationError: uvloop is not installed.
    """
    if find_spec("uvloop") is None:
        raise ConfigurationError(
            "--loop: uvloop is not installed; python -m pip install 'aperf[uvloop]' does it"
        )
    import uvloop

    asyncio.DefaultEventLoopPolicy._loop_factory = uvloop.Loop  # type: ignore[attr-defined]
