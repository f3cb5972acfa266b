"""Recording: what happens on a loop becomes records in a ring. Two twins, chosen here.

`APERF_PURE_PYTHON=1` forces the one in Python; so does a core that cannot be imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final

from aperf._config import pure_python

from ._codes import OWN, USER, WRAPPER, classify
from ._cold import Cold
from ._layout import (
    BIRTH,
    MAX_PAYLOAD,
    NARROW,
    PAIR,
    SLOT,
    BirthFlag,
    ContextFlag,
    Descent,
    FrameOp,
    GpuOp,
    Hint,
    Kind,
    LockFlag,
    LockOp,
    MemoryOp,
    MessageFlag,
    PlotFlag,
    StepFlag,
    Value,
)

__all__ = (
    "BIRTH",
    "IMPLEMENTATION",
    "MAX_PAYLOAD",
    "NARROW",
    "OWN",
    "PAIR",
    "SLOT",
    "USER",
    "WRAPPER",
    "BirthFlag",
    "Cold",
    "ContextFlag",
    "Descent",
    "FrameOp",
    "GpuOp",
    "Hint",
    "Kind",
    "LockFlag",
    "LockOp",
    "MemoryOp",
    "MessageFlag",
    "PlotFlag",
    "Recorder",
    "StepFlag",
    "Value",
    "classify",
)

if TYPE_CHECKING:
    from ._py import Recorder
else:
    Recorder = None
    if not pure_python():
        try:
            Recorder = import_module("aperf._recorder._core").Recorder
        except ImportError:
            pass
    if Recorder is None:
        from ._py import Recorder

#: Which twin runs: "c" or "python".
IMPLEMENTATION: Final = "python" if Recorder.__module__.endswith("._py.recorder") else "c"
