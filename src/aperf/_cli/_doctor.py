"""``aperf doctor``: what is installed, which core runs, what is set, and what can be reached."""

from __future__ import annotations

import importlib
import json
import platform
import sys
from importlib import metadata
from typing import TYPE_CHECKING, Any

import aperf
from aperf._config import pure_python, read_settings_with_warnings

from ._parser import version
from ._reach import destinations
from ._show import print_settings, print_warnings, settings_to_dict
from ._table import print_table

if TYPE_CHECKING:
    from ._reach import Destination

__all__ = ("doctor",)

_PACKAGES = (
    "anyio",
    "opentelemetry-sdk",
    "opentelemetry-exporter-otlp-proto-grpc",
    "grpcio",
    "uvloop",
    "rich",
    "lz4",
    "pytracy",
)


def doctor(*, as_json: bool) -> int:
    """Print the report and return the exit code: 1 when a destination cannot be reached.

    Raises:
        ConfigurationError: a variable has a bad value.
    """
    reading = read_settings_with_warnings()
    print_warnings(reading)
    found = destinations(reading.settings)
    healthy = all(destination.ok for destination in found)
    if as_json:
        report = {**_facts(), "packages": _packages(), **settings_to_dict(reading)}
        report["destinations"] = [destination._asdict() for destination in found]
        print(json.dumps({**report, "ok": healthy}, indent=2))
    else:
        facts = _facts()
        facts["core"] += f" ({facts.pop('core_reason')})"
        print_table(("aperf doctor", ""), list(facts.items()))
        print()
        packages = [(name, found or "not installed") for name, found in _packages().items()]
        print_table(("package", "version"), packages)
        print()
        print_settings(reading.settings)
        print()
        settings = reading.settings
        _print_destinations(found, enabled=settings.enabled or settings.tracy_enabled)
    return 0 if healthy else 1


def _facts() -> dict[str, str]:
    return {
        "aperf": version(),
        "core": aperf.IMPLEMENTATION,
        "core_reason": _reason(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "executable": sys.executable,
        "platform": platform.platform(),
    }


def _reason() -> str:
    """Say why this core runs and not the other."""
    if aperf.IMPLEMENTATION != "python":
        return "compiled"
    if pure_python():
        return "APERF_PURE_PYTHON is set"
    try:
        importlib.import_module("aperf._recorder._core")
    except ModuleNotFoundError:
        return "the native core was not compiled"
    except ImportError as error:
        return f"the native core cannot be loaded: {error}"
    return "the native core does not fit this Python"


def _packages() -> dict[str, str | None]:
    return {name: _version(name) for name in _PACKAGES}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _print_destinations(found: tuple[Destination, ...], *, enabled: bool) -> None:
    rows: list[Any] = [
        (destination.kind, destination.target, destination.state) for destination in found
    ]
    print_table(("destination", "where", "state"), rows)
    if not enabled:
        print("\nTelemetry is off: set TELEMETRY_ENABLED=true, or use `aperf run`.")
