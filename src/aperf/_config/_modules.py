"""Which module a piece of code belongs to, for filters that go by modules."""

from __future__ import annotations

import sys

__all__ = ("ModuleNames",)


class ModuleNames:
    """Names of modules by the files of their code, as code objects name them.

    Code does not know its module, so the modules that are loaded are asked, all of them whenever a
    file is not among those known: a program that has come so far loads few more.
    """

    def __init__(self) -> None:
        self._by_file: dict[str, str] = {}

    def find(self, file: str) -> str:
        """Return the name of the module that was loaded from a file, "" if none is.

        The program itself is called `__main__`.
        """
        known = self._by_file.get(file)
        if known is None:
            self._look_around()
            known = self._by_file.setdefault(file, "")
        return known

    def _look_around(self) -> None:
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__dict__", {}).get("__file__")
            if isinstance(file, str):
                self._by_file[file] = name
