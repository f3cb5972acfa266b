"""The version of the installed package."""

from __future__ import annotations

from functools import cache
from importlib.metadata import PackageNotFoundError, version

__all__ = ("installed_version",)


@cache
def installed_version() -> str:
    """Return the version, also where aperf was copied without what pip knows of it."""
    try:
        return version("aperf")
    except PackageNotFoundError:
        return "0+unknown"
