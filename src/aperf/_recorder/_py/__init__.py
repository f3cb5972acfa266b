"""The recorder in pure Python: slower than its native twin, of the same behaviour."""

from .recorder import Recorder

__all__ = ("Recorder",)
