"""What the process is called, in OpenTelemetry's terms and without importing it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from ._kinds import parse_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("resource_attributes", "script_name")


def resource_attributes(environ: Mapping[str, str] | None = None) -> tuple[tuple[str, str], ...]:
    """Return the attributes in ``OTEL_RESOURCE_ATTRIBUTES``.

    A value that cannot be read is discarded as a whole, as the specification asks; `read_settings`
    warns of it.
    """
    environ = os.environ if environ is None else environ
    try:
        return parse_pairs(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    except ValueError:
        return ()


def script_name() -> str:
    """Return the name of the running program: ``app`` for app.py, ``pkg`` for ``python -m pkg``."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    name: str = spec.name.removesuffix(".__main__") if spec else ""
    if name and name != "__main__":  # which is the name when a directory or an archive runs
        return name
    argument = sys.argv[0] if sys.argv else ""
    if argument in {"", "-", "-c", "-m"}:
        return "unknown_service"
    directory, file = os.path.split(argument)
    if file == "__main__.py":
        file = os.path.basename(directory)
    return os.path.splitext(file)[0] or "unknown_service"
