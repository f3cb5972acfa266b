"""The command line: ``aperf run``, ``aperf doctor``, ``aperf config``."""

from ._main import main

__all__ = ("main",)
