"""Which module a file belongs to."""

from __future__ import annotations

import sys
import types
from typing import TYPE_CHECKING

from aperf._config import Filter, ModuleNames

if TYPE_CHECKING:
    import pytest


def test_loaded_module() -> None:
    """A module is found by the file that its code objects name."""
    assert Filter.__module__ == ModuleNames().find(Filter.parse.__code__.co_filename)


def test_module_loaded_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules that come later are found, too, and files of none have no name."""
    names = ModuleNames()
    assert "" == names.find("/srv/late.py") == names.find("<string>")
    late = types.ModuleType("late")
    late.__file__ = "/srv/other.py"
    monkeypatch.setitem(sys.modules, "late", late)
    assert "late" == names.find("/srv/other.py")
