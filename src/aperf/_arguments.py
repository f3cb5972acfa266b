"""What the caller of a session asks for. Loads nothing: sessions that stay off are checked, too."""

from __future__ import annotations

import sys

from ._config import complaint
from ._errors import ConfigurationError

TYPE_CHECKING = False  # typing itself takes milliseconds to import
if TYPE_CHECKING:
    from typing import Any

    from ._config import Settings

__all__ = ("check_arguments", "check_awaits", "check_port", "with_arguments")

LOOPS = ("current", "all")
AWAITS = ("suspended", "all")
#: What makes an object an exporter; the protocol itself is not loaded before a session begins.
EXPORTER = ("consumes", "start", "export", "flush", "finish", "shutdown", "statistics")


def check_arguments(
    enabled: object, service_name: object, exporters: object, loops: object, awaits: object
) -> None:
    """Check the arguments of a session, whatever their annotations promise.

    Raises:
        ConfigurationError: one is not accepted.
    """
    if enabled not in (None, True, False):
        raise ConfigurationError(complaint("enabled", enabled, "True, False or None"))
    if service_name is not None and (not service_name or not isinstance(service_name, str)):
        raise ConfigurationError(complaint("service_name", service_name, "a text"))
    if loops is not None and loops not in LOOPS:
        raise ConfigurationError(complaint("loops", loops, " or ".join(LOOPS)))
    if awaits is not None and awaits not in AWAITS:
        raise ConfigurationError(complaint("awaits", awaits, " or ".join(AWAITS)))
    if awaits == "all":
        check_awaits()
    if exporters is not None:
        _check_exporters(exporters)


def check_awaits() -> None:
    """Check that this Python can tell of every await.

    Raises:
        ConfigurationError: it cannot.
    """
    if sys.version_info < (3, 12):
        raise ConfigurationError(
            "awaits='all' needs sys.monitoring, which came with Python 3.12; this is Python"
            f" {sys.version_info.major}.{sys.version_info.minor}: use awaits='suspended'"
        )


def check_port(name: str, port: object) -> None:
    """Check that this is the number of a port.

    Raises:
        ConfigurationError: it is not.
    """
    if not isinstance(port, int) or not 1 <= port <= 65535:
        raise ConfigurationError(complaint(name, port, "a whole number from 1 to 65535"))


def _check_exporters(exporters: object) -> None:
    what = "a list of exporters (see aperf.exporters)"
    if not isinstance(exporters, (list, tuple)):
        raise ConfigurationError(complaint("exporters", exporters, what))
    for exporter in exporters:
        if isinstance(exporter, type) or not all(hasattr(exporter, name) for name in EXPORTER):
            raise ConfigurationError(complaint("exporters", exporter, what))


def with_arguments(settings: Settings, given: dict[str, Any]) -> Settings:
    """Return settings with the arguments that were given beside them.

    Raises:
        ConfigurationError: they ask for what this Python cannot do.
    """
    from dataclasses import replace

    changed = replace(settings, **{k: v for k, v in given.items() if v is not None})
    if changed.awaits == "all":
        check_awaits()
    return changed
