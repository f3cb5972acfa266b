"""The recorder's twins: what is promised of one is promised of the other."""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any, Final

import pytest

from aperf._recorder import _py

if TYPE_CHECKING:
    from aperf._recorder import Recorder

__all__ = ("HAS_CORE", "IMPLEMENTATIONS", "recorder_of")

#: Whether the native twin was built. One that is there but cannot be imported is an error.
HAS_CORE: Final = importlib.util.find_spec("aperf._recorder._core") is not None

#: For `pytest.mark.parametrize` and fixtures: the names of the twins that are here.
IMPLEMENTATIONS: Final[list[Any]] = [
    pytest.param("python", id="python"),
    *([pytest.param("c", id="c", marks=pytest.mark.c_extension)] if HAS_CORE else []),
]


def recorder_of(implementation: str) -> type[Recorder]:
    """Return the recorder of one twin."""
    if implementation == "python":
        return _py.Recorder
    core: Any = importlib.import_module("aperf._recorder._core")
    recorder: type[Recorder] = core.Recorder
    return recorder
