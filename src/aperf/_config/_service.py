"""What the process is called, in OpenTelemetry's terms and without importing it."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from aperf._errors import ConfigurationError

from ._kinds import parse_pairs

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ("resource_attributes", "script_name")


def resource_attributes(
    environ: Mapping[str, str] | None = None, config_file: str | None = None
) -> tuple[tuple[str, Any], ...]:
    """Return the attributes of the process: those in ``OTEL_RESOURCE_ATTRIBUTES``, or in the file.

    A value that cannot be read is discarded as a whole, as the specification asks, and so is a
    file; `read_settings` says so.

    Args:
        environ: the variables; those of the process by default.
        config_file: OpenTelemetry's configuration file; that of the variables by default.
    """
    environ = os.environ if environ is None else environ
    names = ("OTEL_CONFIG_FILE", "OTEL_EXPERIMENTAL_CONFIG_FILE")
    named = (environ.get(name, "").strip() for name in names)
    if path := config_file or next(filter(None, named), ""):
        return _declared(path, environ)
    try:
        return parse_pairs(environ.get("OTEL_RESOURCE_ATTRIBUTES", ""))
    except ValueError:
        return ()


def _declared(path: str, environ: Mapping[str, str]) -> tuple[tuple[str, Any], ...]:
    from ._declarative import read_file

    try:
        return tuple(read_file(path, environ).resource.items())
    except ConfigurationError:
        return ()


def script_name() -> str:
    """Return the name of the running program: ``app`` for app.py, ``pkg`` for ``python -m pkg``."""
    spec = getattr(sys.modules.get("__main__"), "__spec__", None)
    name: str = spec.name.removesuffix(".__main__") if spec else ""
    if name and name != "__main__":  # which is the name when a directory or an archive runs
        return name
    argument = sys.argv[0] if sys.argv else ""
    if argument == "-m":  # the module is about to be looked for: the interpreter is still starting
        argument = sys.orig_argv[-len(sys.argv)]
        return argument.rpartition("-m")[2] if argument.startswith("-") else argument
    if argument in {"", "-", "-c"}:
        return "unknown_service"
    directory, file = os.path.split(argument)
    if file == "__main__.py":
        file = os.path.basename(directory)
    return os.path.splitext(file)[0] or "unknown_service"
