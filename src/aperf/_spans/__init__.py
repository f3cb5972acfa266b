"""User spans: pieces of code that the program marks itself.

While aperf is off this package is all that a marked program pays for, so it loads neither asyncio
nor the recorder; `activate` loads what writes.
"""

from ._active import activate, deactivate
from ._decorator import instrument
from ._handle import ActiveSpan
from ._node import SPAN_VAR
from ._span import current_context, current_span, open_span, span

__all__ = (
    "SPAN_VAR",
    "ActiveSpan",
    "activate",
    "current_context",
    "current_span",
    "deactivate",
    "instrument",
    "open_span",
    "span",
)
